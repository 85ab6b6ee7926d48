"""Values of the pieces of a tree: from the top down, the divisions last used being kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from ..noise import CellNoise
from ..normals import normal_field
from ..plan import Noise
from .bridge import Values, divided
from .query import Piece, Query

KEPT_BYTES = 1 << 28
"""Memory that kept divisions may take where nobody says how many to keep."""

Key = tuple[str, float, float, float, tuple[int, int]]


class Block(NamedTuple):
    """Some samples of a batch: where they begin, their ids, the sizes of the whole batch."""

    begin: int
    ids: Sequence[int]
    shape: tuple[int, int]


class Descent:
    """The pieces of one path, each a pure function of the normals of the divisions above it.

    Parameters
    ----------
    noise : CellNoise
        What draws the normals.
    areas : bool
        Whether the path has areas.
    keep : int
        How many divisions are kept, the last ones used; it changes the cost, never a number.
    room : int
        Bytes that they may take.
    """

    def __init__(self, noise: CellNoise, *, areas: bool, keep: int, room: int) -> None:
        self._noise, self._width, self._keep, self._room = noise, 2 if areas else 1, keep, room
        self._kept: dict[Key, dict[int, tuple[Values, ...]]] = {}

    def values(self, query: Query, root: Piece, block: Block) -> list[Values]:
        """Increment and area of each piece of the query, in order; not to be written to."""
        key = query.clock, root.a, root.b, root.a, block.shape
        (top,) = self._once(key, block, lambda: (self._top(query, root, block),))
        found: list[Values] = []
        self._walk(query, root, top, block, found)
        return found

    def _walk(
        self, query: Query, piece: Piece, value: Values, block: Block, found: list[Values]
    ) -> None:
        if piece.measures is None:
            found.append(value)
            return
        measures = piece.measures
        key = query.clock, piece.a, piece.b, piece.middle, block.shape

        def halves() -> tuple[Values, ...]:
            return divided(value, *measures, self._normals(query.cell(piece, "bridge"), block))

        parts = piece.left, piece.right
        for part, of_part in zip(parts, self._once(key, block, halves), strict=True):
            if part is not None:
                self._walk(query, part, of_part, block, found)

    def _top(self, query: Query, root: Piece, block: Block) -> Values:
        """The whole cell: the same normals as those of independent noise."""
        roots = math.sqrt(root.measure), math.sqrt(root.measure / 12)
        rows, count = len(block.ids), block.shape[1]
        values = []
        for kind, size in zip("WH"[: self._width], roots, strict=False):
            field = normal_field(self._noise.key(query.cell(root, kind)), block.ids, count)
            values.append(field.astype(np.float64).reshape(rows, count) * size)
        return values

    def _normals(self, cell: Noise, block: Block) -> Values:
        """Independent normals of a division, a field for each of its width."""
        width, count = self._width, block.shape[1]
        field = normal_field(self._noise.key(cell), block.ids, width * count)
        field = field.reshape(-1, width, count)
        return [field[:, j].astype(np.float64) for j in range(width)]

    def _once(
        self, key: Key, block: Block, make: Callable[[], tuple[Values, ...]]
    ) -> tuple[Values, ...]:
        """What was made before for this block of the batch, or is made now."""
        blocks = self._kept.pop(key, {})
        found = blocks.get(block.begin)
        if found is None:
            found = make()
        bytes_each = 16 * self._width * math.prod(block.shape)
        most = min(self._keep, self._room // max(1, bytes_each))
        if most:
            blocks[block.begin] = found
            self._kept[key] = blocks  # the newest is the last
            while len(self._kept) > most:
                del self._kept[next(iter(self._kept))]
        return found
