"""The mean-reverting process: data decay to a given mean instead of to zero.

``dx = theta (mu - x) dt + sqrt(2 theta) s dW`` (IR-SDE) takes data ``x_0`` to ``N(mu, s^2)``, with
mu the degraded image, say. In ``w = x - mu`` it is an ordinary process,

    w_t = alpha w_0 + sigma eps,   alpha = exp(-int_0^t theta),   sigma = s sqrt(1 - alpha^2),

so every registered sampler runs on it as it is; see ``shifted`` for the model and the way back to
x. ``w/s`` is variance-preserving. How fast theta grows is a schedule of its own: the three that
are published are here, each scaled so that its integral over [0, 1] is 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from ..errors import InvalidProcessError
from ..process import Array, Process
from ..schedules_vp import HALF_PI, positive, settle, vp_log_alpha_of_lam


class Theta(Protocol):
    """A rate of reversion on t in [0, 1] whose integral over [0, 1] is 1."""

    def rate(self, t: Array) -> Array:
        """The rate at t."""
        ...

    def integral(self, t: Array) -> Array:
        """``int_0^t rate``: 0 at t = 0 and 1 at t = 1, to full relative accuracy."""
        ...

    def inverse(self, v: Array) -> Array:
        """The t at which the integral is v."""
        ...


@dataclass(frozen=True)
class ConstantTheta:
    """``rate = 1``."""

    def rate(self, t: Array) -> Array:
        """1."""
        return np.ones_like(t)

    def integral(self, t: Array) -> Array:
        """The time itself."""
        return t

    def inverse(self, v: Array) -> Array:
        """The value itself."""
        return v


@dataclass(frozen=True)
class LinearTheta:
    """The rate grows linearly, at t = 1 ``ratio`` times what it is at t = 0 (published: 200)."""

    ratio: float = 200.0

    def __post_init__(self) -> None:
        settle(self)
        positive("ratio", self.ratio)

    def rate(self, t: Array) -> Array:
        """``2 (1 + (ratio - 1) t)/(1 + ratio)``."""
        return 2.0 * (1.0 + (self.ratio - 1.0) * t) / (1.0 + self.ratio)

    def integral(self, t: Array) -> Array:
        """``t (2 + (ratio - 1) t)/(1 + ratio)``."""
        return t * (2.0 + (self.ratio - 1.0) * t) / (1.0 + self.ratio)

    def inverse(self, v: Array) -> Array:
        """The root that does not cancel for small v."""
        c = v * (1.0 + self.ratio)
        return c / (1.0 + np.sqrt(1.0 + (self.ratio - 1.0) * c))


@dataclass(frozen=True)
class CosineTheta:
    """The rate is proportional to ``1 - cos(a)^2/cos(a0)^2``, ``a = (pi/2)(t + s)/(1 + s)``.

    It is one minus the cosine schedule's alpha squared, and not that schedule itself: alpha is the
    exponential of minus its integral. With ``d = a - a0`` the rate is proportional to ``2 sin(d)
    sin(d + 2 a0)``, whose integral is a sum of two positive terms.
    """

    s: float = 0.008

    def __post_init__(self) -> None:
        settle(self)
        positive("s", self.s)

    @property
    def _slope(self) -> float:
        return HALF_PI / (1.0 + self.s)

    @property
    def _twice(self) -> float:
        """``2 a0``."""
        return 2.0 * self._slope * self.s

    def _raw(self, d: Array) -> Array:
        """``int_0^d 2 sin(r) sin(r + 2 a0) dr``."""
        curved = 0.5 * _sine_deficit(2.0 * d)
        return math.cos(self._twice) * curved + math.sin(self._twice) * np.sin(d) ** 2

    def _raw_rate(self, d: Array) -> Array:
        return 2.0 * np.sin(d) * np.sin(d + self._twice)

    @property
    def _whole(self) -> float:
        return float(self._raw(np.array(self._slope)))

    def rate(self, t: Array) -> Array:
        """Proportional to ``1 - cos(a)^2/cos(a0)^2``."""
        return self._slope * self._raw_rate(self._slope * t) / self._whole

    def integral(self, t: Array) -> Array:
        """In closed form."""
        return self._raw(self._slope * t) / self._whole

    def inverse(self, v: Array) -> Array:
        """Newton's method in logarithms, where the integral is nearly a straight line."""
        v = np.asarray(v, dtype=np.float64)
        goal = np.log(np.where(v > 0.0, v, 1.0)) + math.log(self._whole)
        most = math.log(self._slope)
        u = np.minimum(most, most + goal / 2.0)  # the integral is a power of d from 2 to 3
        for _ in range(40):
            d = np.exp(u)
            raw = self._raw(d)
            step = (np.log(raw) - goal) * raw / (self._raw_rate(d) * d)
            u = np.minimum(u - step, most)
            if np.all(np.abs(step) < 1e-15):
                break
        return np.where(v > 0.0, np.exp(u - most), 0.0)


def _sine_deficit(x: Array) -> Array:
    """``x - sin x`` for x >= 0, to full relative accuracy."""
    q = x * x
    series = np.ones_like(x)
    for k in range(7, 0, -1):
        series = 1.0 - q / ((2 * k + 2) * (2 * k + 3)) * series
    return np.where(x < 0.8, x * q / 6.0 * series, x - np.sin(x))


@dataclass(frozen=True)
class MeanReverting(Process):
    """``w = x - mu``, ``alpha = last^theta.integral(t)``, ``sigma = s sqrt(1 - alpha^2)``.

    Luo et al. 2023 (2301.11699); its fast samplers are those of Li et al. 2025 (MRS, 2502.07856),
    which are the ordinary ones in w. ``sigma`` here is the marginal standard deviation, not the
    diffusion, which their code calls sigma as well: ``g^2 = 2 theta s^2``. The published start
    ``mu + s N(0, I)`` leaves out ``alpha (x_0 - mu)``, which is ``last`` times the degradation.

    Parameters
    ----------
    sigma_inf : float
        s, the stationary standard deviation, in units of the data (published: 10/255 to 70/255).
    last : float
        alpha at t = 1, above 0 and below 1 (published: 0.005).
    theta : Theta
        Schedule of the rate; cosine by default, as published.

    Examples
    --------
    >>> p = MeanReverting(sigma_inf=0.2)
    >>> round(float(p.alpha(1.0)), 12), round(float(p.sigma(1.0)), 6)
    (0.005, 0.199997)
    """

    sigma_inf: float = 50 / 255
    last: float = 0.005
    theta: Theta = field(default_factory=CosineTheta)

    def __post_init__(self) -> None:
        settle(self)
        positive("sigma_inf", self.sigma_inf)
        if not 0.0 < self.last < 1.0:
            msg = f"last must lie above 0 and below 1, got {self.last}"
            raise InvalidProcessError(msg)

    @property
    def t_max(self) -> float:
        """1."""
        return 1.0

    def _log_alpha(self, t: Array) -> Array:
        return math.log(self.last) * self.theta.integral(t)

    def _log_sigma(self, t: Array) -> Array:
        return math.log(self.sigma_inf) + 0.5 * np.log(-np.expm1(2.0 * self._log_alpha(t)))

    def log_alpha_of_lam(self, lam: ArrayLike) -> Array:
        """``-log(1 + e^{-2 lam}/s^2)/2``."""
        return vp_log_alpha_of_lam(np.asarray(lam, dtype=np.float64) + math.log(self.sigma_inf))

    def _t_of_lam(self, lam: Array) -> Array:
        return self.theta.inverse(self.log_alpha_of_lam(lam) / math.log(self.last))

    def _f(self, t: Array) -> Array:
        return math.log(self.last) * self.theta.rate(t)

    def _dlam_dt(self, t: Array) -> Array:
        speed = self._f(t) / -np.expm1(2.0 * self._log_alpha(t))
        return np.where(t > 0.0, speed, -np.inf)  # a rate that starts at 0 would give 0/0

    def _g2(self, t: Array) -> Array:
        return -2.0 * self.sigma_inf**2 * self._f(t)
