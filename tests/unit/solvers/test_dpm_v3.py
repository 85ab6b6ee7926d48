"""DPM-Solver-v3: what its parameterisations reproduce, what it makes exact, what a fit buys."""

from __future__ import annotations

import math
from typing import Any

import mpmath
import numpy as np
import pytest
import torch

from fokker.analysis.order import refine
from fokker.analysis.paired import FlowProblem, rms, sample
from fokker.solvers.errors import InvalidPlanError
from fokker.solvers.fitted.dpm_v3 import Output, dpm_v3, v3_row
from fokker.solvers.fitted.statistics_v3 import (
    DATA_STATISTICS,
    NOISE_STATISTICS,
    Statistics,
    constant,
    estimate,
    gaussian_statistics,
    jacobian_diagonal,
    tabulated,
    velocity_statistics,
)
from fokker.solvers.grids import Grid, uniform_lam, wavy_lam
from fokker.solvers.plan import Eval, Lin, Plan, Tape
from fokker.solvers.plan_algebra import distance, to_prediction
from fokker.solvers.process import Array
from fokker.solvers.registry import get
from fokker.solvers.run import run
from fokker.solvers.samplers.predictor_corrector import unipc
from fokker.solvers.schedules import RectifiedFlow, VPLinear
from fokker.toy_models.gaussian import Gaussian
from fokker.toy_models.law import exact_model
from fokker.toy_models.problems import problem

VP = VPLinear()
MEAN = np.array([0.5, -0.3, 0.8])
VARIANCES = np.array([1.0, 0.3, 0.01])


def only_x(plan: Plan) -> Plan:
    return Plan(plan.ops, {"x": plan.outputs["x"]}, plan.marks)


def axis_aligned() -> Gaussian:
    mean, variances = torch.from_numpy(MEAN), torch.from_numpy(VARIANCES)
    return Gaussian.from_eigen(mean, torch.eye(3, dtype=torch.float64), variances)


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("process", [VP, RectifiedFlow()], ids=["vp", "flow"])
def test_constant_statistics_are_exponential_adams_on_data_and_on_noise(order, process):
    grid = wavy_lam(process, -2.0, 2.5).grid(7)
    data = dpm_v3(process, grid, order=order, statistics=DATA_STATISTICS)
    assert distance(data, get(f"exp_ab{order}_data")(process, grid)) < 1e-13
    noise = to_prediction(dpm_v3(process, grid, order=order, statistics=NOISE_STATISTICS), "noise")
    assert distance(only_x(noise), only_x(get(f"exp_ab{order}_noise")(process, grid))) < 1e-12


@pytest.mark.parametrize("order", [1, 2, 3])
def test_with_its_corrector_and_no_statistics_it_is_unipc_with_exact_weights(order):
    grid = wavy_lam(VP, -2.0, 2.5).grid(7)
    ours = dpm_v3(VP, grid, order=order, corrector=1)
    assert distance(ours, unipc(VP, grid, order=order, rule="exact")) < 1e-12
    assert distance(ours, dpm_v3(VP, grid, order=order, corrector=0)) > 1e-3


@pytest.mark.parametrize(("corrector", "most"), [(None, 3), (0, 3), (1, 4)])
def test_a_corrector_reads_as_many_outputs_as_it_says(corrector, most):
    plan = dpm_v3(VP, wavy_lam(VP, -2.0, 2.0).grid(8), order=3, corrector=corrector)
    read = []
    for mark in plan.marks[3:-1]:
        row = plan.ops[mark.vector]
        assert isinstance(row, Lin)
        read.append(sum(isinstance(plan.ops[j], Eval) for j, _ in row.terms))
    assert set(read) == {most}


def test_velocity_statistics_integrate_the_velocity_over_the_angle():
    """One step of VP is ``x + (phi_t - phi_s) v``, phi = arctan(sigma/alpha): not DDIM."""
    s, t = VP.node_at_lam(-0.7), VP.node_at_lam(0.9)
    plan = dpm_v3(VP, Grid((s, t)), order=1, statistics=velocity_statistics(VP))
    x, v = torch.tensor([[0.4]]).double(), torch.tensor([[-1.3]]).double()
    data = s.alpha * x - s.sigma * v
    angle = math.atan(t.sigma / t.alpha) - math.atan(s.sigma / s.alpha)
    assert float(run(plan, lambda *_: data, x).x) == pytest.approx(float(x + angle * v), rel=1e-13)


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("name", ["1", "2", "3", "2_corrected", "3_pseudo"])
def test_exact_statistics_of_an_axis_aligned_gaussian_make_every_step_exact(name, steps):
    law, grid = axis_aligned(), uniform_lam(VP, -4.0, 3.0).grid(steps)
    x = law.sample(8, seed=1) + 0.5
    ends = [(n.alpha, n.sigma) for n in (grid[0], grid[-1])]
    options = {"statistics": gaussian_statistics(MEAN, VARIANCES)}
    got = sample(get(f"dpm_v3_{name}"), exact_model(law, VP), VP, grid, x, **options)
    assert (got - law.flow(x, *ends)).abs().max() < 1e-11
    if steps == 1:  # no fixed parameterisation does
        plain = sample(get("dpm_v3_1"), exact_model(law, VP), VP, grid, x)
        assert (plain - law.flow(x, *ends)).abs().max() > 0.1


def _wild(lam: Array) -> tuple[Array, Array, Array]:
    return 0.6 + 0.3 * np.sin(lam), -0.4 + 0.2 * np.cos(2 * lam), 0.5 * np.cos(lam)


def test_the_weights_of_a_step_are_the_integrals_of_the_exact_solution():
    """Against nested quadrature by mpmath for l, s, b that are no parameterisation of anything."""
    lams = (0.1, 0.7, -0.3)
    s, t, older = (VP.node_at_lam(v) for v in lams)
    tape = Tape()
    ids = [tape.input(n, node) for n, node in (("x", s), ("m", s), ("y", older), ("k", older))]
    one = tape.input("one", s)
    outputs = [Output(ids[0], ids[1], s), Output(ids[2], ids[3], older)]
    end = v3_row(tape, Statistics(_wild), s, t, ids[0], outputs, one=one)
    plan = tape.plan(x=end)
    given = {"x": 0.3, "m": -0.8, "y": 0.5, "k": 0.9, "one": 1.0}
    fields = {k: torch.full((1, 1), v, dtype=torch.float64) for k, v in given.items()}
    got = float(run(plan, lambda x, _: x, fields.pop("x"), history=fields).x)
    assert got == pytest.approx(float(_by_hand(lams, given)), rel=1e-12)


def _by_hand(lams: tuple[float, ...], v: dict[str, float]) -> Any:
    """Every integral by nested quadrature, L and S in closed form."""
    a, b, c = lams

    def big_l(u: Any) -> Any:
        return 0.6 * (u - a) - 0.3 * (mpmath.cos(u) - mpmath.cos(a))

    def big_s(u: Any) -> Any:
        return -0.4 * (u - a) + 0.1 * (mpmath.sin(2 * u) - mpmath.sin(2 * a))

    def big_b(u: Any) -> Any:
        return mpmath.quad(lambda w: mpmath.exp(-big_s(w)) * 0.5 * mpmath.cos(w), [a, u])

    s, t, older = (VP.node_at_lam(u) for u in lams)
    f0, f1 = (
        (1 - _wild(np.array(u))[0]) * v[x] / n.alpha - v[m]
        for u, x, m, n in ((a, "x", "m", s), (c, "y", "k", older))
    )
    g1 = mpmath.exp(-big_s(c)) * f1 - big_b(c)  # and g0 = f0

    def integrand(u: Any) -> Any:
        g: Any = f0 + (g1 - f0) * (u - a) / (c - a)
        return mpmath.exp(big_l(u) + big_s(u)) * (g + big_b(u))

    outer = t.alpha * mpmath.exp(-big_l(b))
    whole: Any = mpmath.quad(integrand, [a, b])
    return outer * (v["x"] / s.alpha - whole)


def _quad(f: Any, ends: list[float]) -> float:
    value: Any = mpmath.quad(f, ends)
    return float(value)


def _pseudo_step(power: int, *, pseudo: bool) -> float:
    """What a step from lam 0 to 0.5 makes of ``D = lam^power``, over alpha."""
    nodes, t = [VP.node_at_lam(v) for v in (0.0, -0.3, -0.8)], VP.node_at_lam(0.5)
    tape = Tape()
    x = tape.input("x", nodes[0])
    ms = [tape.input(f"m{j}", node) for j, node in enumerate(nodes)]
    outputs = [Output(x, m, node) for m, node in zip(ms, nodes, strict=True)]
    end = v3_row(tape, DATA_STATISTICS, nodes[0], t, x, outputs, pseudo=pseudo)
    values = {
        f"m{j}": torch.full((1, 1), n.lam**power, dtype=torch.float64) for j, n in enumerate(nodes)
    }
    zero = torch.zeros(1, 1, dtype=torch.float64)
    return float(run(tape.plan(x=end), lambda x, _: x, zero, history=values).x) / t.alpha


@pytest.mark.parametrize("power", [0, 1, 2])
def test_pseudo_orders_integrate_straight_lines_exactly_and_parabolas_not(power):
    exact = _quad(lambda u: mpmath.exp(u - 0.5) * mpmath.mpf(u) ** power, [0, 0.5])
    assert _pseudo_step(power, pseudo=False) == pytest.approx(exact, abs=1e-14)
    if power < 2:
        assert _pseudo_step(power, pseudo=True) == pytest.approx(exact, abs=1e-14)
    else:  # through 0 with the divided differences of lam^2 for derivatives: u^2 - 0.3 u
        line = _quad(lambda u: mpmath.exp(u - 0.5) * (u * u - 0.3 * u), [0, 0.5])
        assert _pseudo_step(power, pseudo=True) == pytest.approx(line, abs=1e-14)


@pytest.mark.parametrize("name", ["gaussian", "product"])
def test_hutchinson_agrees_with_the_closed_form_diagonal_to_a_percent(name):
    p = problem(name)
    node = p.process.node_at_lam(0.3)
    x = node.alpha * p.law.sample(1024, seed=1) + node.sigma * 0.5
    found = jacobian_diagonal(p.model(), x, node.t, probes=32)
    eye = torch.eye(p.law.dim, dtype=torch.float64)
    rows = [p.law.denoiser_jvp(x, e.expand_as(x), node.alpha, node.sigma).mean(0) for e in eye]
    truth = torch.stack(rows).diagonal()
    ell, exact = 1 - node.alpha * found, 1 - node.alpha * truth
    assert ((ell - exact) / exact).abs().max() < 0.01
    assert ((found - truth) / truth).abs().max() > 1e-9  # an estimate, not the formula again


def test_estimated_statistics_of_a_gaussian_are_those_of_its_formula():
    law, grid = axis_aligned(), uniform_lam(VP, -3.0, 2.0).grid(4)
    starts = law.sample(256, seed=2) * grid[0].alpha
    starts = starts + grid[0].sigma * law.sample(256, seed=3) / torch.from_numpy(VARIANCES).sqrt()
    found = estimate(exact_model(law, VP), VP, grid, starts)
    exact = gaussian_statistics(MEAN, VARIANCES)
    lams = np.linspace(-2.9, 1.9, 23)
    (l0, s0, b0), (l1, _, b1) = found.at(lams), exact.at(lams)
    np.testing.assert_allclose(l0, l1, atol=2e-5)
    # s is free where f does not vary, so look at what it predicts: f' = s f + b
    np.testing.assert_allclose(b0 - s0 * l1 * MEAN, b1, atol=2e-3)


def test_s_and_b_are_the_regression_along_the_exact_flow():
    """With f from states that the exact flow carries to nearby levels, not from a tangent."""
    p = problem("product")
    lams, middle, step = np.linspace(-1.0, 1.0, 21), 10, 1e-3
    s = p.process.node_at_lam(lams[0])
    x = s.alpha * p.law.sample(256, seed=1) + s.sigma * p.law.sample(256, seed=2)
    grid = uniform_lam(p.process, -1.0, 1.0).grid(2)
    found = estimate(p.model(), p.process, grid, x, nodes=21)

    def f(lam: float) -> Array:
        node = p.process.node_at_lam(lam)
        state = p.law.flow(x, (s.alpha, s.sigma), (node.alpha, node.sigma))
        ell = found(node)[0]
        return ((1 - ell) * state.numpy() / node.alpha) - p.model()(state, node.t).numpy()

    lam = lams[middle]
    here, rate = f(lam), (f(lam + step) - f(lam - step)) / (2 * step)
    for k in range(3):
        slope, offset = np.polyfit(here[:, k], rate[:, k], 1)
        _, s_found, b_found = found(p.process.node_at_lam(lam))
        assert s_found[k] == pytest.approx(slope, rel=1e-3, abs=1e-3)
        assert b_found[k] == pytest.approx(offset, rel=1e-3, abs=1e-3)


@pytest.fixture(scope="module")
def fitted():
    p = problem("mixture")
    grid = uniform_lam(p.process, p.lam_start, p.lam_end).grid(10)
    fit = get("dpm_v3_1").fit
    assert fit is not None
    return dict(fit(p.model(), p.process, grid, p.starts(1024, seed=1)))


def test_fitted_statistics_gain_a_fifth_over_ddim_on_starts_they_did_not_see(fitted):
    p = problem("mixture")
    x = p.starts(128, seed=2)
    truth = p.endpoint(x)
    for steps in (5, 10):
        grid = uniform_lam(p.process, p.lam_start, p.lam_end).grid(steps)
        errors = [
            rms(sample(get("dpm_v3_1"), p.model(), p.process, grid, x, **options) - truth)
            for options in ({}, fitted)
        ]
        assert errors[1] < 0.8 * errors[0]


@pytest.mark.parametrize(("name", "order"), [("1", 1), ("2", 2), ("3", 3), ("2_corrected", 3)])
def test_a_fit_keeps_the_order(name, order):
    law = FlowProblem("product", problem("product").law, VP, -1.5, 1.5, batch=8)
    wide = FlowProblem("product", law.law, VP, -3.0, 1.5, batch=128)
    options = {"statistics": estimate(law.model("data"), VP, uniform_lam(VP, -3, 1.5).grid(2),
                                      wide.starts(), nodes=32)}  # fmt: skip
    x, (begin, end) = law.starts(), law.ends()
    truth, model, maps = law.flow(x, begin, end), law.model("data"), wavy_lam(VP, -1.5, 1.5)

    def error(steps: int) -> float:
        entry = get(f"dpm_v3_{name}")
        earlier = maps.history(steps, entry.history)
        given = {}
        for j, node in enumerate(earlier, 1):
            given[f"x-{j}"] = law.flow(x, begin, node)
            given[f"m-{j}"] = model(given[f"x-{j}"], node.t)
        plan = entry(VP, maps.grid(steps), history=earlier, **options)
        return rms(run(plan, model, x, history=given).x - truth)

    seen = refine(error, claim=order, floor=1e-10, first=8)
    assert seen.verdict(order) == "met", seen.slopes


def test_a_fitted_run_cut_in_two_hands_its_states_over():
    law, grid = axis_aligned(), wavy_lam(VP, -2.0, 1.5).grid(6)
    lams = np.linspace(-2.0, 1.5, 9)
    wild = tabulated(lams, *(np.stack([v, 0.5 * v, v], -1) for v in _wild(lams)))
    whole = dpm_v3(VP, grid, order=3, statistics=wild)
    first = dpm_v3(VP, grid.part(0, 3), order=3, statistics=wild)
    assert {"x-1", "m-1", "x-2", "m-2"} <= set(first.outputs)
    nodes = [grid[2], grid[1]]
    second = dpm_v3(VP, grid.part(3, 6), order=3, statistics=wild, history=nodes)
    x, model = law.sample(4, seed=0), exact_model(law, VP)
    half = run(first, model, x)
    history = {k: v for k, v in half.outputs.items() if k != "x"}
    got = run(second, model, half.x, history=history).x
    torch.testing.assert_close(got, run(whole, model, x).x, rtol=1e-12, atol=1e-12)


def test_the_corrector_reuses_f_of_the_predicted_state_with_its_own_x():
    """Reusing D (or eps) with the corrected x is another sampler: the cache trap."""
    grid = wavy_lam(VP, -1.0, 1.0).grid(3)
    plan = dpm_v3(VP, grid, order=2, corrector=1, statistics=constant(0.5, 0.0))
    states = [op.source for op in plan.ops if isinstance(op, Eval)]
    predicted, corrected = states[1], plan.marks[0].vector
    assert predicted != corrected
    row = plan.ops[plan.marks[1].vector]
    assert isinstance(row, Lin)
    assert {predicted, corrected} <= {j for j, _ in row.terms}


def test_what_cannot_be_is_refused_in_one_sentence():
    grid = uniform_lam(VP, -2.0, 2.0).grid(4)
    lams = np.linspace(-1.0, 2.0, 8)
    short = tabulated(lams, *np.ones((3, 8)))
    with pytest.raises(InvalidPlanError, match=r"statistics cover lam from -1.0 to 2.0.*-2.0"):
        dpm_v3(VP, grid, order=1, statistics=short)
    with pytest.raises(InvalidPlanError, match="corrector None, 0 or 1, got 1 and 2"):
        dpm_v3(VP, grid, order=1, corrector=2)
    with pytest.raises(InvalidPlanError, match="order >= 1"):
        dpm_v3(VP, grid, order=0)
    with pytest.raises(InvalidPlanError, match="at least 64 starts and 4 nodes, got 10, 64"):
        estimate(lambda x, _: x, VP, grid, torch.zeros(10, 2).double())
    with pytest.raises(
        InvalidPlanError, match=r"autograd cannot differentiate the model at t = 0\.5"
    ):
        jacobian_diagonal(lambda x, _: x.detach(), torch.zeros(4, 2).double(), 0.5, probes=1)
