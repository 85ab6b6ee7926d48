"""Maximum mean discrepancy without bias, and with its variance.

``MMD^2 = E k(X, X') + E k(Y, Y') - 2 E k(X, Y)`` with the Gaussian kernel ``k(x, y) =
exp(-|x-y|^2/(2 w^2))`` (Gretton et al. 2012). The estimate here leaves a point with itself out:
its mean is the truth, it may be negative, and for two samples of one law it is about 0. The one
of :func:`fokker.analysis.two_samples.mmd` counts all pairs and is never negative: it is the
distance of the two empirical laws, about ``1/sqrt(n)`` for samples of one law.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...solvers.errors import AnalysisError
from ...solvers.process import Array
from ..distances import _gaussians
from ..two_samples import _samples, median_distance


class KernelDistance(NamedTuple):
    """Unbiased MMD squared, its estimated standard deviation, and the length of the kernel."""

    square: float
    deviation: float
    bandwidth: float

    @property
    def low(self) -> float:
        """Lower end of the 95 % interval."""
        return self.square - 1.96 * self.deviation

    @property
    def high(self) -> float:
        """Upper end of the 95 % interval."""
        return self.square + 1.96 * self.deviation


def _kernel(a: Tensor, b: Tensor, width: float) -> Tensor:
    gaps = torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")
    return torch.exp(gaps.square() / (-2 * width**2))


def unbiased_mmd(x: Any, y: Any, *, bandwidth: float | None = None) -> KernelDistance:
    """Unbiased estimate of MMD squared between two samples, (n, d) and (m, d), n, m >= 4.

    The variance is that of the U-statistic in Hoeffding's decomposition: with ``k~`` the kernel
    centred in both arguments and ``h_X(x) = E k(x, X') - E k(x, Y)``, ``h_Y`` likewise,

        4 var h_X/n + 4 var h_Y/m + 2 var k~_XX/(n(n-1)) + 2 var k~_YY/(m(m-1)) + 4 var k~_XY/(n m)

    each estimated without bias, the first two together not below 0. Where the laws agree those
    vanish: the estimate of the variance is then somewhat large, and the distribution is skewed to
    the right, so that an interval of two deviations is a rough one.

    Parameters
    ----------
    x, y : Array or Tensor
        The samples; memory is O((n + m)^2).
    bandwidth : float, optional
        w, a length; by default the median distance between points of both.

    Raises
    ------
    AnalysisError
        For bad samples, fewer than four points in one, or a bandwidth that is none.
    """
    _, a, b = _samples(x, y)
    if min(len(a), len(b)) < 4:
        msg = f"an unbiased MMD needs at least 4 points in each sample, got {len(a)} and {len(b)}"
        raise AnalysisError(msg)
    width = _width(a, b, bandwidth)
    kxx, kyy, kxy = (_kernel(p, q, width).cpu().numpy() for p, q in ((a, a), (b, b), (a, b)))
    square, linear, rest = _moments(kxx, kyy, kxy)
    return KernelDistance(square, math.sqrt(max(0.0, linear) + rest), width)


def paired_mmd(x: Any, y: Any, *, bandwidth: float | None = None) -> KernelDistance:
    """Unbiased MMD squared of n pairs (x_i, y_i) whose members may depend on each other.

    The mean over i != j of ``h_ij = k(x_i, x_j) + k(y_i, y_j) - k(x_i, y_j) - k(x_j, y_i)``
    (Gretton et al. 2012, lemma 6): members of one pair never meet. For pairs that are independent
    of each other and of one law its mean is MMD squared; the deviation is that of this
    U-statistic.

    It is the one for samples of *strata*, where i has its class on both sides, say classes in
    turn: if each class has one law in x and y the mean is 0, and the variance the one that is
    estimated. There :func:`unbiased_mmd` is biased *downwards*, by more than its deviation: two of
    one class meet more often across the samples, where i meets i, than within one.

    Parameters
    ----------
    x, y : Array or Tensor
        (n, d) each, n >= 4; memory is O(n^2).
    bandwidth : float, optional
        As in :func:`unbiased_mmd`.

    Raises
    ------
    AnalysisError
        For bad samples, not as many in both, fewer than four, or a bandwidth that is none.
    """
    _, a, b = _samples(x, y)
    if len(a) != len(b) or len(a) < 4:
        msg = f"a paired MMD needs as many points in both, at least 4, got {len(a)} and {len(b)}"
        raise AnalysisError(msg)
    width = _width(a, b, bandwidth)
    kxx, kyy, kxy = (_kernel(p, q, width).cpu().numpy() for p, q in ((a, a), (b, b), (a, b)))
    square, linear, rest = _pair_moments(kxx + kyy - kxy - kxy.T)
    return KernelDistance(square, math.sqrt(max(0.0, linear) + rest), width)


def _pair_moments(h: Array) -> tuple[float, float, float]:
    """The mean of h over i != j, and the two parts of its variance, as :func:`_moments`."""
    n, both = len(h), _Within(h)
    first = float(np.var(both.effect, ddof=1)) - both.degenerate / (n - 2)
    return both.mean, 4 * first / n, 2 * both.degenerate / (n * (n - 1))


def _width(a: Tensor, b: Tensor, bandwidth: float | None) -> float:
    width = median_distance(a, b) if bandwidth is None else float(bandwidth)
    if not (math.isfinite(width) and width > 0):
        msg = f"bandwidth must be positive and finite, got {bandwidth}"
        raise AnalysisError(msg)
    return width


def _moments(kxx: Array, kyy: Array, kxy: Array) -> tuple[float, float, float]:
    """The estimate, and the two parts of its variance: of first and of second order.

    A point has the effect ``(rows - mean)(n-1)/(n-2)`` on its row, which varies by ``k~/(n-2)``
    beside the true one, as sample variances see it.
    """
    xx, yy = _Within(kxx), _Within(kyy)
    square = xx.mean + yy.mean - 2 * kxy.mean()
    rows, columns = kxy.mean(1), kxy.mean(0)
    n, m = kxy.shape
    cross = kxy - rows[:, None] - columns + kxy.mean()
    vxy = float((cross**2).sum() / ((n - 1) * (m - 1)))
    first = float(np.var(xx.effect - rows, ddof=1)) - xx.degenerate / (n - 2) - vxy / m
    second = float(np.var(yy.effect - columns, ddof=1)) - yy.degenerate / (m - 2) - vxy / n
    linear, rest = 4 * first / n + 4 * second / m, 4 * vxy / (n * m)
    rest += 2 * xx.degenerate / (n * (n - 1)) + 2 * yy.degenerate / (m * (m - 1))
    return float(square), linear, rest


class _Within:
    """Kernel of a sample with itself, the diagonal left out."""

    def __init__(self, k: np.ndarray) -> None:
        n = len(k)
        off = k - np.diag(np.diag(k))
        rows = off.sum(1) / (n - 1)
        self.mean = float(rows.mean())
        # k_ij - a_i - a_j + c with the row effects of the off-diagonal part: sums to 0 in rows
        self.effect = effect = (rows - self.mean) * (n - 1) / (n - 2)
        rest = off - self.mean - effect[:, None] - effect
        np.fill_diagonal(rest, 0.0)
        self.degenerate = float((rest**2).sum() / (n * (n - 3)))


def gaussian_mmd(mean_a: Any, cov_a: Any, mean_b: Any, cov_b: Any, *, bandwidth: float) -> float:
    """MMD squared of two Gaussians in closed form.

    For independent X and Y the difference is ``N(m, C)`` with ``m = m_a - m_b, C = A + B``, so
    ``E k(X, Y) = det(1 + C/w^2)^{-1/2} exp(-m^T (w^2 + C)^{-1} m/2)``.

    Raises
    ------
    AnalysisError
        For means and covariances that are none, or a bandwidth that is not positive.
    """
    _, (ma, ca, mb, cb) = _gaussians(mean_a, cov_a, mean_b, cov_b)
    if not (math.isfinite(bandwidth) and bandwidth > 0):
        msg = f"bandwidth must be positive and finite, got {bandwidth}"
        raise AnalysisError(msg)
    eye = torch.eye(len(ma), dtype=ma.dtype, device=ma.device)

    def mean_kernel(gap: Tensor, spread: Tensor) -> float:
        total = bandwidth**2 * eye + spread
        volume = torch.linalg.slogdet(total / bandwidth**2).logabsdet
        pull = gap @ torch.linalg.solve(total, gap)
        return math.exp(-0.5 * float(volume + pull))

    zero = torch.zeros_like(ma)
    within = mean_kernel(zero, 2 * ca) + mean_kernel(zero, 2 * cb)
    return within - 2 * mean_kernel(ma - mb, ca + cb)
