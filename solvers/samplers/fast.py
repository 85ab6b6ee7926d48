"""DPM-Solver "fast": steps of order 3, 2 and 1 that spend a budget of evaluations to the last.

A grid of n steps is a budget of n evaluations. Its steps are taken together in groups of three,
two or one; a group is one exponential Runge-Kutta step of that many stages, and the inner nodes of
the group are its stages. The groups, for order 3 (Lu et al. 2022, arXiv:2206.00927, sec. 3.4):

=========  ==================
n mod 3    groups
=========  ==================
0          3, ..., 3, 2, 1
1          3, ..., 3, 1
2          3, ..., 3, 2
=========  ==================

One group of one step has local error O(h^2), so that the whole is of order 2 unless n mod 3 = 2.
As published the *groups* are equally long in lam and their nodes equally spaced: that grid is
:func:`fast_grid`. On any other grid the stages are where the grid has its nodes; a three-stage
step keeps order 3 as long as they tend to thirds, that is on smooth grids.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from ..errors import InvalidGridError, InvalidPlanError
from ..grids import Grid, grid_from_lams
from ..plan import Plan, Tape
from ..process import Node, Process
from ..registry import sampler
from .onestep import (
    ExpTableau,
    euler_row,
    exp_rk_row,
    exp_three_stage_at,
    exp_two_stage,
)


def fast_orders(budget: int, order: int = 3) -> tuple[int, ...]:
    """How many steps of the grid each group takes; their sum is the budget.

    Raises
    ------
    InvalidPlanError
        For a budget below 1 or an order other than 1, 2, 3.
    """
    if budget < 1 or order not in (1, 2, 3):
        msg = f"need a budget >= 1 and an order of 1, 2 or 3, got {budget} and {order}"
        raise InvalidPlanError(msg)
    full, rest = divmod(budget, order)
    if order == 3 and rest == 0:  # not a last step of three: 2 and 1 instead
        return (*[3] * (full - 1), 2, 1)
    return (*[order] * full, *([rest] if rest else []))


def fast_grid(
    process: Process, lam_start: float, lam_end: float, budget: int, order: int = 3
) -> Grid:
    """The published nodes: groups equally long in lam, each with equally spaced nodes.

    Raises
    ------
    InvalidGridError
        Unless ``lam_start < lam_end``, both finite.
    """
    if not (math.isfinite(lam_start) and math.isfinite(lam_end) and lam_start < lam_end):
        msg = f"a grid needs finite lam_start < lam_end, got {lam_start} and {lam_end}"
        raise InvalidGridError(msg)
    groups = fast_orders(budget, order)
    ends = np.linspace(lam_start, lam_end, len(groups) + 1)
    lams = [float(ends[0])]
    for i, k in enumerate(groups):
        inner = ends[i] + (ends[i + 1] - ends[i]) * np.arange(1, k) / k
        lams += [*inner.tolist(), float(ends[i + 1])]
    return grid_from_lams(process, lams)


def _groups(grid: Grid, order: int) -> Iterator[tuple[Node, ...]]:
    """Nodes of each group, both ends included; a step to ``sigma = 0`` is a group of its own."""
    steps = len(grid) - grid.to_zero
    first = 0
    for k in (*(fast_orders(steps, order) if steps else ()), *([1] if grid.to_zero else [])):
        yield grid.nodes[first : first + k + 1]
        first += k


def _tableau(nodes: tuple[Node, ...]) -> ExpTableau:
    s, t = nodes[0], nodes[-1]
    c = [(node.lam - s.lam) / (t.lam - s.lam) for node in nodes[1:-1]]
    return exp_two_stage(c[0]) if len(c) == 1 else exp_three_stage_at(c[0], c[1])


def fast(process: Process, grid: Grid, *, order: int = 3) -> Plan:
    """DPM-Solver-fast on a grid of any number of steps: n steps are n evaluations.

    Parameters
    ----------
    grid : Grid
        Its nodes are the ends and the stages of the groups; see the module, and `fast_grid`.
    order : int
        Largest group. 2: groups of two, and a last one of one if n is odd; 1: DDIM.
    """
    tape = Tape()
    x = tape.input("x", grid[0])
    for nodes in _groups(grid, order):
        s, t = nodes[0], nodes[-1]
        if len(nodes) == 2:
            x = euler_row(tape, s, t, x, "rho")
        else:
            inner = nodes[1:-1]
            x = exp_rk_row(tape, process, _tableau(nodes), s, t, x, "noise", marked=inner)
        tape.mark(x, t)
    return tape.plan(x=x)


@sampler(
    order=2,
    order_cold=2,
    nfe=lambda n: n,
    prediction="noise",
    multiple=3,
    family="DPM-Solver",
    source="Lu et al. 2022, arXiv:2206.00927, sec. 3.4 (DPM-Solver-fast)",
)
def dpm_solver_fast(process: Process, grid: Grid) -> Plan:
    """DPM-Solver-fast for budgets n divisible by 3: groups 3, ..., 3, 2, 1 of the grid's steps.

    The last group, one DDIM step, caps the order at 2. Only these budgets are registered because
    only within one remainder of n mod 3 errors fall steadily; :func:`fast` takes every budget.
    Not ``dpm_solver_3``, where n steps are 3 n evaluations.
    """
    return fast(process, grid)
