"""Gradients through a run at less memory: the plan is cut, and parts are run again.

Discretise, then optimise: the gradient is that of the numbers that the sampler computes, not of
the ODE. Plain backpropagation keeps what the model saved in every step. Here only the states at a
few cuts are kept, and each part of the plan is run once more when its gradient is due: the same
gradient, one more evaluation a step, memory ``cuts + steps/cuts``, least at ``sqrt(steps)`` cuts
(Chen, Xu, Zhang & Guestrin 2016, arXiv:1604.06174, for layers of a network).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint, set_checkpoint_early_stop

from ..errors import InvalidPlanError
from ..model import Model
from ..noise import NoiseSource
from ..ops import sources
from ..plan import Eval, Input, Lin, Noise, Plan, Tape
from ..process import Node
from ..run import run


class Part(NamedTuple):
    """A stretch of a plan as a plan of its own, and the vectors that go in and come out.

    ``takes`` and ``gives`` are vectors of the whole plan; the first of each is called ``x`` in the
    part, the others ``v<id>``.
    """

    plan: Plan
    takes: tuple[int, ...]
    gives: tuple[int, ...]


def cut(plan: Plan, parts: int) -> list[Part]:
    """Cut a plan at the ends of steps into parts of about equal numbers of steps.

    What a part takes is what it reads of earlier parts; what it gives is what later ones, or the
    outputs of the plan, need of it. Run one after another the parts compute what the plan does.

    Raises
    ------
    InvalidPlanError
        If ``parts`` is not a number of steps of the plan.
    """
    steps = len(plan.marks)
    if isinstance(parts, bool) or not isinstance(parts, int) or not 1 <= parts <= steps:
        msg = f"a plan of {steps} steps is cut into 1 .. {steps} parts, got {parts!r}"
        raise InvalidPlanError(msg)
    ends = [plan.marks[round(steps * k / parts) - 1].vector for k in range(1, parts)]
    edges = [-1, *ends, len(plan.ops) - 1]
    last = {j: i for i, op in enumerate(plan.ops) for j in sources(op)}
    last |= dict.fromkeys(plan.outputs.values(), len(plan.ops))
    nodes = {m.vector: m.node for m in plan.marks} | {
        i: op.node for i, op in enumerate(plan.ops) if isinstance(op, (Input, Eval))
    }
    found = []
    for first, end in pairwise(edges):
        rows = range(first + 1, end + 1)
        inner = [i for i in rows if not isinstance(plan.ops[i], Input)]
        takes = tuple(sorted({j for i in inner for j in sources(plan.ops[i])} - set(inner)))
        gives = tuple(i for i in inner if last.get(i, -1) > end)
        found.append(Part(_part(plan, inner, takes, gives, nodes), takes, gives))
    return found


def _part(
    plan: Plan,
    rows: list[int],
    takes: tuple[int, ...],
    gives: tuple[int, ...],
    nodes: dict[int, Node],
) -> Plan:
    tape = Tape()
    some = nodes[min(nodes)]
    names = zip(_names(takes), takes, strict=True)
    new = {j: tape.input(name, nodes.get(j, some)) for name, j in names}
    for i in rows:
        match plan.ops[i]:
            case Noise(clock=clock, a=a, b=b, kind=kind):
                new[i] = tape.noise(clock, a, b, kind)
            case Lin(terms=terms):
                new[i] = tape.lin(*((new[j], w) for j, w in terms))
            case Eval(source=source, node=node, prediction=prediction, head=head):
                new[i] = tape.eval(new[source], node, prediction, head)
    return tape.plan(**dict(zip(_names(gives), (new[i] for i in gives), strict=True)))


def _names(vectors: tuple[int, ...]) -> list[str]:
    return ["x" if k == 0 else f"v{j}" for k, j in enumerate(vectors)]


def _check_same(before: list[Tensor], now: tuple[Tensor, ...]) -> None:
    """Note what a part gives, or see that it gives the same again, by two sums of each vector."""
    with torch.no_grad():
        sums = torch.stack([torch.stack([v.double().sum(), v.double().abs().sum()]) for v in now])
    if not before:
        before.append(sums)
        return
    if bool(((sums - before[0]).abs() > 1e-5 * before[0][:, 1:]).any()):
        msg = "the model answers otherwise the second time; a model with a memory has no parts"
        raise InvalidPlanError(msg)


def checkpointed(
    plan: Plan,
    model: Model,
    x: Tensor,
    *,
    parts: int | None = None,
    noise: NoiseSource | int | None = None,
    history: Mapping[str, Tensor] | None = None,
) -> Tensor:
    """Run a plan so that its sample can be differentiated at little memory.

    The gradient, to x and to whatever the model computes with, is that of ``run(..., grad=True)``,
    from the same operations in the same order. Each part is run once forward and once more when
    its gradient is due: the model must answer the same twice. One with a memory, such as a
    ``caching.features.FeatureCache``, does not, and is refused when the gradient is due.

    Parameters
    ----------
    plan, model, x, noise, history
        As of :func:`.run.run`.
    parts : int, optional
        Number of parts; about the root of the number of steps by default.

    Returns
    -------
    Tensor
        The sample, shape (B, *D), with a graph.

    Raises
    ------
    InvalidPlanError
        As of :func:`.run.run`, for a number of parts that is none; and in the backward pass, if
        the model answers otherwise than on the way there.
    """
    if parts is None:
        parts = max(1, round(math.sqrt(len(plan.marks))))
    given = {**(history or {}), "x": x}
    if "one" in plan.inputs:
        given.setdefault("one", torch.ones_like(x))
    missing = [name for name in plan.inputs if name not in given]
    if missing:
        msg = f"the plan needs the inputs {sorted(plan.inputs)}; {missing[0]!r} is missing"
        raise InvalidPlanError(msg)
    live = {i: given[name] for name, i in plan.inputs.items()}
    for part in cut(plan, parts):
        before: list[Tensor] = []

        def again(
            *taken: Tensor, part: Part = part, before: list[Tensor] = before
        ) -> tuple[Tensor, ...]:
            first, *rest = taken
            extra = dict(zip(_names(part.takes)[1:], rest, strict=True))
            out = run(part.plan, model, first, noise=noise, history=extra, grad=True).outputs
            given_back = tuple(out[name] for name in _names(part.gives))
            _check_same(before, given_back)
            return given_back

        with set_checkpoint_early_stop(False):  # the last row is where both runs are compared
            made = checkpoint(again, *(live[j] for j in part.takes), use_reentrant=False)
        live |= dict(zip(part.gives, made, strict=True))
    return live[plan.outputs["x"]]
