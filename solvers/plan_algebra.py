"""Functions from plans to plans: compose, invert, change prediction; and when two are equal."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from .errors import InvalidPlanError, NotInvertibleError
from .model import SIGMA_DATA, conversion
from .plan import Eval, Input, Lin, Mark, Noise, Op, Plan, Tape, interpret
from .process import Array


def _shift(op: Op, new: dict[int, int]) -> Op:
    if isinstance(op, Lin):
        return Lin(tuple((new[j], w) for j, w in op.terms))
    if isinstance(op, Eval):
        return replace(op, source=new[op.source])
    return op


def compose(first: Plan, second: Plan) -> Plan:
    """Run ``first``, then ``second``: outputs feed equally named inputs.

    An input of ``second`` that ``first`` does not deliver stays an input of the whole. Switching
    samplers half way is this: the outputs ``m-1``, ``m-2`` of the first half are the history of
    the second.

    Raises
    ------
    InvalidPlanError
        If the sample of ``first`` is not at the noise level where ``second`` begins.
    """
    ends = {m.vector: m.node for m in first.marks}
    ops, new = list(first.ops), {}
    for i, op in enumerate(second.ops):
        if isinstance(op, Input) and op.name in first.outputs:
            new[i] = first.outputs[op.name]
            end = ends.get(new[i])
            if end is not None and not math.isclose(
                end.lam, op.node.lam, rel_tol=1e-9, abs_tol=1e-9
            ):
                msg = f"{op.name!r} ends at lam = {end.lam}, but the next plan begins at lam = {op.node.lam}"
                raise InvalidPlanError(msg)
            continue
        new[i] = len(ops)
        ops.append(_shift(op, new))
    outputs = {name: new[j] for name, j in second.outputs.items()}
    marks = [Mark(len(first.marks) + m.step, new[m.vector], m.node) for m in second.marks]
    return Plan(tuple(ops), outputs, (*first.marks, *marks))


def to_prediction(plan: Plan, prediction: str, sigma_data: float = SIGMA_DATA) -> Plan:
    """The same sampler, asking the model for another prediction; one more row per evaluation.

    History inputs and outputs keep the prediction they were declared with.
    """
    tape, new = Tape(), {}
    ends = {m.vector: m for m in plan.marks}
    for i, op in enumerate(plan.ops):
        match op:
            case Input(name=name, node=node, prediction=p):
                new[i] = tape.input(name, node, p)
            case Noise(clock=clock, a=a, b=b, kind=kind):
                new[i] = tape.noise(clock, a, b, kind)
            case Lin(terms=terms):
                new[i] = tape.lin(*((new[j], w) for j, w in terms))
            case Eval(source=source, node=node, prediction=p, head=head):
                x = new[source]
                out = tape.eval(x, node, prediction, head)
                a, b = conversion(prediction, p, node, sigma_data)
                new[i] = out if p == prediction else tape.lin((x, a), (out, b))
        if i in ends:
            tape.mark(new[i], ends[i].node)
    return tape.plan(**{name: new[j] for name, j in plan.outputs.items()})


def invert(plan: Plan) -> Plan:
    """The plan that recovers the inputs of ``plan`` from its outputs, with the same noises.

    Rows are solved for their one unknown vector, evaluations are repeated where their state is
    known. That works for samplers with an algebraic inverse (two-step leapfrogs and their kin); a
    sampler whose step evaluates the model at the unknown state has none.

    Raises
    ------
    NotInvertibleError
        If the rows cannot be solved one after another; the sentence names the first that is left.
    """
    tape = Tape()
    nodes = {m.vector: m.node for m in plan.marks} | {
        i: op.node for i, op in enumerate(plan.ops) if isinstance(op, (Input, Eval))
    }
    some_node = next(iter(nodes.values()))
    known = {j: tape.input(name, nodes.get(j, some_node)) for name, j in plan.outputs.items()}
    progress = True
    while progress:
        progress = False
        for i in range(len(plan.ops) - 1, -1, -1):
            progress |= _solve_row(tape, plan, i, known)
    left = [op.name for i, op in enumerate(plan.ops) if isinstance(op, Input) and i not in known]
    if left:
        msg = f"the input {left[0]!r} cannot be recovered from the outputs {sorted(plan.outputs)} row by row"
        raise NotInvertibleError(msg)
    return tape.plan(**{name: known[i] for name, i in plan.inputs.items()})


def _solve_row(tape: Tape, plan: Plan, i: int, known: dict[int, int]) -> bool:
    """Learn one vector from row i if it has exactly one unknown; say whether something was learnt."""
    op = plan.ops[i]
    if isinstance(op, Noise) and i not in known:
        known[i] = tape.noise(op.clock, op.a, op.b, op.kind)
        return True
    if isinstance(op, Eval) and i not in known and op.source in known:
        known[i] = tape.eval(known[op.source], op.node, op.prediction, op.head)
        return True
    if not isinstance(op, Lin):
        return False
    unknown = [j for j in (i, *(j for j, _ in op.terms)) if j not in known]
    if len(unknown) != 1:
        return False
    (j,) = unknown
    weights = dict(op.terms)
    if j == i:
        known[i] = tape.lin(*((known[k], w) for k, w in op.terms))
    else:
        rest = ((known[k], -w / weights[j]) for k, w in op.terms if k != j)
        known[j] = tape.lin((known[i], 1.0 / weights[j]), *rest)
    return True


def leaves(plan: Plan) -> list[int]:
    """Inputs, then noises by cell, then evaluations in order: the coordinates of the canonical form."""

    def key(i: int) -> tuple:
        match plan.ops[i]:
            case Input(name=name):
                return (0, name)
            case Noise(clock=clock, kind=kind, a=a, b=b):
                return (1, clock, kind, a, b)
            case _:
                return (2, i)

    found = [i for i, op in enumerate(plan.ops) if not isinstance(op, Lin)]
    return sorted(found, key=key)


def canonical(plan: Plan) -> Array:
    """Every evaluated state and every output, written on the leaves alone.

    Shape ``(evaluations + outputs, leaves)``; outputs in alphabetical order. Only scalar weights
    have a canonical form. Two plans compute the same thing iff these matrices, the levels of
    their evaluations and their noise cells agree.
    """
    order = leaves(plan)
    eye = np.eye(len(order))
    unit = {i: eye[k] for k, i in enumerate(order)}
    seen: list[Array] = []

    def evaluate(i: int, _op: Eval, x: Array) -> Array:
        seen.append(x)
        return unit[i]

    inputs = {name: unit[i] for name, i in plan.inputs.items()}
    out = interpret(plan, inputs=inputs, evaluate=evaluate, draw=lambda i, _: unit[i])
    return np.stack([*seen, *(out[name] for name in sorted(out))])


def _labels(plan: Plan) -> list[tuple]:
    out: list[tuple] = [("out", *sorted(plan.outputs))]
    for i in leaves(plan):
        match plan.ops[i]:
            case Input(name=name):
                out.append(("input", name))
            case Noise(clock=clock, a=a, b=b, kind=kind):
                out.append((clock, kind, a, b))
            case Eval(node=node, prediction=prediction, head=head):
                out.append((prediction, head, node.lam))
    return out


def _same_label(a: tuple, b: tuple) -> bool:
    return len(a) == len(b) and all(
        math.isclose(u, v, rel_tol=1e-12, abs_tol=1e-12)
        if isinstance(u, float) and isinstance(v, float)
        else u == v
        for u, v in zip(a, b, strict=True)
    )


def distance(a: Plan, b: Plan) -> float:
    """Largest entry of the difference of canonical forms; ``inf`` if the leaves differ.

    0 (up to rounding) means: same evaluations at the same levels, same noises, same outputs, so the
    two samplers agree for every model whatsoever.
    """
    la, lb = _labels(a), _labels(b)
    if len(la) != len(lb) or not all(_same_label(u, v) for u, v in zip(la, lb, strict=True)):
        return math.inf
    return float(np.abs(canonical(a) - canonical(b)).max())
