r"""The gap between the laws of the ODE and of the SDE of one wrong score, in closed form.

A linear score ``s(x, t) = -K(t) x`` is the gradient of ``phi = -K x^2/2 + c(t)``. In dimension one
every reverse equation of ``dx = f x dt + g dW`` then keeps a centred normal law, of variance V::

    dV/ds = 2 (-f - (1+eta) g^2 K/2) V + eta g^2,   ds = -dt, V(T) given

The residual of the score is ``-(K' + g^2 K^2 + 2 f K) x``, a Riccati equation: where it holds and
V starts at 1/K, all eta give ``V = 1/K``, right or wrong. The residual certifies agreement of the
ODE and the SDE, not truth.

Source of the setting: Deveney et al. 2023, arXiv:2311.15996; the formulas are ours.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.integrate import solve_ivp

from ...solvers.errors import AnalysisError
from ...solvers.process import Process
from .errors import DiffusionError

Rate = Callable[[float], float]


def linear_variance(
    f: Rate,
    g2: Rate,
    precision: Rate,
    eta: float,
    *,
    start: float,
    span: tuple[float, float],
) -> float:
    """Variance at the end of the reverse equation with the score ``-K(t) x``.

    Parameters
    ----------
    f, g2, precision : callables
        f, g^2 and K, functions of t.
    eta : float
        tau^2: 0 for the ODE, 1 for the reverse SDE.
    start : float
        Variance at ``span[0]``.
    span : (float, float)
        From the time of noise to that of data, decreasing.

    Raises
    ------
    DiffusionError
        For a negative eta.
    AnalysisError
        If the span does not decrease, or the integration fails.
    """
    if not eta >= 0:
        msg = f"eta must not be negative, got {eta}"
        raise DiffusionError(msg)
    if not span[0] > span[1]:
        msg = f"span runs from noise to data, so it decreases; got {span}"
        raise AnalysisError(msg)

    def rate(t: float, v: np.ndarray) -> np.ndarray:
        pull = -f(t) - 0.5 * (1 + eta) * g2(t) * precision(t)
        return -(2 * pull * v + eta * g2(t))  # dt = -ds

    found = solve_ivp(rate, span, [start], method="DOP853", rtol=1e-12, atol=1e-14)
    if not found.success or not np.isfinite(found.y[0, -1]):
        msg = f"the variance cannot be integrated over {span}: {found.message}"
        raise AnalysisError(msg)
    return float(found.y[0, -1])


def process_variance(
    process: Process, precision: Rate, eta: float, *, start: float, span: tuple[float, float]
) -> float:
    """:func:`linear_variance` with f and g^2 of a process."""
    return linear_variance(
        lambda t: float(process.f(t)), lambda t: float(process.g2(t)), precision, eta,
        start=start, span=span,
    )  # fmt: skip


def scaled_score_variance(data: float, noisy: float, delta: float, eta: float) -> float:
    """Variance at the data of ``(1 + delta)`` times the exact score, exploding process.

    The law has variance ``data`` and, noised, ``noisy``. With ``L = log(noisy/data)`` and
    ``b = eta + delta (1 + eta)``::

        V = data [e^{-b L} + eta (1 - e^{-b L})/b]

    At eta = 0 it is ``data (data/noisy)^delta``: the ODE amplifies the error by the logarithm of
    the span, the SDE forgets it.
    """
    b, span = eta + delta * (1 + eta), math.log(noisy / data)
    kept = -math.expm1(-b * span) / b if b else span
    return data * (math.exp(-b * span) + eta * kept)


def riccati(precision: float, rate: float, f: float, g2: float) -> float:
    """``K' + g^2 K^2 + 2 f K``: the residual of a linear score is minus this times x."""
    return rate + g2 * precision**2 + 2 * f * precision


def gronwall(times: np.ndarray, g2: np.ndarray, lipschitz: np.ndarray, error: np.ndarray) -> float:
    r"""Bound of ``W_2(p_ODE, p_SDE)`` by the score error against the SDE's own law.

    ``int g^2/2 ||s - grad log p_SDE||_{L2(p_SDE)} exp(int_s^end L) ds`` with L the largest
    eigenvalue of the symmetric part of the ODE's drift, by the trapezoidal rule.

    Parameters
    ----------
    times : ndarray
        Increasing times s of generation, from noise to data.
    g2, lipschitz, error : ndarray
        g^2, L, and the root mean square of the score error at those times.
    """
    step = np.diff(times)
    grown = np.concatenate([[0.0], np.cumsum(0.5 * (lipschitz[1:] + lipschitz[:-1]) * step)])
    integrand = 0.5 * g2 * error * np.exp(grown[-1] - grown)
    return float(np.sum(0.5 * (integrand[1:] + integrand[:-1]) * step))
