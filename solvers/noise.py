"""Noise that belongs to a cell, not to a call: keyed by (seed, sample, clock, cell), not by batch.

A sample's noise is the same, bit for bit, in any batch, order, shard or process. It is drawn in
float32 on the host, as a function of its key (see ``normals``), and then cast and moved: a device
changes nothing but rounding.

:class:`CellNoise` gives every cell its own independent noise. :class:`GridPath` is one Brownian
path: the noise of a coarse cell is, by definition, the pairwise sum of its fine ones, so that one
path serves every grid nested in the finest. A path that serves any grid is in ``brownian``.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from numbers import Integral
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .ahead import Ahead
from .engine.upload import upload
from .errors import InvalidGridError, InvalidPlanError, ShapeError
from .given import whole_number
from .normals import normal_field, normal_fields
from .plan import Noise, clock_measure

_pack = struct.Struct("<dd").pack


MEASURES = 1e-300, 1e300
"""What a stretch of path may measure: a twelfth of it, and a sum of two, are in range, too."""


def check_field(cell: Noise, like: Tensor) -> None:
    """Refuse a cell that has no normals, and what no field of them can be like.

    Raises
    ------
    InvalidPlanError
        If the cell is of another kind than W and H.
    InvalidGridError
        If one of its ends is not a number.
    ShapeError
        If ``like`` is no batch of real floating-point numbers: normals cast to whole ones are no
        normals, and a complex one has two parts.
    """
    if cell.kind not in ("W", "H"):
        msg = f"a cell of noise is of kind 'W' or 'H', got {cell.kind!r}"
        raise InvalidPlanError(msg)
    if math.isnan(cell.a) or math.isnan(cell.b):
        msg = f"the ends of a cell of noise must be numbers, got [{cell.a}, {cell.b}]"
        raise InvalidGridError(msg)
    if like.ndim == 0 or not like.is_floating_point():
        msg = (
            "noise is drawn for a batch (B, *D) of real floating-point numbers, "
            f"got {like.dtype} of shape {tuple(like.shape)}"
        )
        raise ShapeError(msg)


def path_measure(clock: str, a: float, b: float) -> float:
    """Measure of a stretch of path, :func:`~.ops.clock_measure` where a path can be.

    Raises
    ------
    InvalidGridError
        If it is outside :data:`MEASURES`: increments and areas would be no numbers.
    InvalidPlanError
        If there is no such clock.
    """
    measure = clock_measure(clock, a, b)
    if not MEASURES[0] <= measure <= MEASURES[1]:
        msg = (
            f"the clock {clock!r} gives [{a}, {b}] the measure {measure}; "
            f"a path needs one from {MEASURES[0]} to {MEASURES[1]}"
        )
        raise InvalidGridError(msg)
    return measure


class NoiseSource(Protocol):
    """Anything that can draw the noise of a cell for a batch of samples."""

    def draw(self, cell: Noise, like: Tensor) -> Tensor:
        """Standard normal field of ``cell``, of the shape, dtype and device of ``like``."""
        ...


class CellNoise:
    """Independent noise for every cell, a pure function of (seed, sample id, clock, kind, cell).

    Parameters
    ----------
    seed : int
        Seed of the run.
    sample_ids : sequence of int, optional
        Identity of each row of the batch; 0, 1, 2, ... by default. Shards pass their own.

    Raises
    ------
    InvalidPlanError
        If seed or ids are not whole numbers: seeds 1.2 and 1.7 are not both 1; and for a cell of
        an unknown kind.
    ShapeError
        If noise is asked for a batch of another size than there are ids, or for numbers that are
        not real floating-point ones.
    """

    def __init__(self, seed: int, sample_ids: Sequence[int] | None = None) -> None:
        self.seed = whole_number(seed, "a seed")
        self.sample_ids = (
            None if sample_ids is None else [whole_number(i, "a sample id") for i in sample_ids]
        )

    def draw(self, cell: Noise, like: Tensor) -> Tensor:
        """Standard normal field of the cell for each sample of the batch."""
        check_field(cell, like)
        field = normal_field(self.key(cell), self.ids(like), math.prod(like.shape[1:]))
        host = torch.from_numpy(field.reshape(like.shape))
        if like.is_cpu and like.dtype is torch.float32:
            return host
        return upload(host, like.device, like.dtype)

    def ids(self, like: Tensor) -> Sequence[int]:
        """The identity of each row of a batch."""
        ids = range(like.shape[0]) if self.sample_ids is None else self.sample_ids
        if len(ids) != like.shape[0]:
            msg = f"{len(ids)} sample ids were given for a batch of {like.shape[0]}"
            raise ShapeError(msg)
        return ids

    def key(self, cell: Noise) -> bytes:
        """All that the numbers of a cell depend on, but for the sample."""
        return self.keys(cell.clock, cell.kind, [(cell.a, cell.b)])[0]

    def keys(self, clock: str, kind: str, ends: Sequence[tuple[float, float]]) -> list[bytes]:
        """The keys of many cells of one clock and kind."""
        head = f"{self.seed}|{clock}|{kind}|".encode()
        return [head + _pack(a + 0.0, b + 0.0) for a, b in ends]  # -0.0 and 0.0 are one level


def source_of(noise: NoiseSource | int) -> NoiseSource:
    """A source of noise, from itself or from a seed.

    Raises
    ------
    InvalidPlanError
        For anything else, such as a ``torch.Generator``, whose numbers belong to calls.
    """
    if isinstance(noise, (int, Integral)):
        return CellNoise(int(noise))
    if not callable(getattr(noise, "draw", None)):
        msg = (
            "noise must be a seed (a whole number) or a source of noise such as CellNoise(seed), "
            f"got {type(noise).__name__}"
        )
        raise InvalidPlanError(msg)
    return noise


Piece = tuple[Tensor, Tensor | None, float]
"""Increment, space-time area (None where nobody asks for it) and measure of a stretch of path."""


def joined(first: Piece, second: Piece) -> Piece:
    """Two neighbouring stretches as one; their tensors are used up.

    The increment is ``w1 + w2``. The area between the path and its chord, over the measure
    ``m = m1 + m2``, is ``h = (m1 h1 + m2 h2 + (m2 w1 - m1 w2) / 2) / m`` (Foster, Lyons &
    Oberhauser 2020, arXiv:1904.06998).
    """
    (w1, h1, m1), (w2, h2, m2) = first, second
    m, area = m1 + m2, None
    if h1 is not None and h2 is not None:
        area = h1.mul_(m1 / m).add_(h2.mul_(m2 / m))
        area.add_(torch.mul(w1, m2 / (2 * m), out=h2))
        area.sub_(torch.mul(w2, m1 / (2 * m), out=h2))
    return w1.add_(w2), area, m


def normalised(piece: Piece, like: Tensor) -> Tensor:
    """The stretch as a standard normal field: of its area where it has one, else its increment."""
    w, h, m = piece
    value = w / math.sqrt(m) if h is None else h / math.sqrt(m / 12)
    return value.to(like.dtype)


class GridPath:
    """One Brownian path on a finest grid; every cell between two of its edges is exact sums.

    The increment over a coarse cell is the pairwise sum of the increments of its fine cells; the
    space-time area (kind ``H``) is combined by the exact two-cell formula. Path and sums are
    float64, from float32 draws.

    Parameters
    ----------
    edges : sequence of float
        Coordinates of the finest grid in the clock, in sampling order: lams increasing, or times
        decreasing for clock ``"t"``.
    seed, sample_ids
        As for :class:`CellNoise`.

    Raises
    ------
    InvalidGridError
        If the edges are not strictly monotone; if a cell is asked whose ends are not two of them
        in sampling order; or if a sum is asked of cells whose measure is infinite, or no longer a
        number of full precision.
    InvalidPlanError, ShapeError
        As for :class:`CellNoise`.
    """

    def __init__(
        self, edges: Sequence[float], seed: int, sample_ids: Sequence[int] | None = None
    ) -> None:
        self.edges = [float(e) + 0.0 for e in edges]
        later = np.array(self.edges)[1:]
        before = np.array(self.edges)[:-1]
        if not len(later) or not ((before < later).all() or (before > later).all()):
            msg = f"the edges of a path must be strictly monotone, at least two, got {self.edges}"
            raise InvalidGridError(msg)
        self._index = {e: i for i, e in enumerate(self.edges)}
        self._fine = CellNoise(seed, sample_ids)
        self._ahead = Ahead(len(later), self._fresh)
        self.sample_ids = self._fine.sample_ids

    def draw(self, cell: Noise, like: Tensor) -> Tensor:
        """Standard normal field of the cell: its increment (W) or area (H), normalised."""
        check_field(cell, like)
        first, last = self.span(cell)
        if last - first == 1:
            return self._field((cell.clock, cell.kind), first, like, like.dtype)
        return normalised(self.piece(cell, like, first, last), like)

    def increment(self, cell: Noise, like: Tensor) -> tuple[Tensor, Tensor, float]:
        """Increment and space-time area of the path over the cell, float64, and the measure.

        The area is computed for cells of type H only; for W it is zero.
        """
        check_field(cell, like)
        w, h, measure = self.piece(cell, like, *self.span(cell))
        return w, torch.zeros_like(w) if h is None else h, measure

    def span(self, cell: Noise) -> tuple[int, int]:
        """The edges, by number, at the ends of the cell."""
        first, last = self._index.get(cell.a), self._index.get(cell.b)
        if first is None or last is None or not first < last:
            msg = (
                f"[{cell.a}, {cell.b}] is not a union of cells, in sampling order, "
                "of the path's finest grid"
            )
            raise InvalidGridError(msg)
        return first, last

    def piece(self, cell: Noise, like: Tensor, first: int, last: int) -> Piece:
        """The path between two edges, its clock and what is asked being those of the cell."""
        if last - first == 1:
            return self._finest(cell, first, like)
        middle = (first + last) // 2
        return joined(self.piece(cell, like, first, middle), self.piece(cell, like, middle, last))

    def _finest(self, cell: Noise, i: int, like: Tensor) -> Piece:
        a, b = self.edges[i], self.edges[i + 1]
        measure = path_measure(cell.clock, a, b)
        w = self._field((cell.clock, "W"), i, like, torch.float64).mul_(math.sqrt(measure))
        if cell.kind == "W":
            return w, None, measure
        h = self._field((cell.clock, "H"), i, like, torch.float64).mul_(math.sqrt(measure / 12))
        return w, h, measure

    def _field(self, name: tuple[str, str], i: int, like: Tensor, dtype: torch.dtype) -> Tensor:
        """Standard normals of one of the finest cells: those of :class:`CellNoise`."""
        host = torch.from_numpy(self._ahead.take(name, i, like))
        if like.is_cpu and dtype is torch.float32:
            return host
        return upload(host, like.device, dtype)

    def _fresh(
        self, name: tuple[str, str], cells: Sequence[int], like: Tensor
    ) -> NDArray[np.float32]:
        ids, (clock, kind) = self._fine.ids(like), name
        ends = [(self.edges[k], self.edges[k + 1]) for k in cells]
        clock_measure(clock, *ends[0])  # an unknown clock is refused
        keys = self._fine.keys(clock, kind, ends)
        return normal_fields(keys, ids, math.prod(like.shape[1:])).reshape(len(ends), *like.shape)
