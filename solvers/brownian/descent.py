"""Values of the pieces of a tree: from the top down, the divisions last used being kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from ..noise import CellNoise
from ..normals import normal_field
from ..plan import Noise
from .bridge import Values, divided
from .query import Piece, Query

KEPT_BYTES = 1 << 28
"""Memory that kept pieces may take where nobody says how many to keep."""

Key = tuple[str, float, float, float, float, tuple[int, int]]


class Block(NamedTuple):
    """Some samples of a batch: where they begin, their ids, the sizes of the whole batch."""

    begin: int
    ids: Sequence[int]
    shape: tuple[int, int]


class Descent:
    """The pieces of one path, each a pure function of the normals of the divisions above it.

    What is kept are the pieces beside the way down: those that the next cells are made of, if
    cells are asked in order, from either end. A piece that was taken or divided is kept until the
    next question, for a question is often asked twice: for the increment and for the area.

    Parameters
    ----------
    noise : CellNoise
        What draws the normals.
    areas : bool
        Whether the path has areas.
    keep : int
        How many pieces are kept; it changes the cost, never a number.
    room : int
        Bytes that they may take.
    """

    def __init__(self, noise: CellNoise, *, areas: bool, keep: int, room: int) -> None:
        self._noise, self._width, self._keep, self._room = noise, 2 if areas else 1, keep, room
        self._kept: dict[Key, dict[int, Values]] = {}
        self._spent: set[Key] = set()

    def values(self, query: Query, root: Piece, blocks: Iterable[Block]) -> Iterator[list[Values]]:
        """For each block, increment and area of each piece of the query; not to be written to."""
        spent: set[Key] = set()
        most = 0
        for block in blocks:
            key = query.clock, root.a, root.b, root.a, root.b, block.shape
            top = partial(self._top, query, root, key, block)
            found: list[Values] = []
            self._walk(query, root, (key, top), block, found, spent)
            yield found
            most = min(self._keep, self._room // (8 * self._width * math.prod(block.shape)))
            if not most:
                self._kept.clear()
        for key in [*(self._spent - spent), *list(self._kept)[: max(0, len(self._kept) - most)]]:
            self._kept.pop(key, None)
        self._spent = spent

    def _walk(
        self,
        query: Query,
        piece: Piece,
        at: tuple[Key, Callable[[], Values]],
        block: Block,
        found: list[Values],
        spent: set[Key],
    ) -> None:
        """Add the values of what the query takes of a piece; ``at``: its key, and its value."""
        key, value = at
        spent.add(key)
        if piece.measures is None:
            found.append(value())
            return
        a, b, middle, measures = piece.a, piece.b, piece.middle, piece.measures
        keys = [(query.clock, *ends, a, b, block.shape) for ends in ((a, middle), (middle, b))]

        def half(side: int) -> Values:
            kept = self._kept.get(keys[side], {}).get(block.begin)
            if kept is not None:
                return kept
            z = self._normals(query.cell(piece, "bridge"), block)
            halves = divided(value(), *measures, z)
            for name, values in zip(keys, halves, strict=True):
                self._kept.setdefault(name, {})[block.begin] = values
            return halves[side]

        for side, part in enumerate((piece.left, piece.right)):
            if part is not None:
                self._walk(query, part, (keys[side], partial(half, side)), block, found, spent)

    def _top(self, query: Query, root: Piece, key: Key, block: Block) -> Values:
        """The whole cell: the same normals as those of independent noise."""
        kept = self._kept.get(key, {}).get(block.begin)
        if kept is not None:
            return kept
        sizes = math.sqrt(root.measure), math.sqrt(root.measure / 12)
        rows, count = len(block.ids), block.shape[1]
        values = []
        for kind, size in zip("WH"[: self._width], sizes, strict=False):
            field = normal_field(self._noise.key(query.cell(root, kind)), block.ids, count)
            values.append(field.astype(np.float64).reshape(rows, count) * size)
        self._kept.setdefault(key, {})[block.begin] = values
        return values

    def _normals(self, cell: Noise, block: Block) -> Values:
        """Independent normals of a division, a field for each of its width."""
        width, count = self._width, block.shape[1]
        field = normal_field(self._noise.key(cell), block.ids, width * count)
        field = field.reshape(-1, width, count)
        return [field[:, j].astype(np.float64) for j in range(width)]
