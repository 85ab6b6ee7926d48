"""The Plan: a sampler on a fixed grid, as a straight-line linear program over vectors.

Once its grid is fixed, a sampler visits states, collects model outputs and draws noises; only the
model is nonlinear. So it *is* a strictly lower-triangular matrix whose rows carry a label:

========  =======================================================================================
label     meaning of vector ``V_i``
========  =======================================================================================
Input     given from outside: ``x``; history ``m-1, m-2, ...`` (model outputs at earlier nodes)
Noise     a standard normal field of the cell [a, b] of a named clock (see below)
Lin       ``V_i = sum_{j<i} W_ij V_j``, sparse; weights are floats, or broadcastable arrays
Eval      the model's output at ``(V_source, node.t)``, as data, noise, velocity, flow, score, edm
========  =======================================================================================

Every vector is defined once. ``outputs`` names what comes out: ``x`` is the sample, the rest is
what a following plan may take over. ``marks`` say which vector is the state after each step.

One interpreter (:func:`interpret`) runs every plan, whatever it is fed with: tensors give samples,
unit vectors give the canonical form, impulses give the exact law on Gaussians, a scalar model
``z x`` gives the stability symbol.

Clocks of noise cells. Coordinates a < b are lams, except on clock ``"t"`` (times, a > b). The cell
holds the increment of a Brownian motion in that clock, divided by the root of its measure:

* ``"lam"``: measure ``b - a``
* ``"snr^eta"``: ``e^{2 eta b} - e^{2 eta a}``, the clock in which the eta-SDE is additive
* ``"rho2"``: ``e^{-2a} - e^{-2b}``, the same for the noise prediction
* ``"t"``: ``a - b``
* ``"churn"``: 1; noise added on purpose in a step, not an increment of the path of an SDE

Type ``W`` is the increment; type ``H`` the space-time area of the cell over ``sqrt(measure/12)``.
Cells of one clock and type do not overlap, hence different cells are independent; using a noise
again means naming the same vector.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from .errors import InvalidPlanError
from .process import Node

Weight = Any  # float, or an array/tensor broadcastable to a state


@dataclass(frozen=True, slots=True)
class Input:
    """A vector given from outside; history inputs say which prediction they are."""

    name: str
    node: Node
    prediction: str | None = None


@dataclass(frozen=True, slots=True)
class Noise:
    """A standard normal field belonging to the cell [a, b] of a clock, of type W or H."""

    clock: str
    a: float
    b: float
    kind: str = "W"


@dataclass(frozen=True, slots=True)
class Lin:
    """A weighted sum of earlier vectors."""

    terms: tuple[tuple[int, Weight], ...]


@dataclass(frozen=True, slots=True)
class Eval:
    """The model's output at an earlier vector and a time."""

    source: int
    node: Node
    prediction: str = "data"
    head: str = ""


Op = Input | Noise | Lin | Eval


@dataclass(frozen=True, slots=True)
class Mark:
    """Vector ``vector`` is the state after step ``step`` (1-based), at ``node``."""

    step: int
    vector: int
    node: Node


def clock_measure(clock: str, a: float, b: float) -> float:
    """Measure of the cell [a, b] of a clock: the variance of its Brownian increment."""
    if clock in ("lam", "t"):
        return abs(b - a)
    if clock == "churn":
        return 1.0
    if clock == "rho2":
        return math.exp(-2 * a) * -math.expm1(2 * (a - b))
    if clock.startswith("snr^"):
        eta = float(clock[4:])
        return math.exp(2 * eta * b) * -math.expm1(2 * eta * (a - b))  # a may be -inf
    msg = f"unknown noise clock {clock!r}; accepted: 'lam', 't', 'rho2', 'churn', 'snr^<eta>'"
    raise InvalidPlanError(msg)


def _sources(op: Op) -> tuple[int, ...]:
    if isinstance(op, Lin):
        return tuple(j for j, _ in op.terms)
    return (op.source,) if isinstance(op, Eval) else ()


@dataclass(frozen=True)
class Plan:
    """A sampler on a fixed grid. Build it with :class:`Tape`; see the module for its meaning.

    Raises
    ------
    InvalidPlanError
        If a row refers to itself or a later vector, a weight is not finite, an output does not
        exist, two inputs share a name, or two noise cells of one clock overlap.
    """

    ops: tuple[Op, ...]
    outputs: Mapping[str, int]
    marks: tuple[Mark, ...] = field(default=())

    def __post_init__(self) -> None:
        for i, op in enumerate(self.ops):
            for j in _sources(op):
                if not 0 <= j < i:
                    msg = f"row {i} refers to vector {j}; only earlier vectors may be used"
                    raise InvalidPlanError(msg)
            if isinstance(op, Lin):
                bad = [w for _, w in op.terms if isinstance(w, float) and not math.isfinite(w)]
                if bad:
                    msg = f"row {i} has the weight {bad[0]}; weights must be finite"
                    raise InvalidPlanError(msg)
        for name, j in self.outputs.items():
            if not 0 <= j < len(self.ops):
                msg = f"output {name!r} is vector {j}, but the plan has {len(self.ops)} vectors"
                raise InvalidPlanError(msg)
        names = [op.name for op in self.ops if isinstance(op, Input)]
        if len(set(names)) != len(names):
            msg = f"two inputs share a name: {sorted(names)}"
            raise InvalidPlanError(msg)
        self._check_cells()

    def _check_cells(self) -> None:
        cells: dict[tuple[str, str], list[tuple[float, float]]] = {}
        for op in self.ops:
            if isinstance(op, Noise):
                low, high = min(op.a, op.b), max(op.a, op.b)
                cells.setdefault((op.clock, op.kind), []).append((low, high))
        for (clock, _), spans in cells.items():
            for (a, b), (c, d) in pairwise(sorted(spans)):
                if c < b:
                    msg = f"noise cells [{a}, {b}] and [{c}, {d}] of clock {clock!r} overlap"
                    raise InvalidPlanError(msg)

    @cached_property
    def nfe(self) -> int:
        """Number of distinct (state, time) pairs at which the model is evaluated."""
        evals = [op for op in self.ops if isinstance(op, Eval)]
        return len({(op.source, op.node.t, op.head) for op in evals})

    @cached_property
    def inputs(self) -> dict[str, int]:
        """Vector of each input name."""
        return {op.name: i for i, op in enumerate(self.ops) if isinstance(op, Input)}

    @cached_property
    def deaths(self) -> tuple[tuple[int, ...], ...]:
        """For each row, the vectors that are not needed after it."""
        last = dict(enumerate(range(len(self.ops))))
        for i, op in enumerate(self.ops):
            for j in _sources(op):
                last[j] = i
        kept = set(self.outputs.values())
        dead: list[list[int]] = [[] for _ in self.ops]
        for j, i in last.items():
            if j not in kept:
                dead[i].append(j)
        return tuple(tuple(d) for d in dead)

    @cached_property
    def peak_live(self) -> int:
        """Largest number of vectors alive at once: the memory of a run, in states."""
        live = peak = 0
        for dead in self.deaths:
            live += 1
            peak = max(peak, live)
            live -= len(dead)
        return peak

    def __str__(self) -> str:
        """Rows a person can read, one step a paragraph."""
        from .plan_text import render

        return render(self)


def combine(weights: tuple[Weight, ...], vectors: tuple[Any, ...]) -> Any:
    """``sum_j w_j V_j`` in the order of the row, for floats, arrays and tensors alike."""
    total = vectors[0] * weights[0]
    for w, v in zip(weights[1:], vectors[1:], strict=True):
        total = total + v * w
    return total


def interpret(
    plan: Plan,
    *,
    inputs: Mapping[str, Any],
    evaluate: Callable[[int, Eval, Any], Any],
    draw: Callable[[int, Noise], Any],
    add: Callable[[int, tuple[Weight, ...], tuple[Any, ...]], Any] | None = None,
    after: Callable[[int, Any], None] | None = None,
    forget: Callable[[int, Any], None] | None = None,
) -> dict[str, Any]:
    """Run a plan on whatever vectors it is fed with; a vector is dropped at its last use.

    Parameters
    ----------
    inputs : mapping
        A vector for every input name of the plan; more names are ignored.
    evaluate, draw : callable
        Called as ``evaluate(row, op, source_vector)`` and ``draw(row, op)``.
    add : callable, optional
        Called as ``add(row, weights, vectors)`` in place of :func:`combine`.
    after, forget : callable, optional
        Called as ``after(row, vector)`` once a row is computed and ``forget(row, vector)`` when the
        vector defined by ``row`` is dropped.

    Returns
    -------
    dict
        The outputs of the plan, by name.
    """
    missing = [name for name in plan.inputs if name not in inputs]
    if missing:
        msg = f"the plan needs the inputs {sorted(plan.inputs)}; {missing[0]!r} is missing"
        raise InvalidPlanError(msg)
    live: dict[int, Any] = {}
    for i, (op, dead) in enumerate(zip(plan.ops, plan.deaths, strict=True)):
        match op:
            case Input(name=name):
                live[i] = inputs[name]
            case Noise():
                live[i] = draw(i, op)
            case Eval(source=source):
                live[i] = evaluate(i, op, live[source])
            case Lin(terms=terms):
                ids, weights = zip(*terms, strict=True) if terms else ((), ())
                vectors = tuple(live[j] for j in ids)
                live[i] = add(i, weights, vectors) if add else combine(weights, vectors)
        if after:
            after(i, live[i])
        for j in dead:
            gone = live.pop(j)
            if forget:
                forget(j, gone)
    return {name: live[j] for name, j in plan.outputs.items()}


class Tape:
    """The only builder of plans: each call appends a vector and returns its id."""

    def __init__(self) -> None:
        self._ops: list[Op] = []
        self._marks: list[Mark] = []
        self._evals: dict[tuple[int, float, str, str], int] = {}

    def _append(self, op: Op) -> int:
        self._ops.append(op)
        return len(self._ops) - 1

    def input(self, name: str, node: Node, prediction: str | None = None) -> int:
        """A vector given from outside."""
        return self._append(Input(name, node, prediction))

    def noise(self, clock: str, a: float, b: float, kind: str = "W") -> int:
        """A standard normal field of the cell [a, b]."""
        return self._append(Noise(clock, float(a), float(b), kind))

    def lin(self, *terms: tuple[int, Weight]) -> int:
        """A weighted sum; equal ids are merged and exact zeros dropped."""
        merged: dict[int, Weight] = {}
        for j, w in terms:
            w = float(w) if isinstance(w, (int, float, np.floating)) else w
            merged[j] = merged[j] + w if j in merged else w
        kept = {j: w for j, w in merged.items() if not (isinstance(w, float) and w == 0.0)}
        if not kept:
            kept = dict([next(iter(merged.items()))])
        return self._append(Lin(tuple(kept.items())))

    def eval(self, source: int, node: Node, prediction: str = "data", head: str = "") -> int:
        """The model's output; the same question asked twice is answered once."""
        key = (source, node.t, prediction, head)
        if key not in self._evals:
            self._evals[key] = self._append(Eval(source, node, prediction, head))
        return self._evals[key]

    def mark(self, vector: int, node: Node) -> int:
        """Declare ``vector`` the state after a step that ends at ``node``; returns the vector."""
        self._marks.append(Mark(len(self._marks) + 1, vector, node))
        return vector

    def plan(self, **outputs: int) -> Plan:
        """The finished plan; names such as ``m-1`` are given as ``**{"m-1": id}``."""
        return Plan(tuple(self._ops), outputs, tuple(self._marks))
