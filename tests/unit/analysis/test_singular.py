"""Likelihood of laws without a density: unbounded, repaired by noise, at a price."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from fokker.analysis.distances import diagonal_w2
from fokker.analysis.statistics.curve import curve_bias, curve_errors
from fokker.analysis.statistics.singular import (
    descend,
    largest_step,
    mean_nll,
    perturbed_fit,
    removal_error,
    smoothing_distance,
)
from fokker.solvers.errors import AnalysisError

LINE = np.array([1.0, 0.0])
"""Second moments of ``(z, 0)``, z ~ N(0, 1)."""


def test_without_noise_the_likelihood_has_no_bound():
    """``1/2 log b`` is all that is left of it as b falls: every decade gains log 10/2."""
    values = [mean_nll([1.0, 10.0**-k], LINE) for k in range(0, 300, 20)]
    np.testing.assert_allclose(np.diff(values), -10 * math.log(10), rtol=1e-12)
    assert values[-1] < -300


@pytest.mark.parametrize("s", [0.5, 0.05, 1e-3])
def test_with_noise_the_best_variances_are_those_of_the_noise_and_the_sum(s: float):
    """``b = s^2`` and ``a = 1 + s^2``: a strict minimum, in every direction."""
    best = LINE + s**2
    least = mean_nll(best, LINE + s**2)
    assert least == pytest.approx(1 + 0.5 * math.log((2 * math.pi) ** 2 * best.prod()), rel=1e-12)
    for turn in np.linspace(0, 2 * math.pi, 12, endpoint=False):
        for size in (1e-3, 0.5, 3.0):
            moved = best * np.exp(size * np.array([math.cos(turn), math.sin(turn)]))
            gap = mean_nll(moved, LINE + s**2) - least
            # sum g(log ratio)/2 with g(u) = e^{-u} - 1 + u, positive
            u = np.log(moved / best)
            assert gap == pytest.approx(0.5 * float(np.sum(np.expm1(-u) + u)), abs=1e-12)
            assert gap > 0


def test_the_fit_of_perturbed_samples_is_the_minimum_and_its_distance_is_of_its_error():
    """``W2 = |a^{1/2} - 1|``, about half of |a - 1|, once the noise is taken away."""
    rng, s, n = np.random.default_rng(0), 0.1, 500
    x = np.stack([rng.standard_normal(n), np.zeros(n)], axis=1)
    noise = rng.standard_normal((n, 2))
    fit = perturbed_fit(x, noise, s)
    moments = ((x + s * noise) ** 2).mean(0)
    for factor in ([1.01, 1.0], [1.0, 1.01], [0.99, 0.99]):
        assert mean_nll(fit.noisy * factor, moments) > mean_nll(fit.noisy, moments)
    np.testing.assert_allclose(fit.clean, np.maximum(moments - 0.01, 0.0), rtol=1e-12)
    a = fit.clean[0]
    assert abs(a - 1) < 5 * 1.01 * math.sqrt(2 / n)
    along = abs(math.sqrt(a) - 1)
    assert along == pytest.approx(abs(a - 1) / 2, rel=abs(a - 1))
    across = math.sqrt(fit.clean[1])
    whole = diagonal_w2([0.0, 0.0], fit.clean, [0.0, 0.0], LINE)
    assert whole == pytest.approx(math.hypot(along, across), rel=1e-12)
    left_in = diagonal_w2([0.0, 0.0], fit.noisy, [0.0, 0.0], LINE)
    assert left_in > whole  # the noise is to be removed
    assert left_in == pytest.approx(s, rel=0.3)


def test_noise_costs_at_most_its_root_mean_square_and_that_much_across_the_set():
    for s in (0.01, 0.3, 2.0):
        assert smoothing_distance([0.0] * 5, s) == pytest.approx(s * math.sqrt(5), rel=1e-14)
        mixed = smoothing_distance([0.0, 0.0, 1.0, 1e4], s)
        along = math.sqrt(1 + s * s) - 1, s * s / (math.sqrt(1e4 + s * s) + 100)
        assert mixed == pytest.approx(math.sqrt(2 * s * s + along[0] ** 2 + along[1] ** 2))
        assert s * math.sqrt(2) < mixed < s * math.sqrt(4)


@pytest.mark.parametrize(("n", "variance", "s"), [(1, 0.0, 0.3), (8, 0.0, 1.0), (8, 1.0, 0.5)])
def test_what_noise_leaves_behind_has_its_mean(n: int, variance: float, s: float):
    """A sum over the chi-square law on a fine grid of its logarithm."""
    log = np.linspace(-60.0, math.log(n + 40 * math.sqrt(n) + 40), 400_001)
    q = np.exp(log)
    density = np.exp(0.5 * n * log - 0.5 * q - 0.5 * n * math.log(2) - math.lgamma(n / 2))
    left = np.sqrt(np.maximum((variance + s**2) * q / n - s**2, 0.0)) - math.sqrt(variance)
    truth = float(np.sum(left**2 * density) * (log[1] - log[0]))
    assert removal_error(n, variance, s) == pytest.approx(truth, rel=1e-6)
    assert removal_error(n, variance, 1.2 * s) > 1.1 * removal_error(n, variance, s)


def test_across_the_set_the_remainder_falls_like_the_root_of_the_samples():
    for n in (100, 10_000):
        assert removal_error(n, 0.0, 0.1) == pytest.approx(
            0.01 / math.sqrt(math.pi * n), rel=1 / n
        )
    along = [2 * n * removal_error(n, 1.0, 0.1) / 1.01**2 for n in (1000, 4000)]
    assert along == pytest.approx([1.0, 1.0], rel=5e-3)  # a variance is known to (1 + s^2)^2 2/n


@pytest.mark.parametrize("s", [0.5, 0.1, 0.02])
def test_descent_reaches_the_width_exactly_by_steps_below_the_square_of_the_noise(s: float):
    """The curvature is 2/s^2: a step of 0.9 s^2 contracts, one of 1.1 s^2 drives away."""
    near, step = 1.001 * s, largest_step(s)
    assert float(descend(near, s, 0.9 * step, 400)) == pytest.approx(s, rel=1e-12)
    assert abs(float(descend(near, s, 1.1 * step, 400)) / s - 1) > 0.05
    curvature = (
        sum(
            sign * mean_nll([w * w], [s * s])
            for w, sign in ((s * 1.001, 1), (s, -2), (s * 0.999, 1))
        )
        / (0.001 * s) ** 2
    )
    assert curvature == pytest.approx(2 / step, rel=1e-4)


def test_for_a_learner_of_fixed_steps_the_best_noise_is_between():
    """Steps of h from width 1: least W2 near the noise at which h is the largest stable step."""
    step = 4e-4
    sizes = np.geomspace(1e-3, 0.3, 60)
    # the mean over the last steps, for a width that never settles has no last value
    errors = np.mean([descend(1.0, sizes, step, 3000 + 7 * k) for k in range(8)], axis=0)
    best = float(sizes[int(np.argmin(errors))])
    assert 0.5 < best / math.sqrt(step) < 2.0
    assert errors[0] > 1.5 * min(errors)
    assert errors[-1] > 5 * min(errors)


def test_too_much_noise_blurs_a_curve_by_a_closed_amount():
    """``E[sin(omega z)|z']`` by Gauss-Hermite over z and the noise."""
    z, w = np.polynomial.hermite_e.hermegauss(60)
    w = w / w.sum()
    for s, omega in ((0.3, 2.0), (1.0, 1.0)):
        spread = s / math.sqrt(1 + s * s)  # of z given z'
        best = np.sin(omega * (z[:, None] / (1 + s * s) + spread * z)) @ w
        truth = math.sqrt(float((best - np.sin(omega * z)) ** 2 @ w))
        assert curve_bias(s, omega) == pytest.approx(truth, rel=1e-10)
    assert curve_bias(0.0, 2.0) == 0.0
    assert curve_bias(1.0, 40.0) == pytest.approx(math.sqrt(0.5), rel=1e-12)  # a blur of all


def test_a_small_network_learns_a_curve_best_at_a_noise_between():
    """Left of the best noise the steps are too long, right of it the blur is the closed one."""
    sizes = (0.01, 0.04, 0.16, 0.64)
    errors = curve_errors(sizes, count=1500, samples=128)
    assert int(np.argmin(errors)) == 2
    assert errors[0] > 2 * errors[2]
    assert errors[3] == pytest.approx(curve_bias(0.64, 2.0), rel=0.2)
    shorter = curve_errors(sizes[:1], step=1e-3, count=1500, samples=128)
    assert float(shorter[0]) < 0.5 * errors[0]  # it was the step


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: curve_errors([0.0]), "positive sizes"),
        (lambda: mean_nll([1.0, 0.0], LINE), "positive variances"),
        (lambda: perturbed_fit(np.zeros((3, 2)), np.zeros((3, 1)), 0.1), r"\(n, D\)"),
        (lambda: removal_error(3, 1.0, 0.0), "s > 0"),
        (lambda: largest_step(0.0), "positive"),
        (lambda: descend(0.0, 0.1, 0.1, 3), "positive width"),
    ],
)
def test_bad_questions_are_refused_in_one_sentence(call: Any, words: str):
    with pytest.raises(AnalysisError, match=words):
        call()
