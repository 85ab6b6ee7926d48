"""The strong order on a nonlinear law: one path, one reference solution for all samplers.

In ``y = x e^{eta lam}/sigma`` the eta-SDE is ``dy = m du + dW_v``, ``u = e^{(1+eta) lam}``,
``v = e^{2 eta lam}``: noise that is additive and constant. The reference takes one step of SRA1
(Roessler 2010, strong order 1.5) on each finest cell, with the increment and the area of the path;
samplers take 8 to 128 steps on the same path. The mean of the squared difference over samples is
the error; its order has an interval by the jackknife.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from torch import Tensor

from ...solvers.errors import AnalysisError
from ...solvers.grids import Grid, uniform_lam
from ...solvers.model import Model
from ...solvers.ops import Noise
from ...solvers.process import Node, Process
from ...solvers.registry import Sampler
from ..paired import FlowProblem, sample
from .barred import Barred, from_squares
from .path import OnePath

FINEST = 1536
"""Cells of the path and steps of the reference; with a factor 3 for stages at thirds."""


def reference(
    model: Model, process: Process, grid: Grid, x: Tensor, path: OnePath, eta: float
) -> Tensor:
    """The eta-SDE on a path, by one SRA1 step a cell; ``model`` predicts the data."""
    clock = f"snr^{eta!r}"

    def scale(node: Node) -> float:
        return math.exp(eta * node.lam - node.log_sigma)

    def drift(y: Tensor, node: Node) -> Tensor:
        """``m du/dv``."""
        slope = (1 + eta) / (2 * eta) * math.exp((1 - eta) * node.lam)
        return slope * model(y / scale(node), node.t)

    y = x * scale(grid[0])
    for s, t in grid.steps():
        v0, v1 = math.exp(2 * eta * s.lam), math.exp(2 * eta * t.lam)
        dv = v1 - v0
        kick = path.draw(Noise(clock, s.lam, t.lam, "W"), x) * math.sqrt(dv)
        area = path.draw(Noise(clock, s.lam, t.lam, "H"), x) * math.sqrt(dv / 12)
        inner = process.node_at_lam(math.log(v0 + 0.75 * dv) / (2 * eta))
        first = drift(y, s)
        second = drift(y + 0.75 * dv * first + 1.5 * (0.5 * kick + area), inner)
        y = y + dv * (first + 2 * second) / 3 + kick
    return y / scale(grid[len(grid)])


@cache
def _path(problem: FlowProblem, finest: int) -> OnePath:
    maps = uniform_lam(problem.process, problem.lam_start, problem.lam_end)
    lams = [node.lam for node in maps.grid(finest).nodes]
    return OnePath(lams, tuple(problem.starts().shape), problem.seed + 11, problem.process)


@cache
def _reference(problem: FlowProblem, finest: int, eta: float) -> Tensor:
    maps = uniform_lam(problem.process, problem.lam_start, problem.lam_end)
    path = _path(problem, finest)
    fine = OnePath.__new__(OnePath)
    fine.__dict__.update(path.__dict__, _drawn={})  # its cells are not worth keeping
    model, grid = problem.model("data"), maps.grid(finest)
    return reference(model, problem.process, grid, problem.starts(), fine, eta)


def strong_squares(
    sampler: Sampler, problem: FlowProblem, counts: list[int], finest: int = FINEST
) -> np.ndarray:
    """Squared error of each path on grids uniform in lam: (counts, paths).

    Raises
    ------
    AnalysisError
        For a sampler without ``sde_eta > 0``, or noises that are no unions of the path's cells.
    """
    if not sampler.sde_eta:
        msg = f"{sampler.name} declares no SDE, so it has no strong error"
        raise AnalysisError(msg)
    truth, path = _reference(problem, finest, sampler.sde_eta), _path(problem, finest)
    maps = uniform_lam(problem.process, problem.lam_start, problem.lam_end)
    model, x = problem.model(sampler.prediction), problem.starts()
    out = []
    for n in counts:
        end = sample(sampler, model, problem.process, maps.grid(n), x, noise=path)
        out.append((end - truth).square().flatten(1).mean(1).numpy())
    return np.stack(out)


def strong_order(
    sampler: Sampler, problem: FlowProblem, *, levels: int = 5, finest: int = FINEST
) -> Barred:
    """Observed strong order of a stochastic sampler on a nonlinear law."""
    counts = [8 * sampler.multiple * 2**k for k in range(levels)]
    return from_squares(counts, strong_squares(sampler, problem, counts, finest))
