"""Two plans compared row by row, and each row by itself.

Two plans are compared on their leaves (see :mod:`.explain`), row by row: the states that they show
to the model, in order, then what they put out. Noises are matched by the order in which they come,
since a foreign sampler does not say of which path they are increments.

A weight of the difference is measured relative to the larger weight where that is over 1.

A step that differs changes all rows after it. So rows are also compared one by one, given the same
history: the second plan's formula of a row, fed with the rows of the first plan before it. That
finds the step in which two samplers part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..solvers.adapters.compress import leaf_rows
from ..solvers.plan import Eval, Lin, Noise, Plan
from ..solvers.plan_algebra import to_prediction
from .explain import Difference, explain

EQUAL = 1e-11
"""Rows that differ by less are equal: what float64 leaves of coefficients computed in two ways."""


@dataclass(frozen=True)
class Comparison:
    """How two plans compare.

    Attributes
    ----------
    name : str
        What the second plan is called, with its options.
    gap : float
        Largest relative difference of a weight; infinite if one asks or draws what the other
        does not.
    rows : tuple of (str, float)
        For each row, the last ones the outputs, its largest difference.
    local : tuple of float
        For each row, the largest difference of its formula, given the same history.
    difference : Difference
        All of it.
    tolerance : float
        Rows that differ by less are equal.
    """

    name: str
    gap: float
    rows: tuple[tuple[str, float], ...]
    local: tuple[float, ...]
    difference: Difference
    tolerance: float = EQUAL

    @property
    def equal(self) -> bool:
        """Whether the plans agree to rounding."""
        return self.gap <= self.tolerance

    @property
    def same(self) -> int:
        """Number of rows with the same formula, given the same history."""
        return sum(gap <= self.tolerance for gap in self.local)

    @property
    def agreed(self) -> float:
        """Largest difference in the rows that agree."""
        return max((gap for gap in self.local if gap <= self.tolerance), default=0.0)

    def __str__(self) -> str:
        """One sentence."""
        only = self.difference.only_first, self.difference.only_second
        if any(only):
            return (
                f"not {self.name}: {len(only[0])} evaluations or noises only here, "
                f"{len(only[1])} only there"
            )
        if self.equal:
            return f"equal to {self.name} up to {self.gap:.1g}"
        count = len(self.rows)
        apart = [k for k, gap in enumerate(self.local) if gap > self.tolerance]
        if not 0 < len(apart) < count - 1:  # the first row is the start, in any sampler
            return f"differs from {self.name} in {len(apart)} of {count} rows, by {self.gap:.2g}"
        if apart == [count - 1]:
            where = "the last row"
        elif len(apart) <= 3:
            where = ", ".join(self.rows[k][0] for k in apart)
        elif apart == list(range(apart[0], count)):
            where = f"all rows from {self.rows[apart[0]][0]} on"
        else:
            where = f"{len(apart)} of {count} rows, first {self.rows[apart[0]][0]}"
        return (
            f"equal to {self.name} up to {self.agreed:.1g} except {where}, "
            f"by {max(self.local[k] for k in apart):.2g}"
        )


def compare(
    first: Plan, second: Plan, name: str = "the other", *, tolerance: float = EQUAL
) -> Comparison:
    """Compare two plans row by row.

    Parameters
    ----------
    first, second : Plan
        Plans with scalar weights; both are written for the prediction that the first asks for.
    name : str
        What to call the second.
    tolerance : float
        Rows that differ by less are equal; about 1e-5 for a plan that was read in float32.
    """
    a, b = renumbered(first), renumbered(second)
    found = explain(a, b, tolerance=0.0)
    gaps = dict.fromkeys(_row_texts(a, b), 0.0)
    for entry in found.entries:
        gap = entry.gap / max(1.0, abs(entry.first), abs(entry.second))
        gaps[entry.row] = max(gaps.get(entry.row, 0.0), gap)
    missing = found.only_first or found.only_second
    worst = float("inf") if missing else max(gaps.values(), default=0.0)
    local = () if missing else _local(a, to_prediction(b, found.prediction), found.prediction)
    return Comparison(name, worst, tuple(gaps.items()), local, found, tolerance)


def _local(first: Plan, second: Plan, prediction: str) -> tuple[float, ...]:
    """Largest difference of each row of the second plan, fed with rows of the first."""
    first = to_prediction(first, prediction)
    target, order = leaf_rows(first)
    rows = [target[op.source] for op in first.ops if isinstance(op, Eval)]
    common = sorted(first.outputs.keys() & second.outputs.keys())
    ends = {second.outputs[n]: target[first.outputs[n]] for n in common}
    leaf = _partners(first, second, order)
    wanted = [op.source for op in second.ops if isinstance(op, Eval)]
    known: dict[int, Any] = {}
    gaps: dict[int, float] = {}
    for i, op in enumerate(second.ops):
        if not isinstance(op, Lin):
            known[i] = leaf[i]
            continue
        known[i] = sum(float(w) * known[j] for j, w in op.terms)
        for k, source in enumerate(wanted):
            if source == i and k < len(rows):
                gaps[k] = _away(known[i], rows[k])
                known[i] = rows[k]
        if i in ends:
            gaps[len(rows) + common.index(_name_of(second, i, common))] = _away(known[i], ends[i])
    count = len(rows) + len(common)
    return tuple(gaps.get(k, 0.0) for k in range(count))


def _name_of(plan: Plan, vector: int, names: Sequence[str]) -> str:
    return next(n for n in names if plan.outputs[n] == vector)


def _partners(first: Plan, second: Plan, order: list[int]) -> dict[int, Any]:
    """For each leaf of the second plan the unit vector of its partner, by kind and turn."""
    eye = np.eye(len(order))
    places: dict[Any, list[int]] = {}
    for k, i in enumerate(order):
        places.setdefault(_kind(first.ops[i]), []).append(k)
    out = {}
    for i, op in enumerate(second.ops):
        if not isinstance(op, Lin):
            left = places.get(_kind(op), [])
            out[i] = eye[left.pop(0)] if left else np.zeros(len(order))
    return out


def _kind(op: Any) -> Any:
    return getattr(op, "name", type(op).__name__)


def _away(a: Any, b: Any) -> float:
    scale = np.maximum(1.0, np.maximum(np.abs(a), np.abs(b)))
    return float((np.abs(a - b) / scale).max())


def renumbered(plan: Plan) -> Plan:
    """The plan with its noises numbered in their order, whatever clock they are of."""
    count = 0
    ops = list(plan.ops)
    for i, op in enumerate(ops):
        if isinstance(op, Noise):
            ops[i] = Noise("churn", float(count), float(count + 1))
            count += 1
    return replace(plan, ops=tuple(ops))


def _row_texts(first: Plan, second: Plan) -> list[str]:
    evals = [op for op in first.ops if isinstance(op, Eval)]
    states = [
        f"the state of evaluation {k} (lam = {op.node.lam:.6g})" for k, op in enumerate(evals, 1)
    ]
    common = sorted(first.outputs.keys() & second.outputs.keys())
    return states + [f"output {name}" for name in common]
