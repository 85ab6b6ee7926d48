"""The same question on a mixture of the network's classes: an exact network, run by all.

Exact laws of plans exist for Gaussians only. A mixture is nonlinear, so here the candidates run,
on few starts, against a fine solution of their own. Its components are the classes of the ends,
each with its mean; the covariance, of low rank and the same for all, is that of the ends about
these means (shrunk as Ledoit & Wolf 2004; what is beyond the rank is spread evenly, Tipping &
Bishop 1999). It is asked without a class, so that its modes part on the way; with one it would be
a Gaussian again, and its error a closed form.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...solvers.networks.network import Network
from ...toy_models.lowrank import LowRankMixture
from ...toy_models.networks import exact_network
from ..evaluation.paired import By
from .candidates import Candidate
from .race import Runner, advance
from .reference import reference
from .starts import Starts

RANK = 16
"""Directions of the covariance that are kept."""
COUNT = 16
"""Starts; a rank correlation over many candidates needs no more."""


class OnMixture(NamedTuple):
    """Errors on the mixture by the name of the candidate, in the kind that ranks; or why none.

    ``reference`` is the error of the fine solution there, ``spent`` counts evaluations.
    """

    errors: dict[str, float]
    components: int
    reference: float
    spent: int
    why_not: str = ""


def class_mixture(ends: Tensor, labels: Sequence[int]) -> LowRankMixture | str:
    """The mixture of the ends (n, *D) with their classes, or why there is none."""
    from sklearn.covariance import ledoit_wolf_shrinkage

    names, which, counts = np.unique(np.asarray(labels), return_inverse=True, return_counts=True)
    rows = ends.detach().cpu().double().flatten(1).numpy()
    n, d = rows.shape
    free = n - len(names)
    if len(names) < 2 or free < 4:
        return f"a mixture needs two classes and four starts more, got {len(names)} and {n}"
    means = np.stack([rows[which == k].mean(0) for k in range(len(names))])
    about = rows - means[which]
    spread = float((about**2).sum() / free / d)
    if not spread > 0:
        return "the ends of each class are all equal"
    shrink = float(ledoit_wolf_shrinkage(about, assume_centered=True))
    _, values, basis = np.linalg.svd(about, full_matrices=False)
    r = min(RANK, free, d - 1)
    kept = (1 - shrink) * values[:r] ** 2 / free + shrink * spread
    rest = max(0.0, (d * spread - kept.sum()) / (d - r))
    factor = torch.zeros(d, max(r, 1), dtype=torch.float64)  # on the line all is spread evenly
    factor[:, :r] = torch.from_numpy(basis[:r].T * np.sqrt((kept - rest).clip(0)))
    return LowRankMixture(
        torch.from_numpy(counts / n), torch.from_numpy(means),
        factor.expand(len(names), *factor.shape).contiguous(), rest**0.5,
    )  # fmt: skip


def on_mixture(
    chosen: Sequence[Candidate],
    starts: Starts,
    ends: Tensor,
    *,
    by: By,
    steps: int,
    to_zero: bool,
) -> OnMixture:
    """Run candidates on the mixture of these ends, from the first of these starts.

    Parameters
    ----------
    chosen : sequence of Candidate
        Deterministic ones.
    starts : Starts
        Of the network; the mixture begins at the same states, on the CPU in float64.
    ends : Tensor
        Of the fine solution, (n, *shape).
    by, steps, to_zero
        As in :class:`.result.Settings`.
    """
    law: LowRankMixture | str = "a mixture needs classes, which this network does not have"
    if starts.labels is not None:
        law = class_mixture(ends, starts.labels)
    if isinstance(law, str):
        return OnMixture({}, 0, 0.0, 0, law)
    own = starts.network
    network: Network = exact_network(
        f"mixture of {own.name}", law, own.process, own.lam_range, shape=own.shape
    )
    few = Starts(network, min(COUNT, starts.count), starts.seed)
    truth = reference(few, steps=steps, to_zero=to_zero)
    errors = {}
    for candidate in chosen:
        runner = Runner(candidate, np.empty(0))
        advance(runner, few, truth, 0, few.count)
        if not runner.failure:
            errors[candidate.name] = float(np.exp(runner.size(by, truth.error)))
    return OnMixture(errors, len(law.weights), truth.error, few.spent)
