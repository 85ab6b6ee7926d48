"""PFGM++ at every D: kernel, denoiser, start, flow, and how it becomes diffusion."""

from __future__ import annotations

import math

import mpmath as mp
import numpy as np
import pytest
import torch
from scipy import stats

from fokker.solvers.errors import InvalidLawError, InvalidProcessError, NoExactFlowError
from fokker.solvers.grids import karras
from fokker.solvers.processes.pfgm import student_noise
from fokker.solvers.registry import get
from fokker.solvers.run import run
from fokker.solvers.schedules import EDM, RectifiedFlow
from fokker.toy_models.empirical import Empirical
from fokker.toy_models.law import exact_model
from fokker.toy_models.pfgm import PoissonFlow, log_peak

F64 = torch.float64
GENERATOR = np.random.default_rng(3)
POINTS = torch.from_numpy(GENERATOR.standard_normal((50, 20)))
X = torch.from_numpy(GENERATOR.standard_normal((1, 20)))
SIGMA = 1.5


def test_the_denoiser_is_the_published_power_law_in_many_digits():
    """At D = 3, 128 and 1e7, against 60-digit sums."""
    for augmented in (3.0, 128.0, 1e7):
        with mp.workdps(60):
            r2 = mp.mpf(SIGMA) ** 2 * augmented
            w = [
                (sum((mp.mpf(float(a - b)) ** 2) for a, b in zip(X[0], p, strict=True)) + r2)
                ** (-(20 + mp.mpf(augmented)) / 2)
                for p in POINTS
            ]
            total = sum(w)
            mean = [
                float(sum(wi * float(p[k]) for wi, p in zip(w, POINTS, strict=True)) / total)
                for k in range(3)
            ]
        found = PoissonFlow(POINTS, augmented).denoiser(X, 1.0, SIGMA)[0, :3]
        np.testing.assert_allclose(found, mean, rtol=1e-9)


def gap(augmented: float) -> torch.Tensor:
    gauss = PoissonFlow(POINTS, math.inf).denoiser(X, 1.0, SIGMA)
    return (PoissonFlow(POINTS, augmented).denoiser(X, 1.0, SIGMA) - gauss)[0]


def test_at_infinite_dimension_it_is_the_empirical_law_of_diffusion():
    plain = Empirical(POINTS)
    law = PoissonFlow(POINTS, math.inf)
    for alpha, sigma in ((1.0, SIGMA), (0.3, 0.8)):
        for name in ("denoiser", "score", "log_density"):
            ours, theirs = (getattr(one, name)(X, alpha, sigma) for one in (law, plain))
            torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


def test_it_becomes_diffusion_as_one_over_the_dimension():
    """The constant is ``Cov(x_i, q_i^2/4 - N q_i/2)`` under the Gaussian attention."""
    q = ((X[:, None] - POINTS) / SIGMA).square().sum(-1)[0]
    p = torch.softmax(-0.5 * q, dim=0)
    first = q * q / 4 - 10 * q
    constant = (p * (first - p @ first)) @ POINTS
    for augmented, slack in ((1e4, 2e-2), (1e5, 2e-3), (1e6, 2e-4)):
        off = (augmented * gap(augmented) - constant).norm() / constant.norm()
        assert off < slack
    assert gap(1e7).norm() < 1e-4 * gap(1e3).norm() * 1.1


def test_no_power_over_or_underflows():
    for augmented in (1e-3, 1.0, 1e12, 1e300):
        for sigma in (1e-6, 1.0, 1e6):
            law = PoissonFlow(POINTS, augmented)
            assert torch.isfinite(law.denoiser(X, 1.0, sigma)).all()
            assert torch.isfinite(student_noise((64, 20), max(augmented, 0.1))).all()


def test_the_density_is_a_density_and_scipys_student_law():
    one = PoissonFlow(torch.zeros(1, 3, dtype=F64), 5.0)
    x = torch.from_numpy(GENERATOR.standard_normal((6, 3)))
    truth = stats.multivariate_t.logpdf(x.numpy(), np.zeros(3), 4, df=5)
    np.testing.assert_allclose(one.log_density(x, 1.0, 2.0), truth, rtol=1e-12)
    for augmented in (9e3, 1.1e4, 1e7, 1e13):
        with mp.workdps(60):
            d, n = mp.mpf(augmented), 20
            exact = mp.loggamma((d + n) / 2) - mp.loggamma(d / 2) - n * mp.log(d * mp.pi) / 2
        assert log_peak(20, augmented) == pytest.approx(float(exact), rel=1e-11)


# -- the start ------------------------------------------------------------------------------------


@pytest.mark.parametrize("augmented", [1.0, 4.0, 128.0, 1e7])
def test_the_radius_of_the_start_has_the_published_beta_law(augmented):
    """Kolmogorov's statistic of 4000 draws; sqrt(n) D > 2.7 has probability below 1e-6."""
    n, dim, sigma = 4000, 6, 3.0
    x = student_noise((n, dim), augmented, scale=sigma, seed=1).numpy()
    r2 = (x**2).sum(1) / (sigma**2 * augmented)
    found = stats.kstest(r2 / (1 + r2), stats.beta(dim / 2, augmented / 2).cdf)
    assert found.statistic * math.sqrt(n) < 2.7
    wrong = stats.kstest(r2 / (1 + r2), stats.beta(dim / 2 + 1, augmented / 2).cdf)
    assert wrong.statistic * math.sqrt(n) > 2.7
    direction = (x / np.sqrt((x**2).sum(1, keepdims=True))).mean(0)
    assert np.abs(direction).max() < 5.5 / math.sqrt(n * dim)


def test_the_second_moment_of_the_start():
    """``E R^2/N = r^2/(D - 2)``; within 6 standard errors of 20000 draws."""
    augmented, sigma, n, dim = 20.0, 2.0, 20000, 10
    x = student_noise((n, dim), augmented, scale=sigma, seed=2)
    each = x.square().mean(1)
    truth = sigma**2 * augmented / (augmented - 2)
    assert abs(float(each.mean()) - truth) < 6 * float(each.std()) / math.sqrt(n)
    assert abs(float(each.mean()) - sigma**2) > 6 * float(each.std()) / math.sqrt(n)


def test_a_start_is_a_function_of_seed_and_index():
    whole = student_noise((6, 4), 7.0, seed=5)
    torch.testing.assert_close(student_noise((3, 4), 7.0, seed=5, first=3), whole[3:])
    assert not torch.equal(student_noise((6, 4), 7.0, seed=6), whole)
    far = student_noise((6, 4), 1e14, seed=5)
    torch.testing.assert_close(far, student_noise((6, 4), math.inf, seed=5), rtol=1e-5, atol=0)


# -- the flow -------------------------------------------------------------------------------------


def mixture_cdf(x: np.ndarray, sigma: float, augmented: float, centres, weights) -> np.ndarray:
    """Distribution function of the perturbed data in one dimension."""
    z = (x[:, None] - np.asarray(centres)) / sigma
    return stats.t.cdf(z, augmented) @ np.asarray(weights)


@pytest.mark.parametrize("augmented", [1.0, 3.0, 128.0])
def test_in_one_dimension_the_flow_keeps_the_distribution_function(augmented):
    """An exact truth for any points and any D: F_sigma(x) is constant along the ODE of EDM."""
    centres, weights = [-1.0, 0.2, 1.1], [0.3, 0.5, 0.2]
    law = PoissonFlow(
        torch.tensor(centres, dtype=F64)[:, None], augmented, torch.tensor(weights, dtype=F64)
    )
    process = EDM()
    x = 20.0 * torch.tensor([-2.0, -0.7, -0.1, 0.4, 1.5], dtype=F64)[:, None]
    grid = karras(process, 20.0, 0.2).grid(200)
    end = run(get("rho_rk4")(process, grid), exact_model(law, process, "noise"), x).x
    before = mixture_cdf(x[:, 0].numpy(), 20.0, augmented, centres, weights)
    after = mixture_cdf(end[:, 0].numpy(), 0.2, augmented, centres, weights)
    np.testing.assert_allclose(after, before, atol=1e-8)
    other = mixture_cdf(end[:, 0].numpy(), 0.2, augmented + 2, centres, weights)
    assert np.abs(other - before).max() > 1e-6


def test_of_a_single_point_every_sampler_is_exact_whatever_the_dimension():
    law = PoissonFlow(torch.tensor([[0.3, -1.0]], dtype=F64), 2.0)
    x = student_noise((4, 2), 2.0, scale=5.0)
    for process, top in ((EDM(), 5.0), (RectifiedFlow(), 4.0)):
        grid = karras(process, top, 0.1).grid(3)
        s, t = grid[0], grid[-1]
        truth = law.flow(x, (s.alpha, s.sigma), (t.alpha, t.sigma))
        for name in ("ddim", "edm_heun", "dpmpp_2m", "unipc_2"):
            entry = get(name)
            model = exact_model(law, process, entry.prediction)
            out = run(entry(process, grid), model, x).x
            torch.testing.assert_close(out, truth, rtol=1e-12, atol=1e-12)
    with pytest.raises(NoExactFlowError, match="50 points"):
        PoissonFlow(POINTS, 2.0).flow(X, (1.0, 1.0), (1.0, 0.1))


def test_bad_parameters_are_refused_in_one_sentence():
    with pytest.raises(InvalidLawError, match="got -1"):
        PoissonFlow(POINTS, -1.0)
    with pytest.raises(InvalidLawError, match="sum to 1"):
        PoissonFlow(POINTS, 2.0, torch.ones(50, dtype=F64))
    for augmented, scale in ((0.0, 1.0), (2.0, 0.0)):
        with pytest.raises(InvalidProcessError, match="positive"):
            student_noise((2, 2), augmented, scale=scale)
