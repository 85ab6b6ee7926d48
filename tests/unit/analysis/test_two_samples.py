"""Distances of samples: other libraries, closed forms, gradients, bad input."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import ot
import pytest
import torch
from scipy import stats
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist, pdist
from sklearn.metrics.pairwise import rbf_kernel

from fokker.analysis import two_samples
from fokker.analysis.two_samples import (
    energy_distance,
    exact_w2,
    median_distance,
    mmd,
    sliced_w2,
)
from fokker.solvers.errors import AnalysisError

RNG = np.random.default_rng(5)
X, Y = RNG.standard_normal((60, 3)), 1.5 * RNG.standard_normal((60, 3)) + 0.3
SHORT = RNG.standard_normal((37, 3))


def sliced(x, y):
    return sliced_w2(x, y, seed=0, projections=64)


def rbf(x, y):
    return mmd(x, y, bandwidth=1.3)


ALL = [exact_w2, sliced, energy_distance, rbf]


def test_exact_w2_is_the_best_assignment():
    cost = cdist(X, Y, "sqeuclidean")
    best = cost[linear_sum_assignment(cost)].mean()
    assert exact_w2(X, Y) == pytest.approx(math.sqrt(best), rel=1e-12)


def test_exact_w2_of_different_sizes_agrees_with_pot_and_in_one_dimension_with_quantiles():
    masses = np.full(60, 1 / 60), np.full(37, 1 / 37)
    plan: Any = ot.emd(masses[0], masses[1], cdist(X, SHORT, "sqeuclidean"))
    truth = np.sum(plan * cdist(X, SHORT, "sqeuclidean"))
    assert exact_w2(X, SHORT) == pytest.approx(math.sqrt(truth), rel=1e-9)
    u, v = X[:, :1], SHORT[:, :1]
    line: Any = ot.wasserstein_1d(u[:, 0], v[:, 0], p=2)
    assert exact_w2(u, v) == pytest.approx(math.sqrt(line), rel=1e-9)


def test_every_direction_of_sliced_w2_agrees_with_pot():
    draws = np.random.default_rng(3).standard_normal((40, 3))
    theta = draws / np.linalg.norm(draws, axis=1, keepdims=True)
    for a, b in ((X, Y), (X, SHORT)):
        truth: Any = ot.sliced_wasserstein_distance(a, b, projections=theta.T, p=2)
        assert sliced_w2(a, b, seed=3, projections=40) == pytest.approx(float(truth), rel=1e-9)


def test_a_translation_moves_w2_by_its_length_and_sliced_w2_by_its_projections():
    v = np.array([0.3, -0.4, 1.2])
    assert exact_w2(X, X + v) == pytest.approx(np.linalg.norm(v), rel=1e-10)
    found = sliced_w2(X, X + v, seed=1, projections=4096)
    assert found == pytest.approx(np.linalg.norm(v) / math.sqrt(3), rel=0.03)


def test_a_seed_gives_the_same_sliced_w2_bit_for_bit_and_another_seed_another():
    assert sliced_w2(X, Y, seed=4) == sliced_w2(X, Y, seed=4) != sliced_w2(X, Y, seed=5)


def test_energy_distance_agrees_with_scipy_in_one_dimension_and_with_all_pairs_in_three():
    line = stats.energy_distance(X[:, 0], SHORT[:, 0])
    assert energy_distance(X[:, :1], SHORT[:, :1]) == pytest.approx(line, rel=1e-10)
    pairs = 2 * cdist(X, SHORT).mean() - cdist(X, X).mean() - cdist(SHORT, SHORT).mean()
    assert energy_distance(X, SHORT) == pytest.approx(math.sqrt(pairs), rel=1e-10)


def test_mmd_agrees_with_the_kernel_of_scikit_learn_and_its_bandwidth_is_the_median_distance():
    for width in (None, 0.4, 3.0):
        h = width or float(np.quantile(pdist(np.vstack([X, SHORT])), 0.5, method="lower"))
        gamma = 1 / (2 * h**2)
        k = [rbf_kernel(a, b, gamma=gamma).mean() for a, b in ((X, X), (SHORT, SHORT), (X, SHORT))]
        assert mmd(X, SHORT, bandwidth=width) == pytest.approx(
            math.sqrt(k[0] + k[1] - 2 * k[2]), rel=1e-9
        )


@pytest.mark.parametrize("distance", ALL)
def test_a_sample_is_at_no_distance_from_its_reordering(distance):
    assert distance(X, X[::-1].copy()) < 1e-7
    assert distance(X, Y) == pytest.approx(distance(Y, X), rel=1e-10)


@pytest.mark.parametrize("distance", [energy_distance, rbf])
def test_results_do_not_depend_on_the_rows_formed_at_once(distance, monkeypatch):
    whole = distance(X, SHORT)
    monkeypatch.setattr(two_samples, "_ROWS", 7)
    assert distance(X, SHORT) == pytest.approx(whole, rel=1e-12)


@pytest.mark.parametrize("distance", ALL)
def test_gradients_are_those_of_finite_differences(distance):
    a, b = torch.from_numpy(X[:6]).requires_grad_(), torch.from_numpy(SHORT[:5]).requires_grad_()
    assert torch.autograd.gradcheck(distance, (a, b), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("distance", [*ALL, mmd])
def test_gradients_stay_finite_where_points_coincide(distance):
    a, b = torch.from_numpy(X[:8].copy()).requires_grad_(), torch.from_numpy(X[:8].copy())
    distance(a, b).backward()
    assert a.grad is not None
    assert bool(torch.isfinite(a.grad).all())


@pytest.mark.parametrize("distance", ALL)
def test_float32_tensors_are_summed_in_float64(distance):
    a, b = torch.from_numpy(X).float(), torch.from_numpy(Y).float()
    out = distance(a, b)
    assert out.dtype == torch.float64
    assert float(out) == pytest.approx(distance(a.double().numpy(), b.double().numpy()), rel=1e-12)


@pytest.mark.parametrize("distance", ALL)
def test_bad_samples_are_refused_in_one_sentence(distance):
    with pytest.raises(AnalysisError, match=r"shapes \(n, d\) and \(m, d\)"):
        distance(X, Y[:, :2])
    with pytest.raises(AnalysisError, match="n, m, d >= 1"):
        distance(X, np.zeros((0, 3)))
    with pytest.raises(AnalysisError, match=r"shapes \(n, d\)"):
        distance(X[:, 0], Y[:, 0])
    bad = Y.copy()
    bad[4, 1] = math.nan
    with pytest.raises(
        AnalysisError, match="second sample has a value that is not finite in row 4"
    ):
        distance(X, bad)


def test_bad_options_are_refused_in_one_sentence():
    with pytest.raises(AnalysisError, match="at least one projection"):
        sliced_w2(X, Y, seed=0, projections=0)
    with pytest.raises(AnalysisError, match="bandwidth must be positive"):
        mmd(X, Y, bandwidth=0.0)
    with pytest.raises(AnalysisError, match="give a bandwidth"):
        median_distance(np.zeros((3, 2)), np.zeros((2, 2)))
