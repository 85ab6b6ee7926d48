"""How far a sampler is from the truth within a budget of evaluations, without sampling noise.

On Gaussian data the output law is exact, and the error is its W2 distance to the exact marginal.
On other laws the error of a deterministic sampler is paired with the exact flow, and that of a
stochastic one with its own fine solution on the same Brownian path. All errors are in units of the
data: of ``x/alpha`` at the last level.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from torch import Tensor

from ..solvers.errors import NonFiniteError
from ..solvers.grids import Grid, GridMap
from ..solvers.registry import Sampler
from ..toy_models.gaussian import Gaussian
from ..toy_models.law import exact_model
from ..toy_models.problems import Problem
from .distances import diagonal_w2
from .gaussian_path import eigenbasis, marginal
from .law import end_node, output_law
from .paired import rms, sample
from .path_order import MonteCarloPath, with_stages

BATCH = 32
FINE = {"plan": 4000, "blackbox": 500, "stepper": 500}
"""Steps of a stochastic sampler's fine solution; every shown step count divides half of it."""


def steps_within(sampler: Sampler, nfe: int) -> int | None:
    """Largest number of steps whose evaluations fit into ``nfe``; None if not even one does."""
    best = None
    for steps in range(sampler.multiple, nfe + 1, sampler.multiple):
        if sampler.nfe(steps) > nfe:
            break
        best = steps
    return best


@cache
def _starts(p: Problem) -> tuple[Tensor, Tensor]:
    """(starts, exact ends) of the flow in units of ``x/alpha``, the same for every process."""
    begin, end = p.process.node_at_lam(p.lam_start), p.process.node_at_lam(p.lam_end)
    x = p.starts(BATCH, seed=0)
    return x / begin.alpha, p.endpoint(x) / end.alpha


def _gaussian(sampler: Sampler, p: Problem, grid: Grid, grids: GridMap) -> float:
    data = eigenbasis(p.law)
    plan = sampler(grids.process, grid)
    law, end = output_law(plan, data), end_node(plan)
    truth = marginal(data, end)
    return diagonal_w2(law.mean, law.var, truth.mean, truth.var) / end.alpha


def _paired(sampler: Sampler, p: Problem, grid: Grid, grids: GridMap) -> tuple[float, float]:
    """Root mean square over the starts, and median: one start in a wrong mode rules the former."""
    start, truth = _starts(p)
    model = exact_model(p.law, grids.process, sampler.prediction)
    x = sample(sampler, model, grids.process, grid, start * grid[0].alpha)
    gap = x / grid[-1].alpha - truth
    return rms(gap), float(gap.square().mean(1).sqrt().median())


def _fine_steps(sampler: Sampler) -> int:
    """Steps of the fine solution: a plan of several stages takes a half or a quarter of them."""
    stages = sampler.nfe(8) / 8 if sampler.kind == "plan" else 1
    return FINE[sampler.kind] // (1 if stages <= 1 else 2 if stages <= 2 else 4)


class _FinePath:
    """A stochastic sampler's own fine solution, and the path on which it was made."""

    def __init__(self, sampler: Sampler, p: Problem, grids: GridMap) -> None:
        finest = grids.grid(_fine_steps(sampler))
        start, _ = _starts(p)
        self.x = start * finest[0].alpha
        nested = [grids.grid(n) for n in range(1, len(finest) + 1) if len(finest) % n == 0]
        places = with_stages(sampler, grids.process, nested)
        self.path = MonteCarloPath.random(places, tuple(self.x.shape), seed=11)
        self.model = exact_model(p.law, grids.process, sampler.prediction)
        self.sampler, self.grids = sampler, grids
        self.truth = self._run(finest)

    def _run(self, grid: Grid) -> Tensor:
        return sample(
            self.sampler, self.model, self.grids.process, grid, self.x, noise=self.path
        ) / grid[-1].alpha  # fmt: skip

    def error(self, grid: Grid) -> float:
        return rms(self._run(grid) - self.truth)


def _nested(steps: int, sampler: Sampler) -> int | None:
    """Largest step count up to ``steps`` whose grid is nested in the fine one, and coarser."""
    fine = _fine_steps(sampler)
    fits = (n for n in range(steps, 0, -1) if fine % (2 * n) == 0 and n % sampler.multiple == 0)
    return next(fits, None)


def budget_errors(
    sampler: Sampler, p: Problem, grids: GridMap, budgets: Sequence[int], *, paths: bool = True
) -> list[dict[str, Any]]:
    """Rows ``{nfe, steps, measure, value, median}`` for every budget that allows one step.

    ``paths=False`` leaves out errors on a path, which need a fine solution.
    """
    if sampler.nfe(1) == 0:  # it chooses its own evaluations: a budget means nothing
        return []
    gaussian = isinstance(p.law, Gaussian) and sampler.kind == "plan"
    path: _FinePath | None = None
    rows, seen = [], set()
    for nfe in budgets:
        steps = steps_within(sampler, nfe)
        if steps and sampler.stochastic and not gaussian:
            steps = _nested(steps, sampler)
        if not steps or steps in seen:
            continue
        seen.add(steps)
        grid = grids.grid(steps)
        measure = "W2" if gaussian else "path" if sampler.stochastic else "paired"
        if measure == "path" and (not paths or sampler.strong is None or p.law.dim > 8):
            break  # no path to compare on, or too long a fine solution
        median = None
        try:
            if gaussian:
                value = _gaussian(sampler, p, grid, grids)
            elif not sampler.stochastic:
                value, median = _paired(sampler, p, grid, grids)
            else:
                path = path or _FinePath(sampler, p, grids)
                value = path.error(grid)
        except NonFiniteError:
            value = None  # it diverged at this number of steps; the table says so
        rows.append(
            {"nfe": nfe, "steps": steps, "measure": measure, "value": value, "median": median}
        )
    return rows
