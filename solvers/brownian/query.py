"""A query of a tree of Brownian bridges, as weights of the independent normals in it.

A cell of a clock is divided in the middle, and again, until a piece is no longer than a tolerance;
a piece in which an end of the query lies is divided there. The increment and the area of the query
are linear in the normals of the divisions, so nothing but numbers goes down the tree.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from ..errors import InvalidGridError
from ..plan import Noise, clock_measure
from .bridge import Weights, gathered


class Term(NamedTuple):
    """Normal fields of one key, and their weights in the increment and, if asked, in the area."""

    cell: Noise
    weights: list[tuple[float, ...]]


class _Piece(NamedTuple):
    """A piece of the tree that meets the query: wholly inside it, or divided."""

    a: float
    b: float
    asked: float  # measure of what of the query lies in it
    measures: tuple[float, float] | None = None  # of its two parts, if it is divided
    left: _Piece | None = None
    right: _Piece | None = None


@dataclass(frozen=True)
class Query:
    """What [s, t] asks of the cell [a, b]; all four increase, ``sign`` times them is the clock's.

    Attributes
    ----------
    a, b, s, t : float
        Ends of the cell and of the query inside it.
    clock, sign : str, float
        The clock; -1 where its sampling order is downwards.
    kind : str
        ``"W"``: the increment; ``"H"``: the increment and the area.
    tolerance, fuzz : float
        Pieces longer than the one are divided; places nearer than the other are one.
    areas : bool
        Whether the path has areas.
    """

    a: float
    b: float
    s: float
    t: float
    clock: str
    sign: float
    kind: str
    tolerance: float
    fuzz: float
    areas: bool

    def terms(self) -> tuple[list[Term], float]:
        """Weights of standard normals in the query, not normalised, and the query's measure.

        The smaller pieces come first: added up in this order they round least.
        """
        root = self._cut(self.a, self.b, self._measure(self.a, self.b))
        if root is None:
            return [], 0.0
        terms: list[Term] = []
        weights = self._weigh(root, 0.0, root.asked, terms)
        terms.append(Term(self._cell(self.a, self.b, "W"), [(x,) for x, _ in weights]))
        if self.areas:
            terms.append(Term(self._cell(self.a, self.b, "H"), [(y,) for _, y in weights]))
        return terms, root.asked

    def _cut(self, a: float, b: float, measure: float) -> _Piece | None:
        """The pieces that make up the query, from [a, b] down."""
        if not (a < self.t - self.fuzz and self.s + self.fuzz < b):
            return None
        if self.s <= a + self.fuzz and b - self.fuzz <= self.t:
            return _Piece(a, b, measure)
        middle = 0.5 * (a + b)
        if b - a <= self.tolerance:  # the same normals wherever: the path is continuous
            middle = self.s if self.s > a + self.fuzz else self.t
        ends = self._measure(a, middle), self._measure(middle, b)
        m1, m2 = (measure * (m / sum(ends)) for m in ends)  # else the parts miss the whole by ulps
        left, right = self._cut(a, middle, m1), self._cut(middle, b, m2)
        asked = sum(part.asked for part in (left, right) if part is not None)
        return _Piece(a, b, asked, (m1, m2), left, right)

    def _weigh(
        self, piece: _Piece | None, before: float, whole: float, terms: list[Term]
    ) -> list[Weights]:
        """Weights of a piece's normals; those of its divisions are added to the terms.

        ``before`` is the measure of the query to the left of the piece, ``whole`` all of it.
        """
        count = 1 if self.kind == "W" else 2
        if piece is None:
            return [(0.0, 0.0)] * count
        if piece.measures is None:
            root = math.sqrt(piece.asked)
            after = whole - before - piece.asked
            area = (0.5 * root * (after - before), root * piece.asked / math.sqrt(12))
            return [(root, 0.0), (area[0] / whole, area[1] / whole)][:count]
        between = before + (piece.left.asked if piece.left else 0.0)
        on_left = self._weigh(piece.left, before, whole, terms)
        on_right = self._weigh(piece.right, between, whole, terms)
        found = [
            gathered(*piece.measures, u, v, areas=self.areas)
            for u, v in zip(on_left, on_right, strict=True)
        ]
        fresh = [z if self.areas else z[:1] for _, z in found]
        terms.append(Term(self._cell(piece.a, piece.b, "bridge"), fresh))
        return [on_whole for on_whole, _ in found]

    def _cell(self, a: float, b: float, kind: str) -> Noise:
        return Noise(self.clock, self.sign * a, self.sign * b, kind)

    def _measure(self, a: float, b: float) -> float:
        measure = clock_measure(self.clock, self.sign * a, self.sign * b)
        if not 0.0 < measure < math.inf:
            msg = (
                f"the clock {self.clock!r} gives [{self.sign * a}, {self.sign * b}] the measure "
                f"{measure}; a path needs one above 0 and finite"
            )
            raise InvalidGridError(msg)
        return measure
