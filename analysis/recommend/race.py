"""Successive halving: all candidates from a few starts, the better ones from more.

Every round doubles the starts, the same for all who are left, and keeps what was computed. A
candidate goes when it is outside the better third *and* behind the best by more than the luck of
the luckiest explains, in pairs; so halving saves evaluations where the field is wide and hardly
ever costs one that matters (Karnin, Koren & Somekh 2013 halve whatever the evidence).

Whoever leads a field of many is ahead by luck too: compared with the leader alone, as if it had
been named beforehand, a fifth of 30 equal samplers would be gone before the last round.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ...solvers.errors import FokkerError
from ...solvers.process import Array
from ...solvers.run import run
from ..evaluation.best import may_be_best
from ..evaluation.paired import By, errors_of, log_sizes, shares
from .candidates import Candidate
from .reference import Reference
from .starts import Starts

KEPT = 3
"""One in so many stays in any case."""
SURE = 0.995
"""Level at which somebody who goes is not the best, in each round; see :func:`.may_be_best`.

With three rounds before the last, 0.97 of the samplers that are as good as any other have all
starts, of 30 with log-normal errors; 0.92 to 0.93 of them are in the group of the best then. By
RMS, ruled by few starts, it is 0.87 and 0.68.
"""


@dataclass(eq=False)
class Runner:
    """A candidate in the race.

    Attributes
    ----------
    candidate : Candidate
        Who it is.
    errors : Array
        Its paired errors from the starts that it has had, (m,).
    failure : str
        Why it stopped, if it diverged.
    """

    candidate: Candidate
    errors: Array
    failure: str = ""

    def size(self, by: By, floor: float) -> float:
        """Log of its error over the starts that it has had."""
        if self.failure or not len(self.errors):
            return math.inf
        return float(log_sizes(self.errors[:, None], by, floor)[0])


Progress = Callable[[int, int], None]


def rounds(count: int, first: int = 8) -> list[int]:
    """Numbers of starts after each round: 8, 16, 32, ..., count."""
    found = []
    n = min(first, count)
    while n < count:
        found.append(n)
        n *= 2
    return [*found, count]


def race(
    entered: Sequence[Candidate],
    starts: Starts,
    truth: Reference,
    *,
    by: By = "typical",
    progress: Progress | None = None,
) -> tuple[list[Runner], list[Runner]]:
    """Run the race: (who had all starts, who went before), each from best to worst."""

    def size(runner: Runner) -> float:
        return runner.size(by, truth.error)

    left = [Runner(c, np.empty(0)) for c in entered]
    gone: list[Runner] = []
    before = 0
    for n in rounds(starts.count):
        for k, runner in enumerate(left):
            advance(runner, starts, truth, before, n)
            if progress:
                progress(k + 1, len(left))
        before = n
        failed = [r for r in left if r.failure]
        left = sorted((r for r in left if not r.failure), key=size)
        gone += failed
        if n < starts.count:
            stays = _stay(left, by, truth.error)
            gone += [r for r, s in zip(left, stays, strict=True) if not s]
            left = [r for r, s in zip(left, stays, strict=True) if s]
    return left, sorted(gone, key=size)


def advance(runner: Runner, starts: Starts, truth: Reference, first: int, last: int) -> None:
    """Run a candidate from starts ``first .. last - 1``."""
    candidate = runner.candidate
    model = starts.model(candidate.prediction, first, last)
    try:
        x = run(candidate.plan, model, starts.part(first, last), noise=starts.seed).x
        new = errors_of(x, truth.ends[first:last])
    except FokkerError as error:
        runner.failure = str(error)
        return
    runner.errors = np.concatenate([runner.errors, new])


def _stay(ranked: Sequence[Runner], by: By, floor: float) -> list[bool]:
    """Who stays, of runners from best to worst: the better third, and who may be the best."""
    if not ranked:
        return []
    sure = math.ceil(len(ranked) / KEPT)
    table = np.stack([r.errors for r in ranked], axis=1)
    drawn = log_sizes(table, by, floor, shares(len(table)))
    logs = log_sizes(table, by, floor)
    close = np.exp(logs) - np.exp(logs.min()) <= 2 * floor  # not resolved, as in the group
    return [
        bool(k < sure or close[k] or may_be_best(k, logs, drawn, SURE, len(table)))
        for k in range(len(ranked))
    ]
