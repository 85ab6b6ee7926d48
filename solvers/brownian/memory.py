"""What is remembered of a tree between questions, and the memory of what no longer is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from .bridge import Field, Values

Key = tuple[str, float, float, float, float, tuple[int, int]]
"""Clock, ends of a piece, ends of what it was divided from, and the sizes of the batch."""


class Memory:
    """Values of pieces, in blocks of samples; an array that is free is the next one's memory.

    What was just in use is in the processor's caches, and new memory costs more than what is done
    with it. Values that were dropped must not be looked at any more.
    """

    def __init__(self) -> None:
        self._kept: dict[Key, list[Values]] = {}
        self._free: dict[tuple[int, ...], list[Field]] = {}

    def __len__(self) -> int:
        """Number of pieces."""
        return len(self._kept)

    def __contains__(self, key: Key) -> bool:
        """Whether a piece is kept."""
        return key in self._kept

    def values(self, key: Key, block: int) -> Values:
        """What is kept of a piece for a block."""
        return self._kept[key][block]

    def put(self, pieces: Mapping[Key, list[Values]]) -> None:
        """Keep pieces."""
        self._kept.update(pieces)

    def take(self, keys: Iterable[Key]) -> dict[Key, list[Values]]:
        """What is kept of pieces, and henceforth the caller's."""
        return {key: self._kept.pop(key) for key in keys if key in self._kept}

    def drop(self, keys: Iterable[Key]) -> None:
        """Forget pieces."""
        for blocks in self.take(keys).values():
            for values in blocks:
                self.give(values)

    def trim(self, pieces: int, each: int) -> None:
        """Keep the newest pieces, and free arrays for those that are missing, ``each`` a piece."""
        self.drop(list(self._kept)[: max(0, len(self._kept) - pieces)])
        room = each * (pieces - len(self._kept))
        for free in self._free.values():
            del free[: max(0, len(free) - room)]
            room -= len(free)

    def field(self, shape: tuple[int, ...]) -> Field:
        """An array to be written to."""
        free = self._free.get(shape)
        return free.pop() if free else np.empty(shape)

    def give(self, values: Values) -> None:
        """Arrays are free."""
        for field in values:
            self._free.setdefault(field.shape, []).append(field)
