"""Forward processes, and the one table of conventions.

========  =====================================================================================
symbol    meaning, everywhere in this project
========  =====================================================================================
``t``     time of the process: 0 is data, ``t_max`` is noise; a grid lists it in sampling order
``x``     state, shape ``(B, *D)``, one batch axis; ``x_t = alpha x_0 + sigma eps``, eps ~ N(0, I)
``alpha`` signal coefficient, ``sigma`` noise coefficient; ``rho = sigma/alpha``, ``nu = 1/rho``
``lam``   ``log(alpha/sigma)``: **half** the log signal-to-noise ratio; increases while sampling
``h``     ``lam_t - lam_s > 0`` for a step from s to t
``D``     data prediction ``E[x_0 | x_t = x]``; noise prediction ``eps = (x - alpha D)/sigma``
``score`` ``grad log p_t = -eps/sigma``
velocity  ``"velocity"`` is ``alpha eps - sigma D``; ``"flow"`` is ``eps - D``: two things
``eta``   tau squared: the SDE ``dx = [(dlog alpha/dlam) x - (1+eta) sigma eps] dlam + sqrt(2 eta)
          sigma dW``; 0 is the probability-flow ODE, 1 the reverse SDE. The noise fraction of
          DDIM and ancestral samplers is another number, ``eta_ddim``; they agree at 0 and 1 only
``nfe``   number of model evaluations, counted as distinct (state, time) pairs
========  =====================================================================================

The forward SDE is ``dx = f x dt + g dW`` with ``f = dlog alpha/dt`` and
``g^2 = d(sigma^2)/dt - 2 f sigma^2 = -2 sigma^2 dlam/dt``.

All numbers are NumPy float64 on the host: coefficients are computed once, never on a device.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import InvalidProcessError

Array = NDArray[np.float64]


class Node(NamedTuple):
    """One level of noise: its time and all of its coefficients, as Python floats.

    ``log_alpha`` and ``log_sigma`` are carried beside ``alpha`` and ``sigma`` because products and
    ratios of coefficients are formed from them without overflow. ``sigma == 0`` has ``lam = inf``;
    ``alpha == 0`` has ``lam = -inf``.
    """

    t: float
    lam: float
    alpha: float
    sigma: float
    log_alpha: float
    log_sigma: float

    @property
    def rho(self) -> float:
        """``sigma/alpha``, the clock of the noise prediction."""
        return math.exp(-self.lam)

    @property
    def nu(self) -> float:
        """``alpha/sigma``, the clock of the data prediction."""
        return math.exp(self.lam)


DATA = Node(t=0.0, lam=math.inf, alpha=1.0, sigma=0.0, log_alpha=0.0, log_sigma=-math.inf)
"""The clean end: ``sigma = 0``. No model is ever evaluated there."""


@dataclass(frozen=True)
class Process(ABC):
    """A forward process ``x_t = alpha(t) x_0 + sigma(t) eps`` for t in ``[0, t_max]``.

    Where ``sigma(0) = 0``, ``alpha(0) = 1``: the clean end is the data themselves (:data:`DATA`).
    A concrete process gives ``t_max`` and seven formulas: ``log_alpha(t)``, ``log_sigma(t)``,
    ``t_of_lam(lam)``, ``log_alpha_of_lam(lam)`` and the rates ``f(t)``, ``dlam_dt(t)``, ``g2(t)``.
    Everything else is derived here and is not overridden. Accuracy promised and tested: ``alpha``,
    ``sigma`` to 1e-12 relative and ``lam`` to ``1e-12 max(1, |lam|)`` for t from 1e-8 up, both
    ends included. At an end where sigma or alpha vanishes ``lam`` and a rate may be infinite,
    never NaN.

    All methods take a float or an array of times (float64) and return float64 arrays.
    """

    @property
    @abstractmethod
    def t_max(self) -> float:
        """Largest time, the noise end."""

    @abstractmethod
    def _log_alpha(self, t: Array) -> Array: ...

    @abstractmethod
    def _log_sigma(self, t: Array) -> Array: ...

    @abstractmethod
    def _t_of_lam(self, lam: Array) -> Array: ...

    @abstractmethod
    def log_alpha_of_lam(self, lam: ArrayLike) -> Array:
        """Log alpha as a function of ``lam``, without passing through t."""

    @abstractmethod
    def _f(self, t: Array) -> Array: ...

    @abstractmethod
    def _dlam_dt(self, t: Array) -> Array: ...

    @abstractmethod
    def _g2(self, t: Array) -> Array: ...

    @property
    def prior_std(self) -> float:
        """Standard deviation of the prior N(0, prior_std^2 I) from which sampling starts.

        It is ``sigma(t_max)``: 1 for variance-preserving processes and flows, sigma_max for
        exploding ones. Its mismatch with the true law at t_max is the initialisation error.
        """
        return float(self.sigma(self.t_max))

    @property
    def lam_min(self) -> float:
        """``lam(t_max)``; ``-inf`` where alpha vanishes."""
        return _lam_range(self)[0]

    @property
    def lam_max(self) -> float:
        """``lam(0)``; ``inf`` where sigma vanishes."""
        return _lam_range(self)[1]

    def _times(self, t: ArrayLike) -> Array:
        t = np.asarray(t, dtype=np.float64)
        ok = (t >= 0) & (t <= self.t_max)  # False for NaN
        if not np.all(ok):
            bad = t[~ok].flat[0]
            msg = f"time {bad} is outside [0, {self.t_max}] of {type(self).__name__}"
            raise InvalidProcessError(msg)
        return t

    def log_alpha(self, t: ArrayLike) -> Array:
        """Log of the signal coefficient."""
        with np.errstate(divide="ignore"):
            return self._log_alpha(self._times(t))

    def log_sigma(self, t: ArrayLike) -> Array:
        """Log of the noise coefficient."""
        with np.errstate(divide="ignore"):
            return self._log_sigma(self._times(t))

    def alpha(self, t: ArrayLike) -> Array:
        """Signal coefficient."""
        return np.exp(self.log_alpha(t))

    def sigma(self, t: ArrayLike) -> Array:
        """Noise coefficient."""
        return np.exp(self.log_sigma(t))

    def lam(self, t: ArrayLike) -> Array:
        """Half log signal-to-noise ratio ``log(alpha/sigma)``."""
        return self.log_alpha(t) - self.log_sigma(t)

    def f(self, t: ArrayLike) -> Array:
        """Drift rate ``dlog alpha/dt`` of the forward SDE ``dx = f x dt + g dW``."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return self._f(self._times(t))

    def dlam_dt(self, t: ArrayLike) -> Array:
        """``dlam/dt``, negative."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return self._dlam_dt(self._times(t))

    def g2(self, t: ArrayLike) -> Array:
        """Squared diffusion ``g^2 = -2 sigma^2 dlam/dt`` (not g: the classic slip).

        Each process has its own formula: at ``sigma = 0`` the product is 0 times infinity.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            return self._g2(self._times(t))

    def t_of_lam(self, lam: ArrayLike) -> Array:
        """Inverse of ``lam(t)``; infinite lam maps to the end where it is reached."""
        lam = np.asarray(lam, dtype=np.float64)
        low, high = self.lam_min, self.lam_max
        slack_low, slack_high = 1e-12 * max(1.0, abs(low)), 1e-12 * max(1.0, abs(high))
        ok = (lam >= (low if math.isinf(low) else low - slack_low)) & (
            lam <= (high if math.isinf(high) else high + slack_high)
        )
        if not np.all(ok):
            bad = lam[~ok].flat[0]
            msg = f"lam {bad} is outside [{low}, {high}] of {type(self).__name__}"
            raise InvalidProcessError(msg)
        with np.errstate(over="ignore", divide="ignore"):
            t = self._t_of_lam(np.clip(lam, low, high))
        return np.clip(t, 0.0, self.t_max)

    def node(self, t: float) -> Node:
        """All coefficients at time t."""
        return _node_at_time(self, float(t))

    def node_at_lam(self, lam: float) -> Node:
        """All coefficients at ``lam``; the given lam is kept exactly (no round trip through t)."""
        return _node_at_lam(self, float(lam))


# Samplers on one grid, and every model on it, ask for the same nodes: they are computed once.
@lru_cache(maxsize=1 << 16)
def _node_at_time(process: Process, t: float) -> Node:
    log_alpha, log_sigma = float(process.log_alpha(t)), float(process.log_sigma(t))
    return _node(t, log_alpha - log_sigma, log_alpha, log_sigma)


@lru_cache(maxsize=1 << 16)
def _node_at_lam(process: Process, lam: float) -> Node:
    if lam == math.inf:
        return DATA
    t = float(process.t_of_lam(lam))
    if lam == -math.inf:  # log sigma is not log alpha - lam there: infinities cancel
        return process.node(t)
    log_alpha = float(process.log_alpha_of_lam(lam))
    return _node(t, lam, log_alpha, log_alpha - lam)


@lru_cache(maxsize=256)
def _lam_range(process: Process) -> tuple[float, float]:
    return float(process.lam(process.t_max)), float(process.lam(0.0))


def _node(t: float, lam: float, log_alpha: float, log_sigma: float) -> Node:
    return Node(t, lam, math.exp(log_alpha), math.exp(log_sigma), log_alpha, log_sigma)
