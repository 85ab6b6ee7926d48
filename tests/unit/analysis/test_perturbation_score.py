"""The expected perturbation score is affine on Gaussians; the test by permutation is exact."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import binom

from fokker.analysis.statistics.permutation import permutation_test
from fokker.analysis.statistics.perturbation_score import perturbation_gain, perturbation_score
from fokker.analysis.two_samples import median_distance, mmd
from fokker.solvers.errors import AnalysisError
from fokker.solvers.schedules import EDM, VPCosine, VPLinear
from fokker.toy_models.gaussian import Gaussian
from fokker.toy_models.problems import problem

F64 = torch.float64
UNIT = VPLinear(6.0, 6.0)
"""``f = -1/2, g = 1`` up to T = 6, its clock six times faster."""


def normals(n: int, dim: int, seed: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((n, dim)))


# the score


def test_the_gain_is_known():
    """C = 1/4, T = 3: -0.86315, and in closed form."""
    root = math.sqrt(0.75)
    closed = -(2 / (3 * root)) * (math.atanh(root) - math.atanh(root * math.exp(-1.5)))
    found = float(perturbation_gain(0.25, UNIT, 0.5)[0])
    assert found == pytest.approx(closed, rel=1e-12)
    assert found == pytest.approx(-0.86315, abs=5e-6)


@pytest.mark.parametrize("process", [UNIT, VPCosine(), EDM()])
def test_of_gaussian_data_it_is_affine_without_any_error(process: Any):
    """Pairs of noises cancel, whatever the seed; unpaired ones do not."""
    cov = torch.tensor([[1.3, 0.4], [0.4, 0.3]], dtype=F64)
    law = Gaussian(torch.tensor([0.5, -1.0], dtype=F64), cov)
    x, t_max = normals(5, 2, 0), 0.5 * process.t_max
    values, vectors = torch.linalg.eigh(cov)
    gain = torch.from_numpy(perturbation_gain(values.numpy(), process, t_max, levels=12))
    exact = (x - law.mean) @ (vectors * gain) @ vectors.mT
    for seed in (1, 2):
        found = perturbation_score(law, process, x, t_max, seed=seed)
        torch.testing.assert_close(found, exact, rtol=1e-11, atol=1e-12)
    alone = perturbation_score(law, process, x, t_max, seed=1, paired=False)
    assert float((alone - exact).abs().max()) > 1e-2


def test_of_a_mixture_it_is_the_mean_over_times_and_noises():
    """Against a tensor rule of Gauss-Hermite in the plane; 20 runs of 200 draws.

    8.5 standard errors of Student's t of 19 degrees, twice: a false alarm of 2e-7; equal
    weights of the times are told apart.
    """
    law, x = problem("mixture").law, torch.tensor([[0.3, -0.8]], dtype=F64)
    z, w = np.polynomial.hermite_e.hermegauss(40)
    grid = torch.from_numpy(np.stack(np.meshgrid(z, z, indexing="ij"), -1).reshape(-1, 2))
    mass = torch.from_numpy(np.outer(w, w).ravel() / w.sum() ** 2)
    times, weights = np.polynomial.legendre.leggauss(3)
    truth, wrong = torch.zeros(2, dtype=F64), torch.zeros(2, dtype=F64)
    for t, share in zip(times, weights, strict=True):
        node = UNIT.node(0.25 * (t + 1))
        score = law.score(node.alpha * x + node.sigma * grid, node.alpha, node.sigma)
        truth += 0.5 * share * (mass @ score)
        wrong += (mass @ score) / 3  # equal weights
    runs = torch.stack([
        perturbation_score(law, UNIT, x, 0.5, seed=s, levels=3, draws=200)[0] for s in range(20)
    ])  # fmt: skip
    error = runs.std(0) / math.sqrt(20)
    assert bool(((runs.mean(0) - truth).abs() < 8.5 * error).all())
    assert bool(((runs.mean(0) - wrong).abs() > 8.5 * error).any())
    assert float(error.max()) < 0.02


def test_a_row_does_not_depend_on_its_batch_and_indices_are_different_noises():
    law, x = problem("mixture").law, normals(6, 2, 3)
    whole = perturbation_score(law, UNIT, x, 0.4, seed=5)
    part = perturbation_score(law, UNIT, x[2:4], 0.4, seed=5, first=2)
    torch.testing.assert_close(part, whole[2:4], rtol=1e-13, atol=1e-13)
    other = perturbation_score(law, UNIT, x[2:4], 0.4, seed=5)
    assert float((other - part).abs().max()) > 1e-3


def test_a_shift_appears_as_gain_times_shift_and_large_times_lose_it_in_the_noise_only():
    law = Gaussian(torch.zeros(2, dtype=F64), 0.25 * torch.eye(2, dtype=F64))
    x, delta = normals(40, 2, 4), torch.tensor([0.7, 0.0], dtype=F64)
    ratios = []
    for t_max in (0.1, 0.5, 1.0):
        gain = float(perturbation_gain(0.25, UNIT, t_max, levels=12)[0])
        one, two = (perturbation_score(law, UNIT, v, t_max, seed=1) for v in (x, x + delta))
        torch.testing.assert_close(two - one, (gain * delta).expand(40, 2), rtol=1e-10, atol=1e-12)
        noisy = perturbation_score(law, UNIT, x, t_max, seed=1, draws=1, paired=False)
        ratios.append(abs(gain) / float((noisy - one).std()))
    assert ratios[0] > 2 * ratios[1] > 3 * ratios[2]


def test_one_noise_for_two_samples_couples_them():
    """The difference of two noisy averages of equal samples: 0 if the noise is shared."""
    law, x = problem("mixture").law, normals(10, 2, 5)
    shared, again, own = (
        perturbation_score(law, UNIT, x, 0.5, seed=s, draws=1) for s in (1, 1, 2)
    )
    assert float((shared - again).abs().max()) == 0.0
    assert float((shared - own).abs().max()) > 1e-2


# the test


def test_under_every_labelling_the_level_is_exact():
    """7 points, all 35 labellings: exactly k of them have p <= k/35. No draw, no error."""
    points = normals(7, 2, 6)
    p = []
    for chosen in combinations(range(7), 4):
        rest = [k for k in range(7) if k not in chosen]
        found = permutation_test(points[list(chosen)], points[rest], permutations=None)
        assert found.labellings == 35
        p.append(found.p_value)
    np.testing.assert_allclose(np.sort(p), np.arange(1, 36) / 35, rtol=1e-12)


def test_the_statistic_is_the_square_of_the_discrepancy():
    x, y = normals(9, 3, 7), normals(12, 3, 8) + 0.5
    found = permutation_test(x, y, seed=0)
    assert found.statistic == pytest.approx(float(mmd(x, y)) ** 2, rel=1e-12)
    given = permutation_test(x, y, seed=0, bandwidth=0.7)
    assert given.statistic == pytest.approx(float(mmd(x, y, bandwidth=0.7)) ** 2, rel=1e-12)
    assert permutation_test(x, y, seed=0, bandwidth=median_distance(x, y)) == found


def test_a_change_of_units_changes_no_p_value():
    """Hence the affine features of an isotropic Gaussian are as good as the points, at every T."""
    x, y = normals(15, 2, 9), normals(15, 2, 10) + 0.6
    law = Gaussian(torch.zeros(2, dtype=F64), 0.25 * torch.eye(2, dtype=F64))
    plain = permutation_test(x, y, seed=1)
    for t_max in (0.05, 0.5, 1.0):
        one = perturbation_score(law, UNIT, x, t_max, seed=2)
        two = perturbation_score(law, UNIT, y, t_max, seed=3)
        assert permutation_test(one, two, seed=1).p_value == plain.p_value


def rejections(delta: float, runs: int) -> int:
    """How often EPS of 20 and 20 samples, the second shifted, are told apart at 5 percent."""
    law = Gaussian(torch.zeros(2, dtype=F64), 0.25 * torch.eye(2, dtype=F64))
    count = 0
    for k in range(runs):
        x, y = 0.5 * normals(20, 2, 100 + 2 * k), 0.5 * normals(20, 2, 101 + 2 * k)
        y = y + torch.tensor([delta, 0.0], dtype=F64)
        one = perturbation_score(law, UNIT, x, 0.5, seed=k, levels=4, draws=1)
        two = perturbation_score(law, UNIT, y, 0.5, seed=k + 10**6, levels=4, draws=1)
        count += permutation_test(one, two, seed=k, permutations=99).p_value <= 0.05
    return count


def test_power_rises_with_the_shift_and_without_one_is_the_level():
    """Null: 200 runs at 5 percent, binomial, chance 1e-6; shifts of the same samples."""
    counts = [
        rejections(delta, runs) for delta, runs in ((0.0, 200), (0.2, 40), (0.4, 40), (0.8, 40))
    ]
    low, high = binom.ppf([5e-7, 1 - 5e-7], 200, 0.05)
    assert low <= counts[0] <= high
    shares = [counts[0] / 200, *(c / 40 for c in counts[1:])]
    assert shares[0] < shares[1] < shares[2] < shares[3]
    assert shares[3] > 0.95
    assert rejections(-0.4, 20) > 0.4 * 20  # of either sign


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: perturbation_gain(0.0, UNIT, 0.5), "variances must be positive"),
        (lambda: perturbation_gain(1.0, UNIT, 2.0), "at most"),
        (lambda: perturbation_gain(1.0, UNIT, 0.5, levels=0), "one level"),
        (lambda: perturbation_score(None, UNIT, torch.zeros(2), 0.5, seed=0), "samples"),
        (lambda: permutation_test(torch.zeros(0, 2), torch.zeros(3, 2), seed=0), "two samples"),
        (lambda: permutation_test(normals(3, 1, 0), normals(3, 1, 1)), "need a seed"),
        (lambda: permutation_test(normals(3, 1, 0), math.nan * normals(2, 1, 1), seed=0,
                                  bandwidth=1.0), "second sample has a value .* finite in row 0"),
        (lambda: permutation_test(normals(3, 1, 0), normals(3, 1, 1), seed=0, bandwidth=0.0),
         "bandwidth must be positive and finite, got 0.0"),
        (lambda: permutation_test(normals(20, 1, 0), normals(20, 1, 1), permutations=None),
         "draw some"),
    ],
)  # fmt: skip
def test_bad_questions_are_refused_in_one_sentence(call: Any, words: str):
    with pytest.raises(AnalysisError, match=words):
        call()
