"""Virtual evaluations: what a guess is exact for, which calls are made, and what that costs."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fokker.analysis.paired import rms
from fokker.solvers.caching.virtual import Rule, cached, every, newton, reuse, taylorseer
from fokker.solvers.errors import InvalidGridError, InvalidPlanError
from fokker.solvers.grids import grid_from_times, uniform_lam, wavy_lam
from fokker.solvers.heads import route
from fokker.solvers.plan import Eval, Lin
from fokker.solvers.plan_algebra import distance
from fokker.solvers.registry import get
from fokker.solvers.run import run
from fokker.solvers.schedules import RectifiedFlow, VPLinear
from fokker.toy_models import problem

PROCESS = VPLinear()
PLACES = [0.0, -4.0, -8.0, -12.0, -16.0]  # real outputs of an interval of four
RULES: dict[str, tuple[Rule, int]] = {
    "reuse": (reuse, 0),
    "taylorseer-1": (taylorseer(1), 1),
    "taylorseer-2": (taylorseer(2), 1),  # and not 2
    "taylorseer-4": (taylorseer(4), 1),
    "newton-1": (newton(1), 1),
    "newton-2": (newton(2), 2),
    "newton-4": (newton(4), 4),
}


def miss(rule: Rule, degree: int, places: list[float] = PLACES, at: float = 3.0) -> float:
    """Guess minus truth for the polynomial ``(p + 1)^degree``."""
    weights = rule(places, at)
    return float(weights @ (np.array(places) + 1.0) ** degree - (at + 1.0) ** degree)


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("places", [PLACES, [0.0, -1.0, -4.0, -6.5, -7.0]], ids=["equal", "wavy"])
def test_a_rule_is_exact_up_to_its_degree_and_no_further(name: str, places: list[float]):
    rule, exact = RULES[name]
    for degree in range(exact + 1):
        assert abs(miss(rule, degree, places)) < 1e-9
    assert abs(miss(rule, exact + 1, places)) > 1.0


def test_recursive_differences_miss_half_of_interval_times_distance_on_a_parabola():
    for interval in (2, 4, 6):
        places = [-float(interval * j) for j in range(3)]
        for k in range(1, interval):
            half = np.array(places) ** 2 / 2
            assert taylorseer(2)(places, float(k)) @ half - k**2 / 2 == pytest.approx(
                -interval * k / 2
            )


@given(st.integers(1, 5), st.integers(0, 4))
def test_fewer_outputs_give_the_lower_rule_and_older_ones_have_no_weight(count: int, degree: int):
    places = PLACES[:count]
    for kind in (newton, taylorseer):
        weights = kind(degree)(places, 2.0)
        assert weights.shape == (count,)
        assert weights.sum() == pytest.approx(1.0)
        assert not weights[degree + 1 :].any()
        if count <= degree:
            np.testing.assert_allclose(weights, kind(count - 1)(places, 2.0))


def test_degree_zero_is_reuse_and_degree_one_is_the_line_in_both():
    for at in (1.0, 3.0):
        for kind in (newton, taylorseer):
            assert (kind(0)(PLACES, at) == reuse(PLACES, at)).all()
        np.testing.assert_allclose(newton(1)(PLACES, at), taylorseer(1)(PLACES, at))


# -- plans ------------------------------------------------------------------------------------


def asked(plan) -> list[int]:
    """Positions in the grid of the evaluations that are made."""
    lams = [m.node.lam for m in plan.marks]
    start = next(op.node.lam for op in plan.ops if isinstance(op, Eval))
    return [[start, *lams].index(op.node.lam) for op in plan.ops if isinstance(op, Eval)]


def test_the_calls_are_the_first_ones_one_in_every_interval_and_the_last():
    base = get("dpmpp_2m")(PROCESS, uniform_lam(PROCESS, -2.0, 2.0).grid(12))
    assert asked(cached(base, every(4))) == [0, 4, 8, 11]
    assert asked(cached(base, every(3, first=3))) == [0, 1, 2, 5, 8, 11]
    assert asked(cached(base, lambda _: False)) == [0, 11]
    assert distance(cached(base, every(1)), base) == 0.0


def test_a_guess_is_the_rule_on_the_outputs_made_so_far():
    grid = wavy_lam(PROCESS, -2.0, 2.0).grid(7)
    lams = [node.lam for node in grid.nodes]
    base = get("ddim")(PROCESS, grid)
    for clock, place in (("lam", lams), ("index", [float(i) for i in range(8)])):
        plan = cached(base, every(2), newton(1), clock=clock)
        evals = [i for i, op in enumerate(plan.ops) if isinstance(op, Eval)]
        guess = plan.ops[evals[2] + 2]  # after the step that the third call makes
        far = (place[5] - place[4]) / (place[4] - place[2])
        assert isinstance(guess, Lin)
        found = dict(guess.terms)
        assert found.keys() == {evals[2], evals[1]}
        assert found[evals[2]] == pytest.approx(1 + far, rel=1e-12)
        assert found[evals[1]] == pytest.approx(-far, rel=1e-12)


def test_outputs_of_two_models_are_never_mixed():
    base = get("dpmpp_2m")(PROCESS, uniform_lam(PROCESS, -2.0, 2.0).grid(8))
    plan = cached(route(base, "small", until=0.0), every(4, first=3), newton(2))
    for op in plan.ops:
        if isinstance(op, Lin) and all(isinstance(plan.ops[j], Eval) for j, _ in op.terms):
            assert len({plan.ops[j].head for j, _ in op.terms}) == 1  # pyright: ignore
    assert [op.head for op in plan.ops if isinstance(op, Eval)][3:] == [""] * 3


def test_history_counts_as_outputs_and_the_newest_real_outputs_are_handed_over():
    maps = uniform_lam(PROCESS, -1.0, 1.0)
    base = get("dpmpp_3m")(PROCESS, maps.grid(8), history=maps.history(8, 2))
    plan = cached(base, every(4), newton(2))
    first = next(op for op in plan.ops[4:] if isinstance(op, Lin) and len(op.terms) == 3)
    assert {j for j, _ in first.terms} >= set(plan.inputs[n] for n in ("m-1", "m-2"))
    names = [n for n in plan.outputs if n != "x"]
    assert names == ["m-1", "m-2"]
    nodes = [plan.ops[plan.outputs[n]].node for n in names]  # pyright: ignore
    assert nodes == [maps.grid(8)[7], maps.grid(8)[4]]


def test_pure_noise_is_no_node_of_an_extrapolation_in_lam():
    process = RectifiedFlow()
    grid = grid_from_times(process, [1.0, 0.8, 0.6, 0.4, 0.3, 0.2])
    for clock in ("lam", "index"):
        plan = cached(get("dpmpp_2m")(process, grid), every(2), newton(2), clock=clock)
        x = run(plan, lambda x, _: torch.tanh(x), torch.ones(2, 2)).x
        assert torch.isfinite(x).all()


def test_what_cannot_be_cached_is_one_sentence():
    grid = uniform_lam(PROCESS, -2.0, 2.0).grid(4)
    base = get("dpmpp_2m")(PROCESS, grid)
    with pytest.raises(InvalidPlanError, match="one evaluation at each level of noise"):
        cached(get("edm_heun")(PROCESS, grid), every(2))
    with pytest.raises(InvalidPlanError, match=r"interval >= 1 and first >= 1, got 0 and 1"):
        every(0)
    with pytest.raises(InvalidPlanError, match=r"degree of an extrapolation .* got -1"):
        newton(-1)
    with pytest.raises(InvalidPlanError, match=r"one of \('lam', 'index'\), got 't'"):
        cached(base, every(2), clock="t")
    with pytest.raises(InvalidGridError, match="distinct"):
        newton(1)([1.0, 1.0], 2.0)


# -- errors -----------------------------------------------------------------------------------

MIXTURE = problem("mixture")


def gap(steps: int, interval: int, rule: Rule) -> float:
    """Distance of the cached sampler to the one that makes every call, on the mixture."""
    x = MIXTURE.starts(8)
    grid = uniform_lam(MIXTURE.process, MIXTURE.lam_start, MIXTURE.lam_end).grid(steps)
    plan, model = get("dpmpp_3m")(MIXTURE.process, grid), MIXTURE.model()
    part = cached(plan, every(interval, first=3), rule, clock="index")
    return rms(run(part, model, x).x - run(plan, model, x).x)


def share(interval: int, rule: str) -> float:
    """Mean error coefficient of a guess over an interval, from Taylor's formula."""
    ks, n = np.arange(1, interval), interval
    each = {
        "reuse": ks,
        "taylorseer-2": n * ks / 2,
        "newton-1": ks * (ks + n) / 2,
        "newton-2": ks * (ks + n) * (ks + 2 * n) / 6,
    }[rule]
    return float(each.sum()) / interval


@pytest.mark.parametrize("name", ["taylorseer-2", "newton-1", "newton-2"])
def test_the_error_grows_with_the_interval_as_taylors_formula_says(name: str):
    rule = RULES[name][0]
    found = gap(480, 6, rule) / gap(480, 3, rule)
    assert found == pytest.approx(share(6, name) / share(3, name), rel=0.15)


@pytest.mark.parametrize("name", ["reuse", "taylorseer-2", "newton-1", "newton-2"])
def test_the_error_falls_with_the_step_at_the_order_of_the_guess(name: str):
    rule, exact = RULES[name]
    errors = [gap(steps, 4, rule) for steps in (160, 320, 640)]
    slopes = [math.log2(a / b) for a, b in pairwise(errors)]
    assert slopes[-1] == pytest.approx(exact + 1, abs=0.45)


def test_at_fifty_steps_extrapolation_is_an_order_of_magnitude_better_than_reuse():
    for interval in (2, 3, 4):
        errors = {name: gap(50, interval, RULES[name][0]) for name in RULES}
        assert errors["newton-2"] < 0.2 * errors["reuse"]
        assert errors["taylorseer-2"] < 0.2 * errors["reuse"]
    assert gap(50, 2, newton(2)) < gap(50, 2, taylorseer(2))
