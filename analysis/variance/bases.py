r"""Orthonormal functions of a probability measure, and points from their Christoffel density.

With ``phi_1 .. phi_m`` orthonormal in L2(nu), ``k(x) = sum_j phi_j(x)^2`` integrates to m, and
``k/m nu`` is the density from which independent points serve a least-squares fit best (with the
weights ``m/k``): where all phi are small no value is asked for, where one is large it is.

Source: Cohen and Migliorati 2017, arXiv:1608.00512; Nouy and Michel 2023, arXiv:2312.14057.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray

from ...solvers.errors import AnalysisError, NonFiniteError, ShapeError

Array = NDArray[np.float64]


class Basis(Protocol):
    """m functions, orthonormal in L2(nu), and a way to draw from ``k/m nu``."""

    @property
    def size(self) -> int:
        """Number m of functions."""
        ...

    def values(self, x: Array) -> Array:
        """``phi_j`` at points (n, d), (n, m)."""
        ...

    def draw(self, n: int, rng: np.random.Generator) -> Array:
        """Independent points (n, d) of density ``k/m`` with respect to nu."""
        ...


@dataclass(frozen=True)
class Legendre:
    """``sqrt(2 j + 1) P_j``, j below ``size``: orthonormal for the uniform law on [-1, 1].

    Examples
    --------
    >>> at_ends = Legendre(3).values(np.array([[-1.0], [0.0], [1.0]]))
    >>> round(float(np.linalg.det(at_ends)) ** 2, 9)  # the largest value of any three points
    135.0
    """

    size: int

    def __post_init__(self) -> None:
        if self.size < 1:
            msg = f"a basis has at least one function, got {self.size}"
            raise AnalysisError(msg)

    def values(self, x: Array) -> Array:
        """At points (n, 1) in [-1, 1], (n, m)."""
        table = legendre.legvander(x[:, 0], self.size - 1)
        return np.asarray(table * np.sqrt(2 * np.arange(self.size) + 1), dtype=np.float64)

    def draw(self, n: int, rng: np.random.Generator) -> Array:
        """From ``phi_j^2/2`` with j by chance, by inversion: 60 halvings of [-1, 1]."""
        which, u = rng.integers(self.size, size=n), rng.random(n)
        out = np.empty((n, 1))
        for j in range(self.size):
            one = np.zeros(j + 1)
            one[j] = math.sqrt(2 * j + 1)
            below = legendre.legint(legendre.legmul(one, one) / 2, lbnd=-1)
            rows = which == j
            low, high = np.full(rows.sum(), -1.0), np.full(rows.sum(), 1.0)
            for _ in range(60):
                middle = 0.5 * (low + high)
                left = legendre.legval(middle, below) < u[rows]
                low, high = np.where(left, middle, low), np.where(left, high, middle)
            out[rows, 0] = 0.5 * (low + high)
        return out


@dataclass(frozen=True, eq=False)
class Weighted:
    """Any functions made orthonormal in a discrete measure: nodes of a quadrature, or samples.

    Parameters
    ----------
    points : ndarray
        (N, d).
    weights : ndarray
        (N,), positive; scaled to sum one.
    functions : callable
        Points (n, d) to (n, m), linearly independent on the points.

    Raises
    ------
    ShapeError, NonFiniteError, AnalysisError
        If the weights or functions make no basis there.
    """

    points: Array
    weights: Array
    functions: Callable[[Array], Array]

    def __post_init__(self) -> None:
        if self.points.ndim != 2 or self.weights.shape != (len(self.points),):
            msg = "a measure has points (N, d) and weights (N,), got "
            raise ShapeError(msg + f"{self.points.shape} and {self.weights.shape}")
        if not ((self.weights > 0).all() and np.isfinite(self.weights).all()):
            msg = f"weights must be positive and finite, got {self.weights.min()}"
            raise AnalysisError(msg)
        object.__setattr__(self, "weights", self.weights / self.weights.sum())
        _ = self._triangle

    @cached_property
    def _triangle(self) -> Array:
        raw = self.functions(self.points)
        if raw.ndim != 2 or len(raw) != len(self.points):
            msg = f"functions must give ({len(self.points)}, m), got {raw.shape}"
            raise ShapeError(msg)
        if not np.isfinite(raw).all():
            msg = "a function is not finite on the points"
            raise NonFiniteError(msg)
        _, r = np.linalg.qr(np.sqrt(self.weights)[:, None] * raw)
        pivots = np.abs(np.diagonal(r))
        if len(raw) < raw.shape[1] or pivots.min() < 1e-12 * np.abs(r).max():
            msg = f"{raw.shape[1]} functions are linearly dependent on {len(raw)} points; fewer "
            raise AnalysisError(msg + "functions, or more points, would be enough")
        return r

    @property
    def size(self) -> int:
        """Number m of functions."""
        return len(self._triangle)

    def values(self, x: Array) -> Array:
        """Orthonormal functions at points (n, d), (n, m)."""
        found = np.linalg.solve(self._triangle.T, self.functions(x).T)
        return np.asarray(found.T, dtype=np.float64)

    @cached_property
    def _below(self) -> Array:
        k = np.square(self.values(self.points)).sum(1)
        return np.cumsum(self.weights * k)

    def draw(self, n: int, rng: np.random.Generator) -> Array:
        """Points of the measure, chosen with probability ``w k/m``."""
        place = np.searchsorted(self._below, rng.random(n) * self._below[-1], side="right")
        return self.points[np.minimum(place, len(self.points) - 1)]


def monomials(degree: int) -> Callable[[Array], Array]:
    """All products of coordinates of total degree at most ``degree``, the constant included."""
    if degree < 0:
        msg = f"degree must not be negative, got {degree}"
        raise AnalysisError(msg)

    def functions(x: Array) -> Array:
        columns, last = [np.ones(len(x))], [(np.ones(len(x)), 0)]
        for _ in range(degree):
            new = [(c * x[:, i], i) for c, start in last for i in range(start, x.shape[1])]
            columns += [c for c, _ in new]
            last = new
        return np.stack(columns, 1)

    return functions
