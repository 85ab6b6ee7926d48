"""A sampler as a Markov chain of few live vectors: a plan cut at its marks, or a box step by step.

The live vectors between two steps are those that a later row reads: the state alone for one-step
samplers, the state and one or two earlier model outputs for multistep ones. Everything is one
coordinate: a nonlinear law of one dimension is nonlinear enough to see every weak condition that
one coordinate can see.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...solvers.errors import AnalysisError
from ...solvers.grids import Grid
from ...solvers.interpret import combine
from ...solvers.model import Model
from ...solvers.ops import Eval, Input, Lin, Noise, sources
from ...solvers.plan import Plan
from ...solvers.process import Array, Node, Process
from ...solvers.registry import Sampler
from .backward import Slot, Step

REACH = 7.5
"""Half-width of the state's interval in standard deviations of the exact marginal."""

_MEMORY_REACH = 4.5
_LEAST, _PER_LENGTH = 9, 20


def state_slot(law: Any, node: Node, reach: float = REACH) -> Slot:
    """The interval of the state at a level, around the exact marginal of a law in one dimension."""
    mean, var = float(law.mean[0]), float(law.cov.reshape(-1)[0])
    half = reach * (node.alpha**2 * var + node.sigma**2) ** 0.5
    return Slot(node.alpha * mean - half, node.alpha * mean + half)


def asked(model: Model, x: Array, t: float) -> Array:
    """The model at numbers of any shape."""
    flat = torch.from_numpy(np.ascontiguousarray(x, dtype=float).reshape(-1, 1))
    return np.asarray(model(flat, t)).reshape(np.shape(x))


def output_slot(law: Any, model: Model, node: Node, length: float) -> Slot:
    """The interval that model outputs at a level fill; the next step has this length in lam.

    The step moves the state by the output times the length, so that many nodes are needed.
    """
    slot = state_slot(law, node, _MEMORY_REACH)
    values = asked(model, np.linspace(slot.low, slot.high, 201), node.t)
    return Slot(float(values.min()), float(values.max()), _LEAST + round(_PER_LENGTH * length))


def _needed(plan: Plan) -> set[int]:
    """The rows on which the sample depends."""
    wanted, out = [plan.outputs["x"]], set()
    while wanted:
        i = wanted.pop()
        if i not in out:
            out.add(i)
            wanted.extend(sources(plan.ops[i]))
    return out


def plan_chain(plan: Plan, law: Any, model: Model) -> list[Step]:
    """The steps of a plan between its marks.

    Raises
    ------
    AnalysisError
        If a vector other than the state and earlier model outputs outlives its step, the plan has
        no marks, or it depends on other inputs than the start.
    """
    needed = _needed(plan)
    marks = [m for m in plan.marks if m.vector in needed]
    if not marks or marks[-1].vector != plan.outputs["x"]:
        msg = "the plan does not mark its output 'x' as the end of a step"
        raise AnalysisError(msg)
    inputs = [i for i in needed if isinstance(plan.ops[i], Input)]
    start = plan.inputs["x"]
    first = plan.ops[start]
    if not isinstance(first, Input):
        msg = f"row {start} of the plan must be its input 'x'"
        raise AnalysisError(msg)
    last = {i: i for i in needed}
    for i in needed:
        for j in sources(plan.ops[i]):
            last[j] = max(last[j], i)
    cuts = [(start, first.node), *((m.vector, m.node) for m in marks)]
    live: list[tuple[int, ...]] = []
    for vector, _ in cuts:
        older = [
            i for i in needed
            if i < vector < last[i] and not (i in inputs or i == vector)
        ]  # fmt: skip
        past = [i for i in inputs if i != start and last[i] > vector]
        live.append((vector, *sorted(past), *sorted(older)))
    lengths = [t.lam - s.lam for (_, s), (_, t) in pairwise(cuts)]
    slots = [
        (state_slot(law, node), *_memory_slots(plan, law, model, ids[1:], length))
        for (_, node), ids, length in zip(cuts, live, [*lengths, 0.0], strict=True)
    ]
    out = []
    for (begin, end), (low, high) in zip(pairwise(live), pairwise(slots), strict=True):
        after = cuts[len(out)][0] if out else -1
        rows = [i for i in sorted(needed) if after < i <= end[0]]
        kicks = [i for i in rows if isinstance(plan.ops[i], Noise)]
        apply = partial(_segment, plan, model, rows, kicks, begin, end)
        out.append(Step(low, high, len(kicks), apply))
    return out


def _memory_slots(
    plan: Plan, law: Any, model: Model, rows: Sequence[int], length: float
) -> list[Slot]:
    """Slots of model outputs that outlive their step; older ones weigh less and need less."""
    out = []
    for i in rows:
        op = plan.ops[i]
        if not (isinstance(op, Eval) or (isinstance(op, Input) and op.name.startswith("m-"))):
            msg = f"row {i} of the plan ({type(op).__name__}) outlives its step, but is no output"
            raise AnalysisError(msg)
        age = sum(plan.ops[j].node.lam > op.node.lam for j in rows)
        out.append(output_slot(law, model, op.node, length / 2**age))
    return out


def _segment(
    plan: Plan,
    model: Model,
    rows: Sequence[int],
    kicks: Sequence[int],
    begin: Sequence[int],
    end: Sequence[int],
    ins: Sequence[Array],
    noises: Sequence[Array],
) -> list[Array]:
    """The rows of one step, on arrays."""
    known: dict[int, Any] = dict(zip(begin, ins, strict=True))
    known.update(zip(kicks, noises, strict=True))
    for i in rows:
        if i in known:
            continue
        op = plan.ops[i]
        if isinstance(op, Lin):
            weights = tuple(float(np.asarray(w).reshape(-1)[0]) for _, w in op.terms)
            known[i] = combine(weights, tuple(known[j] for j, _ in op.terms))
        elif isinstance(op, Eval):
            known[i] = asked(model, known[op.source], op.node.t)
    return [known[i] for i in end]


class _Given:
    """Noise that is given by number, in the order in which a step asks for its cells."""

    def __init__(self, fields: Sequence[Tensor] | None) -> None:
        self.cells: dict[Noise, int] = {}
        self.fields = fields

    def draw(self, cell: Noise, like: Tensor) -> Tensor:
        k = self.cells.setdefault(cell, len(self.cells))
        return torch.zeros_like(like) if self.fields is None else self.fields[k].clone()


def box_chain(
    sampler: Sampler, law: Any, model: Model, process: Process, grid: Grid
) -> list[Step]:
    """The steps of a one-step sampler that is not a plan, each run by itself.

    Raises
    ------
    AnalysisError
        If the sampler on the whole grid is not what its steps are one after another: it has a
        memory, or its steps depend on the rest of the grid.
    """
    parts = [grid.part(k, k + 1) for k in range(len(grid))]

    def execute(part: Grid, x: Tensor, noise: _Given) -> Tensor:
        return sampler.build(model, process, part, x, noise=noise, **sampler.options).x

    record = _Given(None)
    execute(parts[0], torch.zeros(1, 1, dtype=torch.float64), record)
    count = len(record.cells)

    def apply(part: Grid, ins: Sequence[Array], noises: Sequence[Array]) -> list[Array]:
        fields = np.broadcast_arrays(ins[0], *noises)
        flat = [torch.from_numpy(np.ascontiguousarray(f).reshape(-1, 1)) for f in fields]
        return [execute(part, flat[0], _Given(flat[1:])).numpy().reshape(fields[0].shape)]

    steps = [
        Step((state_slot(law, part[0]),), (state_slot(law, part[1]),), count, partial(apply, part))
        for part in parts
    ]
    _check_steps(execute, grid, steps)
    return steps


def _check_steps(execute: Any, grid: Grid, steps: Sequence[Step]) -> None:
    count = steps[0].noises
    given = 0.6 * torch.cos(torch.arange(8.0 * count * len(steps), dtype=torch.float64) ** 1.3)
    fields = list(given.reshape(-1, 8, 1))
    x = torch.linspace(-1.0, 1.0, 8, dtype=torch.float64)[:, None]
    record = _Given(fields)
    whole = execute(grid, x, record)
    state, used = x.numpy(), 0
    for step in steps:
        (state,) = step.apply([state], [f.numpy() for f in fields[used : used + count]])
        used += count
    gap = float(np.abs(whole.numpy() - state).max())
    if used != len(record.cells) or not gap < 1e-9:
        msg = f"the sampler is not the chain of its single steps (gap {gap:.1e})"
        raise AnalysisError(msg)
