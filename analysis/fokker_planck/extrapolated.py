r"""Three grids for less than twice the price of the finest, and errors of a higher order.

On a line :func:`at_time` has no error in time, and that in space is ``c_2 h^2 + c_4 h^4 + ..``.
Solved on cells of size h, h/2, h/4 and summed over the cells of the first, the masses lose one
power with each grid. With steps, as in the plane, the masses of :func:`evolve` have an error
``c_2 h^2 + c_3 h^3 + c_4 h^4 + ..`` when the number of steps grows with the cells (TR-BDF2 has
h^3); h^3, a small one, goes last. The last change is an estimate of the error, a pessimistic one.

An extrapolation is not positive: where the density is below the error, masses may be below zero,
by about as much. Mass is kept, for the weights sum to one. Where the balance must be exact, or
signs matter, use :func:`evolve` itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ...solvers.errors import AnalysisError
from .contour import at_time
from .evolve import check_walls, evolve
from .grid import Array, Box, Generator, OnPoints

REMOVED, EVEN = (2, 4, 3), (2, 4, 6)
"""Powers of h in the order in which they are removed, with steps and without."""


@dataclass(frozen=True, eq=False)
class Extrapolated:
    """Masses on the coarsest cells.

    Attributes
    ----------
    masses : ndarray
        (N,), of sum one; see the module for their sign.
    error : float
        L1 size of the last change.
    least : float
        The smallest mass.
    """

    masses: Array
    error: float
    least: float


def extrapolated(
    make: Callable[[Box], Generator],
    box: Box,
    density: OnPoints,
    span: float,
    steps: int | None = None,
    *,
    levels: int = 3,
    nodes: int = 24,
    walls: float = 1e-6,
) -> Extrapolated:
    """Masses at the end of an evolution on nested grids, extrapolated.

    Parameters
    ----------
    make : callable
        The generator on a box, such as ``lambda b: reversible(b, potential, diffusion)``.
    box : Box
        The coarsest cells: those of the answer.
    density : callable
        At the start, on points (N, d).
    span : float
        Time, positive.
    steps : int, optional
        Of TR-BDF2 on the coarsest cells; twice as many on cells half as wide. A quarter of the
        cells of an axis balances space and time for densities that cross about their width. On a
        line none are needed; in the plane they are.
    levels : int
        2, 3 or 4 grids.
    nodes : int
        As in :func:`at_time`, without steps.
    walls : float
        As in :func:`evolve`; without steps it is looked at in the beginning and at the end.

    Raises
    ------
    AnalysisError
        For another number of levels, no steps in the plane; and what the parts raise.

    Examples
    --------
    >>> from fokker.analysis.fokker_planck import reversible
    >>> found = extrapolated(
    ...     lambda b: reversible(b, lambda x: x[:, 0] ** 2 / 2, 2.0), Box((-7.0,), (7.0,), (40,)),
    ...     lambda x: np.exp(-((x[:, 0] - 1) ** 2) / 0.5) / np.sqrt(0.5 * np.pi), 1.0)
    >>> centre = found.masses @ np.linspace(-6.825, 6.825, 40)
    >>> bool(abs(centre - np.exp(-1)) < 1e-4)
    True
    """
    if not 2 <= levels <= len(REMOVED) + 1:
        msg = f"levels must be 2, 3 or 4, got {levels}"
        raise AnalysisError(msg)
    if steps is None and box.dim != 1:
        msg = f"in the plane an evolution takes steps, about {max(box.cells) // 4} on these cells"
        raise AnalysisError(msg)
    rows = []
    for factor in (2**k for k in range(levels)):
        fine = Box(box.low, box.high, tuple(factor * n for n in box.cells))
        start = fine.masses(density)
        if steps is None:
            end = at_time(make(fine), start, span, nodes=nodes)
            for time, masses in ((0.0, start), (span, end)):
                check_walls(fine, masses, time, walls)
        else:
            end = evolve(make(fine), start, span, factor * steps, walls=walls).masses
        rows.append(_gathered(end, box, factor))
    before = rows[-1]
    for power in (EVEN if steps is None else REMOVED)[: levels - 1]:
        before = rows[-1]
        rows = [two + (two - one) / (2**power - 1) for one, two in pairwise(rows)]
    return Extrapolated(rows[0], float(np.abs(rows[0] - before).sum()), float(rows[0].min()))


def _gathered(masses: Array, box: Box, factor: int) -> Array:
    """Masses of the coarse cells from those of the fine ones."""
    split = [size for n in box.cells for size in (n, factor)]
    return masses.reshape(split).sum(tuple(range(1, 2 * box.dim, 2))).ravel()
