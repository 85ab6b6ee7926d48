"""Rooted-tree order conditions of one-step samplers, read from their plans.

In ``rho`` the probability-flow ODE is ``d(x/alpha)/drho = eps``, in ``nu`` it is
``d(x/sigma)/dnu = D``: no linear part. So every one-step sampler *is* a Runge-Kutta method there,
and its table can be read from one step of its plan: ``a_ij = (coefficient of output j in stage
i)/(scale_i step)``, with scale alpha or sigma.

Classical methods have one table. Exponential methods have a table that depends on h, and need not
meet a condition of a tree of order q exactly: global order p needs its residual to vanish like
``h^{p+1-q}``. :func:`tree_order` halves h and looks.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..solvers.errors import AnalysisError
from ..solvers.grids import grid_from_lams
from ..solvers.plan import Eval, Input, Noise, Plan
from ..solvers.plan_algebra import compose, distance
from ..solvers.process import Array, Node, Process
from ..solvers.schedules import VPLinear
from .algebra import expand, in_pure_form
from .law import end_node, start_node
from .stability import alive

MAX_ORDER = 4
_HALVINGS = (2.0**-3, 2.0**-4, 2.0**-5)
_START = -0.4  # any lam will do; this one is where nothing is flat
_FLOOR = 1e-12  # residuals of a few multiplications of O(1) numbers
_SLACK = 0.2  # of a slope at these step sizes

Trees = dict[str, tuple[int, float]]


@dataclass(frozen=True)
class ButcherTable:
    """``y_i = y + step sum_j a_ij f(c_j, y_j)``, ``y' = y + step sum_j b_j f_j``, as measured.

    ``c`` are the positions of the evaluations in the clock; ``defect`` is the largest violation
    of "rows sum to c" and of "the old state enters with the exact factor".
    """

    c: Array
    a: Array
    b: Array
    clock: str
    defect: float


def butcher_table(plan: Plan) -> ButcherTable:
    """The Runge-Kutta table of a plan of one step, in clock ``rho`` (noise) or ``nu`` (data).

    Raises
    ------
    AnalysisError
        If the plan draws noise or has inputs besides ``x``.
    """
    if any(isinstance(op, Noise) or (isinstance(op, Input) and op.name != "x") for op in plan.ops):
        msg = "a Runge-Kutta table needs a plan without noise and without history"
        raise AnalysisError(msg)
    plan, prediction = in_pure_form(plan)
    clock = "rho" if prediction == "noise" else "nu"
    s, t = start_node(plan), end_node(plan)

    def place(n: Node) -> float:
        return n.rho if clock == "rho" else n.nu

    step = place(t) - place(s)
    evals = [i for i, op in enumerate(plan.ops) if isinstance(op, Eval)]
    rows, x = expand(plan, set()), plan.inputs["x"]

    def read(vector: int, node: Node) -> tuple[Array, float]:
        log_scale = node.log_alpha if clock == "rho" else node.log_sigma
        log_start = s.log_alpha if clock == "rho" else s.log_sigma
        row, scale = rows[vector], math.exp(log_scale)
        weights = np.array([row.get(j, 0.0) for j in evals]) / (scale * step)
        return weights, abs(row.get(x, 0.0) * math.exp(log_start - log_scale) - 1)

    stages = [(plan.ops[i].source, plan.ops[i].node) for i in evals]  # type: ignore[union-attr]
    table = [read(vector, node) for vector, node in stages]
    b, b_defect = read(plan.outputs["x"], t)
    a = np.stack([row for row, _ in table])
    c = np.array([(place(node) - place(s)) / step for _, node in stages])
    sums = float(np.abs(a.sum(axis=1) - c).max())
    return ButcherTable(c, a, b, clock, max(sums, b_defect, *(d for _, d in table)))


def tree_residuals(table: ButcherTable) -> Trees:
    """Residuals of the order conditions of the 8 trees up to order 4: name -> (order, residual).

    A tree is written by its branches: ``[]`` is a leaf, ``[[],[]]`` a root with two leaves.
    """
    a, b, c = table.a, table.b, table.c
    return {
        "[]": (1, float(b.sum() - 1)),
        "[[]]": (2, float(b @ c - 1 / 2)),
        "[[],[]]": (3, float(b @ c**2 - 1 / 3)),
        "[[[]]]": (3, float(b @ (a @ c) - 1 / 6)),
        "[[],[],[]]": (4, float(b @ c**3 - 1 / 4)),
        "[[],[[]]]": (4, float(b @ (c * (a @ c)) - 1 / 8)),
        "[[[],[]]]": (4, float(b @ (a @ c**2) - 1 / 12)),
        "[[[[]]]]": (4, float(b @ (a @ (a @ c)) - 1 / 24)),
    }


def tree_order(
    sampler: Callable[..., Plan], *, process: Process | None = None, **options: Any
) -> int:
    """Largest order p <= 4 for which a one-step sampler meets all tree conditions.

    Every tree of order q <= p must have a residual that is zero to rounding or vanishes at least
    like ``h^{p+1-q}``. 0 means inconsistent.

    Raises
    ------
    AnalysisError
        If the sampler is not a one-step method, its steps are not all alike, or it draws noise.
    """
    process = VPLinear() if process is None else process
    group = int(getattr(sampler, "multiple", 1))
    _demand_one_step(sampler, process, group, options)
    runs, defects = [], []
    for h in _HALVINGS:
        table = butcher_table(_steps(sampler, process, group, 1, h, options))
        runs.append(tree_residuals(table))
        defects.append(table.defect)
    if defects[-1] > _FLOOR:  # rows that do not sum to c count as a failed tree of order 1
        runs = [r | {"rows": (1, d)} for r, d in zip(runs, defects, strict=True)]
    for p in range(MAX_ORDER, 0, -1):
        if all(_vanishes(runs, name, p) for name, (q, _) in runs[0].items() if q <= p):
            return p
    return 0


def _vanishes(runs: list[Trees], name: str, p: int) -> bool:
    order = runs[0][name][0]
    before, last = (abs(run[name][1]) for run in runs[-2:])
    if last <= _FLOOR:
        return True
    return math.log2(before / last) >= p + 1 - order - _SLACK


def _steps(
    sampler: Callable[..., Plan],
    process: Process,
    group: int,
    count: int,
    h: float,
    options: dict[str, Any],
) -> Plan:
    lams = [_START + h * i / group for i in range(count * group + 1)]
    return sampler(process, grid_from_lams(process, lams), **options)


def _demand_one_step(
    sampler: Callable[..., Plan], process: Process, group: int, options: dict[str, Any]
) -> None:
    plan = _steps(sampler, process, group, 6, 0.25, options)
    ends = [
        i for i, m in enumerate(plan.marks) if round((m.node.lam - _START) / 0.25, 9).is_integer()
    ]
    for first in ends[:-1]:
        kept = alive(plan, first, len(plan.marks) - 1)
        if kept != [plan.marks[first].vector]:
            msg = "tree conditions are for one-step methods; this one carries more than its state"
            raise AnalysisError(msg)
    two = _steps(sampler, process, group, 2, 0.25, options)
    lams = [_START + 0.25 * i / group for i in range(2 * group + 1)]
    parts = [sampler(process, grid_from_lams(process, part), **options)
             for part in (lams[: group + 1], lams[group:])]  # fmt: skip
    if distance(compose(*parts), two) > _FLOOR:
        msg = "tree conditions are for methods whose steps are all alike; these depend on the end"
        raise AnalysisError(msg)
