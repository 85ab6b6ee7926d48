"""Gaussian-preconditioned Adams: exact on its Gaussian, of full order on others, and closer."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest
import torch

from fokker.analysis.order import refine
from fokker.analysis.paired import FlowProblem, rms, sample
from fokker.solvers.errors import InvalidPlanError
from fokker.solvers.fitted.gaussian_flow import GaussianStatistics, gaussian_denoiser
from fokker.solvers.fitted.preconditioned import Frame, preconditioned_adams, residual_weights
from fokker.solvers.grids import Grid, uniform_lam, wavy_lam
from fokker.solvers.plan import Eval
from fokker.solvers.registry import get
from fokker.solvers.run import run
from fokker.solvers.schedules import RectifiedFlow, VPLinear
from fokker.toy_models.problems import problem

VP = VPLinear()


def of_law(name: str, rank: int | None = None) -> GaussianStatistics:
    law = problem(name).law
    return GaussianStatistics.from_moments(law.mean, law.cov, rank)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_without_variance_it_is_exponential_adams_on_data(order):
    maps = wavy_lam(VP, -3.0, 2.5)
    options = {"history": maps.history(7, order - 1)}
    plain = get(f"exp_ab{order}_data")(VP, maps.grid(7), **options)
    ours = preconditioned_adams(VP, maps.grid(7), order=order, **options)
    x, past = problem("mixture").starts(4), problem("mixture").starts(2 * 4, seed=3)
    history = {f"{k}-{j}": past[4 * j - 4 : 4 * j] for k in "mx" for j in (1, 2)}
    model = problem("mixture").model()
    got, truth = (run(p, model, x, history=history).x for p in (ours, plain))
    torch.testing.assert_close(got, truth, rtol=1e-12, atol=1e-12)


def test_of_three_nodes_only_the_first_step_is_corrected_and_it_costs_nothing():
    grid = wavy_lam(VP, -3.0, 2.5).grid(7)
    plan = preconditioned_adams(VP, grid, order=3)
    assert plan.nfe == 7
    asked = [op.source for op in plan.ops if isinstance(op, Eval)]
    ends = [mark.vector for mark in plan.marks]
    assert asked[1] < ends[0]
    assert asked[2:] == ends[1:-1]
    assert preconditioned_adams(VP, grid.part(0, 1), order=3).nfe == 1


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("name", ["gaussian", "digits-gaussian"])
@pytest.mark.parametrize("steps", [1, 4])
def test_the_gaussian_of_its_statistics_is_solved_exactly_whatever_the_steps(order, name, steps):
    p = problem(name)
    grid, x = uniform_lam(p.process, p.lam_start, p.lam_end).grid(steps), p.starts(8, seed=1)
    options = {"statistics": of_law(name)}
    got = sample(get(f"gauss_ab{order}"), p.model(), p.process, grid, x, **options)
    torch.testing.assert_close(got, p.endpoint(x), rtol=1e-11, atol=1e-11)
    if (order, steps) == (1, 1):
        plain = sample(get("gauss_ab1"), p.model(), p.process, grid, x)
        assert rms(plain - p.endpoint(x)) > 0.1


def test_weights_are_the_integrals_of_the_exact_solution_for_any_variance_and_step():
    nodes = [VP.node_at_lam(v) for v in (-1.0, -2.5)]
    t = VP.node_at_lam(2.0)
    variances = np.array([0.0, 1e-6, 0.3, 40.0])
    weights = residual_weights(variances, nodes[0], t, nodes)
    for k, c2 in enumerate(variances):

        def kernel(u: float, c2: float = float(c2)) -> Any:
            e = mpmath.exp(u)
            return e / mpmath.sqrt(1 + c2 * e * e)

        scale = t.alpha / kernel(t.lam)
        for j, basis in enumerate(((2.5, 1.5), (1.0, -1.5))):

            def piece(u: float, basis: tuple[float, float] = basis) -> Any:
                return (u + basis[0]) / basis[1] * kernel(u)

            whole: Any = mpmath.quad(piece, [-1.0, 0.0, 1.0, 2.0])
            exact = scale * whole
            assert weights[j][k] == pytest.approx(float(exact), rel=1e-11, abs=1e-13)


def test_from_pure_noise_the_first_step_is_the_limit_of_long_steps():
    flow = RectifiedFlow()
    t = flow.node_at_lam(-0.5)
    for variances in (np.array([0.0, 0.5, 9.0]),):
        first = preconditioned_adams(flow, Grid((flow.node(1.0), t)), order=1, variances=variances)
        early = flow.node_at_lam(-18.0)
        limit = preconditioned_adams(flow, Grid((early, t)), order=1, variances=variances)
        x = torch.tensor([[0.3, -1.1, 0.7]]).double()
        got, near = (run(p, lambda x, _: 0.4 * x + 0.1, x).x for p in (first, limit))
        torch.testing.assert_close(got, near, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("rank", [None, 1])
def test_it_keeps_its_order_with_any_statistics(order, rank):
    law = FlowProblem("product", problem("product").law, VP, -1.5, 1.5, batch=8)
    frame_law = of_law("product", rank)
    x, (begin, end) = law.starts(), law.ends()
    frame, truth = Frame(frame_law, x), law.flow(x, begin, end)
    maps, model = wavy_lam(VP, -1.5, 1.5), law.model("data")

    def error(steps: int) -> float:
        earlier, given = maps.history(steps, order - 1), {}
        for j, node in enumerate(earlier, 1):
            state = law.flow(x, begin, node)
            given[f"x-{j}"] = frame.enter(state, node.alpha)
            given[f"m-{j}"] = frame.enter(model(state, node.t), 1.0)
        plan = preconditioned_adams(
            VP, maps.grid(steps), order=order, variances=frame.variances, history=earlier
        )
        start = frame.enter(x, begin.alpha)
        z = run(plan, frame.model(model, VP), start, history=given).x
        return rms(frame.leave(z, end.alpha) - truth)

    seen = refine(error, claim=order, floor=1e-11, first=8)
    assert seen.verdict(order) == "met", seen.slopes


def test_it_halves_the_error_of_ddim_at_five_to_forty_steps():
    p = problem("mixture")
    data = p.law.sample(2000, seed=5)
    x = p.starts(256, seed=2)
    truth = p.endpoint(x)
    for steps in (5, 10, 20, 40):
        grid = uniform_lam(p.process, p.lam_start, p.lam_end).grid(steps)
        fit = get("gauss_ab1").fit
        assert fit is not None
        options = dict(fit(p.model(), p.process, grid, x, data=data))
        errors = [
            float((sample(get("gauss_ab1"), p.model(), p.process, grid, x, **chosen) - truth)
                  .norm(dim=1).median())
            for chosen in ({}, options)
        ]  # fmt: skip
        assert errors[1] < 0.55 * errors[0], (steps, errors)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_a_frame_is_left_as_it_was_entered_and_knows_the_denoiser_of_its_gaussian(rank):
    s = of_law("product", None if rank == 3 else rank)
    x, node = problem("product").starts(5), VP.node_at_lam(-0.4)
    frame = Frame(s, x)
    z = frame.enter(x, node.alpha)
    assert z.shape == (5, 3 if rank == 3 else rank + 3)
    torch.testing.assert_close(frame.leave(z, node.alpha), x, rtol=1e-12, atol=1e-12)
    seen = frame.model(lambda x, t: gaussian_denoiser(x, s, VP.node(t)), VP)(z, node.t)
    v = torch.from_numpy(node.alpha**2 * frame.variances + node.sigma**2)
    gain = node.alpha * torch.from_numpy(frame.variances) / v
    torch.testing.assert_close(seen, gain * z, rtol=1e-11, atol=1e-11)


def test_a_step_to_sigma_zero_is_the_data_prediction_in_any_frame():
    p = problem("mixture")
    grid = uniform_lam(VP, -1.0, 1.0).grid(1, to_zero=True)
    x, options = p.starts(4), {"statistics": of_law("mixture")}
    before = sample(get("gauss_ab2"), p.model(), VP, grid.part(0, 1), x, **options)
    got = sample(get("gauss_ab2"), p.model(), VP, grid, x, **options)
    torch.testing.assert_close(got, p.model()(before, grid[1].t), rtol=1e-12, atol=1e-12)


def test_images_and_half_precision_keep_their_shape():
    p = problem("digits-gaussian")
    x = p.starts(3).reshape(3, 8, 8).float()
    grid = uniform_lam(VP, -4.0, 4.0).grid(2)
    options = {"statistics": of_law("digits-gaussian", 20)}
    got = sample(get("gauss_ab2"), p.model(), VP, grid, x, **options)
    assert got.shape == (3, 8, 8)
    assert got.dtype == torch.float32


def test_what_cannot_be_is_refused_in_one_sentence():
    grid = uniform_lam(VP, -2.0, 2.0).grid(4)
    for order, variances in ((0, 0.0), (1, -1.0), (1, np.array([1.0, np.nan]))):
        with pytest.raises(InvalidPlanError, match="order >= 1 and finite variances >= 0"):
            preconditioned_adams(VP, grid, order=order, variances=variances)
