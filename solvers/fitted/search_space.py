"""What a search may change: where the nodes of a grid are, and what a sampler does at each step.

A grid of n finite steps is n positive *shares* of its length in lam (AutoDiffusion, Li et al.
2023, arXiv:2309.10438). The unified sampling framework (USF, Liu et al. 2024, arXiv:2312.07243)
adds choices at each step; here a genome is the shares and, for each step, which earlier outputs
are interpolated, in which prediction, with which two-node rule, and whether the step is corrected
as in UniPC. Every genome is a plan of one evaluation a step: all of them cost the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import numpy as np

from ..errors import InvalidGridError, InvalidPlanError
from ..given import real_number
from ..grids import Grid
from ..plan import Plan, Tape
from ..plan_algebra import canonical
from ..process import Array, Node, Process
from ..quadrature import exp_weights
from ..registry import Sampler
from ..rows import Output, data_row, midpoint_weights, noise_row
from ..samplers.multistep import named_history

Genome = TypeVar("Genome")
REACH = 3
"""A step may look back at the newest ``REACH`` outputs."""


def shares_of(grid: Grid) -> tuple[float, ...]:
    """Lengths of the finite steps of a grid in lam, as fractions of their sum."""
    lams = np.array(_finite(grid))
    return tuple((np.diff(lams) / (lams[-1] - lams[0])).tolist())


def respaced(process: Process, grid: Grid, shares: Sequence[float]) -> Grid:
    """The grid with its inner nodes moved: same ends, steps in lam proportional to ``shares``.

    A last step to ``sigma = 0`` stays as it is and has no share.

    Raises
    ------
    InvalidGridError
        If there is not one positive finite share for each finite step, or the grid starts at
        ``alpha = 0``.
    """
    lams = _finite(grid)
    shares = shares if isinstance(shares, Iterable) else [shares]
    w = np.array([real_number(share, "a share") for share in shares])
    if w.shape != (len(lams) - 1,) or not (np.isfinite(w) & (w > 0)).all():
        msg = f"need {len(lams) - 1} positive shares, one for each finite step, got {w.tolist()}"
        raise InvalidGridError(msg)
    inner = lams[0] + (lams[-1] - lams[0]) * np.cumsum(w)[:-1] / w.sum()
    nodes = [process.node_at_lam(lam) for lam in inner.tolist()]
    ends = grid.nodes[len(lams) - 1 :]
    return Grid((grid[0], *nodes, *ends))


def _finite(grid: Grid) -> list[float]:
    lams = [node.lam for node in grid.nodes if node.sigma > 0]
    if len(lams) < 2 or not math.isfinite(lams[0]):
        msg = f"only a grid with finite steps can be spaced anew, got lams {lams}"
        raise InvalidGridError(msg)
    return lams


@dataclass(frozen=True)
class Choice:
    """What a sampler does in one step.

    Attributes
    ----------
    nodes : tuple of int
        Which earlier outputs are used beside the newest: 1 is the one before it, up to ``REACH``.
        Those that do not exist yet are left out.
    prediction : str
        ``"data"`` or ``"noise"``: what is interpolated.
    midpoint : bool
        The midpoint rule where two outputs meet (DPM-Solver++), not the exact slope.
    correct : bool
        Repeat the step with the output at its end, as UniC does, at no evaluation.
    """

    nodes: tuple[int, ...] = (1,)
    prediction: str = "data"
    midpoint: bool = True
    correct: bool = False

    def __post_init__(self) -> None:
        if self.prediction not in ("data", "noise"):
            msg = f"a step interpolates 'data' or 'noise', got {self.prediction!r}"
            raise InvalidPlanError(msg)
        if any(not 1 <= j <= REACH for j in self.nodes) or len(set(self.nodes)) < len(self.nodes):
            msg = f"nodes must be different numbers from 1 to {REACH}, got {self.nodes}"
            raise InvalidPlanError(msg)


NEUTRAL = Choice()
"""The step of DPM-Solver++(2M)."""


@dataclass(frozen=True)
class Schedule:
    """A genome of the unified framework: shares of the grid and a choice for each step."""

    shares: tuple[float, ...]
    choices: tuple[Choice, ...]


def unified(
    grid: Grid, choices: Sequence[Choice] | None = None, *, history: Sequence[Node] = ()
) -> Plan:
    """The plan of a choice for each step; without choices DPM-Solver++(2M).

    Noise predictions are made from data predictions and the states where they were asked, so the
    model is asked for data alone. At ``alpha = 0`` and for ``sigma = 0`` a step is on data.

    Raises
    ------
    InvalidPlanError
        If there is not one choice for each step.
    """
    choices = [NEUTRAL] * len(grid) if choices is None else list(choices)
    if len(choices) != len(grid):
        msg = f"need one choice for each of {len(grid)} steps, got {len(choices)}"
        raise InvalidPlanError(msg)
    tape = Tape()
    x = tape.input("x", grid[0])
    past = [_Asked(tape.input(f"m-{j}", n, "data"), None, n) for j, n in enumerate(history, 1)]
    at = x
    for i, ((s, t), choice) in enumerate(zip(grid.steps(), choices, strict=True)):
        if i == 0 or not choices[i - 1].correct:
            past = [_Asked(tape.eval(x, s, "data"), x, s), *past][: REACH + 1]
        ahead = _step(tape, s, t, x, past, choice, None)
        if choice.correct and i < len(grid) - 1 and t.sigma > 0:
            at = ahead
            new = _Asked(tape.eval(at, t, "data"), at, t)
            ahead = _step(tape, s, t, x, past, choice, new)
            past = [new, *past][: REACH + 1]
        x = tape.mark(ahead, t)
    outputs: list[Output] = [(a.data, a.node) for a in past[:1]]
    return tape.plan(x=x, **named_history(outputs))


@dataclass(frozen=True)
class _Asked:
    """An output of the model: its vector, the state where it was asked, and its node."""

    data: int
    state: int | None
    node: Node

    def output(self, tape: Tape, prediction: str) -> Output | None:
        """The output as that prediction, if it can be had."""
        if prediction == "data":
            return self.data, self.node
        if self.state is None or self.node.sigma == 0:
            return None
        n = self.node
        noise = tape.lin((self.state, 1.0 / n.sigma), (self.data, -n.alpha / n.sigma))
        return noise, n


def _step(
    tape: Tape,
    s: Node,
    t: Node,
    x: int,
    past: Sequence[_Asked],
    choice: Choice,
    new: _Asked | None,
) -> int:
    prediction = choice.prediction if s.alpha > 0 and t.sigma > 0 else "data"
    used = [past[0], *(past[j] for j in sorted(choice.nodes) if j < len(past))]
    used = [a for a in used if a.node.alpha > 0] or [past[0]]
    found = [a.output(tape, prediction) for a in ([new, *used] if new else used)]
    outputs = [o for o in found if o is not None]
    rule = midpoint_weights if choice.midpoint else exp_weights
    row = data_row if prediction == "data" else noise_row
    return row(tape, s, t, x, outputs, weights=rule)


class Space(Protocol[Genome]):
    """Genomes of one search, and how they become plans."""

    def neutral(self) -> Genome:
        """The known sampler from which a search starts."""
        ...

    def draw(self, rng: np.random.Generator) -> Genome:
        """A genome at random."""
        ...

    def mutate(self, genome: Genome, rng: np.random.Generator) -> Genome:
        """A genome nearby."""
        ...

    def encode(self, genome: Genome) -> Array:
        """Numbers that a predictor of the error can learn from."""
        ...

    def plan(self, genome: Genome) -> Plan:
        """What the genome computes."""
        ...


def _jitter(shares: Sequence[float], rng: np.random.Generator, width: float) -> tuple[float, ...]:
    w = np.asarray(shares) * np.exp(width * rng.standard_normal(len(shares)))
    return tuple((w / w.sum()).tolist())


@dataclass(frozen=True)
class GridSpace:
    """Shares of the grid of one registered plan sampler; a genome is a tuple of floats."""

    sampler: Sampler
    process: Process
    grid: Grid

    def neutral(self) -> tuple[float, ...]:
        """The shares of the grid as it is."""
        return shares_of(self.grid)

    def draw(self, rng: np.random.Generator) -> tuple[float, ...]:
        """Shares scattered around those of the grid, by a factor of e."""
        return _jitter(self.neutral(), rng, 1.0)

    def mutate(self, genome: tuple[float, ...], rng: np.random.Generator) -> tuple[float, ...]:
        """Shares off by some percent to some ten percent."""
        return _jitter(genome, rng, 10 ** rng.uniform(-2.0, -0.3))

    def encode(self, genome: tuple[float, ...]) -> Array:
        """Logarithms of the shares."""
        return np.log(np.asarray(genome))

    def plan(self, genome: tuple[float, ...]) -> Plan:
        """The sampler on the moved grid."""
        return self.sampler(self.process, respaced(self.process, self.grid, genome))


@dataclass(frozen=True)
class UnifiedSpace:
    """Shares and choices; a genome is a :class:`Schedule`."""

    process: Process
    grid: Grid

    def neutral(self) -> Schedule:
        """DPM-Solver++(2M) on the grid as it is."""
        return Schedule(shares_of(self.grid), (NEUTRAL,) * len(self.grid))

    def draw(self, rng: np.random.Generator) -> Schedule:
        """Random shares, every choice at random."""
        choices = tuple(_random_choice(rng) for _ in range(len(self.grid)))
        return Schedule(_jitter(shares_of(self.grid), rng, 0.7), choices)

    def mutate(self, genome: Schedule, rng: np.random.Generator) -> Schedule:
        """Shares moved, and on the average one field of one choice drawn anew."""
        choices = tuple(
            _changed(c, rng) if rng.random() < 1.0 / len(genome.choices) else c
            for c in genome.choices
        )
        return Schedule(_jitter(genome.shares, rng, 10 ** rng.uniform(-2.0, -0.3)), choices)

    def encode(self, genome: Schedule) -> Array:
        """Places of the nodes, and what the genome computes: its table, in signed logarithms.

        Ranking by the table is better than by flags of the choices: two genomes may spell one
        plan, and a flag matters more in a long step than in a short one.
        """
        table = canonical(self.plan(genome)).ravel()
        return np.concatenate([np.cumsum(genome.shares), np.sign(table) * np.log1p(abs(table))])

    def plan(self, genome: Schedule) -> Plan:
        """The plan of the choices on the moved grid."""
        return unified(respaced(self.process, self.grid, genome.shares), genome.choices)


_NODES = ((), (1,), (1, 2), (2,), (1, 2, 3), (1, 3))


def _random_choice(rng: np.random.Generator) -> Choice:
    return Choice(
        _NODES[rng.integers(len(_NODES))],
        "noise" if rng.random() < 0.3 else "data",
        bool(rng.random() < 0.5),
        bool(rng.random() < 0.5),
    )


def _changed(choice: Choice, rng: np.random.Generator) -> Choice:
    other, which = _random_choice(rng), rng.integers(4)
    name = ("nodes", "prediction", "midpoint", "correct")[which]
    return replace(choice, **{name: getattr(other, name)})
