"""A plan from rows of weights: every state on all the leaves before it."""

from __future__ import annotations

import numpy as np

from ..plan import Plan, Tape
from ..process import Array
from .basis import Event
from .foreign import Foreign, draw_cell, path_cell


def leaf_form(foreign: Foreign, events: list[Event], weights: list[Array]) -> Plan:
    """The plan whose every state is written on the leaves; noises without any weight are left out.

    The cells are those of :func:`~.foreign.run_foreign`: from one seed, the plan and the foreign
    code itself give the same sample.
    """
    tape = Tape()
    leaf = {0: tape.input("x", foreign.start)}
    rows, seen = iter(weights), list[tuple[Array, int]]()
    same = 1e-14 if foreign.exact else 1e-6
    used = np.any(np.stack(weights) != 0.0, axis=0)

    def state(row: Array) -> int:
        for other, v in seen[-2:]:  # the state after a step is the one of the next evaluation
            if np.abs(row - other).max() <= same * np.abs(row).max():
                return v
        terms = [(leaf[k], float(w)) for k, w in enumerate(row) if w != 0.0]
        seen.append((row, tape.lin(*(terms or [(leaf[0], 0.0)]))))
        return seen[-1][1]

    last, draws = -1, 0
    for event in events:
        if event.kind in ("noise", "cell"):
            if used[event.leaf]:
                leaf[event.leaf] = _noise(tape, event, draws)
            draws += event.kind == "noise"
            continue
        v = state(next(rows))
        if event.call is None:
            continue
        if event.kind == "eval":
            leaf[event.leaf] = tape.eval(v, event.call.node, foreign.prediction)
        elif v > last:
            last = tape.mark(v, event.call.node)
    return tape.plan(x=state(next(rows)))


def _noise(tape: Tape, event: Event, draws: int) -> int:
    cell = draw_cell(draws) if event.kind == "noise" else path_cell(*event.ends)
    return tape.noise(cell.clock, cell.a, cell.b, cell.kind)
