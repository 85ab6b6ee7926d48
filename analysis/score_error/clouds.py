r"""The sources of the error of any sampler with any model, between clouds of samples.

The chain of laws of ``split.py``, each a cloud of n samples of ``x/alpha`` at the last level::

    truth -> the sampler on a fine grid with the exact model from the exact start
          -> the same from ``sigma eps``, as is used       (initialisation)
          -> the same with the model in question          (model)
          -> the sampler on its own grid                  (discretisation)

A fine grid has every step cut into ``refine`` equal ones of lam, so that nothing of the sampler
need be known: stochastic and foreign samplers and networks are taken too. What the fine grid still
misses is the first link, ``reference``, and not hidden in another; an adaptive sampler, which
chooses its own steps, has all of its error there. All runs share their starts and the seed of
their noise.

Distances are sliced W2 over one set of directions, a metric of clouds: ``total`` is never more
than the sum. Two clouds of one law are at the distance ``floor``, about ``n^{-1/2}``; a part that
is not larger is not resolved.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ...solvers.errors import AnalysisError
from ...solvers.grids import Grid
from ...solvers.model import Model
from ...solvers.networks.network import Network
from ...solvers.process import Process
from ...solvers.registry import Sampler
from ...toy_models.draws import normals
from ...toy_models.law import exact_model
from ..paired import sample
from ..two_samples import sliced_w2


class CloudSplit(NamedTuple):
    """Sliced W2 of neighbours in the chain; ``total`` is at most the sum of the four parts."""

    total: float
    reference: float
    initialisation: float
    model: float
    discretisation: float
    floor: float

    def resolved(self, name: str) -> bool:
        """Whether a part is more than twice what two clouds of one law are apart."""
        return getattr(self, name) > 2 * self.floor


def cut(process: Process, grid: Grid, pieces: int) -> Grid:
    """The grid with every step cut into equal pieces of lam; its own nodes stay as they are.

    A step from alpha = 0 or to sigma = 0, where lam is infinite, is cut into equal pieces of time.
    """
    nodes = [grid[0]]
    for s, t in grid.steps():
        parts = [k / pieces for k in range(1, pieces)]
        if math.isfinite(t.lam - s.lam):
            nodes += [process.node_at_lam(s.lam + p * (t.lam - s.lam)) for p in parts]
        else:
            nodes += [process.node(s.t + p * (t.t - s.t)) for p in parts]
        nodes.append(t)
    return Grid(tuple(nodes))


def cloud_sources(
    sampler: Sampler,
    law: Any,
    model: Any,
    process: Process,
    grid: Grid,
    *,
    n: int = 1000,
    refine: int = 8,
    labels: Sequence[int] | None = None,
    seed: int = 0,
    **options: Any,
) -> CloudSplit:
    """Errors of any sampler by cause, in units of ``x/alpha``.

    Parameters
    ----------
    sampler : Sampler
        Of any kind.
    law : Law
        The truth.
    model : Network, Law or callable
        The model in question; a callable ``model(x, t)`` gives the sampler's prediction.
    process, grid :
        Where it is sampled; the last level needs sigma > 0.
    n : int
        Samples of a cloud, at least 32.
    refine : int
        Pieces of a step on the fine grid, at least 2.
    labels : sequence of int, optional
        Classes for a network, n of them.
    seed : int
        Of samples, starts, noise and directions.
    options :
        Of the sampler.

    Raises
    ------
    AnalysisError
        For a grid to sigma = 0, too few samples or pieces, a network of another process or
        dimension.
    """
    if grid[-1].sigma == 0:
        msg = (
            "the last level of the grid needs sigma > 0: x/alpha of the exact law is a smooth one"
        )
        raise AnalysisError(msg)
    if n < 32 or refine < 2:
        msg = f"a split needs n >= 32 samples and refine >= 2 pieces, got {n} and {refine}"
        raise AnalysisError(msg)
    first, shape = grid[0], model.shape if isinstance(model, Network) else (law.dim,)
    if isinstance(model, Network) and model.process != process:
        msg = f"the network {model.name!r} is one of {model.process!r}, not of {process!r}"
        raise AnalysisError(msg)
    if math.prod(shape) != law.dim:
        msg = f"a law in {law.dim} dimensions does not fill samples of shape {shape}"
        raise AnalysisError(msg)
    asked = _model(model, process, sampler, labels)
    exact, fine = exact_model(law, process, sampler.prediction), cut(process, grid, refine)
    eps = torch.from_numpy(normals(n, law.dim, seed=seed, label="clouds")).to(law.dtype)
    right, used = (
        first.alpha * law.sample(n, seed=seed) + first.sigma * eps,
        first.sigma * eps,
    )

    def made(of: Model, on: Grid, start: Tensor) -> Tensor:
        noise = {"noise": seed} if sampler.stochastic else {}
        x = sample(sampler, of, process, on, start.reshape(n, *shape), **noise, **options)
        return x.reshape(n, -1).to(torch.float64) / on[-1].alpha

    chain = [
        _truth(law, grid, n, seed),
        made(exact, fine, right),
        made(exact, fine, used),
        made(asked, fine, used),
        made(asked, grid, used),
    ]
    parts = [sliced_w2(a, b, seed=seed) for a, b in pairwise(chain)]
    ends = sliced_w2(chain[0], chain[-1], seed=seed)
    floor = sliced_w2(chain[0], _truth(law, grid, n, seed + 1), seed=seed)
    return CloudSplit(*map(float, (ends, *parts, floor)))


def _truth(law: Any, grid: Grid, n: int, seed: int) -> Tensor:
    """Samples of ``x/alpha`` of the exact law at the last level."""
    last = grid[-1]
    eps = torch.from_numpy(normals(n, law.dim, seed=seed, label="truth")).to(law.dtype)
    return (law.sample(n, seed=seed, first=n) + last.sigma / last.alpha * eps).to(torch.float64)


def _model(model: Any, process: Process, sampler: Sampler, labels: Any) -> Model:
    if isinstance(model, Network):
        return model.model(labels, prediction=sampler.prediction)
    if hasattr(model, "denoiser"):
        return exact_model(model, process, sampler.prediction)
    return model
