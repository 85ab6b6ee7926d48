"""Chaotic systems have the exponents that theory says; forcing bounds gradients through them."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from fokker.solvers.errors import InvalidLawError, ShapeError
from fokker.solvers.gradients.forcing import (
    ForcingError,
    balancing_alpha,
    bounding_alpha,
    forced_orbit,
    log_growth,
)
from fokker.toy_models.chaotic import (
    CLASSIC_LORENZ,
    ChaoticMap,
    Lorenz63,
    PiecewiseLinear,
    baker,
    cat_map,
    entropy,
    logistic,
    lyapunov_exponents,
    skew_tent,
    tent_network,
)

F64 = torch.float64
GOLDEN = (3 + math.sqrt(5)) / 2


def starts(count: int, dim: int) -> Tensor:
    return torch.rand(count, dim, generator=torch.Generator().manual_seed(3), dtype=F64)


MAPS = [skew_tent(), logistic(), baker(), cat_map()]


@pytest.mark.parametrize("system", MAPS, ids=lambda m: m.name)
def test_the_derivative_of_a_map_is_the_one_that_it_states(system: ChaoticMap):
    x = 0.98 * starts(20, system.dim) + 0.01
    found = torch.func.vmap(torch.func.jacrev(system.step))(x)
    torch.testing.assert_close(found, system.jacobian(x), rtol=1e-12, atol=1e-12)
    inside = system.orbit(x, 200)
    assert float(inside.min()) >= 0.0
    assert float(inside.max()) <= 1.0


@pytest.mark.parametrize("system", [skew_tent(), baker()], ids=lambda m: m.name)
def test_a_map_of_coin_throws_has_its_exponents(system: ChaoticMap):
    """Which side an orbit takes is independent from step to step: 6 exact standard errors."""
    steps, count, p = 400, 100, 0.3
    found = lyapunov_exponents(system, starts(count, system.dim), steps)
    spreads = [math.log((1 - p) / p), math.log(0.5 / 0.4)]
    for k, exponent in enumerate(system.exponents):
        error = math.sqrt(p * (1 - p) / (steps * count)) * spreads[k]
        assert abs(float(found[k]) - exponent) < 6 * error
        assert 6 * error < 0.02  # the bar would see a wrong branch


def test_the_logistic_map_has_the_exponent_of_the_tent_map():
    """Derivatives along an orbit telescope: the error falls like 1/steps."""
    found = lyapunov_exponents(logistic(), 0.9 * starts(100, 1) + 0.05, 2000)
    assert float(found[0]) == pytest.approx(math.log(2), abs=2e-3)


def test_the_cat_map_has_its_exponents_exactly():
    found = lyapunov_exponents(cat_map(), starts(3, 2), 50, discard=20)
    assert found.tolist() == pytest.approx(cat_map().exponents, abs=1e-13)
    assert cat_map().exponents[0] == pytest.approx(math.log(GOLDEN), rel=1e-15)


def test_a_tent_of_slope_two_loses_its_orbit_and_a_skew_one_does_not():
    x = starts(50, 1)
    assert not bool(skew_tent(0.5).orbit(x, 60)[-1].any())
    late = skew_tent(0.3).orbit(x, 60)[-1]
    assert len(late.unique()) == 50
    assert entropy(0.5) == pytest.approx(math.log(2), rel=1e-15)


def test_a_network_with_one_hidden_unit_is_the_tent_map():
    network, system = tent_network(), skew_tent()
    x = starts(200, 1)
    torch.testing.assert_close(network.step(x), system.step(x), rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(network.jacobian(x), system.jacobian(x), rtol=1e-13, atol=1e-13)
    assert sorted(network.all_jacobians().flatten().tolist()) == pytest.approx([-1 / 0.7, 1 / 0.3])


def test_the_exponents_of_lorenz_sum_to_the_trace_and_the_largest_is_known():
    """The sum to the error of the Runge-Kutta step; the largest to 0.02 on 256 runs."""
    lorenz = Lorenz63()
    assert lorenz.sum_of_exponents == -(10 + 1 + 8 / 3)
    system = lorenz.flow(0.02)
    x = torch.tensor([1.0, 1.0, 25.0], dtype=F64) + 4 * starts(256, 3)
    for _ in range(400):
        x = system.step(x)
    found = lyapunov_exponents(system, x, 700, discard=100) / 0.02
    assert float(found.sum()) == pytest.approx(lorenz.sum_of_exponents, abs=2e-3)
    assert float(found[0]) == pytest.approx(CLASSIC_LORENZ, abs=0.02)
    assert abs(float(found[1])) < 0.02


def test_the_flow_of_lorenz_has_the_derivative_of_its_own_step():
    system = Lorenz63().flow(0.05)
    x = torch.tensor([[1.0, 2.0, 20.0], [-5.0, -7.0, 30.0]], dtype=F64)
    found = torch.func.vmap(torch.func.jacrev(system.step))(x)
    torch.testing.assert_close(system.jacobian(x), found, rtol=1e-13, atol=1e-13)
    assert math.isnan(Lorenz63(rho=100.0).flow(0.1).exponents[0])


# -- forcing --------------------------------------------------------------------------------------


def network(units: int = 6) -> PiecewiseLinear:
    """A network in three dimensions that expands."""
    generator = torch.Generator().manual_seed(8)

    def field(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=F64)

    return PiecewiseLinear(
        0.9 * torch.eye(3, dtype=F64), 0.5 * field(3, units), field(units, 3), field(3), field(6)
    )


def test_the_jacobian_of_a_forced_orbit_has_a_factor_for_each_step():
    """``dz_T/dz_0 = prod (1 - a) J(z~_k)`` against autograd, through a nonlinear model."""
    model, alpha = network(), 0.35
    data = torch.randn(7, 2, 3, generator=torch.Generator().manual_seed(1), dtype=F64)
    begin = torch.tensor([[0.3, -0.2, 0.8], [1.0, 0.1, -0.6]], dtype=F64)

    def end(z: Tensor) -> Tensor:
        return forced_orbit(model.step, z, data, alpha)[-1]

    found = torch.func.jacrev(end)(begin)
    assert not bool(found[0, :, 1].any())  # samples do not see each other
    for k in range(2):
        product, z = torch.eye(3, dtype=F64), begin[k : k + 1]
        for datum in data[:, k : k + 1]:
            forced = (1 - alpha) * z + alpha * datum
            product = (1 - alpha) * model.jacobian(forced)[0] @ product
            z = model.step(forced)
        torch.testing.assert_close(found[k, :, k], product, rtol=1e-11, atol=1e-11)


def test_full_forcing_forgets_and_none_runs_free():
    model, data = network(), torch.ones(5, 2, 3, dtype=F64)
    begin = torch.zeros(2, 3, dtype=F64, requires_grad=True)
    free = forced_orbit(model.step, begin, data, 0.0)
    z = begin
    for state in free:
        z = model.step(z)
        torch.testing.assert_close(state, z, rtol=1e-14, atol=1e-14)
    full = forced_orbit(model.step, begin, data, 1.0)
    assert not bool(torch.autograd.grad(full.sum(), begin)[0].any())
    torch.testing.assert_close(full[3], model.step(data[2]))


def test_on_the_cat_map_the_best_forcing_keeps_every_product_at_one():
    """``a = 1 - 1/phi^2``; without forcing the norm is phi^(2T), and beyond float64 in the end."""
    jacobians = cat_map().jacobian(starts(1, 2)).expand(2000, 1, 2, 2)
    alpha = bounding_alpha(jacobians)
    assert alpha == pytest.approx(1 - 1 / GOLDEN, rel=1e-12)
    assert balancing_alpha(jacobians) == pytest.approx(alpha, rel=1e-10)
    lengths = torch.arange(1, 2001, dtype=F64)
    free = log_growth(jacobians)[:, 0]
    torch.testing.assert_close(free, lengths * math.log(GOLDEN), rtol=1e-11, atol=1e-11)
    assert float(free[-1]) > math.log(torch.finfo(F64).max)
    assert float(log_growth(jacobians, alpha).abs().max()) < 1e-8
    half = log_growth(jacobians, 0.5 * alpha)[:, 0]
    rate = math.log(GOLDEN) + math.log1p(-0.5 * alpha)
    torch.testing.assert_close(half, lengths * rate, rtol=1e-11, atol=1e-11)


def test_the_numbers_of_a_linear_map():
    """With kappa = 1.6 the bound is at 0.375; 100 steps give 1.12^100 at 0.3, 1.6^100 at 0."""
    jacobians = torch.full((100, 1, 1), 1.6, dtype=F64)
    assert bounding_alpha(jacobians) == pytest.approx(0.375, rel=1e-14)
    assert float(log_growth(jacobians, 0.3)[-1].exp()) == pytest.approx(8.35e4, rel=1e-3)
    assert float(log_growth(jacobians)[-1].exp()) == pytest.approx(2.58e20, rel=1e-3)
    assert float(log_growth(jacobians, 1.0)[-1]) == -math.inf
    assert bounding_alpha(0.5 * jacobians) == 0.0
    assert balancing_alpha(0.5 * jacobians) == 0.0


def test_one_bound_over_all_regions_serves_every_orbit_of_a_network():
    """Products of the network's own Jacobians, in a random order: none above 1, whatever T."""
    every = network().all_jacobians()
    alpha = bounding_alpha(every)
    order = torch.randint(0, len(every), (300, 20), generator=torch.Generator().manual_seed(2))
    assert float(log_growth(every[order], alpha).max()) <= 1e-12
    less = balancing_alpha(every[order])
    assert 0 < less < alpha
    growth = log_growth(every[order], less)
    assert float(growth.max()) > 0.5  # balanced in the mean, not bounded
    assert abs(float(growth[-1].mean())) < 1e-8


def test_gradients_by_the_start_of_a_chaotic_flow_are_bounded_by_forcing_and_explode_without():
    """Through Lorenz itself: the growth without forcing is the largest exponent."""
    system = Lorenz63().flow(0.02)
    x = torch.tensor([[1.0, 1.0, 25.0]], dtype=F64) + starts(32, 3)
    orbit = system.orbit(x, 1400)[300:]
    jacobians = torch.stack([system.jacobian(z) for z in orbit])
    free = log_growth(jacobians)
    slope = float((free[-1] - free[100]).mean()) / (1000 * 0.02)
    assert slope == pytest.approx(CLASSIC_LORENZ, abs=0.1)
    assert float(log_growth(jacobians, bounding_alpha(jacobians)).max()) <= 1e-9
    balanced = balancing_alpha(jacobians)
    assert balanced == pytest.approx(-math.expm1(-CLASSIC_LORENZ * 0.02), rel=0.2)


def test_what_makes_no_sense_is_refused():
    for alpha in (-0.1, 1.1, math.nan):
        with pytest.raises(ForcingError, match=r"must lie in \[0, 1\]"):
            log_growth(torch.zeros(3, 2, 2), alpha)
        with pytest.raises(ForcingError, match=r"must lie in \[0, 1\]"):
            forced_orbit(torch.sin, torch.zeros(2, 3), torch.zeros(4, 2, 3), alpha)
    with pytest.raises(ShapeError, match=r"shape \(T, 2, 3\), got \(2, 3\)"):
        forced_orbit(torch.sin, torch.zeros(2, 3), torch.zeros(2, 3), 0.5)
    with pytest.raises(ShapeError, match=r"\(T, ..., d, d\), got \(3, 2, 1\)"):
        log_growth(torch.zeros(3, 2, 1))
    for call in (lambda: skew_tent(0.0), lambda: baker(b=1.0), lambda: tent_network(1.5)):
        with pytest.raises(InvalidLawError, match="strictly between 0 and 1"):
            call()
    with pytest.raises(InvalidLawError, match="must not overlap"):
        baker(a=0.6, b=0.5)
