r"""Ornstein-Uhlenbeck densities in Hermite functions: exact in time, spectral in space.

``dx = -kappa (x - mu) dt + sigma dW`` has the steady law N(mu, S), ``S = sigma^2/(2 kappa)``. With
``z = (x - mu)/sqrt S`` and orthonormal Hermite polynomials h_n::

    p(x, t) = sum_n c_n e^{-n kappa t} h_n(z) e^{-z^2/2}/sqrt(2 pi S)      c_n = E_{p_0} h_n(z)

so mass is c_0 = 1 to rounding at every time. The series converges where p_0 is in L2 against
``e^{z^2/2}``: for a normal p_0, where its variance is below 2 S.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ...solvers.errors import AnalysisError
from .errors import DiffusionError
from .grid import Array


@dataclass(frozen=True)
class OrnsteinUhlenbeck:
    """``dx = -kappa (x - mu) dt + sigma dW``.

    Parameters
    ----------
    kappa, mu, sigma : float
        Rate (positive), centre and noise (positive; G, not ``G^2``).

    Examples
    --------
    >>> c = OrnsteinUhlenbeck(1.2, 0.0, 0.8).coefficients([1.0], [1.5], [0.05], 40)
    >>> p = OrnsteinUhlenbeck(1.2, 0.0, 0.8).density(c, 1.0, [1.5 * np.exp(-1.2)])
    >>> v = 0.05 * np.exp(-2.4) + 0.64 * (1 - np.exp(-2.4)) / 2.4
    >>> abs(p[0] - (2 * np.pi * v) ** -0.5) < 1e-12
    np.True_
    """

    kappa: float
    mu: float
    sigma: float

    def __post_init__(self) -> None:
        if not (0 < self.kappa < math.inf and math.isfinite(self.mu)):
            msg = f"kappa must be positive and mu finite, got {self.kappa} and {self.mu}"
            raise AnalysisError(msg)
        if not 0 < self.sigma < math.inf:
            msg = f"sigma must be positive and finite, got {self.sigma}"
            raise DiffusionError(msg)

    @property
    def variance(self) -> float:
        """``sigma^2/(2 kappa)`` of the steady law."""
        return self.sigma**2 / (2 * self.kappa)

    def coefficients(self, weights: object, means: object, variances: object, modes: int) -> Array:
        """c_0 .. c_{modes-1} of a mixture of normal laws, (modes,), by an exact recursion.

        Raises
        ------
        AnalysisError
            If a variance is not below 2 S, where the series diverges, or the shapes differ.
        """
        w, m, v = (np.atleast_1d(np.asarray(a, dtype=float)) for a in (weights, means, variances))
        if not (w.shape == m.shape == v.shape and w.ndim == 1 and modes >= 2):
            msg = "weights, means and variances must be of one length and modes at least 2, got "
            raise AnalysisError(msg + f"{w.shape}, {m.shape}, {v.shape}, modes {modes}")
        if not ((v > 0) & (v < 2 * self.variance)).all():
            msg = f"variances must be positive and below {2 * self.variance:g}, twice the steady "
            msg += f"one, for the series to converge; got {v.tolist()}; let the law relax first, "
            raise AnalysisError(msg + "or use a grid")
        shift, excess = (m - self.mu) / math.sqrt(self.variance), v / self.variance - 1
        rows = np.empty((modes, len(w)))
        rows[0], rows[1] = 1.0, shift
        for n in range(1, modes - 1):  # E He_{n+1} = shift E He_n + n excess E He_{n-1}
            rows[n + 1] = (shift * rows[n] + math.sqrt(n) * excess * rows[n - 1]) / math.sqrt(
                n + 1
            )
        return rows @ w

    def density(self, coefficients: Array, t: float, x: object) -> Array:
        """``p(x, t)`` at points (N,), from the coefficients at time 0.

        Raises
        ------
        AnalysisError
            For a negative time: a density cannot be run backwards.
        """
        if not t >= 0:
            msg = f"t must not be negative, got {t}: heat does not flow back"
            raise AnalysisError(msg)
        z = (np.asarray(x, dtype=float) - self.mu) / math.sqrt(self.variance)
        decayed = coefficients * np.exp(-self.kappa * t * np.arange(len(coefficients)))
        before = np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi * self.variance)
        now, out = z * before, decayed[0] * before
        for n in range(1, len(decayed)):
            out = out + decayed[n] * now
            now, before = (z * now - math.sqrt(n) * before) / math.sqrt(n + 1), now
        return out
