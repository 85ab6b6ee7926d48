"""Observed order: from errors on nested grids to a number, an interval and a verdict.

Errors are given at steps N, 2N, 4N, ... (one smooth grid map, halved). A local slope is
``log2(e(N)/e(2N))``. Two things spoil slopes: coarse grids before the asymptotic knee, and rounding.
Points at or under the rounding floor are dropped; the knee is passed by looking at the *limit* of
the slopes, not at one of them: the last three slopes are extrapolated (Aitken), and the interval
is the hull of the last slope and that limit.

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
TOLERANCE = 0.25
"""A claim p is met if the interval lies above p - 1/4: far from both neighbours at p and p - 1."""

_PAD = 0.05
_STEADY = 0.12, 0.04  # slopes this close, absolutely or relatively, are taken as converged


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
        if self.low >= claim - TOLERANCE:
            return "met"
        return "not met" if self.high < claim - TOLERANCE else "not resolved"


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


def observe(steps: Sequence[int], errors: Sequence[float], *, floor: float) -> Observation:
    """Judge the order from errors on nested grids.

    Parameters
    ----------
    steps : sequence of int
        Doubling step counts.
    errors : sequence of float
        Nonnegative errors, e.g. the root mean square over a batch of paired errors.
    floor : float
        Rounding floor; design value ``50 eps`` times the scale and condition of the problem.

    Raises
    ------
    AnalysisError
        If the step counts do not double, or an error is negative or not finite.
    """
    if len(steps) != len(errors) or any(
        b != 2 * a for a, b in zip(steps, steps[1:], strict=False)
    ):
        msg = f"need one error for each of doubling step counts, got steps {list(steps)}"
        raise AnalysisError(msg)
    bad = [e for e in errors if not (math.isfinite(e) and e >= 0)]
    if bad:
        msg = f"errors must be finite and nonnegative, got {bad[0]}"
        raise AnalysisError(msg)
    used: list[int] = []
    for i, e in enumerate(errors):
        if e <= floor:
            break
        used.append(i)
    slopes = tuple(math.log2(errors[i] / errors[i + 1]) for i in used[:-1])
    limit = _limit(slopes)
    low = high = None
    if limit is not None:
        low = min(limit, slopes[-1]) - _PAD
        high = max(limit, slopes[-1]) + _PAD
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

    ``error_at(steps)`` is called for first, 2 first, 4 first, ...; at least ``least`` grids are
    used so that a lucky pair of slopes cannot decide.
    """
    steps: list[int] = []
    errors: list[float] = []
    observation = observe([], [], floor=floor)
    for k in range(most):
        steps.append(first * 2**k)
        errors.append(error_at(steps[-1]))
        observation = observe(steps, errors, floor=floor)
        under = errors[-1] <= floor
        decided = observation.verdict(claim) != "not resolved"
        if (k + 1 >= least and decided) or (under and k + 1 >= 3):
            break
    return observation
