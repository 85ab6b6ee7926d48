r"""Three grids for less than twice the price of the finest, and errors of a higher order.

The masses of :func:`evolve` with a number of steps that grows with the cells have an error
``c_2 h^2 + c_3 h^3 + c_4 h^4 + ..`` (from space the even powers alone, from TR-BDF2 also h^3).
Solved on cells of size h, h/2, h/4 and summed over the cells of the first, they lose h^2 and h^4,
which leaves a small h^3 of the steps; a fourth grid removes that. The last change is an estimate
of the error, a pessimistic one.

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
from .evolve import evolve
from .grid import Array, Box, Generator, OnPoints

REMOVED = (2, 4, 3)
"""Powers of h in the order in which they are removed."""


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
    steps: int,
    *,
    levels: int = 3,
    walls: float = 1e-6,
) -> Extrapolated:
    """Masses at the end of an evolution by TR-BDF2 on nested grids, extrapolated.

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
    steps : int
        On the coarsest cells; twice as many on cells half as wide. A quarter of the cells of an
        axis balances space and time for densities that cross about their width.
    levels : int
        2, 3 or 4 grids.
    walls : float
        As in :func:`evolve`.

    Raises
    ------
    AnalysisError
        For another number of levels; and what the parts raise.

    Examples
    --------
    >>> from fokker.analysis.fokker_planck import reversible
    >>> found = extrapolated(
    ...     lambda b: reversible(b, lambda x: x[:, 0] ** 2 / 2, 2.0), Box((-7.0,), (7.0,), (40,)),
    ...     lambda x: np.exp(-((x[:, 0] - 1) ** 2) / 0.5) / np.sqrt(0.5 * np.pi), 1.0, 10)
    >>> centre = found.masses @ np.linspace(-6.825, 6.825, 40)
    >>> bool(abs(centre - np.exp(-1)) < 1e-4)
    True
    """
    if not 2 <= levels <= len(REMOVED) + 1:
        msg = f"levels must be 2, 3 or 4, got {levels}"
        raise AnalysisError(msg)
    rows = []
    for factor in (2**k for k in range(levels)):
        fine = Box(box.low, box.high, tuple(factor * n for n in box.cells))
        start = fine.masses(density)
        end = evolve(make(fine), start, span, factor * steps, walls=walls)
        rows.append(_gathered(end.masses, box, factor))
    before = rows[-1]
    for power in REMOVED[: levels - 1]:
        before = rows[-1]
        rows = [two + (two - one) / (2**power - 1) for one, two in pairwise(rows)]
    return Extrapolated(rows[0], float(np.abs(rows[0] - before).sum()), float(rows[0].min()))


def _gathered(masses: Array, box: Box, factor: int) -> Array:
    """Masses of the coarse cells from those of the fine ones."""
    split = [size for n in box.cells for size in (n, factor)]
    return masses.reshape(split).sum(tuple(range(1, 2 * box.dim, 2))).ravel()
