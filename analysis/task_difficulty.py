r"""How hard a level of noise is: the divergence of neighbouring marginals of Gaussian data.

``KL(p_{t-dt} | p_t)`` along each axis, with ``S = alpha^2 c^2 + sigma^2``, ``m_t = alpha m`` and
``r = S(t-dt)/S(t)``::

    (r - 1 - log r)/2 + (m_t - m_{t-dt})^2/(2 S(t))  ->  dt^2 [ (S'/S)^2/4 + m_t'^2/(2 S) ],
    S' = 2 f S + g^2,   m_t' = f m_t

Axes without variance of the data have ``S'/S = 2 sigma'/sigma``, which diverges at the data: the
hard end is made by the dimension that the data lack, not by the schedule. N(0, I) under a
variance-preserving process has no hard level at all.

The divergence goes with ``dt^2``: only equal grids can be compared, and clusters of equal width in
t, in lam, and of equal difficulty (:func:`equal_steps`) are three curricula.

Source: Kim, Go, Kwon & Kim 2024, arXiv:2403.10348.
"""

from __future__ import annotations

import math

import numpy as np

from ..solvers.errors import AnalysisError
from ..solvers.process import Array, Process
from .distances import diagonal_kl
from .gaussian_path import Normal, marginal


def step_divergence(data: Normal, process: Process, t: float, dt: float) -> float:
    """``KL(p_{t-dt} | p_t)`` in nats, without cancellation.

    Raises
    ------
    AnalysisError
        Unless ``0 < dt <= t``.
    """
    if not 0 < dt <= t:
        msg = f"a step needs 0 < dt <= t, got dt = {dt} at t = {t}"
        raise AnalysisError(msg)
    cleaner, noisier = marginal(data, process.node(t - dt)), marginal(data, process.node(t))
    return diagonal_kl(*cleaner, *noisier)


def divergence_rate(data: Normal, process: Process, t: float) -> float:
    """Limit of ``KL(p_{t-dt} | p_t)/dt^2``: half the Fisher information of the clock."""
    node, f, g2 = process.node(t), float(process.f(t)), float(process.g2(t))
    law = marginal(data, node)
    if not float(law.var.min()) > 0 or not math.isfinite(f * f + g2):
        msg = f"the rate needs positive variances and finite f and g^2, which fail at t = {t}"
        raise AnalysisError(msg)
    speed = (2 * f * law.var + g2) / law.var
    return float(np.sum(0.25 * speed**2 + 0.5 * (f * law.mean) ** 2 / law.var))


def equal_steps(
    data: Normal, process: Process, t_start: float, t_end: float, count: int, *, points: int = 4001
) -> Array:
    """Times from ``t_start`` down to ``t_end`` between which ``int sqrt(rate) dt`` is equal.

    Neighbours then have nearly one divergence; it is the grid of constant speed in the Fisher
    metric. ``count`` steps, ``count + 1`` times; the integral is a trapezoidal sum in log t.

    Raises
    ------
    AnalysisError
        Unless ``0 < t_end < t_start`` and ``count >= 1``, or if nothing changes on the way.
    """
    if not 0 < t_end < t_start or count < 1:
        msg = f"need 0 < t_end < t_start and a step, got {t_end}, {t_start}, {count}"
        raise AnalysisError(msg)
    log_t = np.linspace(math.log(t_end), math.log(t_start), points)
    times = np.clip(np.exp(log_t), t_end, t_start)
    speed = np.array([math.sqrt(divergence_rate(data, process, t)) * t for t in times])
    length = np.concatenate([[0.0], np.cumsum(0.5 * (speed[1:] + speed[:-1]) * np.diff(log_t))])
    if not length[-1] > 1e-12:
        msg = "the marginals do not change between these times: no level is harder than another"
        raise AnalysisError(msg)
    found = np.interp(np.linspace(0.0, length[-1], count + 1), length, times)
    return found[::-1].copy()
