"""Likelihoods along an interpolant, and what a wrong drift costs: exact, identity, bound."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad

from fokker.analysis.interpolant_error import drift_cost, exact_line, same_error
from fokker.analysis.score_error.linear import Line
from fokker.solvers.errors import FokkerError
from fokker.solvers.grids import uniform_lam
from fokker.solvers.likelihood.density import log_density, sample_with_density
from fokker.solvers.transport.as_flow import FLOW, flow_model
from fokker.solvers.transport.interpolant import linear, smooth, trigonometric
from fokker.solvers.transport.interpolant_sde import bump
from fokker.toy_models.interpolated import between
from interpolant_cases import F64, mixture, mixtures, skew_gaussians, time_of


@pytest.mark.parametrize(("make", "steps"), [(linear, 60), (trigonometric, 60), (smooth, 100)])
def test_log_densities_are_exact_both_ways(make, steps: int):
    """To 1e-6, at points of the one end and for samples from the other."""
    path, lams = mixtures(make()), (-3.0, 3.0)
    grid, model = uniform_lam(FLOW, *lams).grid(steps), flow_model(path.velocity)
    first, last = (path.law(time_of(lam)) for lam in lams)
    x = last.sample(6, seed=0)
    known = {"prediction": "flow", "start_density": first.log_density}
    found = log_density(model, FLOW, grid, x, **known)
    torch.testing.assert_close(found.log_density, last.log_density(x), rtol=0, atol=1e-6)
    back = sample_with_density(model, FLOW, grid, found.latent, **known)
    torch.testing.assert_close(back.x, x, rtol=0, atol=1e-6)
    torch.testing.assert_close(back.log_density, last.log_density(back.x), rtol=0, atol=1e-6)
    wrong = log_density(model, FLOW, grid, x, prediction="flow")  # a standard normal start
    assert float((wrong.log_density - last.log_density(x)).abs().max()) > 0.05


def line():
    """``N(0, 1)`` to ``N(2, 1/4)``: ``S = 1 - 3 u^2/4`` on the linear interpolant."""
    return between(linear(), mixture([1.0], [[0.0]], [1.0]), mixture([1.0], [[2.0]], [0.5]))


@pytest.mark.parametrize("epsilon", [0.0, 0.1, 0.5, 2.0])
def test_a_constant_error_costs_what_its_mean_equation_says(epsilon: float):
    """``delta' = K delta + 0.3``, ``K = S'/(2 S) - epsilon/S``, by a quadrature in closed form."""
    c = math.sqrt(0.75)

    def kept(u: float) -> float:
        rest = (math.atanh(c) - math.atanh(c * u)) / c
        return math.sqrt(0.25 / (1 - 0.75 * u * u)) * math.exp(-epsilon * rest)

    delta = 0.3 * quad(kept, 0, 1, epsabs=1e-13)[0]
    cost = drift_cost(line(), same_error(0.0, 0.3, 1), epsilon)
    assert cost.law.cov.item() == pytest.approx(0.25, abs=1e-8)
    assert cost.law.mean.item() - 2.0 == pytest.approx(delta, abs=1e-8)
    assert cost.kl == pytest.approx(2 * delta**2, abs=1e-8)
    assert cost.identity == pytest.approx(2 * delta**2, abs=1e-8)
    assert cost.bound == (pytest.approx(0.09 / (4 * epsilon)) if epsilon else math.inf)


@pytest.mark.parametrize("epsilon", [0.0, 0.05, 0.3, 1.0, 4.0])
def test_linear_errors_stay_within_the_bound_and_obey_the_identity(epsilon: float):
    path = skew_gaussians(smooth())
    gain = np.array([[0.3, -0.5], [0.4, 0.2]])  # no gradient
    cost = drift_cost(path, same_error(gain, np.array([0.1, -0.4]), 2), epsilon)
    assert cost.identity == pytest.approx(cost.kl, abs=1e-7)
    assert 1e-4 < cost.kl <= cost.bound


def test_epsilon_and_errors_may_vary_on_the_way():
    path = skew_gaussians(linear())

    def error(u: float) -> Line:
        return Line(math.sin(3 * u) * np.array([[0.4, 0.1], [0.0, -0.3]]), np.array([u, 0.2]))

    cost = drift_cost(path, lambda u: Line(*(u * (1 - u) * p for p in error(u))), bump(0.8))
    assert cost.identity == pytest.approx(cost.kl, abs=1e-7)
    assert cost.kl <= cost.bound < math.inf


def test_the_bound_is_least_where_the_two_errors_balance():
    """``|e_b + epsilon e_s|^2/epsilon`` for constant errors: least at their ratio."""
    sizes = np.geomspace(0.125, 2, 5)
    bounds = [drift_cost(line(), same_error(0.0, 0.3 + e * 0.6, 1), e).bound for e in sizes]
    assert sizes[int(np.argmin(bounds))] == pytest.approx(0.5)
    assert min(bounds) == pytest.approx(0.6**2 / 2)


def test_without_an_error_nothing_is_lost():
    cost = drift_cost(skew_gaussians(linear()), same_error(0.0, 0.0, 2), 0.0)
    assert cost.kl < 1e-12
    assert cost.bound == 0.0


def test_the_line_is_the_drift():
    path = skew_gaussians(trigonometric())
    x = torch.randn(5, 2, dtype=F64, generator=torch.Generator().manual_seed(0))
    gain, shift = exact_line(path, 0.3, 0.7)
    torch.testing.assert_close(path.drift(x, 0.3, 0.7).numpy(), x.numpy() @ gain.T + shift)


def test_bad_input_is_refused():
    with pytest.raises(FokkerError, match=r"one Gaussian component, got 4"):
        drift_cost(mixtures(linear()), same_error(0.0, 0.1, 2), 1.0)
    with pytest.raises(FokkerError, match=r"must be \(2, 2\), got \(1, 3\)"):
        same_error(np.ones((1, 3)), 0.0, 2)
    with pytest.raises(FokkerError, match="not negative, got -1"):
        drift_cost(line(), same_error(0.0, 0.1, 1), -1.0)
