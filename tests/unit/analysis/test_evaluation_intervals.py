"""How wide an interval of few numbers must be, and whom a part of the samples stands for."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.stats import t as student

from fokker.analysis.evaluation import kernel, summary
from fokker.analysis.evaluation.best import best_group
from fokker.analysis.evaluation.digits import held_out_digits
from fokker.analysis.evaluation.few import tails, widened
from fokker.analysis.evaluation.paired import PairedErrors, compare
from fokker.solvers.errors import AnalysisError
from fokker.toy_models.digits import digits_points, digits_split


def test_the_interval_of_few_typical_errors_is_that_of_student():
    """Logs of errors are normal: widths over 40 draws of n = 8 against ``2 t s/sqrt(n)``.

    A percentile interval that is not widened has 0.78 of it.
    """
    rng = np.random.default_rng(0)
    logs = rng.standard_normal((40, 8))
    found = [PairedErrors(np.exp(row)).typical for row in logs]
    widths = np.array([math.log(f.high / f.low) for f in found])
    exact = 2 * student.ppf(0.975, 7) * logs.std(axis=1, ddof=1) / math.sqrt(8)
    assert (widths / exact).mean() == pytest.approx(1.0, abs=0.1)
    pair = [compare(PairedErrors(np.exp(row)), PairedErrors(np.ones(8))).ratio for row in logs]
    rms = [PairedErrors(np.exp(row)).rms for row in logs]
    assert [p.low for p in pair] == pytest.approx([r.low for r in rms], rel=0.05)


def test_a_widened_quantile_is_exact_for_means_and_vanishes_for_many():
    low, high = tails(0.9, 5)
    assert low + high == pytest.approx(1.0, abs=1e-15)
    assert low < 0.05
    assert tails(0.9, 10**7) == pytest.approx((0.05, 0.95), rel=1e-5)
    exact = math.sqrt(5 / 4) * student.ppf(0.95, 4)
    assert widened(1.6448536269514722, 5) == pytest.approx(exact, rel=1e-9)


def test_the_group_of_few_starts_holds_the_best_as_often_as_it_says():
    """Two equal samplers, 4 starts, 400 times: 380 in the mean, a binomial below 355 has 1e-7.

    Without the quantile of Student it is 345 of them.
    """
    draws = np.exp(np.random.default_rng(1).standard_normal((400, 2, 4)))
    assert sum(best_group(list(d))[0] for d in draws) >= 355


def test_one_start_has_no_group():
    with pytest.raises(AnalysisError, match="n >= 2"):
        best_group([np.ones(1), np.ones(1)])


def test_the_variance_of_the_mmd_is_estimated_without_bias():
    """All 2^9 samples of n = 4 and m = 5 points of two laws on {0, 1}: exact to rounding."""
    n, m, p, q = 4, 5, 0.3, 0.6
    k = np.array([[1.0, 0.2], [0.2, 1.0]])
    squares, estimates, weights = [], [], []
    for bits in itertools.product((0, 1), repeat=n + m):
        x, y = np.array(bits[:n]), np.array(bits[n:])
        square, linear, rest = kernel._moments(k[x][:, x], k[y][:, y], k[x][:, y])
        squares.append(square)
        estimates.append(linear + rest)
        chance = np.concatenate([np.where(x, p, 1 - p), np.where(y, q, 1 - q)])
        weights.append(chance.prod())
    squares, weights = np.array(squares), np.array(weights)
    mean = weights @ squares
    gap = np.array([q - p, p - q])
    assert mean == pytest.approx(gap @ k @ gap, rel=1e-12)
    truth = weights @ (squares - mean) ** 2
    assert weights @ np.array(estimates) == pytest.approx(truth, rel=1e-9)


@pytest.mark.parametrize("strata", [False, True])
def test_in_pairs_the_mmd_and_its_variance_have_no_bias(strata: bool):
    """All 4^4 samples of four pairs on {0, 1}: exact to rounding.

    Of one law whose members depend on each other; or of two classes, of one law on both sides.
    There the estimate that lets the members of a pair meet is below 0 by more than 0.08.
    """
    k = np.array([[1.0, 0.2], [0.2, 1.0]])
    bound = np.array([[0.4, 0.1], [0.15, 0.35]])
    classes = [np.outer(p, p) for p in ([0.9, 0.1], [0.2, 0.8])]
    joints = [classes[0], classes[1], classes[1], classes[0]] if strata else [bound] * 4
    rows = []
    for z in itertools.product(range(4), repeat=4):
        x, y = np.array(z) // 2, np.array(z) % 2
        kxx, kyy, kxy = k[x][:, x], k[y][:, y], k[x][:, y]
        square, linear, rest = kernel._pair_moments(kxx + kyy - kxy - kxy.T)
        chance = math.prod(j[a, b] for j, a, b in zip(joints, x, y, strict=True))
        rows.append((chance, square, linear + rest, kernel._moments(kxx, kyy, kxy)[0]))
    weights, squares, estimates, crossed = np.array(rows).T
    gap = np.zeros(2) if strata else bound.sum(0) - bound.sum(1)
    mean = weights @ squares
    assert mean == pytest.approx(gap @ k @ gap, abs=1e-15)
    assert weights @ estimates == pytest.approx(weights @ (squares - mean) ** 2, rel=1e-9)
    assert weights @ crossed < mean - 0.08


def test_a_paired_mmd_is_that_of_its_pairs_and_refuses_what_is_none():
    """Shifts by one vector: h of each two pairs, by hand."""
    x = np.random.default_rng(6).standard_normal((6, 2))
    found = kernel.paired_mmd(x, x + 0.5, bandwidth=1.2)

    def k(a: np.ndarray, b: np.ndarray) -> float:
        return math.exp(-float(np.sum((a - b) ** 2)) / (2 * 1.2**2))

    pairs = itertools.permutations([(p, p + 0.5) for p in x], 2)
    h = [k(p, r) + k(q, s) - k(p, s) - k(q, r) for (p, q), (r, s) in pairs]
    assert found.square == pytest.approx(np.mean(h), rel=1e-12)
    assert kernel.paired_mmd(x, x, bandwidth=1.0)[:2] == (0.0, 0.0)
    for bad in (x[:5], x[:3]):
        with pytest.raises(AnalysisError, match="as many points in both"):
            kernel.paired_mmd(bad, x if len(bad) == 5 else bad)


def test_a_part_of_the_samples_does_not_depend_on_their_order(monkeypatch: pytest.MonkeyPatch):
    """Two far modes, sorted: the first rows of each side would be of different modes."""
    monkeypatch.setattr(summary, "_MOST", 40)
    x = torch.randn(200, 2, generator=torch.Generator().manual_seed(0)) * 0.1
    x[:100] += 5.0
    found = summary.evaluate(x, x.flip(0))["mmd"]
    assert abs(found["square"]) < 5 * found["deviation"] < 0.5


def test_the_classifier_and_the_network_have_not_seen_the_same_digits():
    assert torch.equal(held_out_digits(), digits_points()[digits_split()[1]])
