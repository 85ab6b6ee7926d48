"""What a plan is, in terms of the samplers we know: entry by entry, and the nearest of all.

Two plans are compared on their leaves (see :mod:`.explain`), row by row: the states that they show
to the model, in order, then what they put out. Noises are matched by the order in which they come,
since a foreign sampler does not say of which path they are increments.

A weight of the difference is measured relative to the larger weight where that is over 1.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..solvers.errors import FokkerError
from ..solvers.grids import Grid
from ..solvers.plan import Eval, Lin, Noise, Plan
from ..solvers.process import DATA, Node, Process
from ..solvers.registry import Sampler, samplers
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
    difference : Difference
        All of it.
    """

    name: str
    gap: float
    rows: tuple[tuple[str, float], ...]
    difference: Difference

    @property
    def equal(self) -> bool:
        """Whether the plans agree to rounding."""
        return self.gap <= EQUAL

    @property
    def same(self) -> int:
        """Number of rows that agree."""
        return sum(gap <= EQUAL for _, gap in self.rows)

    @property
    def agreed(self) -> float:
        """Largest difference in the rows that agree."""
        return max((gap for _, gap in self.rows if gap <= EQUAL), default=0.0)

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
        wrong = [(k, text) for k, (text, gap) in enumerate(self.rows) if gap > EQUAL]
        count, first = len(self.rows), wrong[0][0]
        if not self.same:
            return f"differs from {self.name} in every row, by up to {self.gap:.2g}"
        if len(wrong) == 1:
            where = "the last row" if first == count - 1 else wrong[0][1]
            return f"equal to {self.name} up to {self.agreed:.1g} except {where}, by {self.gap:.2g}"
        if first >= count - 3:
            where = f"the last {count - first} rows"
        else:
            where = f"{len(wrong)} of {count} rows, first {wrong[0][1]}"
        return f"equal to {self.name} up to {self.agreed:.1g} except {where}, by up to {self.gap:.2g}"


def compare(first: Plan, second: Plan, name: str = "the other") -> Comparison:
    """Compare two plans row by row.

    Parameters
    ----------
    first, second : Plan
        Plans with scalar weights; both are written for the prediction that the first asks for.
    name : str
        What to call the second.
    """
    a, b = renumbered(first), renumbered(second)
    found = explain(a, b, tolerance=0.0)
    gaps = dict.fromkeys(_row_texts(a, b), 0.0)
    for entry in found.entries:
        gap = entry.gap / max(1.0, abs(entry.first), abs(entry.second))
        gaps[entry.row] = max(gaps.get(entry.row, 0.0), gap)
    missing = found.only_first or found.only_second
    worst = float("inf") if missing else max(gaps.values(), default=0.0)
    return Comparison(name, worst, tuple(gaps.items()), found)


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


def grids_of(plan: Plan, end: Node | None = None) -> tuple[Grid, ...]:
    """Grids that a plan may be on: its levels, every second or every third, then its end.

    Parameters
    ----------
    plan : Plan
        A plan with increasing levels.
    end : Node, optional
        Where it ends; by default its last mark, or sigma = 0.
    """
    if end is None:
        end = plan.marks[-1].node if plan.marks else DATA
    levels: list[Node] = []
    for op in plan.ops:
        if isinstance(op, Eval) and not (levels and op.node.lam <= levels[-1].lam + 1e-12):
            levels.append(op.node)
    found: list[Grid] = []
    for stride in (1, 2, 3):
        nodes = [n for n in levels[::stride] if n.lam < end.lam - 1e-12]
        if nodes and (stride == 1 or len(levels) > stride):
            found.append(Grid((*nodes, end)))
    return tuple(found)


@dataclass(frozen=True)
class Search:
    """The registered samplers nearest to a plan, nearest first; and how many were tried."""

    nearest: tuple[Comparison, ...]
    tried: int
    notes: tuple[str, ...] = field(default=())

    @property
    def best(self) -> Comparison | None:
        """The nearest one."""
        return self.nearest[0] if self.nearest else None


def nearest(
    plan: Plan,
    process: Process,
    grids: Iterable[Grid] | None = None,
    *,
    among: Sequence[Sampler] | None = None,
    top: int = 3,
) -> Search:
    """The registered samplers, with their options, that are nearest to a plan.

    Nearest is the one with the most equal rows, and among those the one with the smallest
    difference. Samplers that ask or draw another number of times are left out; so are samplers
    that refuse the grid.

    Parameters
    ----------
    plan : Plan
        In leaf form or not.
    process : Process
        Its process.
    grids : iterable of Grid, optional
        The grids it may be on; by default :func:`grids_of`.
    among : sequence of Sampler, optional
        By default all registered plans.
    top : int
        How many to give back.
    """
    evals, noises = _counts(plan)
    found, tried = [], 0
    for grid in grids_of(plan) if grids is None else grids:
        for entry in samplers("plan") if among is None else among:
            for options in variants(entry):
                try:
                    other = entry(process, grid, **options)
                except (FokkerError, TypeError, ValueError, ArithmeticError):
                    continue
                if _counts(other) != (evals, noises):
                    continue
                tried += 1
                found.append(compare(plan, other, _name(entry, options)))
    found.sort(key=lambda c: (-c.same if c.gap < float("inf") else 1, c.gap, len(c.name)))
    return Search(tuple(found[:top]), tried)


def _counts(plan: Plan) -> tuple[int, int]:
    used = {j for op in plan.ops if isinstance(op, Lin) for j, w in op.terms if _weighs(w)}
    noises = sum(isinstance(op, Noise) and i in used for i, op in enumerate(plan.ops))
    return plan.nfe, noises


def _weighs(w: Any) -> bool:
    return not isinstance(w, float) or w != 0.0


VALUES: Mapping[str, tuple[Any, ...]] = {
    "eta": (0.0, 1.0),
    "eta_ddim": (0.0, 1.0),
    "final": ("full", "lower", "euler"),
    "ends": (False, True),
}
"""Values of options that are tried, beside the defaults."""


def variants(entry: Sampler) -> Iterator[dict[str, Any]]:
    """The options under which a sampler is tried: its defaults, and one at a time from a list."""
    yield {}
    for option, parameter in inspect.signature(entry.build).parameters.items():
        for value in VALUES.get(option, ()):
            if value != parameter.default:
                yield {option: value}


def _name(entry: Sampler, options: Mapping[str, Any]) -> str:
    given = ", ".join(f"{k}={v}" for k, v in options.items())
    return f"{entry.name}({given})" if given else entry.name
