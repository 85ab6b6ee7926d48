"""Bridges on a grid: against closed forms between Gaussians and mixtures, and their refusals."""

import functools
import math

import pytest
import torch
from torch import Tensor

from fokker.solvers.errors import FokkerError, InvalidLawError
from fokker.solvers.transport.entropic import EntropicGaussian
from fokker.solvers.transport.gaussian_bridge import GaussianBridge
from fokker.solvers.transport.grid_bridge import GridBridge
from fokker.solvers.transport.reference import brownian
from fokker.toy_models.bridges import MixtureBridge
from fokker.toy_models.mixture import GaussianMixture

AXIS = torch.linspace(-11.0, 11.0, 221, dtype=torch.float64)
PROBES = torch.tensor([[-1.5], [0.2], [2.0]], dtype=torch.float64)


def normal(mean: float, var: float, x: Tensor = AXIS) -> Tensor:
    return torch.exp(-((x - mean) ** 2) / (2 * var)) / math.sqrt(2 * math.pi * var)


@functools.cache
def both() -> tuple[GridBridge, GaussianBridge]:
    grid = GridBridge([AXIS], normal(-0.7, 1.0), normal(0.8, 0.5), 0.9)
    return grid, GaussianBridge([-0.7], [[1.0]], [0.8], [[0.5]], brownian(1, 0.9))


@functools.cache
def designed(dim: int) -> tuple[GridBridge, MixtureBridge]:
    """A bridge that is exact by construction, and the grid's answer to its two ends."""
    gen = torch.Generator().manual_seed(dim)
    means = torch.randn(2, 2, dim, generator=gen, dtype=torch.float64)
    covs = torch.eye(dim, dtype=torch.float64).expand(2, dim, dim) * 0.6
    weights = torch.tensor([0.3, 0.7], dtype=torch.float64)
    first, last = (GaussianMixture(weights, m, covs) for m in means)
    exact = MixtureBridge(first, last, 1.0)
    axis = AXIS if dim == 1 else torch.linspace(-6.0, 6.0, 49, dtype=torch.float64)
    axes = [axis] * dim
    nodes = torch.cartesian_prod(*axes).reshape(-1, dim)
    shape = (len(axis),) * dim
    a, b = (exact.law(u).log_density(nodes).exp().reshape(shape) for u in (0.0, 1.0))
    return GridBridge(axes, a, b, 1.0), exact


@pytest.mark.parametrize("u", [0.1, 0.5, 0.9])
def test_between_gaussians_law_and_fields_are_those_of_the_closed_form(u: float):
    grid, exact = both()
    mean, cov = exact.law(u)
    expected = normal(float(mean), float(cov))
    torch.testing.assert_close(grid.density(u), expected, rtol=0, atol=1e-11)
    log = torch.log(normal(float(mean), float(cov), PROBES[:, 0]))
    torch.testing.assert_close(grid.log_density(PROBES, u), log, rtol=0, atol=1e-10)
    for name in ("drift", "velocity", "score"):
        found, wanted = getattr(grid, name)(PROBES, u), getattr(exact, name)(PROBES, u)
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-9)


def test_between_gaussians_coupling_and_relative_entropy_are_closed():
    grid, exact = both()
    x = AXIS
    plan = grid.coupling()
    mass = float(plan.sum())
    cross = x @ plan @ x - (plan.sum(1) @ x) * (plan.sum(0) @ x)
    assert mass == pytest.approx(1.0, abs=1e-12)
    assert float(cross) == pytest.approx(float(exact.cross), abs=1e-10)
    assert grid.relative_entropy() == pytest.approx(exact.relative_entropy(), abs=1e-10)


def test_sweeps_shrink_the_error_by_the_squared_correlation_of_the_ends():
    plan = EntropicGaussian([-0.7], [[1.0]], [0.8], [[0.5]], 2 * 0.9**2)
    errors = both()[0].errors
    assert errors[15] / errors[14] == pytest.approx(plan.sinkhorn_rates()[0], rel=1e-3)
    assert len(errors) == pytest.approx(
        math.log(1e-12) / math.log(plan.sinkhorn_rates()[0]), abs=4
    )


@pytest.mark.parametrize("dim", [1, 2])
def test_between_mixtures_law_and_fields_are_those_of_the_bridge_made_exact(dim: int):
    grid, exact = designed(dim)
    probes = torch.tensor([[-1.5, 0.3], [0.2, -1.0]], dtype=torch.float64)[:, :dim]
    slack = 1e-11 if dim == 1 else 1e-6  # in the plane edges at 6 cut the tails
    for u in (0.25, 0.7):
        expected = exact.law(u).log_density(grid.nodes()).exp().reshape(grid.density_a.shape)
        torch.testing.assert_close(grid.density(u), expected, rtol=0, atol=slack)
        for name in ("drift", "velocity", "first_given", "last_given"):
            found, wanted = getattr(grid, name)(probes, u), getattr(exact, name)(probes, u)
            torch.testing.assert_close(found, wanted, rtol=0, atol=100 * slack)


def test_ends_of_different_mass_are_made_equal_before_the_first_sweep():
    """A tail cut at 1e-6 would hold the error at 1e-6; the bridge is that of the whole law."""
    a, b = normal(-0.7, 1.0), normal(0.8, 0.5)
    cut = GridBridge([AXIS], (1 - 1e-6) * a, b, 0.9)
    assert cut.errors[-1] <= 1e-12
    torch.testing.assert_close(cut.density(0.5), both()[0].density(0.5), rtol=0, atol=1e-11)


def test_the_ends_are_returned_as_densities_of_mass_one():
    grid, _ = both()
    for u in (0.0, 1.0):
        assert float(grid.density(u).sum()) * grid.cell == pytest.approx(1.0, abs=1e-14)
    near = grid.density(0.03)
    assert float((near - grid.density(0.0)).abs().max()) < 0.02
    assert float((near - grid.density(1.0)).abs().max()) > 0.1


def test_zeros_of_a_density_are_no_obstacle():
    """A uniform law on an interval; the marginals of the coupling are the two ends."""
    box = torch.where(AXIS.abs() < 2.0, 1.0, 0.0).to(torch.float64)
    box = box / (float(box.sum()) * 0.1)
    grid = GridBridge([AXIS], box, normal(0.0, 1.0), 1.0)
    plan = grid.coupling()
    torch.testing.assert_close(plan.sum(1), box * grid.cell, rtol=0, atol=1e-12)
    torch.testing.assert_close(plan.sum(0), grid.density_b * grid.cell, rtol=0, atol=1e-12)
    assert math.isfinite(grid.relative_entropy())


def spike() -> Tensor:
    p = torch.zeros_like(AXIS)
    p[100] = 1 / 0.1
    return p


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: GridBridge([AXIS], spike(), normal(0, 1), 1.0), "on one node: a law without a"),
        (lambda: GridBridge([AXIS], -normal(0, 1), normal(0, 1), 1.0), "must not be negative"),
        (lambda: GridBridge([AXIS], normal(11, 1), normal(0, 1), 1.0), "has mass 0.5"),
        (lambda: GridBridge([AXIS], normal(0, 1), normal(0, 1), 0.05), "too narrow for nodes"),
        (lambda: GridBridge([AXIS], normal(0, 1), normal(0, 1), -1.0), "sigma must be positive"),
        (lambda: GridBridge([AXIS**3], normal(0, 1), normal(0, 1), 1.0), "equally spaced"),
        (lambda: both()[0].drift(PROBES, 0.999), "too narrow for nodes"),
        (lambda: both()[0].density(-0.1), r"must be in \[0, 1\], got -0.1"),
    ],
)
def test_what_is_no_bridge_on_this_grid_is_refused_with_its_value(make, sentence: str):
    with pytest.raises(InvalidLawError, match=sentence):
        make()


def test_a_bridge_that_has_not_converged_is_not_returned():
    with pytest.raises(FokkerError, match="within 3 sweeps: the first marginal is off by"):
        GridBridge([AXIS], normal(-0.7, 1.0), normal(0.8, 0.5), 0.9, sweeps=3)
