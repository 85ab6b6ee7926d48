"""Schrodinger bridges between Gaussians: equations, work, and how iterations reach them."""

import math
from itertools import islice, pairwise

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from torch import Tensor

from fokker.solvers.errors import InvalidLawError
from fokker.solvers.transport.entropic import EntropicGaussian
from fokker.solvers.transport.gaussian import GaussianMap
from fokker.solvers.transport.gaussian_bridge import GaussianBridge
from fokker.solvers.transport.gaussian_iterations import imf, ipf, markov_coupling
from fokker.solvers.transport.reference import LinearReference, brownian, ornstein_uhlenbeck

GOLDEN = (math.sqrt(5) - 1) / 2
EYE = torch.eye(2, dtype=torch.float64)


def spd(seed: int, dim: int = 2) -> Tensor:
    root = np.random.default_rng(seed).normal(size=(dim, dim + 1))
    return torch.from_numpy(root @ root.T)


REFERENCES = {
    "brownian": brownian(2, 0.7),
    "ou": ornstein_uhlenbeck(2, 1.3, 0.8, mean=0.5),
    "rotating": LinearReference(
        torch.tensor([[-1.0, 2.0], [-2.0, -1.0]]),
        torch.tensor([[1.0, 0.0], [0.3, 0.5]]),
        torch.tensor([0.2, -0.4]),
    ),
}


def bridge(name: str) -> GaussianBridge:
    means = torch.tensor([[0.5, -1.0], [1.0, 0.7]], dtype=torch.float64)
    return GaussianBridge(means[0], spd(1), means[1], spd(2), REFERENCES[name])


def matrix_and_value(field, b: GaussianBridge, u: float) -> tuple[Tensor, Tensor]:
    """Slope of an affine field, and its value at the mean."""
    mean, _ = b.law(u)
    at_mean = field(mean[None], u)[0]
    return (field(mean + EYE, u) - at_mean).mT, at_mean


def rate_of(law, u: float, h: float = 1e-3) -> tuple[Tensor, Tensor]:
    sides = [law(u + k * h) for k in (-2, -1, 1, 2)]
    return tuple((s[0] - 8 * s[1] + 8 * s[2] - s[3]) / (12 * h) for s in zip(*sides, strict=True))  # type: ignore[return-value]


@pytest.mark.parametrize("name", REFERENCES)
def test_the_ends_are_the_given_laws(name: str):
    b = bridge(name)
    for u, mean, cov in ((0.0, b.mean_a, b.cov_a), (1.0, b.mean_b, b.cov_b)):
        found = b.law(u)
        torch.testing.assert_close(found[0], mean, rtol=0, atol=1e-13)
        torch.testing.assert_close(found[1], cov, rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.parametrize("u", [0.07, 0.31, 0.5, 0.8, 0.97])
def test_law_and_drift_satisfy_the_moment_equations(name: str, u: float):
    b = bridge(name)
    slope, value = matrix_and_value(b.drift, b, u)
    mean_rate, cov_rate = rate_of(b.law, u)
    cov = b.law(u)[1]
    noise = REFERENCES[name].covariance_rate
    torch.testing.assert_close(value, mean_rate, rtol=0, atol=1e-9)
    torch.testing.assert_close(slope @ cov + cov @ slope.mT + noise, cov_rate, rtol=0, atol=1e-9)
    flow, _ = matrix_and_value(b.velocity, b, u)
    torch.testing.assert_close(flow @ cov + cov @ flow.mT, cov_rate, rtol=0, atol=1e-9)
    back, _ = matrix_and_value(b.backward_drift, b, u)
    torch.testing.assert_close(back @ cov + cov @ back.mT - noise, cov_rate, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.parametrize("u", [0.3, 0.8])
def test_what_is_added_to_the_reference_is_a_gradient_only_for_the_optimal_coupling(
    name: str, u: float
):
    """Brownian bridges: drift symmetric. In general ``(L L^T)^{-1} (drift - F x)`` is."""

    def skew(b: GaussianBridge) -> float:
        slope, _ = matrix_and_value(b.to_come, b, u)
        return float((slope - slope.mT).abs().max())

    b = bridge(name)
    assert skew(b) < 1e-12
    mixed = GaussianBridge(
        b.mean_a, b.cov_a, b.mean_b, b.cov_b, b.reference, 0.3 * b.cross + 0.1 * EYE
    )
    assert skew(mixed) > 1e-2


@pytest.mark.parametrize("name", REFERENCES)
def test_fields_are_right_at_the_closed_ends(name: str):
    b = bridge(name)
    x = torch.tensor([[0.3, -0.2], [2.0, 1.0]], dtype=torch.float64)
    for field in (b.drift, b.backward_drift, b.velocity, b.to_come, b.has_been):
        for end, near, nearer in ((0.0, 2e-5, 1e-5), (1.0, 1 - 2e-5, 1 - 1e-5)):
            limit = 2 * field(x, nearer) - field(x, near)
            torch.testing.assert_close(field(x, end), limit, rtol=0, atol=2e-7)


@pytest.mark.parametrize("name", REFERENCES)
def test_relative_entropy_is_the_work_of_the_drift(name: str):
    b = bridge(name)
    noise = REFERENCES[name].covariance_rate

    def work(u: float) -> float:
        slope, value = matrix_and_value(b.to_come, b, u)
        moment = slope @ b.law(u)[1] @ slope.mT + torch.outer(value, value)
        return 0.5 * float(torch.trace(noise @ moment))

    found = quad(work, 0.0, 1.0, epsabs=1e-11, epsrel=1e-11)[0]
    assert b.relative_entropy() == pytest.approx(found, rel=1e-9)


@pytest.mark.parametrize("name", REFERENCES)
def test_no_other_coupling_has_less_relative_entropy(name: str):
    b = bridge(name)
    least = b.relative_entropy()
    for way in (EYE, torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64)):
        for t in (-1e-3, 1e-3):
            other = GaussianBridge(
                b.mean_a, b.cov_a, b.mean_b, b.cov_b, b.reference, b.cross + t * way
            )
            assert other.relative_entropy() > least


def test_the_brownian_bridge_is_the_entropic_plan_and_has_its_cost():
    sigma = 0.7
    b = bridge("brownian")
    plan = EntropicGaussian(b.mean_a, b.cov_a, b.mean_b, b.cov_b, 2 * sigma**2)
    torch.testing.assert_close(b.cross, plan.cross, rtol=0, atol=1e-12)
    entropy = 0.5 * float(torch.logdet(2 * math.pi * math.e * b.cov_b))
    expected = float(plan.cost) / (2 * sigma**2) - entropy + math.log(2 * math.pi * sigma**2)
    assert b.relative_entropy() == pytest.approx(expected, rel=1e-11)


def test_the_scalar_ornstein_uhlenbeck_bridge_is_brownian_of_another_strength():
    """``sigma^2 = exp(kappa) kernel(1, 1)``, the kernel that of the reference's noise."""
    kappa, g, a, b = 1.1, 0.9, 1.7, 0.4
    kernel = g * g / (2 * kappa) * (1 - math.exp(-2 * kappa))
    ou = GaussianBridge([0.0], [[a]], [0.0], [[b]], ornstein_uhlenbeck(1, kappa, g))
    same = EntropicGaussian([0.0], [[a]], [0.0], [[b]], 2 * math.exp(kappa) * kernel)
    assert float(ou.cross[0, 0]) == pytest.approx(float(same.cross[0, 0]), rel=1e-13)


def test_little_noise_gives_the_displacement_interpolation():
    b = bridge("brownian")
    quiet = GaussianBridge(b.mean_a, b.cov_a, b.mean_b, b.cov_b, brownian(2, 1e-4))
    step = GaussianMap(b.mean_a, b.cov_a, b.mean_b, b.cov_b)
    x = torch.tensor([[0.3, -0.2]], dtype=torch.float64)
    torch.testing.assert_close(quiet.law(0.4)[1], step.law(0.4)[1], rtol=0, atol=1e-6)
    torch.testing.assert_close(quiet.drift(x, 0.4), step.velocity(x, 0.4), rtol=0, atol=1e-6)


def one_dimensional(sigma: float = 1.0) -> GaussianBridge:
    return GaussianBridge([0.0], [[1.0]], [0.0], [[1.0]], brownian(1, sigma))


def test_markovian_fitting_reaches_the_golden_ratio_and_each_step_is_an_integral():
    """In one dimension the new coupling is ``exp int K du``, here by adaptive quadrature."""
    found = [float(c[0, 0]) for c in islice(imf(one_dimensional()), 7)]
    assert found[-1] == pytest.approx(GOLDEN, abs=1e-6)
    assert np.all(np.diff(found) > 0)

    def slope(u: float, c: float) -> float:
        s = (1 - u) ** 2 + u**2 + u * (1 - u) * (2 * c + 1)
        return ((1 - u) * c + u - s) / ((1 - u) * s)

    for old, new in pairwise(found):
        exact = math.exp(quad(slope, 0.0, 1.0, args=(old,), epsabs=1e-13)[0])
        assert new == pytest.approx(exact, abs=1e-11)


def test_proportional_fitting_shrinks_at_the_rate_of_its_correlation():
    b = one_dimensional()
    covs = [float(c[1][0, 0]) for c in islice(ipf(b), 41)]
    assert covs[-1] == pytest.approx(GOLDEN, abs=1e-14)
    plan = EntropicGaussian([0.0], [[1.0]], [0.0], [[1.0]], 2.0)
    errors = np.array(covs[2:12:2]) - GOLDEN
    assert errors[3] / errors[2] == pytest.approx(plan.sinkhorn_rates()[1], rel=2e-2)


@pytest.mark.parametrize("name", REFERENCES)
def test_the_bridge_is_the_fixed_point_of_both_iterations(name: str):
    b = bridge(name)
    torch.testing.assert_close(markov_coupling(b), b.cross, rtol=0, atol=1e-10)
    first, last, *_ = (list(islice(ipf(b), 401))[k] for k in (0, -1))
    torch.testing.assert_close(last[1], b.cross, rtol=0, atol=1e-9)
    assert float((first[1] - b.cross).abs().max()) > 1e-2


def test_its_equation_solved_with_steps_arrives_with_order_one():
    """Euler-Maruyama on an affine drift has a Gaussian law: its covariance, step by step."""
    b = bridge("brownian")
    noise = REFERENCES["brownian"].covariance_rate

    def error(steps: int) -> float:
        cov, h = b.cov_a, 1 / steps
        for i in range(steps):
            gain = EYE + h * matrix_and_value(b.drift, b, i * h)[0]
            cov = gain @ cov @ gain.mT + h * noise
        return float((cov - b.cov_b).abs().max())

    assert error(160) / error(80) == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("name", REFERENCES)
def test_as_an_equation_it_has_this_drift_and_the_noise_of_the_reference(name: str):
    b = bridge(name)
    sde = b.sde()
    x = torch.tensor([[0.3, -0.2], [2.0, 1.0]], dtype=torch.float64)
    torch.testing.assert_close(sde.f(0.4, x), b.drift(x, 0.4), rtol=0, atol=0)
    kicks = sde.kick(sde.g(0.4, x), EYE)
    torch.testing.assert_close(kicks.mT @ kicks, REFERENCES[name].covariance_rate)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (
            lambda: GaussianBridge([0.0], [[0.0]], [0.0], [[1.0]]),
            "cov_a must be positive definite",
        ),
        (lambda: GaussianBridge([0.0], [[1.0]], [0.0], [[1.0]], brownian(2)), "dimension 2"),
        (
            lambda: GaussianBridge([0.0], [[1.0]], [0.0], [[1.0]], None, [[2.0]]),
            "no coupling of these ends",
        ),
        (lambda: brownian(2, 0.0), "must be invertible"),
        (lambda: one_dimensional().law(1.5), r"must be in \[0, 1\], got 1.5"),
    ],
)
def test_bad_input_is_refused_with_its_value(make, sentence: str):
    with pytest.raises(InvalidLawError, match=sentence):
        make()
