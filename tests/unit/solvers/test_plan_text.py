"""Plans as text: a person reads them, and JSON keeps every bit."""

from __future__ import annotations

import json
import math
import struct
from typing import cast

import numpy as np
import pytest
import torch
from hypothesis import given

from fokker.solvers.errors import InvalidPlanError
from fokker.solvers.plan import Input, Lin, Noise, Plan, Tape
from fokker.solvers.plan_text import from_json, names, render, rows, to_json
from fokker.solvers.process import DATA
from fokker.solvers.registry import samplers
from plans import PROCESS, euler, grid, leapfrog, random_plans, two_step


def bits(value: object) -> object:
    """Floats by their bits (so that 0.0 is not -0.0), arrays by bits and shape."""
    if isinstance(value, float):
        return struct.pack("<d", value)
    if isinstance(value, np.ndarray):
        return (value.shape, value.astype("<f8").tobytes())
    if isinstance(value, tuple):
        return tuple(bits(v) for v in value)
    return value


def same(a: Plan, b: Plan) -> bool:
    def row(op: object) -> object:
        return (type(op).__name__, *(bits(getattr(op, k)) for k in vars(type(op))["__slots__"]))

    return (
        list(map(row, a.ops)) == list(map(row, b.ops))
        and dict(a.outputs) == dict(b.outputs)
        and list(map(row, a.marks)) == list(map(row, b.marks))
    )


@given(random_plans(arrays=True))
def test_any_plan_comes_back_from_json_bit_for_bit(plan: Plan):
    text = to_json(plan)
    assert same(from_json(text), plan)
    assert to_json(from_json(text)) == text
    json.loads(text, parse_constant=pytest.fail)  # no NaN and Infinity, which are not JSON


def test_every_registered_plan_comes_back_from_json_bit_for_bit():
    found = samplers("plan")
    assert len(found) > 40
    for sampler in found:
        plan = sampler(PROCESS, grid(6))
        assert same(from_json(to_json(plan)), plan), sampler.name


def test_levels_and_cells_at_the_ends_survive():
    tape = Tape()
    x = tape.input("x", PROCESS.node(1.0)._replace(lam=-math.inf, alpha=0.0, log_alpha=-math.inf))
    xi = tape.noise("snr^1.0", -math.inf, 0.5)
    plan = tape.plan(x=tape.mark(tape.lin((x, -0.0), (xi, 5e-324)), DATA))
    back = from_json(to_json(plan))
    assert same(back, plan)
    assert back.marks[0].node.lam == math.inf
    assert back.ops[1] == Noise("snr^1.0", -math.inf, 0.5)


def test_a_difference_of_one_bit_is_seen():
    plan = euler(grid(3))
    text = to_json(plan)
    weight = cast(Lin, plan.ops[2]).terms[1][1]
    moved = text.replace(repr(weight), repr(math.nextafter(weight, 1.0)), 1)
    assert moved != text
    assert not same(from_json(moved), plan)


def test_learned_weights_are_not_written():
    tape = Tape()
    x = tape.input("x", DATA)
    plan = tape.plan(x=tape.lin((x, torch.tensor(0.5))))
    with pytest.raises(InvalidPlanError, match="only float and NumPy weights"):
        to_json(plan)


GOOD = json.loads(to_json(two_step(grid(1))))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"schema": 99}, "plan schema 99 is not supported; accepted: 1"),
        ({"schema": None}, "schema None"),
        ({"ops": [["sum", []]]}, "a plan row must be input, noise, eval or lin"),
        ({"ops": [["lin", []]]}, "row 0 is an empty sum"),
        ({"ops": [["lin", [[0, 1.0]]]]}, "row 0 refers to vector 0"),
        ({"ops": [["noise", "lam", 0.0, "?", "W"]]}, "not a plan in JSON"),
        ({"ops": [["eval", "a", GOOD["ops"][0][2], "data", ""]]}, "not a plan in JSON"),
        ({"ops": [["input", "x", [1.0], None]]}, "not a plan in JSON"),
        ({"ops": 3}, "not a plan in JSON"),
        ({"outputs": {"x": 99}}, "output 'x' is vector 99"),
        ({"outputs": [0]}, "not a plan in JSON"),
        ({"marks": [[1, 2]]}, "not a plan in JSON"),
    ],
)
def test_what_is_no_plan_is_refused_with_a_sentence(change: dict, complaint: str):
    with pytest.raises(InvalidPlanError, match=complaint):
        from_json(json.dumps({**GOOD, **change}))


LEVEL = GOOD["ops"][0][2]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"schema": True}, "plan schema True"),
        ({"schema": 2}, "plan schema 2 is not supported"),
        ({"ops": [["input", "x", ["nan"] * 6, None]]}, "a number is expected, got 'nan'"),
        ({"ops": [["input", "x", [*LEVEL[:2], 2 * LEVEL[2], *LEVEL[3:]], None]]}, "no level"),
        ({"ops": [["input", "x", [LEVEL[0], LEVEL[1] + 1, *LEVEL[2:]], None]]}, "no level"),
        ({"ops": [["input", "x", LEVEL, "eps"]]}, "unknown prediction 'eps'"),
        ({"ops": [["input", 5, LEVEL, None]]}, "a name is text, got 5"),
        ({"ops": [["noise", 5, 0.0, 1.0, "W"]]}, "a name is text, got 5"),
        ({"ops": [*GOOD["ops"][:1], ["eval", 0, LEVEL, "data", 7]]}, "a name is text, got 7"),
        ({"ops": [*GOOD["ops"][:1], ["eval", 0.0, LEVEL, "data", ""]]}, "whole number, got 0.0"),
        ({"ops": [*GOOD["ops"][:1], ["lin", [[0.5, 1.0]]]]}, "whole number, got 0.5"),
        ({"ops": [*GOOD["ops"][:1], ["lin", [[False, 1.0]]]]}, "whole number, got False"),
        ({"ops": [*GOOD["ops"][:1], ["lin", [[0, "1.5"]]]]}, "a number is expected, got '1.5'"),
        ({"ops": [*GOOD["ops"][:1], ["lin", [[0, True]]]]}, "a number is expected, got True"),
        ({"ops": [*GOOD["ops"][:1], ["lin", [[0, 10**400]]]]}, "not a plan in JSON"),
        ({"outputs": {"x": 0.0}}, "whole number, got 0.0"),
        ({"marks": [[1.0, 2, LEVEL]]}, "whole number, got 1.0"),
    ],
)
def test_a_plan_of_another_hand_is_not_read_in_another_sense(change: dict, complaint: str):
    with pytest.raises(InvalidPlanError, match=complaint):
        from_json(json.dumps({**GOOD, **change}))


def test_a_name_that_occurs_twice_is_refused_and_not_the_last_one_taken():
    text = json.dumps(GOOD).replace('"outputs":', '"outputs": {"x": 0}, "outputs":')
    with pytest.raises(InvalidPlanError, match="a name occurs twice"):
        from_json(text)


def test_text_without_a_bottom_is_refused_with_a_sentence():
    with pytest.raises(InvalidPlanError, match="not a plan in JSON"):
        from_json("[" * 100_000)


def test_a_whole_number_is_a_weight_like_another():
    plan = Plan((Input("x", PROCESS.node(0.5)), Lin(((0, 2), (0, np.float32(0.5))))), {"x": 1})
    back = from_json(to_json(plan)).ops[1]
    assert back == Lin(((0, 2.0), (0, 0.5)))


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"ops": []}', '"plan"'])
def test_text_that_holds_no_plan_is_refused_with_a_sentence(text: str):
    with pytest.raises(InvalidPlanError, match="not a plan in JSON"):
        from_json(text)


def test_a_printed_plan_shows_its_rows_its_steps_and_its_outputs():
    plan = two_step(grid(2), (0.5, 1.25, -0.25))
    t = [node.t for node in grid(2).nodes]
    assert str(plan) == render(plan)
    assert str(plan).splitlines() == [
        f"x0 = input 'x' at t = {t[0]:.6g}",
        f"m-1 = input 'm-1' at t = {t[0]:.6g}",
        f"m0 = data(x0, t = {t[0]:.6g})",
        "x1 = 0.5 x0 + 1.25 m0 - 0.25 m-1",
        f"--- step 1 ends at t = {t[1]:.6g}, lam = -0.5",
        f"m1 = data(x1, t = {t[1]:.6g})",
        "x2 = 0.5 x1 + 1.25 m1 - 0.25 m0",
        f"--- step 2 ends at t = {t[2]:.6g}, lam = 2",
        "outputs: x = x2, m-1 = m1  (nfe 2)",
    ]


def test_noise_heads_and_arrays_are_printed_too():
    tape = Tape()
    x = tape.input("x", PROCESS.node(0.5))
    m = tape.eval(x, PROCESS.node(0.5), "noise", "unconditional")
    xi = tape.noise("lam", -1.0, 0.5, "H")
    plan = tape.plan(x=tape.lin((x, -1.0), (m, np.ones((2, 3))), (xi, 0.1)))
    assert rows(plan)[1:] == [
        "m0 = noise(x0, t = 0.5, unconditional)",
        "ξ0 = noise H on lam [-1, 0.5]",
        "x1 = -1 x0 + <2x3> m0 + 0.1 ξ0",
    ]


@given(random_plans())
def test_every_vector_has_a_name_of_its_own(plan: Plan):
    assert len(set(names(plan))) == len(plan.ops) == len(rows(plan))


def test_an_input_called_like_a_vector_keeps_its_name_to_itself():
    tape = Tape()
    x, m = tape.input("x", DATA), tape.input("m0", DATA, "data")
    plan = tape.plan(x=tape.lin((x, 1.0), (m, 1.0), (tape.eval(x, PROCESS.node(0.5)), 1.0)))
    assert names(plan) == ["x0", "m0", "m1", "x1"]


def test_a_leapfrog_prints_one_paragraph_a_step():
    text = str(leapfrog(grid(4)))
    assert text.count("--- step") == 3
    assert "x-1" in text
    assert Lin.__name__ not in text
