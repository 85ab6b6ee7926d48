"""Maps on a line and maps known by design, against closed forms and discrete solvers."""

import math

import numpy as np
import ot
import pytest
import torch
from torch import Tensor

from fokker.solvers.errors import InvalidLawError, NonFiniteError, ShapeError
from fokker.solvers.transport.quantile_map import (
    LineLaw,
    QuantileMap,
    exponential,
    gaussian,
    gaussian_mixture,
    uniform,
)
from fokker.toy_models.brenier import (
    DesignedMap,
    RadialMap,
    exponential_to_uniform_cost,
    gaussians_first_cost,
    ring_cost,
    two_atoms,
    uniform_to_gaussian_cost,
)

MIXTURE = gaussian_mixture(np.array([0.3, 0.7]), np.array([-2.0, 1.5]), np.array([0.5, 0.8]))
TWO = gaussian_mixture(np.array([0.5, 0.5]), np.array([-2.0, 2.0]), np.array([0.5, 0.5]))


def draw(n: int, dim: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((n, dim)))


@pytest.mark.parametrize(
    ("source", "target", "power", "cost"),
    [
        (uniform(), gaussian(0.3, 0.7), 2, uniform_to_gaussian_cost(0.3, 0.7)),
        (exponential(), uniform(), 2, exponential_to_uniform_cost()),
        (gaussian(), gaussian(0.0, 1.7), 1, gaussians_first_cost(1.7)),
        (gaussian(), gaussian(0.4, 1.7), 2, 0.4**2 + 0.7**2),
        (gaussian(), MIXTURE, 2, 0.9511289297630),
        (gaussian(), TWO, 2, 1.478098142024),
        (exponential(), exponential(2.0), 3, 6 / 8),
    ],
    ids=["uniform", "exponential", "first power", "gaussians", "mixture", "two modes", "cubes"],
)
def test_costs_are_those_of_the_closed_forms(source, target, power, cost):
    assert QuantileMap(source, target).cost(power) == pytest.approx(cost, abs=2e-12)
    assert QuantileMap(target, source).cost(power) == pytest.approx(cost, abs=2e-12)


def test_the_map_keeps_mass_density_by_density():
    step, x, h = QuantileMap(gaussian(), MIXTURE), torch.linspace(-3, 3, 25).double(), 1e-5
    slope = (step(x + h) - step(x - h)) / (2 * h)
    y = step(x).numpy()
    w, m, s = np.array([0.3, 0.7]), np.array([-2.0, 1.5]), np.array([0.5, 0.8])
    density = np.exp(-0.5 * ((y[:, None] - m) / s) ** 2) / s @ w
    np.testing.assert_allclose(slope.numpy() * density, np.exp(-0.5 * x.numpy() ** 2), rtol=1e-7)


def test_the_map_back_undoes_it_in_both_tails():
    there, back = QuantileMap(gaussian(), MIXTURE), QuantileMap(MIXTURE, gaussian())
    x = torch.linspace(-12, 12, 41).double()
    torch.testing.assert_close(back(there(x)), x, rtol=1e-12, atol=1e-12)
    flat = QuantileMap(exponential(), gaussian())
    far = torch.tensor([1e-30, 1.0, 600.0], dtype=torch.float64)
    torch.testing.assert_close(
        QuantileMap(gaussian(), exponential())(flat(far)), far, rtol=1e-11, atol=0
    )


def test_bad_input_of_quantile_maps_gets_one_sentence():
    with pytest.raises(InvalidLawError, match=r"std must be positive and finite, got 0.0"):
        gaussian(0.0, 0.0)
    with pytest.raises(InvalidLawError, match="length of the interval"):
        uniform(1.0, 1.0)
    with pytest.raises(InvalidLawError, match="rate must be positive"):
        exponential(math.nan)
    with pytest.raises(InvalidLawError, match="equally long"):
        gaussian_mixture(np.ones(1), np.ones(2), np.ones(1))
    with pytest.raises(InvalidLawError, match="sum to 1"):
        gaussian_mixture(np.ones(2), np.ones(2), np.ones(2))
    with pytest.raises(InvalidLawError, match="stds must be positive"):
        gaussian_mixture(np.ones(1), np.ones(1), np.zeros(1))
    step = QuantileMap(uniform(), gaussian())
    with pytest.raises(InvalidLawError, match=r"power must be at least 1, got 0\.5"):
        step.cost(0.5)
    with pytest.raises(ShapeError, match=r"float64 tensor on the host, got torch\.float32"):
        step(torch.zeros(2))
    for bad in (2.0, math.nan):
        with pytest.raises(NonFiniteError, match="range of the source, uniform"):
            step(torch.tensor([0.5, bad], dtype=torch.float64))
    assert isinstance(step.source, LineLaw)


@pytest.mark.parametrize("dim", [1, 2, 7])
def test_a_designed_map_is_optimal_for_every_finite_sample(dim: int):
    step, x = DesignedMap(draw(5, dim, 1)), draw(60, dim)
    y = step(x)
    exact = float((x - y).square().sum(1).mean())
    plain = ot.emd2([], [], ot.dist(x.numpy(), y.numpy()[::-1].copy()))
    assert plain == pytest.approx(exact, rel=1e-13)


def test_a_designed_map_is_the_gradient_of_its_potential_and_its_inverse_undoes_it():
    step, x = DesignedMap(draw(5, 3, 1)), draw(9, 3).requires_grad_()
    (slope,) = torch.autograd.grad(step.potential(x).sum(), x)
    torch.testing.assert_close(slope, step(x.detach()), rtol=1e-13, atol=1e-13)
    jacobian = torch.func.vmap(torch.func.jacrev(lambda v: step(v[None])[0]))(x.detach())
    torch.testing.assert_close(jacobian, step.jacobian(x.detach()), rtol=1e-12, atol=1e-12)
    assert float(torch.linalg.eigvalsh(step.jacobian(x.detach())).min()) >= 0.6
    far = 30.0 * x.detach()
    torch.testing.assert_close(step.inverse(step(far)), far, rtol=1e-10, atol=1e-10)
    assert bool(torch.isfinite(step.potential(1e4 * far)).all())


def test_the_radial_map_fills_the_disc_at_its_cost():
    step, x = RadialMap(1.5), draw(200_000, 2)
    y = step(x)
    assert step.cost == pytest.approx(0.185089114023, abs=2e-12)
    spread = (x - y).square().sum(1)
    assert float(spread.mean()) == pytest.approx(step.cost, abs=5 * float(spread.std()) / 447)
    inside = (y.norm(dim=1) < 0.75).double().mean()
    assert float(inside) == pytest.approx(0.25, abs=5 * math.sqrt(0.25 * 0.75 / 200_000))
    origin = step(torch.zeros(1, 2, dtype=torch.float64))
    assert origin.tolist() == [[0.0, 0.0]]
    tiny = torch.tensor([[1e-9, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(step(tiny), tiny * 1.5 * math.sqrt(0.5))


def test_semi_discrete_truths_have_their_known_values():
    assert ring_cost(8, 2.0) == pytest.approx(1.114604762, abs=1e-9)
    # infinitely many atoms: the radii alone are moved
    assert ring_cost(10**6, 2.0) == pytest.approx(2 + 4 - 4 * math.sqrt(math.pi / 2), abs=1e-9)
    cost, step = two_atoms(1.3, 0.2, 2)
    assert cost == pytest.approx(2.234198013879, abs=1e-11)
    assert step == pytest.approx(-4 * 1.3 * 0.8416212335729143, abs=1e-12)


@pytest.mark.parametrize("radius", [0.0, -1.0, math.inf])
def test_bad_designs_get_one_sentence(radius: float):
    with pytest.raises(InvalidLawError, match="radius must be positive"):
        RadialMap(radius)
    with pytest.raises(InvalidLawError, match="ridge must be positive"):
        DesignedMap([[1.0]], ridge=radius)
    with pytest.raises(InvalidLawError, match="directions must be finite"):
        DesignedMap([[math.nan]])
