"""Observed order: from errors on nested grids to a number, an interval and a verdict.

Errors are given at steps N, 2N, 4N, ... (one smooth grid map, halved), or at half-octaves N, 3N/2,
2N, 3N, ... for high orders, which have few octaves between knee and rounding. A local slope is
``log2(e(N)/e(2N))``. Two things spoil slopes: coarse grids before the asymptotic knee, and
rounding. Points at or under the rounding floor are dropped; the knee is passed by looking at the
*limit* of the slopes, not at one of them: the last three slopes are extrapolated (Aitken), and the
interval is the hull of the last slope and that limit. Slopes that never settle before rounding
takes over are judged by their smallest: a lower order would have shown above the floor.

Three verdicts: ``met``, ``not met`` and ``not resolved``; the last is never silently a pass. A
method may show more than it declares (a Gaussian hides nonlinear order conditions), so an observed
order above the claim is ``met``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from ..solvers.errors import AnalysisError

Verdict = Literal["met", "not met", "not resolved"]
HIGH_ORDER = 6
"""Claims from here on are measured at half-octaves and judged by the wider tolerance."""

_PAD = 0.05
_STEADY = 0.12, 0.04  # slopes this close, absolutely or relatively, are taken as converged


def tolerance(claim: float) -> float:
    """A claim p is met if the interval lies above ``p - max(1/4, p/16)``: far from p - 1."""
    return max(0.25, claim / 16)


@dataclass(frozen=True)
class Observation:
    """Errors on nested grids and what they say about the order.

    Attributes
    ----------
    steps, errors : tuple
        All measured points, coarse to fine.
    used : tuple of int
        Indices of the points above the rounding floor, before the first one under it.
    slopes : tuple of float
        Local slopes between consecutive used points.
    floor : float
        The rounding floor that was applied.
    order, low, high : float or None
        Estimated limit of the slopes and its interval; None where the slopes do not settle.
    """

    steps: tuple[int, ...]
    errors: tuple[float, ...]
    used: tuple[int, ...]
    slopes: tuple[float, ...]
    floor: float
    order: float | None
    low: float | None
    high: float | None

    @property
    def exact(self) -> bool:
        """Whether every error is under the rounding floor: the method is exact on this problem."""
        return not self.used

    def verdict(self, claim: float) -> Verdict:
        """Whether the order ``claim`` is met, not met, or cannot be told from these points."""
        if self.exact:
            return "met"
        if self.low is None or self.high is None:
            return "not resolved"
        if self.low >= claim - tolerance(claim):
            return "met"
        return "not met" if self.high < claim - tolerance(claim) else "not resolved"


def _limit(slopes: Sequence[float]) -> float | None:
    """Where the slopes are going, or None if the last three do not tell."""
    if len(slopes) < 2:
        return None
    d1 = slopes[-1] - slopes[-2]
    if abs(d1) <= max(_STEADY[0], _STEADY[1] * slopes[-1]):
        return slopes[-1] + d1
    if len(slopes) < 3:
        return None
    d0 = slopes[-2] - slopes[-3]
    ratio = d1 / d0 if d0 else math.inf
    if not 0 < ratio < 0.75:
        return None
    return slopes[-1] + d1 * ratio / (1 - ratio)


def observe(
    steps: Sequence[int], errors: Sequence[float], *, floor: float, stride: int = 1
) -> Observation:
    """Judge the order from errors on nested grids.

    Parameters
    ----------
    steps : sequence of int
        Step counts that double every ``stride`` entries.
    errors : sequence of float
        Nonnegative errors, e.g. the root mean square over a batch of paired errors.
    floor : float
        Rounding floor; design value ``50 eps`` times the scale and condition of the problem.

    Raises
    ------
    AnalysisError
        If the step counts do not double, or an error is negative or not finite.
    """
    doubled = all(b == 2 * a for a, b in zip(steps, steps[stride:], strict=False))
    if len(steps) != len(errors) or not doubled:
        msg = f"need one error for each of doubling step counts, got steps {list(steps)}"
        raise AnalysisError(msg)
    for n, e in zip(steps, errors, strict=True):
        if not (math.isfinite(e) and e >= 0):
            msg = f"errors must be finite and nonnegative, got {e} with {n} steps"
            raise AnalysisError(msg)
    used: list[int] = []
    for i, e in enumerate(errors):
        if e <= floor:
            break
        used.append(i)
    slopes = tuple(math.log2(errors[i] / errors[i + stride]) for i in used[:-stride])
    limit = _limit(slopes)
    low = high = None
    if limit is not None:
        low = min(limit, slopes[-1]) - _PAD
        high = max(limit, slopes[-1]) + _PAD
    if len(used) < len(errors) and len(slopes) >= 3:
        # every error from the first grid down to rounding is known: a lower order hides nowhere
        smallest = min(slopes) - _PAD
        limit = slopes[-1] if limit is None else limit
        low = smallest if low is None else max(low, smallest)
        high = max(slopes) + _PAD if high is None else high
        limit = min(max(limit, low), high)
    return Observation(tuple(steps), tuple(errors), tuple(used), slopes, floor, limit, low, high)


def refine(
    error_at: Callable[[int], float],
    *,
    claim: float,
    floor: float,
    first: int = 8,
    least: int = 5,
    most: int = 9,
) -> Observation:
    """Halve the grid until the claim is decided, the floor is reached, or ``most`` grids are used.

    ``error_at(steps)`` is called for first, 2 first, 4 first, ... (claims of order 6 and more:
    first, 3/2 first, 2 first, 3 first, ...); at least ``least`` grids are used so that a lucky
    pair of slopes cannot decide.
    """
    stride = 2 if claim >= HIGH_ORDER else 1
    steps: list[int] = []
    errors: list[float] = []
    observation = observe([], [], floor=floor)
    for k in range(most):
        octave, half = divmod(k, stride)
        steps.append((first + half * first // 2) * 2**octave)
        errors.append(error_at(steps[-1]))
        observation = observe(steps, errors, floor=floor, stride=stride)
        under = errors[-1] <= floor
        decided = observation.verdict(claim) != "not resolved"
        if (k + 1 >= least and decided) or (under and k + 1 >= 3):
            break
    return observation
