"""Bits per dimension: the offset, and the bound by dequantisation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import norm

from fokker.solvers.errors import InvalidPlanError, ShapeError
from fokker.solvers.likelihood.bits import bits_per_dim, dequantised
from fokker.toy_models.digits import digits_gaussian


def test_the_uniform_density_says_log2_of_the_number_of_integers():
    for levels, low, high in ((256, -1.0, 1.0), (256, 0.0, 1.0), (17, -1.0, 1.0)):
        flat = torch.tensor(-10 * math.log(high - low), dtype=torch.float64)
        found = bits_per_dim(flat, 10, levels=levels, low=low, high=high)
        assert float(found) == pytest.approx(math.log2(levels), rel=1e-14)


def test_the_offset_of_bytes_on_minus_one_to_one_is_7_and_on_zero_to_one_8():
    zero = torch.zeros((), dtype=torch.float64)
    assert float(bits_per_dim(zero, 5)) == 7.0
    assert float(bits_per_dim(zero, 5, low=0.0)) == 8.0
    assert float(bits_per_dim(zero - 5 * math.log(2.0), 5)) == 8.0  # natural to binary


def test_dequantised_bits_bound_those_of_the_integers_from_above():
    """A Gaussian density on cells: ``-log2 P(k) <= E_u[...]``, equal where it is flat."""
    std, levels = 0.4, 16
    edges = np.linspace(-1.0, 1.0, levels + 1)
    true = -np.log2(np.diff(norm.cdf(edges, scale=std)))
    u = (np.arange(400) + 0.5) / 400
    x = edges[:-1, None] + u * (2.0 / levels)
    logs = torch.from_numpy(norm.logpdf(x, scale=std))
    bound = bits_per_dim(logs, 1, levels=levels).mean(1).numpy()
    gap = bound - true
    assert (gap > 0).all()
    assert gap.max() < 0.05
    assert gap[levels // 2] < 0.2 * gap[0]  # flat in the middle


def test_noise_stays_in_the_cell_is_uniform_and_belongs_to_the_sample():
    """16 000 draws: mean and variance of uniform noise within 6 standard errors (< 1e-8 each)."""
    values = torch.arange(16_000).reshape(4, 4000) % 17
    x = dequantised(values, 17, seed=1)
    u = (x + 1.0) * 17 / 2 - values
    assert float(u.min()) > 0
    assert float(u.max()) < 1
    assert abs(float(u.mean()) - 0.5) < 6 * math.sqrt(1 / 12 / 16_000)
    assert abs(float(u.var()) - 1 / 12) < 6 * math.sqrt(1 / 180 / 16_000)
    part = dequantised(values[[2]], 17, seed=1, sample_ids=[2])
    assert torch.equal(part, x[[2]])
    assert not torch.equal(dequantised(values, 17, seed=2), x)


def test_the_fitted_gaussian_spends_fewer_bits_on_digits_than_their_17_levels():
    from sklearn.datasets import load_digits

    values = torch.from_numpy(load_digits(return_X_y=True)[0][:200])
    law = digits_gaussian()
    bits = bits_per_dim(law.log_density(dequantised(values, 17, seed=0)), 64, levels=17)
    assert 1.0 < float(bits.mean()) < math.log2(17)


def test_each_bad_input_is_one_sentence():
    zero = torch.zeros(2)
    with pytest.raises(InvalidPlanError, match="dim must be at least 1, got 0"):
        bits_per_dim(zero, 0)
    with pytest.raises(InvalidPlanError, match=r"got 256 on \[1.0, 1.0\]"):
        bits_per_dim(zero, 3, low=1.0)
    with pytest.raises(ShapeError, match=r"integers 0 .. 15 .* from 0.0 to 16.0"):
        dequantised(torch.tensor([[0, 16]]), 16, seed=0)
    with pytest.raises(ShapeError, match="integers 0"):
        dequantised(torch.tensor([[0.5]]), 16, seed=0)
    with pytest.raises(ShapeError, match="3 sample ids were given for a batch of 1"):
        dequantised(torch.tensor([[1]]), 16, seed=0, sample_ids=[1, 2, 3])


def test_a_batch_that_holds_nothing_and_numbers_that_are_not_whole_are_refused():
    one = torch.ones(2, 3)
    for values in (one[:0], one.to(torch.complex64), one[0]):
        with pytest.raises(ShapeError, match="values must be integers of shape"):
            dequantised(values, seed=0)
    for ask in (
        lambda: bits_per_dim(one, 1.5),  # type: ignore[arg-type]
        lambda: bits_per_dim(one, 2, levels=2.5),  # type: ignore[arg-type]
        lambda: dequantised(one, 2.5, seed=0),  # type: ignore[arg-type]
        lambda: dequantised(one, seed=0.5),  # type: ignore[arg-type]
        lambda: dequantised(one, seed=0, sample_ids=[0, 0.5]),  # type: ignore[list-item]
    ):
        with pytest.raises(InvalidPlanError, match="must be a whole number, got"):
            ask()
