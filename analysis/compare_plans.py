"""What a plan is, in terms of the samplers we know: the nearest registered one, with its options.

Plans are compared by :func:`.comparison.compare`, on the grids that the levels of the plan allow.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..solvers.errors import AnalysisError, FokkerError
from ..solvers.grids import Grid
from ..solvers.plan import Eval, Lin, Noise, Plan
from ..solvers.process import DATA, Node, Process
from ..solvers.registry import Sampler, get, samplers
from .comparison import EQUAL as EQUAL
from .comparison import Comparison as Comparison
from .comparison import compare as compare
from .comparison import renumbered as renumbered


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
    end: Node | None = None,
    among: Sequence[Sampler] | None = None,
    top: int = 3,
    tolerance: float = EQUAL,
) -> Search:
    """The registered samplers, with their options, that are nearest to a plan.

    Nearest is the one with the most rows of the same formula, and among those the one with the
    smallest difference. Samplers that ask or draw another number of times are left out; so
    are samplers that refuse the grid.

    Parameters
    ----------
    plan : Plan
        In leaf form or not.
    process : Process
        Its process.
    grids : iterable of Grid, optional
        The grids it may be on; by default :func:`grids_of`, with ``end``.
    end : Node, optional
        Where the plan ends.
    among : sequence of Sampler, optional
        By default all registered plans.
    top : int
        How many to give back.
    tolerance : float
        Rows that differ by less are equal.
    """
    evals, noises = _counts(plan)
    found, tried = [], 0
    for grid in grids_of(plan, end) if grids is None else grids:
        for entry in samplers("plan") if among is None else among:
            for options in variants(entry):
                other = _build(entry, process, grid, options)
                if other is None or _counts(other) != (evals, noises):
                    continue
                tried += 1
                title = _name(entry, options)
                found.append(compare(plan, other, title, tolerance=tolerance))
    found.sort(key=_rank)
    return Search(tuple(found[:top]), tried)


def against(
    plan: Plan,
    process: Process,
    name: str,
    end: Node | None = None,
    *,
    tolerance: float = EQUAL,
) -> Comparison:
    """The plan compared with a registered sampler, on the grid and options that fit best.

    Raises
    ------
    UnknownSamplerError
        If there is no such sampler.
    AnalysisError
        If it has no plan on any grid of :func:`grids_of`.
    """
    entry = get(name)
    found = []
    for grid in grids_of(plan, end):
        for options in variants(entry):
            other = _build(entry, process, grid, options)
            if other is not None:
                title = _name(entry, options)
                found.append(compare(plan, other, title, tolerance=tolerance))
    if not found:
        msg = f"{name} has no plan on the levels of this sampler"
        raise AnalysisError(msg)
    return min(found, key=_rank)


def _build(
    entry: Sampler, process: Process, grid: Grid, options: Mapping[str, Any]
) -> Plan | None:
    """A sampler on a grid, or None if it refuses the grid or the option."""
    try:
        plan = entry(process, grid, **options)
    except (FokkerError, TypeError, ValueError, ArithmeticError):
        return None
    return plan if isinstance(plan, Plan) else None


def _rank(found: Comparison) -> tuple[float, float, int, str]:
    gap = 0.0 if found.equal else found.gap
    return -found.same, gap, len(found.name), found.name


def _counts(plan: Plan) -> tuple[int, int]:
    used = {j for op in plan.ops if isinstance(op, Lin) for j, w in op.terms if _weighs(w)}
    noises = sum(isinstance(op, Noise) and i in used for i, op in enumerate(plan.ops))
    return plan.nfe, noises


def _weighs(w: Any) -> bool:
    return not isinstance(w, float) or w != 0.0


VALUES: Mapping[str, tuple[Any, ...]] = {
    "eta": (0.0, 1.0),
    "eta_ddim": (0.0, 1.0),
    "final": ("full", "lower"),
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
