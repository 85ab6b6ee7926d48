"""Entropy and its rates: de Bruijn's identity, forgetting, and what a turning law costs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from fokker.analysis.entropy import (
    gaussian_entropy,
    line_entropy,
    production,
    sampled_entropy,
    steady,
)
from fokker.analysis.fokker_planck import TooFewSamplesError
from fokker.analysis.score_error import Moments
from fokker.analysis.strategies import gaussians
from fokker.solvers.errors import AnalysisError
from fokker.solvers.schedules import VPLinear
from fokker.toy_models.gaussian import Gaussian
from fokker.toy_models.mixture import GaussianMixture

F64 = torch.float64
VP = VPLinear()
FORCE = np.array([[-1.0, 2.0], [-2.0, -1.0]])
NOISE = np.diag([1.0, 0.25])


def law(mean: Any, cov: Any) -> Gaussian:
    return Gaussian(torch.tensor(mean, dtype=F64), torch.tensor(cov, dtype=F64))


def line(weights: list[float], means: list[float], stds: list[float]) -> GaussianMixture:
    tensors = [torch.tensor(v, dtype=F64) for v in (weights, means, stds)]
    return GaussianMixture(tensors[0], tensors[1][:, None], tensors[2].square()[:, None])


ONE, TWO = law([0.5, -1.0], [[1.3, 0.4], [0.4, 0.3]]), law([0.0, 0.2], [[0.6, -0.1], [-0.1, 1.1]])
LEFT, RIGHT = line([0.3, 0.7], [-2.0, 1.5], [0.5, 0.8]), line([0.6, 0.4], [-0.5, 1.0], [0.7, 0.6])
SUPPORT = (-7.0, 9.0)


def noised(data: Gaussian, t: float) -> Moments:
    node = VP.node(t)
    return Moments(
        node.alpha * data.mean.numpy(),
        node.alpha**2 * data.cov.numpy() + node.sigma**2 * np.eye(data.dim),
    )


def slope(value: Callable[[float], float], t: float, h: float = 1e-3) -> float:
    """Central difference of order four."""
    far, near = value(t + 2 * h) - value(t - 2 * h), value(t + h) - value(t - h)
    return (8 * near - far) / (12 * h)


def test_a_rotating_steady_law_produces_twelve_and_a_half():
    found = production(steady(FORCE, NOISE), FORCE, NOISE)
    assert found.total == pytest.approx(12.5, rel=1e-12)
    assert found.turning == pytest.approx(12.5, rel=1e-12)
    assert abs(found.relaxing) < 1e-12


def test_a_steady_law_without_a_turn_produces_nothing():
    found = production(steady(-np.diag([1.0, 3.0]), NOISE), -np.diag([1.0, 3.0]), NOISE)
    assert max(map(abs, found)) < 1e-12


@settings(max_examples=15)
@given(gaussians(2))
def test_production_is_relaxing_and_turning_for_every_law(data: Gaussian):
    found = production(data, FORCE, NOISE, [0.7, -0.2])
    assert found.total == pytest.approx(found.relaxing + found.turning, rel=1e-9)
    assert min(found) >= 0.0


def test_relaxing_is_the_fall_of_the_relative_entropy_to_the_steady_law():
    """Moments of ``dx = (F x + c) dt + G dW`` by the exponential of F."""
    c = np.array([0.7, -0.2])
    end, begin = steady(FORCE, NOISE, c), Moments(ONE.mean.numpy(), ONE.cov.numpy())
    values, vectors = np.linalg.eig(FORCE)

    def entropy(t: float) -> float:
        flow = (vectors * np.exp(values * t) @ np.linalg.inv(vectors)).real
        mean = end.mean + flow @ (begin.mean - end.mean)
        cov = end.cov + flow @ (begin.cov - end.cov) @ flow.T
        return gaussian_entropy(Moments(mean, cov), end).relative

    assert production(begin, FORCE, NOISE, c).relaxing == pytest.approx(
        -slope(entropy, 0.0), rel=1e-7
    )


@pytest.mark.parametrize("t", [0.1, 0.5, 0.9])
def test_two_laws_in_one_noise_come_together_at_the_rate_of_their_fisher_information(t: float):
    found = gaussian_entropy(noised(ONE, t), noised(TWO, t))
    seen = slope(lambda s: gaussian_entropy(noised(ONE, s), noised(TWO, s)).relative, t)
    assert found.rate(VP, t) == pytest.approx(seen, rel=1e-6)
    assert found.fisher > 0 > seen


@pytest.mark.parametrize("t", [0.1, 0.5, 0.9])
def test_the_entropy_of_one_law_obeys_de_bruijn_with_the_drift(t: float):
    found = gaussian_entropy(noised(ONE, t))
    seen = slope(lambda s: gaussian_entropy(noised(ONE, s)).relative, t)
    assert found.rate(VP, t, dim=2) == pytest.approx(seen, rel=1e-6, abs=1e-6)
    assert found.rate(VP, t) != pytest.approx(seen, rel=0.1)


def test_a_heat_flow_has_the_known_information():
    """N(m, v) and N(0, w): ``KL' = -(1/2) [v (1/w - 1/v)^2 + (m/w)^2]``, and J = 1/v."""
    m, v, w = 0.8, 0.5, 1.7
    found = gaussian_entropy(Moments(np.array([m]), np.array([[v]])),
                             Moments(np.zeros(1), np.array([[w]])))  # fmt: skip
    assert found.relative == pytest.approx(0.5 * (v / w - 1 - math.log(v / w) + m * m / w))
    assert found.fisher == pytest.approx(v * (1 / w - 1 / v) ** 2 + (m / w) ** 2)
    alone = gaussian_entropy(Moments(np.zeros(1), np.array([[v]])))
    assert alone.relative == pytest.approx(-0.5 * math.log(2 * math.pi * math.e * v))
    assert alone.fisher == pytest.approx(1 / v)


def test_sums_on_a_line_are_the_closed_forms_of_gaussians():
    one, two = law([0.4], [[0.5]]), law([-0.3], [[1.2]])
    for other in (None, two):
        found = line_entropy(one, other, 0.8, 0.6, SUPPORT)
        laws = [None if q is None else Moments(0.8 * q.mean.numpy(), 0.64 * q.cov.numpy() + 0.36)
                for q in (one, other)]  # fmt: skip
        truth = gaussian_entropy(laws[0], laws[1])
        assert found == pytest.approx(truth, rel=1e-11)


@pytest.mark.parametrize("other", [None, RIGHT])
def test_mixtures_on_a_line_obey_both_identities(other: Any):
    t = 0.3

    def at(s: float) -> Any:
        node = VP.node(s)
        return line_entropy(LEFT, other, node.alpha, node.sigma, SUPPORT)

    found, dim = at(t), 1 if other is None else 0
    assert found.rate(VP, t, dim=dim) == pytest.approx(slope(lambda s: at(s)[0], t), rel=1e-7)


def test_samples_hold_the_truth_in_their_bars():
    """5e-4 each at 0.999; seeds are fixed, and twice the bar is 6.6 standard deviations."""
    truth = line_entropy(LEFT, RIGHT, 0.8, 0.6, SUPPORT)
    found = sampled_entropy(LEFT, RIGHT, 0.8, 0.6, n=4000)
    for estimate, value in zip(found, truth, strict=True):
        assert abs(estimate.value - value) < 2 * estimate.bar
        assert estimate.bar < 0.2 * value
        assert abs(estimate.value - 2 * value) > 2 * estimate.bar
    node = VP.node(0.4)
    alone = sampled_entropy(ONE, None, node.alpha, node.sigma, n=4000)
    exact = gaussian_entropy(noised(ONE, 0.4))
    assert abs(alone.relative.value - exact.relative) < 2 * alone.relative.bar
    assert abs(alone.fisher.value - exact.fisher) < 2 * alone.fisher.bar


FLAT = Moments(np.zeros(2), np.diag([1.0, 0.0]))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: gaussian_entropy(FLAT), "law with a density"),
        (lambda: gaussian_entropy(ONE, law([0.0], [[1.0]])), "one dimension"),
        (lambda: gaussian_entropy(ONE, TWO, weight=np.eye(3)), "the weight must be"),
        (lambda: steady(-FORCE, NOISE), "pulls back.*real part 1"),
        (lambda: steady(FORCE, np.diag([1.0, -1.0])), "least eigenvalue is -1"),
        (lambda: production(ONE, np.eye(3), NOISE), "the drift must be"),
        (lambda: line_entropy(ONE, None, 1.0, 1.0, SUPPORT), "dimension 1"),
        (lambda: line_entropy(LEFT, None, 1.0, 0.0, SUPPORT), "sigma > 0"),
        (lambda: line_entropy(LEFT, None, 0.9, 0.4, (1.0, 2.0)), "a wider one would do"),
        (lambda: sampled_entropy(LEFT, ONE, 1.0, 1.0), "one dimension"),
    ],
)
def test_bad_questions_are_refused_in_one_sentence(call: Callable[[], Any], words: str):
    with pytest.raises(AnalysisError, match=words):
        call()


def test_too_few_samples_are_told_how_many_would_do():
    with pytest.raises(TooFewSamplesError, match="would be enough"):
        sampled_entropy(LEFT, RIGHT, 0.8, 0.6, n=100, within=0.01)
