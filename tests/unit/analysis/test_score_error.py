"""Laws under wrong scores: exact moments, bounds that are never broken, errors by cause."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fokker.analysis.distances import gaussian_w2
from fokker.analysis.fokker_planck import scaled_score_variance
from fokker.analysis.gaussian_path import eigenbasis, normal, prior
from fokker.analysis.law import error_split
from fokker.analysis.score_error import (
    Moments,
    evolve,
    exact_denoiser,
    four_sources,
    noised,
    paired_sources,
    scaled_score,
    score_budget,
    with_error,
)
from fokker.analysis.strategies import gaussians
from fokker.solvers.errors import AnalysisError
from fokker.solvers.grids import uniform_lam
from fokker.solvers.registry import get
from fokker.solvers.schedules import VPLinear
from fokker.toy_models.gaussian import Gaussian
from fokker.toy_models.misfit import MisfitGaussian
from fokker.toy_models.perturbed import FourierField, Perturbed
from fokker.toy_models.problems import problem

VP = VPLinear()
SPAN = (-2.5, 2.5)
ETAS = (0.0, 0.3, 1.0, 3.0)
SKEW = np.array([[0.1, 0.25], [-0.15, -0.2]])


def law(mean: Any = (0.5, -1.0), cov: Any = ((1.3, 0.4), (0.4, 0.3))) -> Gaussian:
    return Gaussian(
        torch.tensor(mean, dtype=torch.float64), torch.tensor(cov, dtype=torch.float64)
    )


@pytest.mark.parametrize("eta", ETAS)
def test_without_error_every_eta_keeps_the_exact_marginals(eta: float):
    found = evolve(exact_denoiser(law()), noised(law(), SPAN[0]), eta, SPAN)
    truth = noised(law(), SPAN[1])
    np.testing.assert_allclose(found.mean, truth.mean, rtol=1e-9)
    np.testing.assert_allclose(found.cov, truth.cov, rtol=1e-9, atol=1e-12)
    off = evolve(with_error(exact_denoiser(law()), SKEW), noised(law(), SPAN[0]), eta, SPAN)
    assert np.abs(off.cov - truth.cov).max() > 1e-3


@pytest.mark.parametrize("eta", ETAS)
@pytest.mark.parametrize("delta", [0.1, -0.1])
def test_a_scaled_score_has_its_closed_form_in_every_direction(eta: float, delta: float):
    """Exploding process: ``u = x`` and the noisy variance is ``c^2 + e^{-2 lam}``."""
    ends = -math.log(5.0), 6.0
    data = law((0.0, 0.0), ((0.09, 0.0), (0.0, 2.0)))
    found = evolve(scaled_score(data, delta), noised(data, ends[0]), eta, ends)
    low = math.exp(-2 * ends[1])
    for k, c2 in enumerate((0.09, 2.0)):
        closed = scaled_score_variance(c2 + low, c2 + 25.0, delta, eta)
        assert found.cov[k, k] == pytest.approx(closed, rel=1e-8)


def test_the_ode_remembers_a_scaled_score_that_the_sde_forgets():
    """s0 = 0.3, T = 25, delta = 0.1: widths .22639 and .27389."""
    ends = -math.log(5.0), 8.0
    data = law((0.0,), ((0.09,),))
    widths = [
        math.sqrt(evolve(scaled_score(data, 0.1), noised(data, ends[0]), eta, ends).cov[0, 0])
        for eta in (0.0, 1.0)
    ]
    assert widths == pytest.approx([0.22639, 0.27389], abs=1e-5)


@pytest.mark.parametrize(
    ("factor", "ode", "sde"), [(1.0, 0.2, 0.2), (1.1, 0.082, 0.16667), (0.9, 0.48781, 0.24996)]
)
def test_an_ornstein_uhlenbeck_process_has_the_known_variances(
    factor: float, ode: float, sde: float
):
    """``f = -1, g = 1``, T = 4, in the clock lam: ``alpha = e^{-t}``, ``sigma^2 = (1-e^{-2t})/2``.

    The law of u is that of ``x/alpha``, and near the data alpha is 1.
    """
    top, low = ((math.exp(2 * t) - 1) / 2 for t in (4.0, 1e-9))
    span = -0.5 * math.log(top), -0.5 * math.log(low)
    data = law((0.0,), ((0.2,),))
    for eta, truth in ((0.0, ode), (1.0, sde)):
        found = evolve(scaled_score(data, factor - 1), noised(data, span[0]), eta, span)
        assert found.cov[0, 0] == pytest.approx(truth, rel=3e-5)


def test_a_belief_in_another_law_makes_that_law_by_every_eta():
    """A residual of zero: the gap is closed, the bias stays; axes need not agree."""
    belief = law((0.0, 0.4), ((0.5, -0.3), (-0.3, 0.9)))
    start = noised(belief, SPAN[0])
    for eta in ETAS:
        found = score_budget(law(), exact_denoiser(belief), eta, SPAN, start=start)
        assert found.gap < 1e-6
        assert found.gap_bound < 1e-5
        np.testing.assert_allclose(found.law.cov, noised(belief, SPAN[1]).cov, atol=1e-9)
        assert found.w2 > 0.5


@pytest.mark.parametrize("eta", [0.0, 0.5, 2.0])
def test_moments_are_those_of_simulated_paths(eta: float):
    """Euler-Maruyama, 200 steps, 20000 paths; 6 standard errors and O(h) allowed."""
    model = with_error(exact_denoiser(law()), SKEW, (0.9, 0.0))
    span, n, steps = (-1.0, 1.0), 20000, 200
    rng, h = np.random.default_rng(0), 2.0 / 200
    begin = noised(law(), span[0])
    u = rng.multivariate_normal(begin.mean, begin.cov, n)
    for k in range(steps):
        lam = span[0] + h * (k + 0.5)
        line = model(lam)
        u = u + (1 + eta) * h * (u @ line.gain.T + line.shift - u)
        u += math.sqrt(2 * eta * h) * math.exp(-lam) * rng.standard_normal(u.shape)
    found = evolve(model, begin, eta, span)
    scale = math.sqrt(found.cov.max())
    assert np.abs(u.mean(0) - found.mean).max() < 6 * scale / math.sqrt(n) + 0.02
    assert np.abs(np.cov(u.T) - found.cov).max() < 6 * 1.5 * scale**2 / math.sqrt(n) + 0.02
    right = evolve(exact_denoiser(law()), begin, eta, span)
    assert np.abs(u.mean(0) - right.mean).max() > 0.1


# bounds

NUMBER = st.floats(-1.0, 1.0, allow_subnormal=False)


@settings(max_examples=12)
@given(gaussians(2), st.lists(NUMBER, min_size=6, max_size=6), st.sampled_from(ETAS))
def test_no_bound_is_ever_broken(data: Gaussian, numbers: list[float], eta: float):
    gain, shift = np.array(numbers[:4]).reshape(2, 2), np.array(numbers[4:])
    model = with_error(exact_denoiser(data), gain, shift)
    found = score_budget(data, model, eta, (-1.5, 1.5))
    assert found.w2 <= found.w2_bound * (1 + 1e-7) + 1e-7
    assert found.gap <= found.gap_bound * (1 + 1e-7) + 1e-7
    assert found.kl <= found.girsanov * (1 + 1e-7) + 1e-9
    if eta > 0:
        balance = found.kl_fed - found.kl_eaten
        assert balance == pytest.approx(found.kl, rel=1e-6, abs=1e-8 * (1 + found.kl_eaten))


@settings(max_examples=6)
@given(gaussians(2), gaussians(2), st.sampled_from(ETAS))
def test_bounds_hold_from_a_wrong_start(data: Gaussian, begin: Gaussian, eta: float):
    model = with_error(exact_denoiser(data), SKEW)
    start = noised(begin, -1.5)
    found = score_budget(data, model, eta, (-1.5, 1.5), start=start)
    assert found.w2 <= found.w2_bound * (1 + 1e-7) + 1e-7
    assert found.gap <= found.gap_bound * (1 + 1e-7) + 1e-7
    assert found.kl <= found.girsanov * (1 + 1e-7) + 1e-9


def test_a_constant_error_of_small_size_meets_the_wasserstein_bound():
    """A point mass at 0 and an error of D that is a constant: the bound is sharp at every eta."""
    point = law((0.0, 0.0), ((0.0, 0.0), (0.0, 0.0)))
    model = with_error(exact_denoiser(point), 0.0, (0.3, -0.4), amplitude=lambda _: 1.0)
    for eta in ETAS:
        found = score_budget(point, model, eta, (-1.0, 1.0))
        expected = 0.5 * -math.expm1(-2.0 * (1 + eta))
        assert found.w2 == pytest.approx(expected, rel=1e-8)
        assert found.w2_bound == pytest.approx(expected, rel=1e-8)


def test_the_bound_grows_with_the_direction_that_forgets_least():
    """Along a wide axis D is nearly u: an error e of D there adds up to ``(1 + eta) |e| span``."""
    wide = law((0.0, 0.0), ((1e6, 0.0), (0.0, 0.0)))
    model = with_error(exact_denoiser(wide), 0.0, (0.3, 0.0), amplitude=lambda _: 1.0)
    found = score_budget(wide, model, 0.5, (-1.0, 1.0))
    assert found.w2 == pytest.approx(0.9, rel=1e-4)
    assert found.w2_bound == pytest.approx(0.9, rel=1e-4)


def test_an_error_of_the_score_is_what_it_says_at_every_level():
    """``gain x + alpha shift`` of the score, variance preserving."""
    shift, u = np.array([0.3, -0.7]), np.array([1.2, 0.4])
    right, wrong = exact_denoiser(law()), with_error(exact_denoiser(law()), SKEW, shift)
    for lam in (-2.0, 0.0, 1.5):
        node, a, b = VP.node_at_lam(lam), right(lam), wrong(lam)
        off = (b.gain - a.gain) @ u + b.shift - a.shift
        expected = SKEW @ (node.alpha * u) + node.alpha * shift
        np.testing.assert_allclose(node.alpha / node.sigma**2 * off, expected, rtol=1e-12)


def test_girsanov_is_the_integral_of_the_score_error_and_least_at_the_reverse_sde():
    """A constant error e of D: ``(1+eta)^2/(4 eta) |e|^2 (e^{2 b} - e^{2 a})/2``."""
    model = with_error(exact_denoiser(law()), 0.0, (0.3, -0.4), amplitude=lambda _: 1.0)
    weight = 0.25 * (math.exp(2.0) - math.exp(-2.0)) / 2
    found = {e: score_budget(law(), model, e, (-1.0, 1.0)) for e in (0.0, 0.5, 1.0, 2.0)}
    for eta in (0.5, 1.0, 2.0):
        bound = (1 + eta) ** 2 / (4 * eta) * weight
        assert found[eta].girsanov == pytest.approx(bound, rel=1e-8)
        assert 0 < found[eta].kl < bound
        balance = found[eta].kl_fed - found[eta].kl_eaten
        assert balance == pytest.approx(found[eta].kl, rel=1e-6)
    assert found[1.0].girsanov < min(found[0.5].girsanov, found[2.0].girsanov)
    assert found[0.0].girsanov == math.inf
    assert found[0.0].kl > 0


def test_the_gap_and_its_bound_shrink_with_the_error():
    rows = []
    for size in (1.0, 0.1, 0.01, 0.0):
        model = with_error(exact_denoiser(law()), size * SKEW, (0.2 * size, 0.0))
        rows.append(score_budget(law(), model, 1.0, SPAN))
    for before, after in pairwise(rows[:3]):
        assert before.gap / after.gap == pytest.approx(10, rel=0.35)
        assert before.gap_bound / after.gap_bound == pytest.approx(10, rel=0.35)
    assert rows[3].gap < 1e-6
    assert rows[3].gap_bound < 1e-5
    assert all(1 < row.gap_bound / row.gap < 30 for row in rows[:3])


# errors by cause

DATA = normal([0.5, -1.0], [0.05, 1.5])


def test_four_sources_without_an_error_of_the_model_are_the_known_three():
    grid = uniform_lam(VP, -3.0, 3.0).grid(12)
    plan = get("dpmpp_2m")(VP, grid)
    start = prior(DATA, grid[0].sigma)
    four, three = four_sources(plan, DATA, DATA, start), error_split(plan, DATA, start).w2
    assert four.model == 0.0
    expected = (three.total, three.truncation, three.initialisation, three.discretisation)
    found = (four.total, four.truncation, four.initialisation, four.discretisation)
    assert found == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("name", "eta"), [("dpmpp_2m", 0.0), ("sde_dpmpp_2m", 1.0)])
def test_the_error_of_the_model_stays_when_steps_grow(name: str, eta: float):
    believed = normal([0.6, -1.0], [0.04, 1.5])
    start = prior(DATA, 1.0)
    splits = [
        four_sources(get(name)(VP, uniform_lam(VP, -3, 3).grid(n)), DATA, believed, start, eta=eta)
        for n in (10, 320)
    ]
    assert splits[1].model == pytest.approx(splits[0].model, rel=1e-12)
    assert splits[1].discretisation < splits[0].discretisation / 20
    assert splits[1].model > 0.05
    for one in splits:
        assert one.total <= sum(one[1:]) * (1 + 1e-12)


def test_the_source_of_the_model_is_that_of_the_linear_laws():
    """Two computations of one law: closed form in the eigenbasis, integrated moments."""
    truth, believed = normal([0.5], [0.4]), normal([0.2], [0.9])
    grid = uniform_lam(VP, -2.0, 2.0).grid(4)
    for eta, name in ((0.0, "ddim"), (1.0, "sde_dpmpp_2m")):
        split = four_sources(get(name)(VP, grid), truth, believed, eta=eta)
        model = exact_denoiser(law((0.2,), ((0.9,),)))
        right = law((0.5,), ((0.4,),))
        made = evolve(model, noised(right, -2.0), eta, (-2.0, 2.0))
        away = gaussian_w2(*made, *noised(right, 2.0)) * grid[-1].alpha
        assert split.model == pytest.approx(away, rel=1e-8)


def test_paired_sources_on_a_gaussian_bound_the_exact_ones():
    truth = law((0.3, -0.2), ((0.5, 0.2), (0.2, 0.4)))
    wrong = MisfitGaussian.of(truth, factor=1.4, shift=0.1)
    grid = uniform_lam(VP, -2.0, 2.0).grid(6)
    found = paired_sources(get("ddim"), truth, wrong, VP, grid, n=4000)
    exact = four_sources(
        get("ddim")(VP, grid), eigenbasis(truth), eigenbasis(wrong.believed),
        prior(eigenbasis(truth), 1.0),
    )  # fmt: skip
    alpha = grid[-1].alpha
    pairs = [
        (found.initialisation, exact.initialisation),
        (found.model, exact.model),
        (found.discretisation, exact.discretisation),
    ]
    for paired, w2 in pairs:  # a coupling costs at least W2, up to 6 standard errors of 4000
        assert 0.85 * w2 / alpha < paired < 6.0 * w2 / alpha
    assert found.total <= sum(found[1:]) * (1 + 1e-12)


def test_paired_sources_of_a_law_without_a_closed_flow():
    truth = problem("mixture").law
    field = FourierField.random(2, seed=1)
    grid = uniform_lam(VP, -3.0, 1.5).grid(10)
    sizes = (0.02, 0.04)
    found = [
        paired_sources(get("dpmpp_2m"), truth, Perturbed(truth, field, a), VP, grid, n=4)
        for a in sizes
    ]
    assert found[1].model == pytest.approx(2 * found[0].model, rel=0.3)
    assert found[0].initialisation == found[1].initialisation > 0
    assert all(f.total <= sum(f[1:]) for f in found)


# refusals


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: evolve(exact_denoiser(law()), law(), -1.0, SPAN), "eta must be finite"),
        (lambda: evolve(exact_denoiser(law()), law(), 1.0, (1.0, -1.0)), "increases"),
        (lambda: exact_denoiser(Moments(np.zeros(2), np.eye(3))), "mean"),
        (lambda: exact_denoiser(Moments(np.zeros(1), -np.eye(1))), "negative eigenvalue"),
        (lambda: exact_denoiser(Moments(np.zeros(2), np.triu(np.ones((2, 2))))), "symmetric"),
        (lambda: exact_denoiser(Moments(np.full(1, np.nan), np.eye(1))), "finite"),
        (lambda: with_error(exact_denoiser(law()), np.eye(3))(0.0), "gain of the error"),
        (lambda: with_error(exact_denoiser(law()), 0.1, np.zeros(3))(0.0), "shift of the error"),
        (lambda: evolve(exact_denoiser(law((0.0,), ((1.0,),))), noised(law(), -2.5), 0.0, SPAN),
         r"a law in 2 dimensions needs \(2, 2\)"),
        (lambda: evolve(with_error(exact_denoiser(law()), np.nan), noised(law(), -2.5), 0.0, SPAN),
         "cannot be integrated .* nan"),
        (lambda: four_sources(
            get("ddim")(VP, uniform_lam(VP, -1, 1).grid(2)), DATA, DATA, prior(normal(0.0, 1.0), 1)
        ), "start and truth need one shape"),
        (lambda: four_sources(
            get("ddim")(VP, uniform_lam(VP, -1, 1).grid(2)), DATA, normal([0.0], [1.0])
        ), "one shape"),
        (lambda: paired_sources(
            get("sde_dpmpp_2m"), law(), law(), VP, uniform_lam(VP, -1, 1).grid(2)
        ), "stochastic"),
    ],
)  # fmt: skip
def test_bad_questions_are_refused_in_one_sentence(call: Any, words: str):
    with pytest.raises(AnalysisError, match=words):
        call()


def test_a_law_that_explodes_is_told():
    one = law((0.0,), ((1.0,),))
    model = with_error(exact_denoiser(one), 1e4, amplitude=lambda _: 1.0)
    with pytest.raises(AnalysisError, match="cannot be integrated"):
        evolve(model, noised(one, -2.0), 1.0, (-2.0, 2.0))
