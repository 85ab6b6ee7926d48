"""DC-Solver: neutral ratios, the moved value, what a fit gains on other starts, the surface."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fokker.analysis.paired import rms
from fokker.solvers.errors import InvalidPlanError
from fokker.solvers.fitted.dc_ratios import RatioSurface, fit_ratios, reference_states
from fokker.solvers.fitted.dc_solver import dc_solver, moved_weights
from fokker.solvers.grids import GridMap, power_t, uniform_lam, wavy_lam
from fokker.solvers.model import Model
from fokker.solvers.plan import Eval, Lin
from fokker.solvers.plan_algebra import distance
from fokker.solvers.registry import get
from fokker.solvers.run import run
from fokker.solvers.schedules import VPLinear
from fokker.toy_models.law import exact_model
from fokker.toy_models.mixture import GaussianMixture
from fokker.toy_models.problems import problem

VP = VPLinear()
GRID = wavy_lam(VP, -2.0, 2.0).grid(7)


@pytest.mark.parametrize("order", [2, 3])
@pytest.mark.parametrize("correct_last", [False, True])
def test_ratio_one_is_unipc_row_by_row(order, correct_last):
    truth = get(f"unipc_{order}")(VP, GRID, correct_last=correct_last)
    for ratios in (None, [1.0] * 7):
        name, options = f"dc_solver_{order}", {"ratios": ratios, "correct_last": correct_last}
        assert get(name)(VP, GRID, **options) == truth
        assert get(name)(VP, GRID.with_zero(), ratios=ratios and [*ratios, 1.0]) == get(
            f"unipc_{order}"
        )(VP, GRID.with_zero())


def test_without_corrector_ratio_one_is_the_multistep_predictor():
    assert get("dc_solver_2_predictor")(VP, GRID) == get("dpmpp_2m")(VP, GRID)
    assert distance(get("dc_solver_2_predictor")(VP, GRID), get("unipc_2")(VP, GRID)) > 1e-3


@pytest.mark.parametrize("clock", ["t", "lam"])
def test_the_moved_value_is_the_parabola_through_the_cache(clock):
    nodes = [VP.node_at_lam(v) for v in (0.4, -0.1, -0.9)]
    places = [getattr(n, clock) for n in nodes]
    np.testing.assert_allclose(moved_weights(nodes, 1.0, clock), (1, 0, 0), atol=1e-15)
    np.testing.assert_allclose(moved_weights(nodes, 0.0, clock), (0, 1, 0), atol=1e-15)
    for ratio in (1.3, 0.4):
        at = ratio * places[0] + (1 - ratio) * places[1]
        weights = moved_weights(nodes, ratio, clock)
        learned = moved_weights(nodes, torch.tensor(ratio, dtype=torch.float64), clock)
        for power in range(3):
            found = sum(w * p**power for w, p in zip(weights, places, strict=True))
            assert found == pytest.approx(at**power, rel=1e-12)
        np.testing.assert_allclose([float(w) for w in learned], weights, rtol=1e-12)


def test_the_moved_value_stays_in_the_cache_and_the_first_two_steps_use_none():
    ratios = [0.3, 0.3, 1.4, 1.0, 1.0, 1.0, 1.0]
    plan, plain = dc_solver(VP, GRID, order=2, ratios=ratios), get("unipc_2")(VP, GRID)
    ends = [mark.vector for mark in plan.marks]
    assert plan.ops[: ends[1]] == plain.ops[: ends[1]]  # the ratios 0.3 did nothing
    moved = [
        i
        for i, op in enumerate(plan.ops)
        if isinstance(op, Lin) and all(isinstance(plan.ops[j], Eval) for j, _ in op.terms)
    ]
    assert len(moved) == 1
    readers = [i for i, op in enumerate(plan.ops) if isinstance(op, Lin)
               and moved[0] in dict(op.terms)]  # fmt: skip
    assert readers[-1] > ends[2]  # predictor and corrector of its step, and the step after


def test_a_ratio_may_be_a_tensor_and_the_error_has_a_gradient_in_it():
    p, steps = problem("mixture"), 5
    grid = uniform_lam(p.process, -4.0, 1.0).grid(steps)
    x = p.starts(16)

    def loss(ratio: Tensor) -> Tensor:
        ratios = [1.0, 1.0, ratio, 1.0, 1.0]
        plan = dc_solver(p.process, grid, order=2, ratios=ratios)
        return run(plan, p.model(), x, grad=True).x.square().mean()

    r = torch.tensor(1.2, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(loss(r), r)
    with torch.no_grad():
        change = (loss(r + 1e-5) - loss(r - 1e-5)) / 2e-5
    assert float(slope) == pytest.approx(float(change), rel=1e-6)
    assert abs(float(slope)) > 1e-6


@pytest.mark.parametrize(("ratio", "low", "high"), [(1.0, 1.8, 4.0), (1.3, 0.8, 1.3)])
def test_a_fixed_ratio_that_is_not_one_costs_all_orders_but_the_first(ratio, low, high):
    p = problem("product")
    s, t = VP.node_at_lam(-1.5), VP.node_at_lam(1.5)
    x = s.alpha * p.law.sample(8, seed=0) + s.sigma * p.law.sample(8, seed=1)
    truth = p.law.flow(x, (s.alpha, s.sigma), (t.alpha, t.sigma))
    errors = []
    for steps in (64, 128, 256):
        grid = uniform_lam(VP, -1.5, 1.5).grid(steps)
        plan = dc_solver(VP, grid, order=2, ratios=[ratio] * steps, clock="lam")
        errors.append(rms(run(plan, exact_model(p.law, VP), x).x - truth))
    slopes = [math.log2(a / b) for a, b in pairwise(errors)]
    assert all(low < slope < high for slope in slopes), slopes


@pytest.mark.parametrize("name", ["dc_solver_2", "dc_solver_3", "dc_solver_2_predictor"])
@pytest.mark.parametrize("steps", [5, 6])
def test_a_fit_gains_on_starts_that_it_did_not_see(name, steps):
    p = problem("mixture")
    grid = uniform_lam(p.process, p.lam_start, p.lam_end).grid(steps)
    fit = get(name).fit
    assert fit is not None
    options = fit(p.model(), p.process, grid, p.starts(256, seed=1))
    x = p.starts(256, seed=2)
    truth = reference_states(p.model(), p.process, grid, x)[-1]
    errors = [
        rms(run(get(name)(p.process, grid, **chosen), p.model(), x).x - truth)
        for chosen in ({}, options)
    ]
    assert errors[1] < 0.9 * errors[0], errors


def test_a_greedy_fit_lowers_the_error_of_each_step_in_turn_on_the_starts_it_saw():
    p = problem("mixture")
    grid = uniform_lam(p.process, p.lam_start, p.lam_end).grid(5)
    x = p.starts(256, seed=1)
    truth = reference_states(p.model(), p.process, grid, x)
    ratios = fit_ratios(p.model(), p.process, grid, x, sweeps=0)
    for i in (3, 4, 5):
        kept, part = [*ratios[: i - 1], 1.0], grid.part(0, i)
        errors = [
            rms(run(dc_solver(p.process, part, order=2, ratios=r, correct_last=i < 5),
                    p.model(), x).x - truth[i])
            for r in (ratios[:i], kept)
        ]  # fmt: skip
        assert errors[0] < errors[1]


def test_a_fit_to_sigma_zero_has_the_last_data_prediction_for_truth():
    p = problem("mixture")
    grid = uniform_lam(p.process, p.lam_start, 1.5).grid(3, to_zero=True)
    x = p.starts(256, seed=1)
    assert len(fit_ratios(p.model(), p.process, grid, x, sweeps=0)) == 4
    *_, last, data = reference_states(p.model(), p.process, grid, x)
    torch.testing.assert_close(data, p.model()(last, grid[-2].t))


def test_what_cannot_be_is_refused_in_one_sentence():
    p = problem("mixture")
    with pytest.raises(InvalidPlanError, match="at least 256 starts to fit on, got 16"):
        fit_ratios(p.model(), p.process, GRID, p.starts(16))
    with pytest.raises(InvalidPlanError, match="one ratio for each of the 7 steps, got 2"):
        dc_solver(VP, GRID, order=2, ratios=[1.0, 1.0])
    with pytest.raises(InvalidPlanError, match="clock='index'"):
        dc_solver(VP, GRID, order=2, clock="index")
    with pytest.raises(InvalidPlanError, match="27 coefficients need as many ratios, got 3"):
        RatioSurface.fit({(5, 1.0): (1.0,) * 5})
    surface = RatioSurface.fit({(5, 1.0): (1.0,) * 5}, degrees=(0, 0, 0))
    with pytest.raises(InvalidPlanError, match=r"5 to 5 steps and guidance 1.0 to 1.0, got 6"):
        surface(6, 1.0)


# -- the surface ----------------------------------------------------------------------------------


def test_a_surface_gives_back_ratios_that_are_such_a_polynomial():
    def ratio(i: int, n: int, w: float) -> float:
        return 1.0 + 0.2 * (i / n) ** 2 * w / n - 0.1 * w**2 / n**2 + 0.3 / n

    def ratios(n: int, w: float) -> tuple[float, ...]:
        return (1.0, 1.0, *(ratio(i, n, w) for i in range(2, n)))

    found = {(n, w): ratios(n, w) for n in (5, 6, 8, 10) for w in (1.0, 3.0, 5.0, 7.5)}
    np.testing.assert_allclose(RatioSurface.fit(found)(7, 4.0), ratios(7, 4.0), atol=1e-9)


def _guided(scale: float) -> Model:
    """``D_all + w (D_two - D_all)``: guidance to the first two components of the mixture."""
    p = problem("mixture")
    law: Any = p.law
    weights = torch.tensor([0.6, 0.4], dtype=torch.float64)
    two = GaussianMixture(weights, law.means[:2], law.covs[:2])
    everything, chosen = exact_model(law, p.process), exact_model(two, p.process)
    return lambda x, t: (1 - scale) * everything(x, t) + scale * chosen(x, t)


def _in_time() -> GridMap:
    process = problem("mixture").process
    return power_t(process, *(float(process.t_of_lam(lam)) for lam in (-4.0, 3.0)))


@pytest.mark.slow
def test_a_surface_predicts_steps_and_guidance_that_it_was_not_fitted_to():
    """(7, 4) from {5, 6, 8, 10} x {1, 3, 5, 7.5}: within a tenth of a direct search."""
    p = problem("mixture")
    x, unseen = p.starts(256, seed=1), p.starts(256, seed=2)
    found = {
        (n, w): fit_ratios(_guided(w), p.process, _in_time().grid(n), x, sweeps=0)
        for n in (5, 6, 8, 10)
        for w in (1.0, 3.0, 5.0, 7.5)
    }
    grid, model = _in_time().grid(7), _guided(4.0)
    truth = reference_states(model, p.process, grid, unseen)[-1]
    direct = fit_ratios(model, p.process, grid, x, sweeps=0)
    errors = [
        rms(run(dc_solver(p.process, grid, order=2, ratios=r), model, unseen).x - truth)
        for r in (None, direct, RatioSurface.fit(found)(7, 4.0))
    ]
    assert errors[2] < 1.1 * errors[1] < errors[0], errors
