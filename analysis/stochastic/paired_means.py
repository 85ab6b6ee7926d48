"""Weak errors of samplers with a long memory: paths, with a control variate that is known exactly.

    E f(X) - E f(x_end)  =  E [f(X) - f(Y)]  +  (E f(Y) - E f(x_end)),

Y being SDE-DPM-Solver++(2M) on the same grid, start and path: its own weak error, the second term,
is quadrature (see :mod:`.weak`), and only the difference of two samplers that are close path by
path is left to chance: to paths and their mirror images, from starts of equal weight.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache

import numpy as np
import torch
from torch import Tensor

from ...solvers.errors import AnalysisError
from ...solvers.grids import GridMap
from ...solvers.model import Model
from ...solvers.ops import Noise
from ...solvers.plan import Plan
from ...solvers.process import Node, Process
from ...solvers.registry import Sampler, get
from ...solvers.run import run
from ..paired import FlowProblem, sample
from ..strong import noise_span
from .chains import state_slot
from .path import OnePath
from .weak import chain, density, size_for, tests, weak_gap

PATHS, BATCHES = 8192, 4
"""Paths of one batch, each with its mirror image; and number of batches."""

BAR = 5.0
"""Standard errors in a bar: a false alarm in two million."""


class _Noises:
    """The path for noises of a path, fresh normals for those that belong to none."""

    def __init__(self, path: OnePath, seed: int) -> None:
        self.path, self.sample_ids = path, path.sample_ids
        self.rng = np.random.default_rng(seed)

    def draw(self, cell: Noise, like: Tensor) -> Tensor:
        if cell.clock == "churn":
            return torch.from_numpy(self.rng.standard_normal(tuple(like.shape))).to(like.dtype)
        return self.path.draw(cell, like)


def _edges(plan: Plan | None, process: Process, lams: list[float]) -> list[float]:
    """The grid and all ends of the plan's noise cells, nearly equal ones once."""
    ends = list(lams)
    for op in plan.ops if plan else ():
        if isinstance(op, Noise) and op.clock != "churn":
            ends.extend(noise_span(op, process))
    out: list[float] = []
    for end in sorted(ends):
        if not out or end - out[-1] > 1e-9:
            out.append(end)
    return out


def control(eta: float) -> Sampler:
    """The control variate for the SDE with this eta."""
    return replace(get("sde_dpmpp_2m"), options={"eta": eta}, sde_eta=eta)


@cache
def _control_gap(problem: FlowProblem, maps: GridMap, steps: int, eta: float) -> tuple:
    found = chain(control(eta), problem, maps, steps, warm=False)
    size = size_for(found)
    return weak_gap(found, problem, size, size.coarser())


def history(
    model: Model, x: Tensor, start: Node, nodes: tuple[Node, ...], seed: int
) -> dict[str, Tensor]:
    """Model outputs at earlier nodes of the reverse SDE with eta = 1, given its state now."""
    rng, newer, out = np.random.default_rng(seed), start, {}
    for j, node in enumerate(nodes, 1):
        std = node.sigma * math.sqrt(-math.expm1(2 * (node.lam - newer.lam)))
        x = node.alpha / newer.alpha * x + std * torch.from_numpy(rng.standard_normal(x.shape))
        newer, out[f"m-{j}"] = node, model(x, node.t)
    return out


def weak_error_on_paths(
    sampler: Sampler,
    problem: FlowProblem,
    maps: GridMap,
    steps: int,
    *,
    warm: bool = False,
) -> tuple[float, float]:
    """Weak error of any stochastic sampler with a declared SDE, and its bar.

    Raises
    ------
    AnalysisError
        Without ``sde_eta > 0``, or for a warm start of another SDE than eta = 1.
    """
    eta = sampler.sde_eta or 0.0
    warm = warm and sampler.kind == "plan" and sampler.history > 0
    if not eta > 0 or (warm and eta != 1.0):
        msg = f"{sampler.name}: paths need an SDE, and a warm start eta = 1, got eta = {eta}"
        raise AnalysisError(msg)
    process, grid, end = problem.process, maps.grid(steps), problem.ends()[1]
    model, other = problem.model(sampler.prediction), control(eta)
    nodes = maps.history(steps, sampler.history) if warm else ()
    extra = {"history": nodes} if warm else {}
    plan = sampler(process, grid, **extra) if sampler.kind == "plan" else None
    edges = _edges(plan, process, [node.lam for node in grid.nodes])
    gaps = []
    for b in range(BATCHES):
        x, path = _antithetic(problem, edges, b)
        noise = _Noises(path, b)
        if plan is None:
            out = sample(sampler, model, process, grid, x, noise=noise)
        else:
            past = history(model, x, grid[0], nodes, 1000 + b)
            out = run(plan, model, x, noise=noise, history=past).x
        pair = sample(other, problem.model(other.prediction), process, grid, x, noise=noise)
        ends = [np.stack(tests(problem.law, end, v.numpy()[:, 0]), 1) for v in (out, pair)]
        gap = ends[0] - ends[1]
        gaps.append(0.5 * (gap[:PATHS] + gap[PATHS:]))
    table = np.concatenate(gaps)
    known, bar = _control_gap(problem, maps, steps, eta)
    error = float(np.linalg.norm(table.mean(0) + known))
    spread = float(np.linalg.norm(table.std(0))) / math.sqrt(len(table))
    return error, BAR * spread + bar


def _antithetic(problem: FlowProblem, edges: list[float], seed: int) -> tuple[Tensor, OnePath]:
    """Starts at equal steps of probability, each with a path and its mirror image."""
    slot = state_slot(problem.law, problem.ends()[0])
    grid = np.linspace(slot.low, slot.high, 20_001)
    below = np.cumsum(density(problem.law, problem.ends()[0], grid))
    places = (np.arange(PATHS) + 0.5) / PATHS
    half = torch.from_numpy(np.interp(places, (below - below[0] / 2) / below[-1], grid))[:, None]
    block = np.random.default_rng(seed).standard_normal((2, len(edges) - 1, PATHS, 1))
    both = np.concatenate([block, -block], 2)
    x = torch.cat([half, half])
    return x, OnePath(edges, tuple(x.shape), both, problem.process)
