"""Factorial designs: exact splits of variance, and which choices of five steps matter."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fokker.analysis.ablation import Ablation, ablate, settings
from fokker.analysis.few_steps import FACTORS, few_steps_grid, few_steps_plan
from fokker.analysis.paired import rms
from fokker.solvers.errors import AnalysisError
from fokker.solvers.grids import karras, uniform_lam, wavy_lam
from fokker.solvers.plan import Plan
from fokker.solvers.plan_algebra import distance
from fokker.solvers.registry import get
from fokker.solvers.run import run
from fokker.toy_models.problems import problem

P = problem("mixture")
LEVELS = {"a": (1, 2, 3), "b": ("x", "y"), "c": (False, True)}


def random_ablation() -> Ablation:
    return Ablation(LEVELS, np.random.default_rng(0).normal(size=(3, 2, 2)))


def test_the_shares_of_all_sets_of_factors_sum_to_one():
    found = random_ablation()
    shares = found.shares()
    assert len(shares) == 7
    assert math.fsum(shares.values()) == pytest.approx(1.0, abs=1e-12)
    assert found.explained(3) == pytest.approx(1.0, abs=1e-12)
    assert min(shares.values()) > 0


def test_the_parts_add_up_to_the_responses_and_are_orthogonal():
    found = random_ablation()
    parts = [np.broadcast_to(found.effect(s), (3, 2, 2)) for s in [(), *found.shares()]]
    np.testing.assert_allclose(sum(parts), found.responses, atol=1e-12)
    for i, a in enumerate(parts):
        for b in parts[:i]:
            assert abs((a * b).sum()) < 1e-12


def test_additive_choices_are_explained_by_main_effects_alone():
    def response(a: int, b: str, c: bool) -> float:
        return 2.0 * a + (3.0 if b == "y" else 0.0) - (1.0 if c else 0.0)

    found = ablate(LEVELS, response)
    assert found.explained() == pytest.approx(1.0, abs=1e-12)
    assert found.main_effect("a") == pytest.approx({1: -2.0, 2: 0.0, 3: 2.0})
    assert found.main_effect("b") == pytest.approx({"x": -1.5, "y": 1.5})
    assert found.best() == {"a": 1, "b": "x", "c": True}
    variances = {"a": 8 / 3, "b": 9 / 4, "c": 1 / 4}
    for name, v in variances.items():
        assert found.shares()[(name,)] == pytest.approx(v / sum(variances.values()))


def test_a_pure_interaction_is_invisible_to_main_effects():
    signs = {"a": (-1, 1), "b": (-1, 1)}
    found = ablate(signs, lambda a, b: a * b)
    assert found.explained() == 0.0
    assert found.shares()[("a", "b")] == 1.0
    assert ablate(signs, lambda **_: 3.0).shares() == {("a",): 0, ("b",): 0, ("a", "b"): 0}


def test_designs_that_say_nothing_are_refused():
    assert len(settings(FACTORS)) == 24
    with pytest.raises(AnalysisError, match=r"at least 2 levels .* levels \(1,\)"):
        ablate({"a": (1,)}, lambda **_: 0.0)
    with pytest.raises(AnalysisError, match="must be finite, got nan"):
        ablate({"a": (1, 2)}, lambda **_: math.nan)


def test_the_knobs_at_their_usual_places_are_2m_and_unipc():
    grid = wavy_lam(P.process, -1.5, 1.5).grid(5)

    def alone(plan: Plan) -> Plan:
        return Plan(plan.ops, {"x": plan.outputs["x"]}, plan.marks)

    for last, options in ((2, {}), (1, {"final": "lower"})):
        plan = few_steps_plan(grid, last=last, corrector=False)
        assert plan.nfe == 5
        assert distance(plan, alone(get("dpmpp_2m")(P.process, grid, **options))) < 1e-12
    plan = few_steps_plan(grid, last=2, corrector=True)
    assert distance(plan, alone(get("unipc_2")(P.process, grid))) < 1e-12
    own = few_steps_grid(P.process, -4.0, 3.0, 5, exponent=3.0, first="own")
    assert own == karras(P.process, math.exp(4.0), math.exp(-3.0), 3.0).grid(5)
    long = few_steps_grid(P.process, -4.0, 3.0, 5, exponent=3.0, first="long")
    assert [long[0].lam, long[1].lam, long[5].lam] == pytest.approx([-4.0, -1.0, 3.0])
    with pytest.raises(AnalysisError, match="'own' or 'long'"):
        few_steps_grid(P.process, -4.0, 3.0, 5, exponent=3.0, first="short")
    with pytest.raises(AnalysisError, match="1 or 2, got 3"):
        few_steps_plan(grid, last=3, corrector=True)


def test_at_five_evaluations_main_effects_explain_most_and_the_best_beats_2m_at_five():
    x = P.starts(32)
    truth, model = P.endpoint(x), P.model()

    def log_error(*, exponent: float, first: str, last: int, corrector: bool) -> float:
        grid = few_steps_grid(P.process, -4.0, 3.0, 5, exponent=exponent, first=first)
        plan = few_steps_plan(grid, last=last, corrector=corrector)
        return math.log(rms(run(plan, model, x).x - truth))

    found = ablate(FACTORS, log_error)
    default = get("dpmpp_2m")(P.process, uniform_lam(P.process, -4.0, 3.0).grid(5))
    assert found.explained() > 0.5
    assert math.exp(found.responses.min()) < rms(run(default, model, x).x - truth)
