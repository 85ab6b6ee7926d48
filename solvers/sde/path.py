"""A Brownian path that can be walked from the top: halves of a cell are drawn given the whole.

It is the :class:`~fokker.solvers.brownian.tree.TreePath` of two edges, bit for bit in its normals:
the same bridge (``brownian/bridge.py``), keyed by the same cells.  What is added is the walk: a
step that is refused and halved needs the two halves of the cell that it has, for the samples that
were refused, and not a search from the root.  So an adaptive solve, a solve on any grid and a
question about any single cell see one path of one seed.

Both numbers of a half are a pure function of (seed, sample, cell): whatever is asked, in which
order, by whom.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..brownian.bridge import divided
from ..brownian.tree import ROUNDING, TreePath
from ..engine.upload import upload
from ..errors import InvalidGridError
from ..normals import normal_field
from ..ops import Noise


class Piece(NamedTuple):
    """The cell [a, b] after ``level`` halvings, with its increment and its area in float64."""

    level: int
    a: float
    b: float
    w: Tensor
    area: Tensor

    def rows(self, keep: Tensor) -> Piece:
        """The same cell for some of the samples."""
        return self._replace(w=self.w[keep], area=self.area[keep])


class DyadicPath(TreePath):
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
        If the ends do not increase, or so little that rounding spoils the halves; for a cell that
        is asked for: as of :class:`~fokker.solvers.brownian.tree.TreePath`.
    """

    def __init__(
        self, begin: float, end: float, seed: int, sample_ids: Sequence[int] | None = None
    ) -> None:
        if not (math.isfinite(begin) and math.isfinite(end) and begin < end):
            msg = f"a path needs finite ends that increase, got {begin!r} and {end!r}"
            raise InvalidGridError(msg)
        shortest = 1e3 * ROUNDING * max(1.0, abs(begin), abs(end))
        if not shortest <= end - begin:
            msg = f"a path from {begin!r} needs a length of {shortest:.3g}, got {end - begin:.3g}"
            raise InvalidGridError(msg)
        super().__init__([begin, end], seed, sample_ids, tolerance=shortest)
        self.begin, self.end, self.seed = float(begin), float(end), int(seed)

    def whole(self, like: Tensor) -> Piece:
        """The path over [begin, end]."""
        like = like.to(torch.float64)
        x, y = (self._noise.draw(Noise("t", self.begin, self.end, k), like) for k in "WH")
        return _scaled(0, self.begin, self.end, x, y)

    def halves(self, piece: Piece, ids: Sequence[int] | None) -> tuple[Piece, Piece]:
        """The two halves of a cell, for the samples ``ids`` that are its rows."""
        h, middle = piece.b - piece.a, 0.5 * (piece.a + piece.b)
        whole = piece.w / math.sqrt(h), piece.area / math.sqrt(h / 12)
        fresh = self._fresh(piece, range(len(piece.w)) if ids is None else ids)
        (x1, x2), (y1, y2) = divided(middle - piece.a, piece.b - middle, whole, fresh)
        level = piece.level + 1
        return (
            _scaled(level, piece.a, middle, x1, y1),
            _scaled(level, middle, piece.b, x2, y2),
        )

    def _fresh(self, piece: Piece, ids: Sequence[int]) -> tuple[Tensor, Tensor]:
        count = math.prod(piece.w.shape[1:])
        key = self._noise.key(Noise("t", piece.a, piece.b, "bridge"))
        field = torch.from_numpy(normal_field(key, ids, 2 * count)).reshape(-1, 2, count)
        device, dtype = piece.w.device, piece.w.dtype
        z1, z2 = (upload(field[:, k].reshape(piece.w.shape), device, dtype) for k in (0, 1))
        return z1, z2


def _scaled(level: int, a: float, b: float, x: Tensor, y: Tensor) -> Piece:
    return Piece(level, a, b, x * math.sqrt(b - a), y * math.sqrt((b - a) / 12))
