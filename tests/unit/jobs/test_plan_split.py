"""Where a plan can be cut, and what the two halves are called."""

from __future__ import annotations

import itertools

import pytest

from fokker.solvers.errors import InvalidPlanError
from fokker.solvers.plan import Input, Plan, Tape
from fokker.solvers.plan_split import live_after, part, pieces, split
from fokker.solvers.process import Node
from fokker.solvers.schedules import VPLinear
from plans import grid, two_step

NODE = VPLinear().node(0.5)


def plan(steps: int = 5) -> Plan:
    return two_step(grid(steps))


def test_the_tail_takes_the_state_and_the_history_by_the_names_that_are_printed():
    head, tail = split(plan(), 3)
    assert set(tail.inputs) <= set(head.outputs)
    assert "x" in tail.inputs
    assert [name for name in tail.inputs if name.startswith("m")] == ["m2"]
    given = tail.ops[tail.inputs["m2"]]
    assert isinstance(given, Input)
    assert given.prediction == "data"
    assert [m.step for m in tail.marks] == [1, 2]


@pytest.mark.parametrize("step", [-1, 0, 5, 6])
def test_only_between_two_steps_can_a_plan_be_cut(step: int):
    with pytest.raises(InvalidPlanError, match=f"step 1 .. 4, got {step}"):
        split(plan(), step)


@pytest.mark.parametrize("every", [1, 2, 3, 5, 9])
def test_pieces_have_the_asked_length_but_for_the_last(every: int):
    parts = pieces(plan(), every)
    lengths = [len(p.marks) for p in parts]
    assert sum(lengths) == 5
    assert set(lengths[:-1]) <= {every}
    with pytest.raises(InvalidPlanError, match="got 0"):
        pieces(plan(), 0)


def _odd() -> Plan:
    """Everything that can be alive at a cut: a constant, a noise, an old state, an output."""
    tape = Tape()
    start, one = tape.input("x", NODE), tape.input("one", NODE)
    noise = tape.noise("lam", 0.0, 1.0)
    early = tape.eval(start, NODE)
    first = tape.mark(tape.lin((start, 0.5), (early, 0.5)), NODE)
    second = tape.lin((first, 1.0), (one, 0.1), (noise, 0.2))
    last = tape.mark(tape.lin((second, 1.0), (start, 0.1)), Node(*NODE))
    return tape.plan(x=last, early=early)


def test_whatever_is_needed_later_is_handed_over():
    whole = _odd()
    head, tail = split(whole, 1)
    assert live_after(whole, 4) == (0, 1, 2, 3, 4)
    assert set(tail.inputs) == {"x0", "one", "ξ0", "m0", "x"}
    assert set(head.outputs) == set(tail.inputs)
    assert (head.nfe, tail.nfe) == (1, 0)
    assert tail.ops[tail.outputs["early"]] == Input("m0", NODE, "data")


@pytest.mark.parametrize(("first", "last"), [(-1, 2), (2, 2), (3, 1), (0, 6)])
def test_what_is_no_part_of_a_plan_is_refused(first: int, last: int):
    with pytest.raises(InvalidPlanError, match="are no part of a plan of 5 steps"):
        part(plan(), first, last)


def test_the_names_at_a_cut_do_not_depend_on_the_other_cuts():
    for every in (1, 2, 3, 4):
        for piece, later in itertools.pairwise(pieces(plan(12), every)):
            assert set(later.inputs) <= set(piece.outputs)
    whole = plan(12)
    assert part(whole, 8, 12).inputs.keys() == split(whole, 8)[1].inputs.keys() == {"x", "m7"}
