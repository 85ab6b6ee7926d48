"""Masses of power cells by counting points: for any law that can be drawn from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .semi_discrete_cells import Cells, laplacian
from .semi_discrete_sources import Box, Source

Array = NDArray[np.float64]
_SEED = 20230711
_BLOCK = 1 << 22  # entries of a cost matrix held at a time
_WINDOW = 0.04  # share of the points that the density at the faces is read from


class PointCells:
    """Cells weighed by equal points: scrambled Sobol in a box, independent draws elsewhere.

    The mass that crosses a face per change of psi is read from the points whose two lowest costs
    are close; masses change in steps of 1/N, so the marginal error stops near K/N.
    """

    method = "counted points"

    def __init__(self, source: Source, atoms: Array, count: int) -> None:
        self.atoms = atoms
        self.points = _points(source, count)
        self.tolerance = len(atoms) / len(self.points)
        self.square = (atoms * atoms).sum(1)

    def __call__(self, psi: Array) -> Cells:
        """Count the points of each cell."""
        n, count = len(self.points), len(psi)
        best, second, gap = self._two_lowest(self.square - psi)
        masses = np.bincount(best, minlength=count) / n
        used = min(n - 1, max(int(_WINDOW * n), min(n // 2, 32 * count)))
        window = float(np.partition(gap, used)[used])
        near = gap <= window
        rates = np.full(int(near.sum()), 0.5 / (n * window))
        matrix = laplacian(best[near], second[near], rates, count)
        cost = float(((self.points - self.atoms[best]) ** 2).sum() / n)
        return Cells(masses, matrix, cost)

    def _two_lowest(self, lift: Array) -> tuple[NDArray[np.int64], NDArray[np.int64], Array]:
        """Lowest and second lowest atom of each point, and the gap between their costs."""
        parts = []
        step = max(1, _BLOCK // len(lift))
        for begin in range(0, len(self.points), step):
            cost = lift - 2 * self.points[begin : begin + step] @ self.atoms.T
            rows = np.arange(len(cost))
            best = cost.argmin(1)
            low = cost[rows, best]
            cost[rows, best] = np.inf
            second = cost.argmin(1)
            parts.append((best, second, cost[rows, second] - low))
        best, second, gap = (np.concatenate(p) for p in zip(*parts, strict=True))
        return best, second, gap


def _points(source: Source, count: int) -> Array:
    if not isinstance(source, Box):
        return source.draw(count, _SEED)
    power = max(1, round(np.log2(count)))
    from scipy.stats import qmc  # half a second, for those who need it

    cube = qmc.Sobol(source.dim, rng=np.random.default_rng(_SEED)).random_base2(power)
    return source.low + cube * (source.high - source.low)
