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
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

import numpy as np

from .errors import InvalidPlanError
from .interpret import combine as combine
from .interpret import interpret as interpret
from .model import PREDICTIONS
from .ops import Eval as Eval
from .ops import Input as Input
from .ops import Lin as Lin
from .ops import Mark as Mark
from .ops import Noise as Noise
from .ops import Op as Op
from .ops import Weight as Weight
from .ops import clock_measure as clock_measure
from .ops import sources
from .process import Node


@dataclass(frozen=True)
class Plan:
    """A sampler on a fixed grid. Build it with :class:`Tape`; see the module for its meaning.

    Raises
    ------
    InvalidPlanError
        If a row is empty, refers to itself or a later vector or asks for an unknown prediction, a
        weight is not a finite real number, an output or a marked vector does not exist, two
        inputs share a name, or a noise cell is of no known clock, empty, or overlaps another of
        its clock.
    """

    ops: tuple[Op, ...]
    outputs: Mapping[str, int]
    marks: tuple[Mark, ...] = field(default=())

    def __post_init__(self) -> None:
        for i, op in enumerate(self.ops):
            _check_row(i, op)
        for name, j in self.outputs.items():
            if not 0 <= j < len(self.ops):
                msg = f"output {name!r} is vector {j}, but the plan has {len(self.ops)} vectors"
                raise InvalidPlanError(msg)
        names = [op.name for op in self.ops if isinstance(op, Input)]
        if len(set(names)) != len(names):
            msg = f"two inputs share a name: {sorted(names)}"
            raise InvalidPlanError(msg)
        self._check_marks()
        self._check_cells()

    def _check_marks(self) -> None:
        last = -1
        for step, mark in enumerate(self.marks, 1):
            if mark.step != step or not last < mark.vector < len(self.ops):
                msg = (
                    f"mark {step} names vector {mark.vector} as the state after step {mark.step}; "
                    "marks must count 1, 2, ... and name ever later vectors of the plan"
                )
                raise InvalidPlanError(msg)
            last = mark.vector

    def _check_cells(self) -> None:
        cells: dict[tuple[str, str], list[tuple[float, float]]] = {}
        for op in self.ops:
            if isinstance(op, Noise):
                # a measure may underflow to 0, but no cell has its two ends in one place
                empty = op.a == op.b or math.isnan(clock_measure(op.clock, op.a, op.b))
                if op.kind not in ("W", "H") or empty:
                    msg = (
                        f"noise {op.kind} of the cell [{op.a}, {op.b}] of clock {op.clock!r}: "
                        "the type must be W or H, and the two ends must differ"
                    )
                    raise InvalidPlanError(msg)
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
            for j in sources(op):
                last[j] = i
        kept = set(self.outputs.values())
        dead: list[list[int]] = [[] for _ in self.ops]
        for j, i in last.items():
            if j not in kept:
                dead[i].append(j)
        return tuple(tuple(d) for d in dead)

    @cached_property
    def live(self) -> tuple[int, ...]:
        """For each row, the number of vectors alive while it is computed, its own included."""
        counts, before = [], 0
        for dead in self.deaths:
            counts.append(before + 1)
            before += 1 - len(dead)
        return tuple(counts)

    @cached_property
    def peak_live(self) -> int:
        """Largest number of vectors alive at once: the memory of a run, in states."""
        return max(self.live, default=0)

    @cached_property
    def columns(self) -> tuple[tuple[tuple[int, ...], tuple[Weight, ...]], ...]:
        """For each row, the vectors it reads and their weights (none but in linear rows)."""
        return tuple(
            (sources(op), tuple(w for _, w in op.terms) if isinstance(op, Lin) else ())
            for op in self.ops
        )

    def __str__(self) -> str:
        """Rows a person can read, one step a paragraph."""
        from .plan_text import render

        return render(self)


def _check_row(i: int, op: Op) -> None:
    for j in sources(op):
        if not isinstance(j, int) or not 0 <= j < i:
            msg = f"row {i} refers to vector {j!r}; only earlier vectors may be used, by number"
            raise InvalidPlanError(msg)
    if isinstance(op, Lin):
        if not op.terms:
            msg = f"row {i} is an empty sum; a row needs at least one vector"
            raise InvalidPlanError(msg)
        for j, w in op.terms:
            if not _finite(w):
                shown = f"the weight {w}" if np.ndim(w) == 0 else "an array of weights"
                msg = f"row {i} has {shown} on vector {j}; weights must be finite real numbers"
                raise InvalidPlanError(msg)
    if isinstance(op, Eval) and op.prediction not in PREDICTIONS:
        known = ", ".join(PREDICTIONS)
        msg = f"row {i} asks for the prediction {op.prediction!r}; accepted: {known}"
        raise InvalidPlanError(msg)


def _finite(w: Weight) -> bool:
    if isinstance(w, float):
        return math.isfinite(w)
    if hasattr(w, "isfinite"):  # a tensor: this module knows NumPy only
        return not w.is_complex() and bool(w.isfinite().all())
    found = np.asarray(w)
    return found.dtype.kind in "fiub" and bool(np.isfinite(found).all())


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
        """A weighted sum of at least one vector; equal ids are merged and exact zeros dropped."""
        if not terms:
            msg = "a weighted sum needs at least one vector, got none"
            raise InvalidPlanError(msg)
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
