"""Paired errors: the same starts, one end by a sampler and one by a fine solution.

``e_i = |x_i - r_i|/sqrt(d)`` is the error of sample i in units of the data. A batch of starts is a
sample of all starts, so what is said of all ``e_i`` together has an interval, here by the
bootstrap over starts (Efron 1979); two samplers from the same starts are compared in pairs, where
most of the scatter of the starts cancels. The fine solution has an error of its own: what is
closer together than that is *not resolved*, whatever the intervals say.

Three numbers say different things. The root mean square is the one whose order is certified; a few
starts that end in another mode rule it, and a bootstrap of some tens of starts knows nothing of
those that it has not seen. The median does not see them at all. The *typical* error, the geometric
mean ``exp mean log e_i``, is what two samplers are best told apart by: in pairs it is a mean of
log ratios.

A bootstrap of n starts is too narrow, like a normal quantile where a t quantile belongs, and by
``sqrt((n-1)/n)``. Tails are moved accordingly (:mod:`.few`), which does not help against a heavy
tail: for log-normal errors whose logs have the deviation 1, the 95 % interval of the root mean
square holds the truth in 0.57 of the cases from 8 starts and in 0.75 from 64, that of the typical
error in 0.94 and 0.95.

Confused with a distance of laws: a sampler may be far from the solution of the ODE in this sense
and yet draw from nearly the right law.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...solvers.errors import AnalysisError
from ...solvers.process import Array
from .few import tails

DRAWS = 2000
"""Resamples of the starts; the ends of a 95 % interval are then good to about 3 % of its width."""
By = Literal["typical", "rms"]
"""What samplers are ranked by."""


class Interval(NamedTuple):
    """A value and the ends of its bootstrap interval."""

    value: float
    low: float
    high: float


def errors_of(x: Tensor, reference: Tensor) -> Array:
    """``|x_i - r_i|/sqrt(d)`` of each sample, float64, (n,); x and reference are (n, *D).

    Raises
    ------
    AnalysisError
        If the shapes differ, or a number is not finite.
    """
    if x.shape != reference.shape or x.ndim < 2 or x.numel() == 0:
        msg = (
            "paired errors need two samples of one shape (n, *D), got "
            f"{tuple(x.shape)} and {tuple(reference.shape)}"
        )
        raise AnalysisError(msg)
    gap = (x.detach().to(torch.float64) - reference.detach().to(torch.float64)).flatten(1)
    each = gap.square().mean(1).sqrt().cpu().numpy()
    if not np.isfinite(each).all():
        msg = f"sample {int(np.argmin(np.isfinite(each)))} or its reference is not finite"
        raise AnalysisError(msg)
    return each


@lru_cache(maxsize=8)
def resamples(n: int, *, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """Indices of bootstrap resamples of n starts, (draws, n); not to be written to."""
    picks = np.random.default_rng(seed).integers(0, n, (draws, n))
    picks.flags.writeable = False
    return picks


@lru_cache(maxsize=8)
def shares(n: int, *, draws: int = DRAWS, seed: int = 0) -> Array:
    """The share of each start in each resample, (draws, n): resampled means are ``shares @ v``."""
    rows = np.repeat(np.arange(draws), n) * n
    picks = resamples(n, draws=draws, seed=seed)
    counts = np.bincount(rows + picks.ravel(), minlength=draws * n).reshape(draws, n) / n
    counts.flags.writeable = False
    return counts


def log_sizes(table: Array, by: By, floor: float, weights: Array | None = None) -> Array:
    """Logs of the errors of k samplers, (k,), or for each row of weights over starts, (draws, k).

    ``table`` is (n, k). ``"rms"`` is ``log sqrt(mean e^2)``, ``"typical"`` is ``mean log e``, both
    with no error below ``floor``.

    Raises
    ------
    AnalysisError
        For another name.
    """
    if by not in ("typical", "rms"):
        msg = f"samplers are ranked by 'typical' or 'rms' errors, got {by!r}"
        raise AnalysisError(msg)
    kept = np.maximum(table, max(floor, np.finfo(np.float64).tiny ** 0.25))
    values = np.log(kept) if by == "typical" else kept**2
    means = values.mean(axis=0) if weights is None else weights @ values
    return means if by == "typical" else 0.5 * np.log(means)


@dataclass(frozen=True, eq=False)
class PairedErrors:
    """Errors of one sampler over a batch of starts.

    Attributes
    ----------
    each : Array
        Error of each sample, (n,).
    reference : float
        Estimated RMS error of the fine solution itself.
    level : float
        Confidence of the intervals.
    """

    each: Array
    reference: float = 0.0
    level: float = 0.95

    def __post_init__(self) -> None:
        each = np.asarray(self.each, dtype=np.float64)
        if each.ndim != 1 or len(each) < 2 or not (np.isfinite(each) & (each >= 0)).all():
            msg = f"errors must be at least two finite numbers >= 0, got shape {each.shape}"
            raise AnalysisError(msg)
        if not 0.0 < self.level < 1.0 or not self.reference >= 0.0:
            msg = (
                "the level must be inside (0, 1) and the error of the reference not negative, "
                f"got {self.level} and {self.reference}"
            )
            raise AnalysisError(msg)
        object.__setattr__(self, "each", each)

    @property
    def rms(self) -> Interval:
        """Root mean square over starts, with a percentile interval."""
        squares = self.each**2
        drawn = np.sqrt(shares(len(squares)) @ squares)
        return self._interval(math.sqrt(float(squares.mean())), drawn)

    @property
    def median(self) -> Interval:
        """Median over starts, with a percentile interval: one lost sample does not rule it."""
        drawn = np.median(self.each[resamples(len(self.each))], axis=1)
        return self._interval(float(np.median(self.each)), drawn)

    @property
    def typical(self) -> Interval:
        """Geometric mean over starts, no error counted below that of the reference."""
        table = self.each[:, None]
        drawn = shares(len(table))
        value = log_sizes(table, "typical", self.reference)[0]
        logs = log_sizes(table, "typical", self.reference, drawn)[:, 0]
        return self._interval(math.exp(value), np.exp(logs))

    def of(self, by: By) -> Interval:
        """The error by that name."""
        return self.rms if by == "rms" else self.typical

    @property
    def resolved(self) -> bool:
        """Whether the error is above that of the reference."""
        return self.rms.value > self.reference

    def record(self) -> dict[str, Any]:
        """All of it as plain data."""
        return {
            "samples": len(self.each),
            "rms": list(self.rms),
            "median": list(self.median),
            "typical": list(self.typical),
            "reference": self.reference,
            "resolved": self.resolved,
            "level": self.level,
        }

    def _interval(self, value: float, drawn: Array) -> Interval:
        low, high = np.quantile(drawn, tails(self.level, len(self.each)))
        return Interval(value, float(low), float(high))


Verdict = Literal["better", "worse", "not resolved"]


class Comparison(NamedTuple):
    """Ratio of two RMS errors with its interval, and what it says of the first sampler."""

    ratio: Interval
    verdict: Verdict


def compare(first: PairedErrors, second: PairedErrors) -> Comparison:
    """The first sampler against the second, from the same starts.

    Both errors are measured against one reference r with ``|r - truth| <= e``; the true RMS errors
    differ from the measured ones by at most e each, so a difference of less than ``2 e`` is not
    resolved.

    Raises
    ------
    AnalysisError
        If they are not of the same number of starts.
    """
    if len(first.each) != len(second.each):
        msg = f"paired errors of {len(first.each)} and of {len(second.each)} starts do not pair"
        raise AnalysisError(msg)
    weights = shares(len(first.each))
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn = np.sqrt((weights @ first.each**2) / (weights @ second.each**2))
    a, b = first.rms.value, second.rms.value
    drawn = np.where(np.isnan(drawn), 1.0, drawn)  # 0/0: two exact samplers
    ends = tails(min(first.level, second.level), len(first.each))
    low, high = np.quantile(drawn, ends, method="nearest")
    value = a / b if b > 0 else (1.0 if a == 0 else math.inf)
    below = abs(a - b) <= 2 * max(first.reference, second.reference)
    verdict: Verdict = "not resolved"
    if not below and (high < 1.0 or low > 1.0):
        verdict = "better" if high < 1.0 else "worse"
    return Comparison(Interval(value, float(low), float(high)), verdict)
