"""How far low precision carries a sample away, with a bound stated beforehand for every plan.

The start is a float32 number, so the float64 run from it is the truth of both.

* float32 state, float32 model, float64 coefficients: at most 1e-5 in any coordinate, eighty units
  in the last place, at 20 and at 100 steps (observed: up to 3e-6).
* float32 state, bfloat16 model (input and output rounded to eight bits): nine in ten coordinates
  within 1.5e-2, four units in the last place (observed: up to 1.2e-2, for five-node Adams, whose
  weights alternate; 3e-3 is typical). A sample between two modes may choose the other one: the
  law itself then carries it away, and its own drift has no bound.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fokker.solvers.grids import Grid
from fokker.solvers.model import Model
from fokker.solvers.plan import Plan
from fokker.solvers.registry import get
from fokker.solvers.run import run
from laws.zoo import PLANS, PROCESSES, bimodal_model, each, grid_of, starts, steps_of
from tolerances import tolerance

SEED = 5
SPAN = (-3.0, 3.0)


def in_bfloat16(model: Model) -> Model:
    """A network under autocast: eight bits come in and go out."""

    def rounded(x: Tensor, t: float) -> Tensor:
        assert x.dtype == torch.float32  # the state itself never is bfloat16
        return model(x.to(torch.bfloat16).to(torch.float32), t).to(torch.bfloat16)

    return rounded


def start(grid: Grid) -> Tensor:
    """A float32 start, kept as float64."""
    return (starts(16) * grid[0].sigma).to(torch.float32).to(torch.float64)


def drift(plan: Plan, model: Model, other: Model, x: Tensor) -> Tensor:
    """Distance of a float32 run under ``other`` from the float64 run under ``model``."""
    truth = run(plan, model, x, noise=SEED).x
    low = run(plan, other, x.to(torch.float32), noise=SEED).x
    assert (truth.dtype, low.dtype) == (torch.float64, torch.float32)
    return (low.to(torch.float64) - truth).abs()


@each()
@pytest.mark.parametrize(("name", "steps"), [("vp", 20), ("vp", 100), ("edm", 20), ("flow", 20)])
def test_float32_drifts_by_at_most_eighty_units_in_the_last_place(entry, name, steps):
    process = PROCESSES[name]
    grid = grid_of(process, steps_of(entry, steps), lams=SPAN)
    model = bimodal_model(process, entry.prediction)
    gap = drift(entry(process, grid), model, model, start(grid))
    bound = tolerance(torch.float32)["atol"]
    assert gap.max() > 0  # float32 it was
    if entry.stochastic:  # noise may leave a start undecided between two modes: it drifts further
        assert gap.quantile(0.95) < bound
        assert gap.max() < 10 * bound
    else:
        assert gap.max() < bound


@each()
@pytest.mark.parametrize("name", ["vp", "edm", "flow"])
def test_a_bfloat16_model_drifts_by_at_most_a_few_of_its_own_units(entry, name):
    process = PROCESSES[name]
    grid = grid_of(process, steps_of(entry, 20), lams=SPAN)
    model = bimodal_model(process, entry.prediction)
    gap = drift(entry(process, grid), model, in_bfloat16(model), start(grid))
    assert gap.quantile(0.9) < 1.5e-2
    assert gap.max() > 1e-4  # bfloat16 it was


def test_were_the_state_bfloat16_too_more_steps_would_be_worse_not_better():
    """The negative control: the reason why the state is at least float32."""
    process, entry = PROCESSES["vp"], get("ddim")
    model = bimodal_model(process, entry.prediction)
    worst = []
    for steps in (20, 100, 500):
        grid = grid_of(process, steps, lams=SPAN)
        x = start(grid)
        low = x.to(torch.bfloat16)
        for s, t in grid.steps():
            step = entry(process, Grid((s, t)))
            low = run(step, model, low.to(torch.float32)).x.to(torch.bfloat16)
        truth = run(entry(process, grid), model, x).x
        worst.append(float((low.to(torch.float64) - truth).square().mean().sqrt()))
    assert worst[0] < worst[1] < worst[2]
    assert worst[2] > 1e-2


@each([e for e in PLANS if e.prediction == "data"])
def test_the_model_is_asked_in_the_dtype_of_the_state_at_an_exact_time(entry):
    process = PROCESSES["vp"]
    grid = grid_of(process, steps_of(entry, 3))
    inner, seen = bimodal_model(process, "data"), []

    def model(x: Tensor, t: float) -> Tensor:
        seen.append((x.dtype, type(t), t))
        return inner(x, t)

    plan = entry(process, grid)
    for dtype in (torch.float32, torch.float64):
        seen.clear()
        run(plan, model, start(grid).to(dtype), noise=SEED)
        assert {kind for _, kind, _ in seen} == {float}  # a float32 time moves the level
        assert {d for d, _, _ in seen} == {dtype}
        assert seen[0][2] == grid[0].t
