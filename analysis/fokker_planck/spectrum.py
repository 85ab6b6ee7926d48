r"""Spectral gaps: how fast a reversible diffusion forgets, to ten digits.

In the norm of its steady density ``e^{-U}`` a reversible generator is symmetric, with eigenvalues
``0 = g_0 > -g_1 > -g_2 ...``. Two independent ways to the gaps g_k:

* :func:`grid_gaps`: the symmetric tridiagonal matrix of the cells on three grids, extrapolated
  (errors h^2, h^4 removed), with the last correction as an error estimate;
* :func:`hermite_gaps`: Schrödinger's form ``-D d^2/dx^2 + V'^2/4D - V''/2`` of
  ``dx = -V' dt + sqrt(2 D) dW`` in Hermite functions, which converges exponentially.

Not to be confused with Kramers' rate, an asymptote that is 7 to 11 % off for the double wells at
D = 1/2 and 1/4.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy.linalg import eigh, eigh_tridiagonal

from ...solvers.errors import AnalysisError
from .errors import GridTooSmallError
from .grid import Array, Box, Generator, OnPoints, reversible, values


class Gaps(NamedTuple):
    """Gaps g_1 <= g_2 <= ... and about how far they may be off."""

    values: Array
    errors: Array


def chain_gaps(generator: Generator, count: int) -> Array:
    """The ``count`` smallest gaps of a chain in one dimension, by a symmetric tridiagonal matrix.

    Detailed balance makes the entries off the diagonal ``sqrt(right left)``: no steady state is
    needed, so deep wells do not underflow.
    """
    right, on, left = generator.bands
    found = eigh_tridiagonal(
        -on, -np.sqrt(right * left), eigvals_only=True, select="i", select_range=(0, count)
    )
    return np.asarray(found)[1:]


def grid_gaps(
    low: float,
    high: float,
    potential: OnPoints,
    diffusion: float | OnPoints,
    *,
    count: int = 2,
    cells: int = 512,
    walls: float = 1e-12,
) -> Gaps:
    """Gaps on an interval, extrapolated from ``cells``, 2 and 4 times as many.

    Parameters
    ----------
    low, high : float
        Ends; the steady density must be gone there.
    potential, diffusion
        U and a as in :func:`reversible`: for ``dx = -V' dt + sqrt(2 D) dW`` they are V/D and 2 D.
    count : int
        How many gaps, from the smallest.
    cells : int
        Cells of the coarsest grid.
    walls : float
        Most of the steady mass that the two outermost cells may hold.

    Raises
    ------
    GridTooSmallError
        If the steady density is not gone at the walls.
    AnalysisError
        If no such interval, or no such many gaps, exist.

    Examples
    --------
    >>> gaps = grid_gaps(-8.0, 8.0, lambda x: x[:, 0] ** 2 / 2, 2.0, count=2)  # gaps 1, 2
    >>> [round(float(g), 6) for g in gaps.values]
    [1.0, 2.0]
    """
    if not 1 <= count < cells:
        msg = f"count must be at least 1 and below the {cells} cells, got {count}"
        raise AnalysisError(msg)
    rows = []
    for factor in (1, 2, 4):
        box = Box((low,), (high,), (cells * factor,))
        if factor == 1:
            _check_walls(box, potential, walls)
        rows.append(chain_gaps(reversible(box, potential, diffusion), count))
    coarse, middle, fine = rows
    first, second = (4 * middle - coarse) / 3, (4 * fine - middle) / 3
    best = (16 * second - first) / 15
    return Gaps(best, np.abs(best - second))


def _check_walls(box: Box, potential: OnPoints, walls: float) -> None:
    u = values(potential, box.centres, "the potential")
    m = np.exp(-(u - u.min()))
    share = float((m[0] + m[-1]) / m.sum())
    if share > walls:
        low, high = box.low[0], box.high[0]
        half, centre = 0.5 * (high - low), 0.5 * (low + high)
        for factor in (1.25, 1.5, 2.0, 3.0, 4.0, 8.0):
            wide = Box((centre - factor * half,), (centre + factor * half,), box.cells)
            u = values(potential, wide.centres, "the potential")
            m = np.exp(-(u - u.min()))
            if (m[0] + m[-1]) / m.sum() <= walls:
                break
        needed = (wide.low[0], wide.high[0])
        msg = f"the walls of [{low:g}, {high:g}] hold {share:.2g} of the steady mass, more than "
        msg += f"{walls:g}; [{needed[0]:.4g}, {needed[1]:.4g}] would be enough"
        raise GridTooSmallError(msg, needed=needed)


def hermite_gaps(
    slope: OnPoints,
    bend: OnPoints,
    noise: float,
    *,
    count: int = 2,
    modes: int = 120,
    width: float = 0.35,
) -> Gaps:
    """Gaps of ``dx = -V' dt + sqrt(2 D) dW`` in Hermite functions; the error is the last change.

    Parameters
    ----------
    slope, bend : callable
        V' and V'' at points (N, 1), values (N,); smooth.
    noise : float
        D, positive.
    count : int
        How many gaps.
    modes : int
        Functions ``H_n(x/w) e^{-x^2/2 w^2}``.
    width : float
        w: about the width of a well; it decides how many modes are needed, not the limit.

    Raises
    ------
    AnalysisError
        If a number is not positive, or there are fewer modes than gaps.
    """
    if not (noise > 0 and width > 0 and 1 <= count < modes // 2):
        msg = "noise and width must be positive and count at least 1 and below half of the modes, "
        msg += f"got noise {noise}, width {width}, count {count}, modes {modes}"
        raise AnalysisError(msg)
    small, large = (
        _schrodinger(slope, bend, noise, n, width)[1 : count + 1] for n in (3 * modes // 4, modes)
    )
    return Gaps(large, np.abs(large - small))


def _schrodinger(slope: OnPoints, bend: OnPoints, noise: float, modes: int, width: float) -> Array:
    """Eigenvalues of ``-D psi'' + (V'^2/4D - V''/2) psi``; kinetic part exact, rest by nodes."""
    nodes, weights = np.polynomial.hermite.hermgauss(modes + 40)
    psi = np.empty((modes, len(nodes)))  # times sqrt(weight): columns of a quadrature
    psi[0] = math.pi**-0.25 * np.sqrt(weights)
    psi[1] = math.sqrt(2.0) * nodes * psi[0]
    for n in range(1, modes - 1):
        psi[n + 1] = math.sqrt(2 / (n + 1)) * nodes * psi[n] - math.sqrt(n / (n + 1)) * psi[n - 1]
    x = (width * nodes)[:, None]
    v1, v2 = values(slope, x, "the slope"), values(bend, x, "the bend")
    well = (psi * (v1**2 / (4 * noise) - v2 / 2)) @ psi.T
    n = np.arange(modes)
    kinetic = np.diag(n + 0.5)
    off = -0.5 * np.sqrt((n[:-2] + 1.0) * (n[:-2] + 2.0))
    kinetic += np.diag(off, 2) + np.diag(off, -2)
    return np.asarray(eigh(noise / width**2 * kinetic + well, eigvals_only=True))
