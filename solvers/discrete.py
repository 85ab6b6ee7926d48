"""A forward process from a table of discrete betas, as image models ship it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from .errors import InvalidProcessError
from .process import Array, Process


@dataclass(frozen=True)
class DiscreteVP(Process):
    """Variance-preserving process through the N levels of a table, see the function below.

    Level i (0-based) sits at ``t = (i + 1)/N``, and ``t = 0`` is clean data; ``log alpha`` is
    piecewise linear in t (Lu et al. 2022, 2206.00927, appendix D). If the last level has
    ``alpha = 0`` (zero terminal SNR), ``alpha`` itself is linear on the last interval. The
    kinks limit the *observable* order of a sampler: certify orders on analytic processes.
    """

    log_alphas: tuple[float, ...] = field(repr=False)
    zero_terminal: bool = False

    @property
    def t_max(self) -> float:
        """1."""
        return 1.0

    @property
    def levels(self) -> int:
        """Number of levels N of the table."""
        return len(self.log_alphas) + self.zero_terminal

    def level_time(self, index: ArrayLike) -> Array:
        """Time ``(i + 1)/N`` of the 0-based level i, the inverse of what a network is given."""
        return (np.asarray(index, dtype=np.float64) + 1.0) / self.levels

    def _knots(self) -> tuple[Array, Array]:
        values = np.concatenate([[0.0], np.asarray(self.log_alphas)])
        return np.arange(len(values)) / self.levels, values

    def _log_alpha(self, t: Array) -> Array:
        times, values = self._knots()
        out = np.interp(t, times, values)
        if self.zero_terminal:
            tail = values[-1] + np.log((1.0 - t) * self.levels)
            out = np.where(t > times[-1], tail, out)
        return out

    def _log_sigma(self, t: Array) -> Array:
        return 0.5 * np.log(-np.expm1(2.0 * self._log_alpha(t)))

    def log_alpha_of_lam(self, lam: ArrayLike) -> Array:
        """``-log(1 + e^{-2 lam})/2``."""
        return -0.5 * np.logaddexp(0.0, -2.0 * np.asarray(lam, dtype=np.float64))

    def _t_of_lam(self, lam: Array) -> Array:
        log_alpha = self.log_alpha_of_lam(lam)
        times, values = self._knots()
        out = np.interp(-log_alpha, -values, times)
        if self.zero_terminal:
            tail = 1.0 - np.exp(log_alpha - values[-1]) / self.levels
            out = np.where(log_alpha < values[-1], tail, out)
        return out

    def _f(self, t: Array) -> Array:
        times, values = self._knots()
        slopes = np.diff(values) / np.diff(times)
        piece = np.clip(np.searchsorted(times, t, side="left") - 1, 0, len(slopes) - 1)
        out = slopes[piece]
        if self.zero_terminal:
            out = np.where(t > times[-1], -1.0 / (1.0 - t), out)
        return out

    def _dlam_dt(self, t: Array) -> Array:
        return self._f(t) / -np.expm1(2.0 * self._log_alpha(t))

    def _g2(self, t: Array) -> Array:
        return -2.0 * self._f(t)


def from_alphas_cumprod(alphas_cumprod: ArrayLike) -> DiscreteVP:
    """Build the process of a table ``alphas_cumprod[i] = alpha_i^2``, i = 0 .. N-1, decreasing.

    Zero terminal SNR (a last entry of exactly 0; Lin et al. 2023, 2305.08891) is accepted.

    Parameters
    ----------
    alphas_cumprod : (N,) array, N >= 2
        Squared signal coefficients, strictly decreasing in (0, 1), the last one possibly 0. A
        float32 table is converted to float64 as it is: the network was trained with it.

    Raises
    ------
    InvalidProcessError
        If the table is not such an array; the sentence names the first offending entry.
    """
    try:
        table = np.asarray(alphas_cumprod, dtype=np.float64)
    except (TypeError, ValueError) as error:
        msg = f"alphas_cumprod must be a vector of numbers that NumPy can read: {error}"
        raise InvalidProcessError(msg) from error
    if table.ndim != 1 or table.size < 2:
        msg = f"alphas_cumprod must be a vector of at least 2 numbers, got shape {table.shape}"
        raise InvalidProcessError(msg)
    zero_terminal = bool(table[-1] == 0.0)
    body = table[:-1] if zero_terminal else table
    steps = np.diff(np.concatenate([[1.0], body]))
    bad = ~((body > 0) & (body < 1) & (steps < 0))
    if bad.any():
        i = int(np.argmax(bad))
        msg = f"alphas_cumprod must decrease strictly inside (0, 1); entry {i} is {body[i]}"
        raise InvalidProcessError(msg)
    return DiscreteVP(tuple(0.5 * np.log(body)), zero_terminal)
