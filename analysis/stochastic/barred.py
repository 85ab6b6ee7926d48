"""The order seen in errors that have bars of their own: of quadrature or of finitely many paths.

The limit of the slopes and its hull are those of :mod:`..order`; here a point counts only if its
error is well above its bar, and the interval grows by what the bars leave open.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ...solvers.process import Array
from ..order import Observation, Verdict, observe

SIGNAL = 2.0
"""A point counts if its error exceeds this many bars, which are bounds and not deviations."""

FLOOR = 1e-7
"""What quadrature resolves, whatever its bar: errors below are none."""

BROKEN = 1e2
"""An error of this size is an overflow: the grid is too coarse to belong to an order."""

WIDTH = 5.0
"""Half-width of the interval in standard errors: a false alarm in two million."""


@dataclass(frozen=True)
class Barred(Observation):
    """An observed order with the error bar of each point."""

    bars: tuple[float, ...] = ()

    @property
    def exact(self) -> bool:
        """Whether every error is under the floor: no bar, however wide, makes a method exact."""
        return bool(self.errors) and max(self.errors) < FLOOR


def _used(errors: Sequence[float], bars: Sequence[float]) -> int:
    for i, (e, b) in enumerate(zip(errors, bars, strict=True)):
        if not e > SIGNAL * b + FLOOR:
            return i
    return len(errors)


def _barred(
    found: Observation,
    steps: Sequence[int],
    errors: Sequence[float],
    bars: Sequence[float],
    widths: tuple[float, float],
) -> Barred:
    low, high = found.low, found.high
    record = tuple(steps), tuple(errors), found.used, found.slopes, 0.0, found.order
    if low is None or high is None or found.order is None:
        return Barred(*record[:-1], None, None, None, tuple(bars))
    last = found.slopes[-1]
    low = min(last - widths[0], found.order - widths[1], low)
    high = max(last + widths[0], found.order + widths[1], high)
    return Barred(*record, low, high, tuple(bars))


def from_bars(steps: Sequence[int], errors: Sequence[float], bars: Sequence[float]) -> Barred:
    """The order from errors that are known to within their bars, which are no statistics."""
    n = _used(errors, bars)
    found = observe(steps[:n], errors[:n], floor=0.0)
    last = slice(max(0, n - 2), n)
    part = sum(b / e for e, b in zip(errors[last], bars[last], strict=True))
    width = part / math.log(2)
    return _barred(found, steps, errors, bars, (width, 3 * width))


def from_squares(steps: Sequence[int], squares: Array, groups: int = 20) -> Barred:
    """The order of root mean squares over paths; bars by the jackknife over groups of paths.

    ``squares`` has the squared error of each path, (grids, paths), all grids on the same paths:
    slopes vary far less from one group to another than the errors do.
    """
    sizes = np.sqrt(squares.mean(1))
    begin = next((i for i, e in enumerate(sizes) if e < BROKEN), len(sizes) - 1)
    steps, squares = steps[begin:], squares[begin:]
    parts = np.stack([p.mean(1) for p in np.array_split(squares, groups, axis=1)], 1)
    total = parts.mean(1)
    errors = np.sqrt(total)
    left = np.sqrt((groups * total[:, None] - parts) / (groups - 1))  # each group left out once
    spread = math.sqrt(groups - 1)
    bars = spread * left.std(axis=1)
    n = len(errors) if errors.min() > FLOOR**2 and errors.max() < BROKEN else 0
    slopes = tuple((-np.diff(np.log2(errors[:n]))).tolist())
    record = tuple(steps), tuple(errors.tolist()), tuple(range(n)), slopes, 0.0
    if n < 3:
        return Barred(*record, None, None, None, tuple(bars.tolist()))
    replicas = -np.diff(np.log2(left[n - 3 : n]), axis=0)
    return Barred(*record, *_settled(replicas, slopes[-2:], spread), tuple(bars.tolist()))


def _settled(
    replicas: Array, slopes: Sequence[float], spread: float
) -> tuple[float, float, float]:
    """Order and interval from the last two slopes and their jackknife replicas, (2, groups).

    Where the slope still moves, the limit is between the last slope and as much beyond; where the
    change is within its own noise, both slopes see one number.
    """
    before, last = slopes
    change = last - before
    noise = spread * float((replicas[1] - replicas[0]).std())
    moving = change if abs(change) > 2 * noise else 0.0
    centre, seen = (last, replicas[1]) if moving else (0.5 * (before + last), replicas.mean(0))
    half = WIDTH * spread * float(seen.std())
    low, high = centre - half + min(moving, 0.0), centre + half + max(moving, 0.0)
    return centre, low, high


def doubled(
    error_at: Callable[[int], tuple[float, float]],
    *,
    claim: float,
    first: int,
    least: int = 4,
    most: int = 5,
) -> Barred:
    """Halve the grid until the claim is decided or ``most`` grids are used."""
    steps: list[int] = []
    found: list[tuple[float, float]] = []
    observed = from_bars([], [], [])
    for k in range(most):
        steps.append(first * 2**k)
        found.append(error_at(steps[-1]))
        errors, bars = zip(*found, strict=True)
        observed = from_bars(steps, errors, bars)
        verdict: Verdict = observed.verdict(claim)
        if k + 1 >= least and verdict != "not resolved":
            break
    return observed
