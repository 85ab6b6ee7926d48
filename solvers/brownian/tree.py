"""Random access to one Brownian path, and to its space-time areas, between any two times.

The path is that of :class:`~.noise.GridPath` at its edges. A cell between two edges is divided in
the middle, and again, until a piece is no longer than the tolerance; a piece in which an end of
the query lies is divided there. Each division draws from the exact conditional law of the two
halves given the whole (``brownian_bridge``), keyed by (seed, sample, clock, piece). Nothing need
be stored: a query costs one division for each level at each of its ends, and all answers agree.

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
from numpy.typing import NDArray
from torch import Tensor

from ..engine.upload import upload
from ..errors import InvalidGridError, InvalidPlanError
from ..noise import CellNoise, GridPath, Piece, joined, normalised
from ..normals import normal_field
from ..plan import Noise, clock_measure
from .query import Query

BLOCK = 32768
"""Numbers carried down the tree at once: what fits the processor's nearer caches."""

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
    keep : int
        Divisions whose normals (one field of float32 each, two with areas) are kept for the next
        queries, the last ones asked; 0 keeps nothing. It changes the cost, never a number: with
        twice the levels of the tree, cells asked in order cost a few divisions each.

    Raises
    ------
    InvalidGridError
        If the edges are not strictly monotone; if the tolerance is not positive, is below rounding
        or above the length of the path; if a cell is reversed, empty, not a number, outside the
        path, shorter than the tolerance, begins inside an infinite cell, or if its measure has
        left the range of float64.
    InvalidPlanError
        For an unknown clock; for the clock ``"churn"``, whose cells are no stretches of a path;
        for an area of a path without areas.
    ShapeError
        If noise is asked for a batch of another size than there are ids.
    """

    def __init__(
        self,
        edges: Sequence[float],
        seed: int,
        sample_ids: Sequence[int] | None = None,
        *,
        tolerance: float,
        areas: bool = True,
        keep: int = 0,
    ) -> None:
        self._grid = GridPath(edges, seed, sample_ids)
        self._noise = CellNoise(seed, sample_ids)
        self.sample_ids = self._noise.sample_ids
        self.edges, self.tolerance, self.areas = self._grid.edges, float(tolerance), bool(areas)
        self.keep = int(keep)
        self._kept: dict[tuple[Noise, tuple[int, int, int]], dict[int, NDArray[np.float32]]] = {}
        self._sign = 1.0 if self.edges[0] < self.edges[-1] else -1.0
        self._places = [self._sign * e for e in self.edges]  # increasing
        finite = [p for p in self._places if math.isfinite(p)]
        if len(finite) < 2:
            msg = f"a path needs two finite edges, got {self.edges}"
            raise InvalidGridError(msg)
        self._fuzz = ROUNDING * max(1.0, *(abs(p) for p in finite))
        if not 1e3 * self._fuzz <= self.tolerance <= finite[-1] - finite[0]:
            msg = (
                f"the tolerance must be from {1e3 * self._fuzz:.3g} (rounding) to "
                f"{finite[-1] - finite[0]:.6g} (the length of the path), got {tolerance}"
            )
            raise InvalidGridError(msg)

    def draw(self, cell: Noise, like: Tensor) -> Tensor:
        """Standard normal field of the cell: its increment (W) or area (H), normalised."""
        s, t = self._ends(cell)
        k = self._edge(t) - 1
        if (s, t) == (self._places[k], self._places[k + 1]):
            a, b = self.edges[k], self.edges[k + 1]
            return self._noise.draw(Noise(cell.clock, a, b, cell.kind), like)
        if s < self._places[k]:
            return normalised(self._piece(cell, s, t, like), like)
        (value,), measure = self._sums(cell, k, s, t, like, alone=True)
        return value.div_(math.sqrt(measure if cell.kind == "W" else measure / 12)).to(like.dtype)

    def increment(self, cell: Noise, like: Tensor) -> tuple[Tensor, Tensor, float]:
        """Increment and space-time area of the path over the cell, float64, and the measure.

        The area is computed for cells of type H only; for W it is zero.
        """
        w, h, measure = self._piece(cell, *self._ends(cell), like)
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
        """What [s, t] asks of the path between edges k and k + 1; clock and kind of a cell."""
        ends = self._places[k], self._places[k + 1], s, t
        how = cell.clock, self._sign, cell.kind, self.tolerance, self._fuzz, self.areas
        return Query(*ends, *how)

    def _inside(self, cell: Noise, k: int, s: float, t: float, like: Tensor) -> Piece:
        """The path over a part of the cell between edges k and k + 1."""
        (w, *h), measure = self._sums(cell, k, s, t, like)
        return w, h[0] if h else None, measure

    def _sums(
        self, cell: Noise, k: int, s: float, t: float, like: Tensor, *, alone: bool = False
    ) -> tuple[Tensor, float]:
        """Increment and, if it is asked, area; alone: without the increment. And the measure."""
        ids, count = self._noise.ids(like), math.prod(like.shape[1:])
        terms, measure = self.query(cell, k, s, t).terms()
        wanted = slice(-1 if alone else 0, None)
        tall = max(1, BLOCK // max(1, count))  # some samples at a time
        found = np.zeros((len(terms[0].weights[wanted]), len(ids), count))
        for i in range(0, len(ids), tall):
            part = ids[i : i + tall]
            for noise, weights in terms:
                field = self._fields(noise, part, i, (len(weights[0]), len(ids), count))
                _add(found[:, i : i + tall], field, weights[wanted])
        host = torch.from_numpy(found).reshape(-1, *like.shape)
        return upload(host, like.device, torch.float64), measure

    def _fields(
        self, noise: Noise, ids: Sequence[int], begin: int, shape: tuple[int, int, int]
    ) -> NDArray[np.float32]:
        """Normal fields of one key for a block of the batch, kept from before or new."""
        width, _, count = shape
        name = noise, shape
        blocks = self._kept.pop(name, {})
        field = blocks.get(begin)
        if field is None:
            field = normal_field(self._noise.key(noise), ids, width * count)
            field = field.reshape(-1, width, count)
        if self.keep:
            blocks[begin] = field
            self._kept[name] = blocks  # the newest is the last
            if len(self._kept) > self.keep:
                del self._kept[next(iter(self._kept))]
        return field

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


def _add(
    sums: NDArray[np.float64], fields: NDArray[np.float32], weights: list[tuple[float, ...]]
) -> None:
    """Add weighted fields to each sum.

    Each product and sum is rounded by itself, so no number depends on its place in the batch.
    """
    first, *others = zip(sums, weights, strict=True)
    for j in range(fields.shape[1]):
        field = fields[:, j].astype(np.float64)
        for total, row in others:
            total += field * row[j]
        total, row = first
        field *= row[j]
        total += field
