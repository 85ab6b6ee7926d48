"""A query of a tree of Brownian bridges: which pieces of the tree it is made of.

A cell of a clock is divided in the middle, and again, until a piece is no longer than a tolerance;
a piece in which an end of the query lies is divided there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..noise import path_measure
from ..plan import Noise
from .bridge import Field, Values


class Piece(NamedTuple):
    """A piece of the tree that meets the query: wholly inside it, or divided."""

    a: float
    b: float
    measure: float
    asked: float  # measure of what of the query lies in it
    middle: float = math.nan  # where it is divided, if it is
    measures: tuple[float, float] | None = None  # of its two parts
    left: Piece | None = None
    right: Piece | None = None

    def whole(self) -> Iterator[Piece]:
        """The pieces that make up the query, in order."""
        if self.measures is None:
            yield self
        for part in (self.left, self.right):
            if part is not None:
                yield from part.whole()


@dataclass(frozen=True)
class Query:
    """What [s, t] asks of the cell [a, b]; all four increase, ``sign`` times them is the clock's.

    Attributes
    ----------
    a, b, s, t : float
        Ends of the cell and of the query inside it.
    clock, sign : str, float
        The clock; -1 where its sampling order is downwards.
    tolerance, fuzz : float
        Pieces longer than the one are divided; places nearer than the other are one.
    """

    a: float
    b: float
    s: float
    t: float
    clock: str
    sign: float
    tolerance: float
    fuzz: float

    def root(self) -> Piece:
        """The cell, and what is divided of it."""
        measure = self._measure(self.a, self.b)
        return self._cut(self.a, self.b, measure) or Piece(self.a, self.b, measure, 0.0)

    def cell(self, piece: Piece, kind: str) -> Noise:
        """The cell of the clock whose normals belong to a piece."""
        return Noise(self.clock, self.sign * piece.a, self.sign * piece.b, kind)

    def _cut(self, a: float, b: float, measure: float) -> Piece | None:
        """The pieces that make up the query, from [a, b] down."""
        if not (a < self.t - self.fuzz and self.s + self.fuzz < b):
            return None
        if self.s <= a + self.fuzz and b - self.fuzz <= self.t:
            return Piece(a, b, measure, measure)
        middle = 0.5 * (a + b)
        if b - a <= self.tolerance:  # the same normals wherever: the path is continuous
            middle = self.s if self.s > a + self.fuzz else self.t
        ends = self._measure(a, middle), self._measure(middle, b)
        m1, m2 = (measure * (m / sum(ends)) for m in ends)  # else the parts miss the whole by ulps
        left, right = self._cut(a, middle, m1), self._cut(middle, b, m2)
        asked = sum(part.asked for part in (left, right) if part is not None)
        return Piece(a, b, measure, asked, middle, (m1, m2), left, right)

    def _measure(self, a: float, b: float) -> float:
        return path_measure(self.clock, self.sign * a, self.sign * b)


Terms = list[tuple[int, int, float]]
"""Pieces by number, which field of each (0: increment, 1: area), and its weight in a sum."""


def terms(root: Piece, kind: str) -> Terms:
    """Of what the increment (W) or the area (H) of a query is the sum.

    The area over the chord is ``h = sum (m_i h_i + (after_i - before_i) w_i / 2) / m``, before_i
    and after_i being the measures of the query on both sides of piece i. The smaller pieces come
    first: added up in this order they round least.
    """
    pieces, before, out = list(root.whole()), 0.0, []
    for i, piece in enumerate(pieces):
        after = root.asked - before - piece.asked
        if kind == "W":
            out.append((i, 0, 1.0))
        else:
            lever = [(i, 0, 0.5 * (after - before) / root.asked)] if len(pieces) > 1 else []
            out += [*lever, (i, 1, piece.asked / root.asked)]
        before += piece.asked
    return sorted(out, key=lambda term: pieces[term[0]].asked)


def summed(values: list[Values], parts: Terms, work: Field) -> Field:
    """The sum of these terms, not to be written to; ``work`` is room for two fields."""
    i, k, weight = parts[0]
    if len(parts) == 1:
        return values[i][k]
    total = np.multiply(values[i][k], weight, out=work[0])
    for i, k, weight in parts[1:]:
        total += values[i][k] if weight == 1.0 else np.multiply(values[i][k], weight, out=work[1])
    return total
