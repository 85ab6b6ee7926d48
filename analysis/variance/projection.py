r"""Weighted least squares at drawn points, its stability, and projections without bias.

    c = argmin sum_i w(x_i) (f(x_i) - sum_j c_j phi_j(x_i))^2,   w = m/k

At n independent points of density k/m the matrix ``G = Phi^T W Phi/n`` is near the identity::

    P(|G - 1| > d) <= 2 m exp(-c_d n/m),     c_d = (1 + d) log(1 + d) - d

so that of order m log m points do; fewer do for volume-sampled ones, where the fit has no bias at
any n >= m. Without the weights the fit is best in another norm, that of ``k nu``.

Source: Cohen, Davenport, Leviatan 2013, arXiv:1111.4422 (the bound); Cohen and Migliorati 2017,
arXiv:1608.00512 (weights); Nouy and Michel 2023, arXiv:2312.14057.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch

from ...solvers.errors import AnalysisError, NonFiniteError, ShapeError
from ..fokker_planck.collocation import Estimate
from ..fokker_planck.errors import TooFewSamplesError
from .bases import Array, Basis
from .controls import means
from .volume import volume_sampled


def fit(basis: Basis, x: Array, y: Array) -> Array:
    """Coefficients of the weighted least-squares fit, (repeats, m).

    Parameters
    ----------
    basis : Basis
        m orthonormal functions.
    x, y : ndarray
        Points (repeats, n, d) and values there (repeats, n), n >= m; n = m interpolates.

    Raises
    ------
    ShapeError, NonFiniteError
        If they do not fit together, or a value is not finite.
    TooFewSamplesError
        For fewer points than functions.
    """
    if x.ndim != 3 or y.shape != x.shape[:2]:
        msg = f"points are (repeats, n, d) and values (repeats, n), got {x.shape} and {y.shape}"
        raise ShapeError(msg)
    if not np.isfinite(y).all():
        msg = f"a value to be fitted is not finite at {x[~np.isfinite(y)][0].tolist()}"
        raise NonFiniteError(msg)
    n = x.shape[1]
    if n < basis.size:
        m, many = basis.size, stable_count(basis.size, 0.99)
        msg = f"{n} points cannot determine {m} coefficients; {m} volume-sampled ones would be "
        raise TooFewSamplesError(msg + f"enough, or {many} independent ones", needed=m)
    phi, root = _features(basis, x)
    q, r = np.linalg.qr(root[..., None] * phi)
    right = np.einsum("rnm,rn->rm", q, root * y)
    return np.linalg.solve(r, right[..., None])[..., 0]


def _features(basis: Basis, x: Array) -> tuple[Array, Array]:
    """Functions (repeats, n, m) and square roots of the weights m/k (repeats, n)."""
    repeats, n, d = x.shape
    phi = basis.values(x.reshape(-1, d)).reshape(repeats, n, basis.size)
    return phi, np.sqrt(basis.size / np.square(phi).sum(2))


def gram_gap(basis: Basis, x: Array) -> Array:
    """``|G - 1|`` in the operator norm, (repeats,): below 1/2 a fit is stable."""
    phi, root = _features(basis, x)
    a = root[..., None] * phi
    gram = np.einsum("rni,rnj->rij", a, a) / x.shape[1]
    return np.abs(np.linalg.eigvalsh(gram) - 1).max(1)


def stable_count(m: int, certainty: float, gap: float = 0.5) -> int:
    """Independent points of density k/m that keep ``|G - 1| <= gap`` with a certainty.

    Raises
    ------
    AnalysisError
        Unless ``0 < certainty < 1``, ``0 < gap < 1`` and ``m >= 1``.

    Examples
    --------
    >>> stable_count(10, 0.99)
    703
    """
    if not (0 < certainty < 1 and 0 < gap < 1 and m >= 1):
        msg = f"certainty and gap lie between 0 and 1, got {certainty} and {gap}; m = {m}"
        raise AnalysisError(msg)
    rate = (1 + gap) * math.log1p(gap) - gap
    return math.ceil(m / rate * math.log(2 * m / (1 - certainty)))


def projected(
    function: Callable[[Array], Array],
    basis: Basis,
    *,
    n: int,
    repeats: int,
    seed: int = 0,
    certainty: float = 0.999,
    within: float = math.inf,
) -> tuple[Estimate, ...]:
    """Coefficients of the L2(nu) projection of f, without bias, from ``n repeats`` values.

    Parameters
    ----------
    function : callable
        f at points (N, d), (N,).
    basis : Basis
        m orthonormal functions.
    n, repeats : int
        Volume-sampled points of each fit, at least m, and independent fits, at least 32.
    certainty, within : float
        As in :func:`~fokker.analysis.fokker_planck.mean`, for each coefficient.

    Raises
    ------
    TooFewSamplesError
        If the points are fewer than functions, or the fits too few for the certainty.
    """
    x = volume_sampled(basis, n, repeats, seed=seed)
    y = np.asarray(function(x.reshape(-1, x.shape[2])), dtype=np.float64)
    if y.shape != (n * repeats,):
        msg = f"the function must give ({n * repeats},) on as many points, got {y.shape}"
        raise ShapeError(msg)
    found = torch.from_numpy(fit(basis, x, y.reshape(repeats, n)))
    return means(found, certainty=certainty, within=within)
