"""A plan cut after a step: a long run that stops there, and goes on another day.

What a run needs from its past is what is live after a step: the state, and for multistep methods
some model outputs. :func:`split` makes it an output of the first plan and an input of the second,
by name. No weight, no noise cell and no order of terms changes, so running the two plans is the
whole run, bit for bit, and no evaluation is made twice.

It is not a restart of the sampler: a multistep method keeps its order, because it keeps its
history. The names are those of the printed plan (``m3``, ``x4``, ``ξ2``), whatever the other cuts;
the state after the step is ``x``, an input that is still needed keeps its name.
"""

from __future__ import annotations

import itertools

from .errors import InvalidPlanError
from .ops import Eval, Input, Lin, Mark, Op
from .plan import Plan
from .plan_text import names
from .process import Node


def split(plan: Plan, step: int) -> tuple[Plan, Plan]:
    """The plan as ``(head, tail)``, cut after a step.

    ``run(tail, model, mid.x, history=mid.outputs)`` goes on where
    ``mid = run(head, model, x)`` stopped; ``compose(head, tail)`` is the plan. The tail counts its
    steps from 1.

    Parameters
    ----------
    plan : Plan
        Any plan with marked steps.
    step : int
        The last step of the head, ``1 .. steps - 1``.

    Raises
    ------
    InvalidPlanError
        If the plan has no such step, or none after it.
    """
    steps = len(plan.marks)
    if not 1 <= step < steps:
        msg = f"a plan of {steps} steps can be cut after step 1 .. {steps - 1}, got {step}"
        raise InvalidPlanError(msg)
    return part(plan, 0, step), part(plan, step, steps)


def pieces(plan: Plan, every: int) -> tuple[Plan, ...]:
    """The plan cut after every ``every`` steps; the last piece has what is left.

    Raises
    ------
    InvalidPlanError
        If ``every`` is less than 1.
    """
    if every < 1:
        msg = f"a plan is cut after every 1, 2, ... steps, got {every}"
        raise InvalidPlanError(msg)
    steps = len(plan.marks)
    return tuple(part(plan, s, min(s + every, steps)) for s in range(0, max(steps, 1), every))


def part(plan: Plan, first: int, last: int) -> Plan:
    """The steps ``first + 1 .. last`` of a plan, from what is live after step ``first``.

    Raises
    ------
    InvalidPlanError
        If these are no steps of the plan.
    """
    steps = len(plan.marks)
    if not 0 <= first < max(last, 1) or last > steps:
        msg = f"steps {first + 1} .. {last} are no part of a plan of {steps} steps"
        raise InvalidPlanError(msg)
    cut = plan.marks[first - 1] if first else None
    begin = cut.vector if cut else -1
    end = plan.marks[last - 1].vector if last < steps else len(plan.ops) - 1
    taken = _named(plan, first)
    ends = {m.vector: m.node for m in plan.marks}
    given = [_given(plan.ops[j], name, ends.get(j, cut.node)) for name, j in taken.items() if cut]
    new = {j: k for k, j in enumerate((*taken.values(), *range(begin + 1, end + 1)))}
    put_out = plan.outputs
    if last < steps:
        put_out = {"x": end, **_named(plan, last)}
    return Plan(
        (*given, *(_renumbered(op, new) for op in plan.ops[begin + 1 : end + 1])),
        {name: new[j] for name, j in put_out.items()},
        tuple(Mark(m.step - first, new[m.vector], m.node) for m in plan.marks[first:last]),
    )


def live_after(plan: Plan, row: int) -> tuple[int, ...]:
    """The vectors defined up to ``row`` that a later row or an output still needs."""
    dead = set(itertools.chain.from_iterable(plan.deaths[: row + 1]))
    return tuple(j for j in range(row + 1) if j not in dead)


def _named(plan: Plan, step: int) -> dict[str, int]:
    """What is live after a step, by name."""
    if not step:
        return {}
    state = plan.marks[step - 1].vector
    label = names(plan)
    return {"x" if j == state else label[j]: j for j in live_after(plan, state)}


def _given(op: Op, name: str, node: Node) -> Input:
    """A live vector as an input; what has no level of its own is given at that of the cut."""
    if isinstance(op, (Eval, Input)):
        return Input(name, op.node, op.prediction)
    return Input(name, node)


def _renumbered(op: Op, new: dict[int, int]) -> Op:
    if isinstance(op, Lin):
        return Lin(tuple((new[j], w) for j, w in op.terms))
    if isinstance(op, Eval):
        return Eval(new[op.source], op.node, op.prediction, op.head)
    return op
