"""A Brownian path that is refined from the top: halves of a cell are drawn given the whole.

Over a cell of length h the path is known by its increment W and area H (see ``method``).  Given
them, the halves are (Foster, Lyons & Oberhauser 2020, arXiv:1905.02971; a virtual Brownian tree
with areas) ::

    W_1 = W/2 + 3 H/2 + Z,   H_1 = H/4 - Z/2 + N/2        Z ~ N(0, h/16)
    W_2 = W/2 - 3 H/2 - Z,   H_2 = H/4 - Z/2 - N/2        N ~ N(0, h/12)

Both numbers are a pure function of (seed, sample, cell), so a path has one value whatever is
asked, in which order, by whom: a step that is refused and halved sees the same path, refined.

Not to be confused with :class:`~fokker.solvers.noise.GridPath`, which knows its finest grid and
adds upwards: the two are different paths of one seed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import InvalidGridError
from ..noise import CellNoise
from ..ops import Noise


class Piece(NamedTuple):
    """Cell ``index`` of 2^level equal ones, with increment and area in float64."""

    level: int
    index: int
    w: Tensor
    area: Tensor

    def rows(self, keep: Tensor) -> Piece:
        """The same cell for some of the samples."""
        return self._replace(w=self.w[keep], area=self.area[keep])


class DyadicPath:
    """The path of every sample on [begin, end], at every level of halving.

    Parameters
    ----------
    begin, end : float
        Ends of the path.
    seed : int
        Seed of the run.
    sample_ids : sequence of int, optional
        Identity of each row of the batch; 0, 1, 2, ... by default.

    Raises
    ------
    InvalidGridError
        If the ends do not increase, or a cell that is asked for is not dyadic.
    """

    def __init__(
        self, begin: float, end: float, seed: int, sample_ids: Sequence[int] | None = None
    ) -> None:
        if not (math.isfinite(begin) and math.isfinite(end) and begin < end):
            msg = f"a path needs finite ends that increase, got {begin!r} and {end!r}"
            raise InvalidGridError(msg)
        self.begin, self.end, self.seed = float(begin), float(end), int(seed)
        self.sample_ids = None if sample_ids is None else [int(i) for i in sample_ids]

    def time(self, level: int, index: int) -> float:
        """Start of a cell; ``time(level, index + 1)`` is its end."""
        return self.begin + (self.end - self.begin) * (index / 2**level)

    def whole(self, like: Tensor) -> Piece:
        """The path over [begin, end]."""
        h = self.end - self.begin
        xi, zeta = self._normals("root", 0, 0, like, self.sample_ids)
        return Piece(0, 0, xi * math.sqrt(h), zeta * math.sqrt(h / 12))

    def halves(self, piece: Piece, ids: Sequence[int] | None) -> tuple[Piece, Piece]:
        """The two halves of a cell, for the samples ``ids`` that are its rows."""
        h = (self.end - self.begin) / 2**piece.level
        xi, zeta = self._normals("half", piece.level, piece.index, piece.w, ids)
        tilt = 1.5 * piece.area + xi * math.sqrt(h / 16)
        mean = 0.25 * piece.area - 0.5 * math.sqrt(h / 16) * xi
        spread = 0.5 * math.sqrt(h / 12) * zeta
        level, index = piece.level + 1, 2 * piece.index
        left = Piece(level, index, 0.5 * piece.w + tilt, mean + spread)
        return left, Piece(level, index + 1, 0.5 * piece.w - tilt, mean - spread)

    def draw(self, cell: Noise, like: Tensor) -> Tensor:
        """Standard normal field of a dyadic cell: its increment (W) or area (H), normalised."""
        level, index = self._dyadic(cell.a, cell.b)
        piece = self.whole(like)
        for up in range(level - 1, -1, -1):
            piece = self.halves(piece, self.sample_ids)[(index >> up) & 1]
        h = (self.end - self.begin) / 2**level
        value = piece.w / math.sqrt(h) if cell.kind == "W" else piece.area / math.sqrt(h / 12)
        return value.to(like.dtype)

    def _dyadic(self, a: float, b: float) -> tuple[int, int]:
        length = self.end - self.begin
        level = round(math.log2(length / (b - a))) if a < b else -1
        index = round((a - self.begin) / length * 2**level) if level >= 0 else 0
        close = 1e-12 * (1 + max(abs(self.begin), abs(self.end)))
        inside = level >= 0 and 0 <= index < 2**level
        if not inside or max(
            abs(self.time(level, index) - a), abs(self.time(level, index + 1) - b)
        ) > min(close, 0.25 * (b - a)):
            msg = (
                f"[{a}, {b}] is not a dyadic cell of the path on [{self.begin}, {self.end}]: "
                "halve it whole times"
            )
            raise InvalidGridError(msg)
        return level, index

    def _normals(
        self, name: str, level: int, index: int, like: Tensor, ids: Sequence[int] | None
    ) -> tuple[Tensor, Tensor]:
        source = CellNoise(self.seed, ids)
        like = like.to(torch.float64)
        clock = f"dyadic {name} {self.begin!r} {self.end!r}"
        key = (float(level), float(index))
        return (
            source.draw(Noise(clock, *key, "W"), like),
            source.draw(Noise(clock, *key, "H"), like),
        )
