"""Small noise fields of a grid, drawn many cells at a time: a call costs as much as 5000 numbers.

A solve asks the cells of its grid one after another. Where it does, the next ones are drawn with
the one that is asked; the numbers are functions of their keys, so nothing but the cost changes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

AHEAD = 32768
"""Numbers drawn at once, at most; larger fields are drawn one by one."""

Name = tuple[str, str]
Fields = NDArray[np.float32]
Draw = Callable[[Name, Sequence[int], Tensor], Fields]
"""``draw(name, cells, like)``: the fields of some cells, of shape (len(cells), *like.shape)."""


@dataclass(slots=True)
class _Row:
    """What waits of one kind of field, and which cell was asked last."""

    last: int
    shape: Sequence[int] = ()
    waiting: dict[int, Fields] = field(default_factory=dict)


class Ahead:
    """Fields of numbered cells, each a pure function of its name and number, in any order.

    Parameters
    ----------
    cells : int
        How many cells there are.
    draw : callable
        Draws fields: ``draw(name, cells, like)``.

    A field is handed out once and then belongs to whom it was given to; asked again, it is drawn
    again. What waits is at most ``AHEAD`` numbers for each name.
    """

    def __init__(self, cells: int, draw: Draw) -> None:
        self._cells, self._draw = cells, draw
        self._rows: dict[Name, _Row] = {}

    def take(self, name: Name, i: int, like: Tensor) -> Fields:
        """The field of cell ``i``; ``name`` tells kinds of fields apart, asked in turns."""
        row = self._rows.get(name)
        if row is not None and row.shape == like.shape:
            found = row.waiting.pop(i, None)
            if found is not None:
                row.last = i
                return found
        return self._more(name, i, like)

    def _more(self, name: Name, i: int, like: Tensor) -> Fields:
        row = self._rows.setdefault(name, _Row(self._cells))
        cells = self._next(row.last, i, math.prod(like.shape))
        fields = self._draw(name, cells, like)
        row.last, row.shape = i, like.shape
        row.waiting = dict(zip(cells, fields, strict=True))
        return row.waiting.pop(i)

    def _next(self, last: int, i: int, size: int) -> range:
        """The cells to be drawn with cell i: further on, if it was come to in steps of one."""
        many = max(1, AHEAD // max(1, size))
        if i in (0, last + 1):
            return range(i, min(i + many, self._cells))
        if i in (self._cells - 1, last - 1):
            return range(i, max(i - many, -1), -1)
        return range(i, i + 1)
