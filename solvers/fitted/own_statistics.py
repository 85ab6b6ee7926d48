"""Teleportation without data: the mean and covariance of what a network itself makes.

A network that generates needs no data set to be skipped through its noisiest levels: samples of
its own, made once and coarsely, have the mean and the covariance of its data, up to the error of
the network (which is what the sampler would follow anyway), of the sampler, and of counting,
``O(count^{-1/2})``. From then on every run starts later, at no evaluation
(:func:`~.gaussian_flow.teleport`).

How far the Gaussian flow may be followed is asked of the network too (:func:`gaussian_until`).
With ``y = x/sigma``, ``dy = nu D dlam``, a gap g between its data prediction and that of the
Gaussian, along that very flow, moves y by ``nu g dlam``, and the flow carries a push of y from nu
to the data as a factor ``c/sqrt(1 + c^2 nu^2)``, c the standard deviation of the data. The sum of
these is the change of the sample that skipping makes, to first order and if all gaps agree. At
high noise g is that of third cumulants, of order nu^2, and the sum grows like the cube of nu.

Source: Wang & Vastola 2024, arXiv:2412.09726, sec. 5, with statistics of the data.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import InvalidPlanError, NonFiniteError, ShapeError
from ..grids import Grid
from ..networks.network import Network
from ..registry import get
from ..run import run
from .gaussian_flow import GaussianStatistics, gaussian_denoiser, teleport


def fresh_starts(network: Network, count: int, seed: int) -> Tensor:
    """States ``sigma eps`` at the noisiest level of a network, (count, *shape), float32."""
    generator = torch.Generator().manual_seed(seed)
    eps = torch.randn(count, *network.shape, generator=generator)
    return network.process.node_at_lam(network.lam_range[0]).sigma * eps


def own_statistics(
    network: Network,
    *,
    labels: Sequence[int] | Tensor | None = None,
    guidance: float = 1.0,
    count: int = 512,
    steps: int = 12,
    sampler: str = "dpmpp_2m",
    rank: int | None = None,
    batch: int = 256,
    seed: int = 0,
) -> GaussianStatistics:
    """Mean and covariance of samples of a network, the covariance by its leading directions.

    Parameters
    ----------
    network : Network
        The network, trained or exact; it runs on the CPU here.
    labels : sequence of int, optional
        One class for each of the ``count`` samples; without a class if not given.
    guidance : float
        Weight of guidance; a guided model has statistics of its own.
    count : int
        Samples. They span ``count - 1`` directions; with ``rank`` fewer are kept, and all others
        get their mean variance, as images of more pixels than samples need.
    steps, sampler
        How the samples are made: a deterministic plan by name, a few steps.
    rank : int, optional
        Directions that are kept.
    batch : int
        Samples made at once.
    seed : int
        Of the starts.

    Raises
    ------
    NetworkError
        For labels that do not fit.
    ShapeError
        For fewer than two samples, or none at once.
    """
    if count < 2 or batch < 1:
        msg = f"statistics need two samples and a batch of one, got {count} and {batch}"
        raise ShapeError(msg)
    entry = get(sampler)
    plan = entry(network.process, network.grid(steps))
    starts = fresh_starts(network, count, seed)
    made = []
    for begin in range(0, count, batch):
        part = slice(begin, begin + batch)
        model = network.model(
            None if labels is None else labels[part],
            prediction=entry.prediction,
            guidance=guidance,
        )
        made.append(run(plan, model, starts[part]).x)
    return GaussianStatistics.from_samples(torch.cat(made), rank)


def gaussian_until(
    network: Network,
    statistics: GaussianStatistics,
    grid: Grid,
    *,
    labels: Sequence[int] | Tensor | None = None,
    guidance: float = 1.0,
    tolerance: float = 0.02,
    count: int = 32,
    seed: int = 1,
) -> float:
    """The lam of the last node to which the Gaussian flow may be followed.

    Parameters
    ----------
    network, statistics
        The network and its statistics.
    grid : Grid
        Its nodes are looked at, from the noisiest on, but for the last one.
    labels, guidance
        As it is going to be sampled, ``labels`` of length ``count``.
    tolerance : float
        Change of the sample that is accepted, root mean square, in standard deviations of the
        data; what is summed up is in the head of this file.
    count, seed : int
        Starts on which it is asked: one evaluation of each for every node up to the answer.

    Raises
    ------
    InvalidPlanError
        For a tolerance that is not positive.
    NonFiniteError
        If the network gives a number that is not finite there.
    """
    if not tolerance > 0.0:
        msg = f"the tolerance must be positive, got {tolerance}"
        raise InvalidPlanError(msg)
    model = network.model(labels, prediction="data", guidance=guidance)
    start, d = fresh_starts(network, count, seed), len(statistics.mean)
    outside = statistics.rest * (d - len(statistics.variances))
    c = math.sqrt((float(statistics.variances.sum()) + outside) / d)
    change, found = 0.0, grid[0]
    for node, after in grid.part(0, len(grid) - 1).steps():
        x = teleport(start, statistics, grid[0], node)
        with torch.no_grad():
            gap = model(x, node.t) - gaussian_denoiser(x, statistics, node)
        if not bool(gap.isfinite().all()):
            msg = f"the network's data prediction is not finite at lam = {node.lam:.4g}"
            raise NonFiniteError(msg)
        push = node.nu * float(gap.square().mean().sqrt()) * (after.lam - node.lam)
        change += push * c / math.hypot(1.0, c * node.nu)
        if change > tolerance * c:
            break
        found = after
    return found.lam


def teleported(
    x: Tensor, statistics: GaussianStatistics, grid: Grid, lam: float
) -> tuple[Tensor, Grid]:
    """The start carried to the last node at or below ``lam``, and the rest of the grid from there.

    Examples
    --------
    >>> from fokker.solvers.grids import uniform_lam
    >>> from fokker.solvers.schedules import VPLinear
    >>> grid = uniform_lam(VPLinear(), -4.0, 4.0).grid(8)
    >>> flat = GaussianStatistics(torch.zeros(2).double(), torch.eye(2).double(), torch.ones(2))
    >>> _, rest = teleported(torch.ones(1, 2), flat, grid, -1.5)
    >>> round(rest[0].lam, 6), len(rest)
    (-2.0, 6)
    """
    skipped = sum(node.lam <= lam for node in grid.nodes[1:-1])
    return teleport(x, statistics, grid[0], grid[skipped]), grid.part(skipped, len(grid))
