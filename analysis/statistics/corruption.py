r"""Conditions corrupted in training only: what a conditional model then learns, exactly.

Data ``x = E c + N(0, S)`` with conditions of mean 0 and covariance C; training sees
``c + gamma xi`` in place of c, sampling is told c itself. The learned conditional is Gaussian::

    slope   E C (C + gamma^2)^{-1}
    cov     S + E M E^T,    M = C - C (C + gamma^2)^{-1} C = gamma^2 C (C + gamma^2)^{-1}

so entropy rises strictly with gamma, and a model of the whole population only gets worse. From n
samples the same formulas hold with their moments: corruption is ridge regression of the mean, and
gives the covariance, which is fitted too small, something back. In dimension one, with fitted
slope ``N(E, S/(n C))`` and variance ``S chi^2_{n-1}/n``, the mean of W2^2 (:func:`few_shot`) is
least, for large n and ``R = S/(E^2 C)``, at ::

    gamma^2 E^2 = (S/n) (5 + 8 R)/(2 + 8 R)

*not* at the S/n at which the mean of the variance is right: W2 is a distance of widths, and a root
of a fluctuating variance is too small by another 3/4 of its relative variance 2/n. The gain is of
order ``gamma^2/n`` on each axis, and the best gamma of order ``n^{-1/2}``.

Not to be confused with flipped labels, which make a mixture of classes, nor with noise that is put
into the condition at sampling too: then the law without condition is right again.

Sources: Chen et al. 2024, arXiv:2405.20494 (claims and GMM theory); noise as a ridge: Bishop 1995.
The Gaussian case and its constants are derived here.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ...solvers.errors import AnalysisError
from ...solvers.process import Array
from ..distances import gaussian_w2


class Conditional(NamedTuple):
    """``x given c ~ N(slope c, cov)``, shapes (d, p) and (d, d)."""

    slope: Array
    cov: Array


def _matrix(value: ArrayLike, name: str) -> Array:
    found = np.atleast_2d(np.asarray(value, dtype=np.float64))
    if found.ndim != 2 or not np.isfinite(found).all():
        msg = f"{name} must be a finite matrix, got {value!r}"
        raise AnalysisError(msg)
    return found


def _ridged(cond_cov: Array, gamma: float) -> Array:
    """``C + gamma^2``, which must be positive definite."""
    if not 0 <= gamma < math.inf:
        msg = f"gamma must be finite and not negative, got {gamma}"
        raise AnalysisError(msg)
    ridged = cond_cov + gamma**2 * np.eye(len(cond_cov))
    if not np.linalg.eigvalsh(ridged)[0] > 1e-14 * np.abs(ridged).max():
        msg = f"C + gamma^2 must be positive definite, got gamma = {gamma} and C = {cond_cov}"
        raise AnalysisError(msg)
    return ridged


def corrupted_conditional(truth: Conditional, cond_cov: ArrayLike, gamma: float) -> Conditional:
    """What is learned of the whole population from conditions ``c + gamma xi``.

    Parameters
    ----------
    truth : Conditional
        E and S.
    cond_cov : array_like
        C, (p, p); conditions have mean 0.
    gamma : float
        Standard deviation of the corruption.

    Raises
    ------
    AnalysisError
        If ``C + gamma^2`` is not positive definite, or gamma is negative.
    """
    slope, cov = _matrix(truth.slope, "slope"), _matrix(truth.cov, "cov")
    c = _matrix(cond_cov, "cond_cov")
    keep = np.linalg.solve(_ridged(c, gamma), c)
    lost = gamma**2 * keep  # gamma^2 (C + gamma^2)^{-1} C, without the cancellation of C - C..C
    return Conditional(slope @ keep.T, cov + slope @ lost @ slope.T)


def corrupted_fit(x: ArrayLike, c: ArrayLike, gamma: float) -> Conditional:
    """The same by maximum likelihood from samples (n, d) and (n, p), taken about 0.

    Every sample is seen with all its corruptions, as in training of many epochs; the fit is then
    ridge regression: ``slope = Sxc (Scc + gamma^2)^{-1}``, ``cov = Sxx - slope Scx``.
    """
    data, cond = _matrix(x, "x"), _matrix(c, "c")
    if np.ndim(x) != 2 or np.ndim(c) != 2 or len(data) != len(cond):
        msg = (
            "need samples (n, d) and a condition for each sample, (n, p), got "
            f"{np.shape(x)} and {np.shape(c)}"
        )
        raise AnalysisError(msg)
    inner, cross = cond.T @ cond / len(cond), cond.T @ data / len(cond)
    slope = np.asarray(np.linalg.solve(_ridged(inner, gamma), cross).T, dtype=np.float64)
    left = data - cond @ slope.T
    return Conditional(slope, left.T @ left / len(left) + gamma**2 * slope @ slope.T)


def entropy(cov: ArrayLike) -> float:
    """Entropy of N(m, cov) in nats; ``-inf`` if it is singular."""
    found = _matrix(cov, "cov")
    sign, log = np.linalg.slogdet(found)
    size = 0.5 * len(found) * math.log(2 * math.pi * math.e)
    return float(size + 0.5 * log) if sign > 0 else -math.inf


def conditional_distance(learned: Conditional, truth: Conditional, cond_cov: ArrayLike) -> float:
    """Root of ``E_c W2^2`` of the two conditionals: slopes and covariances add their squares."""
    zero = np.zeros(len(learned.cov))
    widths = float(gaussian_w2(zero, learned.cov, zero, truth.cov))
    off = learned.slope - truth.slope
    return math.sqrt(widths**2 + float(np.sum((off @ _matrix(cond_cov, "cond_cov")) * off)))


@lru_cache(maxsize=64)
def _chi_square(degrees: int, count: int) -> tuple[Array, Array]:
    """Gauss's nodes and weights of the chi-square law, by Golub & Welsch; weights sum to 1."""
    k, shape = np.arange(count), degrees / 2 - 1
    side = np.sqrt(k[1:] * (k[1:] + shape))
    values, vectors = np.linalg.eigh(
        np.diag(2 * k + 1 + shape) + np.diag(side, 1) + np.diag(side, -1)
    )
    return 2 * values, vectors[0] ** 2


def few_shot(
    n: int, gamma: float, *, slope: float, var: float, cond_var: float = 1.0, nodes: int = 48
) -> float:
    """Mean of ``E_c W2^2`` of :func:`corrupted_fit` from n samples to the truth, dimension one.

    Over fitted slopes ``N(E, S/(n C))`` and variances ``S chi^2_{n-1}/n``, which are their exact
    laws where the conditions of the sample have second moment C; by Gauss's quadratures.

    Parameters
    ----------
    n : int
        Samples, at least 3.
    gamma : float
        Corruption.
    slope, var, cond_var : float
        E, S and C; the two variances positive.
    nodes : int
        Of each quadrature: 48 hold 1e-7 from n = 10 on.

    Raises
    ------
    AnalysisError
        For fewer samples, or variances that are not positive.
    """
    if n < 3 or not (var > 0 and cond_var > 0) or not 0 <= gamma < math.inf:
        msg = f"need n >= 3, positive variances, gamma >= 0; got {n}, {var}, {cond_var}, {gamma}"
        raise AnalysisError(msg)
    keep = cond_var / (cond_var + gamma**2)
    z, w = np.polynomial.hermite_e.hermegauss(nodes)
    fitted = slope + math.sqrt(var / (n * cond_var)) * z
    q, mass = _chi_square(n - 1, nodes)
    learned = var * q[:, None] / n + fitted**2 * (gamma**2 * keep)
    widths = mass @ (np.sqrt(learned) - math.sqrt(var)) ** 2
    means = (fitted * keep - slope) ** 2 * cond_var
    return float((means + widths) @ w / w.sum())
