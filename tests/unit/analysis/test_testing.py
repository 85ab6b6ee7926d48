"""The assertions for other people's suites pass on what is right and fail on planted mistakes."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from fokker.analysis import testing
from fokker.analysis.testing import (
    as_sampler,
    assert_batch_independent,
    assert_finite_at_edges,
    assert_order,
    assert_preserves_marginals,
    assert_weak_order,
)
from fokker.analysis.testing import flow_problem as flow_problem
from fokker.analysis.testing import grid_family as grid_family
from fokker.solvers.errors import AnalysisError, FokkerError
from fokker.solvers.samplers.multistep import multistep

QUICK: dict[str, Any] = {"laws": ["product"], "grids": ["wavy-lam"]}


def euler(model, x, sigmas):
    for s, t in pairwise(sigmas):
        x = x + (t - s) * (x - model(x, s)) / s
    return x


def euler_of_the_wrong_level(model, x, sigmas):
    for s, t in pairwise(sigmas):
        x = x + (t - s) * (x - model(x, 0.9 * s)) / s
    return x


def exponential(model, x, grid):
    """The data prediction held over a step: first order, exact for constant data."""
    for s, t in grid.steps():
        shrink = t.sigma / s.sigma
        x = shrink * x + (t.alpha - s.alpha * shrink) * model(x, s.t)
    return x


def ancestral(model, x, sigmas, noise=1.0):
    for s, t in pairwise(sigmas):
        up = (t**2 * (s**2 - t**2) / s**2).sqrt()
        down = (t**2 - up**2).sqrt()
        x = x + (down - s) * (x - model(x, s)) / s + noise * up * torch.randn_like(x)
    return x


def ancestral_without_its_drift(model, x, sigmas):
    for s, t in pairwise(sigmas):
        up = (t**2 * (s**2 - t**2) / s**2).sqrt()
        x = x + (t - s) * (x - model(x, s)) / s + up * torch.randn_like(x)
    return x


@pytest.mark.parametrize("sampler", [euler, exponential, "ddim"], ids=["sigmas", "grid", "name"])
def test_a_first_order_sampler_is_of_order_1_however_it_is_given(sampler):
    (seen,) = assert_order(sampler, 1, **QUICK)
    assert 0.7 < seen.slopes[-1] < 1.3


def test_a_builder_is_measured_by_its_plans():
    assert_order(lambda process, grid: multistep(process, grid, order=2), 2, **QUICK)


def test_a_model_asked_for_noise_gives_noise():
    def ddim(model, x, grid):
        for s, t in grid.steps():
            x = t.alpha / s.alpha * x + (t.sigma - s.sigma * t.alpha / s.alpha) * model(x, s.t)
        return x

    assert_order(ddim, 1, prediction="noise", **QUICK)
    with pytest.raises(AssertionError, match="not of order 1"):
        assert_order(ddim, 1, prediction="data", **QUICK)


def test_an_order_that_is_not_there_is_denied_with_errors_and_slopes():
    with pytest.raises(AssertionError, match=r"euler is not of order 2 on product, wavy-lam: "
                       r"observed \d.\d+; errors \{8: .*slopes \[") as caught:  # fmt: skip
        assert_order(euler, 2, **QUICK)
    assert "\n" not in str(caught.value)


def test_slopes_that_do_not_settle_are_no_pass():
    def erratic(model, x, sigmas):
        steps = len(sigmas) - 1
        swing = 5.0 if (steps.bit_length() % 2) else 0.5
        return euler(model, x, sigmas) + swing / steps

    with pytest.raises(AssertionError, match=r"is not resolved .*the slopes do not settle"):
        assert_order(erratic, 1, laws=["gaussian"], grids=["wavy-lam"])


def test_a_model_asked_at_the_wrong_level_has_no_order():
    with pytest.raises(AssertionError, match="not of order 1"):
        assert_order(euler_of_the_wrong_level, 1, laws=["gaussian"], grids=["wavy-lam"])


def test_a_warm_start_restores_what_a_cold_one_takes():
    where: dict[str, Any] = {"laws": ["gaussian"], "grids": ["wavy-lam"]}
    assert_order("exp_ab3_data", 3, warm=True, **where)
    with pytest.raises(AssertionError, match="not of order 3"):
        assert_order("exp_ab3_data", 3, warm=False, **where)


def test_what_a_sampler_raises_is_quoted():
    def broken(model, x, sigmas):
        raise RuntimeError("no such step")

    with pytest.raises(AssertionError, match="RuntimeError: no such step"):
        assert_order(broken, 1, **QUICK)


def test_the_ancestral_sampler_has_weak_order_1_and_not_2():
    seen: Any = assert_weak_order(ancestral, 1, grids=["wavy-lam"])[0]
    assert 0.8 < seen.slopes[-1] < 1.2
    with pytest.raises(AssertionError, match="not of weak order 2"):
        assert_weak_order(ancestral, 2, grids=["wavy-lam"])


def test_a_plan_is_read_without_running_it():
    assert_weak_order("sde_dpmpp_2m", 2, grids=["wavy-lam"])


def test_marginals_are_kept_by_the_ode_and_by_the_sde():
    assert_preserves_marginals(ancestral, grids=["wavy-lam"], steps=64, tolerance=0.1)
    assert_preserves_marginals("dpmpp_2m", grids=["wavy-lam"])


@pytest.mark.parametrize("scale", [0.9, 1.1])
def test_noise_of_the_wrong_size_does_not_keep_the_marginals(scale):
    def scaled(model, x, sigmas):
        return ancestral(model, x, sigmas, noise=scale)

    with pytest.raises(AssertionError, match="does not preserve the marginals"):
        assert_preserves_marginals(scaled, grids=["wavy-lam"], steps=64, tolerance=0.1)


def test_noise_without_its_drift_does_not_keep_the_marginals():
    with pytest.raises(AssertionError, match="does not preserve the marginals"):
        assert_preserves_marginals(
            ancestral_without_its_drift, grids=["wavy-lam"], steps=64, tolerance=0.1
        )


def name_of(sampler) -> str:
    """The id of a test: the same in every process."""
    return getattr(sampler, "__name__", str(sampler))


@pytest.mark.parametrize("sampler", [euler, exponential, ancestral, "dpmpp_2m"], ids=name_of)
def test_samples_of_a_right_sampler_stand_alone(sampler):
    assert_batch_independent(sampler)


def test_a_clip_by_the_largest_of_the_batch_is_found():
    def clipped(model, x, grid):
        for s, t in grid.steps():
            shrink = t.sigma / s.sigma
            data = model(x, s.t)
            x = shrink * x + (t.alpha - s.alpha * shrink) * data / data.abs().max().clamp(min=1)
        return x

    with pytest.raises(AssertionError, match="not independent of the batch: sample"):
        assert_batch_independent(clipped)


@pytest.mark.parametrize("sampler", [euler, exponential, "dpmpp_2m", "unipc_2"], ids=name_of)
def test_a_right_sampler_is_finite_at_the_edges(sampler):
    assert_finite_at_edges(sampler)


def test_a_logarithm_of_sigma_0_is_found():
    def by_lam(model, x, sigmas):
        for s, t in pairwise(-sigmas.log()):
            shrink = torch.exp(s - t)  # sigma is 1 over e^lam here
            x = shrink * x + (1 - shrink) * model(x, torch.exp(-s)) * torch.exp(0 * t)
        return x

    with pytest.raises(AssertionError, match="not finite at one step to sigma 0"):
        assert_finite_at_edges(by_lam)


def test_a_sampler_that_needs_three_steps_is_found_and_may_refuse():
    def needs_three(model, x, sigmas):
        if len(sigmas) < 4:
            msg = "at least 3 steps"
            raise ValueError(msg)
        return euler(model, x, sigmas)

    with pytest.raises(AssertionError, match="refuses one step: ValueError: at least 3 steps"):
        assert_finite_at_edges(needs_three)
    short = ("one step", "one step to sigma 0", "2 steps", "a very short step")
    assert_finite_at_edges(needs_three, may_refuse=short)


def test_a_sampler_that_works_in_place_is_found():
    def in_place(model, x, grid):
        out = x.to(torch.float64)
        for s, t in grid.steps():
            out.mul_(t.sigma / s.sigma).add_(model(out, s.t))
        return out

    with pytest.raises(AssertionError, match=r"returns .*float64 at float32"):
        assert_finite_at_edges(in_place)


def test_what_is_no_sampler_is_refused_with_what_is_accepted():
    with pytest.raises(FokkerError, match="a name, a Sampler or a function, got int"):
        as_sampler(3)
    with pytest.raises(FokkerError, match="must take"):
        as_sampler(lambda x: x)
    with pytest.raises(FokkerError, match="nearest"):
        as_sampler("dpmpp_2n")


def test_the_fixtures_give_each_law_on_each_family(flow_problem, grid_family):
    assert flow_problem.name in testing.LAWS
    assert grid_family.name in testing.GRIDS
    assert grid_family.grid(4)[0].lam == pytest.approx(flow_problem.lam_start)


def rk4_of_floats(model, x, sigmas):
    """Kutta's fourth order, on levels that are Python's floats."""

    def slope(y, level):
        return (y - model(y, level)) / level

    for s, t in pairwise(sigmas.tolist()):
        h, middle = t - s, (s + t) / 2
        a = slope(x, s)
        b = slope(x + h / 2 * a, middle)
        c = slope(x + h / 2 * b, middle)
        x = x + h / 6 * (a + 2 * b + 2 * c + slope(x + h * c, t))
    return x


def test_a_level_given_as_a_float_keeps_its_digits():
    """Rounded to float32, levels put a floor of 1e-9 under the errors of a high order."""
    (seen,) = assert_order(rk4_of_floats, 4, **QUICK)
    assert seen.errors[-1] < 5e-9
    assert seen.slopes[-1] == pytest.approx(4.0, abs=0.02)


@pytest.mark.parametrize(
    ("ask", "sentence"),
    [
        (lambda model, x: model(x, 0.0), r"asked at sigma = 0\.0; it answers for positive"),
        (lambda model, x: model(x, -1.0), r"asked at sigma = -1\.0"),
        (lambda model, x: model(x, torch.linspace(1, 2, len(x))), "several levels at once"),
        (lambda model, x: model(x, 1.0) * math.nan, "got nan with 8 steps"),
    ],
)
def test_a_model_asked_where_it_has_no_answer_says_so(ask, sentence):
    def asks(model, x, sigmas):
        return ask(model, x + 0 * sigmas[-1])

    with pytest.raises(AssertionError, match=sentence):
        assert_order(asks, 1, **QUICK)


def test_a_lower_order_comes_with_what_it_is_often_due_to():
    def stops_early(model, x, sigmas):
        return euler(model, x, sigmas[:-1])

    def stands_still(model, x, sigmas):
        return x

    with pytest.raises(AssertionError, match=r"observed 1\.\d\d; .*cold start or a last step"):
        assert_order(stops_early, 2, **QUICK)
    with pytest.raises(AssertionError, match=r"does not fall: does the function return"):
        assert_order(stands_still, 2, **QUICK)


@pytest.mark.parametrize("order", [0, -1, math.nan, math.inf, "2", True, None])
def test_an_order_that_is_no_positive_number_is_not_passed_by_everybody(order):
    for measure in (assert_order, assert_weak_order):
        with pytest.raises(AnalysisError, match="a positive number"):
            measure(euler, order)


def test_nothing_measured_is_no_pass():
    with pytest.raises(AnalysisError, match="at least one law"):
        assert_order(euler, 9, laws=[])
    for measure in (assert_weak_order, assert_preserves_marginals):
        claim: Any = (1,) if measure is assert_weak_order else ()
        with pytest.raises(AnalysisError, match="at least one law and one of the grids"):
            measure(euler, *claim, grids=[])
    with pytest.raises(AnalysisError, match=r"uniform-lam, wavy-lam, got .*'karras'"):
        assert_order(euler, 1, grids=["karras"])
    assert len(assert_order(euler, 1, laws="gaussian", grids="uniform-lam")) == 1


def test_noise_of_another_library_is_named_as_a_cause():
    generator = np.random.default_rng(0)

    def drawn_elsewhere(model, x, sigmas):
        return x + torch.from_numpy(generator.standard_normal(tuple(x.shape)))

    with pytest.raises(AssertionError, match="or draw noise that it was not given"):
        assert_weak_order(drawn_elsewhere, 1)
