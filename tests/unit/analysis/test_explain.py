"""The difference of two plans: nothing for equal samplers, the planted entry for a mutant."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from fokker.analysis.explain import explain
from fokker.solvers.grids import uniform_lam, wavy_lam
from fokker.solvers.plan import Eval, Lin, Plan, Tape
from fokker.solvers.registry import get
from fokker.solvers.schedules import EDM, VPLinear

PROCESS = VPLinear()
GRID = wavy_lam(PROCESS, -2.0, 2.0).grid(5)


def plan(name: str) -> Plan:
    return get(name)(PROCESS, GRID)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("ddim", "dpm_solver_1"),  # the same sampler on two predictions
        ("ddim", "exp_ab1_data"),
        ("lms", "deis_rhoab4"),
        ("dpmpp_2s", "dpmpp_2s"),
        ("sde_dpmpp_2m", "sde_dpmpp_2m"),
    ],
)
def test_equal_samplers_have_no_difference(first: str, second: str):
    found = explain(plan(first), plan(second))
    assert found.equal
    assert found.entries == ()


def test_a_planted_mistake_is_found_with_its_row_leaf_and_size():
    good = plan("ddim")
    (last,) = [good.outputs["x"]]
    row = good.ops[last]
    assert isinstance(row, Lin)
    (a, u), (b, w) = row.terms
    ops = [*good.ops]
    ops[last] = Lin(((a, u), (b, w + 1e-3)))
    found = explain(good, replace(good, ops=tuple(ops)))
    (entry,) = found.entries
    assert entry.row == "output x"
    assert entry.leaf.startswith("model output 5 (lam = ")
    assert entry.first == pytest.approx(w)
    assert entry.second - entry.first == pytest.approx(1e-3)
    assert not found.equal


def test_differences_come_largest_first_and_a_missing_leaf_weighs_nothing():
    found = explain(plan("ddim"), plan("ancestral"))
    gaps = [e.gap for e in found.entries]
    assert gaps == sorted(gaps, reverse=True)
    assert len(found.only_second) == 5
    assert all(text.startswith("noise W on snr^1.0") for text in found.only_second)
    assert found.only_first == ()
    noises = [e for e in found.entries if e.leaf.startswith("noise")]
    assert noises
    assert all(e.first == 0.0 for e in noises)


def test_evaluations_at_other_levels_are_named():
    found = explain(plan("dpmpp_2m"), plan("dpmpp_2s"))
    assert found.only_first == ()
    assert len(found.only_second) == 5
    assert all(text.startswith("model output ") for text in found.only_second)


def test_the_weights_are_those_of_the_plan_also_where_evaluations_have_no_partner():
    second = plan("dpmpp_2s")
    row = second.ops[second.outputs["x"]]
    assert isinstance(row, Lin)
    weights = dict(row.terms)
    last = max(i for i in weights if isinstance(second.ops[i], Eval))
    found = explain(plan("dpmpp_2m"), second)
    (entry,) = [e for e in found.entries if e.row == "output x" and "output 10 " in e.leaf]
    assert (entry.first, entry.second) == (0.0, pytest.approx(weights[last], abs=1e-15))


def test_the_same_sampler_on_another_grid_is_another_plan():
    other = get("ddim")(PROCESS, uniform_lam(PROCESS, -2.0, 2.0).grid(5))
    assert not explain(plan("ddim"), other).equal


def test_histories_for_a_following_plan_are_not_compared():
    good = plan("dpmpp_2m")
    assert set(good.outputs) == {"x", "m-1"}
    bare = replace(good, outputs={"x": good.outputs["x"]})
    assert explain(good, bare).equal


def test_two_evaluations_at_one_level_are_told_apart_by_their_turn():
    def twice(weights: tuple[float, float]) -> Plan:
        tape, node = Tape(), EDM().node(1.0)
        x = tape.input("x", node)
        m = tape.eval(x, node)
        y = tape.lin((x, 0.5), (m, 0.5))
        n = tape.eval(y, node)
        return tape.plan(x=tape.lin((m, weights[0]), (n, weights[1])))

    assert explain(twice((1.0, 2.0)), twice((1.0, 2.0))).equal
    found = explain(twice((1.0, 2.0)), twice((2.0, 1.0)))
    assert [e.leaf.split(" (")[0] for e in found.entries] == ["model output 1", "model output 2"]
    assert all(math.isclose(e.gap, 1.0) for e in found.entries)
