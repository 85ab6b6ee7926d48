"""The exact strong error: against fine plans on the same path, and against theory."""

from __future__ import annotations

import math
from bisect import bisect_right

import numpy as np
import pytest
from scipy.integrate import quad

from fokker.analysis.gaussian_path import backward, marginal, normal, transition
from fokker.analysis.law import response, start_node
from fokker.analysis.strong import strong_error
from fokker.solvers.errors import AnalysisError
from fokker.solvers.grids import Grid, uniform_lam, wavy_lam
from fokker.solvers.plan import Lin, Noise, Plan, Tape, clock_measure
from fokker.solvers.process import Process
from fokker.solvers.registry import get
from fokker.solvers.schedules import EDM, VPCosine, VPLinear
from hand_made import scale_weights

VP = VPLinear()
DATA = normal([0.5, -1.0, 2.0], [1e-3, 0.25, 4.0])


def on_one_path(coarse: Plan, fine: Plan, eta: float) -> float:
    """Root mean square difference of two plans; coarse noise is the sum of its fine cells."""
    a, b = (response(plan, DATA, history_eta=eta) for plan in (coarse, fine))
    edges = [cell.a for cell in a.cells]
    if a.cells[0].clock == "t":
        edges = [-e for e in edges]
    gap = np.array(b.noises)
    for i, cell in enumerate(b.cells):
        j = bisect_right(edges, -cell.a if cell.clock == "t" else cell.a) - 1
        whole = a.cells[j]
        share = clock_measure(cell.clock, cell.a, cell.b) / clock_measure(
            whole.clock, whole.a, whole.b
        )
        gap[i] -= a.noises[j] * math.sqrt(share)
    start = marginal(DATA, start_node(coarse))
    gain, shift = a.start - b.start, a.constant - b.constant
    total = gain**2 * start.var + (gain * start.mean + shift) ** 2 + (gap**2).sum(axis=0)
    return float(np.sqrt(total.mean()))


def one_noise_of_clock(clock: str, process: Process, grid: Grid) -> Plan:
    """The reverse SDE with D constant over a step, its noise an increment of ``clock``."""
    tape = Tape()
    x = tape.input("x", grid[0])
    for s, t in grid.steps():
        h = t.lam - s.lam
        keep = math.exp(t.log_sigma - s.log_sigma - h)
        d, xi = tape.eval(x, s), tape.noise(clock, s.lam, t.lam)
        std = t.sigma * math.sqrt(-math.expm1(-2 * h))
        x = tape.mark(tape.lin((x, keep), (d, t.alpha * -math.expm1(-2 * h)), (xi, std)), t)
    return tape.plan(x=x)


@pytest.mark.parametrize(
    ("name", "eta"),
    [("sde_dpmpp_1", 1.0), ("sde_dpmpp_2m", 1.0), ("euler_maruyama", 1.0),
     ("reverse_diffusion", 1.0), ("ddim_eta", 0.25), ("lam", 1.0), ("rho2", 1.0)],
)  # fmt: skip
def test_the_strong_error_is_the_limit_of_differences_to_fine_plans(name, eta):
    """Two plans and the SDE are points of one Hilbert space: the triangle inequality binds."""
    grid_map = wavy_lam(VP, -2.0, 1.5)

    def plan(steps: int) -> Plan:
        if name in ("lam", "rho2"):
            return one_noise_of_clock(name, VP, grid_map.grid(steps))
        return get(name)(VP, grid_map.grid(steps))

    coarse, fine = plan(8), plan(1024)
    near = strong_error(fine, DATA, eta=eta, process=VP).rms
    far = strong_error(coarse, DATA, eta=eta, process=VP).rms
    assert near < 0.02 * far
    assert abs(on_one_path(coarse, fine, eta) - far) <= near * (1 + 1e-9)


@pytest.mark.parametrize(
    ("name", "eta"),
    [("sde_dpmpp_1", 1.0), ("ancestral", 1.0), ("ddim_eta", 0.25), ("euler_maruyama", 1.0),
     ("reverse_diffusion", 1.0), ("sde_dpmpp_3m", 1.0)],
)  # fmt: skip
def test_one_noise_a_step_has_strong_order_one(name, eta):
    grid_map = uniform_lam(VP, -2.0, 2.0)
    coarse, fine = (
        strong_error(get(name)(VP, grid_map.grid(n)), DATA, eta=eta, process=VP).rms
        for n in (256, 512)
    )
    assert math.log2(coarse / fine) == pytest.approx(1.0, abs=0.05)


def two_noises(grid: Grid, sign: float = 1.0) -> Plan:
    """SRA1 (Roessler 2010) in the clock v = e^{2 lam}: dy = D dv + dW_v, y = x alpha/sigma^2."""
    process, tape = EDM(80.0), Tape()
    x = tape.input("x", grid[0])
    for s, t in grid.steps():
        v, h = math.exp(2 * s.lam), clock_measure("snr^1.0", s.lam, t.lam)
        m = process.node_at_lam(0.5 * math.log(v + 0.75 * h))
        w = tape.noise("snr^1.0", s.lam, t.lam, "W")
        area = tape.noise("snr^1.0", s.lam, t.lam, "H")
        d1 = tape.eval(x, s)

        def scale(n):
            return n.sigma**2 / n.alpha

        stage = tape.lin(
            (x, scale(m) / scale(s)),
            (d1, scale(m) * 0.75 * h),
            (w, scale(m) * 0.75 * math.sqrt(h)),
            (area, sign * scale(m) * 1.5 * math.sqrt(h / 12)),
        )
        d2 = tape.eval(stage, m)
        c = scale(t)
        x = tape.mark(
            tape.lin(
                (x, c / scale(s)), (d1, c * h / 3), (d2, c * 2 * h / 3), (w, c * math.sqrt(h))
            ),
            t,
        )
    return tape.plan(x=x)


def test_space_time_area_buys_strong_order_two_on_a_gaussian_and_its_flipped_sign_loses_it():
    grid_map = uniform_lam(EDM(80.0), -1.5, 1.0)

    def slope(sign: float) -> float:
        a, b = (
            strong_error(two_noises(grid_map.grid(n), sign), DATA, eta=1.0) for n in (128, 256)
        )
        return math.log2(a.rms / b.rms)

    assert slope(+1.0) == pytest.approx(2.0, abs=0.05)
    assert slope(-1.0) == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("eta", [0.25, 1.0, 2.0])
def test_a_point_mass_is_followed_path_by_path_without_any_error(eta):
    """D is constant, so y = x e^{eta lam}/sigma is the path itself in the clock snr^eta."""
    plan = get("sde_dpmpp_1")(VP, wavy_lam(VP, -3.0, 3.0).grid(5), eta=eta)
    point = normal([1.3], [0.0])
    assert strong_error(plan, point, eta=eta).rms < 1e-13
    ops = [
        Noise("lam", op.a, op.b) if isinstance(op, Noise) else op for op in plan.ops
    ]  # planted: the right variance in the wrong clock
    wrong = Plan(tuple(ops), plan.outputs, plan.marks)
    assert strong_error(wrong, point, eta=eta).rms > 1e-3


@pytest.mark.parametrize("eta", [0.3, 1.0])
@pytest.mark.parametrize("process", [VP, VPCosine()], ids=["from lam = -4", "from alpha = 0"])
@pytest.mark.parametrize("to_zero", [False, True])
def test_a_sampler_without_noise_misses_all_of_the_noise_of_the_sde(eta, process, to_zero):
    begin = process.node(1.0)
    grid = Grid((begin, *wavy_lam(process, -4.0, 2.0).grid(6).nodes))
    grid = grid.with_zero() if to_zero else grid
    plan = get("ddim")(process, grid)
    missed = strong_error(plan, DATA, eta=eta).noise
    exact = transition(DATA, begin, grid[-1], eta).var
    assert missed == pytest.approx(math.sqrt(exact.mean()), rel=1e-12)


def test_the_last_step_to_sigma_zero_misses_only_the_noise_of_the_tail():
    grid_map = uniform_lam(VP, -2.0, 6.0)
    whole = strong_error(get("sde_dpmpp_2m")(VP, grid_map.grid(200, to_zero=True)), DATA, eta=1.0)
    stopped = strong_error(get("sde_dpmpp_2m")(VP, grid_map.grid(200)), DATA, eta=1.0)
    assert whole.rms == pytest.approx(stopped.rms, rel=0.2)


@pytest.mark.parametrize("clock", ["lam", "snr^1.0", "rho2", "t"])
def test_the_kernel_of_a_cell_has_norm_one_and_the_area_is_orthogonal_to_the_increment(clock):
    """Against the ODE (eta = 0) the noise part of the error is the plan's own noise."""
    s, t = VP.node_at_lam(-0.7), VP.node_at_lam(0.9)
    a, b = (s.t, t.t) if clock == "t" else (s.lam, t.lam)
    tape = Tape()
    x = tape.input("x", s)
    terms = [(tape.noise(clock, a, b, "W"), 0.3), (tape.noise(clock, a, b, "H"), -0.4)]
    plan = tape.plan(x=tape.mark(tape.lin((x, 1.0), *terms), t))
    found = strong_error(plan, DATA, eta=0.0, process=VP)
    assert found.noise == pytest.approx(0.5, rel=1e-12)


def test_a_warm_start_does_not_change_the_order_on_the_same_path():
    grid_map, sampler = uniform_lam(VP, -1.0, 1.0), get("sde_dpmpp_2m")
    errors = [
        strong_error(
            sampler(VP, grid_map.grid(n), history=grid_map.history(n, 1)), DATA, eta=1.0
        ).rms
        for n in (128, 256)
    ]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(1.0, abs=0.05)


def test_noises_that_are_not_one_path_are_refused():
    grid = uniform_lam(VP, -2.0, 2.0).grid(4)
    with pytest.raises(AnalysisError, match="clock 'churn' belongs to no Brownian path"):
        strong_error(get("edm_churn")(VP, grid), DATA, eta=1.0)
    with pytest.raises(AnalysisError, match="need the process"):
        strong_error(get("euler_maruyama")(VP, grid), DATA, eta=1.0)
    s, t = grid[0], grid[1]
    tape = Tape()
    x = tape.input("x", s)
    xi = [tape.noise(clock, s.lam, t.lam) for clock in ("lam", "rho2")]
    out = tape.mark(tape.lin((x, 1.0), *((i, 0.1) for i in xi)), t)
    with pytest.raises(AnalysisError, match="overlap"):
        strong_error(tape.plan(x=out), DATA, eta=1.0)
    tape = Tape()
    x = tape.input("x", s)
    out = tape.mark(tape.lin((x, 1.0), (tape.noise("lam", s.lam - 1, t.lam), 0.1)), t)
    with pytest.raises(AnalysisError, match="outside the plan's own stretch"):
        strong_error(tape.plan(x=out), DATA, eta=1.0)


def test_a_planted_noise_coefficient_costs_the_strong_order():
    def mistaken(steps: int) -> Plan:
        plan = get("sde_dpmpp_1")(VP, uniform_lam(VP, -2.0, 2.0).grid(steps))
        return scale_weights(plan, Noise, 1.05)

    a, b = (strong_error(mistaken(n), DATA, eta=1.0).rms for n in (512, 1024))
    assert math.log2(a / b) < 0.5


def kernel_by_hand(noise: Noise, lam: float, kind: str) -> float:
    """Kernel per unit of lam of a unit W or H noise, from its definition in the clock."""

    def clock(v: float) -> float:
        place = {"lam": v, "snr^1.0": math.exp(2 * v), "rho2": -math.exp(-2 * v)}
        return place[noise.clock] if noise.clock != "t" else -float(VP.t_of_lam(v))

    ends = [float(VP.lam(e)) if noise.clock == "t" else e for e in (noise.a, noise.b)]
    whole, e = clock(ends[1]) - clock(ends[0]), 1e-6
    density = (clock(lam + e) - clock(lam - e)) / (2 * e)
    flat = math.sqrt(density / whole)
    elapsed = (clock(lam) - clock(ends[0])) / whole
    return flat if kind == "W" else flat * math.sqrt(12) * (0.5 - elapsed)


@pytest.mark.parametrize("clock", ["lam", "snr^1.0", "rho2", "t"])
@pytest.mark.parametrize("eta", [0.4, 1.0])
def test_the_error_of_one_cell_is_the_integral_on_paper(clock, eta):
    s, t = VP.node_at_lam(-0.7), VP.node_at_lam(0.9)
    a, b = (s.t, t.t) if clock == "t" else (s.lam, t.lam)
    tape = Tape()
    x = tape.input("x", s)
    terms = [(tape.noise(clock, a, b, "W"), 0.3), (tape.noise(clock, a, b, "H"), 0.2)]
    plan = tape.plan(x=tape.mark(tape.lin((x, 1.0), *terms), t))
    cell, data = Noise(clock, a, b), normal([0.0], [0.25])

    def square(lam: float) -> float:
        node = VP.node_at_lam(lam)
        truth = transition(data, node, t, eta).gain[0] * math.sqrt(2 * eta) * node.sigma
        made = 0.3 * kernel_by_hand(cell, lam, "W") + 0.2 * kernel_by_hand(cell, lam, "H")
        return (truth - made) ** 2

    integral, _ = quad(square, s.lam, t.lam, epsabs=1e-13)
    found = strong_error(plan, data, eta=eta, process=VP)
    assert found.noise == pytest.approx(math.sqrt(integral), rel=1e-7)
    gain = 1.0 - transition(data, s, t, eta).gain[0]
    assert found.start == pytest.approx(abs(gain) * math.sqrt(marginal(data, s).var[0]), rel=1e-12)


def test_a_step_without_noise_is_a_step_with_noise_of_weight_zero():
    grid = wavy_lam(VP, -2.0, 2.0).grid(6)
    plan = get("sde_dpmpp_1")(VP, grid)
    (third,) = [
        i for i, op in enumerate(plan.ops) if isinstance(op, Noise) and op.a == grid[2].lam
    ]
    weightless, absent = (
        [
            Lin(tuple((j, 0.0 if j == third else w) for j, w in op.terms if j != third or keep))
            if isinstance(op, Lin)
            else op
            for op in plan.ops
        ]
        for keep in (True, False)
    )
    absent[third] = Lin(((0, 0.0),))  # the noise is never drawn
    errors = [
        strong_error(Plan(tuple(ops), plan.outputs, plan.marks), DATA, eta=1.0).noise
        for ops in (weightless, absent)
    ]
    assert errors[1] == pytest.approx(errors[0], rel=1e-12)
    assert errors[0] > strong_error(plan, DATA, eta=1.0).noise


def test_the_randomness_of_an_exact_history_counts():
    """One warm step: the error is a x + b x_{-1} + noise gap, (x, x_{-1}) jointly Gaussian."""
    data, grid_map = normal([0.0], [0.25]), wavy_lam(VP, -1.0, 1.0)
    (past,) = grid_map.history(4, 1)
    plan = get("sde_dpmpp_2m")(VP, grid_map.grid(1), history=[past])
    begin, end = start_node(plan), plan.marks[-1].node
    exact, ode = response(plan, data, history_eta=1.0), response(plan, data, history_eta=0.0)
    back = [backward(data, past, begin, eta) for eta in (0.0, 1.0)]
    on_past = (ode.start - exact.start) / (back[0].gain - back[1].gain)
    on_now = ode.start - on_past * back[0].gain - transition(data, begin, end, 1.0).gain
    now, then = marginal(data, begin).var, marginal(data, past).var
    joint = back[1].gain * now
    square = on_now**2 * now + on_past**2 * then + 2 * on_now * on_past * joint
    tape, cell = Tape(), exact.cells[0]
    x = tape.input("x", begin)
    xi = tape.noise(cell.clock, cell.a, cell.b)
    alone = tape.plan(x=tape.mark(tape.lin((x, 1.0), (xi, float(exact.noises[0, 0]))), end))
    gap = strong_error(alone, data, eta=1.0).noise
    found = strong_error(plan, data, eta=1.0)
    assert found.rms**2 == pytest.approx(float(square[0]) + gap**2, rel=1e-9)
    assert found.noise > gap
