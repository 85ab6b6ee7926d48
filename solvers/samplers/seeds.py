"""SEEDS: exponential SDE solvers on the noise prediction, as they should be and as published.

The reverse SDE (eta = 1) in noise form, h = lam_t - lam_s::

    x_t = (alpha_t/alpha_s) x_s - 2 sigma_t int e^{lam_t - l} eps dl + alpha_t (W_s - W_t)

with W a Brownian motion in the clock ``rho^2``: ``alpha_t^2 (rho_s^2 - rho_t^2) = sigma_t^2
(e^{2h} - 1)``. The inner stages see the same path. Its variance grows like ``e^{2h}``, and
constant data are not sampled exactly: for long steps the data prediction is the better one
(``sde_dpmpp_2s``, ``sde_dpmpp_3s`` are the same methods there).
"""

from __future__ import annotations

import math

from ..grids import Grid
from ..plan import Plan, Tape
from ..process import Node, Process
from ..quadrature import exp_weights
from ..registry import sampler
from ..rows import midpoint_weights
from .onestep import euler_row, one_step

_SEEDS = "Gonzalez et al. 2023, arXiv:2305.14267"
_FAMILY = "SEEDS"


class _Step:
    """One step of a method on the noise prediction: its stages by place, its path by thirds."""

    def __init__(self, tape: Tape, process: Process, s: Node, t: Node, x: int) -> None:
        self.tape, self.process, self.s, self.t, self.x = tape, process, s, t, x
        self.h = t.lam - s.lam
        self.outputs: list[tuple[int, float]] = []
        self.ask(x, 0.0)

    def node(self, c: float) -> Node:
        """The node at a place of the step."""
        if c in (0.0, 1.0):
            return self.t if c else self.s
        return self.process.node_at_lam(self.s.lam + c * self.h)

    def ask(self, state: int, c: float) -> None:
        """Evaluate the model at a state at place c."""
        self.outputs.append((self.tape.eval(state, self.node(c), "noise"), c))

    def cell(self, a: float, b: float) -> tuple[int, float]:
        """The noise of the path between two places, and its size over alpha."""
        low, high = self.node(a).lam, self.node(b).lam
        size = math.exp(-low) * math.sqrt(-math.expm1(2 * (low - high)))
        return self.tape.noise("rho2", low, high), size

    def state(
        self,
        c: float,
        use: tuple[int, ...],
        noises: list[tuple[int, float]],
        *,
        halved: bool = False,
    ) -> int:
        """The state at place c from outputs ``use``, by the polynomial through them."""
        at, z = self.node(c), c * self.h
        places = [self.outputs[i][1] / c for i in use]
        w = 2 * at.sigma * z * (midpoint_weights if halved else exp_weights)(places, z)
        return self.tape.lin(
            (self.x, math.exp(at.log_alpha - self.s.log_alpha)),
            *((self.outputs[i][0], -wi) for i, wi in zip(use, w, strict=True)),
            *((n, at.alpha * size) for n, size in noises),
        )


def _ends(tape: Tape, s: Node, t: Node, x: int) -> int | None:
    return euler_row(tape, s, t, x, "rho") if t.sigma == 0.0 else None


@sampler(
    weak=1, weak_cold=1, strong=1, sde_eta=1.0,
    nfe=lambda n: n, prediction="noise", semilinear=False, family=_FAMILY,
    source=f"{_SEEDS}, SEEDS-1",
)  # fmt: skip
def seeds_1(process: Process, grid: Grid) -> Plan:
    """SEEDS-1: the noise prediction held constant; not SDE-DPM-Solver++(1), which holds D."""

    def row(tape: Tape, s: Node, t: Node, x: int) -> int:
        end = _ends(tape, s, t, x)
        if end is not None:
            return end
        step = _Step(tape, process, s, t, x)
        return step.state(1.0, (0,), [step.cell(0.0, 1.0)])

    return one_step(grid, row)


@sampler(
    weak=2, weak_cold=2, strong=1, sde_eta=1.0,
    nfe=lambda n: 2 * n, prediction="noise", semilinear=False, family=_FAMILY,
    source=f"{_SEEDS}, SEEDS-2, and its code, type 2a at c2 = 1/2",
)  # fmt: skip
def seeds_2(process: Process, grid: Grid) -> Plan:
    """SEEDS-2: the exponential midpoint rule, its middle on the path; weak order 2.

    The published code shares the path rightly at the midpoint (at other places it does not).
    """

    def row(tape: Tape, s: Node, t: Node, x: int) -> int:
        end = _ends(tape, s, t, x)
        if end is not None:
            return end
        step = _Step(tape, process, s, t, x)
        early, late = step.cell(0.0, 0.5), step.cell(0.5, 1.0)
        step.ask(step.state(0.5, (0,), [early]), 0.5)
        return step.state(1.0, (0, 1), [early, late], halved=True)

    return one_step(grid, row)


def _seeds_3(process: Process, grid: Grid, *, published: bool) -> Plan:
    def row(tape: Tape, s: Node, t: Node, x: int) -> int:
        end = _ends(tape, s, t, x)
        if end is not None:
            return end
        step = _Step(tape, process, s, t, x)
        one, two, three = (step.cell(a, b) for a, b in ((0, 1 / 3), (1 / 3, 2 / 3), (2 / 3, 1.0)))
        step.ask(step.state(1 / 3, (0,), [one]), 1 / 3)
        seen, last = [one, two], [one, two, three]
        if published:
            excess = math.exp(t.log_sigma - step.node(2 / 3).log_sigma)
            seen = [(n, size * excess) for n, size in seen]
            last = [(one[0], two[1]), (two[0], one[1]), three]
        step.ask(step.state(2 / 3, (0, 1), seen), 2 / 3)
        return step.state(1.0, (0, 2), last)

    return one_step(grid, row)


@sampler(
    weak=2, weak_cold=2, strong=1, sde_eta=1.0,
    nfe=lambda n: 3 * n, prediction="noise", semilinear=False, family=_FAMILY,
    source=f"{_SEEDS}, SEEDS-3",
)  # fmt: skip
def seeds_3(process: Process, grid: Grid) -> Plan:
    """SEEDS-3: places 1/3 and 2/3 on the path; path values alone cannot give weak order 3."""
    return _seeds_3(process, grid, published=False)


@sampler(
    weak=2, weak_cold=2, strong=1, sde_eta=1.0,
    nfe=lambda n: 3 * n, prediction="noise", semilinear=False, clock="level", family=_FAMILY,
    source=f"{_SEEDS}, code of SEEDS-3, type 3a, noise prediction",
)  # fmt: skip
def seeds_3_published(process: Process, grid: Grid) -> Plan:
    """SEEDS-3 as its code has it: the noise of its second stage has the size of the step's end.

    The stage at 2/3 uses sigma_t where sigma of its place belongs, and the end gives the noises of
    the first and the second third each other's size; the variance at the end is right.
    """
    return _seeds_3(process, grid, published=True)
