"""Power diagrams in a rectangle: polygons by clipping, with exact areas, edges and moments.

Who borders on whom comes from the lower hull of the lifted atoms ``(y, |y|^2 - psi)``; every cell
is then the rectangle clipped by the half-planes towards its neighbours, all cells at once.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError

from .semi_discrete_cells import Cells, laplacian
from .semi_discrete_sources import Box

Array = NDArray[np.float64]
Index = NDArray[np.int64]


class Polygons(NamedTuple):
    """Convex polygons: corners (K, V, 2), how many of them count (K,), what each edge borders on.

    Edge v runs from corner v to the next; ``border`` is the other cell, or -1 at the rectangle.
    """

    corners: Array
    sizes: Index
    border: Index


def neighbours(atoms: Array, psi: Array) -> Index:
    """Possible neighbours of each cell, (K, M), filled up with -1.

    Atoms with an empty cell have none; if the lift is flat, everybody is a neighbour.
    """
    count = len(atoms)
    atoms = atoms - atoms.mean(0)
    unit = float(np.abs(atoms).max()) or 1.0  # Qhull rounds in units of its own
    atoms = atoms / unit
    lift = (atoms * atoms).sum(1) - psi / unit**2
    above = [0.0, 0.0, 2 * float(lift.max()) - float(lift.min()) + 1.0]
    try:
        hull = ConvexHull(np.vstack([np.column_stack([atoms, lift]), above]), qhull_options="Qt")
    except (QhullError, ValueError):
        return np.array([[k for k in range(count) if k != j] for j in range(count)]).reshape(
            count, count - 1
        )
    lower = hull.simplices[hull.equations[:, 2] < 0]
    sides = np.concatenate([lower[:, [0, 1]], lower[:, [1, 2]], lower[:, [2, 0]]])
    sides = sides[(sides != count).all(1)]
    one, other = sides.astype(np.int64).T
    # numbers are sorted ten times faster than rows of two
    pairs = np.unique(np.concatenate([one * count + other, other * count + one]))
    first, second = np.divmod(pairs, count)
    degree = np.bincount(first, minlength=count)
    out = np.full((count, int(degree.max())), -1, dtype=np.int64)
    place = np.arange(len(pairs)) - np.repeat(np.cumsum(degree) - degree, degree)
    out[first, place] = second
    return out


def power_diagram(low: Array, high: Array, atoms: Array, psi: Array) -> Polygons:
    """Cells ``{x : |x - y_j|^2 - psi_j is least}`` within the rectangle; empty ones of size 0."""
    count = len(atoms)
    near = neighbours(atoms, psi) if count > 1 else np.zeros((1, 0), dtype=np.int64)
    box = np.array([low, [high[0], low[1]], high, [low[0], high[1]]])
    cells = _Clipped(
        np.tile(box @ [1, 1j], (count, 1)),
        np.full(count, 4),
        np.full((count, 4), -1, dtype=np.int64),
    )
    lift, flat = (atoms * atoms).sum(1) - psi, atoms @ [1, 1j]
    for other in near.T:
        there = other >= 0
        k = np.where(there, other, 0)
        normal = np.where(there, 2 * (flat[k] - flat), 0.0)
        offset = np.where(there, lift[k] - lift, 0.0)
        cells = _clip(cells, normal, offset, other)
    lonely = (near < 0).all(1) if count > 1 else np.zeros(1, dtype=bool)
    corners = np.stack([cells.corners.real, cells.corners.imag], -1)
    cells = Polygons(corners, cells.sizes, cells.border)
    return cells._replace(sizes=np.where(lonely, 0, cells.sizes))


class _Clipped(NamedTuple):
    """Polygons on the way: corners are complex numbers (K, V), half as many things to move."""

    corners: NDArray[np.complex128]
    sizes: Index
    border: Index


def _clip(
    cells: _Clipped, normal: NDArray[np.complex128], offset: Array, other: Index
) -> _Clipped:
    """Keep ``normal . x <= offset``; the new edge borders on ``other``."""
    corners, sizes, border = cells
    count, width = border.shape
    rows, place = np.arange(count)[:, None], np.arange(width)
    real = place < sizes[:, None]
    following = np.where(place + 1 < sizes[:, None], place + 1, 0)
    gap = (corners * normal.conj()[:, None]).real - offset[:, None]
    held = gap <= 0
    inside, crossing = real & held, real & (held != held[rows, following])
    t = gap / np.where(crossing, gap - gap[rows, following], 1.0)
    cut = corners + t * (corners[rows, following] - corners)
    keep = np.empty((count, width, 2), dtype=bool)
    keep[..., 0], keep[..., 1] = inside, crossing
    points = np.empty((count, width, 2), dtype=np.complex128)
    points[..., 0], points[..., 1] = corners, cut
    after = np.where(inside, other[:, None], border)  # leaving: along the cut; entering: as it was
    labels = np.empty((count, width, 2), dtype=np.int64)
    labels[..., 0], labels[..., 1] = border, after
    keep, points, labels = (v.reshape(count, 2 * width) for v in (keep, points, labels))
    total = keep.sum(1)
    order = np.argsort(~keep, axis=1, kind="stable")[:, : max(int(total.max()), 1)]
    return _Clipped(points[rows, order], total, labels[rows, order])


class PolygonCells:
    """Cells of the uniform law on a rectangle, exact."""

    method = "exact polygons"
    tolerance = 1e-11

    def __init__(self, source: Box, atoms: Array) -> None:
        self.source, self.atoms = source, atoms

    def __call__(self, psi: Array) -> Cells:
        """Areas, lengths of edges and second moments about the atoms."""
        source, atoms = self.source, self.atoms
        corners, sizes, border = power_diagram(source.low, source.high, atoms, psi)
        place = np.arange(border.shape[1])
        following = np.where(place + 1 < sizes[:, None], place + 1, 0)
        a = corners - atoms[:, None]
        b, c = np.take_along_axis(a, following[..., None], 1), a[:, :1]
        # triangles from the first corner to each edge
        area = 0.5 * ((a - c)[..., 0] * (b - c)[..., 1] - (a - c)[..., 1] * (b - c)[..., 0])
        area = np.where(place < sizes[:, None], area, 0.0)
        square = (a * a + b * b + c * c + a * b + b * c + c * a).sum(-1) / 6
        whole = float((source.high - source.low).prod())
        j, v = np.nonzero((place < sizes[:, None]) & (border >= 0))
        k = border[j, v]
        length = np.linalg.norm((b - a)[j, v], axis=1)
        rates = 0.5 * length / (2 * np.linalg.norm(atoms[j] - atoms[k], axis=1)) / whole
        matrix = laplacian(j, k, rates, len(atoms))  # each edge is met from both sides
        return Cells(area.sum(1) / whole, matrix, float((area * square).sum()) / whole)
