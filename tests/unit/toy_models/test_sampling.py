"""Samples: keyed by index, with the moments and the distribution they should have."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import chi2

from fokker.solvers.errors import InvalidLawError
from fokker.toy_models import image_mixture, problem
from fokker.toy_models.draws import normals, uniforms
from toy_laws import LAWS, case

N = 20_000
FALSE_ALARM = 1e-7  # of one statistical test; each makes one decision with a chi-squared bound


@pytest.mark.parametrize("name", LAWS)
def test_a_sample_is_a_function_of_its_index_only(name):
    law = case(name).law
    many = law.sample(50, seed=7)
    assert torch.equal(law.sample(9, seed=7), many[:9])
    assert torch.equal(law.sample(20, seed=7, first=30), many[30:])
    assert not torch.equal(law.sample(9, seed=8), many[:9])


def test_numbers_of_different_labels_and_seeds_differ():
    draws = [uniforms(3, 5, seed=s, label=w) for s in (0, 1) for w in ("data", "component")]
    for i, a in enumerate(draws):
        assert a.min() > 0
        assert a.max() < 1
        for b in draws[:i]:
            assert not np.isin(a, b).any()


def test_any_block_of_samples_can_be_drawn_apart():
    for width in (1, 3, 4, 7):
        whole = normals(40, width, seed=3, label="x")
        assert np.array_equal(normals(13, width, seed=3, label="x", first=11), whole[11:24])


def test_a_negative_count_is_refused():
    with pytest.raises(InvalidLawError, match="n=-1"):
        uniforms(-1, 3, seed=0, label="x")


def mahalanobis(sample: torch.Tensor, mean: torch.Tensor, cov: torch.Tensor) -> float:
    """``n (mean_n - mean)' cov^{-1} (mean_n - mean)``: chi-squared with d degrees of freedom."""
    off = sample.mean(0) - mean
    return float(len(sample) * off @ torch.linalg.pinv(cov, hermitian=True) @ off)


@pytest.mark.parametrize("name", LAWS)
def test_samples_have_the_mean_of_the_law(name):
    """False alarm 1e-7 by the central limit theorem; a shift of 0.05 deviations is seen."""
    law = case(name).law
    bound = chi2.isf(FALSE_ALARM, law.dim)
    sample = law.sample(N, seed=9)
    assert mahalanobis(sample, law.mean, law.cov) < bound
    shift = 0.05 * law.cov.diagonal().sqrt()
    assert mahalanobis(sample + shift, law.mean, law.cov) > bound


@pytest.mark.parametrize("name", LAWS)
def test_samples_have_the_covariance_of_the_law(name):
    """Each second moment within 6.5 of its own standard errors.

    Gaussian tail 8e-11 for each of 6 moments; 1e-7 leaves room for their being near-normal only. A
    sample that is 5 % too wide is seen.
    """
    law = case(name).law
    centred = law.sample(N, seed=10) - law.mean

    def worst(rows: torch.Tensor) -> float:
        products = rows[:, :, None] * rows[:, None, :]
        error = (products.mean(0) - law.cov).abs()
        return float((error / (products.std(0) / math.sqrt(N)).clamp_min(1e-14)).max())

    assert worst(centred) < 6.5
    assert worst(1.05 * centred) > 6.5


@pytest.mark.parametrize("name", ["mixture", "low-rank mixture", "product"])
def test_samples_follow_the_density_of_the_law(name):
    """The mean of log p over samples, against importance sampling from a wide Gaussian.

    ``E_q[(p/q) log p]`` and ``E_p[log p]`` are two estimates of one number; 6 joint standard
    errors (2e-9). Samples that are 10 % too wide are seen.
    """
    law = case(name).law
    sample = law.sample(N, seed=11)
    wide = 2.0 * law.cov.diagonal().sqrt()
    z = torch.from_numpy(normals(20 * N, law.dim, seed=12, label="proposal"))
    proposal = law.mean + wide * z
    log_q = -0.5 * (z.square().sum(1) + law.dim * math.log(2 * math.pi)) - wide.log().sum()
    log_p = law.log_density(proposal)
    terms = (log_p - log_q).exp() * log_p

    def gap(rows: torch.Tensor) -> float:
        values = law.log_density(rows)
        error = math.hypot(values.std() / math.sqrt(N), terms.std() / math.sqrt(len(terms)))
        return abs(float(values.mean() - terms.mean())) / error

    assert gap(sample) < 6
    assert gap(law.mean + 1.1 * (sample - law.mean)) > 6


def test_the_starts_of_a_problem_follow_the_law_at_its_start():
    """Chi-squared bound at 1e-7 on the mean, exact for a Gaussian."""
    p = problem("gaussian")
    starts = p.starts(N, seed=2)
    alpha, sigma = p.start.alpha, p.start.sigma
    eye = torch.eye(p.law.dim, dtype=torch.float64)
    cov, bound = alpha**2 * p.law.cov + sigma**2 * eye, chi2.isf(FALSE_ALARM, p.law.dim)
    assert mahalanobis(starts, alpha * p.law.mean, cov) < bound
    assert mahalanobis(starts, (alpha + 0.2) * p.law.mean, cov) > bound
    assert torch.equal(p.starts(5, seed=2), starts[:5])


def test_the_noise_of_a_start_is_independent_of_its_data():
    """Second moments of starts at lam = 0 within 6.5 of their standard errors (8e-11 for each)."""
    p = replace(problem("gaussian"), lam_start=0.0)
    alpha, sigma = p.start.alpha, p.start.sigma
    data = p.law.sample(N, seed=4)
    noise = (p.starts(N, seed=4) - alpha * data) / sigma

    def worst(a: torch.Tensor, b: torch.Tensor) -> float:
        products = (a - a.mean(0))[:, :, None] * (b - b.mean(0))[:, None, :]
        return float((products.mean(0) / products.std(0)).abs().max()) * math.sqrt(N)

    assert worst(noise, data) < 6.5
    assert worst(noise + 0.1 * data, data) > 6.5


def test_image_sized_samples_have_the_size_they_should():
    """The mean square norm of 200 images, within 6 of its standard errors (2e-9)."""
    law = image_mixture(size=16, components=6, rank=4)
    squares = (law.sample(200, seed=3) - law.mean).square().sum(1)
    trace = float(law.cov.trace())
    error = float(squares.std()) / math.sqrt(200)
    assert abs(float(squares.mean()) - trace) < 6 * error
    assert abs(float(squares.mean()) - 1.5 * trace) > 6 * error
