"""ResShift: data move to a degraded image in a straight line while noise grows like its root.

``q(x_t | x_0, y) = N((1 - eta) x_0 + eta y, kappa^2 eta I)`` is, in ``w = x - y``, an ordinary
process with ``alpha = 1 - eta`` and ``sigma = kappa sqrt(eta)``: every registered sampler runs on
the same network (see ``shifted``). Its eta is the share of y, and not the eta of an SDE.

Its own sampler is another one. Given the data, the noise of its chain is Brownian motion in the
clock ``sigma^2``, where that of a linear SDE is Brownian in ``1/rho^2 = SNR``; the two agree
where alpha is constant.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..errors import InvalidGridError, InvalidProcessError
from ..grids import Grid, power_t
from ..plan import Plan, Tape
from ..process import Array, Node, Process
from ..registry import sampler
from ..schedules_vp import positive, settle
from .onestep import one_step

SOURCE = "Yue, Wang & Loy 2023, arXiv:2307.12348"


@dataclass(frozen=True)
class ResShift(Process):
    """``alpha = 1 - eta``, ``sigma = kappa sqrt(eta)``, in ``w = x - y``; t in [0, 1].

    Yue, Wang & Loy 2023 (2307.12348, and 2403.07319): ``sqrt(eta) = a (b/a)^(t^power)`` with
    ``a = min(min_noise/kappa, min_noise)`` and ``b = last``; T published levels are the times
    ``i/(T - 1)``, see :func:`resshift_grid`. As with VE, t = 0 is the first level and not the
    data, and the noise end still holds ``1 - b^2`` of them. A power below 1 has infinite rates at
    t = 0.

    Parameters
    ----------
    kappa : float
        Strength of the noise (published: 2).
    min_noise : float
        Least noise (published: 0.04 with 15 steps, 0.2 with 4).
    last : float
        ``sqrt(eta)`` at t = 1, below 1 (published: 0.99).
    power : float
        Exponent of the time (published: 0.3).

    Examples
    --------
    >>> p = ResShift()
    >>> [round(float(v), 6) for v in (p.sigma(0.0), p.sigma(1.0), p.alpha(1.0))]
    [0.04, 1.98, 0.0199]
    """

    kappa: float = 2.0
    min_noise: float = 0.04
    last: float = 0.99
    power: float = 0.3

    def __post_init__(self) -> None:
        settle(self)
        for name in ("kappa", "min_noise", "power"):
            positive(name, getattr(self, name))
        if not self.first < self.last < 1.0:
            msg = f"last must lie above {self.first} and below 1, got {self.last}"
            raise InvalidProcessError(msg)

    @property
    def first(self) -> float:
        """``sqrt(eta)`` at t = 0."""
        return min(self.min_noise / self.kappa, self.min_noise)

    @property
    def t_max(self) -> float:
        """1."""
        return 1.0

    @property
    def _span(self) -> float:
        return math.log(self.last) - math.log(self.first)

    def _log_root(self, t: Array) -> Array:
        """``log sqrt(eta)``."""
        return math.log(self.first) + t**self.power * self._span

    def eta(self, t: ArrayLike) -> Array:
        """Share of y at time t."""
        return np.exp(2.0 * self._log_root(self._times(t)))

    def _log_alpha(self, t: Array) -> Array:
        return np.log(-np.expm1(2.0 * self._log_root(t)))

    def _log_sigma(self, t: Array) -> Array:
        return math.log(self.kappa) + self._log_root(t)

    def _minus_log_root(self, lam: ArrayLike) -> Array:
        """``asinh(kappa e^lam/2)``, since ``1/sqrt(eta) - sqrt(eta) = kappa e^lam``."""
        return np.arcsinh(0.5 * self.kappa * np.exp(np.asarray(lam, dtype=np.float64)))

    def log_alpha_of_lam(self, lam: ArrayLike) -> Array:
        """``log(1 - e^{-2 w})`` with ``w = asinh(kappa e^lam/2)``."""
        return np.log(-np.expm1(-2.0 * self._minus_log_root(lam)))

    def _t_of_lam(self, lam: Array) -> Array:
        part = (-self._minus_log_root(lam) - math.log(self.first)) / self._span
        return np.maximum(part, 0.0) ** (1.0 / self.power)

    def _speed(self, t: Array) -> Array:
        """``dlog sqrt(eta)/dt``."""
        return self._span * self.power * t ** (self.power - 1.0)

    def _f(self, t: Array) -> Array:
        eta = np.exp(2.0 * self._log_root(t))
        return -2.0 * self._speed(t) * eta / (1.0 - eta)

    def _dlam_dt(self, t: Array) -> Array:
        eta = np.exp(2.0 * self._log_root(t))
        return -self._speed(t) * (1.0 + eta) / (1.0 - eta)

    def _g2(self, t: Array) -> Array:
        return -2.0 * np.exp(2.0 * self._log_sigma(t)) * self._dlam_dt(t)


def resshift_grid(process: ResShift, steps: int) -> Grid:
    """The published levels ``sqrt(eta_1) .. sqrt(eta_T)``, T = ``steps``, and then the data.

    ``t = (i - 1)/(T - 1)``, i = T, ..., 1, and a last step to ``sigma = 0``, which returns D.

    Raises
    ------
    InvalidGridError
        For fewer than two steps: one level would be both the first and the last.
    """
    if steps < 2:
        msg = f"ResShift needs at least 2 steps, got {steps}"
        raise InvalidGridError(msg)
    return power_t(process, 1.0, 0.0).grid(steps - 1, to_zero=True)


@sampler(
    weak=1, weak_cold=1, nfe=lambda n: n, prediction="data", clock="level", family="ancestral",
    source=f"{SOURCE}, eq. 7",
)  # fmt: skip
def resshift_ancestral(process: Process, grid: Grid) -> Plan:
    """A draw from the posterior of a chain whose noise is Brownian motion in ``sigma^2``.

    ``x_t = alpha_t D + r (x - alpha_s D) + sigma_t sqrt(1 - r) xi`` with ``r = sigma_t^2/
    sigma_s^2``; on ResShift r is ``eta_t/eta_s``. It is the exact step of the eta-SDE with
    ``e^{-int eta dlam} = sigma_t/sigma_s``, that is ``eta = -dlog sigma/dlam``: 1 on VE, where it
    is DDPM's ancestral step, less elsewhere (alpha^2 on VP, alpha on a flow). The last step
    returns D. It is the one sampler here that x/alpha and lam do not determine: it asks for sigma.

    Raises
    ------
    InvalidGridError
        Where sigma does not decrease: it is the clock.
    """
    del process
    return one_step(grid, _brownian_step)


def _brownian_step(tape: Tape, s: Node, t: Node, x: int) -> int:
    d = tape.eval(x, s, "data")
    if t.sigma == 0.0:
        return tape.lin((d, t.alpha))
    if not t.log_sigma < s.log_sigma:
        msg = f"sigma must decrease along the grid of this sampler, got {s.sigma} then {t.sigma}"
        raise InvalidGridError(msg)
    keep = math.exp(2.0 * (t.log_sigma - s.log_sigma))
    std = t.sigma * math.sqrt(-math.expm1(2.0 * (t.log_sigma - s.log_sigma)))
    xi = tape.noise("churn", s.lam, t.lam)  # a draw of its own: no path in lam has these cells
    return tape.lin((x, keep), (d, t.alpha - keep * s.alpha), (xi, std))
