"""Plans as text: rows a person can read, and JSON that round-trips bit for bit."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from .errors import InvalidPlanError
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
    if isinstance(w, float):
        return w
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


def _from_json_weight(w: Any) -> Weight:
    if isinstance(w, dict):
        return np.array(w["values"], dtype=np.float64).reshape(w["shape"])
    return float(w)


def _from_json_node(values: list[Any]) -> Node:
    return Node(*(float(v) for v in values))


def _from_json_op(op: list[Any]) -> Op:
    match op:
        case ["input", name, node, prediction]:
            return Input(name, _from_json_node(node), prediction)
        case ["noise", clock, a, b, kind]:
            return Noise(clock, float(a), float(b), kind)
        case ["eval", source, node, prediction, head]:
            return Eval(source, _from_json_node(node), prediction, head)
        case ["lin", terms]:
            return Lin(tuple((j, _from_json_weight(w)) for j, w in terms))
    msg = f"a plan row must be input, noise, eval or lin, got {op[:1]}"
    raise InvalidPlanError(msg)


def from_json(text: str) -> Plan:
    """The plan that :func:`to_json` wrote.

    Raises
    ------
    InvalidPlanError
        If the text is not JSON, not of this schema, or not a valid plan.
    """
    try:
        data = json.loads(text)
        if data["schema"] != SCHEMA:
            msg = f"plan schema {data['schema']} is not supported; accepted: {SCHEMA}"
            raise InvalidPlanError(msg)
        ops = tuple(_from_json_op(op) for op in data["ops"])
        marks = tuple(Mark(s, v, _from_json_node(n)) for s, v, n in data["marks"])
        return Plan(ops, data["outputs"], marks)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, InvalidPlanError):
            raise
        msg = f"not a plan in JSON: {error}"
        raise InvalidPlanError(msg) from error
