r"""Masses of power cells on lines: exact for a law on a line, by parallel lines for Gaussians.

Along a line ``x = p + t e`` the costs ``|x - y_j|^2 - psi_j`` differ by linear functions of t, so
the cells cut it at the corners of a lower envelope. Under a Gaussian, t is normal and independent
of p: a cell's mass on a line is exact, with its derivatives, and only p is left to a quadrature.
Masses are then smooth in psi, which counting points is not.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from .semi_discrete_sources import Box, Line, Normals

Array = NDArray[np.float64]
Index = NDArray[np.integer[Any]]
_ENDS = 8.5  # standard deviations of the trapezoidal rule across parallel lines
_SEED = 20230711


class Cells(NamedTuple):
    """What the cells of one psi weigh.

    ``matrix`` is d masses / d psi: symmetric, rows sum to 0, ``-face/(2 |y_j - y_k|)`` off the
    diagonal; ``cost`` is ``sum_j int_cell |x - y_j|^2``.
    """

    masses: Array
    matrix: Array
    cost: float


class CellRule(Protocol):
    """A way to weigh cells."""

    method: str
    tolerance: float  # the marginal error that it can resolve

    def __call__(self, psi: Array) -> Cells:
        """Weigh the cells of the potential psi, (K,)."""
        ...


class Envelope(NamedTuple):
    """Pieces of lower envelopes, one row a line: who is lowest, and from which t on."""

    who: NDArray[np.int64]  # (N, M), -1 where there is no further piece
    start: Array  # (N, M + 1); +inf after the last piece


def lower_envelope(slopes: Array, heights: Array) -> Envelope:
    """The lower envelope of ``slopes_j t + heights_ij`` over j, for each row i.

    Lines come by falling slope, each takes the right end from those it undercuts (the scan of
    Graham 1972), in all rows at once; of equal slopes the lower line stays.
    """
    rows, count = heights.shape
    who = np.full((rows, count), -1, dtype=np.int64)
    start = np.full((rows, count + 1), np.inf)
    top = np.full(rows, -1)
    for j in np.argsort(-slopes, kind="stable"):
        at = np.full(rows, -np.inf)
        pending = np.flatnonzero(top >= 0)
        while len(pending):
            level = top[pending]
            rival = who[pending, level]
            rise, fall = heights[pending, j] - heights[pending, rival], slopes[rival] - slopes[j]
            with np.errstate(divide="ignore", invalid="ignore"):
                t = np.where(fall > 0, rise / fall, np.where(rise < 0, -np.inf, np.inf))
            beaten = t <= start[pending, level]
            at[pending] = np.where(beaten, -np.inf, t)
            pending = pending[beaten]
            start[pending, top[pending]] = np.inf
            who[pending, top[pending]] = -1
            top[pending] -= 1
            pending = pending[top[pending] >= 0]
        top += 1
        everyone = np.arange(rows)
        who[everyone, top], start[everyone, top] = j, at
    used = int(top.max()) + 1
    return Envelope(who[:, :used], start[:, : used + 1])


def laplacian(first: Index, second: Index, rates: Array, count: int) -> Array:
    """The matrix of exchanges ``rates`` between cells: minus them off the diagonal, rows to 0."""
    both = np.concatenate([first * count + second, second * count + first]).astype(np.int64)
    pairs = np.bincount(both, np.concatenate([rates, rates]), count * count)
    pairs = pairs.astype(np.float64).reshape(count, count)
    return np.diag(pairs.sum(1)) - pairs


class LineCells:
    """Cells of a law on a line, exact."""

    method = "exact intervals"
    tolerance = 1e-11

    def __init__(self, source: Box | Line | Normals, atoms: Array) -> None:
        self.source, self.atoms = source, atoms[:, 0]

    def optimal(self, weights: Array) -> Array:
        """The optimal potential: cells end where the sorted weights have been used up.

        ``psi_{i+1} = psi_i + (y_{i+1} - y_i)(y_{i+1} + y_i - 2 b_i)``, ``F(b_i)`` = sum of weights
        up to i.
        """
        order = np.argsort(self.atoms)
        y, b = self.atoms[order], self.source.quantile(np.cumsum(weights[order])[:-1])
        psi = np.empty_like(y)
        psi[order] = np.concatenate([[0.0], np.cumsum(np.diff(y) * (y[1:] + y[:-1] - 2 * b))])
        return psi

    def __call__(self, psi: Array) -> Cells:
        """Weigh the intervals; the matrix is not asked for where psi is closed."""
        y, source = self.atoms, self.source
        who, start = lower_envelope(-2 * y, (y * y - psi)[None])
        inner = start[0, 1:-1]
        mass = np.diff(np.concatenate([[0.0], source.cdf(inner), [1.0]]))
        first = np.diff(np.concatenate([[0.0], source.first(inner), source.mean]))
        masses = np.bincount(who[0], mass, len(y)).astype(np.float64)
        cost = source.second_moment + masses @ (y * y) - 2 * y[who[0]] @ first
        return Cells(masses, np.zeros((len(y), len(y))), float(cost))


class RayCells:
    """Cells of a mixture of Gaussians in d >= 2, on ``lines`` parallel lines a component.

    In the plane lines are equally spaced, above it they go through scrambled Sobol points.
    """

    method = "parallel lines"
    tolerance = 1e-10

    def __init__(self, source: Normals, atoms: Array, lines: int) -> None:
        self.source, self.atoms = source, atoms
        self.square = (atoms * atoms).sum(1)
        nodes, self.shares = _across(source.dim, lines)
        self.parts = []
        for w, mean, root in zip(source.weights, source.means, source.roots, strict=True):
            along, rest = _directions(atoms @ root)
            through = mean + nodes @ (root @ rest).T
            slopes = -2 * atoms @ (root @ along)
            self.parts.append((float(w), slopes, self.square - 2 * through @ atoms.T))

    def __call__(self, psi: Array) -> Cells:
        """Weigh the cells: exact along each line, and so are the derivatives."""
        count = len(psi)
        masses, matrix, cost = np.zeros(count), np.zeros((count, count)), 0.0
        for w, slopes, heights in self.parts:
            who, start = lower_envelope(slopes, heights - psi)
            row, level = np.nonzero(who >= 0)
            j, low, high = who[row, level], start[row, level], start[row, level + 1]
            share = w * self.shares[row]
            mass = share * _between(low, high)
            masses += np.bincount(j, mass, count)
            bend = share * (_density(low) - _density(high))
            cost += float(mass @ heights[row, j] + bend @ slopes[j])
            later = level > 0
            i = who[row[later], level[later] - 1]
            rates = (share * _density(low))[later] / np.maximum(
                slopes[i] - slopes[j[later]], 1e-300
            )
            matrix += laplacian(i, j[later], rates, count)
        return Cells(masses, matrix, cost + self.source.second_moment)


def _density(t: Array) -> Array:
    return np.exp(-0.5 * t * t) / np.sqrt(2 * np.pi)


def _between(low: Array, high: Array) -> Array:
    """``Phi(high) - Phi(low)``, from the nearer tail."""
    right = low > 0
    return ndtr(np.where(right, -low, high)) - ndtr(np.where(right, -high, low))


def _across(dim: int, lines: int) -> tuple[Array, Array]:
    """Points of N(0, I) in dimension d - 1, and their weights."""
    if dim == 2:
        nodes = np.linspace(-_ENDS, _ENDS, lines)
        shares = _density(nodes)
        return nodes[:, None], shares / shares.sum()
    power = max(1, round(np.log2(lines)))
    from scipy.stats import qmc  # half a second, for those who need it

    cube = qmc.Sobol(dim - 1, rng=np.random.default_rng(_SEED)).random_base2(power)
    half = 2.0**-33  # the middle of the finest cell: never the quantile of 0
    return ndtri(np.clip(cube, half, 1 - half)), np.full(2**power, 2.0**-power)


def _directions(atoms: Array) -> tuple[Array, Array]:
    """A direction that faces between atoms are least parallel to, and a basis of the rest."""
    rng = np.random.default_rng(_SEED)
    dim = atoms.shape[1]
    few = atoms[:: max(1, len(atoms) // 64)]
    i, j = np.triu_indices(len(few), 1)
    apart = few[i] - few[j]
    apart /= np.linalg.norm(apart, axis=1, keepdims=True)
    tried = rng.standard_normal((32, dim))
    tried /= np.linalg.norm(tried, axis=1, keepdims=True)
    best = tried[int(np.argmax(np.abs(tried @ apart.T).min(1, initial=1.0)))]
    basis = np.linalg.qr(np.column_stack([best, np.eye(dim)[:, : dim - 1]]))[0]
    return best, basis[:, 1:]
