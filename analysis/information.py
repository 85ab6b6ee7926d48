r"""Information through denoising: integrals of the error of the best denoiser over the SNR.

With ``y = sqrt(snr) x_0 + eps`` and ``mmse(snr) = E|x_0 - E[x_0|y]|^2``::

    I(x_0; y) = 1/2 int_0^snr mmse            (all of it, to snr = inf, is the entropy of x_0 if
                                               x_0 is discrete)
    log p(x|c)/p(x) = 1/2 int_0^inf [ e(x, snr) - e_c(x, snr) ] dsnr

with ``e(x, snr) = E_eps |x - D(sqrt(snr) x + eps)|^2`` of the denoisers without and with the
condition c. ``snr = e^{2 lam}`` is the full signal-to-noise ratio, of which lam is *half* the
logarithm; an integral over time needs the Jacobian ``dsnr/dt``. Cut off at a finite snr, the
pointwise integral loses the tail; in nats.

Exact here for laws in dimension one, whose expectations are sums on a uniform grid (spectrally
accurate for densities that are smoothed by eps).

Sources: Guo, Shamai & Verdu 2005, arXiv:cs/0412108; Kong, Brekelmans & Ver Steeg 2023,
arXiv:2302.03792; Dewan et al. 2024, arXiv:2406.05191.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..solvers.errors import AnalysisError

REACH = 9.0
"""Standard deviations of eps that are summed: what is left out is 1e-18."""
STEP = 0.05


def _states(law: Any, snr: float, support: tuple[float, float]) -> Tensor:
    """A uniform grid of y that holds all of its law, (n, 1)."""
    if law.dim != 1:
        msg = f"expectations are summed in dimension 1, got a law of dimension {law.dim}"
        raise AnalysisError(msg)
    if not (0 <= snr < math.inf and support[0] <= support[1]):
        msg = f"need a finite snr >= 0 and an interval of data, got {snr} and {support}"
        raise AnalysisError(msg)
    root = math.sqrt(snr)
    low, high = root * support[0] - REACH, root * support[1] + REACH
    count = math.ceil((high - low) / STEP) + 1
    return torch.linspace(low, high, count, dtype=torch.float64)[:, None]


def mmse(law: Any, snr: float, support: tuple[float, float]) -> float:
    """``E|x_0 - E[x_0|y]|^2`` of a law in dimension one.

    Parameters
    ----------
    law : Law
        With ``log_density``, ``denoiser_jvp``.
    snr : float
        ``alpha^2/sigma^2``, not negative.
    support : (float, float)
        An interval that holds the data (nine standard deviations of a normal law).

    Raises
    ------
    AnalysisError
        For other dimensions, a negative or infinite snr, an empty interval.
    """
    if snr == 0:
        return float(law.cov[0, 0])
    y = _states(law, snr, support)
    root = math.sqrt(snr)
    p = law.log_density(y, root, 1.0).exp()
    spread = law.denoiser_jvp(y, torch.ones_like(y), root, 1.0)[:, 0] / root  # Cov[x_0 | y]
    return float((p * spread).sum() * (y[1] - y[0]))


def information(law: Any, snr: float, support: tuple[float, float]) -> float:
    """``I(x_0; y)``, nats: half the integral of :func:`mmse` from 0 to ``snr``."""
    return 0.5 * _over_snr(lambda r: mmse(law, r, support), snr)


def information_curve(
    law: Any, snrs: Sequence[float], support: tuple[float, float]
) -> list[float]:
    """:func:`information` at increasing snrs, each at most twice the one before, in one sweep.

    Raises
    ------
    AnalysisError
        If the snrs do not increase so.
    """
    if not all(0 < a < b <= 2 * a for a, b in pairwise(snrs)) or not snrs:
        msg = f"snrs must increase, each to at most twice the one before, got {list(snrs)}"
        raise AnalysisError(msg)
    total = [information(law, snrs[0], support)]
    for low, high in pairwise(snrs):
        total.append(total[-1] + 0.5 * _panel(lambda r: mmse(law, r, support), low, high))
    return total


def direct_information(law: Any, snr: float, support: tuple[float, float]) -> float:
    """``I(x_0; y) = h(y) - h(eps)`` from the entropy of y: the same number without denoising."""
    y = _states(law, snr, support)
    log_p = law.log_density(y, math.sqrt(snr), 1.0)
    entropy = -float((log_p.exp() * log_p).sum() * (y[1] - y[0]))
    return entropy - 0.5 * math.log(2 * math.pi * math.e)


def _over_snr(rate: Callable[[float], float], top: float, *, octaves: int = 12) -> float:
    """Integral from 0 to ``top``: Gauss-Legendre on panels that double."""
    if not 0 <= top < math.inf:
        msg = f"the snr must be finite and not negative, got {top}"
        raise AnalysisError(msg)
    edges = [0.0, *(top * 2.0 ** (k - octaves) for k in range(octaves + 1))]
    return sum(_panel(rate, low, high) for low, high in pairwise(edges))


def _panel(rate: Callable[[float], float], low: float, high: float) -> float:
    nodes, weights = np.polynomial.legendre.leggauss(10)
    half = 0.5 * (high - low)
    at = low + half * (1 + nodes)
    return half * sum(w * rate(float(r)) for r, w in zip(at, weights, strict=True))


def pointwise_information(
    law: Any, conditional: Any, x: Tensor, *, low: float = -20.0, high: float = 24.0
) -> Tensor:
    """``log p(x|c)/p(x)`` from two denoisers, (B,), by the trapezoidal rule in ``log snr``.

    Parameters
    ----------
    law, conditional : Law
        Without and with the condition, in dimension one; only denoisers are asked.
    x : Tensor
        Points, (B, 1).
    low, high : float
        Range of ``log snr``; the tails beyond are of size ``e^low`` and ``e^-high``.

    Raises
    ------
    AnalysisError
        For another dimension or an empty range.
    """
    if law.dim != 1 or conditional.dim != 1 or not low < high:
        msg = f"need dimension 1 and low < high, got {law.dim}, {conditional.dim}, {low}, {high}"
        raise AnalysisError(msg)
    eps = torch.arange(-REACH, REACH + STEP, STEP, dtype=torch.float64)
    weight = torch.exp(-0.5 * eps * eps)
    weight = weight / weight.sum()
    steps = math.ceil((high - low) / 0.1)
    total = torch.zeros(len(x), dtype=torch.float64)
    for k in range(steps + 1):
        snr = math.exp(low + k * (high - low) / steps)
        y = (math.sqrt(snr) * x + eps).reshape(-1, 1)
        plain, told = (one.denoiser(y, math.sqrt(snr), 1.0).reshape(len(x), -1)
                       for one in (law, conditional))  # fmt: skip
        gap = (told - plain) * (2 * x - plain - told)  # a difference of squares
        total += snr * (gap @ weight) * (0.5 if k in (0, steps) else 1.0)
    return 0.5 * total * (high - low) / steps
