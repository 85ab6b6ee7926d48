"""Samplers written out by hand, and when two of them are the same table."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from fokker.solvers.grids import Grid
from fokker.solvers.plan import Plan, Tape
from fokker.solvers.plan_algebra import distance, to_prediction
from fokker.solvers.process import Node
from laws.zoo import GRIDS, PROCESSES
from tolerances import EXACT

Row = Callable[[Sequence[Node], Node], tuple[float, Sequence[float]]]
"""``(nodes of the outputs, newest first, t) -> (weight of x, weights of the outputs)``."""

on_processes = pytest.mark.parametrize("process", PROCESSES.values(), ids=PROCESSES)
on_grids = pytest.mark.parametrize("kind", GRIDS)


def only_x(plan: Plan) -> Plan:
    """The plan without what it hands to a following one, which keeps its declared prediction."""
    return Plan(plan.ops, {"x": plan.outputs["x"]}, plan.marks)


def same(a: Plan, b: Plan) -> bool:
    """Whether two plans are one sampler, whichever prediction they ask for."""
    a, b = (to_prediction(only_x(p), "data") for p in (a, b))
    return distance(a, b) < EXACT


def multistep_by_hand(
    grid: Grid,
    count: int,
    prediction: str,
    row: Row,
) -> Plan:
    """``x_t = a x + sum_j w_j m_j`` with ``(a, w) = row(nodes, t)``, orders 1, 2, ... first."""
    tape = Tape()
    x = tape.input("x", grid[0])
    past: list[tuple[int, Node]] = []
    for s, t in grid.steps():
        past = [(tape.eval(x, s, prediction), s), *past][:count]
        a, w = row([node for _, node in past], t)
        x = tape.mark(tape.lin((x, a), *((m, wj) for (m, _), wj in zip(past, w, strict=True))), t)
    return tape.plan(x=x)
