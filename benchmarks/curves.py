"""Work-precision curves: what an accuracy costs, and how two sides compare at one."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Curve:
    """One method: its steps, the error of each solve, and its seconds in every round.

    ``seconds[r][k]`` is the time of the solve with ``steps[k]`` steps in round r.
    """

    steps: Sequence[int]
    errors: Sequence[float]
    seconds: Sequence[Sequence[float]]

    def at(self, accuracy: float, values: Sequence[float]) -> float:
        """A value where the error is the accuracy, by the chord in logarithms; inf if nowhere.

        Between the last solve that misses the accuracy and the next. If the first one keeps it,
        the value of the first: what fewer steps would do was not measured.
        """
        missed = [k for k, e in enumerate(self.errors) if not e <= accuracy]
        if not missed:
            return values[0]
        k = missed[-1]
        if k + 1 == len(self.errors) or not math.isfinite(self.errors[k]):
            return math.inf
        e, f = math.log(self.errors[k]), math.log(self.errors[k + 1])
        part = (e - math.log(accuracy)) / (e - f)
        return values[k] ** (1 - part) * values[k + 1] ** part


@dataclass(frozen=True)
class Race:
    """Two sides at one accuracy: the cheapest curve of each, their steps, and the ratio of costs.

    ``ratio`` is the median over rounds, ``least`` that of the smallest times.
    """

    ours: str
    theirs: str
    steps: float
    their_steps: float
    seconds: float
    their_seconds: float
    ratio: float
    least: float


def race(ours: Mapping[str, Curve], theirs: Mapping[str, Curve], accuracy: float) -> Race:
    """The cheapest of ours against the cheapest of theirs, each chosen by its smallest times."""
    us, our_least = _cheapest(ours, accuracy)
    them, their_least = _cheapest(theirs, accuracy)
    a, b = ours[us], theirs[them]
    ratios = [
        b.at(accuracy, v) / a.at(accuracy, u) for u, v in zip(a.seconds, b.seconds, strict=True)
    ]
    return Race(
        us,
        them,
        a.at(accuracy, a.steps),
        b.at(accuracy, b.steps),
        our_least,
        their_least,
        statistics.median(ratios),
        their_least / our_least,
    )


def _cheapest(side: Mapping[str, Curve], accuracy: float) -> tuple[str, float]:
    costs = {
        name: curve.at(accuracy, [min(times) for times in zip(*curve.seconds, strict=True)])
        for name, curve in side.items()
    }
    name = min(costs, key=lambda n: costs[n])
    if math.isinf(costs[name]):
        msg = f"none of {', '.join(side)} reaches {accuracy:g}; give them more steps"
        raise ValueError(msg)
    return name, costs[name]
