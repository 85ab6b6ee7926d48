"""The family of PNDM: starts, equal-step weights, and what the shipped variable-step code has."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch

from fokker.analysis.paired import exact_history, rms
from fokker.solvers.grids import grid_from_sigmas, power_t, wavy_lam
from fokker.solvers.model import Model
from fokker.solvers.plan import Plan
from fokker.solvers.plan_algebra import distance
from fokker.solvers.process import Process
from fokker.solvers.quadrature import integral_weights
from fokker.solvers.registry import get
from fokker.solvers.run import run
from fokker.solvers.samplers.pseudo import ipndm_v_published, shipped_weights
from fokker.solvers.schedules import EDM, VPLinear
from fokker.toy_models.problems import problem
from laws.measuring import PROCESS, SPAN, flow_problem
from laws.zoo import grid_map

VP = VPLinear()
GRID = wavy_lam(VP, -2.0, 1.5).grid(6)


def slopes(
    build: Callable[..., Plan], steps: tuple[int, ...], kind: str, *, warm: bool
) -> list[float]:
    """Local slopes on the nonlinear law from lam = -1.5; history exact where asked for."""
    p = flow_problem("product")
    x, (begin, end) = p.starts(), p.ends()
    truth, model, maps = p.flow(x, begin, end), p.model("noise"), grid_map(PROCESS, kind, SPAN)
    errors = []
    for n in steps:
        nodes = maps.history(n, 3) if warm else ()
        given = exact_history(p, x, nodes, "noise")
        plan = build(PROCESS, maps.grid(n), history=nodes)
        errors.append(rms(run(plan, model, x, history=given).x - truth))
    return [math.log2(a / b) for a, b in pairwise(errors)]


def test_s_pndm_starts_by_a_pseudo_improved_euler_step():
    p = problem("product")
    x, model = p.starts(3), p.model("noise")

    def transfer(state, eps, s, t):  # DDIM from s to t
        return t.alpha / s.alpha * (state - s.sigma * eps) + t.sigma * eps

    state, before = x, None
    for s, t in GRID.steps():
        eps = model(state, s.t)
        if before is None:
            mean = (eps + model(transfer(state, eps, s, t), t.t)) / 2
        else:
            mean = (3 * eps - before) / 2
        before, state = eps, transfer(state, mean, s, t)
    plan = get("spndm")(VP, GRID)
    torch.testing.assert_close(run(plan, model, x).x, state, rtol=1e-12, atol=1e-12)
    assert plan.nfe == len(GRID) + 1


def test_s_pndm_from_history_is_ipndm_of_two_outputs():
    history = (VP.node_at_lam(-2.4),)
    one, two = (get(n)(VP, GRID, history=history) for n in ("spndm", "ipndm_2"))
    assert distance(one, two) < 1e-12
    assert distance(get("spndm")(VP, GRID), get("ipndm_2")(VP, GRID)) > 1e-3


@pytest.mark.parametrize("name", ["ipndm_2", "ipndm_3", "ipndm"])
def test_ipndm_is_adams_bashforth_where_steps_in_rho_are_equal(name: str):
    grid = grid_from_sigmas(VP, np.linspace(3.0, 0.3, 9).tolist())
    k = {"ipndm_2": 2, "ipndm_3": 3, "ipndm": 4}[name]
    assert distance(get(name)(VP, grid), get(f"deis_rhoab{k}")(VP, grid)) < 1e-11
    assert distance(get(name)(VP, GRID), get(f"deis_rhoab{k}")(VP, GRID)) > 1e-3


def test_where_time_is_sigma_interpolation_in_time_is_interpolation_in_rho():
    """On EDM t = sigma: the tAB and the rhoAB of DEIS are one method."""
    grid = wavy_lam(EDM(), -2.0, 1.5).grid(6)
    for k in (2, 3, 4):
        assert (
            distance(get(f"deis_tab{k}")(EDM(), grid), get(f"deis_rhoab{k}")(EDM(), grid)) < 1e-9
        )
        assert distance(get(f"deis_tab{k}")(VP, GRID), get(f"deis_rhoab{k}")(VP, GRID)) > 1e-4


def test_f_pndm_looks_fourth_order_and_ends_second():
    """On the uniform grid in time, from lam = -4 to 3, RMS over 128 starts of the mixture."""
    p = problem("mixture")
    x, model = p.starts(128), p.model("noise")
    truth, maps = p.endpoint(x), power_t(p.process, p.start.t, p.end.t)
    errors = [
        rms(run(get("pndm")(p.process, maps.grid(n)), model, x).x - truth)
        for n in (80, 160, 320, 640, 1280)
    ]
    found = [math.log2(a / b) for a, b in pairwise(errors)]
    assert found[0] > 3.0
    assert 1.9 < found[-1] < 2.2


# -- iPNDM_v as it is shipped ---------------------------------------------------------------------

NODES = [2.0, 2.5, 2.9, 3.7]


def test_shipped_weights_of_one_and_two_nodes_are_adams_bashforth():
    for k in (1, 2):
        exact = integral_weights(NODES[:k], lambda r: r, 2.0, 1.3) / -0.7
        np.testing.assert_allclose(shipped_weights(NODES[:k], 1.3), exact, rtol=1e-12)


def test_shipped_weights_of_three_nodes_are_right_on_equal_steps_alone():
    for k, equal in ((3, [23 / 12, -16 / 12, 5 / 12]), (4, None)):
        found = shipped_weights([4.0, 5.0, 6.0, 7.0][:k], 3.0)
        exact = integral_weights([4.0, 5.0, 6.0, 7.0][:k], lambda r: r, 4.0, 3.0) / -1.0
        assert np.allclose(found, exact) == (equal is not None)
    wrong = integral_weights(NODES[:3], lambda r: r, 2.0, 1.3) / -0.7
    assert not np.allclose(shipped_weights(NODES[:3], 1.3), wrong, atol=0.01)


def test_the_third_difference_of_the_shipped_weights_is_11_24():
    found = np.array(shipped_weights([4.0, 5.0, 6.0, 7.0], 3.0))
    second = np.array([23 / 12, -16 / 12, 5 / 12, 0.0])
    np.testing.assert_allclose(found - second, 11 / 24 * np.array([1, -3, 3, -1]), atol=1e-12)


def test_the_shipped_weights_add_up_to_one_only_for_constant_ratios():
    geometric = [2.0 * 1.3**k for k in range(4)]
    assert sum(shipped_weights(geometric, 2.0 / 1.3)) == pytest.approx(1.0, abs=1e-12)
    assert abs(sum(shipped_weights(NODES, 1.3)) - 1.0) > 0.05


@pytest.mark.parametrize(("kind", "order"), [("wavy", 2), ("uniform", 3)])
def test_ipndm_v_as_shipped_has_the_order_of_its_grid(kind: str, order: int):
    found = slopes(ipndm_v_published, (256, 512, 1024), kind, warm=True)
    assert found[-1] == pytest.approx(order, abs=0.1)
    right = slopes(get("ipndm_v"), (32, 64, 128), kind, warm=True)
    assert right[-1] > 3.7


def test_ipndm_v_is_deis_rho_ab_of_four_nodes():
    assert distance(get("ipndm_v")(VP, GRID), get("deis_rhoab4")(VP, GRID)) < 1e-12


def euler_in_time(process: Process, grid, model: Model, x):
    """The control: classical Adams-Bashforth 4 in t on dx/dt, equal steps."""
    weights = {
        1: [1.0],
        2: [3 / 2, -1 / 2],
        3: [23 / 12, -16 / 12, 5 / 12],
        4: [55 / 24, -59 / 24, 37 / 24, -9 / 24],
    }
    past: list = []
    for s, t in grid.steps():
        f, g2 = float(process.f(s.t)), float(process.g2(s.t))
        past = [f * x + g2 / (2 * s.sigma) * model(x, s.t), *past][:4]
        w = weights[len(past)]
        x = x + (t.t - s.t) * sum(a * d for a, d in zip(w, past, strict=True))
    return x


def test_at_ten_steps_the_classical_method_in_time_is_as_good_as_the_pseudo_one():
    """On the mixture, uniform in time: the pseudo form pays later, not at N = 10."""
    p = problem("mixture")
    x, model = p.starts(128), p.model("noise")
    truth, grid = p.endpoint(x), power_t(p.process, p.start.t, p.end.t).grid(10)
    pseudo = rms(run(get("ipndm")(p.process, grid), model, x).x - truth)
    classical = rms(euler_in_time(p.process, grid, model, x) - truth)
    assert classical == pytest.approx(pseudo, rel=0.35)
