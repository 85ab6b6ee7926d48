"""Teleportation without data: the mean and covariance of what a network itself makes.

A network that generates needs no data set to be skipped through its noisiest levels: samples of
its own, made once and coarsely, have the mean and the covariance of its data, up to the error of
the network (which is what the sampler would follow anyway), of the sampler, and of counting,
``O(count^{-1/2})``. From then on every run starts later, at no evaluation
(:func:`~.gaussian_flow.teleport`).

How far the Gaussian flow may be followed is asked of the network too: up to the level where its
data prediction leaves that of the Gaussian by more than a tolerance, along that very flow
(:func:`gaussian_until`). At high noise the gap grows like the square of alpha/sigma (third
cumulants), so the tolerance hardly matters.

Source: Wang & Vastola 2024, arXiv:2412.09726, sec. 5, with statistics of the data.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import InvalidPlanError
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
        For fewer than two samples.
    """
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
    tolerance: float = 0.05,
    count: int = 32,
    seed: int = 1,
) -> float:
    """The lam of the last node up to which the network is as good as Gaussian.

    Parameters
    ----------
    network, statistics
        The network and its statistics.
    grid : Grid
        Its nodes are looked at, from the noisiest on, but for the last one.
    labels, guidance
        As it is going to be sampled, ``labels`` of length ``count``.
    tolerance : float
        Largest root mean square gap of the two data predictions that is accepted, in standard
        deviations of the data.
    count, seed : int
        Starts on which it is asked: one evaluation of each for every node up to the answer.

    Raises
    ------
    InvalidPlanError
        For a tolerance that is not positive.
    """
    if not tolerance > 0.0:
        msg = f"the tolerance must be positive, got {tolerance}"
        raise InvalidPlanError(msg)
    model = network.model(labels, prediction="data", guidance=guidance)
    start, d = fresh_starts(network, count, seed), len(statistics.mean)
    outside = statistics.rest * (d - len(statistics.variances))
    unit = ((float(statistics.variances.sum()) + outside) / d) ** 0.5
    found = grid[0]
    for node in grid.nodes[:-1]:
        x = teleport(start, statistics, grid[0], node)
        gap = model(x, node.t) - gaussian_denoiser(x, statistics, node)
        if float(gap.square().mean().sqrt()) > tolerance * unit:
            break
        found = node
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
