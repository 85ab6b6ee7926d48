"""Stochastic samplers are the tables that were printed: E8 and E11 of the sixteen equalities.

``test_equalities.py`` lists them all.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from fokker.solvers.plan import Tape
from fokker.solvers.plan_algebra import canonical, distance, to_prediction
from fokker.solvers.process import Node
from fokker.solvers.registry import get
from fokker.solvers.samplers.onestep import one_step
from laws.by_hand import on_grids, on_processes, only_x, same
from laws.zoo import PROCESSES, grid_of


def _posterior(s: Node, t: Node) -> tuple[float, float, float]:
    """``(x_s, x_0, std)`` of ``q(x_t | x_s, x_0)`` by conditioning two Gaussians.

    Given x_0: ``x_s = (alpha_s/alpha_t) x_t + noise`` and x_t has variance sigma_t^2.
    """
    a = s.alpha / t.alpha
    gain = t.sigma**2 * a / s.sigma**2
    return gain, t.alpha - gain * s.alpha, math.sqrt(t.sigma**2 - gain * a * t.sigma**2)


@on_grids
@on_processes
def test_e8_sde_1_is_ddim_with_full_noise_is_ancestral_is_the_exact_posterior(process, kind):
    grid = grid_of(process, 6, kind)

    def step(tape: Tape, s: Node, t: Node, x: int) -> int:
        keep, data, std = _posterior(s, t)
        xi = tape.noise("snr^1.0", s.lam, t.lam)
        return tape.lin((x, keep), (tape.eval(x, s), data), (xi, std))

    truth = one_step(grid, step)
    assert same(get("ancestral")(process, grid), truth)
    assert same(get("sde_dpmpp_1")(process, grid, eta=1.0), truth)
    assert same(get("ddim_eta")(process, grid, eta_ddim=1.0), truth)
    assert not same(get("ddim_eta")(process, grid, eta_ddim=0.5), truth)


@on_grids
@on_processes
def test_half_the_noise_of_ddim_is_not_a_quarter_of_the_sde(process, kind):
    grid = grid_of(process, 3, kind)
    ddim = canonical(to_prediction(get("ddim_eta")(process, grid, eta_ddim=0.5), "data"))
    sde = canonical(only_x(get("sde_dpmpp_1")(process, grid, eta=0.25)))
    assert 1e-3 < np.abs(ddim - sde).max() < 1  # equal in the limit, not at a finite step


@on_grids
@on_processes
def test_multistep_sdes_without_noise_are_the_multistep_odes(process, kind):
    grid = grid_of(process, 6, kind)
    for sde, ode in (
        ("sde_dpmpp_2m", "dpmpp_2m"),
        ("sde_dpmpp_3m", "dpmpp_3m"),
        ("sde_dpmpp_3m_published", "dpmpp_3m_published"),
    ):
        assert same(get(sde)(process, grid, eta=0.0), get(ode)(process, grid)), sde


@on_grids
@on_processes
def test_sde_2m_is_the_printed_one(process, kind):
    grid = grid_of(process, 6, kind)
    tape = Tape()
    x = tape.input("x", grid[0])
    before: tuple[int, float] | None = None
    for s, t in grid.steps():  # Lu et al. 2022b, eq. 18 with tau = 1
        h = t.lam - s.lam
        d = tape.eval(x, s)
        weight = t.alpha * (1 - math.exp(-2 * h))
        terms = [(x, t.sigma / s.sigma * math.exp(-h)), (d, weight)]
        if before is not None:
            r = before[1] / h
            terms += [(d, weight / (2 * r)), (before[0], -weight / (2 * r))]
        xi = tape.noise("snr^1.0", s.lam, t.lam)
        x = tape.mark(tape.lin(*terms, (xi, t.sigma * math.sqrt(1 - math.exp(-2 * h)))), t)
        before = (d, h)
    assert same(get("sde_dpmpp_2m")(process, grid, eta=1.0), tape.plan(x=x))


@on_grids
@on_processes
def test_e11_consistency_sampling_is_the_end_of_the_eta_family(process, kind):
    grid = grid_of(process, 4, kind)
    huge = 1e3  # e^{-eta h} is below 1e-300 on this grid

    def step(tape: Tape, s: Node, t: Node, x: int) -> int:  # x_t = alpha_t D + sigma_t xi
        xi = tape.noise(f"snr^{huge!r}", s.lam, t.lam)
        return tape.lin((tape.eval(x, s), t.alpha), (xi, t.sigma))

    truth = one_step(grid, step)
    assert same(get("sde_dpmpp_1")(process, grid, eta=huge), truth)


@on_grids
def test_reverse_diffusion_is_the_printed_one_on_a_variance_preserving_process(kind):
    """``x_{i-1} = (2 - sqrt(1 - beta_i)) x_i + beta_i score + sqrt(beta_i) xi`` (Song et al., 46).

    And on the exploding process ``x + (sigma_i^2 - sigma_{i-1}^2) score + noise`` (47).
    """

    def printed(a: float, variance: float, s: Node, t: Node, x: int, tape: Tape) -> int:
        xi = tape.noise("rho2", s.lam, t.lam)
        score = tape.eval(x, s, "score")
        return tape.lin((x, 2 - a), (score, variance), (xi, math.sqrt(variance)))

    def vp(tape: Tape, s: Node, t: Node, x: int) -> int:
        beta = 1 - (s.alpha / t.alpha) ** 2
        return printed(math.sqrt(1 - beta), beta, s, t, x, tape)

    def ve(tape: Tape, s: Node, t: Node, x: int) -> int:
        return printed(1.0, s.sigma**2 - t.sigma**2, s, t, x, tape)

    for name, step in (("vp", vp), ("cosine", vp), ("ve", ve), ("edm", ve)):
        grid = grid_of(PROCESSES[name], 5, kind)
        assert same(get("reverse_diffusion")(PROCESSES[name], grid), one_step(grid, step)), name


@on_grids
@on_processes
def test_euler_maruyama_is_the_printed_one(process, kind):
    """``dx = [f x - (1 + eta)/2 g^2 score] dt + sqrt(eta) g dW``, f and g by differences."""
    grid = grid_of(process, 5, kind)

    def rate(of: Callable[[float], float], t: float) -> float:
        d = 1e-4 * min(t, process.t_max - t)
        return (8 * (of(t + d) - of(t - d)) - of(t + 2 * d) + of(t - 2 * d)) / (12 * d)

    def step(eta: float) -> Callable[[Tape, Node, Node, int], int]:
        def row(tape: Tape, s: Node, t: Node, x: int) -> int:
            dt = s.t - t.t
            f = rate(lambda u: math.log(process.node(u).alpha), s.t)
            g2 = rate(lambda u: process.node(u).sigma ** 2, s.t) - 2 * f * s.sigma**2
            terms = [(x, 1 - f * dt), (tape.eval(x, s, "score"), (1 + eta) / 2 * g2 * dt)]
            noise = [(tape.noise("t", s.t, t.t), math.sqrt(eta * g2 * dt))] if eta else []
            return tape.lin(*terms, *noise)

        return row

    for eta in (0.0, 1.0, 2.0):
        plan = only_x(get("euler_maruyama")(process, grid, eta=eta))
        # differences of rounded values: eight digits
        assert distance(plan, one_step(grid, step(eta))) < 1e-7
