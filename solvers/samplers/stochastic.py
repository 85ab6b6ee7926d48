"""Stochastic samplers: reverse SDEs, one noise a step, and the two meanings of eta kept apart.

The whole family in one formula: with ``y = x e^{eta lam}/sigma``, ``dy = D du + dW_v``,
``u = e^{(1+eta) lam}``, ``v = e^{2 eta lam}``. eta = 0 is the probability-flow ODE, eta = 1 the
reverse SDE. One noise a step cannot exceed weak order 2 and strong order 1, whatever the weights.

``eta_ddim`` scales the noise of DDIM and of ancestral samplers: std ``eta_ddim sigma_t
sqrt(1 - e^{-2h})``. In the limit of small steps that is the SDE with ``eta = eta_ddim^2``; at a
finite step the two families agree at 0 and 1 only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

from ..errors import InvalidPlanError
from ..grids import Grid
from ..plan import Plan, Tape
from ..process import Node, Process
from ..registry import sampler
from ..rows import data_row, published_3m_weights
from .eta_shapes import Eta, as_shape, check_eta
from .multistep import multistep
from .onestep import HEUN, euler_row, one_step, rk_row
from .step_kernel import eta_row

_LU_SDE = "Lu et al. 2022, arXiv:2211.01095, sec. 3.4"


@sampler(
    weak=1, weak_cold=1, strong=1, sde_eta=1.0,
    nfe=lambda n: n, prediction="data", family="SDE-DPM-Solver++", source=_LU_SDE,
)  # fmt: skip
def sde_dpmpp_1(process: Process, grid: Grid, *, eta: Eta = 1.0) -> Plan:
    """SDE-DPM-Solver++(1): the data prediction held constant, the rest of the eta-SDE exact.

    At eta = 1 it is DDPM's ancestral step with the posterior variance, and DDIM with eta_ddim = 1.
    Here and below eta is a number or a shape (``eta_shapes``), its integrals exact.
    """
    return multistep(process, grid, order=1, row=partial(eta_row, eta=eta))


@sampler(
    weak=2, weak_cold=2, strong=1, sde_eta=1.0, history=1,
    nfe=lambda n: n, prediction="data", family="SDE-DPM-Solver++", source=_LU_SDE,
)  # fmt: skip
def sde_dpmpp_2m(
    process: Process, grid: Grid, *, eta: Eta = 1.0, history: Sequence[Node] = ()
) -> Plan:
    """SDE-DPM-Solver++(2M): data prediction extrapolated to the middle of the step, plus noise."""
    row = partial(eta_row, eta=eta, rule="midpoint")
    return multistep(process, grid, order=2, row=row, history=history)


@sampler(
    weak=2, weak_cold=2, strong=1, sde_eta=1.0, history=2,
    nfe=lambda n: n, prediction="data", family="SDE-DPM-Solver++", source=_LU_SDE,
)  # fmt: skip
def sde_dpmpp_3m(
    process: Process, grid: Grid, *, eta: Eta = 1.0, history: Sequence[Node] = ()
) -> Plan:
    """Three data predictions with exact weights: still weak order 2 and strong order 1."""
    return multistep(process, grid, order=3, row=partial(eta_row, eta=eta), history=history)


@sampler(
    weak=2, weak_cold=2, strong=1, sde_eta=1.0, history=2, published_order=3,
    nfe=lambda n: n, prediction="data", family="SDE-DPM-Solver++",
    source="Crowson 2023, k-diffusion, sample_dpmpp_3m_sde",
)  # fmt: skip
def sde_dpmpp_3m_published(
    process: Process, grid: Grid, *, eta: float = 1.0, history: Sequence[Node] = ()
) -> Plan:
    """The 3M SDE sampler as published: half the second difference."""
    check_eta(eta)
    row = partial(data_row, eta=eta, weights=published_3m_weights)
    return multistep(process, grid, order=3, row=row, history=history)


@sampler(
    weak=1, weak_cold=1, strong=1, sde_eta=1.0,
    nfe=lambda n: n, prediction="score", semilinear=False, clock="t", family="Score-SDE",
    source="Song et al. 2021, arXiv:2011.13456, sec. 4.1",
)  # fmt: skip
def euler_maruyama(process: Process, grid: Grid, *, eta: Eta = 1.0) -> Plan:
    """Euler-Maruyama in the time t: ``x - [f x - (1+eta)/2 g^2 score] dt + g sqrt(eta dt) xi``.

    Not exact for the linear part; the drift at the clean end may be stiff. A shape of eta is
    taken at the start of each step, as f and g are.
    """
    shape = as_shape(eta)

    def step(tape: Tape, s: Node, t: Node, x: int) -> int:
        dt, f, g2 = s.t - t.t, float(process.f(s.t)), float(process.g2(s.t))
        if dt == 0.0:  # of a process that stops short of sigma 0: its mean there
            return tape.lin((x, 1 / s.alpha), (tape.eval(x, s, "score"), s.sigma**2 / s.alpha))
        now = shape.at(s.lam)
        terms = [(x, 1.0 - f * dt), (tape.eval(x, s, "score"), 0.5 * (1 + now) * g2 * dt)]
        if now > 0:
            terms.append((tape.noise("t", s.t, t.t), math.sqrt(now * g2 * dt)))
        return tape.lin(*terms)

    return one_step(grid, step)


@sampler(
    weak=1, weak_cold=1, strong=1, sde_eta=1.0,
    nfe=lambda n: n, prediction="score", semilinear=False, family="Score-SDE",
    source="Song et al. 2021, arXiv:2011.13456, appendix E",
)  # fmt: skip
def reverse_diffusion(process: Process, grid: Grid) -> Plan:
    """Reverse diffusion: the forward step discretised exactly, then reversed with the score at s.

    ``x_t = (2 - a) x + G^2 score + G xi``, ``a = alpha_s/alpha_t``, ``G^2 = sigma_s^2 - a^2
    sigma_t^2``. On VP that is Song's ``(2 - sqrt(1-beta)) x + beta score + sqrt(beta) xi``.
    """
    del process

    def step(tape: Tape, s: Node, t: Node, x: int) -> int:
        a = math.exp(s.log_alpha - t.log_alpha)
        g2 = s.sigma**2 * -math.expm1(2 * (s.lam - t.lam))
        score = tape.eval(x, s, "score")
        if t.sigma == 0.0:  # the last step returns the mean
            return tape.lin((x, 1 / a), (score, s.sigma**2 / a))
        xi = tape.noise("rho2", s.lam, t.lam)
        return tape.lin((x, 2.0 - a), (score, g2), (xi, math.sqrt(g2)))

    return one_step(grid, step)


@sampler(
    weak=1, weak_cold=1, strong=1, sde_eta=1.0,
    nfe=lambda n: n, prediction="data", family="ancestral",
    source="Ho, Jain & Abbeel 2020, arXiv:2006.11239, eq. 7",
)  # fmt: skip
def ancestral(process: Process, grid: Grid) -> Plan:
    """DDPM ancestral sampling: a draw from ``q(x_t | x_s, x_0 = D)``, posterior variance."""
    del process

    def step(tape: Tape, s: Node, t: Node, x: int) -> int:
        d = tape.eval(x, s, "data")
        if t.sigma == 0.0:
            return tape.lin((d, t.alpha))
        a = math.exp(s.log_alpha - t.log_alpha)
        keep = a * math.exp(2 * (t.log_sigma - s.log_sigma))
        fresh = -math.expm1(2 * (s.lam - t.lam))  # 1 - keep alpha_s/alpha_t, without cancellation
        xi = tape.noise("snr^1.0", s.lam, t.lam)
        return tape.lin((x, keep), (d, t.alpha * fresh), (xi, t.sigma * math.sqrt(fresh)))

    return one_step(grid, step)


@sampler(
    weak=1, weak_cold=1, strong=1, sde_eta=0.25, options={"eta_ddim": 0.5},
    nfe=lambda n: n, prediction="noise", family="ancestral",
    source="Song, Meng & Ermon 2021, arXiv:2010.02502, eq. 12 and 16",
)  # fmt: skip
def ddim_eta(process: Process, grid: Grid, *, eta_ddim: float = 1.0) -> Plan:
    """DDIM with noise ``s = eta_ddim sigma_t sqrt(1 - e^{-2h})``: not the eta of an SDE.

    ``x_t = alpha_t D + sqrt(sigma_t^2 - s^2) eps + s xi``; in the limit the SDE with eta =
    eta_ddim^2. The ancestral samplers of image libraries are this formula on VE. Certified at
    eta_ddim = 1/2.
    """
    del process
    if not 0 <= eta_ddim <= 1:
        msg = f"eta_ddim must lie in [0, 1], got {eta_ddim}"
        raise InvalidPlanError(msg)

    def step(tape: Tape, s: Node, t: Node, x: int) -> int:
        if t.sigma == 0.0:
            return euler_row(tape, s, t, x, "rho")
        eps = tape.eval(x, s, "noise")
        ratio = math.exp(t.log_alpha - s.log_alpha)
        fresh = -math.expm1(2 * (s.lam - t.lam))
        std = eta_ddim * t.sigma * math.sqrt(fresh)
        keep = t.sigma * math.sqrt(1 - eta_ddim**2 * fresh)
        terms = [(x, ratio), (eps, keep - ratio * s.sigma)]
        if std > 0:
            terms.append((tape.noise("snr^1.0", s.lam, t.lam), std))
        return tape.lin(*terms)

    return one_step(grid, step)


@sampler(
    weak=2, weak_cold=2,
    nfe=lambda n: 2 * n, prediction="noise", family="EDM",
    source="Karras et al. 2022, arXiv:2206.00364, Alg. 2",
)  # fmt: skip
def edm_churn(
    process: Process,
    grid: Grid,
    *,
    churn: float = 2.0,
    rho_low: float = 0.0,
    rho_high: float = math.inf,
) -> Plan:
    """EDM with churn: noise is *added* up to ``rho (1 + gamma)``, then a Heun step from there.

    ``gamma = min(churn/steps, sqrt(2) - 1)`` where ``rho_low <= rho <= rho_high``. The model is
    evaluated at the raised level. Marginals are preserved for every churn; the limit SDE is not
    the eta-family's, so no strong order is declared.
    """
    if not (math.isfinite(churn) and churn >= 0):
        msg = f"churn must be a finite number >= 0, got {churn}"
        raise InvalidPlanError(msg)
    if not rho_low <= rho_high:  # NaN would mean no noise at all
        msg = f"noise is added from rho_low up to rho_high, got {rho_low} and {rho_high}"
        raise InvalidPlanError(msg)
    gamma = min(churn / len(grid), math.sqrt(2) - 1)

    def step(tape: Tape, s: Node, t: Node, x: int) -> int:
        raised = s
        lam = max(s.lam - math.log1p(gamma), process.lam_min)
        if gamma > 0 and rho_low <= s.rho <= rho_high and lam < s.lam:
            raised = process.node_at_lam(lam)
            ratio = math.exp(raised.log_alpha - s.log_alpha)
            std = raised.sigma * math.sqrt(-math.expm1(2 * (lam - s.lam)))
            x = tape.lin((x, ratio), (tape.noise("churn", s.lam, t.lam), std))
        return rk_row(tape, process, HEUN, raised, t, x, "rho")

    return one_step(grid, step)
