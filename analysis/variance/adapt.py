r"""Proposals by cross-entropy, and when to stop looking for a better one.

The normal law nearest to ``g*_j = |phi_j| f/I_j`` in Kullback and Leibler's divergence has its
mean and covariance, which are weighted averages over a pilot sample of the proposal before. Its
standard deviations are widened and f keeps a share, for a normal law is lighter in the tail than
most g*. A round of pilots costs points of the budget; the last one to be paid is the first that
does not lower the forecast ``max_j Var(phi_j f/g)/I_j^2/(points left)``.

The estimate is made of a fresh sample: the points that chose a proposal would be biased under it.

Source: Demange-Chryst, Bachoc, Morio 2022, arXiv:2212.00568; cross-entropy is of Rubinstein 1999.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ...solvers.errors import AnalysisError
from ...toy_models.mixture import GaussianMixture
from ..fokker_planck.collocation import Estimate
from ..fokker_planck.errors import TooFewSamplesError
from .importance import Density, Functions, Proposal, derived, expectations, weighted

DEFENCE = 0.1
"""Share of f itself."""
WIDEN = 1.4
"""Factor of the standard deviations; for the two tails of a normal law 1.3 to 1.5 are best."""
EFFECTIVE = 5
"""Effective points for each dimension and one more, below which a covariance is noise."""


@dataclass(frozen=True, eq=False)
class Adapted:
    """A proposal, and what it took.

    Attributes
    ----------
    proposal : Proposal
        The best one tried: f and a normal law for each function, or what was begun with.
    spent : int
        Points used to find it.
    variances : tuple of float
        ``max_j Var(phi_j f/g)/I_j^2`` of one point, proposal by proposal, as the pilots saw it.
    """

    proposal: Proposal
    spent: int
    variances: tuple[float, ...]


def adapted(
    functions: Functions,
    target: Density,
    *,
    budget: int,
    pilot: int,
    first: Density | None = None,
    seed: int = 0,
    rounds: int = 8,
) -> Adapted:
    """A proposal for all functions, as good as it is worth to look for.

    Parameters
    ----------
    functions : callable
        phi, (n, d) to (n, J).
    target : Density
        f.
    budget, pilot : int
        Points in all, and of each round.
    first : Density, optional
        What the first pilots are drawn from, f by default; for rare events something wider.
    seed : int
        Of the pilots.
    rounds : int
        At most so many.

    Raises
    ------
    TooFewSamplesError
        If the pilots hardly see a function, with the number that would.
    AnalysisError
        Unless ``0 < pilot < budget`` and there is a round.
    """
    if not (0 < pilot < budget and rounds >= 1):
        msg = f"adaptation needs 0 < pilot < budget and a round, got pilot {pilot}, "
        raise AnalysisError(msg + f"budget {budget}, rounds {rounds}")
    source = Proposal((target if first is None else first,), (1.0,))
    tried: list[Proposal] = []
    variances: list[float] = []
    for k in range(rounds):
        left = budget - (k + 1) * pilot
        if k and left < pilot:
            break
        x = source.sample(pilot, seed=derived(seed, f"pilot {k}"))
        values = weighted(functions, target, source, x)
        variances.append(float((values.var(0) / values.mean(0).square()).max()))
        tried.append(source)
        if k and variances[-1] * (left + pilot) >= variances[-2] * left:
            break  # the forecast with the points left is no better than before this round
        if k and (k + 1 == rounds or left < 2 * pilot):
            break  # no round is left to try another one
        source = fitted(x, values.abs(), target)
    best = min(range(len(tried)), key=variances.__getitem__)
    return Adapted(tried[best], len(tried) * pilot, tuple(variances))


def fitted(x: Tensor, weights: Tensor, target: Density) -> Proposal:
    """The target and, for each column of weights (n, J), a normal law of its moments.

    Raises
    ------
    TooFewSamplesError
        If a column has fewer effective points than a covariance needs.
    """
    n, d = x.shape
    least = EFFECTIVE * (d + 1)
    effective = weights.sum(0).square() / weights.square().sum(0).clamp_min(1e-300)
    worst = int(effective.argmin())
    if float(effective[worst]) < least:
        seen = float(effective[worst])
        needed = math.ceil(n * least / max(seen, 1.0))
        msg = f"{n} pilots hold {seen:.3g} effective points of function {worst}, where a proposal "
        msg += f"needs {least}; about {needed} would be enough, or a wider first density"
        raise TooFewSamplesError(msg, needed=needed)
    parts: list[Density] = [target]
    for w in (weights / weights.sum(0)).unbind(1):
        centre = w @ x
        spread = (w[:, None] * (x - centre)).mT @ (x - centre)
        cov = WIDEN**2 * spread + 1e-12 * spread.trace() * torch.eye(d, dtype=x.dtype)
        parts.append(GaussianMixture(torch.ones(1, dtype=x.dtype), centre[None], cov[None]))
    each = (1 - DEFENCE) / weights.shape[1]
    return Proposal(tuple(parts), (DEFENCE, *[each] * weights.shape[1]))


def adaptive(
    functions: Functions,
    target: Density,
    *,
    budget: int,
    pilot: int,
    first: Density | None = None,
    seed: int = 0,
    certainty: float = 0.999,
    within: float = math.inf,
) -> tuple[Estimate, ...]:
    """``E_f phi_j`` for all j: :func:`adapted`, then a fresh sample of all points that are left.

    Parameters and errors as in :func:`adapted` and :func:`expectations`.
    """
    found = adapted(
        functions, target, budget=budget, pilot=pilot, first=first, seed=derived(seed, "adapt")
    )
    return expectations(
        functions, target, found.proposal, budget - found.spent,
        seed=derived(seed, "final"), certainty=certainty, within=within,
    )  # fmt: skip
