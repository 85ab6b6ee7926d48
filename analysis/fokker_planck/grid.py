r"""Boxes of cells in one and two dimensions, and the generator of a diffusion on them.

Scharfetter and Gummel's flux through the face between cells i and i+1, with the Bernoulli function
``B(z) = z/(e^z - 1)``: it is the flux of the exact steady solution between two centres. Unknowns
are the masses of the cells, so the scheme is a Markov chain::

    rate(i -> i+1) = a/(2 h^2) B(delta)      rate(i+1 -> i) = a/(2 h^2) B(-delta)

* :func:`reversible`: ``delta = U_{i+1} - U_i`` from potential *differences*, so ``e^{-U}`` at the
  centres is kept exactly (well balanced), whatever the step of the grid.
* :func:`drifting`: ``delta = -2 b h/a`` from the drift on the face; its steady state is off by
  O(h^2). For a flow without a potential.

Rates are never negative and columns sum to zero: masses stay positive and their sum stays. Walls
reflect. Scharfetter & Gummel 1969; Chang & Cooper 1970. The diffusion is ``a = G^2`` everywhere;
the D of physics is a/2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ...solvers.errors import AnalysisError, NonFiniteError, ShapeError
from .errors import DiffusionError, GridTooSmallError

Array = NDArray[np.float64]
OnPoints = Callable[[Array], Array]
"""A function of points (N, d), float64, with values (N,) or (N, d)."""
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(4)


@dataclass(frozen=True)
class Box:
    """Equal cells on an interval or a rectangle.

    Parameters
    ----------
    low, high : tuple of float
        Corners; one or two numbers each.
    cells : tuple of int
        Cells along each axis, at least 4.

    Raises
    ------
    AnalysisError
        If the numbers make no box.

    Examples
    --------
    >>> Box((-1.0,), (1.0,), (4,)).centres[:, 0].tolist()
    [-0.75, -0.25, 0.25, 0.75]
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    cells: tuple[int, ...]

    def __post_init__(self) -> None:
        sizes = {len(self.low), len(self.high), len(self.cells)}
        well = len(sizes) == 1 and sizes <= {1, 2} and min(self.cells) >= 4
        if not well or not all(
            -math.inf < a < b < math.inf for a, b in zip(self.low, self.high, strict=True)
        ):
            msg = "a box has one or two axes with low < high and at least 4 cells, got "
            raise AnalysisError(msg + f"low {self.low}, high {self.high}, cells {self.cells}")

    @property
    def dim(self) -> int:
        """1 or 2."""
        return len(self.cells)

    @property
    def widths(self) -> tuple[float, ...]:
        """Width of a cell along each axis."""
        ends = zip(self.low, self.high, self.cells, strict=True)
        return tuple((b - a) / n for a, b, n in ends)

    @property
    def volume(self) -> float:
        """Volume of a cell: a density is mass over volume."""
        return math.prod(self.widths)

    def axis(self, k: int) -> Array:
        """Centres along axis k."""
        steps = np.arange(self.cells[k], dtype=np.float64) + 0.5
        return np.asarray(self.low[k] + self.widths[k] * steps, dtype=np.float64)

    @cached_property
    def centres(self) -> Array:
        """Centres of all cells, (N, d); the last axis runs fastest."""
        grids = np.meshgrid(*(self.axis(k) for k in range(self.dim)), indexing="ij")
        return np.stack([g.ravel() for g in grids], axis=1)

    def faces(self, k: int) -> Array:
        """Midpoints of the inner faces across axis k, (N', d), ordered as their left cells."""
        axes = [self.axis(j) for j in range(self.dim)]
        axes[k] = axes[k][:-1] + 0.5 * self.widths[k]
        grids = np.meshgrid(*axes, indexing="ij")
        return np.stack([g.ravel() for g in grids], axis=1)

    def pairs(self, k: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Indices of the cells on both sides of each inner face across axis k."""
        index = np.arange(math.prod(self.cells)).reshape(self.cells)
        left, right = np.delete(index, -1, axis=k), np.delete(index, 0, axis=k)
        return left.ravel(), right.ravel()

    def masses(self, density: OnPoints, *, lost: float = 1e-6) -> Array:
        """Integrals of a density over the cells, (N,), by four nodes of Gauss an axis.

        Raises
        ------
        GridTooSmallError
            If the integrals do not sum to one within ``lost``: the box, or its cells, cannot hold
            the density. Sums within it are scaled to one.
        """
        shifts = np.meshgrid(*[0.5 * h * _NODES for h in self.widths])
        weights = np.prod(np.meshgrid(*[_WEIGHTS] * self.dim), axis=0).ravel()
        where = self.centres + np.stack([s.ravel() for s in shifts], 1)[:, None]
        found = values(density, where.reshape(-1, self.dim), "the density")
        out = weights @ found.reshape(len(weights), -1) * (self.volume / 2**self.dim)
        if not out.min() >= 0:
            msg = f"a density must not be negative, got a mass {out.min():.3g}"
            raise AnalysisError(msg)
        total = float(out.sum())
        if abs(total - 1) > lost:
            raise self._too_small(density, total, lost)
        return out / total

    def _too_small(self, density: OnPoints, total: float, lost: float) -> GridTooSmallError:
        """What would do: finer cells, or a wider box, tried in turn."""
        centre = 0.5 * (np.asarray(self.low) + np.asarray(self.high))
        half = 0.5 * (np.asarray(self.high) - np.asarray(self.low))
        low, high, enough = self.low, self.high, ""
        for factor in (1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 8.0):
            low, high = tuple(centre - factor * half), tuple(centre + factor * half)
            fine = Box(low, high, (20_000,) if self.dim == 1 else (500, 500))
            held = float(values(density, fine.centres, "the density").sum() * fine.volume)
            if abs(held - 1) <= lost:
                enough = "more cells" if factor == 1 else _intervals(low, high)
                break
        msg = f"the cells of {_intervals(self.low, self.high)} hold a mass of {total:.6g}, not 1; "
        if enough:
            msg += f"{enough} would be enough"
        else:
            msg += "no wider box does: the density is not normalised, or too narrow for any cells"
        return GridTooSmallError(msg, needed=(float(low[0]), float(high[0])))


def _intervals(low: tuple[float, ...], high: tuple[float, ...]) -> str:
    return " x ".join(f"[{a:g}, {b:g}]" for a, b in zip(low, high, strict=True))


@dataclass(frozen=True, eq=False)
class Generator:
    """A Markov chain on the cells: ``dm/dt = A m`` for their masses.

    Attributes
    ----------
    box : Box
        The cells.
    right, left : tuple of ndarray
        For each axis, rates across its inner faces, to the right and to the left, never negative.
    """

    box: Box
    right: tuple[Array, ...]
    left: tuple[Array, ...]

    @cached_property
    def matrix(self) -> sparse.csc_matrix:
        """A: rates off the diagonal, columns that sum to zero; (N, N), sparse."""
        rows, columns, rates = [], [], []
        for k, (right, left) in enumerate(zip(self.right, self.left, strict=True)):
            one, two = self.box.pairs(k)
            for source, target, rate in ((one, two, right), (two, one, left)):
                rows += [target, source]
                columns += [source, source]
                rates += [rate, -rate]
        n = len(self.box.centres)
        place = (np.concatenate(rows), np.concatenate(columns))
        return sparse.csc_matrix((np.concatenate(rates), place), shape=(n, n))

    @cached_property
    def fastest(self) -> float:
        """The largest rate at which a cell empties."""
        return float(-self.matrix.diagonal().min())

    @property
    def bands(self) -> tuple[Array, Array, Array]:
        """Below, on and above the diagonal, in one dimension."""
        (right,), (left,) = self.right, self.left
        return right, -np.append(right, 0.0) - np.insert(left, 0, 0.0), left


def bernoulli(z: Array) -> Array:
    """``z/(e^z - 1)``, 1 at 0; to rounding for every z, zero where ``e^z`` overflows."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        return np.where(z == 0, 1.0, z / np.expm1(z))


def reversible(box: Box, potential: OnPoints, diffusion: float | OnPoints) -> Generator:
    """The diffusion with the steady density ``e^{-U}`` and no current in it.

    ``dx = (-a grad U + grad a)/2 dt + sqrt(a) dW``: for ``dx = -grad V dt + sqrt(2 D) dW`` take
    ``U = V/D`` and ``a = 2 D``.

    Parameters
    ----------
    box : Box
        The cells.
    potential : callable
        U at points (N, d), dimensionless.
    diffusion : float or callable
        a = G^2: a number, or a function of the points, (N,) or (N, d), positive.
    """
    u = values(potential, box.centres, "the potential")
    right, left = [], []
    for k, h in enumerate(box.widths):
        one, two = box.pairs(k)
        a = rate_of(diffusion, box.faces(k), k) / (2 * h * h)
        jump = u[two] - u[one]
        right.append(a * bernoulli(jump))
        left.append(a * bernoulli(-jump))
    return Generator(box, tuple(right), tuple(left))


def drifting(box: Box, drift: OnPoints, diffusion: float | OnPoints) -> Generator:
    """``dx = b dt + sqrt(a) dW`` in the sense of Itô, for any drift.

    Parameters
    ----------
    box : Box
        The cells.
    drift : callable
        b at points (N, d), values (N, d).
    diffusion : float or callable
        a, as in :func:`reversible`; may depend on x.
    """
    right, left = [], []
    for k, h in enumerate(box.widths):
        one, two = box.pairs(k)
        faces = box.faces(k)
        b = values(drift, faces, "the drift", vector=True)[:, k]
        at_cells = rate_of(diffusion, box.centres, k) / (2 * h * h)
        z = 2 * h * b / rate_of(diffusion, faces, k)
        right.append(at_cells[one] * bernoulli(-z))  # the flux of a p, not of p: Itô
        left.append(at_cells[two] * bernoulli(z))
    return Generator(box, tuple(right), tuple(left))


def values(function: OnPoints, x: Array, name: str, *, vector: bool = False) -> Array:
    """A function on points, checked: its shape, and that it is finite."""
    out = np.asarray(function(x), dtype=np.float64)
    want = x.shape if vector else (len(x),)
    if out.shape != want:
        msg = f"{name} must have shape {want} on points {x.shape}, got {out.shape}"
        raise ShapeError(msg)
    if not np.isfinite(out).all():
        bad = x[~np.isfinite(out).reshape(len(x), -1).all(1)][0]
        msg = f"{name} is not finite at {bad.tolist()}"
        raise NonFiniteError(msg)
    return out


def rate_of(diffusion: float | OnPoints, x: Array, k: int) -> Array:
    """``a`` along axis k at points, positive."""
    out = np.asarray(diffusion(x) if callable(diffusion) else diffusion, dtype=np.float64)
    if out.ndim == 0:
        out = np.full(len(x), float(out))
    if out.shape == x.shape:
        out = out[:, k]
    if out.shape != (len(x),):
        msg = f"a diffusion on a grid is a number, ({len(x)},) or {x.shape}, got {out.shape}; "
        raise ShapeError(msg + "a matrix with corners has no positive scheme on these cells")
    if not (out > 0).all() or not np.isfinite(out).all():
        msg = f"the diffusion a = G^2 must be positive and finite on a grid, got {out.min():g}"
        raise DiffusionError(msg)
    return out
