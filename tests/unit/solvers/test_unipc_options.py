"""Every start, end, rule, mode and prediction of UniPC runs and has the order declared for it."""

from __future__ import annotations

import math
from functools import cache
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fokker.analysis.paired import exact_history, rms
from fokker.solvers.errors import InvalidPlanError
from fokker.solvers.grids import wavy_lam
from fokker.solvers.plan_algebra import distance
from fokker.solvers.registry import get
from fokker.solvers.run import run
from fokker.solvers.samplers.predictor_corrector import unipc, unipc_order
from fokker.solvers.schedules import VPLinear
from laws.measuring import PROCESS, SPAN, flow_problem
from laws.zoo import grid_map

VP = VPLinear()
GRID = wavy_lam(VP, -2.0, 1.5).grid(8)
FLOOR = 3e-12

OPTIONS = st.fixed_dictionaries(
    {
        "order": st.integers(1, 5),
        "rule": st.sampled_from(["B1", "B2", "exact"]),
        "prediction": st.sampled_from(["data", "noise"]),
        "mode": st.sampled_from(["PEC", "PECE"]),
        "start": st.sampled_from(["ramp", "rk"]),
        "final": st.sampled_from(["full", "lower"]),
        "corrector": st.booleans(),
        "correct_last": st.booleans(),
    }
)


@cache
def exact(steps: int, prediction: str):
    """Starts, truth, model and five outputs before the start of the nonlinear law."""
    p = flow_problem("product")
    x, (begin, end) = p.starts(), p.ends()
    nodes = grid_map(PROCESS, "wavy", SPAN).history(steps, 4)
    past = exact_history(p, x, nodes, prediction)
    return x, p.flow(x, begin, end), p.model(prediction), nodes, past


def error(steps: int, *, warm: bool, **options) -> float:
    x, truth, model, nodes, past = exact(steps, options["prediction"])
    grid = grid_map(PROCESS, "wavy", SPAN).grid(steps)
    plan = unipc(PROCESS, grid, history=nodes if warm else (), **options)
    return rms(run(plan, model, x, history=past if warm else None).x - truth)


def declared(options: dict, *, warm: bool) -> int:
    names = ("order", "start", "final", "corrector", "correct_last")
    return unipc_order(**{k: options[k] for k in names}, warm=warm)


@settings(max_examples=40, deadline=None)
@given(options=OPTIONS)
def test_every_combination_runs(options: dict):
    plan = unipc(VP, GRID, **options)
    assert [m.node for m in plan.marks] == list(GRID.nodes[1:])
    assert plan.nfe >= 8


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(options=OPTIONS, warm=st.booleans())
def test_every_combination_keeps_its_declared_order(options: dict, warm: bool):
    keeps_its_order(options, warm)


@settings(max_examples=3, deadline=None)
@given(options=OPTIONS, warm=st.booleans())
def test_some_combinations_keep_their_declared_order(options: dict, warm: bool):
    keeps_its_order(options, warm)


def keeps_its_order(options: dict, warm: bool) -> None:
    """Not below it by more than a third on a fine halving, unless at rounding."""
    claim = declared(options, warm=warm)
    errors = []
    for steps in (128, 256):
        errors.append(error(steps, warm=warm, **options))
        if errors[-1] < FLOOR * 30:
            break
    slopes = [math.log2(a / b) for a, b in pairwise(errors)]
    assert errors[-1] < FLOOR * 30 or slopes[-1] > claim - 0.34, (claim, slopes)


@pytest.mark.parametrize(
    ("options", "order"),
    [
        ({"order": 5}, 3),
        ({"order": 3, "start": "rk"}, 4),
        ({"order": 3, "start": "rk", "final": "lower"}, 2),
        ({"order": 3, "start": "rk", "final": "lower", "correct_last": True}, 3),
        ({"order": 3, "corrector": False}, 2),
        ({"order": 3, "corrector": False, "start": "rk"}, 3),
    ],
)
def test_the_caps_on_the_order_are_real(options: dict, order: int):
    """The other side: no more than the declared order, from a cold start far from flat data."""
    full = {"rule": "B2", "prediction": "data", "mode": "PEC", "start": "ramp", "final": "full"}
    full |= {"corrector": True, "correct_last": False} | options
    assert declared(full, warm=False) == order
    a, b = (error(n, warm=False, **full) for n in (256, 512))
    assert math.log2(a / b) == pytest.approx(order, abs=0.4)


def test_evaluating_the_corrected_state_costs_twice_and_keeps_the_order():
    one, two = (unipc(VP, GRID, order=2, mode=m) for m in ("PEC", "PECE"))
    assert (one.nfe, two.nfe) == (8, 15)
    assert distance(get("unipc_2_pece")(VP, GRID), two) < 1e-14


def test_the_predictor_alone_is_exponential_adams_bashforth():
    for prediction in ("data", "noise"):
        for k in (1, 3, 5):
            alone = unipc(VP, GRID, order=k, prediction=prediction, corrector=False, rule="exact")
            assert distance(alone, get(f"exp_ab{k}_{prediction}")(VP, GRID)) < 1e-12


def test_the_two_node_rule_matters_for_few_nodes_only():
    maps = wavy_lam(VP, -2.0, 1.5)
    for prediction in ("data", "noise"):
        for order, matters in ((2, True), (3, False), (4, False)):
            a, b = (
                unipc(
                    VP,
                    maps.grid(8),
                    order=order,
                    rule=rule,
                    prediction=prediction,
                    history=maps.history(8, order - 1),
                )
                for rule in ("B1", "B2")
            )
            assert (distance(a, b) > 1e-4) == matters


def test_noise_and_data_are_two_samplers_for_more_than_one_node():
    p = flow_problem("product")
    x = p.starts()
    data = run(unipc(PROCESS, GRID, order=2), p.model("data"), x).x
    noise = run(unipc(PROCESS, GRID, order=2, prediction="noise"), p.model("noise"), x).x
    assert float((data - noise).abs().max()) > 1e-4
    one = [
        run(unipc(PROCESS, GRID, order=1, prediction=k, corrector=False), p.model(k), x).x
        for k in ("data", "noise")
    ]
    torch.testing.assert_close(one[0], one[1], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    "wrong",
    [
        {"rule": "B3"},
        {"prediction": "score"},
        {"mode": "PE"},
        {"start": "cold"},
        {"final": "none"},
    ],
)
def test_a_word_that_is_no_option_is_refused_by_name(wrong: dict):
    (name,) = wrong
    with pytest.raises(InvalidPlanError, match=f"{name} of UniPC must be one of"):
        unipc(VP, GRID, order=2, **wrong)
    with pytest.raises(InvalidPlanError, match="at least 1, got 0"):
        unipc(VP, GRID, order=0)
