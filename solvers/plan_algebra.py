"""Functions from plans to plans: compose, invert, change prediction; and when two are equal."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from .errors import InvalidPlanError, NotInvertibleError
from .model import SIGMA_DATA, conversion
from .plan import Eval, Input, Lin, Noise, Op, Plan, Tape, Weight, combine, interpret
from .process import Array


def compose(first: Plan, second: Plan) -> Plan:
    """Run ``first``, then ``second``: outputs feed equally named inputs.

    An input of ``second`` that ``first`` does not deliver stays an input of the whole. Switching
    samplers half way is this: the outputs ``m-1``, ``m-2`` of the first half are the history of
    the second. What both halves ask of the model is asked once.

    Raises
    ------
    InvalidPlanError
        If what ``first`` delivers is at another level (lam, or alpha: another process), or another
        prediction, than the input of ``second`` that it feeds.
    """
    tape = Tape()
    new = _copy(tape, first, {})
    given = {name: new[j] for name, j in first.outputs.items()}
    for name, i in second.inputs.items():
        if name in given:
            _check_joint(name, first, second.ops[i])
    new = _copy(tape, second, given)
    return tape.plan(**{name: new[j] for name, j in second.outputs.items()})


def _check_joint(name: str, first: Plan, wanted: Op) -> None:
    given = first.ops[first.outputs[name]]
    nodes = {m.vector: m.node for m in first.marks}
    node = given.node if isinstance(given, (Eval, Input)) else nodes.get(first.outputs[name])
    want = wanted.node if isinstance(wanted, Input) else None
    if node and want and not math.isclose(node.lam, want.lam, rel_tol=1e-9, abs_tol=1e-9):
        msg = f"{name!r} ends at lam = {node.lam}, but the next plan takes it at lam = {want.lam}"
        raise InvalidPlanError(msg)
    if node and want and not math.isclose(node.alpha, want.alpha, rel_tol=1e-6, abs_tol=1e-12):
        msg = (
            f"{name!r} ends at alpha = {node.alpha}, but the next plan takes it at alpha = "
            f"{want.alpha}: the two plans are of different processes"
        )
        raise InvalidPlanError(msg)
    have = given.prediction if isinstance(given, (Eval, Input)) else None
    need = wanted.prediction if isinstance(wanted, Input) else None
    if have and need and have != need:
        msg = (
            f"{name!r} is a {have} prediction, but the next plan takes a {need} prediction; "
            "bring one of the plans to the other's with to_prediction"
        )
        raise InvalidPlanError(msg)


def to_prediction(plan: Plan, prediction: str, sigma_data: float = SIGMA_DATA) -> Plan:
    """The same sampler, asking the model for another prediction; one more row per evaluation.

    History inputs and outputs keep the prediction they were declared with.
    """
    tape = Tape()

    def ask(x: int, op: Eval) -> int:
        out = tape.eval(x, op.node, prediction, op.head)
        if op.prediction == prediction:
            return out
        a, b = conversion(prediction, op.prediction, op.node, sigma_data)
        return tape.lin((x, a), (out, b))

    new = _copy(tape, plan, {}, ask)
    return tape.plan(**{name: new[j] for name, j in plan.outputs.items()})


def rewrite(plan: Plan, ask: Callable[[Tape, int, Eval], int]) -> Plan:
    """The plan with every evaluation replaced by what ``ask(tape, state, op)`` writes for it.

    Evaluations are asked for in their order; ``ask`` returns the vector that stands for the
    model's output from there on. Inputs, noises, sums and marks are copied.
    """
    tape = Tape()
    new = _copy(tape, plan, {}, lambda x, op: ask(tape, x, op))
    return tape.plan(**{name: new[j] for name, j in plan.outputs.items()})


def _copy(
    tape: Tape,
    plan: Plan,
    given: Mapping[str, int],
    ask: Callable[[int, Eval], int] | None = None,
) -> dict[int, int]:
    """Write a plan onto a tape, its inputs taken from ``given``; the new id of each vector."""
    new: dict[int, int] = {}
    ends = {m.vector: m.node for m in plan.marks}
    for i, op in enumerate(plan.ops):
        match op:
            case Input(name=name, node=node, prediction=p):
                new[i] = given[name] if name in given else tape.input(name, node, p)
            case Noise(clock=clock, a=a, b=b, kind=kind):
                new[i] = tape.noise(clock, a, b, kind)
            case Lin(terms=terms):
                new[i] = tape.lin(*((new[j], w) for j, w in terms))
            case Eval(source=source, node=node, prediction=p, head=head):
                x = new[source]
                new[i] = ask(x, op) if ask else tape.eval(x, node, p, head)
        if i in ends:
            tape.mark(new[i], ends[i])
    return new


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
        msg = (
            f"the input {left[0]!r} cannot be recovered row by row "
            f"from the outputs {sorted(plan.outputs)}"
        )
        raise NotInvertibleError(msg)
    return tape.plan(**{name: known[i] for name, i in plan.inputs.items()})


def _solve_row(tape: Tape, plan: Plan, i: int, known: dict[int, int]) -> bool:
    """Learn one vector from row i if it has exactly one unknown; say whether one was learnt."""
    op = plan.ops[i]
    if isinstance(op, Noise) and i not in known:
        known[i] = tape.noise(op.clock, op.a, op.b, op.kind)
        return True
    if isinstance(op, Eval) and i not in known and op.source in known:
        known[i] = tape.eval(known[op.source], op.node, op.prediction, op.head)
        return True
    if not isinstance(op, Lin):
        return False
    weights: dict[int, Weight] = {}
    for k, w in op.terms:
        weights[k] = weights[k] + w if k in weights else w
    unknown = [j for j in (i, *weights) if j not in known]
    if len(unknown) != 1:
        return False
    (j,) = unknown
    if j == i:
        known[i] = tape.lin(*((known[k], w) for k, w in weights.items()))
        return True
    if not np.all(_host(weights[j]) != 0):
        return False
    rest = ((known[k], -w / weights[j]) for k, w in weights.items() if k != j)
    known[j] = tape.lin((known[i], 1.0 / weights[j]), *rest)
    return True


def _host(w: Weight) -> Array:
    """The numbers of a weight; those of a learned one without its graph."""
    return np.asarray(w.detach().cpu() if hasattr(w, "detach") else w)


def leaves(plan: Plan) -> list[int]:
    """The coordinates of the canonical form: inputs, then noises by cell, then evaluations."""

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

    Raises
    ------
    InvalidPlanError
        If a weight is an array.
    """
    for i, op in enumerate(plan.ops):
        if isinstance(op, Lin) and any(np.ndim(w) > 0 for _, w in op.terms):
            msg = f"row {i} has an array for a weight; only scalar weights have a canonical form"
            raise InvalidPlanError(msg)
    order = leaves(plan)
    eye = np.eye(len(order))
    unit = {i: eye[k] for k, i in enumerate(order)}
    seen: list[Array] = []

    def evaluate(i: int, _op: Eval, x: Array) -> Array:
        seen.append(x)
        return unit[i]

    def add(_row: int, weights: tuple[Weight, ...], vectors: tuple[Array, ...]) -> Array:
        return combine(tuple(float(_host(w)) for w in weights), vectors)

    inputs = {name: unit[i] for name, i in plan.inputs.items()}
    out = interpret(plan, inputs=inputs, evaluate=evaluate, draw=lambda i, _: unit[i], add=add)
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

    Levels of evaluations are compared by lam, so plans on two processes are at a finite distance;
    the alpha of each counts as one more entry. 0 (up to rounding) means: same evaluations at the
    same levels, same noises, same outputs, so the two samplers agree for every model whatsoever.
    """
    la, lb = _labels(a), _labels(b)
    if len(la) != len(lb) or not all(_same_label(u, v) for u, v in zip(la, lb, strict=True)):
        return math.inf
    entries = np.abs(canonical(a) - canonical(b)).max()
    alphas = ([op.node.alpha for op in plan.ops if isinstance(op, Eval)] for plan in (a, b))
    apart = (abs(u - v) for u, v in zip(*alphas, strict=True))
    return float(max(entries, *apart, 0.0))
