"""Distances of Gaussians: closed forms, other libraries, 50-digit numbers, gradients."""

from __future__ import annotations

import math
from typing import Any

import mpmath
import numpy as np
import ot
import pytest
import torch
from scipy.linalg import sqrtm

from fokker.analysis.distances import diagonal_kl, diagonal_w2, gaussian_kl, gaussian_w2
from fokker.solvers.errors import AnalysisError

RNG = np.random.default_rng(7)


def covariance(d: int, rank: int | None = None) -> np.ndarray:
    a = RNG.standard_normal((d, rank or d))
    return a @ a.T / d


def textbook_w2_squared(a, b) -> float:
    root = sqrtm(a)
    return float(np.trace(a + b - 2 * np.real(sqrtm(root @ b @ root))))


def textbook_w2(ma, a, mb, b) -> float:
    return math.sqrt(np.sum((ma - mb) ** 2) + textbook_w2_squared(a, b))


def test_w2_agrees_with_the_textbook_formula_and_with_pot():
    for d in (1, 3, 8):
        ma, mb, a, b = RNG.standard_normal(d), RNG.standard_normal(d), covariance(d), covariance(d)
        found = gaussian_w2(ma, a, mb, b)
        assert found == pytest.approx(textbook_w2(ma, a, mb, b), rel=1e-9)
        other: Any = ot.gaussian.bures_wasserstein_distance(ma, mb, a, b)
        assert found == pytest.approx(float(other), rel=1e-9)
        assert found == pytest.approx(gaussian_w2(mb, b, ma, a), rel=1e-12)


def test_w2_of_commuting_covariances_is_the_distance_of_their_roots():
    u, _ = np.linalg.qr(RNG.standard_normal((4, 4)))
    va, vb = np.array([0.0, 1e-6, 1.0, 9.0]), np.array([0.25, 0.0, 1.0, 4.0])
    m = RNG.standard_normal(4)
    full = gaussian_w2(np.zeros(4), (u * va) @ u.T, u @ m, (u * vb) @ u.T)
    assert full == pytest.approx(diagonal_w2(0.0, va, m, vb), rel=1e-9)
    by_hand = math.sqrt((m**2).sum() + ((np.sqrt(va) - np.sqrt(vb)) ** 2).sum())
    assert diagonal_w2(0.0, va, m, vb) == pytest.approx(by_hand, rel=1e-14)


def test_w2_of_equal_laws_is_zero_to_rounding_singular_ones_included():
    for rank in (1, 3, 6):
        a = covariance(6, rank)
        assert gaussian_w2(np.ones(6), a, np.ones(6), a) < 1e-13
        assert diagonal_w2(1.0, np.ones(3), 1.0, np.ones(3)) == 0.0


def test_w2_of_nearly_equal_laws_is_linear_in_the_difference():
    a, e = covariance(5), covariance(5)
    z = np.zeros(5)
    slopes = [gaussian_w2(z, a, z, a + t * e) / t for t in (1e-5, 1e-7, 1e-9)]
    assert slopes[1] == pytest.approx(slopes[0], rel=1e-4)
    assert slopes[2] == pytest.approx(slopes[0], rel=1e-4)
    assert abs(textbook_w2_squared(a, a + 1e-9 * e)) < 1e-14  # nothing is left of (1e-9)^2 there
    assert diagonal_w2(0.0, [1.0], 0.0, [1.0 + 1e-12]) == pytest.approx(5e-13, rel=1e-3)


def test_w2_of_a_point_and_a_gaussian_is_the_root_of_the_second_moment():
    a, m = covariance(4), RNG.standard_normal(4)
    found = gaussian_w2(m, a, np.zeros(4), np.zeros((4, 4)))
    assert found == pytest.approx(math.sqrt(np.trace(a) + m @ m), rel=1e-12)


def test_kl_agrees_with_torch_and_with_its_diagonal_form():
    d = 5
    ma, mb, a, b = RNG.standard_normal(d), RNG.standard_normal(d), covariance(d), covariance(d)
    laws = [
        torch.distributions.MultivariateNormal(torch.from_numpy(m), torch.from_numpy(c))
        for m, c in ((ma, a), (mb, b))
    ]
    truth = float(torch.distributions.kl_divergence(*laws))
    assert gaussian_kl(ma, a, mb, b) == pytest.approx(truth, rel=1e-9)
    va, vb = np.diag(a), np.diag(b)
    full = gaussian_kl(ma, np.diag(va), mb, np.diag(vb))
    assert diagonal_kl(ma, va, mb, vb) == pytest.approx(full, rel=1e-12)


@pytest.mark.parametrize("delta", [1e-12, -1e-7, 3e-4, 0.09, 0.11, -0.5, 5.0])
def test_kl_of_nearly_equal_variances_has_no_cancellation(delta):
    vb = 0.7
    va = vb * (1 + delta)
    with mpmath.workdps(60):
        ratio = (mpmath.mpf(va) - mpmath.mpf(vb)) / mpmath.mpf(vb)
        truth = float((ratio - mpmath.log1p(ratio)) / 2)
    rel = 1e-13 + 4e-16 / abs(delta)  # the rounding of va itself
    assert diagonal_kl(0.0, [va], 0.0, [vb]) == pytest.approx(truth, rel=rel)
    assert gaussian_kl([0.0], [[va]], [0.0], [[vb]]) == pytest.approx(truth, rel=rel)


def test_kl_says_infinity_where_supports_differ():
    assert diagonal_kl([0.0, 1.0], [0.0, 2.0], [0.0, 1.0], [0.0, 2.0]) == 0.0
    assert diagonal_kl([0.0], [0.0], [1.0], [0.0]) == math.inf
    assert diagonal_kl([0.0], [1.0], [0.0], [0.0]) == math.inf
    assert diagonal_kl([0.0], [0.0], [0.0], [1.0]) == math.inf
    assert gaussian_kl([0.0], [[0.0]], [0.0], [[1.0]]) == math.inf
    with pytest.raises(AnalysisError, match="positive definite covariance of b"):
        gaussian_kl([0.0], [[1.0]], [0.0], [[0.0]])


def spd(d: int, seed: int) -> torch.Tensor:
    a = torch.from_numpy(np.random.default_rng(seed).standard_normal((d, d)))
    return a @ a.T / d + 0.1 * torch.eye(d, dtype=torch.float64)


@pytest.mark.parametrize("distance", [gaussian_w2, gaussian_kl])
def test_gradients_are_those_of_finite_differences(distance):
    ma, mb = (torch.from_numpy(RNG.standard_normal(3)).requires_grad_() for _ in range(2))
    la, lb = (spd(3, s).requires_grad_() for s in (1, 2))

    def value(ma, la, mb, lb):  # a Cholesky-like parametrisation keeps perturbations symmetric
        return distance(ma, la @ la.T, mb, lb @ lb.T)

    assert torch.autograd.gradcheck(value, (ma, la, mb, lb), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("distance", [gaussian_w2, gaussian_kl])
@pytest.mark.parametrize("cov", ["equal", "identity"])
def test_gradients_stay_finite_at_equality_and_at_equal_eigenvalues(distance, cov):
    c = torch.eye(3, dtype=torch.float64) if cov == "identity" else spd(3, 4)
    m = torch.zeros(3, dtype=torch.float64)
    args = [v.clone().requires_grad_() for v in (m, c, m, c)]
    value = distance(*args)
    value.backward()
    assert float(value.detach()) < 1e-13
    assert all(v.grad is not None and bool(torch.isfinite(v.grad).all()) for v in args)


def test_numpy_in_gives_a_float_and_a_tensor_in_gives_a_tensor():
    assert isinstance(gaussian_w2([0.0], [[1.0]], [1.0], [[1.0]]), float)
    out = gaussian_w2(torch.zeros(1), torch.eye(1), np.ones(1), np.eye(1))
    assert out.dtype == torch.float64
    assert float(out) == 1.0


@pytest.mark.parametrize("distance", [gaussian_w2, gaussian_kl])
def test_bad_gaussians_are_refused_in_one_sentence(distance):
    one = np.eye(2)
    with pytest.raises(AnalysisError, match=r"covariances \(d, d\)"):
        distance([0.0], one, [0.0, 0.0], one)
    with pytest.raises(AnalysisError, match="one d >= 1"):
        distance([], np.zeros((0, 0)), [], np.zeros((0, 0)))
    with pytest.raises(AnalysisError, match="must be finite"):
        distance([0.0, math.nan], one, [0.0, 0.0], one)
    with pytest.raises(AnalysisError, match="symmetric"):
        distance([0.0, 0.0], [[1.0, 0.5], [0.0, 1.0]], [0.0, 0.0], one)
    with pytest.raises(AnalysisError, match="negative eigenvalue"):
        distance([0.0, 0.0], np.diag([1.0, -0.5]), [0.0, 0.0], one)


@pytest.mark.parametrize("distance", [diagonal_w2, diagonal_kl])
def test_bad_vectors_are_refused_in_one_sentence(distance):
    with pytest.raises(AnalysisError, match="one shape"):
        distance([0.0, 0.0], [1.0, 1.0, 1.0], 0.0, 1.0)
    with pytest.raises(AnalysisError, match="K >= 1"):
        distance([], [], [], [])
    with pytest.raises(AnalysisError, match="variances >= 0"):
        distance([0.0], [-1.0], [0.0], [1.0])
    with pytest.raises(AnalysisError, match="must be finite"):
        distance([math.inf], [1.0], [0.0], [1.0])
