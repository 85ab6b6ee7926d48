"""The forward processes of the field, each a handful of closed formulas.

The variance-preserving ones are written in ``schedules_vp`` and named here too: this module is
where all of them are imported from. Cancellation is avoided at both ends: inverses are written so
that no two large terms subtract, and ``1 - t`` is formed before anything else near the noise end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .errors import InvalidProcessError
from .process import Array, Process
from .schedules_vp import HALF_PI, positive, settle, tangent, vp_log_alpha_of_lam
from .schedules_vp import SubVP as SubVP
from .schedules_vp import VPCosine as VPCosine
from .schedules_vp import VPLinear as VPLinear


@dataclass(frozen=True)
class VE(Process):
    """Variance-exploding process: ``alpha = 1``, ``sigma = s_min (s_max/s_min)^t``, t in [0, 1].

    Song et al. 2021, 2011.13456. Sigma at t = 0 is ``s_min``, not 0; the marginal variance is
    taken as ``sigma^2`` (their code), not ``sigma^2 - s_min^2`` (their formula).
    """

    sigma_min: float = 0.002
    sigma_max: float = 80.0

    def __post_init__(self) -> None:
        settle(self)
        positive("sigma_min", self.sigma_min)
        if not (math.isfinite(self.sigma_max) and self.sigma_max > self.sigma_min):
            low, high = self.sigma_min, self.sigma_max
            msg = f"sigma_max must be finite and above sigma_min={low}, got {high}"
            raise InvalidProcessError(msg)

    @property
    def t_max(self) -> float:
        """1."""
        return 1.0

    @property
    def _rate(self) -> float:
        return math.log(self.sigma_max) - math.log(self.sigma_min)

    def _log_alpha(self, t: Array) -> Array:
        return np.zeros_like(t)

    def _log_sigma(self, t: Array) -> Array:
        return math.log(self.sigma_min) + t * self._rate

    def log_alpha_of_lam(self, lam: ArrayLike) -> Array:
        """Zero: ``alpha = 1``."""
        return np.zeros_like(np.asarray(lam, dtype=np.float64))

    def _t_of_lam(self, lam: Array) -> Array:
        return (-lam - math.log(self.sigma_min)) / self._rate

    def _f(self, t: Array) -> Array:
        return np.zeros_like(t)

    def _dlam_dt(self, t: Array) -> Array:
        return np.full_like(t, -self._rate)

    def _g2(self, t: Array) -> Array:
        return 2.0 * self._rate * np.exp(2.0 * self._log_sigma(t))


@dataclass(frozen=True)
class EDM(Process):
    """Karras et al. 2022 (2206.00364): ``alpha = 1``, ``sigma = t``, t in [0, sigma_max]."""

    sigma_max: float = 80.0

    def __post_init__(self) -> None:
        settle(self)
        positive("sigma_max", self.sigma_max)

    @property
    def t_max(self) -> float:
        """``sigma_max``."""
        return self.sigma_max

    def _log_alpha(self, t: Array) -> Array:
        return np.zeros_like(t)

    def _log_sigma(self, t: Array) -> Array:
        return np.log(t)

    def log_alpha_of_lam(self, lam: ArrayLike) -> Array:
        """Zero: ``alpha = 1``."""
        return np.zeros_like(np.asarray(lam, dtype=np.float64))

    def _t_of_lam(self, lam: Array) -> Array:
        return np.exp(-lam)

    def _f(self, t: Array) -> Array:
        return np.zeros_like(t)

    def _dlam_dt(self, t: Array) -> Array:
        return -1.0 / t

    def _g2(self, t: Array) -> Array:
        return 2.0 * t


@dataclass(frozen=True)
class RectifiedFlow(Process):
    """Rectified flow (Liu et al. 2022, 2209.03003): ``alpha = 1 - t``, ``sigma = t``, t in [0, 1].

    Noise is at t = 1 here; papers on flows often run their clock the other way.
    """

    @property
    def t_max(self) -> float:
        """1."""
        return 1.0

    def _log_alpha(self, t: Array) -> Array:
        return np.log1p(-t)

    def _log_sigma(self, t: Array) -> Array:
        return np.log(t)

    def log_alpha_of_lam(self, lam: ArrayLike) -> Array:
        """``-log(1 + e^{-lam})``."""
        return -np.logaddexp(0.0, -np.asarray(lam, dtype=np.float64))

    def _t_of_lam(self, lam: Array) -> Array:
        # the noise end needs 1 - t exact: t = 1 - e^lam/(1 + e^lam)
        small = np.exp(-np.abs(lam)) / (1 + np.exp(-np.abs(lam)))
        return np.where(lam < 0, 1.0 - small, small)

    def _f(self, t: Array) -> Array:
        return -1.0 / (1.0 - t)

    def _dlam_dt(self, t: Array) -> Array:
        return -1.0 / (t * (1.0 - t))

    def _g2(self, t: Array) -> Array:
        return 2.0 * t / (1.0 - t)


@dataclass(frozen=True)
class Trigonometric(Process):
    """``alpha = cos(pi t/2)``, ``sigma = sin(pi t/2)``, t in [0, 1] (TrigFlow, 2410.11081)."""

    @property
    def t_max(self) -> float:
        """1."""
        return 1.0

    def _log_alpha(self, t: Array) -> Array:
        return np.log(np.sin(HALF_PI * (1.0 - t)))  # 1 - t is exact near the noise end

    def _log_sigma(self, t: Array) -> Array:
        return np.log(np.sin(HALF_PI * t))

    def log_alpha_of_lam(self, lam: ArrayLike) -> Array:
        """``-log(1 + e^{-2 lam})/2``."""
        return vp_log_alpha_of_lam(lam)

    def _t_of_lam(self, lam: Array) -> Array:
        small = np.arctan(np.exp(-np.abs(lam))) / HALF_PI
        return np.where(lam < 0, 1.0 - small, small)

    def _f(self, t: Array) -> Array:
        return -HALF_PI * tangent(HALF_PI * t, HALF_PI * (1.0 - t))

    def _dlam_dt(self, t: Array) -> Array:
        return -HALF_PI / (np.sin(HALF_PI * t) * np.sin(HALF_PI * (1.0 - t)))

    def _g2(self, t: Array) -> Array:
        return -2.0 * self._f(t)
