"""What the table of a sampler proves by itself: moments, constants, trees. No model is run.

*Moments.* When the model output does not depend on x but is a polynomial in a clock, a step is a
quadrature rule, and it can be checked against the exact integral: the largest degree that is
integrated exactly is :func:`quadrature_degree`. k interpolation nodes give degree k - 1 in the
sampler's own clock. Order does not need it (the midpoint rule of DPM-Solver++(2M) has order 2 and
is exact for constants only), but a formula that is called interpolatory must have it.

*Constants.* If the data law is a point, D is constant, and a good step is exact whatever its
length: from ``N(alpha D, sigma^2)`` to ``N(alpha D, sigma^2)``, noise included. See
:func:`constant_residual`.

*Trees.* One-step methods are Runge-Kutta methods in the clock in which the ODE has no linear part,
:mod:`.trees`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..solvers.errors import AnalysisError
from ..solvers.plan import Eval, Input, Lin, Noise, Plan
from ..solvers.plan_algebra import to_prediction
from ..solvers.process import Array, Node, Process
from .gaussian_path import normal
from .law import end_node, output_law, start_node

EXACT = 1e-13
"""Relative residual under which a moment condition holds."""

_CAP = 8  # degrees above this are not tried
_X, _W = np.polynomial.legendre.leggauss(32)
_X, _W = (_X + 1) / 2, _W / 2

Row = dict[int, float]


def expand(plan: Plan, keep: set[int]) -> dict[int, Row]:
    """Every Lin and kept vector on inputs, noises, evaluations and *earlier kept* vectors.

    With ``keep`` empty this is the canonical form; with the marked states kept, a step's row stays
    a row of that step, without the cancellation of writing it on the whole past.
    """
    rows: dict[int, Row] = {}
    leaf: dict[int, Row] = {}
    for i, op in enumerate(plan.ops):
        row: Row = {i: 1.0}
        if isinstance(op, Lin):
            row = {}
            for j, w in op.terms:
                for k, v in leaf[j].items():
                    row[k] = row.get(k, 0.0) + float(w) * v
        rows[i] = row
        leaf[i] = {i: 1.0} if i in keep else row
    return rows


def in_pure_form(plan: Plan, prediction: str | None = None) -> tuple[Plan, str]:
    """The plan on data or noise predictions, and which: its own, or the one asked for.

    Score becomes noise, every other prediction becomes data.
    """
    found = {op.prediction for op in plan.ops if isinstance(op, Eval)}
    if prediction is None:
        prediction = "noise" if found <= {"noise", "score"} and found else "data"
    if prediction not in ("data", "noise"):
        msg = f"moment conditions are written for 'data' or 'noise', got {prediction!r}"
        raise AnalysisError(msg)
    return (plan if found <= {prediction} else to_prediction(plan, prediction)), prediction


@dataclass(frozen=True)
class _Rule:
    """The linear ODE that a step must solve when the model output is a function of lam alone."""

    prediction: str
    clock: Callable[[Array], Array]
    eta: float

    def ratio(self, s: Node, t: Node) -> float:
        """Homogeneous solution from s to t."""
        if self.prediction == "noise":
            return math.exp(t.log_alpha - s.log_alpha)
        return math.exp(t.log_sigma - s.log_sigma - self.eta * (t.lam - s.lam))

    def integral(self, s: Node, t: Node, f: Callable[[Array], Array]) -> float:
        """Particular solution at t that vanishes at s, driven by the output ``f(clock)``."""
        count = max(1, math.ceil(abs(t.lam - s.lam)))
        u = ((np.arange(count)[:, None] + _X) / count).ravel()
        lam = s.lam + (t.lam - s.lam) * u
        weight = np.tile(_W / count, count) * (t.lam - s.lam) * (1 + self.eta)
        if self.prediction == "noise":
            kernel = -t.alpha * np.exp(-lam)
        else:
            kernel = t.alpha * np.exp(-(1 + self.eta) * (t.lam - lam))
        return float(np.sum(weight * kernel * f(self.clock(lam))))


def _clock(clock: str, process: Process | None) -> Callable[[Array], Array]:
    if clock == "t" and process is not None:
        return process.t_of_lam
    clocks: dict[str, Callable[[Array], Array]] = {
        "lam": lambda lam: lam,
        "rho": lambda lam: np.exp(-lam),
        "nu": np.exp,
    }
    if clock not in clocks:
        msg = f"clock must be 'lam', 'rho', 'nu', or 't' with a process; got {clock!r}"
        raise AnalysisError(msg)
    return clocks[clock]


def step_degrees(
    plan: Plan,
    *,
    prediction: str | None = None,
    clock: str = "lam",
    eta: float = 0.0,
    process: Process | None = None,
    tolerance: float = EXACT,
) -> tuple[int, ...]:
    """For each step, the largest degree of polynomials of the clock that it integrates exactly.

    -1 means not even a constant output is integrated; 8 is the largest degree tried. Steps to
    ``sigma = 0`` are infinitely long and have degree 0 or -1.

    Parameters
    ----------
    plan : Plan
        Marked after every step; noise is ignored.
    prediction : str, optional
        The output that is a polynomial: ``"data"`` or ``"noise"``; by default what the plan asks
        for (score counts as noise, other predictions as data).
    clock : str
        ``"lam"``, ``"rho"``, ``"nu"``, or ``"t"`` (needs the process).
    eta : float
        The SDE whose drift the step integrates.
    tolerance : float
        Residual relative to the sum of absolute values of all terms.
    """
    plan, prediction = in_pure_form(plan, prediction)
    rule = _Rule(prediction, _clock(clock, process), eta)
    states = {plan.inputs["x"]: start_node(plan)} | {m.vector: m.node for m in plan.marks}
    rows = expand(plan, set(states))
    degrees, s = [], start_node(plan)
    for mark in plan.marks:
        degrees.append(_degree(plan, rows[mark.vector], states, rule, s, mark.node, tolerance))
        s = mark.node
    return tuple(degrees)


def quadrature_degree(
    plan: Plan,
    *,
    prediction: str | None = None,
    clock: str = "lam",
    eta: float = 0.0,
    process: Process | None = None,
    tolerance: float = EXACT,
) -> int:
    """Smallest of :func:`step_degrees`: the degree to which the whole plan is exact.

    A cold start counts; to judge a formula, build the plan with exact history.
    """
    return min(
        step_degrees(
            plan, prediction=prediction, clock=clock, eta=eta, process=process, tolerance=tolerance
        )
    )


def _degree(
    plan: Plan,
    row: Row,
    states: dict[int, Node],
    rule: _Rule,
    s: Node,
    t: Node,
    tolerance: float,
) -> int:
    state_terms = [(states[j], w) for j, w in row.items() if j in states]
    output_terms: list[tuple[Node, float]] = []
    for j, w in row.items():
        op = plan.ops[j]
        if j in states or isinstance(op, Noise):
            continue
        if isinstance(op, Lin) or (isinstance(op, Input) and op.prediction != rule.prediction):
            msg = f"vector {j} of the plan is neither a state nor a {rule.prediction} output"
            raise AnalysisError(msg)
        output_terms.append((op.node, w))
    if t.sigma == 0.0:
        return _last_degree(state_terms, output_terms, rule, s, t, tolerance)
    homogeneous = [w * rule.ratio(s, node) for node, w in state_terms]
    if not _balanced(homogeneous, rule.ratio(s, t), tolerance):
        return -1
    begin, end = (float(rule.clock(np.array(n.lam))) for n in (s, t))
    for k in range(_CAP + 1):

        def power(c: Array, k: int = k) -> Array:
            return ((c - begin) / (end - begin)) ** k

        terms = [w * rule.integral(s, node, power) for node, w in state_terms]
        terms += [w * float(power(rule.clock(np.array(node.lam)))) for node, w in output_terms]
        if not _balanced(terms, rule.integral(s, t, power), tolerance):
            return k - 1
    return _CAP


def _last_degree(
    state_terms: list[tuple[Node, float]],
    output_terms: list[tuple[Node, float]],
    rule: _Rule,
    s: Node,
    t: Node,
    tolerance: float,
) -> int:
    """0 if a step to sigma 0 is right for a constant output, else -1."""
    data = rule.prediction == "data"
    kept, driven = (0.0, t.alpha) if data else (t.alpha / s.alpha, -t.alpha * s.rho)
    states_ok = _balanced([w for _, w in state_terms], kept, tolerance)
    return 0 if states_ok and _balanced([w for _, w in output_terms], driven, tolerance) else -1


def _balanced(terms: list[float], target: float, tolerance: float) -> bool:
    scale = sum(abs(v) for v in terms) + abs(target)
    return abs(math.fsum(terms) - target) <= tolerance * scale


def constant_residual(plan: Plan) -> float:
    """How far the plan is from exact when the data law is a point (D constant, noise included).

    The larger of the relative errors of mean and standard deviation of the output, started from
    ``N(alpha D, sigma^2)``; on a step to sigma 0 the standard deviation itself. Rounding for every
    sampler that integrates a constant data prediction exactly, for every eta and grid; O(h^p) for
    Euler-Maruyama and others that discretise the linear part.
    """
    end = end_node(plan)
    law = output_law(plan, normal([1.0], [0.0]))
    spread = math.sqrt(float(law.var[0]))
    spread = spread if end.sigma == 0.0 else abs(spread / end.sigma - 1)
    return max(abs(float(law.mean[0]) / end.alpha - 1), spread)
