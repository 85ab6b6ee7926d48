"""Plans as text: rows a person can read, and JSON that round-trips bit for bit."""

from __future__ import annotations

import json
import math
from numbers import Real
from typing import Any

import numpy as np

from .errors import InvalidPlanError
from .model import PREDICTIONS
from .plan import Eval, Input, Lin, Mark, Noise, Op, Plan, Weight
from .process import Node

SCHEMA = 1


def names(plan: Plan) -> list[str]:
    """Short names of all vectors: x0, x1, ... states; m0, ... model outputs; xi0, ... noises."""
    counts = {"x": 0, "m": 0, "ξ": 0}
    taken = {op.name for op in plan.ops if isinstance(op, Input)}  # an input may be called m0
    out = []
    for op in plan.ops:
        if isinstance(op, Input) and op.name != "x":
            out.append(op.name)
            continue
        letter = "ξ" if isinstance(op, Noise) else "m" if isinstance(op, Eval) else "x"
        while f"{letter}{counts[letter]}" in taken:
            counts[letter] += 1
        out.append(f"{letter}{counts[letter]}")
        counts[letter] += 1
    return out


def _weight(w: Weight) -> str:
    if isinstance(w, float):
        return f"{w:.6g}"
    return f"<{'x'.join(map(str, np.shape(w))) or 'scalar'}>"


def _sum(terms: list[tuple[str, Weight]]) -> str:
    text = ""
    for name, w in terms:
        sign, body = ("-", -w) if isinstance(w, float) and w < 0 else ("+", w)
        lead = ("-" if sign == "-" else "") if not text else f" {sign} "
        text += f"{lead}{_weight(body)} {name}"
    return text


def rows(plan: Plan) -> list[str]:
    """One line a vector, in the order of computation."""
    label = names(plan)
    out = []
    for i, op in enumerate(plan.ops):
        match op:
            case Input(name=name, node=node):
                out.append(f"{label[i]} = input {name!r} at t = {node.t:.6g}")
            case Noise(clock=clock, a=a, b=b, kind=kind):
                out.append(f"{label[i]} = noise {kind} on {clock} [{a:.6g}, {b:.6g}]")
            case Eval(source=source, node=node, prediction=prediction, head=head):
                extra = f", {head}" if head else ""
                out.append(f"{label[i]} = {prediction}({label[source]}, t = {node.t:.6g}{extra})")
            case Lin(terms=terms):
                out.append(f"{label[i]} = {_sum([(label[j], w) for j, w in terms])}")
    return out


def render(plan: Plan) -> str:
    """All rows, with a ruler after each step, and the outputs."""
    label, ends = names(plan), {m.vector: m for m in plan.marks}
    lines = []
    for i, row in enumerate(rows(plan)):
        lines.append(row)
        if i in ends:
            mark = ends[i]
            lines.append(
                f"--- step {mark.step} ends at t = {mark.node.t:.6g}, lam = {mark.node.lam:.6g}"
            )
    outputs = ", ".join(f"{name} = {label[j]}" for name, j in plan.outputs.items())
    return "\n".join([*lines, f"outputs: {outputs}  (nfe {plan.nfe})"])


def _number(v: float) -> Any:
    return v if math.isfinite(v) else repr(v)


def _node(node: Node) -> list[Any]:
    return [_number(v) for v in node]


def _to_json_weight(w: Weight) -> Any:
    if isinstance(w, Real):
        return float(w)
    if isinstance(w, np.ndarray):
        return {"shape": list(w.shape), "values": [float(v) for v in w.astype(np.float64).ravel()]}
    msg = f"only float and NumPy weights can be written as JSON, got {type(w).__name__}"
    raise InvalidPlanError(msg)


def _to_json_op(op: Op) -> list[Any]:
    match op:
        case Input(name=name, node=node, prediction=prediction):
            return ["input", name, _node(node), prediction]
        case Noise(clock=clock, a=a, b=b, kind=kind):
            return ["noise", clock, _number(a), _number(b), kind]
        case Eval(source=source, node=node, prediction=prediction, head=head):
            return ["eval", source, _node(node), prediction, head]
        case Lin(terms=terms):
            return ["lin", [[j, _to_json_weight(w)] for j, w in terms]]


def to_json(plan: Plan) -> str:
    """The plan as JSON text; floats are written so that they read back to the same bits."""
    return json.dumps(
        {
            "schema": SCHEMA,
            "ops": [_to_json_op(op) for op in plan.ops],
            "outputs": dict(plan.outputs),
            "marks": [[m.step, m.vector, _node(m.node)] for m in plan.marks],
        },
        allow_nan=False,
    )


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON; one that says a thing twice says nothing."""
    found = dict(pairs)
    if len(found) != len(pairs):
        msg = f"a name occurs twice in {[name for name, _ in pairs]}"
        raise ValueError(msg)
    return found


def _whole(v: Any) -> int:
    if type(v) is not int:
        msg = f"a vector or a step is a whole number, got {v!r}"
        raise ValueError(msg)
    return v


def _word(v: Any) -> str:
    if not isinstance(v, str):
        msg = f"a name is text, got {v!r}"
        raise ValueError(msg)
    return v


def _float(v: Any) -> float:
    """A number; infinite ones are written as text, see :func:`_number`."""
    if type(v) not in (int, float) and v not in ("inf", "-inf"):
        msg = f"a number is expected, got {v!r}"
        raise ValueError(msg)
    return float(v)


def _from_json_weight(w: Any) -> Weight:
    if isinstance(w, dict):
        values = np.array([_float(v) for v in w["values"]], dtype=np.float64)
        return values.reshape([_whole(n) for n in w["shape"]])
    return _float(w)


def _from_json_node(values: list[Any]) -> Node:
    """A level whose numbers agree with each other; else every reading of the plan is another."""
    node = Node(*(_float(v) for v in values))
    lam = node.log_alpha - node.log_sigma
    pairs = (
        (lam, node.lam),
        (math.exp(node.log_alpha), node.alpha),
        (math.exp(node.log_sigma), node.sigma),
    )
    if not all(math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9) for a, b in pairs):
        msg = f"these numbers are no level of noise: {values}"
        raise ValueError(msg)
    return node


def _from_json_op(op: list[Any]) -> Op:
    match op:
        case ["input", name, node, prediction]:
            if prediction is not None and prediction not in PREDICTIONS:
                msg = f"an input is of the unknown prediction {prediction!r}"
                raise InvalidPlanError(msg)
            return Input(_word(name), _from_json_node(node), prediction)
        case ["noise", clock, a, b, kind]:
            return Noise(_word(clock), _float(a), _float(b), kind)
        case ["eval", source, node, prediction, head]:
            return Eval(_whole(source), _from_json_node(node), prediction, _word(head))
        case ["lin", terms]:
            return Lin(tuple((_whole(j), _from_json_weight(w)) for j, w in terms))
    msg = f"a plan row must be input, noise, eval or lin, got {op[:1]}"
    raise InvalidPlanError(msg)


def from_json(text: str) -> Plan:
    """The plan that :func:`to_json` wrote.

    Raises
    ------
    InvalidPlanError
        If the text is not JSON, not of this schema, or not a valid plan: a level whose numbers
        disagree, a name that occurs twice, a number written as text.
    """
    try:
        data = json.loads(text, object_pairs_hook=_unique)
        if type(data["schema"]) is not int or data["schema"] != SCHEMA:
            msg = f"plan schema {data['schema']} is not supported; accepted: {SCHEMA}"
            raise InvalidPlanError(msg)
        ops = tuple(_from_json_op(op) for op in data["ops"])
        marks = tuple(Mark(_whole(s), _whole(v), _from_json_node(n)) for s, v, n in data["marks"])
        return Plan(ops, {name: _whole(j) for name, j in data["outputs"].items()}, marks)
    except (
        ArithmeticError,
        LookupError,
        RecursionError,
        ValueError,
        TypeError,
        AttributeError,
    ) as error:
        if isinstance(error, InvalidPlanError):
            raise
        msg = f"not a plan in JSON: {error}"
        raise InvalidPlanError(msg) from error
