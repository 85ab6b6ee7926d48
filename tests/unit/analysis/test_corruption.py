"""Conditions corrupted in training: exact conditionals, ridge regression, and few samples."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import gamma as gamma_function

from fokker.analysis.statistics.corruption import (
    Conditional,
    conditional_distance,
    corrupted_conditional,
    corrupted_fit,
    entropy,
    few_shot,
)
from fokker.solvers.errors import AnalysisError

TRUTH = Conditional(np.array([[1.5]]), np.array([[0.4]]))
SHOTS: Any = {"slope": 1.5, "var": 0.4}


def wide() -> tuple[Conditional, np.ndarray]:
    """Three coordinates, two conditions."""
    rng = np.random.default_rng(0)
    root, other = rng.standard_normal((3, 3)), rng.standard_normal((2, 2))
    return Conditional(rng.standard_normal((3, 2)), root @ root.T), other @ other.T


@pytest.mark.parametrize(("gamma", "printed"), [(0.0, 0.4), (0.3, 0.5858), (0.6, 0.9956)])
def test_the_learned_variance_is_known(gamma: float, printed: float):
    found = corrupted_conditional(TRUTH, 1.0, gamma)
    assert found.cov[0, 0] == pytest.approx(printed, abs=5e-5)
    assert found.slope[0, 0] == pytest.approx(1.5 / (1 + gamma**2), rel=1e-14)


def test_it_is_the_conditional_of_the_joint_law_and_the_fit_its_sample():
    """By the Schur complement; data whose moments are those of the law give the same fit."""
    truth, c = wide()
    gamma = 0.7
    found = corrupted_conditional(truth, c, gamma)
    cross, seen = truth.slope @ c, c + gamma**2 * np.eye(2)
    joint = truth.slope @ c @ truth.slope.T + truth.cov
    np.testing.assert_allclose(found.slope, cross @ np.linalg.inv(seen), rtol=1e-12)
    schur = joint - cross @ np.linalg.inv(seen) @ cross.T
    np.testing.assert_allclose(found.cov, schur, rtol=1e-11, atol=1e-13)
    root = np.linalg.cholesky(np.block([[joint, cross], [cross.T, c]])) * math.sqrt(5)
    rows = root.T  # five samples with exactly these second moments
    fit = corrupted_fit(rows[:, :3], rows[:, 3:], gamma)
    np.testing.assert_allclose(fit.slope, found.slope, rtol=1e-11)
    np.testing.assert_allclose(fit.cov, found.cov, rtol=1e-11, atol=1e-13)


def test_corruption_is_ridge_regression():
    """Least squares on every sample with its corruptions, here by a rule of two points a side."""
    rng = np.random.default_rng(1)
    x, c, gamma = rng.standard_normal((9, 2)), rng.standard_normal((9, 2)), 0.4
    shifts = gamma * np.sqrt(2) * np.array([[1, 0], [-1, 0], [0, 1], [0, -1]])
    copies = (c[:, None] + shifts).reshape(-1, 2)
    labels = np.repeat(x, 4, axis=0)
    slope = np.linalg.lstsq(copies, labels, rcond=None)[0].T
    left = labels - copies @ slope.T
    found = corrupted_fit(x, c, gamma)
    np.testing.assert_allclose(found.slope, slope, rtol=1e-12)
    np.testing.assert_allclose(found.cov, left.T @ left / 36, rtol=1e-12)
    few = corrupted_fit(x[:1], c[:1], gamma)  # more conditions than samples: it still learns
    assert np.isfinite(few.cov).all()


def test_entropy_rises_strictly_and_a_model_of_the_population_only_gets_worse():
    truth, c = wide()
    laws = [corrupted_conditional(truth, c, g) for g in (0.0, 0.1, 0.4, 1.0, 5.0)]
    for one, two in pairwise(laws):
        assert entropy(two.cov) > entropy(one.cov)
        assert np.linalg.eigvalsh(two.cov - one.cov)[0] > -1e-13  # in every direction
        assert conditional_distance(two, truth, c) > conditional_distance(one, truth, c)
    assert conditional_distance(laws[0], truth, c) < 1e-12
    assert entropy([[0.0]]) == -math.inf
    assert entropy(4 * np.eye(2)) == pytest.approx(math.log(8 * math.pi * math.e), rel=1e-14)


def test_corruption_at_sampling_too_makes_the_law_without_condition_right():
    truth, c = wide()
    found = corrupted_conditional(truth, c, 0.8)
    joint = truth.slope @ c @ truth.slope.T + truth.cov
    both = found.slope @ (c + 0.64 * np.eye(2)) @ found.slope.T + found.cov
    np.testing.assert_allclose(both, joint, rtol=1e-12)
    once = found.slope @ c @ found.slope.T + found.cov
    assert np.linalg.eigvalsh(joint - once)[-1] > 1e-2


def test_the_distance_adds_slopes_and_widths():
    one = Conditional(np.array([[1.0]]), np.array([[4.0]]))
    two = Conditional(np.array([[0.5]]), np.array([[1.0]]))
    assert conditional_distance(one, two, 2.0) == pytest.approx(math.sqrt(0.5 + 1.0), rel=1e-12)


# few samples


@pytest.mark.parametrize("n", [10, 40])
def test_without_corruption_the_mean_distance_is_closed(n: int):
    """``2 S - S/n + S/n - 2 S E sqrt(chi^2/n)``: widths and means."""
    root = math.sqrt(2 / n) * gamma_function(n / 2) / gamma_function((n - 1) / 2)
    closed = 0.4 * (1 / n + (1 - 1 / n) + 1 - 2 * root)
    assert few_shot(n, 0.0, **SHOTS) == pytest.approx(closed, rel=1e-7)


def test_the_mean_distance_is_that_of_fits_to_drawn_samples():
    """10000 fits of 10 samples, 5 standard errors: chance 6e-7; not that of another gamma."""
    rng, n, gamma = np.random.default_rng(2), 10, 0.2
    c = np.where(np.arange(n) % 2, 1.0, -1.0)
    x = 1.5 * c + math.sqrt(0.4) * rng.standard_normal((10000, n))
    slope = (x @ c / n) / (1 + gamma**2)
    left = ((x - slope[:, None] * c) ** 2).mean(1) + gamma**2 * slope**2
    one = corrupted_fit(x[:1].T, c[:, None], gamma)
    assert (one.slope[0, 0], one.cov[0, 0]) == pytest.approx((slope[0], left[0]), rel=1e-12)
    found = (slope - 1.5) ** 2 + (np.sqrt(left) - math.sqrt(0.4)) ** 2
    error = found.std() / 100
    assert abs(few_shot(n, gamma, **SHOTS) - found.mean()) < 5 * error
    assert abs(few_shot(n, 1.5 * gamma, **SHOTS) - found.mean()) > 5 * error


def test_of_many_samples_only_the_population_is_left():
    for gamma in (0.2, 0.5, 2.0):
        learned = corrupted_conditional(TRUTH, 1.0, gamma)
        truth = conditional_distance(learned, TRUTH, 1.0) ** 2
        assert few_shot(10**6, gamma, **SHOTS) == pytest.approx(truth, rel=1e-3)


def best(n: int, slope: float) -> float:
    """``gamma^2 E^2 n/S`` at the least mean distance."""
    found: Any = minimize_scalar(
        lambda v: few_shot(n, math.sqrt(v * 0.4 / n) / slope, slope=slope, var=0.4),
        bounds=(0.1, 6.0), method="bounded", options={"xatol": 1e-6},
    )  # fmt: skip
    return float(found.x)


@pytest.mark.parametrize("slope", [1.5, 0.3, 20.0])
def test_slight_corruption_helps_most_at_the_size_that_theory_gives(slope: float):
    """``(5 + 8 R)/(2 + 8 R)`` for many samples, R the noise over the signal: not 1."""
    ratio = 0.4 / slope**2
    assert best(3000, slope) == pytest.approx((5 + 8 * ratio) / (2 + 8 * ratio), rel=0.01)


def test_the_gain_falls_with_the_samples_and_the_best_gamma_like_its_root():
    gains = {}
    for n in (10, 1000):
        gamma = math.sqrt(best(n, 1.5) * 0.4 / n) / 1.5
        assert gamma == pytest.approx(math.sqrt(0.4 * 1.88 / n) / 1.5, rel=0.2)
        gains[n] = 1 - few_shot(n, gamma, **SHOTS) / few_shot(n, 0.0, **SHOTS)
        assert few_shot(n, 4 * gamma, **SHOTS) > few_shot(n, 0.0, **SHOTS)  # slight only
    assert gains[10] > 0.05
    assert 50 < gains[10] / gains[1000] < 150


def test_the_first_gain_is_of_order_gamma_squared_over_n():
    """Strong signal: ``d/dv E(sqrt(s^2 + v) - 1)^2 = 1 - E 1/s -> -5/(4 n)``."""
    for n in (40, 200):
        half = math.exp(math.lgamma(n / 2 - 1) - math.lgamma((n - 1) / 2)) * math.sqrt(n / 2)
        v = 1e-5
        moved = few_shot(n, math.sqrt(v) / 1e3, slope=1e3, var=1.0)
        moved -= few_shot(n, 0.0, slope=1e3, var=1.0)
        assert moved / v == pytest.approx(1 - half, rel=2e-3)
        assert 1 - half == pytest.approx(-1.25 / n, rel=3 / n)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: corrupted_conditional(TRUTH, 1.0, -0.1), "not negative"),
        (lambda: corrupted_conditional(TRUTH, 0.0, 0.0), "positive definite"),
        (lambda: corrupted_conditional(Conditional(np.array([[np.nan]]), TRUTH.cov), 1.0, 0.1),
         "finite matrix"),
        (lambda: corrupted_fit(np.ones((3, 1)), np.ones((2, 1)), 0.1), "for each sample"),
        (lambda: corrupted_fit(np.ones(3), np.ones(3), 0.1), r"\(n, p\), got \(3,\) and \(3,\)"),
        (lambda: few_shot(2, 0.1, **SHOTS), "n >= 3"),
        (lambda: few_shot(9, 0.1, slope=1.0, var=0.0), "positive variances"),
    ],
)  # fmt: skip
def test_bad_questions_are_refused_in_one_sentence(call: Any, words: str):
    with pytest.raises(AnalysisError, match=words):
        call()
