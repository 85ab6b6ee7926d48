"""The ratios of DC-Solver: fitted to one run, and a surface through many such fits.

A fit belongs to the starts it saw. It is worth something if it gains on others, so few starts are
refused, and ``RatioSurface`` (cascade polynomial regression) answers only inside what it was
fitted to. Grids uniform in time, as published, give ratios that depend smoothly on the number of
steps and on guidance; on grids uniform in lam the last ratios jump, and no surface carries over.

Source: Zhao, Wang, Zhou & Lu 2024, arXiv:2409.03755, sec. 3.2 and 3.3.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

from ..asking import asked
from ..errors import InvalidPlanError
from ..grids import Grid, grid_from_lams
from ..model import Model
from ..process import Array, Process
from ..run import run
from ..samplers.multistep import multistep
from .dc_solver import CACHE, dc_solver

FEWEST = 256
"""Fewest starts to fit on: with 16 the ratios of 8 steps fit those 16 and nothing else."""
BOUNDS = (0.0, 2.0)


def reference_states(
    model: Model, process: Process, grid: Grid, starts: Tensor, parts: int = 32
) -> list[Tensor]:
    """The flow at the nodes of the grid: ``parts`` steps of exponential Adams 3 in each cell."""
    nodes = grid.nodes[:-1] if grid.to_zero else grid.nodes
    lams = [nodes[0].lam]
    for s, t in pairwise(nodes):
        lams += [s.lam + (t.lam - s.lam) * k / parts for k in range(1, parts)] + [t.lam]
    fine = grid_from_lams(process, lams)
    plan = multistep(process, fine, order=3, start="rk")
    saved = run(plan, model, starts, save_at=range(0, len(lams), parts)).saved
    states = [saved[k] for k in range(0, len(lams), parts)]
    if not grid.to_zero:
        return states
    with torch.no_grad():
        last = asked(model, states[-1], nodes[-1].t)
    return [*states, grid[-1].alpha * last]


def fit_ratios(
    model: Model,
    process: Process,
    grid: Grid,
    starts: Tensor,
    *,
    order: int = 2,
    sweeps: int = 1,
    bounds: tuple[float, float] = BOUNDS,
    fewest: int = FEWEST,
    **options: Any,
) -> tuple[float, ...]:
    """Ratios step by step, each against the flow at the end of its own step; then together.

    Greedy first, as published: ratio i minimises the mean square distance to the flow after step
    i, the earlier ratios being what they are. Then ``sweeps`` rounds of coordinate search on the
    distance at the end. A ratio that gains nothing on the starts stays 1.

    Raises
    ------
    InvalidPlanError
        For fewer than ``fewest`` (256) starts: a fit to a few does not carry over to others; and
        for bounds that are none.
    """
    if len(starts) < fewest:
        msg = f"ratios need at least {fewest} starts to fit on, got {len(starts)}"
        raise InvalidPlanError(msg)
    if not -math.inf < bounds[0] < bounds[1] < math.inf:
        msg = f"ratios need finite bounds low < high, got {bounds}"
        raise InvalidPlanError(msg)
    truth = reference_states(model, process, grid, starts)
    build = partial(dc_solver, process, order=order, **options)

    def loss(ratios: Sequence[float], steps: int) -> float:
        last = steps == len(grid)
        plan = build(grid.part(0, steps), ratios=ratios[:steps], correct_last=not last)
        return float((run(plan, model, starts).x - truth[steps]).square().mean())

    ratios = [1.0] * len(grid)
    rounds = [(i, i + 1) for i in range(CACHE - 1, len(grid))]
    rounds += sweeps * [(i, len(grid)) for i in range(CACHE - 1, len(grid))]
    for i, steps in rounds:
        ratios[i] = _best(partial(loss, steps=steps), ratios, i, bounds)
    return tuple(ratios)


def _best(
    loss: Callable[[Sequence[float]], float],
    ratios: list[float],
    i: int,
    bounds: tuple[float, float],
) -> float:
    def at(ratio: float) -> float:
        return loss([*ratios[:i], float(ratio), *ratios[i + 1 :]])

    found: Any = minimize_scalar(at, bounds=bounds, method="bounded", options={"xatol": 3e-3})
    return min((float(found.x), ratios[i], 1.0), key=at)


@dataclass(frozen=True, eq=False)
class RatioSurface:
    """Ratios as a polynomial of place in the run, guidance scale and number of steps (CPR).

    ``r(i, N, w) = sum_{abc} k_abc (i/N)^a (w/4)^b (6/N)^c``, by least squares over fitted ratios,
    all coefficients at once (in the paper one polynomial after another).
    Ratios of steps before the third are 1. Inside the range of what it was fitted to it replaces
    a search; outside it is an extrapolation and is refused.
    """

    coefficients: Array  # (a + 1, b + 1, c + 1)
    steps: tuple[int, int]
    guidance: tuple[float, float]

    @classmethod
    def fit(
        cls,
        found: Mapping[tuple[int, float], Sequence[float]],
        *,
        degrees: tuple[int, int, int] = (2, 2, 2),
    ) -> RatioSurface:
        """Fit to ``{(N, w): ratios}``.

        Raises
        ------
        InvalidPlanError
            If there are fewer ratios than coefficients, or not one ratio for each step.
        """
        rows, values = [], []
        for (n, w), ratios in found.items():
            if len(ratios) != n:
                msg = f"a run of {n} steps has {n} ratios, got {len(ratios)}"
                raise InvalidPlanError(msg)
            for i in range(CACHE - 1, n):
                rows.append(_features(i, n, w, degrees))
                values.append(ratios[i])
        shape = tuple(d + 1 for d in degrees)
        if len(rows) < np.prod(shape):
            msg = f"{np.prod(shape)} coefficients need as many ratios, got {len(rows)}"
            raise InvalidPlanError(msg)
        solution = np.linalg.lstsq(np.array(rows), np.array(values), rcond=1e-8)[0]
        many, scales = [n for n, _ in found], [w for _, w in found]
        return cls(solution.reshape(shape), (min(many), max(many)), (min(scales), max(scales)))

    def __call__(self, steps: int, guidance: float) -> tuple[float, ...]:
        """Ratios of a run of ``steps`` at a guidance scale."""
        (low, high), (weak, strong) = self.steps, self.guidance
        if not (low <= steps <= high and weak <= guidance <= strong):
            msg = (
                f"ratios were fitted for {low} to {high} steps and guidance {weak} to {strong}, "
                f"got {steps} steps and guidance {guidance}"
            )
            raise InvalidPlanError(msg)
        degrees = tuple(n - 1 for n in self.coefficients.shape)
        flat = self.coefficients.ravel()
        given = [_features(i, steps, guidance, degrees) @ flat for i in range(CACHE - 1, steps)]
        return (1.0,) * min(CACHE - 1, steps) + tuple(float(r) for r in given)


def _features(i: int, n: int, w: float, degrees: tuple[int, ...]) -> Array:
    a, b, c = (np.arange(d + 1) for d in degrees)
    place, scale, step = (i / n) ** a, (w / 4.0) ** b, (6.0 / n) ** c
    return np.einsum("a,b,c->abc", place, scale, step).ravel()
