"""Stages that see the Brownian path: strong order 1.5 and weak order 3 for the reverse SDE.

The eta-SDE is a drift with additive noise, ``dy = D du + dW_v``, ``y = x e^{E}/sigma``. A sampler
with one noise a step has weak order 2 and strong order 1 at most, because the drift reacts to the
path *within* the step. Two numbers of that path are enough for more: its increment W and its
space-time area H, the noises of kind W and H of one cell.

Order conditions (derived here by Wick's theorem: both the path and the stages are Gaussian). On a
step of length 1, let stage i see ``theta_i`` in place of W at place ``c_i``, with covariances
``C_ij = E theta_i theta_j`` and ``beta_i = E theta_i W``. Beside the deterministic conditions:

* weak 2: ``sum b beta = sum b C_ii = 1/2``
* strong 1.5: also ``sum b theta = int W ds = W/2 + H``
* weak 3: ``sum b C_ii^2 = sum b C_ii beta = sum b beta^2 = sum b C_ii c = sum b beta c = 1/3``,
  ``sum b_i a_ij C_jj = sum b_i a_ij C_ij = sum b_i a_ij beta_j = 1/6``,
  ``sum b_i b_j C_ij = 1/3``

With positive weights they leave one choice: ``beta_i = C_ii = c_i``, so that every stage by itself
has the exact law of the path at its place, ``theta = c W +- (c (1 - c))^{1/2} zeta``. Then

* one stage can also see the exact area only at ``c = 3/4``: this is SRA1;
* a third-order rule with exact path values at its places fails, the last sum being too large; but
  Kutta's rule with its midpoint asked twice, under ``+zeta`` and under ``-zeta``, meets them all.

A Gaussian cannot see the conditions with C_ii: SRA1 shows strong order 2 there. Everything is
written for the data prediction in lam, with exact integrals of the linear part for any shape of
eta; where u and v are different clocks, "exact law at its place" is what stays true.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ..grids import Grid
from ..plan import Plan, Tape
from ..process import Node, Process
from ..registry import sampler
from .eta_shapes import Eta, check_eta
from .onestep import one_step
from .step_kernel import StepKernel, eta_row

Row = tuple[float, ...]


class Stages(NamedTuple):
    """A scheme on one step: places, rows, weights, and what each stage sees of W and of H.

    Rows and weights multiply the data prediction times the alpha of the place; ``sees`` holds for
    each stage the weights of the two standard normals, over the sigma of the place.
    """

    c: Row
    a: tuple[Row, ...]
    b: Row
    sees: tuple[tuple[float, float], ...]


Scheme = Callable[[StepKernel], Stages]


def exact_law(kernel: StepKernel, c: float, sign: float = 1.0) -> tuple[float, float]:
    """Weights of (W, H) so that a stage has the law of the path at its place, given the step's W.

    The path at c has the variance ``sigma^2 (1 - e^{-2 E})`` and the correlation ``share^{1/2}``
    with the path at 1; what is left is given to the area, with either sign.
    """
    share = kernel.share(c)
    std = math.sqrt(-math.expm1(-2 * kernel.spent(c)))
    return std * math.sqrt(share), sign * std * math.sqrt(1 - share)


def sra1_stages(kernel: StepKernel) -> Stages:
    """SRA1 with exponential weights: the one place where exact law and exact area agree is 3/4."""
    c = 0.75
    first = float(kernel.weights([0.0], c)[0])
    b = tuple(map(float, kernel.weights([0.0, c])))
    return Stages((0.0, c), ((), (first,)), b, ((0.0, 0.0), exact_law(kernel, c)))


def shark_stages(kernel: StepKernel) -> Stages:
    """ShARK with exponential weights: all stages shifted by the area, places 0 and 5/6."""
    c = 5 / 6
    area = math.sqrt(-math.expm1(-2 * kernel.spent(1.0)) / 12)
    first = float(kernel.weights([0.0], c)[0])
    b = tuple(map(float, kernel.weights([0.0, c])))
    w = exact_law(kernel, c)[0]
    return Stages((0.0, c), ((), (first,)), b, ((0.0, area), (w, area)))


_PLUS = 1 / 2 + math.sqrt(3) / 4
"""Share of the midpoint seen under +zeta: ``sum b theta`` is then W/2 + H."""

_END = 1 / 2 + 1 / (4 * math.sqrt(3))
"""Share of the same in the last stage, which so sees W and the area too (a free choice)."""


def weak3_stages(kernel: StepKernel) -> Stages:
    """Kutta's rule with exponential weights, the midpoint under both signs of the area."""
    half, whole = (float(kernel.weights([0.0], c)[0]) for c in (0.5, 1.0))
    b1, middle, b4 = map(float, kernel.weights([0.0, 0.5, 1.0]))
    last = (-whole, 2 * whole * _END, 2 * whole * (1 - _END))
    return Stages(
        (0.0, 0.5, 0.5, 1.0),
        ((), (half,), (half, 0.0), last),
        (b1, middle * _PLUS, middle * (1 - _PLUS), b4),
        (
            (0.0, 0.0),
            exact_law(kernel, 0.5),
            exact_law(kernel, 0.5, -1.0),
            exact_law(kernel, 1.0),
        ),
    )


def snr_stages(kernel: StepKernel) -> Stages:
    """SRA1 by its printed table, in the clock u of the drift; at eta = 1 that is the SNR.

    There the noise is homogeneous, too, and the exact law at 3/4 is the printed one.
    """
    z = (1 + kernel.mean_eta) * kernel.h
    span = math.expm1(z)
    c = math.log1p(0.75 * span) / z
    first = 0.75 * span / (1 + 0.75 * span)
    b = (span / math.exp(z) / 3, 2 * span / math.exp(z) / 3)
    return Stages((0.0, c), ((), (first,)), b, ((0.0, 0.0), exact_law(kernel, c)))


def stage_row(
    tape: Tape, process: Process, scheme: Scheme, s: Node, t: Node, x: int, eta: Eta
) -> int:
    """One step of a scheme with the two noises of its cell.

    A step to ``sigma = 0`` or from ``alpha = 0`` has no places inside: it takes one output.
    """
    if t.sigma == 0.0 or s.alpha == 0.0:
        return eta_row(tape, s, t, x, [(tape.eval(x, s), s)], eta=eta)
    kernel = StepKernel(eta, s, t)
    places, rows, b, sees = scheme(kernel)
    noises = _path_of_step(tape, kernel, any(h for _, h in sees))
    outputs: list[int] = []
    known: dict[tuple, int] = {}

    def state(at: Node, c: float, weights: Sequence[float], seen: Sequence[float]) -> int:
        key = (c, tuple(w for w in weights if w), tuple(seen) if noises else ())
        if key not in known:
            terms = [(m, at.alpha * w) for m, w in zip(outputs, weights, strict=True)]
            terms += [(n, at.sigma * w) for n, w in zip(noises, seen, strict=False)]
            known[key] = tape.lin((x, kernel.keep(at, c)), *terms) if terms else x
        return known[key]

    for c, row, seen in zip(places, rows, sees, strict=True):
        at = s if c == 0.0 else t if c == 1.0 else process.node_at_lam(kernel.lam(c))
        outputs.append(tape.eval(state(at, c, row, seen) if c or any(seen) else x, at))
    return state(t, 1.0, b, exact_law(kernel, 1.0))


def _path_of_step(tape: Tape, kernel: StepKernel, area: bool) -> list[int]:
    """The noises W and H of the step's cell, in the clock of its mean eta; none without noise."""
    spent, s, t = kernel.spent(1.0), kernel.s, kernel.t
    if spent == 0.0:
        return []
    kinds = ("W", "H") if area else ("W",)
    clock = f"snr^{kernel.mean_eta!r}"
    return [tape.noise(clock, s.lam, t.lam, kind) for kind in kinds]


def stage_plan(process: Process, grid: Grid, scheme: Scheme, eta: Eta) -> Plan:
    """The plan of a scheme."""
    return one_step(grid, lambda tape, s, t, x: stage_row(tape, process, scheme, s, t, x, eta))


_ROESSLER = "Roessler 2010, SIAM J. Numer. Anal. 48, 922, SRA1"


@sampler(
    weak=2, weak_cold=2, strong=1.5, sde_eta=1.0,
    nfe=lambda n: 2 * n, prediction="data", family="stochastic Runge-Kutta",
    source=f"{_ROESSLER}; exponential in lam",
)  # fmt: skip
def sde_sra1(process: Process, grid: Grid, *, eta: Eta = 1.0) -> Plan:
    """SRA1 in lam: one inner stage at 3/4 of the step, with the path's area; strong order 1.5.

    Confused with a method of strong order 2, which is what it shows on a Gaussian.
    """
    return stage_plan(process, grid, sra1_stages, eta)


@sampler(
    weak=2, weak_cold=2, strong=1.5, sde_eta=1.0,
    nfe=lambda n: 2 * n, prediction="data", family="stochastic Runge-Kutta",
    source=f"{_ROESSLER}, in the clock of the drift",
)  # fmt: skip
def sde_sra1_snr(process: Process, grid: Grid, *, eta: float = 1.0) -> Plan:
    """SRA1 by its printed table, in ``e^{(1 + eta) lam}``: the SNR at eta = 1.

    The same orders as :func:`sde_sra1`, a third more error on Gaussians.
    """
    check_eta(eta)
    return stage_plan(process, grid, snr_stages, eta)


@sampler(
    weak=2, weak_cold=2, strong=1.5, sde_eta=1.0,
    nfe=lambda n: 2 * n, prediction="data", family="stochastic Runge-Kutta",
    source="Foster, dos Reis & Strange 2024, arXiv:2210.17543, ShARK; exponential in lam",
)  # fmt: skip
def sde_shark(process: Process, grid: Grid, *, eta: Eta = 1.0) -> Plan:
    """ShARK in lam: both stages shifted by the path's area; strong order 1.5.

    Its first stage asks the model at a state noisier than its level.
    """
    return stage_plan(process, grid, shark_stages, eta)


@sampler(
    weak=3, weak_cold=3, strong=1.5, sde_eta=1.0,
    nfe=lambda n: 4 * n, prediction="data", family="stochastic Runge-Kutta",
    source="derived here; weak order 3 for additive noise: Debrabant 2010, BIT 50, 541",
)  # fmt: skip
def sde_weak3(process: Process, grid: Grid, *, eta: Eta = 1.0) -> Plan:
    """Weak order 3 in lam: Kutta's rule, its midpoint asked under both signs of the path's area.

    With the noise at zero it is Kutta's third-order rule with exponential weights, order 3.
    """
    return stage_plan(process, grid, weak3_stages, eta)
