"""UniPC cut in two: the second half takes over the output at the predicted state."""

from __future__ import annotations

import pytest

from fokker.solvers.grids import wavy_lam
from fokker.solvers.plan import Plan
from fokker.solvers.plan_algebra import compose, distance
from fokker.solvers.registry import get
from fokker.solvers.schedules import VPLinear

PROCESS = VPLinear()
GRID = wavy_lam(PROCESS, -3.0, 2.0).grid(9)


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("cut", [3, 5])
def test_two_halves_are_the_whole(order: int, cut: int):
    sampler = get(f"unipc_{order}")
    first = sampler(PROCESS, GRID.part(0, cut), correct_last=True)
    earlier = tuple(GRID[cut - j] for j in range(1, order))
    second = sampler(PROCESS, GRID.part(cut, 9), history=earlier, resume=True)
    whole = compose(first, second)
    assert whole.nfe == 9
    assert distance(_only_x(whole), _only_x(sampler(PROCESS, GRID))) < 1e-12


def test_a_second_half_that_asks_again_is_another_sampler():
    """The control: evaluating the corrected state instead of taking over m0 is seen."""
    sampler = get("unipc_2")
    first = sampler(PROCESS, GRID.part(0, 4), correct_last=True)
    second = sampler(PROCESS, GRID.part(4, 9), history=(GRID[3],))
    assert distance(_only_x(compose(first, second)), _only_x(sampler(PROCESS, GRID))) > 1e-3


def _only_x(plan: Plan) -> Plan:

    return Plan(plan.ops, {"x": plan.outputs["x"]}, plan.marks)
