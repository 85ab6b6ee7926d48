"""Gradients of the Bures distance where a covariance is singular: right where there is one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from fokker.solvers.transport.bures import bures_squared

F64 = torch.float64


def spd(seed: int, dim: int, rank: int) -> Tensor:
    root = np.random.default_rng(seed).normal(size=(dim, rank))
    return torch.from_numpy(root @ root.T)


def symmetric(seed: int, dim: int = 3) -> Tensor:
    m = torch.from_numpy(np.random.default_rng(seed).normal(size=(dim, dim)))
    return m + m.mT


def slope(a: Tensor, b: Tensor, way_a: Tensor, way_b: Tensor) -> tuple[float, float]:
    """Derivative along the ways by autograd, and by a difference of order four."""
    t = torch.zeros((), dtype=F64, requires_grad=True)
    (found,) = torch.autograd.grad(bures_squared(a + t * way_a, b + t * way_b), t)
    h = 1e-3
    sides = [float(bures_squared(a + k * h * way_a, b + k * h * way_b)) for k in (-2, -1, 1, 2)]
    return float(found), (sides[0] - 8 * sides[1] + 8 * sides[2] - sides[3]) / (12 * h)


@pytest.mark.parametrize("rank", [1, 2])
def test_in_the_regular_covariance_every_direction_has_its_derivative(rank: int):
    a, b = spd(1, 3, rank), spd(2, 3, 4)
    for one, two in ((a, b), (b, a)):
        way = 0.1 * symmetric(3)
        none = torch.zeros_like(way)
        ways = (none, way) if one is a else (way, none)
        found, truth = slope(one, two, *ways)
        assert found == pytest.approx(truth, rel=1e-6, abs=1e-8)


def test_in_a_singular_covariance_the_directions_of_its_range_have_theirs():
    root = torch.from_numpy(np.random.default_rng(5).normal(size=(3, 2)))
    a, b, inner = root @ root.mT, spd(2, 3, 4), 0.1 * symmetric(6, 2)
    found, truth = slope(a, b, root @ inner @ root.mT, torch.zeros(3, 3, dtype=F64))
    assert found == pytest.approx(truth, rel=1e-6, abs=1e-8)


def test_two_laws_on_one_plane_have_the_derivatives_of_the_plane():
    base = torch.linalg.qr(symmetric(7))[0][:, :2]
    a, b = spd(8, 2, 3), spd(9, 2, 3)
    way_a, way_b = 0.1 * symmetric(10, 2), 0.1 * symmetric(11, 2)
    flat, truth = slope(a, b, way_a, way_b)
    assert flat == pytest.approx(truth, rel=1e-7)
    lifted = [base @ m @ base.mT for m in (a, b, way_a, way_b)]
    found, _ = slope(*lifted)
    assert found == pytest.approx(flat, rel=1e-7)
