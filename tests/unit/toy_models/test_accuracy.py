"""Log-density, score and denoiser of every law against 60-digit arithmetic, tails included."""

from __future__ import annotations

import mpmath as mp
import numpy as np
import pytest
import torch

from fokker.toy_models import Empirical
from high_precision import MPMixture
from toy_laws import DIM, LAWS, case, normal, probes

LEVELS = [
    (1.0, 1e-4),
    (0.8, 1e-4),
    (1.0, 1e-2),
    (0.6, 0.8),
    (1.0, 1.0),
    (1e-3, 1.0),
    (0.0, 1.0),
    (1.0, 150.0),
]
BAR = 1e-8  # promised
REACHED = 1e-9  # what the worst case reaches: a degenerate low-rank plane seen at sigma = 1e-4


def relative(got: torch.Tensor, exact: np.ndarray | float) -> float:
    exact = np.asarray(exact)
    error, size = np.linalg.norm(got.numpy() - exact), np.linalg.norm(exact)
    return float(error / size) if size else float(error)


def tails(name: str, alpha: float, sigma: float) -> torch.Tensor:
    """Typical states, states between the modes, and states 10 to 1000 units away."""
    law = case(name).law
    far = normal(3, DIM, seed=31) * torch.tensor([[10.0], [100.0], [1000.0]], dtype=torch.float64)
    between = alpha * law.sample(4, seed=32).mean(0, keepdim=True)
    return torch.cat([probes(law, alpha, sigma, 2), between, far])


@pytest.mark.parametrize("level", LEVELS, ids=str)
@pytest.mark.parametrize("name", LAWS)
def test_every_quantity_agrees_with_60_digits_from_the_modes_to_the_far_tails(name, level):
    law, oracle, _ = case(name)
    x = tails(name, *level)
    got = law.log_density(x, *level), law.score(x, *level), law.denoiser(x, *level)
    for i, row in enumerate(x):
        exact = oracle.at(row.tolist(), *level)
        errors = [relative(mine[i], truth) for mine, truth in zip(got, exact, strict=True)]
        assert max(errors) < REACHED, (i, errors)


@pytest.mark.parametrize("name", [n for n in LAWS if case(n).density])
def test_a_law_with_a_density_is_as_accurate_without_noise(name):
    law, oracle, _ = case(name)
    x = tails(name, 1.0, 0.0)
    got = law.log_density(x), law.score(x, 1.0, 0.0), law.denoiser(x, 1.0, 0.0)
    for i, row in enumerate(x):
        exact = oracle.at(row.tolist(), 1.0, 0.0)
        for mine, truth in zip(got, exact, strict=True):
            assert relative(mine[i], truth) < REACHED


@pytest.mark.parametrize("sigma", [1e-4, 1e-2])
def test_where_two_points_compete_the_error_is_that_of_rounding_the_input(sigma):
    points = case("empirical").law.points[:2]
    law = Empirical(points)
    oracle = MPMixture([0.5, 0.5], points.tolist(), [mp.zeros(DIM)] * 2)
    along = points[:1] - points[1:]
    for offset in (-3.0, 0.0, 0.5):  # in units where the odds are exp(offset)
        x = points.mean(0, keepdim=True) + offset * sigma**2 * along / along.square().sum()
        exact = oracle.at(x[0].tolist(), 1.0, sigma).denoiser
        nudged = x[0] + 2.0**-52 * x[0].abs() * along[0].sign()
        condition = np.linalg.norm(oracle.at(nudged.tolist(), 1.0, sigma).denoiser - exact)
        error = np.linalg.norm(law.denoiser(x, 1.0, sigma)[0].numpy() - exact)
        assert error < 5 * condition + 1e-13


def test_the_comparison_sees_an_error_of_the_size_it_forbids():
    law, oracle, _ = case("mixture")
    x = probes(law, 0.6, 0.8, 1)
    exact = oracle.at(x[0].tolist(), 0.6, 0.8)
    wrong = law.denoiser(x, 0.6, 0.8 * (1 + 10 * BAR))
    assert relative(wrong[0], exact.denoiser) > BAR / 10


@pytest.mark.parametrize("name", LAWS)
def test_float32_laws_agree_with_float64_to_single_precision(name):
    law = case(name).law
    x = probes(law, 0.6, 0.8)
    single = law.to(dtype=torch.float32)
    for quantity in ("log_density", "score", "denoiser"):
        expected = getattr(law, quantity)(x, 0.6, 0.8)
        got = getattr(single, quantity)(x.float(), 0.6, 0.8)
        assert got.dtype == torch.float32
        torch.testing.assert_close(got.double(), expected, rtol=2e-4, atol=2e-4)
