r"""Many expectations from one sample of a mixture, each part of which is also a control variate.

For ``I_j = E_f phi_j`` the best density is ``g*_j = |phi_j| f/I_j``, another one for each j. Draw
from the mixture ``g = sum_j a_j g_j`` of one density for each, and use ``h_j = g_j/g - 1``, whose
mean under g is zero. If ``phi_j >= 0`` and the parts are the best ones, then::

    phi_j f/g - I_j h_j = I_j      at every point, for every j at once

With any parts the coefficients are fitted (:mod:`.controls`). The controls are linearly dependent,
``sum a_j h_j = 0``, and one of them is left out. f itself should be a part: then ``f/g <= 1/a_0``,
and no tail of a proposal that is lighter than ``phi f`` makes a variance infinite.

Source: Demange-Chryst, Bachoc, Morio 2022, arXiv:2212.00568; mixtures with their parts as controls
are of Owen and Zhou 2000.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ...solvers.errors import AnalysisError, NonFiniteError, ShapeError
from ...solvers.process import Node
from ...toy_models.draws import normals, uniforms
from ...toy_models.law import Law
from ..fokker_planck.collocation import Estimate
from .controls import controlled

Functions = Callable[[Tensor], Tensor]
"""``phi(x)``: points (n, d) to values (n, J)."""


class Density(Protocol):
    """A density that can be drawn from; every law of ``toy_models`` is one."""

    def sample(self, n: int, *, seed: int) -> Tensor:
        """Independent points (n, d), float64."""
        ...

    def log_density(self, x: Tensor) -> Tensor:
        """Natural logarithm of the normalised density, (n,)."""
        ...


@dataclass(frozen=True, eq=False)
class Seen:
    """The law of ``alpha x_0 + sigma eps`` as a density."""

    law: Law
    node: Node

    def sample(self, n: int, *, seed: int) -> Tensor:
        """Points (n, d)."""
        data = self.law.sample(n, seed=seed)
        noise = torch.from_numpy(normals(n, self.law.dim, seed=seed, label="seen")).to(data)
        return self.node.alpha * data + self.node.sigma * noise

    def log_density(self, x: Tensor) -> Tensor:
        """``log p_t(x)``, (n,)."""
        return self.law.log_density(x, self.node.alpha, self.node.sigma)


@dataclass(frozen=True, eq=False)
class Proposal:
    """``g = sum_j a_j g_j``.

    Parameters
    ----------
    parts : tuple of Density
        g_j, the first of which is the one whose control is left out.
    shares : tuple of float
        a_j, positive; they are scaled to sum one.

    Raises
    ------
    AnalysisError
        If the shares are not as many positive numbers.
    """

    parts: tuple[Density, ...]
    shares: tuple[float, ...]

    def __post_init__(self) -> None:
        good = len(self.parts) == len(self.shares) and len(self.parts) > 0
        if not good or not all(0 < a < math.inf for a in self.shares):
            msg = "a proposal needs one positive share for each part, got "
            raise AnalysisError(msg + f"{self.shares} for {len(self.parts)} parts")
        total = sum(self.shares)
        object.__setattr__(self, "shares", tuple(a / total for a in self.shares))

    def sample(self, n: int, *, seed: int) -> Tensor:
        """Independent points (n, d), each from a part chosen by chance."""
        edges = torch.tensor(self.shares, dtype=torch.float64).cumsum(0)
        u = torch.from_numpy(uniforms(n, 1, seed=seed, label="proposal"))[:, 0].contiguous()
        which = torch.searchsorted(edges, u).clamp_max(len(self.parts) - 1)
        drawn = [
            part.sample(int((which == j).sum()), seed=derived(seed, f"part {j}"))
            for j, part in enumerate(self.parts)
        ]
        out = torch.empty(n, drawn[0].shape[1], dtype=torch.float64)
        for j, rows in enumerate(drawn):
            out[which == j] = rows.to(torch.float64)
        return out

    def logs(self, x: Tensor) -> Tensor:
        """``log g_j`` at points, (n, parts)."""
        return torch.stack([part.log_density(x) for part in self.parts], 1)

    def log_density(self, x: Tensor) -> Tensor:
        """``log g``, (n,)."""
        return _mixed(self.logs(x), self.shares)

    def controls(self, x: Tensor) -> Tensor:
        """``g_j/g - 1`` of all parts but the first, (n, parts - 1)."""
        logs = self.logs(x)
        return (logs - _mixed(logs, self.shares)[:, None]).exp()[:, 1:] - 1


def _mixed(logs: Tensor, shares: tuple[float, ...]) -> Tensor:
    return (logs + torch.tensor(shares, dtype=logs.dtype).log()).logsumexp(1)


def derived(seed: int, label: str) -> int:
    """A seed of its own for each label: the same seed twice would tie draws together."""
    return int(uniforms(1, 1, seed=seed, label=label)[0, 0] * 2.0**52)


def weighted(functions: Functions, target: Density, proposal: Density, x: Tensor) -> Tensor:
    """``phi_j f/g`` at points drawn from the proposal, (n, J).

    Raises
    ------
    ShapeError
        If the functions do not give (n, J).
    NonFiniteError
        If a value is not finite.
    """
    values = functions(x)
    if values.ndim != 2 or len(values) != len(x):
        msg = f"the functions must give ({len(x)}, J) on {len(x)} points, got "
        raise ShapeError(msg + f"{tuple(values.shape)}")
    ratio = (target.log_density(x) - proposal.log_density(x)).exp()
    out = values.to(torch.float64) * ratio[:, None]
    if not bool(out.isfinite().all()):
        bad = x[~out.isfinite().all(1)][0].tolist()
        msg = f"a function times the weight is not finite at {bad}"
        raise NonFiniteError(msg)
    return out


def expectations(
    functions: Functions,
    target: Density,
    proposal: Proposal,
    n: int,
    *,
    seed: int = 0,
    certainty: float = 0.999,
    within: float = math.inf,
) -> tuple[Estimate, ...]:
    """``E_f phi_j`` for all j from one sample of a proposal, with its parts as controls.

    Parameters
    ----------
    functions : callable
        phi, (n, d) to (n, J).
    target, proposal : Density, Proposal
        f and g; g must not depend on the sample that is drawn here.
    n, seed : int
        Points and their seed.
    certainty, within : float
        As in :func:`~fokker.analysis.fokker_planck.mean`.

    Raises
    ------
    TooFewSamplesError
        If n is too small for the controls or for the certainty.
    """
    x = proposal.sample(n, seed=seed)
    values = weighted(functions, target, proposal, x)
    return controlled(values, proposal.controls(x), certainty=certainty, within=within)
