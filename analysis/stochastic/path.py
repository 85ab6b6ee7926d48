"""One Brownian path for every clock, every grid and the reference: increments and areas.

The path is known on fine cells of one clock by increment and space-time area. The noise of a
coarse cell, of type W or H and of any clock, is an integral of the path against a kernel (see
:mod:`..strong`); its projection on the fine increments and areas misses a part that is of second
order in the fine cells. So samplers that name their noises in different clocks see one path, and
are compared with one reference solution.

Not to be confused with :class:`~..path_order.MonteCarloPath`, which takes the normalised noises of
two clocks for the same on its finest cells.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ...solvers.errors import AnalysisError
from ...solvers.ops import Noise
from ...solvers.process import Array, Process
from ..strong import noise_kernel, noise_span

_X, _W = np.polynomial.legendre.leggauss(4)


class OnePath:
    """A path for each sample on a finest grid, drawn as one block: for statistics only.

    Parameters
    ----------
    edges : sequence of float
        The finest grid in lam; or in the time of an equation, with ``process=None``.
    shape : tuple of int
        Shape of a batch of noises, (B, *D).
    seed : int
        Of the block of standard normals (2, cells, B, *D): increments and areas.
    process : Process, optional
        What places the cells of clock ``"t"`` in lam. Without it clock ``"t"`` is that of the
        edges.

    Raises
    ------
    AnalysisError
        If a noise is asked for whose ends are not edges, or of a clock without a path.
    """

    def __init__(
        self,
        edges: Sequence[float],
        shape: tuple[int, ...],
        seed: int,
        process: Process | None = None,
    ) -> None:
        self.edges, self.process = np.asarray(edges, float), process
        size = (2, len(self.edges) - 1, *shape)
        block = np.random.default_rng(seed).standard_normal(size)
        self.w, self.h = torch.from_numpy(block[0]), torch.from_numpy(block[1])
        self.sample_ids = list(range(shape[0]))
        self._drawn: dict[Noise, Tensor] = {}

    def draw(self, cell: Noise, like: Tensor) -> Tensor:
        """Normalised increment, or space-time area, of a union of finest cells."""
        if cell not in self._drawn:
            first, last, flat, tilt = self.weights(cell)
            field = torch.tensordot(torch.from_numpy(flat), self.w[first:last], dims=1)
            field += torch.tensordot(torch.from_numpy(tilt), self.h[first:last], dims=1)
            self._drawn[cell] = field
        return self._drawn[cell].to(like.dtype, copy=True).reshape(like.shape)

    def forget(self) -> None:
        """Drop the fields that were drawn; they come again the same."""
        self._drawn.clear()

    def weights(self, cell: Noise) -> tuple[int, int, Array, Array]:
        """First and last edge of a cell, and its weights on the increments and areas between."""
        if cell.clock == "t" and self.process is None:
            cell = Noise("lam", cell.a, cell.b, cell.kind)
        first, last = (self._edge(end, cell) for end in noise_span(cell, self.process))
        low, width = self.edges[first:last, None], np.diff(self.edges[first : last + 1])[:, None]
        at = low + width * 0.5 * (1 + _X)
        kernel = noise_kernel(cell, at, self.process)[1 if cell.kind == "H" else 0]
        part = 0.5 * _W * kernel * np.sqrt(width)
        return first, last, part.sum(1), part @ (-0.5 * _X * 12**0.5)

    def _edge(self, end: float, cell: Noise) -> int:
        i = int(np.abs(self.edges - end).argmin())
        if abs(self.edges[i] - end) > 1e-9 * (1 + abs(end)):
            msg = f"[{cell.a}, {cell.b}] is not a union of cells of the finest grid"
            raise AnalysisError(msg)
        return i
