"""What tells two plans apart: the entries of their canonical forms that differ, in words.

Every evaluated state and every output of a plan is a weighted sum of its leaves: inputs, noises
and model outputs. Two samplers are the same for every model whatsoever if these weights agree;
where they do not, the list of differing weights *is* the difference between the samplers.

Plans that ask the model for different things are first written for the same prediction. Leaves are
matched by what they are (the name of an input, the cell of a noise, the level of an evaluation and
its turn among those of that level), not by their place.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..solvers.plan import Eval, Input, Noise, Plan
from ..solvers.plan_algebra import canonical, leaves, to_prediction

TOLERANCE = 1e-12
"""Weights closer than this, relative to their size where that is over 1, are equal."""

_SAME = 1e-9  # two levels closer than this are the same level


@dataclass(frozen=True)
class Label:
    """What a leaf or a row is: ``kind`` and numbers that identify it, and ``text`` for people."""

    kind: tuple[str, ...]
    numbers: tuple[float, ...]
    text: str

    def same(self, other: Label) -> bool:
        """Whether both name the same thing."""
        return self.kind == other.kind and all(
            math.isclose(a, b, rel_tol=_SAME, abs_tol=_SAME)
            for a, b in zip(self.numbers, other.numbers, strict=True)
        )


@dataclass(frozen=True)
class Entry:
    """One differing weight: of ``leaf`` in ``row``, in the first and in the second plan."""

    row: str
    leaf: str
    first: float
    second: float

    @property
    def gap(self) -> float:
        """Size of the difference."""
        return abs(self.first - self.second)


@dataclass(frozen=True)
class Difference:
    """All that tells two plans apart.

    Attributes
    ----------
    entries : tuple of Entry
        Differing weights, largest first.
    only_first, only_second : tuple of str
        Leaves that one plan has and the other has not.
    prediction : str
        The prediction for which both were written.
    """

    entries: tuple[Entry, ...]
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]
    prediction: str

    @property
    def equal(self) -> bool:
        """Whether the two plans compute the same for every model."""
        return not (self.entries or self.only_first or self.only_second)


def explain(first: Plan, second: Plan, *, tolerance: float = TOLERANCE) -> Difference:
    """Compare two plans entry by entry.

    Outputs that only one of them has (histories for a following plan) are not compared.

    Parameters
    ----------
    first, second : Plan
        Plans with scalar weights.
    tolerance : float
        Largest difference of equal weights, relative to the larger one where that is over 1.
    """
    asked = [op.prediction for op in first.ops if isinstance(op, Eval)]
    prediction = asked[0] if asked else "data"
    common = first.outputs.keys() & second.outputs.keys()
    a, b = (_normal(plan, prediction, common) for plan in (first, second))
    pairs, only_a, only_b = _match(a.leaves, b.leaves)
    rows, _, _ = _match(a.rows, b.rows)  # a state without partner has an output without one
    entries = []
    for i, k in rows:
        for j, m in [*pairs, *((j, None) for j in only_a), *((None, m) for m in only_b)]:
            x = 0.0 if j is None else float(a.weights[i][j])
            y = 0.0 if m is None else float(b.weights[k][m])
            if abs(x - y) > tolerance * max(1.0, abs(x), abs(y)):
                leaf = a.leaves[j] if j is not None else b.leaves[m or 0]
                entries.append(Entry(a.rows[i].text, leaf.text, x, y))
    entries.sort(key=lambda e: -e.gap)
    only_first = tuple(a.leaves[j].text for j in only_a)
    only_second = tuple(b.leaves[j].text for j in only_b)
    return Difference(tuple(entries), only_first, only_second, prediction)


@dataclass(frozen=True)
class _Normal:
    leaves: list[Label]
    rows: list[Label]
    weights: Sequence[Sequence[float]]


def _normal(plan: Plan, prediction: str, outputs: set[str]) -> _Normal:
    """Labels and canonical form of a plan for one prediction, with some of its outputs."""
    kept = {name: j for name, j in plan.outputs.items() if name in outputs}
    plan = to_prediction(replace(plan, outputs=kept), prediction)
    found: dict[int, Label] = {}
    rows: list[Label] = []
    for i, op in enumerate(plan.ops):
        if isinstance(op, Eval):
            text = f"model output {len(rows) + 1} (lam = {op.node.lam:.6g})"
            found[i] = Label(("output of", op.head), (op.node.lam,), text)
            text = f"the state of evaluation {len(rows) + 1} (lam = {op.node.lam:.6g})"
            rows.append(Label(("state of", op.head), (op.node.lam,), text))
        elif isinstance(op, Noise):
            text = f"noise {op.kind} on {op.clock} [{op.a:.6g}, {op.b:.6g}]"
            found[i] = Label(("noise", op.clock, op.kind), (op.a, op.b), text)
        elif isinstance(op, Input):
            found[i] = Label(("input", op.name), (), f"input {op.name}")
    rows += [Label(("output", name), (), f"output {name}") for name in sorted(kept)]
    return _Normal([found[i] for i in leaves(plan)], rows, canonical(plan).tolist())


def _match(
    a: Sequence[Label], b: Sequence[Label]
) -> tuple[list[tuple[int, int]], list[int], list[int]]:
    """Pairs of equal labels in their order, and the places of those without a partner."""
    left = dict(enumerate(b))
    pairs, alone = [], []
    for i, label in enumerate(a):
        k = next((k for k, other in left.items() if label.same(other)), None)
        if k is None:
            alone.append(i)
        else:
            pairs.append((i, k))
            del left[k]
    return pairs, alone, list(left)
