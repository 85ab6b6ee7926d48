"""Exact posteriors of linear measurements."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from fokker.solvers.errors import InvalidLawError
from fokker.toy_models import Gaussian, GaussianMixture, SuperResolution, problem
from fokker.toy_models.conditioned import conditioned


def array(values) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def law_of(name: str) -> Any:
    """A Gaussian, or a mixture of them."""
    return problem(name).law


A = array([[1.0, 0.5, -0.2, 0.0], [0.0, 0.3, 1.0, 2.0]])
Y = array([0.4, -0.7])


def log_likelihood(x: Tensor, matrix: Tensor, y: Tensor, noise: float) -> Tensor:
    return -0.5 * ((y - x @ matrix.mT) / noise).square().sum(1)


@pytest.mark.parametrize("name", ["gaussian", "mixture"])
def test_the_posterior_density_is_prior_times_likelihood(name):
    law = law_of(name)
    a = A[:, : law.dim]
    posterior = conditioned(law, a, Y, 0.3)
    x = law.sample(20, seed=2)
    gap = posterior.log_density(x) - law.log_density(x) - log_likelihood(x, a, Y, 0.3)
    torch.testing.assert_close(gap, gap[:1].expand(20), rtol=1e-9, atol=1e-9)


def test_it_agrees_with_the_one_for_many_observations():
    law = law_of("gaussian")
    found = conditioned(law, A, Y, 0.2)
    other = SuperResolution(law, A, 0.2).posterior(Y)
    torch.testing.assert_close(found.mean, other.mean)
    torch.testing.assert_close(found.cov, other.cov)


def test_without_noise_the_measurement_is_met_and_it_is_the_limit_of_little_noise():
    law = law_of("gaussian")
    exact, near = conditioned(law, A, Y), conditioned(law, A, Y, 1e-5)
    torch.testing.assert_close(A @ exact.mean, Y)
    assert float((A @ exact.cov @ A.mT).abs().max()) < 1e-14
    torch.testing.assert_close(exact.mean, near.mean, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(exact.cov, near.cov, rtol=1e-6, atol=1e-6)


def test_the_components_of_a_mixture_are_weighed_by_their_evidence():
    """One coordinate: weights w_k N(y; m_k, v_k + s^2), by hand; diagonal covariances too."""
    law = GaussianMixture(array([0.4, 0.6]), array([[-1.0], [1.0]]), array([[0.2], [0.5]]))
    found = conditioned(law, [[1.0]], [0.3], 0.5)
    total = [0.2 + 0.25, 0.5 + 0.25]
    gaps = [1.3, -0.7]
    raw = [
        w * math.exp(-0.5 * g * g / v) / math.sqrt(v)
        for w, g, v in zip((0.4, 0.6), gaps, total, strict=True)
    ]
    torch.testing.assert_close(found.weights, array([r / sum(raw) for r in raw]))
    torch.testing.assert_close(found.covs[:, 0, 0], array([0.2 * 0.25 / 0.45, 0.5 * 0.25 / 0.75]))


def test_measurements_that_say_nothing_sure_are_refused():
    gaussian, mixture = law_of("gaussian"), law_of("mixture")
    with pytest.raises(InvalidLawError, match=r"finite and positive here, got 0.0"):
        conditioned(mixture, A[:, :2], Y)
    with pytest.raises(InvalidLawError, match="at least 0 here, got -1"):
        conditioned(gaussian, A, Y, -1.0)
    with pytest.raises(InvalidLawError, match="singular"):
        conditioned(gaussian, torch.vstack([A[:1], 2 * A[:1]]), Y)
    with pytest.raises(InvalidLawError, match=r"matrix must be.*shape \(any, 4\)"):
        conditioned(gaussian, A[:, :3], Y)
    with pytest.raises(InvalidLawError, match="y must be"):
        conditioned(gaussian, A, Y[:1])
    with pytest.raises(InvalidLawError, match="need a Gaussian or a GaussianMixture"):
        conditioned(problem("product").law, A, Y)  # pyright: ignore[reportCallIssue, reportArgumentType]


def test_a_singular_gaussian_has_a_model_at_every_level_above_zero():
    posterior = conditioned(
        Gaussian(array([0.0, 0.0]), array([[1.0, 0.5], [0.5, 1.0]])), [[1.0, 0.0]], [2.0]
    )
    x = array([[1.0, 1.0]])
    d = posterior.denoiser(x, 0.8, 0.6)
    assert float(d[0, 0]) == pytest.approx(2.0)
    gain = 0.8 * 0.75 / (0.64 * 0.75 + 0.36)
    assert float(d[0, 1]) == pytest.approx(1.0 + gain * (1.0 - 0.8))
