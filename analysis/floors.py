"""Where rounding takes over: the same plan in three precisions.

The float64 floor is the distance of a float64 run from a run in extended precision (80-bit on
x86) with the same float64 coefficients; the float32 floor that of a float32 run from float64.
Both on Gaussian data, at 100 steps, root mean square over a batch, noise of stochastic plans
shared.
"""

from __future__ import annotations

import numpy as np
import torch

from ..solvers.grids import Grid, uniform_lam
from ..solvers.model import conversion
from ..solvers.noise import CellNoise
from ..solvers.plan import Eval, Noise, interpret
from ..solvers.registry import Sampler
from .paired import FlowProblem, rms, sample

STEPS = 100


def _grid(sampler: Sampler, problem: FlowProblem) -> Grid:
    """A hundred steps, or the next number that the sampler takes."""
    steps = STEPS + -STEPS % sampler.multiple
    return uniform_lam(problem.process, problem.lam_start, problem.lam_end).grid(steps)


def _extended(sampler: Sampler, problem: FlowProblem, x: np.ndarray) -> np.ndarray:
    """The plan on Gaussian data in extended precision."""
    law, long = problem.law, np.longdouble
    u, c2 = law.eigenvectors.numpy().astype(long), law.eigenvalues.numpy().astype(long)
    mean = law.mean.numpy().astype(long)
    grid = _grid(sampler, problem)
    noise = CellNoise(0)
    like = torch.from_numpy(x)

    def evaluate(_row: int, op: Eval, v: np.ndarray) -> np.ndarray:
        alpha, sigma = long(op.node.alpha), long(op.node.sigma)
        gain = alpha * c2 / (alpha**2 * c2 + sigma**2)
        data = mean + ((v - alpha * mean) @ u * gain) @ u.T
        a, b = conversion("data", op.prediction, op.node)
        return long(a) * v + long(b) * data

    def draw(_row: int, op: Noise) -> np.ndarray:
        return noise.draw(op, like).numpy().astype(long)

    plan = sampler(problem.process, grid)
    return interpret(plan, inputs={"x": x.astype(long)}, evaluate=evaluate, draw=draw)["x"]


def rounding_floors(sampler: Sampler, problem: FlowProblem) -> dict[str, float] | None:
    """``{"float64": ..., "float32": ...}``; None for samplers that are not plans."""
    if sampler.kind != "plan":
        return None
    grid = _grid(sampler, problem)
    x = problem.starts()
    model = problem.model(sampler.prediction)
    double = sample(sampler, model, problem.process, grid, x, noise=0)
    rounded = x.to(torch.float32)
    single = sample(sampler, model, problem.process, grid, rounded, noise=0)
    again = sample(sampler, model, problem.process, grid, rounded.to(torch.float64), noise=0)
    wide = _extended(sampler, problem, x.numpy()).astype(np.float64)
    return {
        "float64": rms(double - torch.from_numpy(wide)),
        "float32": rms(single.to(torch.float64) - again),
    }
