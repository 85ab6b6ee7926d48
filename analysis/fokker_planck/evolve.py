r"""Masses in time: implicit steps that keep them positive, and their sum.

================  =====  ==============================================================
method            order  positive
================  =====  ==============================================================
``"euler"``       1      always: ``(1 - h A)^{-1}`` is positive for every h
``"tr-bdf2"``     2      for ``h <= (1 + sqrt 2)/(largest rate)``; L-stable for every h
================  =====  ==============================================================

No method of order two is positive for every step (Bolley & Crouzeix 1978). TR-BDF2 with
``gamma = 2 - sqrt 2`` has ``R(z) = (1 + (sqrt 2 - 1) z)/(1 - d z)^2``, ``d = 1 - sqrt(1/2)``: one
factorisation serves both stages, and R is absolutely monotonic on ``[-(1 + sqrt 2), 0]``. Beyond,
masses *can* be negative while fast modes of a rough start die; :attr:`Evolution.least` tells.

Solves leave rounding in the sum of the masses, about ``1e-16 h (largest rate)``; every step scales
it away, which changes no sign, and the largest correction is reported.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from scipy.linalg import get_lapack_funcs
from scipy.sparse.linalg import splu

from ...solvers.errors import AnalysisError, ShapeError
from .errors import GridTooSmallError
from .grid import Array, Box, Generator

METHODS = ("euler", "tr-bdf2")
D = 1 - math.sqrt(0.5)
"""Diagonal coefficient of both stages of TR-BDF2."""
BACK = 1 / (2 * D * (2 - 2 * D))
"""BDF2's weight of the middle state, ``1/(gamma (2 - gamma))``; the start has the rest."""


@dataclass(frozen=True, eq=False)
class Evolution:
    """The end of an evolution, and what it went through.

    Attributes
    ----------
    masses : ndarray
        Masses of the cells at the end, (N,).
    least : float
        The smallest mass met on the way; not negative where the table says so.
    repaired : float
        The largest relative correction of the sum in a step: rounding.
    at_walls : float
        The largest mass met in the outermost cells.
    """

    masses: Array
    least: float
    repaired: float
    at_walls: float


def positive_step(generator: Generator) -> float:
    """The largest step for which TR-BDF2 is positive from every start."""
    return (1 + math.sqrt(2)) / generator.fastest


def evolve(
    generator: Generator,
    masses: Array,
    span: float,
    steps: int,
    *,
    method: str = "tr-bdf2",
    walls: float = 1e-6,
) -> Evolution:
    """Carry masses over a time.

    Parameters
    ----------
    generator : Generator
        From :func:`reversible` or :func:`drifting`.
    masses : ndarray
        (N,), not negative, as ``Box.masses`` makes them; their sum is kept.
    span : float
        Time, positive.
    steps : int
        Equal steps.
    method : str
        ``"tr-bdf2"`` or ``"euler"``.
    walls : float
        Most mass that the outermost cells may hold, as a share of the whole; ``math.inf`` for
        walls that are meant to reflect.

    Raises
    ------
    GridTooSmallError
        If more than ``walls`` of the mass meets the walls.
    AnalysisError, ShapeError
        For an unknown method, a span or a number of steps below the least, or masses of another
        grid.
    """
    m = checked_masses(generator, masses, span)
    if method not in METHODS:
        msg = f"unknown method {method!r}; accepted: {', '.join(METHODS)}"
        raise AnalysisError(msg)
    if steps < 1:
        msg = f"an evolution needs steps at least 1, got {steps}"
        raise AnalysisError(msg)
    total, outer = float(m.sum()), _outermost(generator.box)
    step = span / steps
    advance = _euler(generator, step) if method == "euler" else _trbdf2(generator, step)
    least, repaired, at_walls = math.inf, 0.0, 0.0
    for k in range(steps):
        m = advance(m)
        factor = total / float(m.sum())
        m = m * factor
        least, repaired = min(least, float(m.min())), max(repaired, abs(factor - 1))
        touching = check_walls(generator.box, m, (k + 1) * step, walls, outer, total)
        at_walls = max(at_walls, touching)
    return Evolution(m, least, repaired, at_walls)


def checked_masses(generator: Generator, masses: Array, span: float) -> Array:
    """Masses of a grid as a new array, and a time to carry them over.

    Raises
    ------
    AnalysisError, ShapeError
        For a span that is not positive, masses of another grid, negative ones, or none.
    """
    m, cells = np.array(masses, dtype=np.float64), math.prod(generator.box.cells)
    if m.shape != (cells,):
        msg = f"masses must have shape ({cells},) on this box, got {m.shape}"
        raise ShapeError(msg)
    if not (m >= 0).all() or not 0 < m.sum() < math.inf:
        msg = f"masses must be finite, not negative and not all zero, got {m.min():g}"
        raise AnalysisError(msg)
    if not 0 < span < math.inf:
        msg = f"span must be positive and finite, got {span}"
        raise AnalysisError(msg)
    return m


def _solver(generator: Generator, c: float) -> Callable[[Array], Array]:
    """``m -> (1 - c A)^{-1} m``, factored once; a positive matrix, so no pivoting is needed."""
    if generator.box.dim == 1:
        below, on, above = generator.bands
        found: Any = get_lapack_funcs(("gttrf", "gttrs"), dtype=np.float64)
        factor, solve = found
        *factors, info = factor(-c * below, 1 - c * on, -c * above)
        if info:
            msg = f"the implicit step cannot be solved (pivot {info} is zero); use more steps"
            raise AnalysisError(msg)
        return lambda m: solve(*factors, m)[0]
    a = generator.matrix
    eye = sparse.identity(int(a.get_shape()[0]), format="csc")
    return splu(
        (eye - c * a).tocsc(), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0,
        options={"SymmetricMode": True},
    ).solve  # fmt: skip


def _euler(generator: Generator, step: float) -> Callable[[Array], Array]:
    return _solver(generator, step)


def _trbdf2(generator: Generator, step: float) -> Callable[[Array], Array]:
    """Two stages of one matrix: the trapezoidal rule to gamma h, then BDF2.

    Written without products by A, which would cost digits: with ``S = (1 - d h A)^{-1}`` the
    trapezoidal stage is ``(2 S - 1) m`` and BDF2 applies S to a combination of it and m.
    """
    solve = _solver(generator, D * step)

    def advance(m: Array) -> Array:
        return solve(BACK * (2 * solve(m) - m) + (1 - BACK) * m)

    return advance


def check_walls(
    box: Box, m: Array, time: float, walls: float, outer: Any = None, total: float = 1.0
) -> float:
    """The share of the mass in the outermost cells, of masses of the sum ``total``.

    Raises
    ------
    GridTooSmallError
        If it is more than ``walls``.
    """
    touching = float(m[_outermost(box) if outer is None else outer].sum()) / total
    if touching > walls:
        raise _at_walls(box, m / total, touching, time, walls)
    return touching


def _outermost(box: Box) -> Any:
    """Which cells touch a wall."""
    if box.dim == 1:
        return [0, -1]
    index = np.indices(box.cells).reshape(box.dim, -1)
    ends = np.asarray(box.cells)[:, None] - 1
    return ((index == 0) | (index == ends)).any(0)


def _at_walls(box: Box, m: Array, touching: float, time: float, walls: float) -> GridTooSmallError:
    """How wide the box should be: as many deviations as a normal law of this spread needs."""
    mean = m @ box.centres
    spread = np.sqrt(m @ (box.centres - mean) ** 2)
    reach = (math.sqrt(2 * math.log(1 / min(walls, 0.1))) + 1) * spread
    half = 0.5 * (np.asarray(box.high) - np.asarray(box.low))
    low = np.minimum(mean - reach, np.asarray(box.low) - 0.5 * half)
    high = np.maximum(mean + reach, np.asarray(box.high) + 0.5 * half)
    shown = " x ".join(f"[{a:.3g}, {b:.3g}]" for a, b in zip(low, high, strict=True))
    msg = f"the cells at the walls hold {touching:.2g} of the mass at time {time:.3g}, more than "
    msg += f"{walls:g}; about {shown} would be enough, or walls=math.inf if they are meant"
    return GridTooSmallError(msg, needed=(float(low[0]), float(high[0])))
