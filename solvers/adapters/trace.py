"""Reading the Plan out of a sampler of any library, by unit vectors.

A linear sampler writes every state it shows to the model as a weighted sum of its *leaves*: its
start, the noises, the model's outputs so far. The foreign code is run once on a batch with one row
for each leaf, each row 1 in its own leaf and 0 in the others; then a state *is* its row of
weights, and rows put together are the Plan, in leaf form: every row depends on all earlier leaves.
``compress.py`` gives it short recurrences back.

The unit is tiny (2^-30), so that a sampler which clips or thresholds is read where it does
neither. What is read is then put to the test: with leaves at random, of size 2^-30, 1 and 1000,
every state must be the sum that the weights say. What fails says what the sampler is instead.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ..errors import FokkerError
from ..plan import Plan
from ..process import Array
from .basis import BasisSession, Call, Event, OtherCourse
from .foreign import Foreign
from .foreign_error import ForeignError
from .leaf_form import leaf_form as leaf_form

UNIT = 2.0**-30
PIXELS = (1, 2, 2)
"""Shape of a sample in the runs; its four entries must not mix."""

CLIPS = "clips or thresholds: linear only while the data prediction stays inside its bounds"
STEERS = "chooses its course by the data (error control)"
BENDS = "its coefficients depend on the data"
MIXES = "mixes the entries of a sample"
SHIFTS = "adds a constant"


@dataclass(frozen=True)
class Trace:
    """What a foreign sampler computes.

    Attributes
    ----------
    foreign : Foreign
        What was read.
    plan : Plan or None
        In leaf form; of a sampler that clips, where it does not; None if there is no plan.
    calls : tuple of Call
        The evaluations, with level, label and the level that the label denotes.
    noises : int
        Number of noise fields drawn (cells of a path counted each), with or without any weight.
    nonlinear : str or None
        What the sampler is instead of linear; None if it is linear.
    gap : float
        Largest relative departure from the plan with random leaves, at the tiny scale.
    notes : tuple of str
        Sentences for a report.
    seconds : float
        Wall time of all runs.
    """

    foreign: Foreign
    plan: Plan | None
    calls: tuple[Call, ...]
    noises: int
    nonlinear: str | None
    gap: float
    notes: tuple[str, ...] = field(default=())
    seconds: float = 0.0

    @property
    def labels(self) -> tuple[float | None, ...]:
        """The times that the library handed to the model."""
        return tuple(call.label for call in self.calls)

    @property
    def rounding(self) -> float:
        """Largest ``|lam(label) - lam(formula)|`` over the evaluations."""
        return max((abs(call.rounding) for call in self.calls), default=0.0)

    def require_plan(self) -> Plan:
        """The plan, of a sampler that has one.

        Raises
        ------
        ForeignError
            Of kind ``"no plan"``.
        """
        if self.plan is None:
            msg = f"{self.foreign.library} {self.foreign.name} has no plan: {self.nonlinear}"
            raise ForeignError(msg, kind="no plan")
        return self.plan

    @property
    def linear(self) -> bool:
        """Whether the sampler is its plan, everywhere."""
        return self.nonlinear is None


def trace(foreign: Foreign, *, shape: tuple[int, ...] = PIXELS) -> Trace:
    """Read a foreign sampler out as a Plan.

    Parameters
    ----------
    foreign : Foreign
        From one of the boxes: ``diffusers_box``, ``kdiffusion_box``, ``azula_box``,
        ``callable_box``.
    shape : tuple of int
        Shape of one sample in the runs.

    Raises
    ------
    ForeignError
        If it raises, returns what is not finite, writes into what it is given, or does not do the
        same twice; ``kind`` says which.
    """
    begin = time.perf_counter()
    reader = _Reader(foreign, shape)
    first = reader.run(reader.wave(UNIT, 0.0, rows=1))
    count = first[0].leaves
    atoms = sorted({v for e in first[0].events if e.kind == "cell" for v in e.ends})
    reader.atoms = atoms
    if atoms:  # cells were whole intervals; now they are cut by all ends
        count = reader.run(reader.wave(UNIT, 0.0, rows=1))[0].leaves
    nonlinear, session, weights = reader.read(count)
    if nonlinear is None:
        nonlinear, gap = reader.test(session, weights)
    else:
        gap = math.inf
    plan = None
    if nonlinear in (None, CLIPS):
        plan = leaf_form(foreign, session.events, weights)
    return Trace(
        foreign=foreign,
        plan=plan,
        calls=tuple(e.call for e in session.events if e.kind == "eval" and e.call is not None),
        noises=sum(e.kind in ("noise", "cell") for e in session.events),
        nonlinear=nonlinear,
        gap=gap,
        notes=foreign.notes + _notes(session.events, weights, nonlinear),
        seconds=time.perf_counter() - begin,
    )


Values = Callable[[int], Tensor]


class _Reader:
    """Runs of one sampler with leaves of our choice."""

    def __init__(self, foreign: Foreign, shape: tuple[int, ...]) -> None:
        self.foreign, self.shape = foreign, shape
        self.atoms: list[float] | None = None
        self.dtype = torch.float64 if foreign.exact else torch.float32

    def wave(self, scale: float, phase: float, rows: int) -> Values:
        """Fields without rhyme or reason, of size ``scale``, different in every entry."""

        def values(k: int) -> Tensor:
            n = rows * math.prod(self.shape)
            i = torch.arange(n, dtype=torch.float64)
            out = torch.sin(12.9898 * i + 78.233 * (k + 1) + phase) + 0.1
            return (scale * out).reshape(rows, *self.shape).to(self.dtype)

        return values

    def units(self, count: int) -> Values:
        """Row k is the unit in leaf k and 0 in every other."""

        def values(k: int) -> Tensor:
            if k >= count:
                raise OtherCourse
            out = torch.zeros(count, *self.shape, dtype=self.dtype)
            out[k] = UNIT
            return out

        return values

    def run(self, values: Values) -> tuple[BasisSession, Tensor]:
        """One run; what it asked, and its sample."""
        session, name = BasisSession(values, self.atoms), self.foreign.name
        start = session.start()
        given = start.clone()
        end = self.foreign.run(session, given)
        if not isinstance(end, Tensor) or end.shape != start.shape:
            got = tuple(end.shape) if isinstance(end, Tensor) else type(end).__name__
            msg = f"{name} returns {got} for a start of shape {tuple(start.shape)}"
            raise ForeignError(msg, kind="raised")
        if not torch.equal(given, start) or session.spoiled():
            what = "its start" if not torch.equal(given, start) else "an output of the model"
            msg = f"{name} writes into {what}"
            raise ForeignError(msg, kind="changes its input")
        return session, end.detach()

    def read(self, count: int) -> tuple[str | None, BasisSession, list[Array]]:
        """The weights of every state and of the sample, one vector over the leaves each."""
        try:
            session, end = self.run(self.units(count))
        except OtherCourse:
            session, _ = self.run(self.wave(UNIT, 0.0, rows=1))
            return STEERS, session, []
        states = [e.state for e in session.events if e.state is not None] + [end]
        weights, mixed = [], False
        for i, state in enumerate(states):
            if not bool(torch.isfinite(state).all()):
                where = "its sample" if i == len(states) - 1 else f"the state of call {i + 1}"
                msg = f"{self.foreign.name} is not finite in {where}"
                raise ForeignError(msg, kind="not finite")
            flat = state.double().reshape(count, -1).numpy() / UNIT
            mixed |= bool(np.abs(flat - flat[:, :1]).max() > 1e-9 * max(1.0, np.abs(flat).max()))
            weights.append(flat[:, 0])
        return (self._kind(MIXES) if mixed else None), session, weights

    def test(self, session: BasisSession, weights: list[Array]) -> tuple[str | None, float]:
        """What a sampler is that departs from its weights with leaves at random."""
        allowed = 1e-9 if self.foreign.exact else 2e-3
        gap, course = 0.0, session.course()
        for scale in (UNIT, 1.0, 1e3):
            values = self.wave(scale, 1.0, rows=2)
            try:
                again, end = self.run(values)
                twin, twin_end = self.run(values)
            except OtherCourse:
                return STEERS, math.inf
            if twin.course() != again.course() or not torch.equal(end, twin_end):
                raise self._changes()
            if again.course() != course:
                return STEERS, math.inf
            here = self._departure(again, end, weights, values)
            gap = here if scale == UNIT else gap
            if not here <= allowed:
                return (self._kind(BENDS) if scale == UNIT else CLIPS), here
        return None, gap

    def _changes(self) -> ForeignError:
        msg = f"{self.foreign.name} gives another sample when it is run again"
        return ForeignError(msg, kind="keeps state")

    def _kind(self, otherwise: str) -> str:
        """Whether a departure at the tiny scale is a constant, or noise that nobody gave."""
        ends = []
        for _ in range(2):
            try:
                ends.append(self.run(lambda _: torch.zeros(2, *self.shape, dtype=self.dtype))[1])
            except FokkerError:
                return otherwise
        if not all(bool(torch.isfinite(end).all()) for end in ends):
            return otherwise
        if not torch.equal(*ends):
            raise self._changes()
        return SHIFTS if bool((ends[0] != 0).any()) else otherwise

    def _departure(
        self, session: BasisSession, end: Tensor, weights: list[Array], values: Values
    ) -> float:
        leaves = torch.stack([values(k).double() for k in range(session.leaves)])
        states = [e.state for e in session.events if e.state is not None] + [end]
        worst = 0.0
        for state, row in zip(states, weights, strict=True):
            w = torch.from_numpy(row.copy())
            said = torch.einsum("k,k...->...", w, leaves)
            size = torch.einsum("k,k...->...", w.abs(), leaves.abs()).max()
            away = (state.double() - said).abs().max() / size
            worst = max(worst, float(away)) if bool(torch.isfinite(away)) else math.inf
        return worst


def _notes(events: list[Event], weights: list[Array], nonlinear: str | None) -> tuple[str, ...]:
    notes = [] if nonlinear is None else [f"not linear: {nonlinear}"]
    calls = [e.call for e in events if e.kind == "eval" and e.call is not None]
    worst = max(calls, key=lambda c: abs(c.rounding), default=None)
    if worst is not None and worst.denoted is not None and abs(worst.rounding) > 1e-6:
        notes.append(
            f"the time {worst.label:g} given to the model stands for lam = "
            f"{worst.denoted.lam:.6g}, the formula assumes lam = {worst.node.lam:.6g}"
        )
    if weights:
        drawn = [e.leaf for e in events if e.kind in ("noise", "cell")]
        idle = sum(not np.any([row[k] for row in weights]) for k in drawn)
        if idle:
            notes.append(f"{idle} of the {len(drawn)} noises it draws have no weight")
    return tuple(notes)
