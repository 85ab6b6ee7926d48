"""Singlestep SDE samplers whose stages see the path itself, and what independent noises cost.

A stage at place c of a step is a state, so it carries the noise of the path up to c. If it shares
that noise with the end of the step, the exponential midpoint rule has weak order 2: it meets
``sum b beta = sum b C = 1/2`` (see ``stochastic_rk``). With a fresh noise instead, ``beta = 0``:
every stage by itself still has the right law, but the drift reacts to noise that is then thrown
away, and the weak order is 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from ..errors import InvalidPlanError
from ..grids import Grid
from ..plan import Plan, Tape
from ..process import Node, Process
from ..registry import sampler
from .eta_shapes import Eta
from .onestep import euler_row, one_step
from .step_kernel import StepKernel, eta_row

NOISES = ("path", "independent")


class Singlestep(NamedTuple):
    """Places, rows and weights of a step, on data predictions times the alpha of the place."""

    c: tuple[float, ...]
    a: tuple[tuple[float, ...], ...]
    b: tuple[float, ...]


def two_stages(kernel: StepKernel, r: float = 0.5) -> Singlestep:
    """DPM-Solver++(2S): the slope is half of the whole; r = 1/2 is the midpoint rule."""
    whole = float(kernel.weights([0.0])[0])
    first = float(kernel.weights([0.0], r)[0])
    slope = whole / (2 * r)
    return Singlestep((0.0, r), ((), (first,)), (whole - slope, slope))


def three_stages(kernel: StepKernel) -> Singlestep:
    """Places 1/3 and 2/3; the last stage carries the whole slope (DPM-Solver-3 on data)."""
    first = float(kernel.weights([0.0], 1 / 3)[0])
    second = tuple(map(float, kernel.weights([0.0, 1 / 3], 2 / 3)))
    b1, b3 = map(float, kernel.weights([0.0, 2 / 3]))
    return Singlestep((0.0, 1 / 3, 2 / 3), ((), (first,), second), (b1, 0.0, b3))


def path_row(
    tape: Tape,
    process: Process,
    scheme: Callable[[StepKernel], Singlestep],
    s: Node,
    t: Node,
    x: int,
    *,
    eta: Eta,
    noise: str = "path",
) -> int:
    """One step. ``noise="independent"`` gives every stage a noise of its own, of the same law.

    A step to ``sigma = 0`` or from ``alpha = 0`` has no places inside: it takes one output.
    """
    if noise not in NOISES:
        msg = f"the noise of the stages must be one of {', '.join(NOISES)}, got {noise!r}"
        raise InvalidPlanError(msg)
    if t.sigma == 0.0 or s.alpha == 0.0:
        return eta_row(tape, s, t, x, [(tape.eval(x, s), s)], eta=eta)
    kernel = StepKernel(eta, s, t)
    places, rows, b = scheme(kernel)
    outputs: list[int] = []
    cells: list[tuple[int, float, float]] = []  # noise, its weight at its end, E(s, end)
    last = s
    for c, row in zip((*places, 1.0), (*rows, b), strict=True):
        at = s if c == 0.0 else t if c == 1.0 else process.node_at_lam(kernel.lam(c))
        if c == 0.0:
            outputs.append(tape.eval(x, s))
            continue
        piece = StepKernel(eta, last, at)
        if noise == "path":
            cells += [(n, w / at.sigma, kernel.spent(c)) for n, w in piece.noise(tape)]
            last = at
        seen = [(n, at.sigma * w * math.exp(e - kernel.spent(c))) for n, w, e in cells]
        if noise == "independent":
            seen = _own_noise(tape, kernel, at, c, last) if c < 1.0 else kernel.noise(tape)
            last = at
        terms = [(m, at.alpha * w) for m, w in zip(outputs, row, strict=True)]
        state = tape.lin((x, kernel.keep(at, c)), *terms, *seen)
        if c == 1.0:
            return state
        outputs.append(tape.eval(state, at))
    return x


def _own_noise(
    tape: Tape, kernel: StepKernel, at: Node, c: float, last: Node
) -> list[tuple[int, float]]:
    """A noise of the stage's law that belongs to no path."""
    std = at.sigma * math.sqrt(-math.expm1(-2 * kernel.spent(c)))
    return [(tape.noise("churn", last.lam, at.lam), std)] if std > 0 else []


_LU_SDE = "Lu et al. 2022, arXiv:2211.01095, sec. 3.4"


@sampler(
    weak=2, weak_cold=2, strong=1, sde_eta=1.0,
    nfe=lambda n: 2 * n, prediction="data", family="SDE-DPM-Solver++",
    source=f"{_LU_SDE}; Crowson 2022, k-diffusion, sample_dpmpp_sde",
)  # fmt: skip
def sde_dpmpp_2s(
    process: Process, grid: Grid, *, eta: Eta = 1.0, r: float = 0.5, noise: str = "path"
) -> Plan:
    """SDE-DPM-Solver++(2S): the inner stage sees the path up to its place.

    ``noise="independent"``: a fresh noise in the stage instead, weak order 1. At eta = 0 it is
    DPM-Solver++(2S).

    Raises
    ------
    InvalidPlanError
        If r is not in (0, 1), eta is no amount of noise, or noise none of its two words.
    """
    if not 0 < r < 1:
        msg = f"the place r of the inner stage must lie in (0, 1), got {r}"
        raise InvalidPlanError(msg)

    def step(tape: Tape, s: Node, t: Node, x: int) -> int:
        scheme = _at(r)
        return path_row(tape, process, scheme, s, t, x, eta=eta, noise=noise)

    return one_step(grid, step)


def _at(r: float) -> Callable[[StepKernel], Singlestep]:
    return lambda kernel: two_stages(kernel, r)


@sampler(
    weak=2, weak_cold=2, strong=1, sde_eta=1.0,
    nfe=lambda n: 3 * n, prediction="data", family="SDE-DPM-Solver++",
    source="Gonzalez et al. 2023, arXiv:2305.14267, SEEDS-3, on the data prediction",
)  # fmt: skip
def sde_dpmpp_3s(process: Process, grid: Grid, *, eta: Eta = 1.0, noise: str = "path") -> Plan:
    """Three stages on the path: order 3 without noise, still weak order 2 with it.

    Exact path values in the stages are not enough for weak order 3; see ``stochastic_rk``.
    """

    def step(tape: Tape, s: Node, t: Node, x: int) -> int:
        return path_row(tape, process, three_stages, s, t, x, eta=eta, noise=noise)

    return one_step(grid, step)


def _down_up(s: Node, t: Node, eta_ddim: float) -> tuple[float, float]:
    """Level after going down past t, and the noise back up to t, over rho_t.

    ``up = eta_ddim sqrt(1 - e^{-2h})`` and ``rho_down^2 = rho_t^2 (1 - up^2)``.
    """
    up = eta_ddim * math.sqrt(-math.expm1(2 * (s.lam - t.lam)))
    if eta_ddim == 1.0:
        return t.lam + (t.lam - s.lam), up
    left = (1.0 - eta_ddim) * (1.0 + eta_ddim) + eta_ddim**2 * math.exp(2 * (s.lam - t.lam))
    return t.lam - 0.5 * math.log(left), up  # 1 - up^2 would cancel in a long step


def _check_fraction(eta_ddim: float) -> None:
    if not 0 <= eta_ddim <= 1:
        msg = f"eta_ddim must lie in [0, 1], got {eta_ddim}"
        raise InvalidPlanError(msg)


@sampler(
    weak=2, weak_cold=2,
    nfe=lambda n: 2 * n, prediction="data", family="ancestral",
    source="Crowson 2022, k-diffusion, sample_dpmpp_2s_ancestral",
)  # fmt: skip
def dpmpp_2s_ancestral(process: Process, grid: Grid, *, eta_ddim: float = 1.0) -> Plan:
    """DPM-Solver++(2S) on the ODE past the level wanted, then noise back up to it.

    Marginals are kept as well as the ODE step keeps them, to order 2. As a solver of the SDE with
    ``eta = eta_ddim^2``, from any other law, it has weak order 1: hence no ``sde_eta`` and no
    strong order are declared.
    """
    _check_fraction(eta_ddim)

    def step(tape: Tape, s: Node, t: Node, x: int) -> int:
        if t.sigma == 0.0 or s.alpha == 0.0:
            return eta_row(tape, s, t, x, [(tape.eval(x, s), s)], eta=eta_ddim**2)
        lam, up = _down_up(s, t, eta_ddim)
        if not math.isfinite(lam):
            return euler_row(tape, s, t, x, "nu")
        middle = process.node_at_lam((s.lam + lam) / 2)
        d = tape.eval(x, s)
        inner = tape.lin(
            (x, math.exp(middle.log_sigma - s.log_sigma)),
            (d, middle.alpha * -math.expm1(s.lam - middle.lam)),
        )
        terms = [
            (x, math.exp(t.log_alpha - s.log_alpha + s.lam - lam)),
            (tape.eval(inner, middle), t.alpha * -math.expm1(s.lam - lam)),
        ]
        if up > 0:
            terms.append((tape.noise("snr^1.0", s.lam, t.lam), t.sigma * up))
        return tape.lin(*terms)

    return one_step(grid, step)


@sampler(
    weak=2, weak_cold=2, strong=1, sde_eta=1.0,
    nfe=lambda n: 2 * n, prediction="data", family="SDE-DPM-Solver++",
    source="Crowson 2022, k-diffusion, sample_dpmpp_sde with its Brownian tree",
)  # fmt: skip
def dpmpp_sde_published(process: Process, grid: Grid, *, eta_ddim: float = 1.0) -> Plan:
    """DPM-Solver++ SDE as in k-diffusion: ancestral steps, and a Brownian tree in rho.

    The two noises of a step are increments of one path *in the clock rho*, normalised, and then
    weighted for the clock of the SDE: stage and end are correlated as if variance grew evenly in
    rho. In the limit that is right; at a finite step it is not the path's, unlike
    :func:`sde_dpmpp_2s`.
    """
    _check_fraction(eta_ddim)

    def step(tape: Tape, s: Node, t: Node, x: int) -> int:
        if t.sigma == 0.0 or s.alpha == 0.0:
            return eta_row(tape, s, t, x, [(tape.eval(x, s), s)], eta=eta_ddim**2)
        middle = process.node_at_lam((s.lam + t.lam) / 2)
        part = (s.rho - middle.rho) / (s.rho - t.rho)
        cells = ((s.lam, middle.lam), (middle.lam, t.lam)) if eta_ddim > 0 else ()
        noises = [tape.noise("snr^1.0", a, b) for a, b in cells]

        def state(at: Node, m: int, *weights: float) -> int:
            lam, up = _down_up(s, at, eta_ddim)
            keep = math.exp(at.log_alpha - s.log_alpha + s.lam - lam)
            seen = [(n, at.sigma * up * w) for n, w in zip(noises, weights, strict=False)]
            return tape.lin((x, keep), (m, at.alpha * -math.expm1(s.lam - lam)), *seen)

        inner = state(middle, tape.eval(x, s), 1.0)
        return state(t, tape.eval(inner, middle), math.sqrt(part), math.sqrt(1 - part))

    return one_step(grid, step)
