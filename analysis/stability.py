"""The stability symbol of a sampler: what it does to ``y' = z y``, and where on the real axis.

The scalar test model is a constant gain in one of the clocks in which the probability-flow ODE has
the form ``y' = f``. Steps are equal in that clock, and z is (rate x step), so the exact solution
grows by ``e^z`` a step:

=========  ==================  =============================  ==================================
clock      y                   test model                     equal steps of
=========  ==================  =============================  ==================================
``"lam"``  ``x/alpha``         ``D = (1 + z/h) x/alpha``      h in lam (geometric in sigma/alpha)
``"rho"``  ``x/alpha``         ``eps = -z x/alpha``           1 in rho = sigma/alpha, downwards
``"nu"``   ``x/sigma``         ``D = z x/sigma``              1 in nu = alpha/sigma
=========  ==================  =============================  ==================================

In clock ``"rho"`` (noise) and ``"nu"`` (data) the classical methods are themselves and their
textbook intervals come out: Adams-Bashforth 1 to 4 reach -2, -1, -6/11, -3/10, Runge-Kutta 2 to 4
-2, -2.5127, -2.7853. A method made for another clock has no constant recurrence there, and asking
is an error.

``"lam"`` is the default, because there *every* sampler has a constant recurrence (a geometric grid
is invariant under scaling, in every prediction and every clock; the process is ``alpha = 1``,
``sigma = t``, and x/alpha depends on it only for samplers that look at the time), so that one
number a sampler can be compared. In this clock ``k = 1 + z/h`` is the gain of the data prediction.
Gaussian data have 0 <= k <= 1, that is -h <= z <= 0; guidance pushes k below 0. The interval
depends on h: for h -> 0 it is the classical one of the underlying method, and at finite h it shows
what the exponential in the coefficients buys. The default h = 1/2 is 14 steps for the usual
stretch of lam from -4 to 3.

Noise is additive, so it does not enter: mean-square growth is the square of this growth. The mean
of an eta-SDE decays as ``e^{(1+eta) z}``, hence the shorter intervals of stochastic samplers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..solvers.errors import AnalysisError
from ..solvers.grids import grid_from_lams
from ..solvers.model import conversion
from ..solvers.plan import Eval, Input, Lin, Op, Plan, interpret
from ..solvers.process import Node
from ..solvers.schedules import EDM

CLOCKS = ("lam", "rho", "nu")
STEP = 0.5
"""Default step in lam."""

_SKIP = 8  # macro steps left to the start-up
_SPARE = 6  # macro steps left to special last steps
_OFFSET = 64.0  # rho and nu clocks stay at least this far from 0, in steps
_RANK = 1e-9  # relative residual at which a recurrence is accepted
_OVER = 1e-9  # growth is over 1 if it exceeds it by this much
_DEEPEST = -1e3


@dataclass(frozen=True)
class Symbol:
    """The recurrence of a sampler on the test equation, in the middle of a long run.

    ``tail`` maps the vectors alive after one step to the states of the following steps, ``nodes``
    are the levels of those states.
    """

    tail: Plan
    nodes: tuple[Node, ...]
    clock: str
    h: float

    def recurrence(self, z: complex) -> np.ndarray:
        """Characteristic polynomial of the shortest recurrence of y, highest power first."""
        return _shortest_recurrence(self._states(z))

    def growth(self, z: complex) -> float:
        """Spectral radius: the factor by which y grows a step, in the long run."""
        roots = np.roots(self.recurrence(z))
        return float(np.abs(roots).max()) if roots.size else 0.0

    def real_interval(self, tolerance: float = 1e-7) -> float:
        """The z < 0 down to which growth stays <= 1, starting from 0; ``-inf`` if everywhere.

        Found by marching down in steps of 1/100 (of 1 % beyond -1), then bisection. 0 means
        that the sampler grows for every small negative z, as leapfrogs do.
        """
        good, z = 0.0, -1e-3
        while self.growth(z) <= 1 + _OVER:
            good, z = z, z - max(0.01, 0.01 * abs(z))
            if z < _DEEPEST:
                return -math.inf
        if good == 0.0:
            return 0.0
        while good - z > tolerance:
            middle = 0.5 * (good + z)
            if self.growth(middle) <= 1 + _OVER:
                good = middle
            else:
                z = middle
        return 0.5 * (good + z)

    def _gain(self, op: Eval, z: complex) -> complex:
        """The test model as ``prediction = gain x``."""
        node = op.node
        if self.clock == "lam":
            k = 1 + z / self.h
        elif self.clock == "rho":
            k = 1 + z * node.rho
        else:
            k = z * node.nu
        a, b = conversion("data", op.prediction, node)
        return a + b * k / node.alpha

    def _states(self, z: complex) -> np.ndarray:
        """States y after each step on the vectors alive before the first: (steps, alive)."""
        names = list(self.tail.inputs)
        eye = np.eye(len(names), dtype=complex)
        out = interpret(
            self.tail,
            inputs=dict(zip(names, eye, strict=True)),
            evaluate=lambda _, op, x: self._gain(op, z) * x,
            draw=lambda *_: np.zeros(len(names)),
        )
        scale = [n.sigma if self.clock == "nu" else n.alpha for n in self.nodes]
        return np.stack([out[f"x{j}"] / s for j, s in enumerate(scale)])


def _shortest_recurrence(states: np.ndarray) -> np.ndarray:
    """Smallest s with ``y_s = sum_j c_j y_j`` as functionals; the polynomial z^s - sum_j c_j z^j.

    With r vectors alive, r + 1 functionals are dependent, so one exists.
    """
    columns = np.abs(states).max(axis=0)
    states = states[:, columns > 0] / columns[columns > 0]
    rows = np.linalg.norm(states, axis=1)
    if not rows.all():
        return np.array([1.0])
    unit = states / rows[:, None]
    for s in range(1, len(states)):
        c, *_ = np.linalg.lstsq(unit[:s].T, unit[s], rcond=None)
        if np.linalg.norm(unit[:s].T @ c - unit[s]) <= _RANK:
            return np.concatenate([[1.0], -(c * rows[s] / rows[:s])[::-1]])
    msg = "the states obey no recurrence shorter than the number of vectors alive"
    raise AnalysisError(msg)


def alive(plan: Plan, first: int, last: int) -> list[int]:
    """Vectors defined up to mark ``first`` and needed to reach mark ``last``."""
    cut, end = plan.marks[first].vector, plan.marks[last].vector
    wanted = {m.vector for m in plan.marks[first + 1 : last + 1]}
    for i in range(end, cut, -1):
        if i in wanted:
            op = plan.ops[i]
            sources = [j for j, _ in op.terms] if isinstance(op, Lin) else []
            wanted.update([op.source] if isinstance(op, Eval) else sources)
    return sorted(j for j in wanted if j <= cut)


def tail_plan(plan: Plan, first: int, last: int) -> Plan:
    """Steps after mark ``first`` up to mark ``last`` as a plan of their own.

    Its inputs are the vectors alive at mark ``first``; its outputs ``x0, x1, ...`` the states.
    """
    cut, node = plan.marks[first].vector, plan.marks[first].node
    new: dict[int, int] = {}
    ops: list[Op] = []
    for i in alive(plan, first, last):
        new[i] = len(ops)
        ops.append(Input(f"v{i}", node))
    for i in range(cut + 1, plan.marks[last].vector + 1):
        op = plan.ops[i]
        if isinstance(op, Lin):
            if any(j not in new for j, _ in op.terms):
                continue
            op = Lin(tuple((new[j], w) for j, w in op.terms))
        elif isinstance(op, Eval):
            if op.source not in new:
                continue
            op = Eval(new[op.source], op.node, op.prediction, op.head)
        new[i] = len(ops)
        ops.append(op)
    outputs = {f"x{j}": new[m.vector] for j, m in enumerate(plan.marks[first + 1 : last + 1])}
    return Plan(tuple(ops), outputs)


def _lams(clock: str, h: float, count: int, group: int) -> list[float]:
    """``count`` macro steps of ``group`` grid steps, equal in the clock."""
    i = np.arange(count * group + 1) / group
    if clock == "lam":
        return list(h * (i - count / 2))
    levels = _OFFSET + (count - i if clock == "rho" else i)
    return list(-np.log(levels) if clock == "rho" else np.log(levels))


def symbol(
    sampler: Callable[..., Plan], clock: str = "lam", *, h: float = STEP, **options: Any
) -> Symbol:
    """The stability symbol of a sampler (a registered one, or ``(process, grid) -> Plan``).

    Parameters
    ----------
    sampler : callable
        Builds a plan; a macro step of ``sampler.multiple`` grid steps counts as one step.
    clock : str
        ``"lam"``, ``"rho"`` or ``"nu"``, see the module.
    h : float
        Step in lam, for clock ``"lam"`` only.

    Raises
    ------
    AnalysisError
        For another clock, a step that is not positive, or a sampler whose recurrence on this grid
        is not constant.
    """
    if clock not in CLOCKS or not (math.isfinite(h) and h > 0):
        msg = f"clock must be one of {', '.join(CLOCKS)} and h > 0, got {clock!r} and h = {h}"
        raise AnalysisError(msg)
    group = int(getattr(sampler, "multiple", 1))
    room = 16
    count = _SKIP + room + _SPARE
    lams = _lams(clock, h, count, group)
    process = EDM(sigma_max=2 * math.exp(-lams[0]))
    plan = sampler(process, grid_from_lams(process, lams), **options)
    marks = [i for i, m in enumerate(plan.marks) if _on_macro_step(m.node, lams, group)]
    if len(marks) != count:
        msg = f"the plan marks {len(marks)} of {count} steps; a symbol needs the state after each"
        raise AnalysisError(msg)
    first, second = (_symbol_from(plan, marks, at, clock, h) for at in (_SKIP, _SKIP + 1))
    for z in (-0.3, -1.7):
        a, b = first.growth(z), second.growth(z)
        if abs(a - b) > 1e-6 * max(1.0, a):
            msg = (
                f"the recurrence is not constant on equal steps of {clock!r}: growth {a} then {b} "
                f"at z = {z}; ask in clock 'lam'"
            )
            raise AnalysisError(msg)
    return first


def _on_macro_step(node: Node, lams: list[float], group: int) -> bool:
    return bool(np.isclose(node.lam, lams[group::group], rtol=0, atol=1e-9).any())


def _symbol_from(plan: Plan, marks: list[int], at: int, clock: str, h: float) -> Symbol:
    """Cut the tail after macro step ``at``, as long as there are vectors alive."""
    length = len(marks) - _SPARE - at
    tail = tail_plan(plan, marks[at], marks[at + length - 1])
    need = min(length - 1, len(tail.inputs) + 1)
    tail = tail_plan(plan, marks[at], marks[at + need])
    inner = [i - marks[at] - 1 for i in marks[at + 1 : at + need + 1]]
    outputs = {f"x{j}": tail.outputs[f"x{i}"] for j, i in enumerate(inner)}
    nodes = tuple(plan.marks[i].node for i in marks[at + 1 : at + need + 1])
    return Symbol(Plan(tail.ops, outputs), nodes, clock, h)


def growth(
    sampler: Callable[..., Plan],
    z: complex,
    clock: str = "lam",
    *,
    h: float = STEP,
    **options: Any,
) -> float:
    """Growth factor a step on ``y' = z y``, see :func:`symbol`."""
    return symbol(sampler, clock, h=h, **options).growth(z)


def real_interval(
    sampler: Callable[..., Plan], clock: str = "lam", *, h: float = STEP, **options: Any
) -> float:
    """End z < 0 of the real stability interval ``[z, 0]``, see :meth:`Symbol.real_interval`."""
    return symbol(sampler, clock, h=h, **options).real_interval()
