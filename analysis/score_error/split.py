r"""The four sources of a sampler's error: truncation, initialisation, the model, and the steps.

Along the chain of laws

    data -> exact law at the last level -> exact process from the start really used
         -> the same process with the wrong model -> the sampler with the wrong model

the neighbours differ by one cause each. :func:`four_sources` has them exactly on Gaussians with a
model that believes in another Gaussian in the same axes; :func:`paired_sources` has them sample by
sample for the ODE and any law. Without an error of the model this is ``error_split`` of
``analysis/law.py``; within a budget of evaluations see ``analysis/budget.py``.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import torch

from ...solvers.errors import AnalysisError
from ...solvers.grids import Grid
from ...solvers.plan import Plan
from ...solvers.process import Process
from ...solvers.registry import Sampler
from ...toy_models.draws import normals
from ...toy_models.law import exact_model
from ...toy_models.reference import reference_flow
from ..distances import diagonal_w2
from ..gaussian_path import Normal, marginal
from ..law import end_node, exact_law, output_law, start_node
from ..paired import sample


class FourParts(NamedTuple):
    """W2 of data and output, and of the neighbours in the chain; ``total`` is at most their sum.

    Lengths are those of x at the last level, except that ``truncation`` compares data with x.
    """

    total: float
    truncation: float
    initialisation: float
    model: float
    discretisation: float


def four_sources(
    plan: Plan,
    data: Normal,
    believed: Normal,
    start: Normal | None = None,
    *,
    eta: float = 0.0,
) -> FourParts:
    """Exact W2 error of a plan whose model believes in another Gaussian, by cause.

    Parameters
    ----------
    plan : Plan
        The sampler on its grid.
    data, believed : Normal
        The truth and what the model takes for it, in one eigenbasis (``gaussian_path``).
    start : Normal, optional
        Law of the input; the exact marginal by default, ``prior(data, sigma)`` with the sigma of
        the first node for what is really used.
    eta : float
        tau^2 of the process that the plan approximates.

    Raises
    ------
    AnalysisError
        If the laws have different dimensions.
    """
    if start is not None and start.var.shape != data.var.shape:
        msg = f"start and truth need one shape, got {start.var.shape} and {data.var.shape}"
        raise AnalysisError(msg)
    if data.var.shape != believed.var.shape:
        msg = f"truth and belief need one shape, got {data.var.shape} and {believed.var.shape}"
        raise AnalysisError(msg)
    begin, end = start_node(plan), end_node(plan)
    stopped = marginal(data, end)
    first = marginal(data, begin) if start is None else start
    moved = stopped if start is None else exact_law(data, first, begin, end, eta)
    wrong = exact_law(believed, first, begin, end, eta)
    made = output_law(plan, believed, first, history_eta=eta)
    chain = [data, stopped, moved, wrong, Normal(made.mean, made.var)]
    parts = [diagonal_w2(*a, *b) for a, b in pairwise(chain)]
    return FourParts(diagonal_w2(*chain[0], *chain[-1]), *parts)


class PairedSplit(NamedTuple):
    """Root mean squares ``(E|.|^2)^{1/2}`` of differences of paired samples; bounds of W2.

    ``total`` is at most the sum of the others, which differ by one cause each.
    """

    total: float
    initialisation: float
    model: float
    discretisation: float


def paired_sources(
    sampler: Sampler,
    law: Any,
    wrong: Any,
    process: Process,
    grid: Grid,
    *,
    n: int = 64,
    seed: int = 0,
) -> PairedSplit:
    """Errors of an ODE sampler with a wrong model and start, by cause, in units of ``x/alpha``.

    The truth of a sample is the exact flow from ``alpha x_0 + sigma eps``; the sampler starts from
    ``sigma eps`` with the same eps, as networks are sampled. All four are distances of couplings,
    so each is at least the W2 of the laws that it couples.

    Parameters
    ----------
    sampler : Sampler
        Deterministic.
    law, wrong : Law, Denoiser
        Truth and model, for instance ``Perturbed(law, ...)``.
    process, grid :
        Where it is sampled; the last level needs sigma > 0.
    n, seed : int
        Number of pairs and their seed.

    Raises
    ------
    AnalysisError
        For a stochastic sampler: its samples have no partner on the flow.
    """
    if sampler.stochastic:
        msg = f"{sampler.name} is stochastic: no sample of it has a partner on the flow"
        raise AnalysisError(msg)
    first, last = grid[0], grid[-1]
    ends = (first.alpha, first.sigma), (last.alpha, last.sigma)
    eps = torch.from_numpy(normals(n, law.dim, seed=seed, label="pairs")).to(law.dtype)
    right = first.alpha * law.sample(n, seed=seed) + first.sigma * eps
    used = first.sigma * eps
    chain = [
        reference_flow(law, right, *ends).x,
        reference_flow(law, used, *ends).x,
        reference_flow(wrong, used, *ends).x,
        sample(sampler, exact_model(wrong, process, sampler.prediction), process, grid, used),
    ]

    def apart(i: int, j: int) -> float:
        gap = (chain[i] - chain[j]).to(torch.float64) / last.alpha
        return float(gap.square().sum(1).mean().sqrt())

    return PairedSplit(apart(0, 3), apart(0, 1), apart(1, 2), apart(2, 3))
