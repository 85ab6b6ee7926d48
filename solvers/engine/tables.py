"""What a run looks up of its plan in every row, computed once for a plan and kept with it.

None of it says anything about the sampler: how much room the peak of live vectors leaves for spare
buffers, which vectors the model is shown, and where to look for what is not finite.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from ..ops import Eval, Lin, sources
from ..plan import Plan

_KEPT = "_engine_tables"


@dataclass(frozen=True)
class Tables:
    """Facts of a plan by row.

    Attributes
    ----------
    room : tuple of int
        For each row, how many more vectors the peak leaves room for.
    shown : frozenset of int
        The vectors that the model is asked at.
    arrivals : frozenset of int
        The linear rows that are the first to read some model output.
    looks : frozenset of int
        The arrivals at which to look for what is not finite: none is missed or mixed up. What
        spoils one arrival spoils the next if that reads it, and there it can still be told where
        the trouble began: one look serves two such rows.
    """

    room: tuple[int, ...]
    shown: frozenset[int]
    arrivals: frozenset[int]
    looks: frozenset[int]


def tables(plan: Plan) -> Tables:
    """The tables of a plan; a plan never changes, so they are made at its first run."""
    found = plan.__dict__.get(_KEPT)
    if found is None:
        arrivals = _arrivals(plan)
        found = Tables(
            tuple(plan.peak_live - count for count in plan.live),
            frozenset(op.source for op in plan.ops if isinstance(op, Eval)),
            arrivals,
            _looks(plan, arrivals),
        )
        plan.__dict__[_KEPT] = found
    return found


def _arrivals(plan: Plan) -> frozenset[int]:
    seen: set[int] = set()
    found = set()
    for i, op in enumerate(plan.ops):
        if isinstance(op, Lin):
            new = {j for j in sources(op) if isinstance(plan.ops[j], Eval)} - seen
            found.update([i] if new else [])
            seen |= new
    return frozenset(found)


def _looks(plan: Plan, arrivals: frozenset[int]) -> frozenset[int]:
    looks, skipped = set(arrivals), False
    for row, following in pairwise(sorted(arrivals)):
        skipped = not skipped and row in plan.columns[following][0]
        if skipped:
            looks.remove(row)
    return frozenset(looks)
