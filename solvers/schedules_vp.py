"""The variance-preserving processes and their kin: linear, sub-linear, cosine.

``sigma`` comes from ``-expm1(2 log alpha)``, never from ``sqrt(1 - alpha^2)``; inverses are
written so that no two large terms subtract.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .errors import InvalidProcessError
from .given import real_number
from .process import Array, Process

HALF_PI = math.pi / 2


def positive(name: str, value: float) -> None:
    """Refuse a parameter that is not a positive finite number."""
    if not (math.isfinite(value) and value > 0):
        msg = f"{name} must be a positive finite number, got {value}"
        raise InvalidProcessError(msg)


def settle(process: Any) -> None:
    """Turn the numbers of a process into Python's floats.

    Whatever is formed from a NumPy float32 alone is float32, and a tensor would make tensors.

    Raises
    ------
    InvalidProcessError
        If one of them is no number.
    """
    for item in fields(process):
        if item.type in ("float", float):
            given = getattr(process, item.name)
            process.__dict__[item.name] = real_number(given, item.name, InvalidProcessError)


def tangent(angle: Array, left: Array) -> Array:
    """Tangent of an angle given also as ``left = pi/2 - angle``: exact near 0 and near pi/2."""
    return np.where(angle < left, np.tan(angle), 1.0 / np.tan(left))


def vp_log_alpha_of_lam(lam: ArrayLike) -> Array:
    """``alpha^2 + sigma^2 = 1``: log alpha = -log(1 + e^{-2 lam})/2."""
    return -0.5 * np.logaddexp(0.0, -2.0 * np.asarray(lam, dtype=np.float64))


def _vp_log_sigma(log_alpha: Array) -> Array:
    return 0.5 * np.log(-np.expm1(2.0 * log_alpha))


@dataclass(frozen=True)
class _LinearBeta(Process):
    """``log alpha = -(b1 - b0) t^2/4 - b0 t/2``, ``beta(t) = b0 + (b1 - b0) t``, t in [0, 1]."""

    beta_min: float = 0.1
    beta_max: float = 20.0

    def __post_init__(self) -> None:
        settle(self)
        positive("beta_min", self.beta_min)
        if not (math.isfinite(self.beta_max) and self.beta_max >= self.beta_min):
            low, high = self.beta_min, self.beta_max
            msg = f"beta_max must be finite and at least beta_min={low}, got {high}"
            raise InvalidProcessError(msg)

    @property
    def t_max(self) -> float:
        """1."""
        return 1.0

    def _log_alpha(self, t: Array) -> Array:
        return -t * (0.25 * (self.beta_max - self.beta_min) * t + 0.5 * self.beta_min)

    def _t_of_log_alpha(self, log_alpha: Array) -> Array:
        """Root of ``(b1-b0) t^2 + 2 b0 t + 4 log alpha = 0``, in the form that does not cancel."""
        c, b = -4.0 * log_alpha, self.beta_min
        return c / (b + np.sqrt(b * b + (self.beta_max - b) * c))

    def _f(self, t: Array) -> Array:
        return -0.5 * (self.beta_min + (self.beta_max - self.beta_min) * t)


@dataclass(frozen=True)
class VPLinear(_LinearBeta):
    """Variance-preserving process with linear beta (Ho et al. 2020; Song et al. 2021, 2011.13456).

    ``alpha^2 + sigma^2 = 1``, ``f = -beta/2``, ``g^2 = beta``. Not the discrete DDPM table: for
    that use :func:`from_alphas_cumprod`.

    Examples
    --------
    >>> p = VPLinear()
    >>> round(float(p.t_of_lam(p.lam(0.3))), 12)
    0.3
    """

    def _log_sigma(self, t: Array) -> Array:
        return _vp_log_sigma(self._log_alpha(t))

    def _t_of_lam(self, lam: Array) -> Array:
        return self._t_of_log_alpha(vp_log_alpha_of_lam(lam))

    def log_alpha_of_lam(self, lam: ArrayLike) -> Array:
        """``-log(1 + e^{-2 lam})/2``."""
        return vp_log_alpha_of_lam(lam)

    def _dlam_dt(self, t: Array) -> Array:
        return self._f(t) / -np.expm1(2.0 * self._log_alpha(t))

    def _g2(self, t: Array) -> Array:
        return -2.0 * self._f(t)


@dataclass(frozen=True)
class SubVP(_LinearBeta):
    """Sub-variance-preserving process (Song et al. 2021, 2011.13456): ``sigma = 1 - alpha^2``.

    Sigma itself is ``1 - alpha^2``, not its square root; ``g^2 = beta (1 - e^{-2 int beta})``.
    """

    def _log_sigma(self, t: Array) -> Array:
        return np.log(-np.expm1(2.0 * self._log_alpha(t)))

    def _t_of_lam(self, lam: Array) -> Array:
        return self._t_of_log_alpha(self.log_alpha_of_lam(lam))

    def log_alpha_of_lam(self, lam: ArrayLike) -> Array:
        """``-asinh(rho/2)``, since ``1/alpha - alpha = rho``."""
        return -np.arcsinh(0.5 * np.exp(-np.asarray(lam, dtype=np.float64)))

    def _dlam_dt(self, t: Array) -> Array:
        log_alpha = self._log_alpha(t)
        return self._f(t) * (1 + np.exp(2 * log_alpha)) / -np.expm1(2.0 * log_alpha)

    def _g2(self, t: Array) -> Array:
        return 2.0 * self._f(t) * np.expm1(4.0 * self._log_alpha(t))


@dataclass(frozen=True)
class VPCosine(Process):
    """Cosine process (Nichol & Dhariwal 2021, 2102.09672): ``alpha = cos(a)/cos(a0)``.

    ``a = (pi/2)(t + s)/(1 + s)``, ``a0 = a(0)``, t in [0, 1]; alpha vanishes at t = 1, where
    lam = -inf. Near t = 0, ``sigma^2 = sin(a - a0) sin(a + a0)/cos(a0)^2`` does not cancel.
    """

    s: float = 0.008

    def __post_init__(self) -> None:
        settle(self)
        positive("s", self.s)

    @property
    def t_max(self) -> float:
        """1."""
        return 1.0

    @property
    def _a0(self) -> float:
        return HALF_PI * self.s / (1 + self.s)

    def _angle_left(self, t: Array) -> Array:
        """``pi/2 - a``, exact near t = 1."""
        return HALF_PI * (1.0 - t) / (1 + self.s)

    def _log_alpha(self, t: Array) -> Array:
        return np.log(np.sin(self._angle_left(t))) - math.log(math.cos(self._a0))

    def _log_sigma(self, t: Array) -> Array:
        d = HALF_PI * t / (1 + self.s)
        s2 = np.sin(d) * np.sin(d + 2 * self._a0)
        return 0.5 * np.log(s2) - math.log(math.cos(self._a0))

    def log_alpha_of_lam(self, lam: ArrayLike) -> Array:
        """``-log(1 + e^{-2 lam})/2``."""
        return vp_log_alpha_of_lam(lam)

    def _t_of_lam(self, lam: Array) -> Array:
        cos0 = math.cos(self._a0)
        log_alpha = vp_log_alpha_of_lam(lam)
        noisy = 1.0 - (1 + self.s) / HALF_PI * np.arcsin(np.minimum(np.exp(log_alpha) * cos0, 1.0))
        # sin(d) sin(d + 2 a0) = k, solved for tan(d): the root that does not cancel for small k
        k = -np.expm1(2 * log_alpha) * cos0**2
        sin2, cos2 = math.sin(2 * self._a0), math.cos(2 * self._a0)
        root = np.sqrt(np.maximum(sin2**2 + 4 * k * (cos2 - k), 0.0))
        clean = (1 + self.s) / HALF_PI * np.arctan(2 * k / (sin2 + root))
        return np.where(lam < 0, noisy, clean)

    def _f(self, t: Array) -> Array:
        angle = HALF_PI * (t + self.s) / (1 + self.s)
        return -HALF_PI / (1 + self.s) * tangent(angle, self._angle_left(t))

    def _dlam_dt(self, t: Array) -> Array:
        return self._f(t) * np.exp(-2.0 * self._log_sigma(t))

    def _g2(self, t: Array) -> Array:
        return -2.0 * self._f(t)
