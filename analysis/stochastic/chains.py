"""A sampler as a Markov chain of few live vectors: a plan cut at its marks, or a box step by step.

The live vectors between two steps are those that a later row reads: the state alone for one-step
samplers, the state and one or two earlier model outputs for multistep ones. Everything is one
coordinate: a nonlinear law of one dimension is nonlinear enough to see every weak condition that
one coordinate can see.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
from .backward import Slot

REACH = 7.5
"""Half-width of the state's interval in standard deviations of the exact marginal."""


@dataclass(frozen=True)
class Raw:
    """A step from ``begin`` to ``end`` on the live vectors themselves, state first."""

    begin: Node
    end: Node
    noises: int
    apply: Callable[[Sequence[Array], Sequence[Array]], list[Array]]


def state_slot(law: Any, node: Node, reach: float = REACH) -> Slot:
    """The interval of the state at a level, around the exact marginal of a law of one."""
    mean, var = float(law.mean[0]), float(law.cov.reshape(-1)[0])
    half = reach * (node.alpha**2 * var + node.sigma**2) ** 0.5
    return Slot(node.alpha * mean - half, node.alpha * mean + half)


def asked(model: Model, x: Array, t: float) -> Array:
    """The model at numbers of any shape."""
    flat = torch.from_numpy(np.ascontiguousarray(x, dtype=float).reshape(-1, 1))
    return np.asarray(model(flat, t)).reshape(np.shape(x))


def _needed(plan: Plan) -> set[int]:
    """The rows on which the sample depends."""
    wanted, out = [plan.outputs["x"]], set()
    while wanted:
        i = wanted.pop()
        if i not in out:
            out.add(i)
            wanted.extend(sources(plan.ops[i]))
    return out


def cut(plan: Plan, model: Model) -> list[Raw]:
    """The steps of a plan between its marks; memories newest first.

    Raises
    ------
    AnalysisError
        If a vector other than the state and earlier model outputs outlives its step, or the plan
        does not mark its output.
    """
    needed = _needed(plan)
    marks = [m for m in plan.marks if m.vector in needed]
    first = plan.ops[plan.inputs["x"]]
    if not marks or marks[-1].vector != plan.outputs["x"] or not isinstance(first, Input):
        msg = "the plan does not mark its output 'x' as the end of a step"
        raise AnalysisError(msg)
    cuts = [(plan.inputs["x"], first.node), *((m.vector, m.node) for m in marks)]
    live = _live(plan, needed, [vector for vector, _ in cuts])
    out: list[Raw] = []
    for k, ((_, s), (vector, t)) in enumerate(pairwise(cuts)):
        after = cuts[k][0] if k else -1
        rows = [i for i in sorted(needed) if after < i <= vector]
        kicks = [i for i in rows if isinstance(plan.ops[i], Noise)]
        apply = partial(_segment, plan, model, rows, kicks, live[k], live[k + 1])
        out.append(Raw(s, t, len(kicks), apply))
    return out


def most_live(plan: Plan) -> int:
    """Largest number of vectors that live between two steps.

    Raises
    ------
    AnalysisError
        As for :func:`cut`.
    """
    return max(len(ids) for ids in _live(plan, _needed(plan), [m.vector for m in plan.marks]))


def _live(plan: Plan, needed: set[int], cuts: Sequence[int]) -> list[tuple[int, ...]]:
    """The vectors that a later row reads, at each cut: the state, then outputs, newest first."""
    last = {i: i for i in needed}
    for i in needed:
        for j in sources(plan.ops[i]):
            last[j] = max(last[j], i)
    out = []
    for n, vector in enumerate(cuts):
        memory = {}
        for i in needed:
            op, given = plan.ops[i], isinstance(plan.ops[i], Input)
            if i == vector or last[i] <= vector or not (i < vector or (given and n == 0)):
                continue
            if not (isinstance(op, Eval) or (isinstance(op, Input) and op.name.startswith("m-"))):
                msg = f"row {i} ({type(op).__name__}) outlives its step, but is no model output"
                raise AnalysisError(msg)
            memory[i] = op.node.lam
        out.append((vector, *sorted(memory, key=lambda i: -memory[i])))
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


def box_chain(sampler: Sampler, model: Model, process: Process, grid: Grid) -> list[Raw]:
    """The steps of a one-step sampler that is not a plan, each run by itself.

    Raises
    ------
    AnalysisError
        If the sampler on the whole grid is not what its steps are one after another: it has a
        memory, or its steps depend on the rest of the grid.
    """

    def execute(part: Grid, x: Tensor, noise: _Given) -> Tensor:
        return sampler.build(model, process, part, x, noise=noise, **sampler.options).x

    record = _Given(None)
    execute(grid.part(0, 1), torch.zeros(1, 1, dtype=torch.float64), record)

    def apply(part: Grid, ins: Sequence[Array], noises: Sequence[Array]) -> list[Array]:
        fields = np.broadcast_arrays(ins[0], *noises)
        flat = [torch.from_numpy(np.ascontiguousarray(f).reshape(-1, 1)) for f in fields]
        return [execute(part, flat[0], _Given(flat[1:])).numpy().reshape(fields[0].shape)]

    parts = [grid.part(k, k + 1) for k in range(len(grid))]
    steps = [Raw(p[0], p[1], len(record.cells), partial(apply, p)) for p in parts]
    _check_steps(execute, grid, steps)
    return steps


def _check_steps(execute: Any, grid: Grid, steps: Sequence[Raw]) -> None:
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
