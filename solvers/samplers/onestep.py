"""One-step samplers: classical Runge-Kutta in a clock without linear part, and exponential ones.

In ``rho`` the probability-flow ODE is ``d(x/alpha)/drho = eps``; in ``nu = 1/rho`` it is
``d(x/sigma)/dnu = D``. Any Butcher table gives a sampler in either. Exponential Runge-Kutta
methods work in lam, where ``u = x/alpha`` obeys ``du/dlam = -u + D`` and ``w = x/sigma`` obeys
``dw/dlam = w - eps``; their coefficients are functions of ``z = -h`` or ``z = +h``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ..grids import Grid
from ..plan import Plan, Tape
from ..process import Node, Process
from ..quadrature import phi
from ..registry import sampler
from ..rows import data_row, noise_row


class Tableau(NamedTuple):
    """Butcher table: nodes c, strictly lower rows a, weights b."""

    c: tuple[float, ...]
    a: tuple[tuple[float, ...], ...]
    b: tuple[float, ...]


EULER = Tableau((0.0,), ((),), (1.0,))
MIDPOINT = Tableau((0.0, 1 / 2), ((), (1 / 2,)), (0.0, 1.0))
HEUN = Tableau((0.0, 1.0), ((), (1.0,)), (1 / 2, 1 / 2))
KUTTA3 = Tableau((0.0, 1 / 2, 1.0), ((), (1 / 2,), (-1.0, 2.0)), (1 / 6, 2 / 3, 1 / 6))
RK4 = Tableau(
    (0.0, 1 / 2, 1 / 2, 1.0),
    ((), (1 / 2,), (0.0, 1 / 2), (0.0, 0.0, 1.0)),
    (1 / 6, 1 / 3, 1 / 3, 1 / 6),
)
RK_OF_ORDER = {1: EULER, 2: MIDPOINT, 3: KUTTA3, 4: RK4}

ExpTableau = Callable[
    [float], tuple[tuple[float, ...], tuple[tuple[float, ...], ...], tuple[float, ...]]
]
"""``z -> (c, a, b)`` with ``u_i = e^{c_i z} u + h sum_j a_ij N_j``."""


def rk_stages(tableau: Tableau) -> int:
    """Number of stages, which is the number of evaluations of a step."""
    return len(tableau.c)


def euler_row(tape: Tape, s: Node, t: Node, x: int, clock: str) -> int:
    """The one-evaluation step in which all families agree (DDIM)."""
    prediction, row = ("data", data_row) if clock == "nu" else ("noise", noise_row)
    return row(tape, s, t, x, [(tape.eval(x, s, prediction), s)])


def rk_row(
    tape: Tape, process: Process, tableau: Tableau, s: Node, t: Node, x: int, clock: str
) -> int:
    """One Runge-Kutta step from s to t in clock ``"rho"`` (noise) or ``"nu"`` (data).

    A step to ``sigma = 0`` is an Euler step: the table's last stage could not be evaluated there.
    """
    if t.sigma == 0.0:
        return euler_row(tape, s, t, x, clock)
    if clock == "rho":
        prediction, log_scale, begin, end = "noise", "log_alpha", s.rho, t.rho
    else:
        prediction, log_scale, begin, end = "data", "log_sigma", s.nu, t.nu
    step = end - begin

    def node(c: float) -> Node:
        if c in (0.0, 1.0):
            return t if c else s
        value = math.log(begin + c * step)
        return process.node_at_lam(-value if clock == "rho" else value)

    def combine(at: Node, weights: tuple[float, ...]) -> int:
        scale = math.exp(getattr(at, log_scale))
        ratio = math.exp(getattr(at, log_scale) - getattr(s, log_scale))
        return tape.lin(
            (x, ratio), *((k, scale * step * w) for k, w in zip(ks, weights, strict=True))
        )

    ks: list[int] = []
    for c, a in zip(tableau.c, tableau.a, strict=True):
        at = node(c)
        ks.append(tape.eval(combine(at, a) if a else x, at, prediction))
    return combine(t, tableau.b)


def exp_rk_row(
    tape: Tape,
    process: Process,
    tableau: ExpTableau,
    s: Node,
    t: Node,
    x: int,
    prediction: str,
    *,
    marked: Sequence[Node] = (),
) -> int:
    """One exponential Runge-Kutta step in lam on the data or the noise prediction.

    A step to ``sigma = 0`` or from ``alpha = 0`` has no inner nodes in lam: it is an Euler step.
    ``marked`` are nodes of a grid where the inner stages lie: each is the state there.
    """
    if t.sigma == 0.0 or s.alpha == 0.0:
        return euler_row(tape, s, t, x, "nu" if prediction == "data" else "rho")
    h = t.lam - s.lam
    data = prediction == "data"
    c, a, b = tableau(-h if data else h)
    ks: list[int] = []

    def combine(at: Node, weights: tuple[float, ...]) -> int:
        if data:
            ratio, scale = math.exp(at.log_sigma - s.log_sigma), at.alpha * h
        else:
            ratio, scale = math.exp(at.log_alpha - s.log_alpha), -at.sigma * h
        return tape.lin((x, ratio), *((k, scale * w) for k, w in zip(ks, weights, strict=True)))

    for i, (ci, row) in enumerate(zip(c, a, strict=True)):
        if row and marked:
            at = marked[i - 1]
        else:
            at = s if ci == 0.0 else t if ci == 1.0 else process.node_at_lam(s.lam + ci * h)
        stage = combine(at, row) if row else x
        if row and marked:
            tape.mark(stage, at)
        ks.append(tape.eval(stage, at, prediction))
    return combine(t, b)


def one_step(grid: Grid, step: Callable[[Tape, Node, Node, int], int]) -> Plan:
    """The plan of a method that remembers nothing but its state."""
    tape = Tape()
    x = tape.input("x", grid[0])
    for s, t in grid.steps():
        x = tape.mark(step(tape, s, t, x), t)
    return tape.plan(x=x)


def _declare_rho(name: str, tableau: Tableau, order: int, source: str, note: str) -> None:
    @sampler(
        name=name,
        order=order,
        order_cold=order,
        nfe=lambda n: len(tableau.c) * n,
        prediction="noise",
        family="Runge-Kutta in rho",
        source=source,
        note=note,
    )
    def build(process: Process, grid: Grid) -> Plan:
        return one_step(grid, lambda tape, s, t, x: rk_row(tape, process, tableau, s, t, x, "rho"))


_DEIS = "Zhang & Chen 2023, arXiv:2204.13902, rhoRK"
_declare_rho("rho_midpoint", MIDPOINT, 2, _DEIS, "Midpoint rule in rho on the noise prediction.")
_declare_rho("rho_kutta3", KUTTA3, 3, _DEIS, "Kutta's third-order rule in rho; not Heun's third.")
_declare_rho("rho_rk4", RK4, 4, _DEIS, "The classical fourth-order rule in rho.")
_declare_rho(
    "edm_heun",
    HEUN,
    2,
    "Karras et al. 2022, arXiv:2206.00364, Alg. 1; rhoRK-Heun of arXiv:2204.13902",
    "Heun's rule in rho: the deterministic sampler of EDM; on a step to sigma 0 it is Euler.",
)


def exp_two_stage(c2: float) -> ExpTableau:
    """Two stages with the slope integrated as ``phi_1/2``: DPM-Solver-2 and DPM-Solver++(2S)."""

    def tableau(z: float) -> tuple:
        p = phi(1, z)
        return (0.0, c2), ((), (c2 * phi(1, c2 * z),)), (p - p / (2 * c2), p / (2 * c2))

    return tableau


def exp_two_stage_exact(c2: float) -> ExpTableau:
    """Two stages, slope integrated exactly by ``phi_2`` (Hochbruck & Ostermann 2010, 2.39)."""

    def tableau(z: float) -> tuple:
        slope = phi(2, z) / c2
        return (0.0, c2), ((), (c2 * phi(1, c2 * z),)), (phi(1, z) - slope, slope)

    return tableau


def exp_three_stage_at(c2: float, c3: float) -> ExpTableau:
    """Three stages, the third carries the whole slope: order 3 if ``c3 = 2/3``, else 2."""

    def tableau(z: float) -> tuple:
        a32 = c3 * c3 / c2 * phi(2, c3 * z)
        b3 = phi(2, z) / c3
        rows = ((), (c2 * phi(1, c2 * z),), (c3 * phi(1, c3 * z) - a32, a32))
        return (0.0, c2, c3), rows, (phi(1, z) - b3, 0.0, b3)

    return tableau


exp_three_stage = exp_three_stage_at(1 / 3, 2 / 3)
"""DPM-Solver-3."""


def exp_four_stage(z: float) -> tuple:
    """Krogstad's four stages (2005, J. Comput. Phys. 203, 72-88): classical order 4."""
    half = phi(1, z / 2) / 2
    a32 = phi(2, z / 2)
    a43 = 2 * phi(2, z)
    rows = ((), (half,), (half - a32, a32), (phi(1, z) - a43, 0.0, a43))
    p1, p2, p3 = phi(1, z), phi(2, z), phi(3, z)
    middle = 2 * p2 - 4 * p3
    return (0.0, 0.5, 0.5, 1.0), rows, (p1 - 3 * p2 + 4 * p3, middle, middle, -p2 + 4 * p3)


def _declare_exponential(
    name: str,
    tableau: ExpTableau,
    stages: int,
    order: int,
    prediction: str,
    family: str,
    source: str,
    note: str,
) -> None:
    @sampler(
        name=name,
        order=order,
        order_cold=order,
        nfe=lambda n: stages * n,
        prediction=prediction,
        family=family,
        source=source,
        note=note,
    )
    def build(process: Process, grid: Grid) -> Plan:
        return one_step(
            grid, lambda tape, s, t, x: exp_rk_row(tape, process, tableau, s, t, x, prediction)
        )


_DPM, _DPMPP = "Lu et al. 2022, arXiv:2206.00927", "Lu et al. 2022, arXiv:2211.01095, Alg. 1"
_HO = "Hochbruck & Ostermann 2010, Acta Numerica 19, eq. 2.39"
_EXP = "exponential Runge-Kutta"
_declare_exponential(
    "dpm_solver_1", lambda z: ((0.0,), ((),), (phi(1, z),)), 1, 1, "noise", "DPM-Solver",
    f"{_DPM}, eq. 3.7", "DPM-Solver-1: DDIM written on the noise prediction.",
)  # fmt: skip
_declare_exponential(
    "dpm_solver_2", exp_two_stage(0.5), 2, 2, "noise", "DPM-Solver",
    f"{_DPM}, Alg. 1", "DPM-Solver-2: exponential midpoint rule on the noise prediction.",
)  # fmt: skip
_declare_exponential(
    "dpm_solver_3", exp_three_stage, 3, 3, "noise", "DPM-Solver",
    f"{_DPM}, Alg. 2", "DPM-Solver-3 with r1 = 1/3, r2 = 2/3.",
)  # fmt: skip
_declare_exponential(
    "dpmpp_2s", exp_two_stage(0.5), 2, 2, "data", "DPM-Solver++",
    _DPMPP, "DPM-Solver++(2S), r = 1/2: exponential midpoint rule on the data prediction.",
)  # fmt: skip
_declare_exponential(
    "exp_rk2_data", exp_two_stage_exact(1.0), 2, 2, "data", _EXP,
    _HO, "Exponential Heun rule (ETD2RK) on the data prediction.",
)  # fmt: skip
_declare_exponential(
    "exp_rk3_data", exp_three_stage, 3, 3, "data", _EXP,
    f"{_DPM}, Alg. 2, on the data prediction", "Three-stage exponential rule on data.",
)  # fmt: skip
_declare_exponential(
    "exp_rk4_data", exp_four_stage, 4, 4, "data", _EXP,
    "Krogstad 2005, J. Comput. Phys. 203, 72-88", "Krogstad's ETDRK4-B on the data prediction.",
)  # fmt: skip
