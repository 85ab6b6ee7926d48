"""Names at the ends of curves, moved apart just enough to be read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes

from .figure import FAINT


class End(NamedTuple):
    """Where a curve ends (data coordinates), what it is called, and its colour."""

    x: float
    y: float
    text: str
    colour: str


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places at least ``gap`` apart within [low, high], in the order of ``wanted`` and near it.

    Least squares under order constraints (pool adjacent violators): each run of names that would
    overlap is centred on the mean of the places they wanted.
    """
    order = np.argsort(wanted, kind="stable")
    shifted = [wanted[k] - gap * i for i, k in enumerate(order)]  # now only the order must hold
    blocks: list[list[float]] = []
    for value in shifted:
        blocks.append([value])
        while len(blocks) > 1 and np.mean(blocks[-2]) > np.mean(blocks[-1]):
            last = blocks.pop()
            blocks[-1] += last
    room = high - gap * (len(shifted) - 1)
    flat = [float(np.clip(np.mean(block), low, max(low, room))) for block in blocks for _ in block]
    out = [0.0] * len(wanted)
    for i, k in enumerate(order):
        out[k] = flat[i] + gap * i
    return out


def label_ends(axes: Axes, ends: Sequence[End], *, size: float = 8.5, pad: float = 7.0) -> None:
    """Write each name right of its curve's end, with a hair line where it had to move.

    Axes must have their final limits and size.
    """
    figure = axes.get_figure(root=True)
    if figure is None or not ends:
        return
    per_point = figure.dpi / 72.0
    box = axes.get_window_extent()
    places = [axes.transData.transform((end.x, end.y)) for end in ends]
    heights = spread([y for _, y in places], 1.25 * size * per_point, box.y0, box.y1)
    right = max(x for x, _ in places)
    for end, (x, y), height in zip(ends, places, heights, strict=True):
        dx, dy = (right - x) / per_point + pad, (height - y) / per_point
        axes.annotate(
            end.text, (end.x, end.y), (dx, dy), textcoords="offset points", color=end.colour,
            size=size, va="center", annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": FAINT, "lw": 0.7, "shrinkA": 1, "shrinkB": 3},
        )  # fmt: skip
