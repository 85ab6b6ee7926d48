"""The best of K candidates whose losses are weighted sums of chi-squares.

From pure noise the excess loss of a random start in linear-Gaussian super-resolution is
``sum_k a_k z_k^2`` with ``a_k`` the posterior variances and z standard normal. Its law is a
mixture of chi-squares with positive weights (Ruben 1962), which keeps relative accuracy in the
lower tail, where the best of many lies.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import chi2

from ..solvers.errors import AnalysisError
from ..solvers.process import Array

TERMS = 20_000


def weighted_chi2_cdf(weights: Sequence[float], q: ArrayLike) -> Array:
    """``P(sum_k a_k z_k^2 <= q)`` for positive weights, absolute error below 1e-12.

    With ``b = min a``: ``sum_j c_j P(chi^2_{n + 2j} <= q/b)``, ``c_0 = prod sqrt(b/a_k)``, ``c_j =
    1/(2j) sum_{r<j} g_{j-r} c_r``, ``g_r = sum_k (1 - b/a_k)^r``; the c_j are a distribution.

    Raises
    ------
    AnalysisError
        If a weight is not positive and finite, or their ratio asks for more than 20000 terms.

    Examples
    --------
    >>> [round(float(p), 6) for p in weighted_chi2_cdf([1.0, 1.0], [0.0, 2 * np.log(2)])]
    [0.0, 0.5]
    """
    a = np.asarray(weights, dtype=np.float64)
    if a.ndim != 1 or not a.size or not (np.isfinite(a).all() and (a > 0).all()):
        msg = f"the weights of chi-squares must be positive and finite, got {list(weights)}"
        raise AnalysisError(msg)
    c = _ruben(a)
    x = np.atleast_1d(np.asarray(q, dtype=np.float64)) / a.min()
    freedom = a.size + 2 * np.arange(len(c))
    out = chi2.cdf(x[:, None], freedom) @ c
    return out.reshape(np.shape(q))


def _ruben(a: Array) -> Array:
    """The mixture's weights, until what is left is below 1e-13."""
    ratio = 1.0 - a.min() / a
    powers = np.ones_like(ratio)
    c, g = [float(np.exp(0.5 * np.log(1.0 - ratio).sum()))], np.empty(0)
    while 1.0 - math.fsum(c) > 1e-13:
        j = len(c)
        powers = powers * ratio
        g = np.append(g, powers.sum())
        new = float(np.dot(g[::-1], c)) / (2 * j)
        if j >= TERMS or new < 1e-18:
            break
        c.append(new)
    if 1.0 - math.fsum(c) > 1e-9:
        msg = f"weights from {a.min()} to {a.max()} need more than {TERMS} terms"
        raise AnalysisError(msg)
    return np.asarray(c)


def best_of_quantile(weights: Sequence[float], count: int, p: float = 0.5) -> float:
    """The p-quantile of the least of ``count`` independent ``sum_k a_k z_k^2``.

    ``1 - (1 - F)^count = p``. For large count it falls as ``count^{-2/n}``, n the number of
    weights: the gain of more candidates is lost in high dimension.

    Raises
    ------
    AnalysisError
        If count is below 1 or p not inside (0, 1).
    """
    if count < 1 or not 0.0 < p < 1.0:
        msg = f"the best of {count} has no quantile {p}: need count >= 1 and 0 < p < 1"
        raise AnalysisError(msg)
    goal = -math.expm1(math.log1p(-p) / count)
    low = high = math.log(math.fsum(weights))
    while float(weighted_chi2_cdf(weights, math.exp(high))) < goal:
        high += 1.0
    while float(weighted_chi2_cdf(weights, math.exp(low))) > goal:
        low -= 1.0
    for _ in range(40):  # bisection of log q
        middle = 0.5 * (low + high)
        below = float(weighted_chi2_cdf(weights, math.exp(middle))) < goal
        low, high = (middle, high) if below else (low, middle)
    return math.exp(0.5 * (low + high))
