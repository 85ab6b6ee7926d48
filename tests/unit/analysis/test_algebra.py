"""What a table proves by itself: degrees of its quadrature, and constants."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fokker.analysis.algebra import constant_residual, expand, quadrature_degree, step_degrees
from fokker.solvers.errors import AnalysisError
from fokker.solvers.grids import Grid, uniform_lam, wavy_lam
from fokker.solvers.plan import Eval, Lin, Noise, Plan, Tape
from fokker.solvers.plan_algebra import canonical, to_prediction
from fokker.solvers.process import Process
from fokker.solvers.registry import get
from fokker.solvers.rows import data_row, noise_row
from fokker.solvers.samplers.onestep import RK4, one_step, rk_row
from fokker.solvers.schedules import EDM, RectifiedFlow, VPCosine, VPLinear
from hand_made import leapfrog, scale_weights

VP = VPLinear()


def build(
    name: str,
    steps: int = 9,
    *,
    process: Process = VP,
    to_zero: bool = False,
    cold: bool = False,
    **kw,
):
    sampler, grid_map = get(name), wavy_lam(process, -1.5, 2.5)
    if sampler.history and not cold:
        kw["history"] = grid_map.history(steps, sampler.history)
    return sampler(process, grid_map.grid(steps, to_zero=to_zero), **kw)


EXACT_ON_POINTS = (
    "ddim",
    "dpmpp_3m_published",
    "exp_ab5_noise",
    "deis_tab4",
    "pndm",
    "unipc_3",
    "rho_rk4",
    "exp_rk4_data",
    "ancestral",
    "ddim_eta",
    "edm_churn",
    "sde_dpmpp_3m",
)
DISCRETISE = ("euler_maruyama", "reverse_diffusion")  # the linear part too

DEGREES = [
    ("ddim", "lam", 0),
    ("dpmpp_2m", "lam", 0),  # the midpoint rule: second order without a second moment
    ("exp_ab2_data", "lam", 1),
    ("exp_ab3_noise", "lam", 2),
    ("exp_ab4_data", "lam", 3),
    ("exp_ab5_noise", "lam", 4),
    ("dpmpp_3m", "lam", 2),
    ("dpmpp_3m_published", "lam", 1),  # half the second difference
    ("deis_rhoab3", "rho", 2),
    ("deis_rhoab4", "rho", 3),
    ("deis_tab3", "t", 2),
    ("ipndm", "rho", 0),  # Adams weights for equal steps on unequal ones
    ("exp_rk2_data", "lam", 1),
    ("dpm_solver_3", "lam", 1),
    ("rho_midpoint", "rho", 1),
    ("edm_heun", "rho", 1),
    ("rho_kutta3", "rho", 3),  # its weights are Simpson's rule
    ("rho_rk4", "rho", 3),
]


@pytest.mark.parametrize(("name", "clock", "degree"), DEGREES)
@pytest.mark.parametrize("process", [VP, EDM(80.0), VPCosine()], ids=lambda p: type(p).__name__)
def test_a_formula_integrates_polynomials_up_to_its_degree_and_no_further(
    name, clock, degree, process
):
    found = quadrature_degree(build(name, process=process), clock=clock, process=process)
    if name == "deis_tab3" and isinstance(process, EDM):
        assert found == quadrature_degree(build("deis_rhoab3", process=process), clock="rho")
    assert found == degree


@pytest.mark.parametrize("order", [1, 2, 3])
def test_unipc_has_one_degree_more_than_its_predictor_except_in_the_uncorrected_last_step(order):
    degrees = step_degrees(build(f"unipc_{order}"), clock="nu" if order == 1 else "lam")
    assert set(degrees[:-1]) == {order}
    assert degrees[-1] == (order - 1 if order == 3 else 0)  # two-node B2 predictor: midpoint
    if order > 1:
        assert set(step_degrees(build(f"unipc_{order}", correct_last=True))) == {order}


def test_a_cold_start_ramps_up_and_an_eased_end_ramps_down():
    assert step_degrees(build("exp_ab4_data", cold=True)) == (0, 1, 2, 3, 3, 3, 3, 3, 3)
    assert step_degrees(build("dpmpp_3m", final="lower"))[-3:] == (2, 1, 0)
    assert step_degrees(build("dpmpp_3m", to_zero=True)) == (*[2] * 9, 0)
    assert step_degrees(build("exp_ab3_noise", to_zero=True)) == (*[2] * 9, 0)


@pytest.mark.parametrize("eta", [0.3, 1.0])
def test_the_drift_of_the_eta_family_is_integrated_with_its_own_exponential(eta):
    plan = build("sde_dpmpp_3m", eta=eta)
    assert quadrature_degree(plan, eta=eta) == 2
    assert quadrature_degree(plan, eta=eta + 0.1) == -1


def test_euler_maruyama_and_reverse_diffusion_do_not_even_integrate_constants():
    assert quadrature_degree(build("euler_maruyama"), eta=1.0) == -1
    assert quadrature_degree(build("reverse_diffusion"), eta=1.0) == -1
    assert quadrature_degree(build("ancestral"), eta=1.0, prediction="data") == 0


def test_the_prediction_asked_of_the_model_does_not_matter():
    for name in ("exp_ab3_data", "exp_rk2_data", "unipc_2"):
        plan = get(name)(VP, wavy_lam(VP, -1.5, 2.5).grid(6))
        for other in ("velocity", "flow", "edm", "noise"):
            asked = to_prediction(plan, other)
            assert step_degrees(asked, prediction="data") == step_degrees(plan)


def test_a_two_step_leapfrog_is_judged_on_the_states_it_uses():
    grid = Grid(tuple(EDM(80.0).node(float(t)) for t in range(12, 4, -1)))
    assert step_degrees(leapfrog(EDM(80.0), grid), clock="rho") == (0, *[1] * 6)


@pytest.mark.parametrize("size", [1e-11, 1e-6])
@pytest.mark.parametrize("kind", ["state", "output"])
def test_a_planted_weight_is_seen_even_when_it_is_tiny(size, kind):
    plan = build("exp_ab3_data")
    last = plan.marks[4].vector
    terms = list(plan.ops[last].terms)
    which = 0 if kind == "state" else 1
    terms[which] = (terms[which][0], terms[which][1] * (1 + size))
    ops = list(plan.ops)
    ops[last] = Lin(tuple(terms))
    broken = Plan(tuple(ops), plan.outputs, plan.marks)
    assert step_degrees(broken) == (2, 2, 2, 2, -1, 2, 2, 2, 2)


def test_swapped_step_ratios_are_seen_on_a_wavy_grid_and_hidden_by_a_uniform_one():
    def swapped(grid_map) -> Plan:
        tape, grid, steps = Tape(), grid_map.grid(8), 8
        x = tape.input("x", grid[0])
        (old,) = grid_map.history(steps, 1)
        past = [(tape.input("m-1", old, "data"), old)]
        for s, t in grid.steps():
            m = (tape.eval(x, s), s)
            h, before = t.lam - s.lam, s.lam - past[0][1].lam
            fake = VP.node_at_lam(s.lam - h * h / before)  # ratio h/h_last for h_last/h
            x = tape.mark(data_row(tape, s, t, x, [m, (past[0][0], fake)]), t)
            past = [m]
        return tape.plan(x=x)

    assert quadrature_degree(swapped(wavy_lam(VP, -1.5, 2.5))) == 0
    assert quadrature_degree(swapped(uniform_lam(VP, -1.5, 2.5))) == 1


@pytest.mark.parametrize("name", [*EXACT_ON_POINTS, *DISCRETISE])
@pytest.mark.parametrize("process", [VP, RectifiedFlow()], ids=lambda p: type(p).__name__)
@pytest.mark.parametrize("to_zero", [False, True])
def test_a_point_mass_is_sampled_exactly_except_by_samplers_that_discretise_the_linear_part(
    name, process, to_zero
):
    residual = constant_residual(build(name, steps=5, process=process, to_zero=to_zero))
    if name in DISCRETISE:
        assert residual > 1e-3 or (to_zero and name == "reverse_diffusion")
    else:
        assert residual < 1e-12


@pytest.mark.parametrize("planted", [Noise, Eval])
def test_a_planted_noise_or_output_weight_is_seen_by_the_point_mass(planted):
    plan = build("ancestral")
    assert constant_residual(plan) < 1e-13
    assert constant_residual(scale_weights(plan, planted, 1 + 1e-6)) > 1e-8


def test_expanding_everything_gives_the_canonical_form():
    plan = build("unipc_2", cold=True)
    rows = expand(plan, set())
    leaves = [i for i, op in enumerate(plan.ops) if not isinstance(op, Lin)]
    last = [rows[plan.outputs["x"]].get(i, 0.0) for i in leaves]
    np.testing.assert_allclose(last, canonical(plan)[-1], rtol=1e-13, atol=1e-15)


def test_what_has_no_moments_is_refused():
    plan = build("ddim")
    with pytest.raises(AnalysisError, match="'lam', 'rho', 'nu'"):
        quadrature_degree(plan, clock="time")
    with pytest.raises(AnalysisError, match="with a process"):
        quadrature_degree(plan, clock="t")
    with pytest.raises(AnalysisError, match="'data' or 'noise'"):
        quadrature_degree(plan, prediction="flow")
    s, t = VP.node_at_lam(0.0), VP.node_at_lam(1.0)
    tape = Tape()
    x = tape.input("x", s)
    out = tape.mark(tape.lin((x, 1.0), (tape.input("v", s), 1.0)), t)
    with pytest.raises(AnalysisError, match="neither a state nor a data output"):
        quadrature_degree(tape.plan(x=out))


def test_steps_of_many_units_of_lam_are_integrated_as_well():
    grid = Grid(tuple(VP.node_at_lam(v) for v in (-4.0, 0.0, 3.5, 9.0)))
    for row, prediction in ((data_row, "data"), (noise_row, "noise")):
        tape = Tape()
        x = tape.input("x", grid[0])
        past: list = []
        for s, t in grid.steps():
            past = [(tape.eval(x, s, prediction), s), *past]
            x = tape.mark(row(tape, s, t, x, past), t)
        assert step_degrees(tape.plan(x=x)) == (0, 1, 2)
    assert math.isfinite(constant_residual(tape.plan(x=x)))


def test_one_step_plans_need_no_history():
    grid = wavy_lam(VP, -1.0, 1.0).grid(1)
    plan = one_step(grid, lambda tape, s, t, x: rk_row(tape, VP, RK4, s, t, x, "nu"))
    assert quadrature_degree(plan, clock="nu") == 3
