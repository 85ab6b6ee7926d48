"""Which sampler a plan is, and where it is not that sampler."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from fokker.analysis.compare_plans import (
    EQUAL,
    against,
    compare,
    grids_of,
    nearest,
    renumbered,
    variants,
)
from fokker.solvers.errors import AnalysisError, UnknownSamplerError
from fokker.solvers.grids import wavy_lam
from fokker.solvers.plan import Lin, Noise
from fokker.solvers.plan_algebra import to_prediction
from fokker.solvers.registry import get, samplers
from fokker.solvers.schedules import VPLinear

VP = VPLinear()
GRID = wavy_lam(VP, -3.0, 2.0).grid(6)
FEW = tuple(get(n) for n in ("ddim", "dpmpp_2m", "dpmpp_3m", "ancestral", "sde_dpmpp_2m", "ipndm"))


def changed(plan, row, factor):
    """The plan with one weight of its row-th sum changed."""
    ops = list(plan.ops)
    i = [k for k, op in enumerate(ops) if isinstance(op, Lin)][row]
    (j, w), *rest = ops[i].terms
    ops[i] = Lin(((j, w * factor), *rest))
    return replace(plan, ops=tuple(ops))


@pytest.mark.parametrize("entry", FEW, ids=lambda e: e.name)
def test_a_sampler_finds_itself_whatever_it_is_asked_for(entry):
    plan = to_prediction(entry(VP, GRID), "velocity")
    found = nearest(plan, VP, [GRID], among=FEW)
    assert found.nearest[0].name == entry.name
    assert found.nearest[0].equal
    assert found.nearest[0].gap < 1e-12
    assert str(found.nearest[0]).startswith(f"equal to {entry.name} up to ")
    assert entry.name == "ipndm" or not compare(plan, get("ipndm")(VP, GRID)).equal


@pytest.mark.parametrize("row", [2, 5])
def test_the_row_with_another_formula_is_named_and_only_that(row):
    plan = get("dpmpp_2m")(VP, GRID)
    plan = replace(plan, outputs={"x": plan.outputs["x"]})
    wrong = changed(plan, row, 1.01)
    seen = compare(wrong, plan, "2M")
    apart = [k for k, gap in enumerate(seen.local) if gap > EQUAL]
    assert apart == [row + 1]  # the state of evaluation 1 is the start itself
    later = [k for k, (_, gap) in enumerate(seen.rows) if gap > EQUAL]
    assert later == list(range(row + 1, len(GRID) + 1))  # and all that follows is changed
    where = "the last row" if row == 5 else f"the state of evaluation {row + 2}"
    assert f"except {where}" in str(seen)
    assert seen.same == len(GRID)


def test_an_option_of_ours_is_found():
    plan = get("sde_dpmpp_2m")(VP, GRID, eta=0.0)
    assert against(plan, VP, "sde_dpmpp_2m").name == "sde_dpmpp_2m(eta=0.0)"
    plan = get("dpmpp_3m")(VP, GRID, final="lower")
    assert against(plan, VP, "dpmpp_3m").name == "dpmpp_3m(final=lower)"
    assert {} in list(variants(get("dpmpp_3m")))


def test_noises_are_matched_by_order_and_not_by_clock():
    plan = get("ancestral")(VP, GRID)
    assert compare(plan, renumbered(plan)).equal
    clocks = {op.clock for op in renumbered(plan).ops if isinstance(op, Noise)}
    assert clocks == {"churn"}


def test_samplers_that_ask_or_draw_another_number_of_times_are_infinitely_far():
    one, two = get("ddim")(VP, GRID), get("edm_heun")(VP, GRID)
    seen = compare(one, two, "edm_heun")
    assert math.isinf(seen.gap)
    assert str(seen).startswith("not edm_heun: ")
    assert not nearest(one, VP, [GRID], among=(get("edm_heun"),)).nearest


def test_two_evaluations_a_step_give_a_coarser_grid_too():
    plan = get("dpm_solver_2")(VP, GRID)
    lams = [[n.lam for n in grid.nodes] for grid in grids_of(plan)]
    assert [n.lam for n in GRID.nodes] in lams
    assert nearest(plan, VP, among=(get("dpm_solver_2"),)).nearest[0].equal
    zero = GRID.with_zero()
    assert grids_of(get("ddim")(VP, zero), zero[-1])[0].to_zero


@pytest.mark.slow
def test_every_plan_of_the_registry_is_compared_without_a_crash():
    found = nearest(get("exp_ab2_data")(VP, GRID), VP, [GRID], among=samplers("plan"), top=1)
    assert found.nearest[0].equal
    assert found.tried > 40


def test_unknown_names_and_impossible_grids_are_errors():
    plan = get("ddim")(VP, GRID)
    with pytest.raises(UnknownSamplerError):
        against(plan, VP, "no_such_sampler")
    with pytest.raises(AnalysisError, match="has no plan"):
        against(plan, VP, "evodiff")
