"""Comparing samplers on the same starts: curves of errors, and intervals of what they say.

The error of a sampler is that of a *typical* start, the median. With few steps the root mean
square is no fair judge: a start between two modes ends at the wrong one, its error is ten times
that of the others, and it alone decides which sampler looks better.

Errors are paired: every sampler runs from the same starts, so that a ratio of two errors has a
much smaller uncertainty than either. Its interval is a percentile bootstrap over the starts (Efron
1979), 99 %, with a fixed seed; the only randomness is which starts were drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .figure import Measured, Verdict, judge

Array = NDArray[np.floating]
RESAMPLES, LEVEL = 2000, 0.99


class Interval(NamedTuple):
    """A number and its 99 % interval over the choice of starts."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Curve:
    """Errors of one sampler: evaluations (K,), increasing, steps (K,) and errors (K, starts)."""

    nfe: Array
    steps: Array
    errors: Array

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Curve:
        """From the plain lists of a figure's data, in any order."""
        order = np.argsort(record["nfe"])
        columns = (np.asarray(record[key], dtype=np.float64) for key in ("nfe", "steps", "errors"))
        return cls(*(column[order] for column in columns))

    @property
    def typical(self) -> Array:
        """Median over starts, (K,)."""
        return np.median(self.errors, axis=1)

    @property
    def rms(self) -> Array:
        """Root mean square over starts, (K,)."""
        return np.sqrt((self.errors**2).mean(axis=1))

    def within(self, budget: int) -> int:
        """Index of the last run that fits into the budget."""
        fits = np.flatnonzero(self.nfe <= budget)
        return int(fits[-1]) if len(fits) else 0


def envelope(curves: Sequence[Curve], budgets: Sequence[int]) -> tuple[Array, Array]:
    """``(budgets, least error)``: each curve is straight in logarithms between its points."""
    at = np.log(np.asarray(budgets, dtype=np.float64))
    heights = [np.interp(at, np.log(c.nfe), np.log(c.typical), left=np.inf) for c in curves]
    return np.exp(at), np.exp(np.min(heights, axis=0))


def interval(statistic: Callable[[NDArray[np.intp]], Array], starts: int) -> Interval:
    """A statistic of all starts, and its interval on resampled ones.

    ``statistic`` takes indices of starts, (..., starts), and gives numbers, (...).
    """
    draws = np.random.default_rng(0).integers(0, starts, size=(RESAMPLES, starts))
    low, high = np.quantile(statistic(draws), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(statistic(np.arange(starts))), float(low), float(high))


def _median(errors: Array) -> Array:
    return np.median(errors, axis=-1)


def ratio(worse: Curve, better: Curve, budget: int, budget_better: int = 0) -> Interval:
    """How many times closer to the truth ``better`` is than ``worse`` within a budget (or two)."""
    a = worse.errors[worse.within(budget)]
    b = better.errors[better.within(budget_better or budget)]
    return interval(lambda i: _median(a[i]) / _median(b[i]), len(a))


def slope(curve: Curve, first: int, last: int) -> Interval:
    """Observed order between two budgets: ``log(e/e')/log(steps'/steps)``."""
    k, m = curve.within(first), curve.within(last)
    span = np.log(curve.steps[m] / curve.steps[k])
    a, b = curve.errors[k], curve.errors[m]
    return interval(lambda i: np.log(_median(a[i]) / _median(b[i])) / span, len(a))


def speed_up(slow: Curve, fast: Curve, budget: int) -> Interval:
    """Evaluations that ``slow`` needs for the error ``fast`` has within a budget, over its own.

    Between runs the curve of ``slow`` is a straight line in logarithms; beyond its ends it stays
    where it is, so that the answer is a bound there.
    """
    k, cost = fast.within(budget), np.log(slow.nfe)

    def statistic(i: NDArray[np.intp]) -> Array:
        wanted = np.log(_median(fast.errors[k][i]))
        ladder = np.log(_median(np.moveaxis(slow.errors[:, i], 0, -2)))  # (..., runs)
        flat = zip(wanted.reshape(-1), ladder.reshape(-1, len(cost)), strict=True)
        found = [np.interp(w, np.sort(row), cost[np.argsort(row)]) for w, row in flat]
        return np.exp(np.reshape(found, wanted.shape)) / fast.nfe[k]

    return interval(statistic, fast.errors.shape[1])


def everywhere(intervals: Iterable[Interval], *, least: float) -> Verdict:
    """Whether all numbers are at least ``least``: one that is not settles it."""
    verdicts = [judge(one.low, one.high, least=least) for one in intervals]
    for verdict in ("does not hold", "not resolved"):
        if verdict in verdicts:
            return verdict
    return "holds"


def times(found: Mapping[int, Interval]) -> str:
    """The numbers by budget, in words: each of a few, or the span of many."""
    if len(found) > 4:
        values = [one.value for one in found.values()]
        return (
            f"{min(values):.2g} to {max(values):.2g} at {min(found)} to {max(found)} evaluations"
        )
    each = (f"{i.value:.2g} ({i.low:.2g} to {i.high:.2g}) at {n}" for n, i in found.items())
    return ", ".join(each) + " evaluations"


def beats(worse: Curve, better: Curve, budgets: Sequence[int]) -> Measured:
    """Whether ``better`` is closer to the truth than ``worse`` within every budget."""
    found = {n: ratio(worse, better, n) for n in budgets}
    return Measured(f"times closer: {times(found)}", everywhere(found.values(), least=1.0))


def faster(slow: Curve, fast: Curve, budgets: Sequence[int], *, least: float) -> Measured:
    """Whether ``slow`` needs ``least`` times the evaluations of ``fast`` for the same error."""
    found = {n: speed_up(slow, fast, n) for n in budgets}
    return Measured(f"times faster: {times(found)}", everywhere(found.values(), least=least))
