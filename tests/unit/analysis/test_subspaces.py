"""Low-rank mixtures: exact weights, training as PCA, and the transition at N = d."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from fokker.analysis.subspaces import (
    cluster,
    denoising_loss,
    expected_projector_error,
    noisy_projector_error,
    principal_basis,
    projector_error,
    responsibilities,
)
from fokker.solvers.errors import AnalysisError
from fokker.toy_models.lowrank import LowRankMixture


def bases(dim: int, *ranks: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [np.linalg.qr(rng.standard_normal((dim, r)))[0] for r in ranks]


def test_weights_are_those_of_the_law_also_for_unequal_ranks_and_weights():
    us, w = bases(12, 1, 3, 2), np.array([0.5, 0.2, 0.3])
    factors = torch.zeros(3, 12, 3, dtype=torch.float64)
    for k, u in enumerate(us):
        factors[k, :, : u.shape[1]] = torch.from_numpy(u)
    law = LowRankMixture(
        torch.from_numpy(w), torch.zeros(3, 12, dtype=torch.float64), factors, 0.0
    )
    x = np.random.default_rng(1).standard_normal((20, 12))
    for alpha, sigma in ((1.0, 0.5), (0.6, 0.8), (0.2, 3.0)):
        found = responsibilities(x, us, w, alpha, sigma)
        truth = law.responsibilities(torch.from_numpy(x), alpha, sigma).numpy()
        np.testing.assert_allclose(found, truth, rtol=1e-12, atol=1e-14)
        kappa = alpha / (alpha**2 + sigma**2)
        each = np.stack([x @ u @ u.T for u in us], axis=1)
        denoised = kappa * np.einsum("bk,bkd->bd", found, each)
        exact = law.denoiser(torch.from_numpy(x), alpha, sigma)
        np.testing.assert_allclose(denoised, exact, atol=1e-14)
    equal = responsibilities(x, us, np.full(3, 1 / 3), 1.0, 0.5)
    assert np.abs(equal - responsibilities(x, us, w, 1.0, 0.5)).max() > 0.1


def test_equal_ranks_and_weights_need_no_volume_in_the_weights():
    """``softmax_k(alpha^2 |U_k^T x|^2/(2 sigma^2 (alpha^2 + sigma^2)))``, to 2e-15."""
    us, x = bases(20, 3, 3, 3, seed=6), np.random.default_rng(7).standard_normal((30, 20))
    law = LowRankMixture(
        torch.full((3,), 1 / 3, dtype=torch.float64),
        torch.zeros(3, 20, dtype=torch.float64),
        torch.from_numpy(np.stack(us)),
        0.0,
    )
    for alpha, sigma in ((1.0, 1.0), (0.6, 0.8)):
        total = alpha**2 + sigma**2
        fits = np.stack([np.sum((x @ u) ** 2, 1) for u in us], 1)
        logits = alpha**2 * fits / (2 * sigma**2 * total)
        g = np.exp(logits - logits.max(1, keepdims=True))
        g /= g.sum(1, keepdims=True)
        np.testing.assert_allclose(
            responsibilities(x, us, np.full(3, 1 / 3), alpha, sigma), g, atol=1e-14
        )
        found = alpha / total * np.einsum("bk,bkd->bd", g, np.stack([x @ u @ u.T for u in us], 1))
        exact = law.denoiser(torch.from_numpy(x), alpha, sigma).numpy()
        assert np.abs(found - exact).max() < 2e-15


def test_the_denoising_loss_is_its_mean_over_the_noise():
    """5 standard errors of 200000 draws at each of 3 points."""
    (u,), rng = bases(4, 2), np.random.default_rng(2)
    x, alpha, sigma = rng.standard_normal((3, 4)), 0.8, 0.6
    noisy = alpha * x + sigma * rng.standard_normal((200000, 3, 4))
    kappa = alpha / (alpha**2 + sigma**2)
    each = ((x - kappa * noisy @ u @ u.T) ** 2).sum(-1).mean(1)
    error = each.std() / np.sqrt(len(each))
    assert abs(denoising_loss(x, u, alpha, sigma) - each.mean()) < 5 * error
    assert abs(denoising_loss(x, u, alpha, 1.1 * sigma) - each.mean()) > 5 * error


@pytest.mark.parametrize(("alpha", "sigma"), [(1.0, 0.1), (0.5, 0.9)])
def test_training_is_pca_at_every_level_of_noise(alpha: float, sigma: float):
    rng = np.random.default_rng(3)
    x = rng.standard_normal((40, 6)) * np.array([3, 2, 1, 0.5, 0.4, 0.1])
    best = denoising_loss(x, principal_basis(x, 2), alpha, sigma)
    others = [denoising_loss(x, u, alpha, sigma) for u in bases(6, *[2] * 50, seed=4)]
    assert best < min(others)
    tilted = np.linalg.qr(principal_basis(x, 2) + 0.02 * rng.standard_normal((6, 2)))[0]
    assert best < denoising_loss(x, tilted, alpha, sigma)


def test_a_subspace_is_found_exactly_from_as_many_samples_as_dimensions():
    """D = 50, d = 6: zero from N = 6 on, whatever D."""
    for dim in (50, 400):
        (u,) = bases(dim, 6)
        for n in (6, 7, 20):
            x = np.random.default_rng(n).standard_normal((n, 6)) @ u.T
            assert projector_error(u, principal_basis(x, 6)) < (1e-20 if n == 6 else 1e-26)
        x = np.random.default_rng(5).standard_normal((5, 6)) @ u.T
        assert projector_error(u, principal_basis(x, 6)) > 1.0


def test_below_the_transition_the_error_has_its_mean():
    """N = 5: 1.96, N = 4: 3.83; 300 draws each, 6 standard errors."""
    for n, printed in ((5, 1.96), (4, 3.83)):
        (u,) = bases(50, 6)
        rng = np.random.default_rng(n)
        found = [
            projector_error(u, principal_basis(rng.standard_normal((n, 6)) @ u.T, 6, seed=k))
            for k in range(300)
        ]
        expected = expected_projector_error(50, 6, n)
        assert expected == pytest.approx(printed, abs=5e-3)
        assert abs(np.mean(found) - expected) < 6 * np.std(found) / np.sqrt(300)
    assert expected_projector_error(50, 6, 6) == 0.0
    assert expected_projector_error(50, 50, 0) == 0.0


def test_noise_tilts_a_subspace_by_its_square_over_that_of_the_data():
    """To first order the rows of ``A U^T + delta E`` turn by ``delta (A^+ E)(1 - P)``."""
    (u,), rng = bases(30, 4, seed=9), np.random.default_rng(10)
    a, noise = rng.standard_normal((12, 4)), rng.standard_normal((12, 30))
    for delta in (1e-3, 1e-5):
        tilt = np.linalg.pinv(a) @ noise @ (np.eye(30) - u @ u.T)
        found = projector_error(u, principal_basis(a @ u.T + delta * noise, 4))
        assert found == pytest.approx(2 * delta**2 * float((tilt**2).sum()), rel=30 * delta)


def test_the_mean_tilt_is_that_of_regressions():
    """400 draws each, 6 standard errors; neither D nor d may be forgotten."""
    for dim, n in ((8, 16), (10, 40)):
        (u,), rng = bases(dim, 4, seed=9), np.random.default_rng(n)
        draws = [
            principal_basis(
                rng.standard_normal((n, 4)) @ u.T + 1e-4 * rng.standard_normal((n, dim)), 4
            )
            for _ in range(400)
        ]
        found = np.array([projector_error(u, v) for v in draws])
        error = 6 * found.std() / 20
        expected = noisy_projector_error(dim, 4, n, 1e-4)
        assert abs(found.mean() - expected) < error
        assert abs(found.mean() - expected * dim / (dim - 4)) > error
        assert abs(found.mean() - expected / 4) > error


def test_clusters_of_subspaces_are_found_exactly_above_the_transition_only():
    us = bases(20, 2, 2, 2, seed=7)
    errors = {}
    for n in (1, 12):
        rng = np.random.default_rng(8)
        x = np.concatenate([rng.standard_normal((n, 2)) @ u.T for u in us])
        found = cluster(x, 3, 2, starts=40)
        errors[n] = [min(projector_error(u, v) for v in found.bases) for u in us]
        if n > 2:
            assert found.left < 1e-20
            groups = found.labels.reshape(3, n)
            assert (groups == groups[:, :1]).all()
            assert len(set(groups[:, 0])) == 3
    assert max(errors[12]) < 1e-20
    assert min(errors[1]) > 0.1


def test_a_rotated_basis_is_the_same_subspace():
    (u,), (turn,) = bases(9, 3), bases(3, 3, seed=1)
    assert projector_error(u, u @ turn) < 1e-28
    one, two = (v @ v.T for v in bases(9, 3, 3, seed=2))
    a, b = bases(9, 3, 3, seed=2)
    assert projector_error(a, b) == pytest.approx(float(((one - two) ** 2).sum()), rel=1e-12)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: responsibilities(np.zeros((1, 2)), [np.eye(2)], [1.0], 1.0, 0.0), "positive"),
        (lambda: responsibilities(np.zeros((1, 2)), [np.eye(2)], [0.5, 0.5], 1, 1), "one posit"),
        (lambda: principal_basis(np.zeros((2, 3)), 4), "rank from 1 to D"),
        (lambda: projector_error(np.eye(3)[:, :1], np.eye(3)[:, :2]), "one shape"),
        (lambda: expected_projector_error(3, 4, 1), "rank <= dim"),
        (lambda: noisy_projector_error(5, 2, 3, 0.1), "n >= rank"),
        (lambda: cluster(np.zeros((2, 3)), 0, 1), "at least 1"),
    ],
)
def test_bad_questions_are_refused_in_one_sentence(call: Any, words: str):
    with pytest.raises(AnalysisError, match=words):
        call()
