"""How fast samples teach: exact means of fits and stopped diffusions, scores of subspaces."""

from __future__ import annotations

import math
from typing import Any

import mpmath
import numpy as np
import pytest
import torch

from fokker.analysis.distances import gaussian_kl
from fokker.analysis.statistics.rates import (
    best_stop,
    fit_divergence,
    lifted_score,
    stopped_error,
)
from fokker.analysis.subspaces import principal_basis
from fokker.solvers.errors import AnalysisError
from fokker.toy_models.empirical import Empirical
from fokker.toy_models.lowrank import LowRankMixture
from fokker.toy_models.mixture import GaussianMixture

F64 = torch.float64


def basis(dim: int, rank: int, seed: int = 0) -> torch.Tensor:
    draws = np.random.default_rng(seed).standard_normal((dim, rank))
    return torch.from_numpy(np.linalg.qr(draws)[0])


# Gaussian fits


def test_a_fit_has_the_known_mean_divergence():
    """At k = 4, n = 400: n E KL = 7.1801, and 7.1470 with n - 1."""
    assert 400 * fit_divergence(400, 4) == pytest.approx(7.1801, abs=5e-5)
    assert 400 * fit_divergence(400, 4, unbiased=True) == pytest.approx(7.1470, abs=5e-5)


@pytest.mark.parametrize("rank", [1, 2, 4, 8])
def test_the_rate_is_one_over_n_with_a_constant_of_parameters(rank: int):
    """``n E KL -> k (k + 3)/4``, half the number of parameters, the next order being 1/n."""
    gaps = [n * fit_divergence(n, rank) - rank * (rank + 3) / 4 for n in (4000, 8000)]
    assert abs(gaps[0]) < 40 * rank**3 / 4000
    assert gaps[1] / gaps[0] == pytest.approx(0.5, rel=0.02)


@pytest.mark.parametrize(
    ("n", "rank", "unbiased"), [(7, 4, False), (400, 4, True), (60, 9, False)]
)
def test_the_mean_divergence_is_that_of_high_precision(n: int, rank: int, unbiased: bool):
    with mpmath.workdps(40):
        c, k = mpmath.mpf(n - unbiased), rank
        logs = sum(mpmath.digamma(mpmath.mpf(n - i) / 2) for i in range(1, k + 1))
        truth = (
            c * k * (1 + mpmath.mpf(1) / n) / (n - k - 2) - k - k * mpmath.log(c / 2) + logs
        ) / 2
    assert fit_divergence(n, rank, unbiased=unbiased) == pytest.approx(float(truth), rel=1e-11)


def test_fits_of_drawn_samples_have_this_mean_whatever_the_law():
    """10000 fits of 15 samples in 3 dimensions: 5.5 standard errors, chance below 1e-6."""
    rng = np.random.default_rng(0)
    mean, root = np.array([1.0, -2.0, 0.3]), rng.standard_normal((3, 3))
    x = mean + rng.standard_normal((10000, 15, 3)) @ root.T
    centre = x.mean(1)
    left = x - centre[:, None]
    covs = np.einsum("bni,bnj->bij", left, left) / 15
    inverse, truth = np.linalg.inv(covs), root @ root.T
    off = centre - mean
    found = 0.5 * (
        np.einsum("bij,ji->b", inverse, truth)
        - 3
        + np.linalg.slogdet(covs)[1]
        - np.linalg.slogdet(truth)[1]
        + np.einsum("bi,bij,bj->b", off, inverse, off)
    )
    error = found.std() / 100
    assert abs(found.mean() - fit_divergence(15, 3)) < 5.5 * error
    assert abs(found.mean() - fit_divergence(16, 3)) > 5.5 * error
    assert abs(found.mean() - fit_divergence(15, 3, unbiased=True)) > 5.5 * error


def test_the_surrounding_dimension_costs_nothing_once_the_subspace_is_known():
    """Laws differ as their latent laws do, and PCA knows the subspace of clean data."""
    a, rng = basis(64, 4), np.random.default_rng(1)
    z = rng.standard_normal((40, 4))
    x = z @ a.numpy().T
    found = principal_basis(x, 4)
    inner = x @ found
    alpha, sigma, eye = 0.8, 0.6, np.eye(64)
    latent, lifted = [], []
    for cov in (np.eye(4), np.cov(z.T, bias=True)):
        latent.append(alpha**2 * cov + sigma**2 * np.eye(4))
        lifted.append(alpha**2 * a.numpy() @ cov @ a.numpy().T + sigma**2 * eye)
    fitted = alpha**2 * found @ np.cov(inner.T, bias=True) @ found.T + sigma**2 * eye
    mean = np.zeros(64)
    shift = alpha * x.mean(0)
    small = gaussian_kl(np.zeros(4), latent[0], alpha * z.mean(0), latent[1])
    assert gaussian_kl(mean, lifted[0], shift, fitted) == pytest.approx(small, rel=1e-9)
    assert fit_divergence(400, 64) > 150 * fit_divergence(400, 4)  # were it not known


# stopped empirical diffusions


def test_a_stopped_diffusion_of_points_has_the_known_mean_error():
    """At n = 2 in dimension one: the mean over both points by Gauss-Hermite, over x by a sum."""
    sigma, x = 0.7, torch.linspace(-9.0, 9.0, 361, dtype=F64)[:, None]
    z, w = np.polynomial.hermite_e.hermegauss(20)
    w = w / w.sum()
    p = torch.exp(-0.5 * x[:, 0].square()) / math.sqrt(2 * math.pi)
    total = 0.0
    for i in range(20):
        for j in range(i + 1):  # the two points are alike
            law = Empirical(torch.tensor([[z[i]], [z[j]]], dtype=F64))
            gap = law.log_density(x, 1.0, sigma).exp() - p
            total += (2 if j < i else 1) * w[i] * w[j] * float(gap.square().sum() * 0.05)
    norm = 1 / (2 * math.sqrt(math.pi))
    assert stopped_error(2, 1, sigma) == pytest.approx(total / norm, rel=1e-8)


@pytest.mark.parametrize("dim", [1, 2, 4, 8])
def test_the_best_stopped_diffusion_has_the_rate_of_two_derivatives(dim: int):
    """Squared error ``n^{-4/(4 + d)}``, at a level ``n^{-1/(4 + d)}``."""
    n = 10 ** (6 + dim)
    one, two = best_stop(n, dim), best_stop(100 * n, dim)
    slope = math.log(two.error / one.error) / math.log(100)
    assert slope == pytest.approx(-4 / (4 + dim), rel=0.05)
    near = (4 / ((dim + 2) * n)) ** (1 / (dim + 4))
    assert one.sigma == pytest.approx(near, rel=3 * near)
    for factor in (0.97, 1.03):
        assert stopped_error(n, dim, factor * one.sigma) > one.error


def test_neither_never_stopping_nor_never_starting_teaches_a_density():
    assert stopped_error(1000, 2, 1e-4) > 1e4
    assert stopped_error(1000, 2, 1e4) == pytest.approx(1.0, abs=1e-6)
    assert best_stop(1000, 2).error < 0.03
    assert best_stop(10, 3000).error == pytest.approx(1.0)  # nor do few points in many dimensions


# subspaces


def test_the_score_of_a_subspace_splits():
    """A mixture of rank 3 in 12 dimensions: 1e-12 of the largest part, at every level."""
    a, rng = basis(12, 3, seed=2), np.random.default_rng(3)
    weights = torch.tensor([0.5, 0.2, 0.3], dtype=F64)
    means = torch.from_numpy(rng.standard_normal((3, 3)))
    roots = torch.from_numpy(rng.standard_normal((3, 3, 3)))
    latent = GaussianMixture(weights, means, roots @ roots.mT)
    law = LowRankMixture(weights, means @ a.mT, a @ roots, 0.0)
    x = torch.from_numpy(rng.standard_normal((20, 12)))
    for alpha, sigma in ((1.0, 0.05), (0.8, 0.6), (0.1, 1.0)):
        exact = law.score(x, alpha, sigma)
        found = lifted_score(latent, a, x, alpha, sigma)
        assert float((found - exact).abs().max()) < 1e-12 * float(exact.abs().max())
        apart = latent.score(x @ a, alpha, sigma) @ a.mT - x / sigma**2  # P x forgotten
        assert float((apart - exact).abs().max()) > 0.1


def test_off_the_subspace_the_score_grows_as_one_over_the_square_of_the_noise():
    a = basis(6, 2)
    latent = GaussianMixture(
        torch.ones(1).to(F64), torch.zeros(1, 2).to(F64), torch.eye(2)[None].to(F64)
    )
    x = torch.from_numpy(np.random.default_rng(4).standard_normal((5, 6)))
    x = x - x @ a @ a.mT
    sizes = [lifted_score(latent, a, x, 1.0, s).norm() for s in (0.1, 0.01)]
    assert float(sizes[1] / sizes[0]) == pytest.approx(100.0, rel=1e-10)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: fit_divergence(6, 4), "n >= k"),
        (lambda: fit_divergence(9, 0), "k >= 1"),
        (lambda: stopped_error(0, 1, 1.0), "n >= 1"),
        (lambda: stopped_error(3, 1, 0.0), "sigma > 0"),
        (lambda: best_stop(1, 2), "at least 2"),
        (lambda: stopped_error(10, 400, 0.1), "beyond 1e300: stop 400 dimensions earlier"),
        (lambda: lifted_score(None, torch.eye(2), torch.zeros(1, 2), 1.0, 0.0), "sigma > 0"),
        (lambda: lifted_score(None, torch.ones(2, 1), torch.zeros(1, 2), 1.0, 1.0), "orthonormal"),
    ],
)
def test_bad_questions_are_refused_in_one_sentence(call: Any, words: str):
    with pytest.raises(AnalysisError, match=words):
        call()
