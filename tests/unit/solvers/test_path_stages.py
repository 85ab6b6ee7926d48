"""Stages on the path against stages with noises of their own; and the printed formulas."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from fokker.analysis.algebra import constant_residual
from fokker.analysis.gaussian_path import Normal, eigenbasis, marginal
from fokker.analysis.law import Response, response, weak_error
from fokker.analysis.strong import strong_error, strong_error_of
from fokker.solvers.errors import InvalidPlanError
from fokker.solvers.grids import grid_from_lams
from fokker.solvers.plan import Tape
from fokker.solvers.plan_algebra import distance
from fokker.solvers.process import Node
from fokker.solvers.registry import get
from fokker.solvers.samplers.onestep import one_step
from fokker.solvers.schedules import EDM, RectifiedFlow, VPLinear
from fokker.toy_models.problems import problem
from laws.zoo import constant_data_response, grid_of

PROCESS = VPLinear()
DATA = eigenbasis(problem("gaussian").law)
STEPS = (32, 64, 128)


def _weak(name: str, start: Normal | None = None, **options: Any) -> list[float]:
    found = []
    for steps in STEPS:
        plan = get(name)(PROCESS, grid_of(PROCESS, steps, "uniform"), **options)
        eta = get(name).sde_eta
        found.append(math.hypot(*weak_error(plan, DATA, start, eta=1.0 if eta is None else eta)))
    return found


def _strong(name: str, **options: Any) -> list[float]:
    grids = [grid_of(PROCESS, steps, "uniform") for steps in STEPS]
    return [strong_error(get(name)(PROCESS, g, **options), DATA, eta=1.0).rms for g in grids]


def _slope(errors: list[float]) -> float:
    return math.log2(errors[-2] / errors[-1])


# -- what independent noises cost -----------------------------------------------------------------


@pytest.mark.parametrize("name", ["sde_dpmpp_2s", "sde_dpmpp_3s"])
def test_stages_with_noises_of_their_own_cost_a_weak_order(name):
    """Exactly, on a Gaussian: the drift reacts to noise that is then thrown away."""
    shared, own = _weak(name), _weak(name, noise="independent")
    assert _slope(shared) > 1.8
    assert 0.85 < _slope(own) < 1.15
    assert own[-1] > 10 * shared[-1]


def _strong_own(name: str) -> list[float]:
    """The path is that of the ends; a noise of a stage's own is independent of it."""
    errors = []
    for steps in STEPS:
        grid = grid_of(PROCESS, steps, "uniform")
        found = response(get(name)(PROCESS, grid, noise="independent"), DATA)
        own = np.array([cell.clock == "churn" for cell in found.cells])
        cells = tuple(c for c, away in zip(found.cells, own, strict=True) if not away)
        past = np.concatenate([found.past, found.noises[own]])
        split = Response(found.start, found.constant, found.noises[~own], cells, past)
        errors.append(strong_error_of(split, DATA, grid[0], grid[-1], eta=1.0).rms)
    return errors


@pytest.mark.parametrize("name", ["sde_dpmpp_2s", "sde_dpmpp_3s"])
def test_stages_with_noises_of_their_own_keep_strong_order_1_and_cost_a_constant(name):
    """Exactly, on a Gaussian, against the SDE on the path of the ends of the steps."""
    shared, own = _strong(name), _strong_own(name)
    assert _slope(shared) > 0.85
    assert 0.85 < _slope(own) < 1.1
    assert 1.5 < own[-1] / shared[-1] < 6


def test_two_stages_with_noises_of_their_own_are_no_better_than_one_at_equal_cost():
    own, one = _weak("sde_dpmpp_2s", noise="independent"), _weak("sde_dpmpp_1")
    assert own[0] > one[1]  # 64 evaluations each


def test_each_stage_with_a_noise_of_its_own_still_has_the_right_law():
    """Nothing in the marginal of a stage tells the two apart: constant data are exact in both."""
    grid = grid_of(PROCESS, 5)
    for noise in ("path", "independent"):
        plan = get("sde_dpmpp_3s")(PROCESS, grid, noise=noise)
        keep, mean, *weights = constant_data_response(plan)["x"]
        assert keep * grid[0].alpha + mean == pytest.approx(grid[-1].alpha, abs=1e-13)
        variance = keep**2 * grid[0].sigma ** 2 + math.fsum(np.square(weights))
        assert variance == pytest.approx(grid[-1].sigma ** 2, abs=1e-13)


def test_the_path_in_the_wrong_clock_keeps_the_orders_and_costs_a_constant():
    """k-diffusion's tree is in rho, its SDE in the SNR: stage and end are too much correlated."""
    right, tree = _strong("sde_dpmpp_2s"), _strong("dpmpp_sde_published")
    assert _slope(right) > 0.85
    assert _slope(tree) > 0.85
    assert 1.5 < tree[-1] / right[-1] < 4


def test_area_and_increment_gain_half_a_strong_order_and_more_over_two_path_values():
    """Both take two evaluations a step and two normals."""
    assert _strong("sde_sra1")[-1] < 0.1 * _strong("sde_dpmpp_2s")[-1]


# -- the ancestral form ---------------------------------------------------------------------------


def test_the_ancestral_step_keeps_marginals_to_order_2_but_solves_the_sde_to_order_1():
    node = grid_of(PROCESS, 2)[0]
    assert _slope(_weak("dpmpp_2s_ancestral")) > 1.8
    true = marginal(DATA, node)
    other = Normal(true.mean + 0.5, true.var * 0.3)
    assert 0.8 < _slope(_weak("dpmpp_2s_ancestral", other)) < 1.2
    assert _slope(_weak("sde_dpmpp_2s", other)) > 1.8


@pytest.mark.parametrize("eta", [0.4, 1.0])
def test_the_ancestral_step_is_the_printed_one(eta):
    """The step of k-diffusion in sigma: t = -log sigma, s the middle of [t, t_down]."""

    def row(tape: Tape, s: Node, t: Node, x: int) -> int:
        up = min(t.sigma, eta * math.sqrt(t.sigma**2 * (s.sigma**2 - t.sigma**2) / s.sigma**2))
        down = math.sqrt(t.sigma**2 - up**2)
        middle = EDM().node(math.sqrt(s.sigma * down))
        d = tape.eval(x, s)
        inner = tape.lin((x, middle.sigma / s.sigma), (d, 1 - middle.sigma / s.sigma))
        new = tape.eval(inner, middle)
        xi = tape.noise("snr^1.0", s.lam, t.lam)
        return tape.lin((x, down / s.sigma), (new, 1 - down / s.sigma), (xi, up))

    grid = grid_of(EDM(), 5)
    plan = get("dpmpp_2s_ancestral")(EDM(), grid, eta_ddim=eta)
    assert distance(plan, one_step(grid, row)) < 1e-12


@pytest.mark.parametrize("eta", [0.4, 1.0])
def test_the_published_sde_step_is_the_printed_one(eta):
    """Two ancestral steps from s; the tree's increments normalised in the clock sigma."""

    def down_up(a: float, b: float) -> tuple[float, float]:
        up = min(b, eta * math.sqrt(b * b * (a * a - b * b) / (a * a)))
        return math.sqrt(b * b - up * up), up

    def row(tape: Tape, s: Node, t: Node, x: int) -> int:
        middle = EDM().node(math.sqrt(s.sigma * t.sigma))
        early = tape.noise("snr^1.0", s.lam, middle.lam)
        late = tape.noise("snr^1.0", middle.lam, t.lam)
        sd, su = down_up(s.sigma, middle.sigma)
        inner = tape.lin((x, sd / s.sigma), (tape.eval(x, s), 1 - sd / s.sigma), (early, su))
        sd, su = down_up(s.sigma, t.sigma)
        whole = math.sqrt(s.sigma - t.sigma)
        return tape.lin(
            (x, sd / s.sigma), (tape.eval(inner, middle), 1 - sd / s.sigma),
            (early, su * math.sqrt(s.sigma - middle.sigma) / whole),
            (late, su * math.sqrt(middle.sigma - t.sigma) / whole),
        )  # fmt: skip

    grid = grid_of(EDM(), 5)
    plan = get("dpmpp_sde_published")(EDM(), grid, eta_ddim=eta)
    assert distance(plan, one_step(grid, row)) < 1e-12


@pytest.mark.parametrize("name", ["dpmpp_2s_ancestral", "dpmpp_sde_published"])
def test_without_noise_the_k_diffusion_forms_are_dpm_solver_plus_plus_2s(name):
    grid = grid_of(PROCESS, 5)
    ode = get("dpmpp_2s")(PROCESS, grid)
    assert distance(get(name)(PROCESS, grid, eta_ddim=0.0), ode) < 1e-12
    assert distance(get("sde_dpmpp_2s")(PROCESS, grid, eta=0.0), ode) < 1e-12
    with pytest.raises(InvalidPlanError, match=r"eta_ddim must lie in \[0, 1\], got 1.5"):
        get(name)(PROCESS, grid, eta_ddim=1.5)


# -- SEEDS ----------------------------------------------------------------------------------------


def _seeds_2(tape: Tape, s: Node, t: Node, x: int) -> int:
    """Printed for eta = 1 with s1 = 1/2 of the step; z1 and z2 are the halves of the path."""
    h = t.lam - s.lam
    m = PROCESS.node_at_lam(s.lam + h / 2)
    z1, z2 = tape.noise("rho2", s.lam, m.lam), tape.noise("rho2", m.lam, t.lam)
    inner = tape.lin(
        (x, m.alpha / s.alpha), (tape.eval(x, s, "noise"), -2 * m.sigma * (math.exp(h / 2) - 1)),
        (z1, m.sigma * math.sqrt(math.exp(h) - 1)),
    )  # fmt: skip
    return tape.lin(
        (x, t.alpha / s.alpha), (tape.eval(inner, m, "noise"), -2 * t.sigma * (math.exp(h) - 1)),
        (z1, t.sigma * math.sqrt(math.exp(2 * h) - math.exp(h))),
        (z2, t.sigma * math.sqrt(math.exp(h) - 1)),
    )  # fmt: skip


def test_seeds_2_is_the_printed_one():
    grid = grid_of(PROCESS, 5)
    assert distance(get("seeds_2")(PROCESS, grid), one_step(grid, _seeds_2)) < 1e-12


def _published_seeds_3(tape: Tape, s: Node, t: Node, x: int) -> int:
    """The third update of the reference code on the noise prediction, in its names."""
    h, c2, c3 = t.lam - s.lam, 1 / 3, 2 / 3
    s2, s3 = (PROCESS.node_at_lam(s.lam + c * h) for c in (c2, c3))
    z1, z2, z3 = (
        tape.noise("rho2", a.lam, b.lam) for a, b in pairwise((s, s2, s3, t))
    )  # fmt: skip
    phi_12, phi_13, phi_1 = (math.expm1(c * h) for c in (c2, c3, 1.0))
    phi_23, phi_2 = phi_13 / (c3 * h) - 1, phi_1 / h - 1
    psi = math.sqrt(math.expm1(2 * h / 3))
    a1, a2 = (phi_12 + 1) * psi, (phi_13 + 1) * psi
    m = tape.eval(x, s, "noise")
    x2 = tape.lin((x, s2.alpha / s.alpha), (m, -2 * s2.sigma * phi_12), (z1, s2.sigma * psi))
    m2 = tape.eval(x2, s2, "noise")
    k = 2 * c3 / c2 * s3.sigma * phi_23
    x3 = tape.lin(
        (x, s3.alpha / s.alpha), (m, -2 * s3.sigma * phi_13 + k), (m2, -k),
        (z1, t.sigma * a1), (z2, t.sigma * psi),
    )  # fmt: skip
    m3, k = tape.eval(x3, s3, "noise"), 3 * t.sigma * phi_2
    return tape.lin(
        (x, t.alpha / s.alpha), (m, -2 * t.sigma * phi_1 + k), (m3, -k),
        (z1, t.sigma * a1), (z2, t.sigma * a2), (z3, t.sigma * psi),
    )  # fmt: skip


def test_the_published_seeds_3_is_its_code_and_seeds_3_is_not():
    grid = grid_of(PROCESS, 5)
    code = one_step(grid, _published_seeds_3)
    assert distance(get("seeds_3_published")(PROCESS, grid), code) < 1e-12
    assert distance(get("seeds_3")(PROCESS, grid), code) > 1e-2


def test_the_path_of_the_published_seeds_3_costs_a_constant():
    assert _weak("seeds_3_published")[0] > 2 * _weak("seeds_3")[0]
    assert _slope(_weak("seeds_3_published")) > 1.9


def test_what_cannot_be_is_refused_in_one_sentence():
    grid = grid_of(PROCESS, 4)
    with pytest.raises(InvalidPlanError, match=r"inner stage must lie in \(0, 1\), got 1"):
        get("sde_dpmpp_2s")(PROCESS, grid, r=1.0)
    with pytest.raises(InvalidPlanError, match="must be one of path, independent, got 'tree'"):
        get("sde_dpmpp_3s")(PROCESS, grid, noise="tree")


@pytest.mark.parametrize("eta", [1.0, 1.0 - 1e-9, 0.5])
@pytest.mark.parametrize("name", ["dpmpp_2s_ancestral", "dpmpp_sde_published"])
def test_steps_in_which_nothing_of_the_state_is_left_are_exact_for_constant_data(name, eta):
    """``1 - up^2`` is ``e^{-2h}`` at eta 1: formed as a difference it is 0 from h = 19 on."""
    flow = RectifiedFlow()
    plan = get(name)(flow, grid_from_lams(flow, [-25.0, 5.0, 24.5]), eta_ddim=eta)
    assert constant_residual(plan) < 1e-12
