"""What must hold between the quantities of one law, whatever the law."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from fokker.toy_models import GaussianMixture, LowRankMixture
from toy_laws import DIM, LAWS, case, normal, probes, rotation, tensor

LEVELS = [(1.0, 0.3), (0.6, 0.8), (0.05, 1.0), (1.0, 20.0)]
CLOSE: dict[str, Any] = {"rtol": 1e-9, "atol": 1e-9}


def jacobian(function, x: torch.Tensor) -> torch.Tensor:
    """Derivatives of a function of each row, (B, d, d)."""
    return torch.stack(
        [torch.autograd.functional.jacobian(lambda r: function(r[None])[0], row) for row in x]
    )


@pytest.mark.parametrize("level", LEVELS, ids=str)
@pytest.mark.parametrize("name", LAWS)
def test_the_denoiser_is_the_score_by_tweedies_formula(name, level):
    (alpha, sigma), law = level, case(name).law
    x = probes(law, alpha, sigma)
    tweedie = (x + sigma**2 * law.score(x, *level)) / alpha
    scale = float(x.abs().max()) / alpha
    torch.testing.assert_close(law.denoiser(x, *level), tweedie, rtol=1e-12, atol=1e-12 * scale)


@pytest.mark.parametrize("level", LEVELS, ids=str)
@pytest.mark.parametrize("name", LAWS)
def test_the_score_is_the_gradient_of_the_log_density(name, level):
    law = case(name).law
    x = probes(law, *level).requires_grad_()
    (gradient,) = torch.autograd.grad(law.log_density(x, *level).sum(), x)
    torch.testing.assert_close(law.score(x, *level), gradient, **CLOSE)


@pytest.mark.parametrize("level", LEVELS, ids=str)
@pytest.mark.parametrize("name", LAWS)
def test_the_hessian_is_the_derivative_of_the_score(name, level):
    law = case(name).law
    x = probes(law, *level)
    expected = jacobian(lambda r: law.score(r, *level), x)
    torch.testing.assert_close(law.hessian(x, *level), expected, **CLOSE)


@pytest.mark.parametrize("level", LEVELS, ids=str)
@pytest.mark.parametrize("name", LAWS)
def test_the_product_with_the_denoisers_derivative_is_autograds(name, level):
    law = case(name).law
    x, v = probes(law, *level), normal(4, DIM, seed=41)
    expected = jacobian(lambda r: law.denoiser(r, *level), x) @ v[..., None]
    torch.testing.assert_close(law.denoiser_jvp(x, v, *level), expected[..., 0], **CLOSE)


@pytest.mark.parametrize("sigma", [1e-3, 1.0, 150.0])
@pytest.mark.parametrize("name", LAWS)
def test_the_denoisers_derivative_is_a_posterior_covariance_at_both_ends_of_the_noise(name, sigma):
    law = case(name).law
    x, unit = probes(law, 1.0, sigma), torch.eye(DIM, dtype=torch.float64)
    columns = [law.denoiser_jvp(x, e.expand_as(x), 1.0, sigma) for e in unit]
    cov = torch.stack(columns, 2) * sigma**2
    torch.testing.assert_close(cov, cov.mT, rtol=1e-9, atol=1e-9 * float(cov.abs().max()))
    assert float(torch.linalg.eigvalsh(cov).min()) >= -1e-9 * float(cov.abs().max())


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("quantity", ["log_density", "score", "denoiser", "hessian"])
def test_one_level_for_each_row_is_the_rows_one_by_one(name, quantity):
    law = case(name).law
    x = probes(law, 0.6, 0.8)
    alpha, sigma = tensor([1.0, 0.6, 0.05, 1.0]), tensor([0.3, 0.8, 1.0, 20.0])
    got = getattr(law, quantity)(x, alpha, sigma)
    rows = [
        getattr(law, quantity)(x[i : i + 1], float(alpha[i]), float(sigma[i])) for i in range(4)
    ]
    torch.testing.assert_close(got, torch.cat(rows), rtol=1e-12, atol=1e-12)
    mixed = getattr(law, quantity)(x, 1.0, sigma)
    torch.testing.assert_close(mixed[3:], rows[3], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", LAWS)
def test_one_level_for_each_row_gives_the_same_products(name):
    law = case(name).law
    x, v = probes(law, 0.6, 0.8), normal(4, DIM, seed=42)
    alpha, sigma = tensor([1.0, 0.6, 0.05, 1.0]), tensor([0.3, 0.8, 1.0, 20.0])
    got = law.denoiser_jvp(x, v, alpha, sigma)
    for i in range(4):
        one = law.denoiser_jvp(x[i : i + 1], v[i : i + 1], float(alpha[i]), float(sigma[i]))
        torch.testing.assert_close(got[i : i + 1], one, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", LAWS)
def test_without_signal_the_denoiser_is_the_mean(name):
    law = case(name).law
    x = normal(4, DIM, seed=43)
    torch.testing.assert_close(law.denoiser(x, 0.0, 2.0), law.mean.expand_as(x))


@pytest.mark.parametrize("name", [n for n in LAWS if case(n).density])
def test_without_noise_the_denoiser_returns_its_input(name):
    law = case(name).law
    x = probes(law, 0.7, 0.0)
    torch.testing.assert_close(law.denoiser(x, 0.7, 0.0), x / 0.7, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("quantity", ["log_density", "score", "denoiser", "hessian"])
@pytest.mark.parametrize("noise", [0.05, 0.0])
def test_a_low_rank_mixture_is_the_dense_mixture_with_its_covariances(quantity, noise):
    weights, means, factors = tensor([0.3, 0.7]), normal(2, 6, seed=44), normal(2, 6, 2, seed=45)
    low = LowRankMixture(weights, means, factors, noise)
    ridge = max(noise**2, 1e-9)  # a dense covariance must not be singular; far below sigma^2
    covs = factors @ factors.mT + ridge * torch.eye(6, dtype=torch.float64)
    dense = GaussianMixture(weights, means, covs)
    x = 0.6 * low.sample(5, seed=1) + 0.8 * normal(5, 6, seed=46)
    got, expected = getattr(low, quantity)(x, 0.6, 0.8), getattr(dense, quantity)(x, 0.6, 0.8)
    close = 1e-12 if noise else 1e-7
    torch.testing.assert_close(got, expected, rtol=close, atol=close)
    torch.testing.assert_close(low.cov, dense.cov, rtol=1e-12, atol=1e-8 if not noise else 1e-12)


def test_responsibilities_classify_and_sum_to_one():
    for name in ("mixture", "diagonal mixture", "low-rank mixture"):
        law = case(name).law
        g = law.responsibilities(law.means, 1.0, 1e-3)
        torch.testing.assert_close(g.sum(1), torch.ones(4, dtype=torch.float64))
        assert g.argmax(1).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("name", LAWS)
def test_mean_and_covariance_are_those_of_the_mixture_they_describe(name):
    law, oracle, _ = case(name)
    weights = [float(w) for w in oracle.weights]
    means = torch.stack([tensor([float(v) for v in m]) for m in oracle.means])
    covs = torch.stack(
        [tensor([[float(c[i, j]) for j in range(DIM)] for i in range(DIM)]) for c in oracle.covs]
    )
    w = tensor(weights)
    mean = w @ means
    between = torch.einsum("k,ki,kj->ij", w, means - mean, means - mean)
    torch.testing.assert_close(law.mean, mean, rtol=1e-12, atol=1e-12)
    within = torch.einsum("k,kij->ij", w, covs)
    torch.testing.assert_close(law.cov, within + between, rtol=1e-12, atol=1e-12)


def test_laws_turn_with_their_data():
    turn = rotation(seed=47)
    law = case("mixture").law
    covs = turn @ law.covs @ turn.mT
    turned = GaussianMixture(law.weights, law.means @ turn.mT, 0.5 * (covs + covs.mT))
    x = probes(law, 0.6, 0.8)
    expected = law.denoiser(x, 0.6, 0.8) @ turn.mT
    torch.testing.assert_close(turned.denoiser(x @ turn.mT, 0.6, 0.8), expected)
