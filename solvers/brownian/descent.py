"""Values of the pieces of a tree: from the top down, what the last questions left being kept."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..noise import CellNoise
from ..normals import Rows
from .bridge import Values, divided, scaled
from .memory import Key, Memory
from .query import Piece, Query

KEPT_BYTES = 1 << 28
"""Memory that kept pieces may take where nobody says how many to keep."""


class Block(NamedTuple):
    """Some samples of a batch: where they begin, their ids, the sizes of the whole batch."""

    begin: int
    ids: Sequence[int]
    shape: tuple[int, int]


class Step(NamedTuple):
    """A piece on the way down: its name, those of its parts, and what it is a part of."""

    piece: Piece
    key: Key
    parts: tuple[Key, Key]
    above: Step | None


class Descent:
    """The pieces of one path, each a pure function of the normals of the divisions above it.

    What is kept are pieces that have no part in common: those that were taken, and those beside
    the way down to them, which the next cells are made of if cells are asked in order, from either
    end. A piece that is divided is gone: its memory is that of its parts. One that was taken is
    kept for the next question, for a question is often asked twice: for the increment and for the
    area.

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
        self._memory, self._asked, self._shape = Memory(), set[Key](), (0, 0)
        self._rows: dict[tuple[int, int], Rows] = {}
        self._drawn: dict[int, NDArray[np.float32]] = {}

    def values(self, query: Query, root: Piece, blocks: Sequence[Block]) -> Iterator[list[Values]]:
        """For each block, increment and area of each piece of the query.

        They are not to be written to, and those of a block to be read before the next one's.
        """
        if not blocks:
            return
        memory, shape = self._memory, blocks[0].shape
        if shape != self._shape:
            self._shape = shape
            self._rows.clear()
        steps = list(self._steps(query, root, None, 0))
        memory.drop(self._asked.difference(step.key for step in steps))
        taken = [step.key for step in steps if step.piece.measures is None]
        todo, drawn = self._todo([step for step in steps if step.piece.measures is None])
        most = min(self._keep, self._room // (8 * self._width * max(1, math.prod(shape))))
        names = [self._noise.key(query.cell(step.piece, "bridge")) for step in todo]
        old, new = memory.take([step.key for step in todo]), dict[Key, list[Values]]()
        for i, block in enumerate(blocks):
            at = {key: values[i] for key, values in old.items()}
            if drawn:
                at[steps[0].key] = self._whole(query, root, block)
            self._divide(todo, names, at, block)
            yield [at.get(key) or memory.values(key, i) for key in taken]
            for k, (key, values) in enumerate(at.items(), most - len(at)):
                if k < 0:  # no room for it, and so not for a whole batch of it
                    memory.give(values)
                else:
                    new.setdefault(key, []).append(values)
        memory.put(new)
        memory.trim(most, self._width * len(blocks))
        self._asked = {step.key for step in steps}

    def _steps(self, query: Query, piece: Piece, above: Step | None, side: int) -> Iterator[Step]:
        """The pieces that the query takes, in order, each after those that it is a part of."""
        a, b, middle, shape = piece.a, piece.b, piece.middle, self._shape
        key = above.parts[side] if above else (query.clock, a, b, a, b, shape)
        parts = (query.clock, a, middle, a, b, shape), (query.clock, middle, b, a, b, shape)
        step = Step(piece, key, parts, above)
        yield step
        for k, part in enumerate((piece.left, piece.right)):
            if part is not None:
                yield from self._steps(query, part, step, k)

    def _todo(self, taken: Sequence[Step]) -> tuple[list[Step], bool]:
        """What is to be divided, from the top down; and whether the whole cell is to be drawn."""
        todo: list[Step] = []
        known, drawn = set[Key](), False
        for step in taken:
            at: Step | None = step
            way: list[Step] = []
            while at is not None and at.key not in known and at.key not in self._memory:
                at = at.above
                if at is not None:
                    way.append(at)
            drawn = drawn or at is None
            for step_down in reversed(way):
                todo.append(step_down)
                known.update(step_down.parts)
        return todo, drawn

    def _divide(
        self, todo: Sequence[Step], names: Sequence[bytes], at: dict[Key, Values], block: Block
    ) -> None:
        """Put the parts of pieces in their place; the normals of all of them are drawn at once."""
        if not todo:
            return
        room = partial(self._memory.field, (len(block.ids), block.shape[1]))
        for step, z in zip(todo, self._normals(names, self._width, block), strict=True):
            if step.piece.measures is not None:
                *parts, free = divided(at.pop(step.key), *step.piece.measures, z, room)
                self._memory.give([free])
                at.update(zip(step.parts, parts, strict=True))

    def _whole(self, query: Query, root: Piece, block: Block) -> Values:
        """The whole cell: the same normals as those of independent noise."""
        names = [self._noise.key(query.cell(root, kind)) for kind in "WH"[: self._width]]
        sizes = math.sqrt(root.measure), math.sqrt(root.measure / 12)
        return [
            scaled(z[0], size, self._memory.field(z[0].shape))
            for z, size in zip(self._normals(names, 1, block), sizes, strict=False)
        ]

    def _normals(self, names: Sequence[bytes], width: int, block: Block) -> NDArray[np.float32]:
        """Independent normals, ``width`` fields a name; valid until the next are drawn."""
        many, count = len(block.ids), block.shape[1]
        rows = self._rows.get((width, block.begin))
        if rows is None:
            rows = self._rows[width, block.begin] = Rows(block.ids, width * count)
        size = len(names) * many * width * count
        drawn = self._drawn.get(width, np.empty(0, np.float32))
        if drawn.size < size:
            drawn = self._drawn[width] = np.empty(size, np.float32)
        drawn = drawn[:size].reshape(len(names), many, width * count)
        rows.fields(names, drawn)
        return drawn.reshape(len(names), many, width, count).swapaxes(1, 2)
