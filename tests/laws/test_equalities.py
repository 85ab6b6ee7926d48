"""The zoo collapses: published samplers under different names are the same table.

Sixteen equalities E1 .. E16 are known between published samplers. Reached by the methods here, and
held to 1e-12 below: E1 (the many faces of DDIM), E2 (EDM Heun is Heun in rho), E3 (2M is UniP-2 with
B2), E4 (2M with exact slope is exponential Adams-Bashforth 2), E5 (UniP-3 is exponential
Adams-Bashforth 3 for any B; the published 3M is not), E6 (2S is the exponential midpoint rule), E8
(SDE-1 is ancestral sampling), E9 (a shift of the data commutes with sampling), E11 (multistep
consistency sampling is DDIM with all of its noise), and of E13 that PLMS is iPNDM. They belong to
methods not present: E7 (DPM-Solver-v3), E10 (PFGM++), E12 (BDIA, O-BELM), the rest of E13 (HB, GHVB),
E14 (DC-Solver), E15 (teleportation), E16 (ResShift).

The other side of each equality is written out by hand from its paper, on every level with plain
exponentials, so that a slip in the engine cannot hide in both sides.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from fokker.solvers.grids import Grid, grid_from_sigmas
from fokker.solvers.onestep import EULER, one_step, rk_row
from fokker.solvers.plan import Plan, Tape
from fokker.solvers.plan_algebra import canonical, distance, to_prediction
from fokker.solvers.predictor_corrector import unipc
from fokker.solvers.process import Node, Process
from fokker.solvers.registry import get
from fokker.solvers.run import run
from scipy.integrate import quad
from tolerances import EXACT

from laws.zoo import (
    GRIDS,
    PLANS,
    PROCESSES,
    CallOrderNoise,
    bimodal_model,
    each,
    grid_map,
    grid_of,
    starts,
    steps_of,
    variants,
)

Step = Callable[[Tape, Node, Node, int], int]

on_processes = pytest.mark.parametrize("process", PROCESSES.values(), ids=PROCESSES)
on_grids = pytest.mark.parametrize("kind", GRIDS)


def only_x(plan: Plan) -> Plan:
    """The plan without what it hands to a following one, which keeps its declared prediction."""
    return Plan(plan.ops, {"x": plan.outputs["x"]}, plan.marks)


def same(a: Plan, b: Plan) -> bool:
    """Whether two plans are one sampler, whichever prediction they ask for."""
    a, b = (to_prediction(only_x(p), "data") for p in (a, b))
    return distance(a, b) < EXACT


def multistep_by_hand(
    grid: Grid,
    count: int,
    prediction: str,
    row: Callable[[Sequence[Node], Node], tuple[float, Sequence[float]]],
) -> Plan:
    """``x_t = a x + sum_j w_j m_j`` with ``(a, w) = row(nodes newest first, t)``, orders 1, 2, ..."""
    tape = Tape()
    x = tape.input("x", grid[0])
    past: list[tuple[int, Node]] = []
    for s, t in grid.steps():
        past = [(tape.eval(x, s, prediction), s), *past][:count]
        a, w = row([node for _, node in past], t)
        x = tape.mark(
            tape.lin((x, a), *((m, wj) for (m, _), wj in zip(past, w, strict=True))), t
        )
    return tape.plan(x=x)


# -- E1: DDIM and its names ---------------------------------------------------------------------

DDIM_NAMES = (
    "ddim", "dpm_solver_1", "exp_ab1_data", "exp_ab1_noise", "deis_tab1", "deis_rhoab1",
)  # fmt: skip


def _euler(grid: Grid, process: Process, clock: str) -> Plan:
    return one_step(grid, lambda tape, s, t, x: rk_row(tape, process, EULER, s, t, x, clock))


@on_grids
@on_processes
def test_e1_ddim_has_many_names(process, kind):
    grid = grid_of(process, 6, kind)

    def step(tape: Tape, s: Node, t: Node, x: int) -> int:  # Song, Meng & Ermon, eq. 12
        eps = tape.lin((x, 1 / s.sigma), (tape.eval(x, s), -s.alpha / s.sigma))
        return tape.lin((tape.eval(x, s), t.alpha), (eps, t.sigma))

    truth = one_step(grid, step)
    for name in DDIM_NAMES:
        assert same(get(name)(process, grid), truth), name
    for clock in ("rho", "nu"):
        assert same(_euler(grid, process, clock), truth), clock


@on_grids
@on_processes
def test_e1_ddim_is_also_what_every_stochastic_sampler_of_first_order_is_without_noise(
    process, kind
):
    grid = grid_of(process, 6, kind)
    ddim = get("ddim")(process, grid)
    assert same(get("sde_dpmpp_1")(process, grid, eta=0.0), ddim)
    assert same(get("ddim_eta")(process, grid, eta_ddim=0.0), ddim)


@on_processes
def test_e1_a_single_step_of_unip_is_ddim(process):
    grid = grid_of(process, 1)
    for order in (1, 2, 3):
        assert same(unipc(process, grid, order=order), get("ddim")(process, grid))


@on_grids
def test_e1_ddim_is_euler_on_the_flow_velocity(kind):
    process = PROCESSES["flow"]
    grid = grid_of(process, 6, kind)

    def step(tape: Tape, s: Node, t: Node, x: int) -> int:
        return tape.lin((x, 1.0), (tape.eval(x, s, "flow"), t.t - s.t))

    assert same(get("ddim")(process, grid), one_step(grid, step))


@on_grids
@pytest.mark.parametrize("name", ["vp", "cosine", "trig"])
def test_e1_ddim_is_a_rotation_by_the_velocity_where_alpha2_plus_sigma2_is_1(name, kind):
    process = PROCESSES[name]
    grid = grid_of(process, 6, kind)

    def step(tape: Tape, s: Node, t: Node, x: int) -> int:
        angle = math.atan2(t.sigma, t.alpha) - math.atan2(s.sigma, s.alpha)
        return tape.lin((x, math.cos(angle)), (tape.eval(x, s, "velocity"), math.sin(angle)))

    assert same(get("ddim")(process, grid), one_step(grid, step))

    def straight(tape: Tape, s: Node, t: Node, x: int) -> int:
        angle = math.atan2(t.sigma, t.alpha) - math.atan2(s.sigma, s.alpha)
        return tape.lin((x, 1.0), (tape.eval(x, s, "velocity"), angle))

    assert not same(get("ddim")(process, grid), one_step(grid, straight))


# -- E2: EDM --------------------------------------------------------------------------------------


@on_grids
@pytest.mark.parametrize("name", ["ve", "edm"])
@pytest.mark.parametrize("to_zero", [False, True])
def test_e2_edm_heun_is_heun_in_rho_and_its_euler_is_ddim(name, kind, to_zero):
    process = PROCESSES[name]
    grid = grid_of(process, 5, kind)
    grid = grid.with_zero() if to_zero else grid

    def slope(tape: Tape, at: Node, x: int) -> int:  # Karras et al., Alg. 1, on the denoiser
        return tape.lin((x, 1 / at.sigma), (tape.eval(x, at), -1 / at.sigma))

    def heun(tape: Tape, s: Node, t: Node, x: int) -> int:
        d = slope(tape, s, x)
        euler = tape.lin((x, 1.0), (d, t.sigma - s.sigma))
        if t.sigma == 0.0:
            return euler
        half = 0.5 * (t.sigma - s.sigma)
        return tape.lin((x, 1.0), (d, half), (slope(tape, t, euler), half))

    def euler(tape: Tape, s: Node, t: Node, x: int) -> int:
        return tape.lin((x, 1.0), (slope(tape, s, x), t.sigma - s.sigma))

    truth = one_step(grid, heun)
    assert same(get("edm_heun")(process, grid), truth)
    assert same(get("edm_churn")(process, grid, churn=0.0), truth)
    assert same(get("ddim")(process, grid), one_step(grid, euler))


# -- E3 .. E5: multistep in lam -----------------------------------------------------------------


def _steps(nodes: Sequence[Node], t: Node) -> tuple[float, float, float]:
    """``(h, sigma_t/sigma_s, e^{-h})`` of the step from the newest node to t."""
    h = t.lam - nodes[0].lam
    return h, t.sigma / nodes[0].sigma, math.exp(-h)


def _two_m(nodes: Sequence[Node], t: Node) -> tuple[float, list[float]]:
    """DPM-Solver++(2M), Alg. 2: ``D = (1 + 1/2r) D_0 - D_1/2r``, r = h_last/h."""
    h, ratio, decay = _steps(nodes, t)
    if len(nodes) == 1:
        return ratio, [t.alpha * (1 - decay)]
    r = (nodes[0].lam - nodes[1].lam) / h
    return ratio, [t.alpha * (1 - decay) * w for w in (1 + 1 / (2 * r), -1 / (2 * r))]


def _exact_two(nodes: Sequence[Node], t: Node) -> tuple[float, list[float]]:
    """The same with the slope integrated exactly: ``1 - (1 - e^{-h})/h`` for ``(1 - e^{-h})/2``."""
    h, ratio, decay = _steps(nodes, t)
    if len(nodes) == 1:
        return ratio, [t.alpha * (1 - decay)]
    slope = (1 - (1 - decay) / h) * h / (nodes[0].lam - nodes[1].lam)
    return ratio, [t.alpha * (1 - decay + slope), -t.alpha * slope]


def _three(second: float) -> Callable[[Sequence[Node], Node], tuple[float, list[float]]]:
    """Third-order multistep update in divided differences; ``second`` scales D2."""

    def row(nodes: Sequence[Node], t: Node) -> tuple[float, list[float]]:
        if len(nodes) < 3:
            return _exact_two(nodes, t)
        h, ratio, decay = _steps(nodes, t)
        r0 = (nodes[0].lam - nodes[1].lam) / h
        r1 = (nodes[1].lam - nodes[2].lam) / h
        d0, d10, d11 = np.eye(3)[0], np.array([1, -1, 0]) / r0, np.array([0, 1, -1]) / r1
        d1 = d10 + r0 / (r0 + r1) * (d10 - d11)
        d2 = (d10 - d11) / (r0 + r1)
        p1 = 1 - (1 - decay) / h
        p2 = 0.5 - p1 / h
        return ratio, list(t.alpha * ((1 - decay) * d0 + p1 * d1 + second * p2 * d2))

    return row


@on_grids
@on_processes
@pytest.mark.parametrize(
    ("name", "count", "row"),
    [
        ("dpmpp_2m", 2, _two_m),
        ("exp_ab2_data", 2, _exact_two),
        ("dpmpp_3m", 3, _three(2.0)),
        ("exp_ab3_data", 3, _three(2.0)),
        ("dpmpp_3m_published", 3, _three(1.0)),
    ],
)
def test_e3_e4_e5_multistep_tables_are_the_printed_ones(process, kind, name, count, row):
    grid = grid_of(process, 7, kind)
    assert same(get(name)(process, grid), multistep_by_hand(grid, count, "data", row))


@on_grids
@on_processes
def test_e3_2m_is_unip_2_with_b2_and_not_with_b1(process, kind):
    maps = grid_map(process, kind)
    history, grid = maps.history(4, 1), maps.grid(4).part(0, 1)
    two_m = get("dpmpp_2m")(process, grid, history=history)
    assert same(two_m, unipc(process, grid, order=2, rule="B2", history=history))
    assert not same(two_m, unipc(process, grid, order=2, rule="B1", history=history))
    assert not same(two_m, get("exp_ab2_data")(process, grid, history=history))


@on_grids
@on_processes
def test_e5_unip_3_is_exponential_adams_bashforth_3_for_any_b(process, kind):
    maps = grid_map(process, kind)
    history, grid = maps.history(4, 2), maps.grid(4).part(0, 1)
    adams = get("exp_ab3_data")(process, grid, history=history)
    for rule in ("B1", "B2", "exact"):
        assert same(adams, unipc(process, grid, order=3, rule=rule, history=history)), rule
    published = get("dpmpp_3m_published")(process, grid, history=history)
    assert distance(adams, published) > 1e-3


@on_grids
@on_processes
def test_b_of_unipc_is_immaterial_from_three_nodes_on(process, kind):
    maps = grid_map(process, kind)
    plans = [
        unipc(process, maps.grid(5), order=3, rule=rule, history=maps.history(5, 2))
        for rule in ("B1", "B2", "exact")
    ]
    assert max(distance(plans[0], p) for p in plans[1:]) < EXACT  # predictors 3, correctors 4 nodes
    one, two = (
        unipc(
            process,
            maps.grid(5).part(0, 1),
            order=2,
            rule=rule,
            history=maps.history(5, 1),
            correct_last=True,
        )
        for rule in ("B1", "B2")
    )
    gap = np.abs(canonical(one) - canonical(two)).max(axis=1)
    assert gap[1] > 1e-4  # the second evaluated state: a two-node prediction, where B matters
    assert np.delete(gap, 1).max() < EXACT  # corrected by three nodes: B is gone


@on_grids
@on_processes
def test_the_corrector_of_unipc_1_with_b2_is_the_trapezoidal_rule(process, kind):
    grid = grid_of(process, 1, kind)
    (s, t), tape = grid.nodes, Tape()
    x = tape.input("x", s)
    weight = t.alpha * (1 - math.exp(s.lam - t.lam))
    d0 = tape.eval(x, s)
    d1 = tape.eval(tape.lin((x, t.sigma / s.sigma), (d0, weight)), t)
    end = tape.lin((x, t.sigma / s.sigma), (d0, weight / 2), (d1, weight / 2))
    truth = tape.plan(x=tape.mark(end, t))
    assert same(unipc(process, grid, order=1, correct_last=True), truth)


# -- E6: single-step methods in lam ---------------------------------------------------------------


@on_grids
@on_processes
def test_e6_two_stage_solvers_are_exponential_midpoint_rules(process, kind):
    grid = grid_of(process, 5, kind)

    def middle(s: Node, t: Node) -> Node:
        return process.node_at_lam(0.5 * (s.lam + t.lam))

    def data(tape: Tape, s: Node, t: Node, x: int) -> int:
        m = middle(s, t)
        mid = tape.lin(
            (x, m.sigma / s.sigma), (tape.eval(x, s), m.alpha * (1 - math.exp(s.lam - m.lam)))
        )
        weight = t.alpha * (1 - math.exp(s.lam - t.lam))
        return tape.lin((x, t.sigma / s.sigma), (tape.eval(mid, m), weight))

    def noise(tape: Tape, s: Node, t: Node, x: int) -> int:
        m = middle(s, t)
        mid = tape.lin(
            (x, m.alpha / s.alpha),
            (tape.eval(x, s, "noise"), -m.sigma * (math.exp(m.lam - s.lam) - 1)),
        )
        weight = -t.sigma * (math.exp(t.lam - s.lam) - 1)
        return tape.lin((x, t.alpha / s.alpha), (tape.eval(mid, m, "noise"), weight))

    assert same(get("dpmpp_2s")(process, grid), one_step(grid, data))
    assert same(get("dpm_solver_2")(process, grid), one_step(grid, noise))
    assert not same(get("dpmpp_2s")(process, grid), get("dpm_solver_2")(process, grid))


@on_grids
@on_processes
def test_dpm_solver_3_is_the_printed_one(process, kind):
    grid = grid_of(process, 4, kind)

    def step(tape: Tape, s: Node, t: Node, x: int) -> int:  # Lu et al., Alg. 2
        h = t.lam - s.lam
        a, b = (process.node_at_lam(s.lam + r * h) for r in (1 / 3, 2 / 3))
        grow = {n: math.exp(n.lam - s.lam) - 1 for n in (a, b, t)}
        e0 = tape.eval(x, s, "noise")
        u1 = tape.lin((x, a.alpha / s.alpha), (e0, -a.sigma * grow[a]))
        d1 = tape.lin((tape.eval(u1, a, "noise"), 1.0), (e0, -1.0))
        second = 2 * b.sigma * (grow[b] / (2 / 3 * h) - 1)
        u2 = tape.lin((x, b.alpha / s.alpha), (e0, -b.sigma * grow[b]), (d1, -second))
        d2 = tape.lin((tape.eval(u2, b, "noise"), 1.0), (e0, -1.0))
        third = 1.5 * t.sigma * (grow[t] / h - 1)
        return tape.lin((x, t.alpha / s.alpha), (e0, -t.sigma * grow[t]), (d2, -third))

    assert same(get("dpm_solver_3")(process, grid), one_step(grid, step))


# -- E8, E11: stochastic --------------------------------------------------------------------------


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


# -- E9: a shift of the data ----------------------------------------------------------------------


@each([e for e in PLANS if e.semilinear])
@pytest.mark.parametrize("name", ["vp", "edm", "flow"])
def test_e9_a_shift_of_the_data_commutes_with_sampling(entry, name):
    process, shift = PROCESSES[name], 1.7
    grid = grid_of(process, steps_of(entry, 6))
    s, t = grid[0], grid[-1]
    x = starts() * s.alpha
    for options in variants(entry):
        plan = entry(process, grid, **options)
        plain = run(
            plan, bimodal_model(process, entry.prediction), x, noise=CallOrderNoise()
        ).x
        moved = run(
            plan,
            bimodal_model(process, entry.prediction, shift=shift),
            x + s.alpha * shift,
            noise=CallOrderNoise(),
        ).x
        torch.testing.assert_close(moved - t.alpha * shift, plain, rtol=1e-10, atol=1e-10)


# -- E13 and classical multistep methods ----------------------------------------------------------


@on_grids
@on_processes
def test_e13_plms_is_ipndm(process, kind):
    """DDIM's transfer by a mean of noise predictions, Adams-Bashforth coefficients of equal steps."""
    grid = grid_of(process, 7, kind)
    table = ((1,), (1.5, -0.5), (23 / 12, -16 / 12, 5 / 12), (55 / 24, -59 / 24, 37 / 24, -9 / 24))

    def row(nodes: Sequence[Node], t: Node) -> tuple[float, list[float]]:
        ratio = t.alpha / nodes[0].alpha
        slope = t.sigma - ratio * nodes[0].sigma
        return ratio, [slope * b for b in table[len(nodes) - 1]]

    assert same(get("ipndm")(process, grid), multistep_by_hand(grid, 4, "noise", row))


@on_grids
@on_processes
def test_lms_is_deis_rhoab4_is_adams_bashforth_in_sigma_over_alpha(process, kind):
    grid = grid_of(process, 7, kind)

    def row(nodes: Sequence[Node], t: Node) -> tuple[float, list[float]]:
        rho = [n.sigma / n.alpha for n in nodes]

        def weight(j: int) -> float:  # as image libraries integrate the Lagrange basis
            def basis(tau: float) -> float:
                terms = [(tau - r) / (rho[j] - r) for i, r in enumerate(rho) if i != j]
                return math.prod(terms)

            return quad(basis, rho[0], t.sigma / t.alpha, epsabs=1e-14, epsrel=1e-13)[0]

        ratio = t.alpha / nodes[0].alpha
        return ratio, [t.alpha * weight(j) for j in range(len(nodes))]

    truth = multistep_by_hand(grid, 4, "noise", row)
    assert same(get("lms")(process, grid), truth)
    assert distance(get("lms")(process, grid), get("deis_rhoab4")(process, grid)) == 0.0


@on_processes
def test_where_rho_is_uniform_ipndm_is_lms_and_where_t_is_affine_in_rho_so_is_tab(process):
    rhos = list(np.linspace(4.0, 0.4, 9))
    grid = grid_from_sigmas(process, rhos)
    assert same(get("ipndm")(process, grid), get("lms")(process, grid))
    tab = get("deis_tab4")(process, grid)
    # on EDM the time is rho itself; elsewhere it bends, and the two differ
    assert same(tab, get("lms")(process, grid)) == (process is PROCESSES["edm"])


@on_grids
@on_processes
def test_tab_is_the_printed_one(process, kind):
    """Polynomials in t of the noise prediction, integrated against drho by another quadrature."""
    grid = grid_of(process, 5, kind)

    def row(nodes: Sequence[Node], t: Node) -> tuple[float, list[float]]:
        times = [n.t for n in nodes]

        def weight(j: int) -> float:
            def basis(time: float) -> float:
                value = math.prod(
                    (time - r) / (times[j] - r) for i, r in enumerate(times) if i != j
                )
                rho = math.exp(-float(process.lam(time)))
                return -value * rho * float(process.dlam_dt(time))

            return quad(basis, times[0], t.t, epsabs=1e-13, epsrel=1e-12)[0]

        ratio = t.alpha / nodes[0].alpha
        return ratio, [t.alpha * weight(j) for j in range(len(nodes))]

    for order in (2, 3, 4):
        truth = multistep_by_hand(grid, order, "noise", row)
        assert same(get(f"deis_tab{order}")(process, grid), truth), order
