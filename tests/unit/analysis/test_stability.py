"""Stability symbols: textbook intervals, characteristic polynomials by hand, direct long runs."""

from __future__ import annotations

import cmath
import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from fokker.analysis.stability import growth, real_interval, symbol
from fokker.solvers.errors import AnalysisError
from fokker.solvers.grids import Grid, uniform_lam
from fokker.solvers.plan import Plan, Tape
from fokker.solvers.process import Process
from fokker.solvers.quadrature import phi
from fokker.solvers.registry import get, samplers
from fokker.solvers.run import run
from fokker.solvers.samplers.onestep import HEUN, KUTTA3, MIDPOINT, RK4, Tableau, one_step, rk_row
from fokker.solvers.schedules import EDM
from hand_made import MidpointOnTheGrid, leapfrog

RK3_END = float(
    np.roots([1 / 6, 1 / 2, 1, 2]).real[np.argmin(abs(np.roots([1 / 6, 1 / 2, 1, 2]).imag))]
)
RK4_END = min(r.real for r in np.roots([1 / 24, 1 / 6, 1 / 2, 1]) if abs(r.imag) < 1e-9)
TEXTBOOK = [
    ("deis_rhoab1", -2.0),
    ("deis_rhoab2", -1.0),
    ("deis_rhoab3", -6 / 11),
    ("deis_rhoab4", -3 / 10),
    ("lms", -3 / 10),
    ("ipndm", -3 / 10),
    ("rho_midpoint", -2.0),
    ("edm_heun", -2.0),
    ("rho_kutta3", RK3_END),
    ("rho_rk4", RK4_END),
]


def rk_in_nu(process: Process, grid: Grid, *, tableau: Tableau) -> Plan:
    """A Runge-Kutta table on D in the clock alpha/sigma."""
    return one_step(grid, lambda tape, s, t, x: rk_row(tape, process, tableau, s, t, x, "nu"))


def adams_in_nu(process: Process, grid: Grid, *, weights: tuple[float, ...]) -> Plan:
    """Adams-Bashforth for equal steps on D in the clock alpha/sigma."""
    del process
    tape, past = Tape(), []
    x = tape.input("x", grid[0])
    for s, t in grid.steps():
        past = [tape.eval(x, s), *past][: len(weights)]
        use = weights if len(past) == len(weights) else (1.0,)
        terms = [(m, t.sigma * (t.nu - s.nu) * w) for m, w in zip(past, use, strict=False)]
        x = tape.mark(tape.lin((x, t.sigma / s.sigma), *terms), t)
    return tape.plan(x=x)


@pytest.mark.parametrize(("name", "end"), TEXTBOOK)
def test_classical_methods_reach_their_textbook_intervals_in_rho(name, end):
    assert real_interval(get(name), "rho") == pytest.approx(end, abs=1e-6)


@pytest.mark.parametrize(
    ("method", "end"),
    [
        (partial(adams_in_nu, weights=(1.0,)), -2.0),
        (partial(adams_in_nu, weights=(3 / 2, -1 / 2)), -1.0),
        (partial(adams_in_nu, weights=(23 / 12, -16 / 12, 5 / 12)), -6 / 11),
        (partial(adams_in_nu, weights=(55 / 24, -59 / 24, 37 / 24, -9 / 24)), -3 / 10),
        (partial(rk_in_nu, tableau=MIDPOINT), -2.0),
        (partial(rk_in_nu, tableau=HEUN), -2.0),
        (partial(rk_in_nu, tableau=KUTTA3), RK3_END),
        (partial(rk_in_nu, tableau=RK4), RK4_END),
    ],
    ids=["ab1", "ab2", "ab3", "ab4", "midpoint", "heun", "kutta3", "rk4"],
)
def test_classical_methods_reach_their_textbook_intervals_in_nu(method, end):
    assert real_interval(method, "nu") == pytest.approx(end, abs=1e-6)


def test_the_textbook_numbers_are_the_ones_in_books():
    assert pytest.approx(-2.5127, abs=5e-5) == RK3_END
    assert pytest.approx(-2.7853, abs=5e-5) == RK4_END


@pytest.mark.parametrize("h", [0.1, 0.5, 2.0])
@pytest.mark.parametrize("z", [-3.0, -0.4, 0.3, -0.5 + 1.5j])
def test_ddim_in_lam_is_euler_with_the_step_shrunk_by_its_exponential(h, z):
    expected = abs(1 + z * phi(1, -h))
    for name in ("ddim", "dpm_solver_1", "deis_rhoab1", "deis_tab1"):
        assert growth(get(name), z, h=h) == pytest.approx(expected, rel=1e-10)
    end = -2 / phi(1, -h)
    assert real_interval(get("ddim"), h=h) == pytest.approx(end, abs=1e-6)


@pytest.mark.parametrize("z", [-2.0, -1.0, -0.2, 0.1j])
@pytest.mark.parametrize("name", ["dpmpp_2m", "exp_ab2_data"])
def test_two_step_methods_have_the_characteristic_roots_found_by_hand(name, z):
    h, k = 0.5, 1 + z / 0.5
    slope = phi(1, -h) / 2 if name == "dpmpp_2m" else phi(2, -h)
    w0, w1 = h * (phi(1, -h) + slope), -h * slope
    roots = np.roots([1.0, -(math.exp(-h) + w0 * k), -w1 * k])
    assert growth(get(name), z, h=h) == pytest.approx(abs(roots).max(), rel=1e-9)


def test_exponential_runge_kutta_grows_by_its_own_polynomial():
    h, z = 0.5, -1.9
    n = 1 + z / h  # the data prediction as a multiple of x/alpha
    stage = math.exp(-h) + h * phi(1, -h) * n
    out = math.exp(-h) + h * ((phi(1, -h) - phi(2, -h)) * n + phi(2, -h) * n * stage)
    assert growth(get("exp_rk2_data"), z, h=h) == pytest.approx(abs(out), rel=1e-10)


@pytest.mark.parametrize("name", ["dpmpp_3m", "unipc_2", "exp_ab4_noise", "ipndm", "dpm_solver_3"])
def test_growth_is_what_a_long_run_of_the_sampler_shows(name):
    h, z = 0.5, -2.3 if name != "dpm_solver_3" else -3.0
    process = EDM(1e6)
    plan = get(name)(process, uniform_lam(process, -10.0, 20.0).grid(60))
    k = 1 + z / h

    def model(x, t):
        return k * x if plan.ops[1].prediction == "data" else (1 - k) * x / t

    start = torch.ones(1, 1, dtype=torch.float64)
    states = run(plan, model, start, save_at=range(40, 60)).saved
    ratio = abs(float(states[58]) / float(states[50])) ** (1 / 8)
    assert ratio > 1.2
    assert ratio == pytest.approx(growth(get(name), z, h=h), rel=1e-3)


@pytest.mark.parametrize(
    "name",
    [
        s.name
        for s in samplers("plan")
        if s.family in ("DEIS", "UniPC", "PNDM", "exponential Adams")
    ],
)
def test_every_multistep_sampler_has_a_constant_recurrence_in_lam_and_keeps_a_constant(name):
    found = symbol(get(name))
    assert found.growth(0.0) == pytest.approx(1.0, abs=1e-6)
    assert -10 < found.real_interval() <= 0


@pytest.mark.parametrize(
    ("group", "end"),
    [
        (["dpmpp_2m", "exp_ab2_data", "exp_ab2_noise", "deis_rhoab2", "deis_tab2"], -1.0),
        (["dpmpp_3m", "exp_ab3_noise", "deis_rhoab3"], -6 / 11),
        (["exp_ab4_data", "ipndm", "lms"], -3 / 10),
        (["dpm_solver_2", "dpmpp_2s", "exp_rk2_data", "edm_heun"], -2.0),
        (["dpm_solver_3", "exp_rk3_data", "rho_kutta3"], RK3_END),
        (["exp_rk4_data", "rho_rk4"], RK4_END),
    ],
)
def test_short_steps_in_lam_show_the_classical_method_underneath(group, end):
    for name in group:
        assert real_interval(get(name), h=1e-4) == pytest.approx(end, abs=5e-4)


def test_the_data_prediction_is_stable_on_longer_steps_than_the_noise_prediction():
    for k in (3, 4, 5):
        data, noise = (real_interval(get(f"exp_ab{k}_{p}")) for p in ("data", "noise"))
        assert data < noise < 0


def test_a_leapfrog_has_no_interval_on_the_negative_axis():
    assert real_interval(leapfrog, "rho") == 0.0
    assert growth(leapfrog, -0.5, "rho") == pytest.approx(0.5 + math.sqrt(1.25), rel=1e-9)
    assert growth(leapfrog, 0.8j, "rho") == pytest.approx(1.0, abs=1e-9)  # but the imaginary one


def test_a_macro_step_of_several_grid_steps_counts_as_one_step():
    z = -1.3
    assert growth(MidpointOnTheGrid(), z, "rho") == pytest.approx(1 + z + z * z / 2, rel=1e-10)
    assert real_interval(MidpointOnTheGrid(), "rho") == pytest.approx(-2.0, abs=1e-6)


def test_a_planted_weight_moves_the_interval():
    wrong = partial(adams_in_nu, weights=(1.4, -0.4))
    assert real_interval(wrong, "nu") == pytest.approx(-1 / 0.9, abs=1e-6)


def test_the_mean_of_a_stochastic_sampler_decays_twice_as_fast():
    z = -1e-4
    for name in ("sde_dpmpp_1", "ancestral", "sde_dpmpp_2m"):
        assert growth(get(name), z, h=0.01) == pytest.approx(cmath.exp(2 * z).real, abs=2e-6)


def test_a_symbol_that_does_not_exist_is_refused():
    with pytest.raises(AnalysisError, match="not constant on equal steps of 'rho'"):
        symbol(get("dpmpp_2m"), "rho")
    with pytest.raises(AnalysisError, match="not constant on equal steps of 'nu'"):
        symbol(get("rho_rk4"), "nu")
    with pytest.raises(AnalysisError, match="lam, rho, nu"):
        symbol(get("ddim"), "time")
    with pytest.raises(AnalysisError, match="h > 0"):
        symbol(get("ddim"), h=0.0)

    def unmarked(process: Process, grid: Grid) -> Plan:
        plan = get("ddim")(process, grid)
        marks = [replace(m, step=i) for i, m in enumerate(plan.marks[::3], 1)]
        return Plan(plan.ops, plan.outputs, tuple(marks))

    with pytest.raises(AnalysisError, match="the state after each"):
        symbol(unmarked)


def test_special_last_steps_do_not_enter():
    for name in ("dpmpp_3m", "exp_ab4_noise"):
        full, lower = (growth(get(name), -1.7, final=final) for final in ("full", "lower"))
        assert lower == pytest.approx(full, rel=1e-10)
