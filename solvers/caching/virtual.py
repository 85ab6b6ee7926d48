"""Caching as virtual evaluations: an output of the model replaced by earlier ones.

A sampler that skips calls of the model puts a guess in the place of an output. If the guess is a
weighted sum of earlier outputs, the cached sampler is a plan again: an ``Eval`` row becomes a
``Lin`` row, and everything that is known of plans (order, stability, exact law) is known of the
accelerated sampler. What is not covered: a choice of calls that depends on the data (``sada.py``),
and features cached inside the network (``features.py``).

With ``p_0 > p_1 > ...`` the places of the real outputs ``F_0, F_1, ...``, newest first, and p the
place of the guess:

* :func:`reuse`: ``F_0``; exact for constants.
* :func:`newton`: the polynomial of degree m through the newest m + 1 outputs, at p.
* :func:`taylorseer`: ``sum_i G_i (p - p_0)^i / i!`` with the recursive backward differences
  ``G_i(0) = (G_{i-1}(0) - G_{i-1}(1))/(p_0 - p_1)`` of Liu et al. 2025 (arXiv:2503.06923). They
  are derivatives to first order only: exact for polynomials of degree at most 1 whatever m. On
  ``F = p^2/2`` with an interval N and m = 2 the guess k calls later is off by ``N k/2``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from ..errors import InvalidPlanError
from ..given import whole_number
from ..grids import Grid
from ..ops import Eval, Input
from ..plan import Plan, Tape
from ..plan_algebra import rewrite
from ..process import Array, Node, Process
from ..quadrature import lagrange
from ..registry import get, sampler

Rule = Callable[[Sequence[float], float], Array]
"""``(places of outputs, newest first; place of the guess) -> weights``, zeros included."""

CLOCKS = ("lam", "index")


def reuse(places: Sequence[float], at: float) -> Array:
    """The newest output as it is."""
    del at
    return np.eye(len(places))[0]


def newton(degree: int) -> Rule:
    """Polynomial extrapolation of that degree; lower while there are fewer outputs."""
    _check_degree(degree)

    def rule(places: Sequence[float], at: float) -> Array:
        return _padded(lagrange(places[: degree + 1], at), len(places))

    return rule


def taylorseer(degree: int) -> Rule:
    """TaylorSeer's forecast of order ``degree``; lower while there are fewer outputs."""
    _check_degree(degree)

    def rule(places: Sequence[float], at: float) -> Array:
        used = list(places[: degree + 1])
        rows, guess = np.eye(len(used)), np.zeros(len(used))
        for i in range(len(used)):  # rows[j]: the i-th difference at the j-th newest place
            guess += rows[0] * (at - used[0]) ** i / math.factorial(i)
            gaps = np.array([a - b for a, b in pairwise(used)])[: len(rows) - 1]
            rows = (rows[:-1] - rows[1:]) / gaps[:, None]
        return _padded(guess, len(places))

    return rule


def _check_degree(degree: int) -> None:
    if whole_number(degree, "the degree of an extrapolation") < 0:
        msg = f"the degree of an extrapolation must be at least 0, got {degree}"
        raise InvalidPlanError(msg)


def _padded(weights: Array, count: int) -> Array:
    return np.concatenate([weights, np.zeros(count - len(weights))])


def every(interval: int, first: int = 1) -> Callable[[int], bool]:
    """Which evaluations are made: the first ``first`` of them, then one in ``interval``.

    Raises
    ------
    InvalidPlanError
        If one of the two is less than 1, or no whole number.
    """
    interval, first = (whole_number(n, "a number of evaluations") for n in (interval, first))
    if interval < 1 or first < 1:
        msg = f"caching needs interval >= 1 and first >= 1, got {interval} and {first}"
        raise InvalidPlanError(msg)
    return lambda k: k < first or (k - first + 1) % interval == 0


def cached(
    plan: Plan, keep: Callable[[int], bool], rule: Rule = reuse, *, clock: str = "lam"
) -> Plan:
    """The plan with the evaluations that are not kept replaced by weighted sums of kept ones.

    The first evaluation and the last are always kept: nothing could stand for the one, and the
    other decides the sample (at ``sigma = 0`` its output *is* the sample). Outputs of another
    prediction or head are never mixed. History inputs of the plan count as outputs at their nodes.

    Parameters
    ----------
    plan : Plan
        A sampler with at most one evaluation at each level of noise; stages of Runge-Kutta methods
        have nothing in common that could be extrapolated.
    keep : callable
        ``keep(k)``: whether the k-th evaluation (from 0) is made; see :func:`every`.
    rule : callable
        :func:`reuse`, ``newton(degree)``, ``taylorseer(degree)``, or a function like them.
    clock : str
        Where outputs have their place: ``"lam"``, or ``"index"``, the number of the evaluation
        (as published; history inputs are then at -1, -2, ...).

    Returns
    -------
    Plan
        Its outputs ``m-1, m-2, ...`` are the newest real outputs, at their own nodes.

    Raises
    ------
    InvalidPlanError
        For an unknown clock, and a plan that asks twice at one level of noise.
    """
    if clock not in CLOCKS:
        msg = f"the clock of an extrapolation must be one of {CLOCKS}, got {clock!r}"
        raise InvalidPlanError(msg)
    writer = _Writer(plan, keep, rule, clock)
    new = rewrite(plan, writer)
    real = [i for i, op in enumerate(new.ops) if isinstance(op, Eval)][::-1]
    names = sum(name.startswith("m-") for name in plan.outputs)
    outputs = {name: j for name, j in new.outputs.items() if not name.startswith("m")}
    outputs |= {f"m-{k}": j for k, j in enumerate(real[:names], 1)}
    return Plan(new.ops, outputs, new.marks)


class _Writer:
    """Writes each evaluation of a plan on a new tape: asked, or guessed."""

    def __init__(self, plan: Plan, keep: Callable[[int], bool], rule: Rule, clock: str) -> None:
        self.keep, self.rule, self.clock = keep, rule, clock
        levels = [op.node.lam for op in plan.ops if isinstance(op, Eval)]
        if len(set(levels)) < len(levels):
            msg = "only plans with one evaluation at each level of noise can be cached"
            raise InvalidPlanError(msg)
        self.count, self.last = 0, len(levels) - 1
        self.seen: list[tuple[int, float, Node, tuple[str, str]]] = []  # newest first
        for i, op in enumerate(plan.ops):  # a row is written for each row: ids stay the same
            if isinstance(op, Input) and op.name.startswith("m-") and op.prediction:
                place = -float(op.name.removeprefix("m-"))
                self.seen.append((i, place, op.node, (op.prediction, "")))

    def __call__(self, tape: Tape, x: int, op: Eval) -> int:
        k, kind = self.count, (op.prediction, op.head)
        self.count += 1
        usable = [s for s in self.seen if s[3] == kind]
        if self.clock == "lam":  # pure noise is infinitely far away
            usable = [s for s in usable if s[2].alpha > 0] or usable[:1]
        if not usable or k == self.last or self.keep(k):
            out = tape.eval(x, op.node, *kind)
            self.seen.insert(0, (out, float(k), op.node, kind))
            return out
        if self.clock == "index":
            weights = self.rule([place for _, place, _, _ in usable], float(k))
        elif usable[0][2].alpha == 0:
            weights = reuse([0.0], 1.0)
        else:
            weights = self.rule([node.lam for _, _, node, _ in usable], op.node.lam)
        return tape.lin(*((j, w) for (j, _, _, _), w in zip(usable, weights, strict=True)))


_SEER = "Liu et al. 2025, arXiv:2503.06923"


def _declare(name: str, base: str, rule: Callable[[int], Rule], degree: int, note: str) -> None:
    order = {"dpmpp_2m": 2, "dpmpp_3m": 3}[base]
    rank = degree + 1 if rule is not taylorseer else min(degree + 1, 2)

    @sampler(
        name=name,
        order=min(order, rank),
        order_cold=min(2, order, rank),
        nfe=lambda n: (n + 3) // 2,  # of an even number of steps
        prediction="data",
        history=order - 1,
        multiple=2,
        family="caching",
        source=f"{_SEER}, on Lu et al. 2022, arXiv:2211.01095",
        note=note,
    )
    def build(
        process: Process,
        grid: Grid,
        *,
        interval: int = 2,
        first: int = 1,
        degree: int = degree,
        history: Sequence[Node] = (),
    ) -> Plan:
        plan = get(base)(process, grid, history=history)
        return cached(plan, every(interval, first), rule(degree))


_declare(
    "dpmpp_2m_taylorseer",
    "dpmpp_2m",
    taylorseer,
    2,
    "DPM-Solver++(2M) calling the model every other step, with TaylorSeer's forecast of degree 2 "
    "between.",
)
_declare(
    "dpmpp_3m_taylorseer",
    "dpmpp_3m",
    taylorseer,
    2,
    "DPM-Solver++(3M) calling the model every other step, with TaylorSeer's forecast between: its "
    "recursive differences cap the order at 2.",
)
_declare(
    "dpmpp_3m_newton",
    "dpmpp_3m",
    newton,
    2,
    "DPM-Solver++(3M) calling the model every other step, with the quadratic through the last "
    "three outputs between: order 3 is kept.",
)
