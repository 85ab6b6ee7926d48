"""Times on whatever device there is: processor seconds on a CPU, seconds to the end on a GPU.

Benches that run a network take the CUDA device where one is present, else the CPU, with the same
code. On a CPU the clock is that of :mod:`timing`. A GPU works behind the caller's back, so there a
call is timed by the wall, from an idle device to an idle device.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from timing import seconds


@dataclass(frozen=True)
class Turns:
    """Seconds of each call: the smallest seen, and all of them, one list for each call."""

    least: tuple[float, ...]
    rounds: tuple[tuple[float, ...], ...]

    def ratio(self, target: int, base: int) -> float:
        """Ratio of the smallest times."""
        return self.least[target] / self.least[base]

    def typical(self, target: int, base: int) -> float:
        """Median over rounds of the ratio of neighbours in time."""
        pairs = zip(self.rounds[target], self.rounds[base], strict=True)
        return statistics.median(a / b for a, b in pairs)


def device() -> torch.device:
    """The CUDA device where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def elapsed(call: Callable[[], object], count: int = 1) -> float:
    """Seconds of one of ``count`` calls in a row, all their work done."""
    if device().type == "cpu":
        return seconds(call, count)
    torch.cuda.synchronize()
    begin = time.perf_counter()
    for _ in range(count):
        call()
    torch.cuda.synchronize()
    return (time.perf_counter() - begin) / count


def in_rotation(
    calls: Sequence[Callable[[], object]], *, rounds: int, counts: Sequence[int] | None = None
) -> Turns:
    """Time all calls in turns, after one unmeasured round."""
    counts = counts or [1] * len(calls)
    times: list[list[float]] = [[] for _ in calls]
    for k in range(rounds + 1):
        for own, call, count in zip(times, calls, counts, strict=True):
            spent = elapsed(call, count)
            if k:
                own.append(spent)
    return Turns(tuple(min(t) for t in times), tuple(tuple(t) for t in times))
