"""The Plan: what is refused, what lives how long, and the one interpreter."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import cast

import numpy as np
import pytest
import torch
from hypothesis import given

from fokker.solvers.engine.tables import tables
from fokker.solvers.errors import InvalidPlanError
from fokker.solvers.plan import (
    Eval,
    Input,
    Lin,
    Mark,
    Noise,
    Plan,
    Tape,
    clock_measure,
    combine,
    interpret,
)
from fokker.solvers.registry import get
from plans import PROCESS, euler, grid, leapfrog, random_plans, two_step

NODE = PROCESS.node(0.5)
X = Input("x", NODE)


def refuses(complaint: str, *ops, outputs=None, marks=()) -> None:
    with pytest.raises(InvalidPlanError, match=complaint):
        Plan((X, *ops), outputs or {"x": 0}, tuple(marks))


def test_a_row_may_use_earlier_vectors_only():
    refuses("row 1 refers to vector 1", Lin(((1, 1.0),)))
    refuses("row 1 refers to vector 2", Eval(2, NODE))
    refuses("row 1 refers to vector -1", Lin(((0, 1.0), (-1, 1.0))))
    refuses("row 1 refers to vector 5", Lin(((5, 1.0),)))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_weights_must_be_finite_numbers_arrays_and_tensors_alike(bad: float):
    refuses(f"row 1 has the weight {bad} on vector 0", Lin(((0, bad),)))
    refuses("row 1 has an array of weights on vector 0", Lin(((0, np.array([1.0, bad])),)))
    refuses("row 1 has an array of weights on vector 0", Lin(((0, torch.tensor([bad])),)))


def test_what_is_no_real_number_is_no_weight_and_no_vector():
    for bad in (1j, "1", None):
        refuses(f"row 1 has the weight {bad} on vector 0", Lin(((0, bad),)))
    for array in (np.array([1j]), torch.tensor([1j]), np.array(["1"])):
        refuses("row 1 has an array of weights on vector 0", Lin(((0, array),)))
    refuses("row 1 refers to vector 0.0", Lin(((cast(int, 0.0), 1.0),)))


def test_an_empty_sum_is_no_row():
    refuses("row 1 is an empty sum", Lin(()))
    with pytest.raises(InvalidPlanError, match="at least one vector"):
        Tape().lin()


def test_an_unknown_prediction_is_refused_with_the_accepted_ones():
    refuses("'eps'; accepted: data, noise", Eval(0, NODE, "eps"))


def test_outputs_and_marks_must_name_vectors_of_the_plan():
    refuses("output 'm-1' is vector 7, but the plan has 1 vectors", outputs={"m-1": 7})
    refuses("output 'x' is vector -1", outputs={"x": -1})
    refuses("mark 1 names vector 3", marks=[Mark(1, 3, NODE)])
    refuses("mark 1 .* after step 2", marks=[Mark(2, 0, NODE)])
    row = Lin(((0, 1.0),))
    refuses("mark 2 names vector 1", row, marks=[Mark(1, 1, NODE), Mark(2, 1, NODE)])


def test_two_inputs_of_one_name_are_refused():
    refuses(r"two inputs share a name: \['x', 'x'\]", X)


@pytest.mark.parametrize("clock", ["lam", "t", "rho2", "snr^1.0", "churn"])
def test_noise_cells_of_a_clock_may_touch_but_not_overlap(clock: str):
    down = -1 if clock == "t" else 1

    def cell(a: float, b: float, kind: str = "W", on: str = clock) -> Noise:
        return Noise(on, down * a, down * b, kind)

    Plan((X, cell(0.0, 1.0), cell(1.0, 2.0), cell(-3.0, 0.0)), {"x": 0})
    Plan((X, cell(0.0, 1.0), cell(0.0, 1.0, "H"), cell(0.0, 1.0, on="snr^0.5")), {"x": 0})
    for other in (cell(0.0, 1.0), cell(0.5, 0.7), cell(-1.0, 0.1), cell(-5.0, 5.0)):
        refuses("overlap", cell(0.0, 1.0), cell(2.0, 3.0), other)


def test_cells_that_are_none_are_refused():
    refuses("two ends must differ", Noise("lam", 1.0, 1.0))
    refuses("two ends must differ", Noise("lam", math.nan, 1.0))
    refuses("type must be W or H", Noise("lam", 0.0, 1.0, "Z"))
    for clock in ("sigma", "snr^", "snr^x", "snr^-1.0", "snr^0.0", "snr^nan"):
        refuses("noise clock", Noise(clock, 0.0, 1.0))


def test_clocks_measure_the_variance_of_their_increment():
    assert clock_measure("lam", -1.0, 0.5) == 1.5
    assert clock_measure("t", 0.9, 0.4) == 0.5
    assert clock_measure("churn", -1.0, 0.5) == 1.0
    low, high = -0.3, 0.4
    assert clock_measure("rho2", low, high) == pytest.approx(
        math.exp(-2 * low) - math.exp(-2 * high), rel=1e-14
    )
    assert clock_measure("snr^0.5", low, high) == pytest.approx(
        math.exp(high) - math.exp(low), rel=1e-14
    )
    # no cancellation in a short cell far from zero
    assert clock_measure("snr^1.0", 5.0, 5.0 + 2.0**-40) == pytest.approx(
        2 * math.exp(10.0) * 2.0**-40, rel=1e-11, abs=0.0
    )


def test_clocks_reach_the_ends_of_the_process():
    assert clock_measure("snr^1.0", -math.inf, 0.5) == pytest.approx(math.exp(1.0))
    assert clock_measure("rho2", 0.5, math.inf) == pytest.approx(math.exp(-1.0))
    for clock, a, b in (("snr^1.0", 0.0, math.inf), ("rho2", -math.inf, 0.0)):
        assert clock_measure(clock, a, b) == math.inf
    for clock, a, b in (("lam", -math.inf, 0.0), ("snr^1.0", 0.0, 400.0)):
        assert clock_measure(clock, a, b) == math.inf


def test_the_tape_merges_equal_vectors_and_drops_exact_zeros():
    tape = Tape()
    x, y = tape.input("x", NODE), tape.input("y", NODE)
    row = tape.lin((x, 1), (y, 0.0), (x, np.float64(0.5)))
    only_zero = tape.lin((y, 0.0))
    plan = tape.plan(x=row, y=only_zero)
    assert plan.ops[row] == Lin(((x, 1.5),))
    assert plan.ops[only_zero] == Lin(((y, 0.0),))


def test_the_tape_asks_the_same_question_once():
    tape = Tape()
    x = tape.input("x", NODE)
    first = tape.eval(x, NODE, "data")
    assert tape.eval(x, NODE, "data") == first
    assert tape.eval(x, NODE, "noise") != first
    assert tape.eval(x, PROCESS.node(0.4), "data") != first
    assert tape.eval(x, NODE, "data", "unconditional") != first
    assert tape.plan(x=x).nfe == 3  # data and noise at one place are one evaluation


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("ddim", 3),
        ("dpmpp_2m", 4),
        ("dpmpp_3m", 5),
        ("unipc_2", 5),
        ("unipc_3", 6),
        ("dpmpp_2s", 3),
        ("sde_dpmpp_2m", 5),
        ("ancestral", 4),
    ],
)
def test_peaks_of_live_vectors_are_those_counted_by_hand(name: str, peak: int):
    for steps in (6, 40):
        assert get(name)(PROCESS, grid(steps)).peak_live == peak


def test_a_leapfrog_holds_four_vectors():
    assert leapfrog(grid(9)).peak_live == 4


@given(random_plans())
def test_a_vector_dies_at_its_last_use_and_outputs_never(plan: Plan):
    dead_at = {j: i for i, dead in enumerate(plan.deaths) for j in dead}
    kept = set(plan.outputs.values())
    assert set(dead_at) | kept == set(range(len(plan.ops)))
    assert not set(dead_at) & kept
    for j, i in dead_at.items():
        readers = [k for k, (ids, _) in enumerate(plan.columns) if j in ids]
        assert i == max([j, *readers])


@given(random_plans())
def test_the_interpreter_holds_no_more_than_the_peak(plan: Plan):
    live: set[int] = set()
    most = 0

    def after(row: int, _vector: float) -> None:
        nonlocal most
        live.add(row)
        most = max(most, len(live))

    out = interpret(
        plan,
        inputs=dict.fromkeys(plan.inputs, 1.0),
        evaluate=lambda _i, _op, x: 0.5 * x,
        draw=lambda _i, _op: 1.0,
        after=after,
        forget=lambda row, _vector: live.remove(row),
    )
    assert most == plan.peak_live
    assert set(out) == set(plan.outputs)


@given(random_plans())
def test_the_rows_that_first_read_an_output_are_known(plan: Plan):
    seen: set[int] = set()
    for i, op in enumerate(plan.ops):
        new = set()
        if isinstance(op, Lin):
            new = {j for j, _ in op.terms if isinstance(plan.ops[j], Eval)} - seen
            seen |= new
        assert (i in tables(plan).arrivals) == bool(new)


def test_the_interpreter_computes_the_rows():
    plan = two_step(grid(2), (0.5, 2.0, -1.0))
    nodes = grid(2).nodes
    out = interpret(
        plan,
        inputs={"x": 3.0, "m-1": 7.0, "unused": None},
        evaluate=lambda _i, op, x: x + op.node.t,
        draw=lambda _i, _op: 0.0,
    )
    m0 = 3.0 + nodes[0].t
    x1 = 0.5 * 3.0 + 2.0 * m0 - 7.0
    m1 = x1 + nodes[1].t
    assert out == {"x": 0.5 * x1 + 2.0 * m1 - m0, "m-1": m1}


def test_a_missing_input_is_named():
    with pytest.raises(InvalidPlanError, match=r"needs the inputs \['m-1', 'x'\]; 'm-1'"):
        interpret(
            two_step(grid(1)),
            inputs={"x": 0.0},
            evaluate=lambda _i, _op, x: x,
            draw=lambda _i, _op: 0.0,
        )


def test_sums_are_taken_in_the_order_of_the_row_for_floats_arrays_and_tensors():
    weights, values = (0.1, -3.0, 1e-9), (2.0, 0.3, 1e9)
    plain = combine(weights, values)
    assert plain == (0.1 * 2.0 + 0.3 * -3.0) + 1e9 * 1e-9
    np.testing.assert_array_equal(combine(weights, tuple(np.full(2, v) for v in values)), plain)
    tensors = tuple(torch.full((2,), v, dtype=torch.float64) for v in values)
    assert combine(weights, tensors).tolist() == [plain, plain]


def test_nfe_counts_places_and_not_rows():
    assert euler(grid(7)).nfe == 7
    assert get("unipc_2")(PROCESS, grid(7)).nfe == 7
    assert get("dpmpp_2s")(PROCESS, grid(7)).nfe == 14


def test_a_plan_is_not_changed_by_replacing_one_of_its_rows():
    plan = euler(grid(2))
    ops = list(plan.ops)
    ops[2] = replace(ops[2], terms=((0, 0.0),))
    other = Plan(tuple(ops), plan.outputs, plan.marks)
    assert other.ops[2] != plan.ops[2]
    assert plan == euler(grid(2))
