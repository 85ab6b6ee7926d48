r"""The weak order on nonlinear laws, exactly, for any number of live vectors: no paths, no tables.

On the law ``N(0, C) (1 + e he_n(a . x))`` of :mod:`.perturbed` the weak error of a plan is a power
series in e. Its term without e is the one on a Gaussian, see :mod:`..law`. The next is a finite
sum of closed forms: if the linear program makes ``y`` of its start and noises, with ``w_i`` the
weight of evaluation i in y and ``q_i = u_i . x_i`` what is asked there, then with ``f = e^{iky}``

    d/de E f(y) = rho_0^n E he_n(q_0) f(y) + i k sum_i (w_i . u_i) c_i E he_{n-1}(q_i) f(y),

``c_i`` the size of the bent part, and the exact value is ``rho_N^n E he_n(q_N) f(y)``. The error
is the root of the sum of squared gaps over waves k and degrees n.

*What is seen.* Expand a step in its noises, of size h^{1/2}, and outputs, of size h: a rooted tree
has a vertex of weight 1 for each evaluation and a leaf of weight 1/2 for each noise; a forest of
trees stands for a derivative of the test function. Weak order p is the agreement of all forests
with weight up to p and an even number of noises. A vertex sees the drift bend only if it has two
children or more. So two such vertices weigh 4 at least: side by side ``2 (1 + 1/2 + 1/2)``, one on
the other ``2 + 3/2``, and a noise more to be even. **Forests of weak order 3 or less have at most
one bent vertex, and so the first power of e sees every one of them**: chains of linear vertices in
a vertex of up to four children, which needs ``n = 5``. In two coordinates with different decay
trees of the same weight have different values.

*What is not seen.* Conditions of weak order 4 and more; what a method does that is no plan; and
methods whose stages move by more than noises of size h^{1/2} and outputs of size h.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ...solvers.errors import AnalysisError
from ...solvers.grids import GridMap
from ...solvers.interpret import interpret
from ...solvers.model import conversion
from ...solvers.ops import Eval, Input, Noise
from ...solvers.plan import Plan
from ...solvers.process import Array, Node
from ...solvers.registry import Sampler
from ..gaussian_path import backward, marginal, prediction_of
from ..law import end_node, start_node
from ..order import Observation, refine
from .perturbed import DATA, DEGREES, bend, drift_factor, wave_moment

PROBLEM = "hermite"
"""Name of the law in certificates."""

MOST_ORDER = 3
"""Weak orders up to here are decided by the first power of e."""

WAVES = (1.0, 2.0)
"""Numbers k of the test functions exp(i k y)."""

OUTPUT: Array = np.array([0.7, -0.5])
"""Direction of y, turned against the axes of the law."""

_FLOOR = 2e-14


@dataclass(frozen=True)
class Asked:
    """An evaluation of the linear program: where, of what, and its row of weights.

    ``row`` has the weights of what is asked on all leaves, (leaves, K); ``leaf`` is the place of
    its own answer's bent part among them.
    """

    node: Node
    prediction: str
    row: Array
    leaf: int


@dataclass(frozen=True)
class LinearProgram:
    """A plan on Gaussian data: leaves are start, noises, history's noises, then bent parts."""

    asked: tuple[Asked, ...]
    start: Array
    output: Array
    random: int


def linear_program(plan: Plan) -> LinearProgram:
    """Every vector of a plan on its leaves: the canonical form with the linear model folded in.

    Raises
    ------
    AnalysisError
        For an evaluation head, or an input that is neither start nor model outputs of the past.
    """
    noises = [i for i, op in enumerate(plan.ops) if isinstance(op, Noise)]
    past = sorted((op for op in plan.ops if isinstance(op, Input) and op.name != "x"), key=_age)
    evals = [i for i, op in enumerate(plan.ops) if isinstance(op, Eval)]
    random = 1 + len(noises) + len(past)
    place = {row: 1 + k for k, row in enumerate(noises)}
    place |= {row: random + len(past) + k for k, row in enumerate(evals)}
    size = (random + len(past) + len(evals), len(DATA.var))
    asked: list[Asked] = []

    def unit(leaf: int, scale: Array | float = 1.0) -> Array:
        out = np.zeros(size)
        out[leaf] = scale
        return out

    def answer(node: Node, prediction: str, row: Array, leaf: int) -> Array:
        asked.append(Asked(node, prediction, row, leaf))
        return prediction_of(DATA, node, prediction).gain * row + unit(leaf)

    def evaluate(row: int, op: Eval, source: Array) -> Array:
        if op.head:
            msg = f"the law has no head {op.head!r}; the expansion covers plans with one model"
            raise AnalysisError(msg)
        return answer(op.node, op.prediction, source, place[row])

    begin = start_node(plan)
    start = unit(0, np.sqrt(marginal(DATA, begin).var))
    inputs, now, newer = {"x": start}, start, begin
    for k, op in enumerate(past):
        step = backward(DATA, op.node, newer, 1.0)  # the forward process, whatever the law
        now, newer = step.gain * now + unit(1 + len(noises) + k, np.sqrt(step.var)), op.node
        inputs[op.name] = answer(op.node, str(op.prediction), now, random + k)
    out = interpret(plan, inputs=inputs, evaluate=evaluate, draw=lambda row, _: unit(place[row]))[
        "x"
    ]
    return LinearProgram(tuple(asked), start, out, random)


def _age(op: Input) -> float:
    if not (op.name.startswith("m-") and op.prediction):
        msg = f"the input {op.name!r} is neither the start 'x' nor an earlier output 'm-1', ..."
        raise AnalysisError(msg)
    return -op.node.lam


def weak_gaps(plan: Plan) -> Array:
    """First power of e in ``E exp(i k y)``, plan minus exact: (degrees, waves), complex.

    ``y`` is one coordinate of the output, turned against the law's axes, of exact variance 1.

    Raises
    ------
    AnalysisError
        As for :func:`linear_program`; for weights that are no numbers.
    """
    program, begin, end = linear_program(plan), start_node(plan), end_node(plan)
    random, exact = slice(program.random), marginal(DATA, end).var
    axis = OUTPUT / math.sqrt(float(OUTPUT**2 @ exact))
    y = program.output * axis
    var = float(np.sum(y[random] ** 2))
    first, last = bend(begin), bend(end)
    cov_start = float(np.sum(program.start[0] * first.u * y[0]))
    bends = [bend(a.node) for a in program.asked]
    rows = [a.row[random] * b.u for a, b in zip(program.asked, bends, strict=True)]
    cov = np.array([np.sum(row * y[random]) for row in rows])
    excess = np.array([np.sum(row**2) - 1 for row in rows])
    weight = np.array([
        y[a.leaf] @ b.u * conversion("data", a.prediction, a.node)[1]
        for a, b in zip(program.asked, bends, strict=True)
    ])  # fmt: skip
    out = np.zeros((len(DEGREES), len(WAVES)), complex)
    for i, n in enumerate(DEGREES):
        size = weight * [
            drift_factor(a.node, n, b.rho) for a, b in zip(program.asked, bends, strict=True)
        ]
        for j, k in enumerate(WAVES):
            seen = first.rho**n * wave_moment(n, np.array(cov_start), np.array(0.0), k, var)
            seen = seen + 1j * k * np.sum(size * wave_moment(n - 1, cov, excess, k, var))
            cov_end = np.array(last.u * exact @ axis)
            out[i, j] = seen - last.rho**n * wave_moment(n, cov_end, np.array(0.0), k, 1.0)
    return out


def weak_error(sampler: Sampler, maps: GridMap, steps: int, *, warm: bool) -> float:
    """Root of the sum of squares of :func:`weak_gaps` on a grid of so many steps.

    Raises
    ------
    AnalysisError
        For what is no plan; for a warm start of another SDE than eta = 1, whose history is not
        the forward process.
    """
    if sampler.kind != "plan":
        msg = f"{sampler.name} is no plan, so its table cannot be expanded"
        raise AnalysisError(msg)
    extra = {}
    if warm and sampler.history:
        if sampler.sde_eta != 1.0:
            msg = f"exact history is known for eta = 1 only, not for {sampler.sde_eta}"
            raise AnalysisError(msg)
        extra = {"history": maps.history(steps, sampler.history)}
    return float(np.linalg.norm(weak_gaps(sampler(maps.process, maps.grid(steps), **extra))))


def weak_order(sampler: Sampler, maps: GridMap, *, claim: float, warm: bool) -> Observation:
    """Weak order up to 3 at the first power of the nonlinearity.

    Raises
    ------
    AnalysisError
        For a claim beyond 3, which needs higher powers; else as :func:`weak_error`.
    """
    if claim > MOST_ORDER:
        msg = f"the first power decides weak orders up to {MOST_ORDER}, not {claim}"
        raise AnalysisError(msg)

    def error(steps: int) -> float:
        return weak_error(sampler, maps, steps, warm=warm)

    return refine(error, claim=claim, floor=_FLOOR, first=8 * sampler.multiple)
