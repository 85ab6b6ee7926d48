"""DPM-Solver-fast: how a budget is cut into groups, on whose nodes, and what order that has."""

from __future__ import annotations

import math

import pytest
import torch

from fokker.analysis.paired import rms
from fokker.solvers.errors import InvalidGridError, InvalidPlanError
from fokker.solvers.grids import uniform_lam, wavy_lam
from fokker.solvers.plan_algebra import distance
from fokker.solvers.registry import get
from fokker.solvers.run import run
from fokker.solvers.samplers.fast import fast, fast_grid, fast_orders
from fokker.solvers.schedules import VPLinear
from fokker.toy_models.problems import problem

VP = VPLinear()


@pytest.mark.parametrize(
    ("budget", "groups"),
    [
        (1, (1,)),
        (2, (2,)),
        (3, (2, 1)),
        (4, (3, 1)),
        (5, (3, 2)),
        (6, (3, 2, 1)),
        (9, (3, 3, 2, 1)),
        (10, (3, 3, 3, 1)),
        (20, (3, 3, 3, 3, 3, 3, 2)),
    ],
)
def test_groups_are_the_published_ones(budget: int, groups: tuple[int, ...]):
    assert fast_orders(budget) == groups
    assert len(groups) == budget // 3 + 1 if budget > 2 else 1


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("budget", range(1, 14))
def test_a_budget_is_spent_to_the_last_evaluation(order: int, budget: int):
    assert sum(fast_orders(budget, order)) == budget
    grid = fast_grid(VP, -3.0, 2.0, budget, order)
    plan = fast(VP, grid, order=order)
    assert plan.nfe == len(grid) == budget
    assert [m.node for m in plan.marks] == list(grid.nodes[1:])
    ends = [grid[0].lam, grid[-1].lam]
    assert ends == pytest.approx([-3.0, 2.0], abs=1e-12)


def test_the_published_grid_is_the_singlestep_solvers_one_after_the_other():
    """Budget 9: two steps of DPM-Solver-3, one of DPM-Solver-2, one of DPM-Solver-1."""
    p = problem("product")
    x, model = p.starts(4), p.model("noise")
    plan = fast(VP, fast_grid(VP, -4.0, 3.0, 9))
    outer = uniform_lam(VP, -4.0, 3.0).grid(4)
    state = x
    for i, name in enumerate(("dpm_solver_3", "dpm_solver_3", "dpm_solver_2", "dpm_solver_1")):
        state = run(get(name)(VP, outer.part(i, i + 1)), model, state).x
    torch.testing.assert_close(run(plan, model, x).x, state, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(("rest", "order"), [(0, 2), (1, 2), (2, 3)])
@pytest.mark.parametrize("published", [True, False])
def test_the_order_depends_on_what_is_left_over_for_the_last_group(rest, order, published):
    p = problem("mixture")
    x, model = p.starts(16), p.model("noise")
    truth, errors, budgets = p.endpoint(x), [], (192 + rest, 384 + rest)
    for n in budgets:
        maps = wavy_lam(VP, p.lam_start, p.lam_end)
        grid = fast_grid(VP, p.lam_start, p.lam_end, n) if published else maps.grid(n)
        errors.append(rms(run(fast(VP, grid), model, x).x - truth))
    found = math.log(errors[0] / errors[1]) / math.log(budgets[1] / budgets[0])
    assert found == pytest.approx(order, abs=0.3)


def test_the_registered_sampler_is_the_function_on_budgets_divisible_by_three():
    grid = wavy_lam(VP, -2.0, 2.0).grid(9)
    assert distance(get("dpm_solver_fast")(VP, grid), fast(VP, grid)) < 1e-14
    with pytest.raises(InvalidPlanError, match="divisible by 3"):
        get("dpm_solver_fast")(VP, grid.part(0, 8))


def test_a_last_step_to_sigma_zero_is_a_group_of_its_own():
    grid = uniform_lam(VP, -2.0, 2.0).grid(5)
    assert fast(VP, grid.with_zero()).nfe == 6
    assert fast(VP, grid.part(4, 5).with_zero()).nfe == 2


def test_order_one_is_ddim():
    grid = wavy_lam(VP, -2.0, 2.0).grid(5)
    assert distance(fast(VP, grid, order=1), get("dpm_solver_1")(VP, grid)) < 1e-12


def test_what_is_no_budget_is_refused():
    with pytest.raises(InvalidPlanError, match="budget >= 1"):
        fast_orders(0)
    with pytest.raises(InvalidPlanError, match="order of 1, 2 or 3"):
        fast_orders(5, 4)
    with pytest.raises(InvalidGridError, match="lam_start < lam_end"):
        fast_grid(VP, 1.0, -1.0, 5)
