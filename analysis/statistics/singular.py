r"""Likelihood of laws that have no density: add noise, fit, take the noise away again.

Points on a line or a surface make a likelihood with free widths unbounded: the variance b across
the set falls on the data, and ``-log p`` is ``1/2 log b`` plus a constant, down to minus infinity.
The remedy is noise ``N(0, s^2)`` put into the data: among the laws N(0, diag(a_i)) data of second
moments ``v_i + s^2`` are likeliest under ``a_i = v_i + s^2``, and the report is the law without
the noise, ``a_i - s^2``. It is early stopping of a diffusion at ``sigma = s``. Noise that is left
in costs at most ``W2(P * N(0, s^2), P) <= s sqrt(D)``, with equality across the set.

From n samples, means known, the noise leaves an error (:func:`removal_error`): across the set
``s^2 (n/2)^{n/2} e^{-n/2}/Gamma(n/2 + 1) ~ s^2/sqrt(pi n)`` in W2^2 for each direction, for what
is below the noise counts as 0. More noise is worse, for the solved problem. That less is worse too
comes from solving it: the likelihood has curvature ``2/s^2`` in a width at its best value s, and
descent by steps larger than s^2 (:func:`largest_step`) never gets there.

Source: Chae, Kim, Kim & Lin 2021, arXiv:2105.04046; curvature and errors are derived here.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.integrate import quad
from scipy.special import gammaln
from scipy.stats import chi2

from ...solvers.errors import AnalysisError
from ...solvers.process import Array
from ..distances import diagonal_w2


def mean_nll(variances: ArrayLike, second_moments: ArrayLike) -> float:
    """Mean of ``-log N(x; 0, diag(variances))`` over data of these second moments, in nats.

    Raises
    ------
    AnalysisError
        Unless the variances are positive.
    """
    a, m = np.asarray(variances, float), np.asarray(second_moments, float)
    if not (a > 0).all() or not (m >= 0).all():
        msg = f"need positive variances and second moments >= 0, got {a.tolist()}, {m.tolist()}"
        raise AnalysisError(msg)
    return float(0.5 * np.sum(np.log(2 * math.pi * a) + m / a))


class PerturbedFit(NamedTuple):
    """Variances along the axes: fitted to perturbed data, and with the noise taken away, (D,)."""

    noisy: Array
    clean: Array


def perturbed_fit(x: ArrayLike, noise: ArrayLike, s: float) -> PerturbedFit:
    """Maximum likelihood of N(0, diag(a)) on ``x + s noise``, and ``a - s^2``, at least 0.

    Parameters
    ----------
    x, noise : array_like
        Data and standard normal numbers, (n, D) each.
    s : float
        Size of the noise.
    """
    data, added = np.asarray(x, dtype=np.float64), np.asarray(noise, dtype=np.float64)
    if data.ndim != 2 or data.shape != added.shape or not data.size or not 0 <= s < math.inf:
        msg = f"need data and noise (n, D) and s >= 0, got {data.shape}, {added.shape}, {s}"
        raise AnalysisError(msg)
    noisy = np.mean((data + s * added) ** 2, axis=0)
    return PerturbedFit(noisy, np.maximum(noisy - s**2, 0.0))


def smoothing_distance(variances: ArrayLike, s: float) -> float:
    """``W2(P * N(0, s^2), P)`` of N(0, diag(v)); an axis without variance adds s^2 to W2^2."""
    v = np.asarray(variances, dtype=np.float64)
    return diagonal_w2(np.zeros_like(v), v + s**2, np.zeros_like(v), v)


def removal_error(n: int, variance: float, s: float) -> float:
    """Mean of W2^2 on one axis, :func:`perturbed_fit` of n samples against N(0, variance).

    ``E (sqrt(max(a - s^2, 0)) - sqrt(v))^2`` with ``a = (v + s^2) chi^2_n/n``.

    Raises
    ------
    AnalysisError
        Unless n >= 1, the variance is at least 0 and s is positive.
    """
    if n < 1 or not (variance >= 0 and s > 0):
        msg = f"need n >= 1, variance >= 0 and s > 0, got {n}, {variance} and {s}"
        raise AnalysisError(msg)
    if variance == 0:
        half = 0.5 * n
        return s**2 * math.exp(half * math.log(half) - half - float(gammaln(half + 1)))
    total = variance + s**2
    low = n * s**2 / total
    spread = math.sqrt(2 * n)
    top = float(max(n + 12 * spread + 60, low + 60))

    def part(q: float) -> float:
        gap = math.sqrt(max(total * q / n - s**2, 0.0)) - math.sqrt(variance)
        return gap * gap * float(chi2.pdf(q, n))

    knots = [p for p in (n - 3 * spread, float(n), n + 3 * spread) if low < p < top]
    inside = quad(part, low, top, points=knots or None, limit=200, epsabs=1e-14)[0]
    return float(inside + variance * chi2.cdf(low, n))


def largest_step(s: float) -> float:
    """Steps of gradient descent in a width across the set that reach its best value: below s^2.

    The mean NLL ``log w + s^2/(2 w^2)`` of a width w has second derivative ``2/s^2`` at w = s,
    and descent by h is stable where h times the curvature is below 2.
    """
    if not s > 0:
        msg = f"without noise no width is best: s must be positive, got {s}"
        raise AnalysisError(msg)
    return s * s


def descend(width: float, s: ArrayLike, step: float, count: int) -> Array:
    """Widths after ``count`` steps of gradient descent of ``log w + s^2/(2 w^2)``, for each s.

    A step that would leave the positive numbers goes to half the width, as a line search would.
    """
    square = np.asarray(s, dtype=np.float64) ** 2
    if not (width > 0 and step > 0) or count < 0:
        msg = f"need a positive width and a positive step, got {width} and {step}"
        raise AnalysisError(msg)
    w = np.full_like(square, width)
    for _ in range(count):
        new = w - step * (1 / w - square / w**3)
        w = np.where(new > 0, new, 0.5 * w)
    return w
