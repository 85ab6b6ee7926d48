"""Random access to one Brownian path, and to its space-time areas, between any two times.

The path is that of :class:`~.noise.GridPath` at its edges. A cell between two edges is divided in
the middle, and again, until a piece is no longer than the tolerance; a piece in which an end of
the query lies is divided there. Each division draws from the exact conditional law of the two
halves given the whole (``bridge``), keyed by (seed, sample, clock, piece). Nothing need be stored,
and all answers agree: a query costs one division for each level at each of its ends, less those
that it shares with the last queries, which are kept while there is room.

The idea is the virtual Brownian tree (Kidger 2022, arXiv:2202.02435), with areas as in Jelincic et
al. 2024 (arXiv:2405.06464). Here a query is a sum of increments, never a difference of two values
of the path, which in a clock that grows by e^20 would have no digits left. Not to be confused with
torchsde's Brownian interval (Kidger et al. 2021, arXiv:2105.13493), whose tree is made of the
queries themselves, and must be stored.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from functools import reduce

import numpy as np
import torch
from torch import Tensor

from ..engine.upload import upload
from ..errors import InvalidGridError, InvalidPlanError
from ..noise import CellNoise, GridPath, Piece, check_field, joined, normalised
from ..plan import Noise, clock_measure
from .descent import KEPT_BYTES, Block, Descent
from .query import Query, summed, terms

BLOCK = 24576
"""Numbers carried down the tree at once: what fits the processor's nearer caches, or nearly."""

ROUNDING = 1e-12
"""Times closer than this part of the largest one are one time: grids are computed."""


class TreePath:
    """One Brownian path that can be asked for any cell: ``run(plan, ..., noise=TreePath(...))``.

    Parameters
    ----------
    edges : sequence of float
        Coordinates in the clock, in sampling order (lams increasing, or times decreasing for clock
        ``"t"``), at least the two ends of the path. At the edges it is the path of
        :class:`~.noise.GridPath`, bit for bit, at its cost; two edges alone are a plain tree. Only
        the first and the last may be infinite, and the cells there are not divided.
    seed, sample_ids
        As for :class:`~.noise.CellNoise`.
    tolerance : float
        The shortest cell that may be asked (but for cells from edge to edge), in units of the
        coordinate. On any grid whose cells are not shorter, the law is exact. Two such grids have
        one path but for this: a piece (no longer than the tolerance) is divided at any of its
        points by the same normals, so that the path is continuous there, but smooth.
    areas : bool
        Whether areas (kind ``H``) may be asked. A path without them is another one (its law is
        that of a Brownian path, too), and a division costs half.
    keep : int, optional
        Pieces of path that are kept for the next queries, the last ones made: a field of float64
        each, two with areas. It changes the cost, never a number. By default four times the levels
        of the tree, in at most 256 MiB: cells asked in order then cost a few divisions each, on
        the nodes of the tree one. 0 keeps nothing.

    Raises
    ------
    InvalidGridError
        If the edges are not strictly monotone; if the tolerance is not positive, is below rounding
        or above the length of the path; if a cell is reversed, empty, not a number, outside the
        path, shorter than the tolerance, begins inside an infinite cell, or if its measure has
        left the range of float64.
    InvalidPlanError
        For an unknown clock or kind; for the clock ``"churn"``, whose cells are no stretches of a
        path; for an area of a path without areas; for a seed or an id that is no whole number.
    ShapeError
        If noise is asked for a batch of another size than there are ids, or for numbers that are
        not real floating-point ones.
    """

    def __init__(
        self,
        edges: Sequence[float],
        seed: int,
        sample_ids: Sequence[int] | None = None,
        *,
        tolerance: float,
        areas: bool = True,
        keep: int | None = None,
    ) -> None:
        self._grid = GridPath(edges, seed, sample_ids)
        self._noise = CellNoise(seed, sample_ids)
        self.sample_ids = self._noise.sample_ids
        self.edges, self.tolerance, self.areas = self._grid.edges, float(tolerance), bool(areas)
        self._sign = 1.0 if self.edges[0] < self.edges[-1] else -1.0
        self._places = [self._sign * e for e in self.edges]  # increasing
        finite = [p for p in self._places if math.isfinite(p)]
        if len(finite) < 2:
            msg = f"a path needs two finite edges, got {self.edges}"
            raise InvalidGridError(msg)
        self._fuzz = ROUNDING * max(1.0, *(abs(p) for p in finite))
        if not 1e3 * self._fuzz <= self.tolerance <= finite[-1] - finite[0] < math.inf:
            msg = (
                f"the tolerance must be from {1e3 * self._fuzz:.3g} (rounding) to "
                f"{finite[-1] - finite[0]:.6g} (the length of the path), got {tolerance}"
            )
            raise InvalidGridError(msg)
        levels = math.ceil(math.log2((finite[-1] - finite[0]) / self.tolerance))
        room = KEPT_BYTES if keep is None else 1 << 62
        keep = 4 * (levels + 2) if keep is None else int(keep)
        self._descent = Descent(self._noise, areas=self.areas, keep=keep, room=room)

    def draw(self, cell: Noise, like: Tensor) -> Tensor:
        """Standard normal field of the cell: its increment (W) or area (H), normalised."""
        s, t = self._ends(cell)
        check_field(cell, like)
        k = self._edge(t) - 1
        if (s, t) == (self._places[k], self._places[k + 1]):
            a, b = self.edges[k], self.edges[k + 1]
            return self._noise.draw(Noise(cell.clock, a, b, cell.kind), like)
        if s < self._places[k]:
            return normalised(self._piece(cell, s, t, like), like)
        return self._sums(cell, k, s, t, like, normal=True)[0][0]

    def increment(self, cell: Noise, like: Tensor) -> tuple[Tensor, Tensor, float]:
        """Increment and space-time area of the path over the cell, float64, and the measure.

        The area is computed for cells of type H only; for W it is zero.
        """
        s, t = self._ends(cell)
        check_field(cell, like)
        w, h, measure = self._piece(cell, s, t, like)
        return w, torch.zeros_like(w) if h is None else h, measure

    def _piece(self, cell: Noise, s: float, t: float, like: Tensor) -> Piece:
        """The path over the cell: a part of one cell of the edges, whole ones, another part."""
        first, last = self._edge(s), self._edge(t) - (not self._is_edge(t))
        if first > last:
            return self._inside(cell, last, s, t, like)
        parts = []
        if not self._is_edge(s):
            parts.append(self._inside(cell, first - 1, s, self._places[first], like))
        if first < last:
            parts.append(self._grid.piece(cell, like, first, last))
        if not self._is_edge(t):
            parts.append(self._inside(cell, last, self._places[last], t, like))
        return reduce(joined, parts)

    def query(self, cell: Noise, k: int, s: float, t: float) -> Query:
        """What [s, t] asks of the path between edges k and k + 1; the clock is that of a cell."""
        ends = self._places[k], self._places[k + 1], s, t
        return Query(*ends, cell.clock, self._sign, self.tolerance, self._fuzz)

    def _inside(self, cell: Noise, k: int, s: float, t: float, like: Tensor) -> Piece:
        """The path over a part of the cell between edges k and k + 1."""
        (w, *h), measure = self._sums(cell, k, s, t, like)
        return w, h[0] if h else None, measure

    def _sums(
        self, cell: Noise, k: int, s: float, t: float, like: Tensor, *, normal: bool = False
    ) -> tuple[Tensor, float]:
        """Increment and, if it is asked, area, float64; or the normal field of what is asked."""
        ids, count = self._noise.ids(like), math.prod(like.shape[1:])
        query = self.query(cell, k, s, t)
        root = query.root()
        kinds = cell.kind if normal else "WH"[: 1 + (cell.kind == "H")]
        sizes = {"W": math.sqrt(root.asked), "H": math.sqrt(root.asked / 12)}
        sums = [(terms(root, kind), 1 / sizes[kind] if normal else 1.0) for kind in kinds]
        single = normal and like.dtype != torch.float64
        found = np.empty((len(kinds), len(ids), count), np.float32 if single else np.float64)
        tall = max(1, BLOCK // max(1, count))  # some samples at a time
        blocks = [Block(i, ids[i : i + tall], (len(ids), count)) for i in range(0, len(ids), tall)]
        work = np.empty((2, min(tall, len(ids)), count))
        for block, values in zip(blocks, self._descent.values(query, root, blocks), strict=True):
            rows = slice(block.begin, block.begin + len(block.ids))
            for out, (parts, factor) in zip(found[:, rows], sums, strict=True):
                total = summed(values, parts, work[:, : len(block.ids)])
                np.multiply(total, factor, out=out, casting="same_kind")
        host = torch.from_numpy(found).reshape(len(kinds), *like.shape)
        return upload(host, like.device, like.dtype if normal else torch.float64), root.asked

    def _ends(self, cell: Noise) -> tuple[float, float]:
        """Where the cell begins and ends, in increasing places, at an edge if it is there."""
        clock_measure(cell.clock, cell.a, cell.b)  # an unknown clock is refused
        if cell.clock == "churn":
            msg = "the clock 'churn' has no path: its cells are independent; use a seed"
            raise InvalidPlanError(msg)
        if cell.kind == "H" and not self.areas:
            msg = f"the area of [{cell.a}, {cell.b}] is asked of a path made with areas=False"
            raise InvalidPlanError(msg)
        s, t = (self._at_edge(self._sign * end) for end in (cell.a, cell.b))
        self._check(cell, s, t)
        return s, t

    def _check(self, cell: Noise, s: float, t: float) -> None:
        what = f"[{cell.a}, {cell.b}]"
        if not s < t:
            msg = f"a cell of the path runs in its sampling order, got {what}"
        elif s < self._places[0] or t > self._places[-1]:
            msg = f"{what} is outside the path [{self.edges[0]}, {self.edges[-1]}]"
        elif t - s < self.tolerance - self._fuzz and not (self._is_edge(s) and self._is_edge(t)):
            msg = f"{what} is shorter than the tolerance {self.tolerance} of the path"
        elif any(not self._is_edge(p) and self._divides_infinity(p) for p in (s, t)):
            msg = f"{what} ends inside an infinite cell of the path with edges {self.edges}"
        else:
            return
        raise InvalidGridError(msg)

    def _divides_infinity(self, place: float) -> bool:
        i = self._edge(place)
        return math.isinf(self._places[i - 1]) or math.isinf(self._places[i])

    def _edge(self, place: float) -> int:
        """The first edge that is not before the place."""
        return bisect_left(self._places, place)

    def _is_edge(self, place: float) -> bool:
        i = self._edge(place)
        return i < len(self._places) and self._places[i] == place

    def _at_edge(self, place: float) -> float:
        """The edge within rounding of the place, if there is one."""
        i = self._edge(place - self._fuzz)
        near = i < len(self._places) and self._places[i] <= place + self._fuzz
        return self._places[i] if near else place
