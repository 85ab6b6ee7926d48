"""In which order the vectors of a plan can be found again from what it puts out.

A row of a plan says that one vector is a weighted sum of others. With all but one of these known
the last one is known too, whichever it is, if its weight is not zero; an answer of the model is
known as soon as the state is where it was asked.
"""

from __future__ import annotations

import heapq
from typing import NamedTuple

import torch

from ..engine.weights import merged
from ..errors import NotInvertibleError
from ..plan import Eval, Lin, Noise, Plan, Weight


class Event(NamedTuple):
    """Vector ``vector`` becomes known from row ``row`` (the same for what a row defines)."""

    row: int
    vector: int


def undoing(plan: Plan) -> list[Event]:
    """In which order all vectors of a plan can be found again from its outputs, newest first.

    Raises
    ------
    NotInvertibleError
        If some evaluated state cannot: the plan must put out all of its states (``carry=True``).
    """
    rows = {i: merged(op) for i, op in enumerate(plan.ops) if isinstance(op, Lin)}
    touching: dict[int, list[int]] = {i: [] for i in range(len(plan.ops))}
    asked: dict[int, list[int]] = {i: [] for i in range(len(plan.ops))}
    for i, terms in rows.items():
        for j in {i, *terms}:
            touching[j].append(i)
    for i, op in enumerate(plan.ops):
        if isinstance(op, Eval):
            asked[op.source].append(i)
    unknown = {i: {i, *terms} for i, terms in rows.items()}
    heap: list[tuple[int, int]] = []  # (-row, vector): the newest row first
    events: list[Event] = []
    known: set[int] = set()

    def learn(j: int) -> None:
        known.add(j)
        for e in asked[j]:
            heapq.heappush(heap, (-e, e))
        for i in touching[j]:
            unknown[i].discard(j)
            if len(unknown[i]) == 1:
                (k,) = unknown[i]
                # an answer of the model is asked for again, with its graph, never solved for
                asks = isinstance(plan.ops[k], Eval)
                if k == i or (not asks and _all_nonzero(rows[i][k])):
                    heapq.heappush(heap, (-i, k))

    for i, op in enumerate(plan.ops):
        if isinstance(op, Noise):
            learn(i)
    for j in dict.fromkeys(plan.outputs.values()):
        if j not in known:
            learn(j)
    while heap:
        row, vector = heapq.heappop(heap)
        if vector not in known:
            events.append(Event(-row, vector))
            learn(vector)
    lost = [op.source for op in plan.ops if isinstance(op, Eval) and op.source not in known]
    if lost:
        msg = (
            f"vector {lost[0]}, where the model was asked, cannot be found again from the outputs "
            f"{sorted(plan.outputs)}; build a reversible sampler with carry=True"
        )
        raise NotInvertibleError(msg)
    return events


def _all_nonzero(w: Weight) -> bool:
    return bool((torch.as_tensor(w) != 0).all())
