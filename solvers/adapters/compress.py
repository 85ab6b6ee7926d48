"""Short recurrences for a plan in leaf form.

A traced plan writes every state on all leaves before it: N rows of up to N terms. But what the
past contributes to the future is always the same few vectors, its *true states*; their number is
the rank of the block that takes the leaves so far to the rows to come (:func:`true_states`). So
each row can be written on a few earlier rows and the newest leaves, and the plan then costs and
holds what the sampler's own formula would.

Row by row :func:`compress` looks for earlier states S and a number q such that the row, on all but
the newest q leaves, is a combination of S to rounding; the weights of the newest q leaves then
make up the difference. Of the short ways it takes one with few terms and little cancellation.
Earlier rows are taken as the compressed plan computes them, so errors do not pile up.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..errors import InvalidPlanError
from ..plan import Eval, Input, Lin, Noise, Plan, Tape
from ..process import Array

TOLERANCE = 3e-14
"""Largest error of a weight, relative to the largest weight of its row."""

STATES, REACH, NEWEST = 4, 5, 16
"""At most so many earlier states, out of so many last ones, and so many newest leaves a row."""

BEYOND = 3
"""How much further than the first way found the search for a better one goes."""

GROWTH = 1e4
"""A term may be larger than the row by this factor, not more: what cancels costs digits."""


@dataclass
class _Written:
    """What the new plan holds so far: states and leaves, with their ids."""

    states: list[tuple[int, Array]]
    leaves: list[int]


def compress(plan: Plan, *, tolerance: float = TOLERANCE) -> Plan:
    """The same sampler in short rows.

    Evaluated and marked states and outputs are kept, and nothing else; ``distance(plan, result)``
    is at most some ``tolerance``. A row that no few states give is written on all its leaves.

    Parameters
    ----------
    plan : Plan
        Any plan with scalar weights, in leaf form or not.
    tolerance : float
        See :data:`TOLERANCE`; about 1e-6 for a sampler that was read in float32.

    Raises
    ------
    InvalidPlanError
        If a weight is an array.
    """
    weights, order = leaf_rows(plan)
    kept = {op.source for op in plan.ops if isinstance(op, Eval)} | set(plan.outputs.values())
    ends = {m.vector: m.node for m in plan.marks}
    kept |= ends.keys()
    place = {i: k for k, i in enumerate(order)}
    tape, new, last = Tape(), {}, -1
    done = _Written([], [])
    for i, op in enumerate(plan.ops):
        match op:
            case Input(name=name, node=node, prediction=prediction):
                new[i] = tape.input(name, node, prediction)
            case Noise(clock=clock, a=a, b=b, kind=kind):
                new[i] = tape.noise(clock, a, b, kind)
            case Eval(source=source, node=node, prediction=prediction, head=head):
                new[i] = tape.eval(new[source], node, prediction, head)
            case Lin() if i in kept:
                new[i] = _row(tape, weights[i], done, tolerance, alias=i not in ends)
        if i in place:
            done.leaves.append(new[i])
        if i in ends and new[i] > last:
            last = tape.mark(new[i], ends[i])
    return tape.plan(**{name: new[j] for name, j in plan.outputs.items()})


def leaf_rows(plan: Plan) -> tuple[dict[int, Array], list[int]]:
    """Every vector on the leaves, and the leaves in the order in which they are computed.

    Raises
    ------
    InvalidPlanError
        If a weight is an array.
    """
    order = [i for i, op in enumerate(plan.ops) if not isinstance(op, Lin)]
    eye, out = np.eye(len(order)), {}
    for k, i in enumerate(order):
        out[i] = eye[k]
    for i, op in enumerate(plan.ops):
        if isinstance(op, Lin):
            if any(np.ndim(w) > 0 for _, w in op.terms):
                msg = f"row {i} has an array for a weight; only scalar weights can be compressed"
                raise InvalidPlanError(msg)
            out[i] = sum((float(w) * out[j] for j, w in op.terms), np.zeros(len(order)))
    return out, order


def true_states(plan: Plan, *, tolerance: float = 1e-10) -> tuple[int, ...]:
    """For each evaluation, the number of vectors that any implementation must keep after it.

    It is the rank of the weights of all later rows on the leaves so far, that of the evaluation
    included.
    """
    weights, order = leaf_rows(plan)
    place = {i: k for k, i in enumerate(order)}
    rows = [op.source for op in plan.ops if isinstance(op, Eval)]
    evals = [i for i, op in enumerate(plan.ops) if isinstance(op, Eval)]
    found = []
    for n, i in enumerate(evals):
        later = [weights[s] for s in [*rows[n + 1 :], *plan.outputs.values()]]
        block = np.stack(later)[:, : place[i] + 1]
        size = np.abs(block).max(axis=1, keepdims=True)
        values = np.linalg.svd(block / np.where(size > 0, size, 1.0), compute_uv=False)
        found.append(int(np.sum(values > tolerance * max(values[0], 1e-300))))
    return tuple(found)


def _row(tape: Tape, row: Array, done: _Written, tolerance: float, *, alias: bool) -> int:
    """Write a row of weights as a short sum; the id of it, or of an equal old vector (alias)."""
    count = len(done.leaves)
    row = row[:count]
    terms = _best(_short(row, done, tolerance))
    if terms is None:
        terms = [(done.leaves[k], float(w)) for k, w in enumerate(row) if w != 0.0]
    if alias and len(terms) == 1 and terms[0][1] == 1.0:
        return terms[0][0]
    v = tape.lin(*(terms or [(done.leaves[0], 0.0)]))
    known = dict(done.states) | {j: e for j, e in zip(done.leaves, np.eye(count), strict=True)}
    real = np.zeros(count)
    for j, w in terms:
        real[: len(known[j])] += w * known[j]
    done.states.append((v, real))
    return v


Terms = list[tuple[int, float]]


def _best(found: Iterator[Terms]) -> Terms | None:
    """Few terms that cancel little: one term is worth a factor 4 of what cancels.

    States are of size 1, so what cancels is the sum of the sizes of the weights.
    """
    return min(found, key=_cost, default=None)


def _cost(terms: Terms) -> float:
    size = sum(abs(w) for _, w in terms)
    return len(terms) + 0.5 * math.log2(max(size, 1e-300))


def _short(row: Array, done: _Written, tolerance: float) -> Iterator[Terms]:
    """Ways to write a row on few states and newest leaves; a little beyond the shortest."""
    count, size = len(row), max(float(np.abs(row).max()), 1e-300)
    recent = [(v, np.pad(w, (0, count - len(w)))) for v, w in done.states[-REACH:]][::-1]
    last = STATES + NEWEST
    for total in range(1, last + 1):
        if total > last:
            return
        for p in range(min(total, STATES, len(recent)) + 1):
            q = total - p
            if q > min(NEWEST, count) or (p and q == count):
                continue
            for chosen in itertools.combinations(recent, p):
                found = _fit(row, chosen, q, done.leaves, tolerance * size, size)
                if found is not None:
                    last = min(last, total + BEYOND)
                    yield found


def _fit(
    row: Array,
    chosen: tuple[tuple[int, Array], ...],
    q: int,
    leaves: list[int],
    error: float,
    size: float,
) -> Terms | None:
    """The row on the chosen states and the newest q leaves, or None."""
    old = len(row) - q
    a = np.zeros(0)
    rest = row.copy()
    if chosen:
        block = np.stack([w for _, w in chosen], axis=1)
        if old < len(chosen):
            return None
        scale = np.abs(block).max(axis=0)
        a = np.linalg.lstsq(block[:old] / scale, row[:old], rcond=None)[0] / scale
        if np.abs(a * scale).max() > GROWTH * size:
            return None
        rest = row - block @ a
    if old and np.abs(rest[:old]).max() > error:
        return None
    states = [(v, float(w)) for (v, _), w in zip(chosen, a, strict=True)]
    new = [(leaves[k], float(rest[k])) for k in range(old, len(row)) if abs(rest[k]) > error]
    return states + new
