"""Intervals for the live vectors of a chain: the state by its marginal, memories by what they add.

A memory is represented by its difference: the newest to the model at the present state, an older
one to the next newer. Such differences are small, like the square root of the step, so that a few
nodes do. Their intervals are those of a few thousand paths, a quarter wider.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from ...solvers.model import Model
from ...solvers.process import Array, Node
from .backward import Slot, Step
from .chains import Raw, asked, state_slot

NODES = 6
"""Chebyshev nodes of the newest memory; an older one, which weighs less, has two fewer."""

_WIDER = 0.25


def placed(raws: Sequence[Raw], law: Any, model: Model, starts: Sequence[Array]) -> list[Step]:
    """Steps in coordinates and with intervals, from ``starts``: samples of the live vectors."""
    rng = np.random.default_rng(17)
    state = list(starts)
    slots = [_slots(law, model, raws[0].begin, state)]
    out = []
    for raw in raws:
        kicks = list(rng.standard_normal((raw.noises, *state[0].shape)))
        state = raw.apply(state, kicks)
        slots.append(_slots(law, model, raw.end, state))
        apply = partial(_in_coordinates, raw, model)
        out.append(Step(slots[-2], slots[-1], raw.noises, apply))
    return out


def _slots(law: Any, model: Model, node: Node, state: Sequence[Array]) -> tuple[Slot, ...]:
    out = [state_slot(law, node)]
    for age, gap in enumerate(relative(model, node, state)[1:]):
        low, high = float(np.min(gap)), float(np.max(gap))
        pad = _WIDER * (high - low) + 1e-6
        out.append(Slot(low - pad, high + pad, NODES - 2 * age))
    return tuple(out)


def relative(model: Model, node: Node, vectors: Sequence[Array]) -> list[Array]:
    """Coordinates of the live vectors: the state, and differences of the memories."""
    x, *memories = vectors
    if not memories:
        return [x]
    now = asked(model, x, node.t)
    newer = [now, *memories[:-1]]
    return [x, *(m - n for m, n in zip(memories, newer, strict=True))]


def absolute(model: Model, node: Node, coordinates: Sequence[Array]) -> list[Array]:
    """The live vectors from their coordinates."""
    x, *gaps = coordinates
    out = [x]
    newer = asked(model, x, node.t) if gaps else x
    for gap in gaps:
        newer = newer + gap
        out.append(newer)
    return out


def _in_coordinates(
    raw: Raw, model: Model, ins: Sequence[Array], noises: Sequence[Array]
) -> list[Array]:
    return relative(model, raw.end, raw.apply(absolute(model, raw.begin, ins), noises))
