"""Stochastic candidates: by the law of their ends, since they follow no single path.

A sampler of an SDE has no paired error to the ODE. What can be compared is the law of its ends
with that of the fine solution from other starts: unbiased MMD squared, with one length of the
kernel for all. Both have their classes in the same order, so they are compared in pairs
(:func:`~fokker.analysis.evaluation.kernel.paired_mmd`). From few starts that resolves little: it
finds who is badly wrong. So the order is that of the exact W2 on the Gaussian surrogate, which
needs no samples.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ...solvers.errors import FokkerError
from ...solvers.run import run
from ..evaluation.kernel import KernelDistance, paired_mmd
from ..two_samples import median_distance
from .candidates import Candidate
from .reference import Reference
from .starts import Starts
from .surrogate import SurrogateError


class LawRow(NamedTuple):
    """How far the ends of a candidate are from the law of the fine solution."""

    candidate: Candidate
    mmd: KernelDistance | None
    surrogate: SurrogateError | None
    apart: bool
    failure: str


def law_rows(
    chosen: Sequence[Candidate],
    other: Starts,
    truth: Reference,
    surrogates: Mapping[str, SurrogateError | None],
) -> tuple[LawRow, ...]:
    """A row for each candidate, by its W2 on the surrogate; its starts are those of another seed.

    ``apart`` says that a candidate's MMD is above the least by more than two deviations of the
    difference, taken as independent: as they share the fine solution, that is on the safe side.
    That the least is the luckiest of many is not: of many equal ones some are marked ``apart``.
    """
    own = Starts(
        other.network, other.count, other.seed + 1, other.labels, other.guidance,
        other.dtype, other.device,
    )  # fmt: skip
    ends = truth.ends.flatten(1)
    width = median_distance(ends, ends)
    rows = []
    for c in chosen:
        model = own.model(c.prediction, 0, own.count)
        try:
            x = run(c.plan, model, own.x, noise=own.seed).x
        except FokkerError as error:
            rows.append(LawRow(c, None, surrogates[c.name], True, str(error)))
            continue
        found = paired_mmd(x.double().flatten(1), ends, bandwidth=width)
        rows.append(LawRow(c, found, surrogates[c.name], False, ""))
    other.spent += own.spent
    rows.sort(key=lambda r: math.inf if r.surrogate is None else r.surrogate.w2)
    return tuple(_marked(rows))


def _marked(rows: Sequence[LawRow]) -> list[LawRow]:
    known = [row.mmd for row in rows if row.mmd is not None]
    best = min(known, key=lambda m: m.square, default=None)
    out = []
    for row in rows:
        apart = row.apart
        if best is not None and row.mmd is not None:
            limit = 2 * math.hypot(best.deviation, row.mmd.deviation)
            apart = row.mmd.square - best.square > limit
        out.append(row._replace(apart=apart))
    return out
