"""A Brownian path that is walked from the top: halves of a cell are drawn given the whole.

Over a cell of length h the path is known by its increment W and area H (see ``method``).  Given
them, the halves are (Foster, Lyons & Oberhauser 2020, arXiv:1904.06998) ::

    W_1 = W/2 + 3 H/2 + Z,   H_1 = H/4 - Z/2 + N/2        Z ~ N(0, h/16)
    W_2 = W/2 - 3 H/2 - Z,   H_2 = H/4 - Z/2 - N/2        N ~ N(0, h/12)

Both normals are those of the :class:`~fokker.solvers.brownian.tree.TreePath` of the same ends and
seed: the two are *one path*.  The tree answers any question from its root; here a step that is
refused and halved gets the halves of the cell that it has, for the samples that were refused.

Both numbers are a pure function of (seed, sample, cell), so a path has one value whatever is
asked, in which order, by whom: a step that is refused and halved sees the same path, refined.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..engine.upload import upload
from ..errors import InvalidGridError
from ..given import whole_number
from ..noise import CellNoise, check_field, path_measure
from ..normals import normal_field
from ..ops import Noise


class Piece(NamedTuple):
    """The cell [a, b] after ``level`` halvings, with increment and area in float64."""

    level: int
    a: float
    b: float
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
        If the ends do not increase, their distance is no measure of a path
        (:func:`~fokker.solvers.noise.path_measure`), or a cell that is asked for is not dyadic.
    """

    def __init__(
        self, begin: float, end: float, seed: int, sample_ids: Sequence[int] | None = None
    ) -> None:
        if not (math.isfinite(begin) and math.isfinite(end) and begin < end):
            msg = f"a path needs finite ends that increase, got {begin!r} and {end!r}"
            raise InvalidGridError(msg)
        self.begin, self.end, self.seed = float(begin), float(end), whole_number(seed, "a seed")
        path_measure("t", self.begin, self.end)
        self._noise = CellNoise(seed, sample_ids)
        self.sample_ids = self._noise.sample_ids

    def whole(self, like: Tensor) -> Piece:
        """The path over [begin, end]."""
        h = self.end - self.begin
        cells = [Noise("t", self.begin, self.end, kind) for kind in "WH"]
        check_field(cells[0], like)
        xi, zeta = (self._noise.draw(cell, like.to(torch.float64)) for cell in cells)
        return Piece(0, self.begin, self.end, xi * math.sqrt(h), zeta * math.sqrt(h / 12))

    def halves(self, piece: Piece, ids: Sequence[int] | None) -> tuple[Piece, Piece]:
        """The two halves of a cell, for the samples ``ids`` that are its rows."""
        h, middle = piece.b - piece.a, 0.5 * (piece.a + piece.b)
        xi, zeta = self._fresh(piece, range(len(piece.w)) if ids is None else ids)
        tilt = 1.5 * piece.area + xi * math.sqrt(h / 16)
        mean = 0.25 * piece.area - 0.5 * math.sqrt(h / 16) * xi
        spread = 0.5 * math.sqrt(h / 12) * zeta
        level = piece.level + 1
        left = Piece(level, piece.a, middle, 0.5 * piece.w + tilt, mean + spread)
        return left, Piece(level, middle, piece.b, 0.5 * piece.w - tilt, mean - spread)

    def draw(self, cell: Noise, like: Tensor) -> Tensor:
        """Standard normal field of a dyadic cell: its increment (W) or area (H), normalised."""
        piece, ids = self.whole(like), self._noise.ids(like)
        centre = 0.5 * (cell.a + cell.b)
        while cell.a < cell.b < math.inf and piece.b - piece.a > 1.5 * (cell.b - cell.a):
            left, right = self.halves(piece, ids)
            if not left.a < left.b < right.b:
                break
            piece = left if centre < left.b else right
        self._check(cell, piece)
        check_field(cell, like)
        h = piece.b - piece.a
        value = piece.w / math.sqrt(h) if cell.kind == "W" else piece.area / math.sqrt(h / 12)
        return value.to(like.dtype)

    def _check(self, cell: Noise, piece: Piece) -> None:
        """See that the piece is the cell, up to the rounding of a grid of times."""
        close = 1e-12 * (1 + max(abs(self.begin), abs(self.end)))
        far = max(abs(piece.a - cell.a), abs(piece.b - cell.b))
        if not (cell.a < cell.b and far <= min(close, 0.25 * (cell.b - cell.a))):
            msg = (
                f"[{cell.a}, {cell.b}] is not a dyadic cell of the path on "
                f"[{self.begin}, {self.end}]: halve it whole times"
            )
            raise InvalidGridError(msg)

    def _fresh(self, piece: Piece, ids: Sequence[int]) -> tuple[Tensor, Tensor]:
        """The two normal fields that divide a cell: those of the tree of bridges."""
        shape, count = piece.w.shape, math.prod(piece.w.shape[1:])
        key = self._noise.key(Noise("t", piece.a, piece.b, "bridge"))
        field = torch.from_numpy(normal_field(key, ids, 2 * count)).reshape(len(ids), 2, count)
        xi, zeta = (
            upload(field[:, k].reshape(shape), piece.w.device, piece.w.dtype) for k in (0, 1)
        )
        return xi, zeta
