"""Boundary conditions of super-resolution: closed losses, the law of the best of K, held out."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from fokker.analysis.best_of import best_of_quantile, weighted_chi2_cdf
from fokker.solvers.errors import AnalysisError, InvalidLawError, ShapeError
from fokker.solvers.grids import uniform_lam
from fokker.solvers.processes.boundary import best_boundary, boundary_losses
from fokker.solvers.registry import get
from fokker.solvers.run import run
from fokker.solvers.schedules import VPLinear
from fokker.toy_models.gaussian import Gaussian
from fokker.toy_models.law import exact_model
from fokker.toy_models.product import ProductMixture
from fokker.toy_models.super_resolution import SuperResolution

F64 = torch.float64
PURE = (0.0, 1.0)


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def task(d: int = 6) -> SuperResolution:
    """A smooth signal seen through averages of neighbours."""
    at = torch.arange(d, dtype=F64)
    cov = torch.exp(-0.5 * (at[:, None] - at).square() / 1.5**2) + 0.05 * torch.eye(d, dtype=F64)
    average = torch.kron(torch.eye(d // 2, dtype=F64), torch.tensor([[0.5, 0.5]], dtype=F64))
    return SuperResolution(Gaussian(0.3 * at.cos(), cov), average, 0.1)


TASK = task()


def pairs(n: int, seed: int) -> tuple[Tensor, Tensor]:
    x0 = TASK.prior.sample(n, seed=seed)
    return x0, TASK.observe(x0, normal(seed, n, 3))


def test_the_posterior_is_that_of_the_joint_gaussian():
    """Against the blocks of the joint precision matrix, which no gain enters."""
    a, c, s2 = TASK.degrade, TASK.prior.cov, 0.1**2
    precision = torch.linalg.inv(c) + a.mT @ a / s2
    torch.testing.assert_close(TASK.cov, torch.linalg.inv(precision), rtol=1e-9, atol=1e-12)
    y = normal(1, 1, 3)
    mean = TASK.cov @ (torch.linalg.solve(c, TASK.prior.mean) + a.mT @ y[0] / s2)
    torch.testing.assert_close(TASK.posterior_mean(y)[0], mean, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("pure", [True, False])
def test_the_end_of_the_flow_is_affine_in_the_start(pure):
    process = VPLinear()
    grid = uniform_lam(process, -2.0, 6.0).grid(300)
    start = PURE if pure else (grid[0].alpha, grid[0].sigma)
    _, y = pairs(1, 4)
    law, x = TASK.posterior(y[0]), normal(2, 4, 6)
    ends = TASK.end(x, y, start)
    torch.testing.assert_close(ends, law.flow(x, start, (1.0, 0.0)), rtol=1e-10, atol=1e-10)
    if not pure:  # and a sampler comes there
        out = run(get("unipc_3")(process, grid.with_zero()), exact_model(law, process), x).x
        torch.testing.assert_close(out, ends, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("start", [PURE, (0.3, 0.9)])
def test_the_expected_loss_is_the_mean_over_data_and_observations(start):
    """Within 6 standard errors of 40000 pairs, for three starts."""
    x0, y = pairs(40000, 7)
    for x in normal(3, 3, 6):
        each = (TASK.end(x.expand_as(x0), y, start) - x0).square().sum(1)
        truth = float(TASK.expected_loss(x[None], start))
        error = float(each.std()) / math.sqrt(len(each))
        assert abs(float(each.mean()) - truth) < 6 * error
        assert abs(float(each.mean()) - 1.1 * truth) > 6 * error


def test_from_pure_noise_one_start_is_best_for_every_observation():
    """Given y the loss of the start x is ``tr S + |S^{1/2} x|^2``: y is not in it."""
    x0, y = pairs(5, 8)
    x = normal(4, 50, 6)
    excess = []
    for row in y:
        mean = TASK.posterior_mean(row[None])
        ends = TASK.end(x, row.expand(50, 3), PURE)
        excess.append((ends - mean).square().sum(1))
    for one in excess[1:]:
        torch.testing.assert_close(one, excess[0], rtol=1e-10, atol=1e-10)
    loss = TASK.expected_loss(x, PURE) - torch.trace(TASK.cov)
    torch.testing.assert_close(loss, excess[0], rtol=1e-9, atol=1e-9)
    assert len(x0) == 5


def test_on_a_reference_set_the_best_start_is_found_and_overfits_by_the_trace_over_its_size():
    """The continuous optimum solves ``S^{1/2} x = mean residual``; held out that costs tr S/R."""
    count, repeats = 8, 400
    x0, y = pairs(count * repeats, 9)
    residual = (x0 - TASK.posterior_mean(y)).reshape(repeats, count, 6).mean(1)
    x = torch.linalg.solve(TASK.spread(PURE), residual.mT).mT
    held_out = TASK.expected_loss(x, PURE) - torch.trace(TASK.cov)
    truth = float(torch.trace(TASK.cov)) / count
    error = float(held_out.std()) / math.sqrt(repeats)
    assert abs(float(held_out.mean()) - truth) < 6 * error
    # and no candidate does better on its own references
    refs, seen = x0[:count], y[:count]
    losses = boundary_losses(
        lambda start: TASK.end(start, seen, PURE), torch.cat([x[:1], normal(5, 200, 6)]), refs
    )
    assert int(losses.argmin()) == 0


def test_the_best_boundary_is_the_candidate_of_least_mean_loss():
    x0, y = pairs(6, 10)
    candidates = normal(6, 40, 6)
    choice = best_boundary(lambda x: TASK.end(x, y, PURE), candidates, x0)
    by_hand = [
        float(
            sum(
                ((TASK.end(c[None], b[None], PURE) - a) ** 2).sum()
                for a, b in zip(x0, y, strict=True)
            )
            / 6
        )
        for c in candidates
    ]
    np.testing.assert_allclose(choice.losses, by_hand, rtol=1e-10)
    assert choice.index == int(np.argmin(by_hand))
    torch.testing.assert_close(choice.start, candidates[choice.index])


# -- the law of the best of K ---------------------------------------------------------------------


def test_the_law_of_a_weighted_chi_square_against_known_ones():
    q = np.array([0.01, 0.3, 1.0, 4.0, 20.0])
    np.testing.assert_allclose(
        weighted_chi2_cdf([2.0] * 5, q), stats.chi2.cdf(q / 2, 5), atol=1e-12
    )
    # two and two equal weights: a difference of exponentials
    a, b = 0.3, 2.0
    exact = 1 - (b * np.exp(-q / (2 * b)) - a * np.exp(-q / (2 * a))) / (b - a)
    np.testing.assert_allclose(weighted_chi2_cdf([a, a, b, b], q), exact, atol=1e-11)
    with pytest.raises(AnalysisError, match="positive"):
        weighted_chi2_cdf([1.0, 0.0], 1.0)


@pytest.mark.parametrize("count", [1, 30, 300])
def test_the_best_of_k_follows_its_law(count):
    """Of 1000 repeats the share below each quantile, within 6 binomial standard errors."""
    weights = torch.linalg.eigvalsh(TASK.cov).tolist()
    generator, repeats = np.random.default_rng(1), 1000
    best = np.full(repeats, np.inf)
    for _ in range(count):
        best = np.minimum(best, generator.standard_normal((repeats, 6)) ** 2 @ weights)
    for p in (0.1, 0.5, 0.9):
        q = best_of_quantile(weights, count, p)
        error = math.sqrt(p * (1 - p) / repeats)
        assert abs((best < q).mean() - p) < 6 * error
    wrong = best_of_quantile(weights, 2 * count)
    assert abs((best < wrong).mean() - 0.5) > 3 / math.sqrt(repeats)


def test_more_candidates_help_little_in_high_dimension():
    """The least of K falls as ``K^(-2/n)``."""
    for n in (2, 8):
        low, high = (best_of_quantile([1.0] * n, k) for k in (10**7, 10**5))
        assert math.log(high / low) / math.log(100) == pytest.approx(2 / n, rel=0.08)


# -- a posterior with several modes ---------------------------------------------------------------

W, M, S = (torch.tensor(v, dtype=F64) for v in (
    [[0.5, 0.5], [0.4, 0.6], [0.7, 0.3]],
    [[-1.0, 1.0], [-0.6, 0.9], [-0.8, 0.7]],
    [[0.3, 0.3], [0.2, 0.3], [0.3, 0.2]],
))  # fmt: skip
BLUR = 0.8


def mixture_posterior(y: Tensor) -> ProductMixture:
    """Of a product of mixtures seen with noise: the weights, means and widths of Bayes."""
    var = S**2 + BLUR**2
    logits = W.log() - 0.5 * ((y[:, None] - M) ** 2 / var + var.log())
    means = M + S**2 / var * (y[:, None] - M)
    return ProductMixture(logits.softmax(1), means, S * BLUR / var.sqrt())


def outputs(x: Tensor, laws: list[ProductMixture]) -> Tensor:
    """Every start with every condition, (R, K, d)."""
    return torch.stack([law.flow(x, PURE, (1.0, 0.0)) for law in laws])


def test_on_mixture_posteriors_a_start_chosen_on_sixteen_references_is_better_on_others():
    prior = ProductMixture(W, M, S)
    x0 = prior.sample(64, seed=11)
    y = x0 + BLUR * normal(12, 64, 3)
    laws = [mixture_posterior(row) for row in y]
    candidates = normal(13, 150, 3)
    refs = (outputs(candidates, laws[:16]) - x0[:16, None]).square().sum(2).mean(0)
    best = candidates[refs.argmin()][None]
    held_out = (outputs(best, laws[16:]) - x0[16:, None]).square().sum(2).mean()
    mean = (outputs(candidates[:30], laws[16:]) - x0[16:, None]).square().sum(2).mean()
    assert float(held_out) < 0.8 * float(mean)


def test_bad_input_is_refused_in_one_sentence():
    with pytest.raises(ShapeError, match=r"\(4, 2\)"):
        best_boundary(lambda x: x, torch.zeros(4, 2), torch.zeros(3, 3))
    with pytest.raises(InvalidLawError, match="noise"):
        SuperResolution(TASK.prior, TASK.degrade, 0.0)
    with pytest.raises(AnalysisError, match="best of 0"):
        best_of_quantile([1.0], 0)
