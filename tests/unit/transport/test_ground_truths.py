"""Numbers and identities that others can check by hand, each at ten times what is left of it.

Other files hold these objects to their equations; here they are held to closed forms in another
shape, to residuals near rounding, and to the digits that the literature quotes.
"""

from __future__ import annotations

import math
from itertools import islice

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from torch import Tensor
from torch.func import jacrev, vmap

from fokker.analysis.interpolant_error import drift_cost, exact_line, same_error
from fokker.solvers.transport.bures import bures_squared
from fokker.solvers.transport.entropic import EntropicGaussian
from fokker.solvers.transport.gaussian import GaussianMap
from fokker.solvers.transport.gaussian_bridge import GaussianBridge
from fokker.solvers.transport.gaussian_iterations import imf, ipf
from fokker.solvers.transport.interpolant import (
    Interpolant,
    encoder_decoder,
    linear,
    mirror,
    one_sided,
    smooth,
    trigonometric,
)
from fokker.solvers.transport.kinetic import (
    KineticOptimal,
    gaussian_mmse,
    marginal_energy,
    straight,
)
from fokker.solvers.transport.kinetic import trigonometric as circle
from fokker.solvers.transport.multi_marginal import Snapshot, snapshots
from fokker.solvers.transport.reference import brownian, ornstein_uhlenbeck
from fokker.solvers.transport.refinement import refine
from fokker.toy_models.interpolated import MixtureInterpolant, between
from interpolant_cases import F64, mixture, mixtures, skew_gaussians

EYE = torch.eye(3, dtype=F64)


def spd(seed: int) -> Tensor:
    root = np.random.default_rng(seed).normal(size=(3, 4))
    return torch.from_numpy(root @ root.T)


def ends() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    means = torch.from_numpy(np.random.default_rng(5).normal(size=(2, 3)))
    return means[0], spd(1), means[1], spd(2)


# -- optimal maps between Gaussians -------------------------------------------------------------


def test_the_cost_is_the_value_of_the_dual():
    """``|x|^2 - 2 psi`` and ``|y|^2 - 2 psi*`` with Brenier's ``psi``, a quadratic form."""
    step = GaussianMap(*ends())
    (m, a, n, b), matrix = ends(), step.matrix
    first = m @ m + torch.trace(a) - torch.trace(matrix @ a)
    second = n @ n + torch.trace(b) - 2 * m @ n - torch.trace(torch.linalg.inv(matrix) @ b)
    assert float(step.cost) == pytest.approx(float(first + second), rel=2e-14)


def test_the_gradient_of_the_squared_distance_is_the_identity_less_the_map():
    m, a, n, b = (v.clone().requires_grad_() for v in ends())
    step = GaussianMap(m, a, n, b)
    ((m - n).square().sum() + bures_squared(a, b)).backward()
    assert a.grad is not None
    assert m.grad is not None
    torch.testing.assert_close(a.grad, EYE - step.matrix, rtol=0, atol=2e-13)
    torch.testing.assert_close(m.grad, 2 * (m - n), rtol=0, atol=2e-14)


def test_the_displacement_obeys_continuity_to_rounding():
    """The covariance is quadratic in u, so that a central difference is exact."""
    step, h = GaussianMap(*ends()), 0.25
    for u in (0.3, 0.6):
        rate = (step.law(u + h)[1] - step.law(u - h)[1]) / (2 * h)
        mean, cov = step.law(u)
        slope = (step.velocity(mean + EYE, u) - step.velocity(mean[None], u)).mT
        torch.testing.assert_close(rate, slope @ cov + cov @ slope.mT, rtol=0, atol=2e-13)


# -- bridges between Gaussians ------------------------------------------------------------------


@pytest.mark.parametrize("u", [0.2, 0.7])
def test_forward_and_backward_drifts_of_brownian_bridges_are_those_of_the_literature(u: float):
    """And ``K_f - K_b = -sigma^2 S^{-1}`` (Nelson), for the optimal coupling only."""
    sigma, (m, a, n, b) = 0.7, ends()
    optimal = GaussianBridge(m, a, n, b, brownian(3, sigma))

    def gap(c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        s = (1 - u) ** 2 * a + u**2 * b + u * (1 - u) * (c + c.mT + sigma**2 * EYE)
        forth = ((1 - u) * c.mT + u * b - s) @ torch.linalg.inv(s) / (1 - u)
        back = (s - (1 - u) * a - u * c) @ torch.linalg.inv(s) / u
        return forth, back, forth - back + sigma**2 * torch.linalg.inv(s)

    forth, back, nelson = gap(optimal.cross)
    assert float(nelson.abs().max()) < 1e-12
    mean, _ = optimal.law(u)
    for field, matrix in ((optimal.drift, forth), (optimal.backward_drift, back)):
        slope = (field(mean + EYE, u) - field(mean[None], u)).mT
        torch.testing.assert_close(slope, matrix, rtol=0, atol=1e-12)
    way = torch.from_numpy(np.random.default_rng(1).normal(size=(3, 3)))
    other = 0.9 * optimal.cross + 0.05 * way
    forth, back, nelson = gap(other)
    assert float((back - back.mT).abs().max() + (forth - forth.mT).abs().max()) > 1e-2


@pytest.mark.parametrize("u", [0.25, 0.8])
def test_scalar_ornstein_uhlenbeck_bridges_have_the_marginals_of_their_kernel(u: float):
    """``mean r_bar m_0 + r m_1`` and the variance by ``kappa(s, t)``, as in the literature."""
    rate, g, a, b = 1.1, 0.9, 1.7, 0.4
    m, n = 0.3, -0.8

    def kernel(s: float, t: float) -> float:
        return g * g / (2 * rate) * (math.exp(-rate * abs(s - t)) - math.exp(-rate * (s + t)))

    r = kernel(u, 1) / kernel(1, 1)
    r_bar = math.exp(-rate * u) - r * math.exp(-rate)
    strength = math.exp(rate) * kernel(1, 1)
    c = (math.sqrt(4 * a * b + strength**2) - strength) / 2
    bridge = GaussianBridge([m], [[a]], [n], [[b]], ornstein_uhlenbeck(1, rate, g))
    mean, cov = bridge.law(u)
    rest = kernel(u, u) - kernel(u, 1) ** 2 / kernel(1, 1)
    expected = r_bar**2 * a + r**2 * b + 2 * r * r_bar * c + rest
    assert float(mean) == pytest.approx(r_bar * m + r * n, abs=4e-14)
    assert float(cov) == pytest.approx(expected, abs=4e-14)


def test_covariances_of_markovian_fitting_are_the_known_ones():
    """Unit variances, unit noise, independent start; six digits are quoted."""
    bridge = GaussianBridge([0.0], [[1.0]], [0.0], [[1.0]], brownian(1))
    seen = [float(c) for c in islice(imf(bridge), 6)]
    known = [0.0, 0.546293, 0.611143, 0.617385, 0.617973, 0.618028]
    assert seen == pytest.approx(known, abs=6e-7)


@pytest.mark.parametrize(
    ("square", "markov", "proportional"),
    [(1.0, 0.09397, 0.38197), (0.1, 0.01584, 0.90488), (10.0, 0.0269, 0.0098)],
)
def test_both_iterations_have_the_known_rates(square: float, markov: float, proportional: float):
    """Of covariances for IMF, ``rho^2`` for a half-step of IPF; to the digits quoted."""
    bridge = GaussianBridge([0.0], [[1.0]], [0.0], [[1.0]], brownian(1, math.sqrt(square)))
    exact = float(bridge.cross)
    start = torch.tensor([[exact * (1 - 1e-4)]], dtype=F64)  # near: the rate is a derivative
    errors = [float(c) - exact for c in islice(imf(bridge, start), 2)]
    digits = 0.5 if markov < 0.02 else 0.6
    assert errors[1] / errors[0] == pytest.approx(markov, abs=1e-4 * digits)
    plan = EntropicGaussian([0.0], [[1.0]], [0.0], [[1.0]], 2 * square)
    assert plan.sinkhorn_rates()[0] == pytest.approx(proportional, abs=6e-5)
    off = [float(c[1]) - exact for c in islice(ipf(bridge), 6)]
    steps = off[2:6]
    if square == 1.0:
        assert steps[2] / steps[0] == pytest.approx(proportional**2, rel=0.1)


# -- interpolants -------------------------------------------------------------------------------

PATHS = [linear(), trigonometric(), smooth(), encoder_decoder(), one_sided(), mirror()]


def exact_rate(path: MixtureInterpolant, x: Tensor, u: float) -> Tensor:
    """``d/du log rho_u(x)`` from the rates of means and covariances of the components."""
    c, law, d = path.interpolant.at(u), path.law(u), path.dim
    m, n = path.means[:, :d], path.means[:, d:]
    a, b, cross = path.covs[:, :d, :d], path.covs[:, d:, d:], path.covs[:, :d, d:]
    moved = c.d_alpha * m + c.d_beta * n
    mixed = (c.d_alpha * c.beta + c.alpha * c.d_beta) * cross
    eye = torch.eye(d, dtype=F64)
    grown = 2 * (c.alpha * c.d_alpha * a + c.beta * c.d_beta * b + c.gamma_d_gamma * eye)
    grown = grown + mixed + mixed.mT
    inverse = torch.linalg.inv(law.covs)
    pull = torch.einsum("kij,bkj->bki", inverse, x[:, None] - law.means)
    each = torch.einsum("ki,bki->bk", moved, pull)
    each = each + 0.5 * torch.einsum("bki,kij,bkj->bk", pull, grown, pull)
    each = each - 0.5 * torch.einsum("kij,kji->k", inverse, grown)
    return (law.responsibilities(x, 1.0, 0.0) * each).sum(1)


def coupled(interpolant: Interpolant) -> MixtureInterpolant:
    rng = np.random.default_rng(9)
    roots = torch.from_numpy(rng.normal(size=(3, 4, 5)))
    w = torch.tensor([0.2, 0.5, 0.3], dtype=F64)
    means = torch.from_numpy(rng.normal(size=(3, 4)))
    return MixtureInterpolant(interpolant, w, means, 0.3 * roots @ roots.mT)


@pytest.mark.parametrize("make", [mixtures, coupled], ids=["apart", "coupled"])
@pytest.mark.parametrize("interpolant", PATHS, ids=lambda i: i.name)
def test_transport_and_fokker_planck_residuals_vanish_to_eleven_digits(make, interpolant):
    """``d/du log rho + div f + f.s = eps (div s + |s|^2)``, f = b + eps s, per unit of terms."""
    path, x = make(interpolant), torch.from_numpy(np.random.default_rng(0).normal(size=(16, 2)))
    for u in (0.07, 0.31, 0.62, 0.93):
        rate, s = exact_rate(path, x, u), path.score(x, u)
        torch.testing.assert_close(s, path.law(u).score(x, 1.0, 0.0), rtol=0, atol=1e-11)

        def both(y: Tensor, t: float = u) -> Tensor:
            return torch.stack([path.velocity(y[None], t)[0], path.score(y[None], t)[0]])

        slopes = vmap(jacrev(both))(x)
        flow, spread = slopes.diagonal(dim1=-2, dim2=-1).sum(-1).mT
        for eps in (0.0, 0.1, 1.0, 7.0):
            f = path.drift(x, u, eps)
            parts = (rate, flow + eps * spread, (f * s).sum(1))
            right = eps * (spread + s.square().sum(1))
            size = 1.0 + sum(p.abs() for p in (*parts, right))
            residual = sum(parts) - right
            assert float((residual / size).abs().max()) < 3e-14  # measured 2.5e-15
            assert float(residual.abs().max()) < 1e-12
    assert float((residual + spread).abs().max()) > 1e-2


def line() -> MixtureInterpolant:
    return between(linear(), mixture([1.0], [[0.0]], [1.0]), mixture([1.0], [[2.0]], [0.5]))


def test_a_line_between_gaussians_has_the_known_variance_and_slopes():
    path = line()
    assert float(path.law(0.5).covs) == pytest.approx(0.8125, abs=1e-15)
    b, both = (exact_line(path, 0.25, epsilon)[0].item() for epsilon in (0.0, 1.0))
    assert b == pytest.approx(-0.19672, abs=5e-6)
    assert both - b == pytest.approx(-1.04918, abs=5e-6)


@pytest.mark.parametrize(
    ("epsilon", "kl", "bound", "off"),
    [
        (0.1, 0.0556, 0.2250, 5e-5),
        (0.5, 0.0295, 0.0450, 5e-5),
        (2.0, 0.00457, 0.01125, 5e-6),
        (0.0, 0.0657974, math.inf, 5e-8),
    ],
)
def test_a_constant_error_costs_the_known_divergence(epsilon, kl, bound, off):
    found = drift_cost(line(), same_error(0.0, 0.3, 1), epsilon)
    assert found.kl == pytest.approx(kl, abs=off)
    assert found.bound == pytest.approx(bound, abs=1e-12)


def test_much_noise_makes_the_equation_of_moments_stiff():
    """The law at the end is the same; what an explicit solver pays for it grows with epsilon."""
    path, eye, calls = skew_gaussians(linear()), torch.eye(2, dtype=F64), []
    (start,), (end,) = (path.law(u).covs for u in (0.0, 1.0))
    for eps in (0.0, 1.0, 20.0):

        def rate(u: float, flat: np.ndarray, eps: float = eps) -> np.ndarray:
            gain, _ = exact_line(path, min(max(u, 0.0), 1.0), eps)
            cov = flat.reshape(2, 2)
            return (gain @ cov + cov @ gain.T + 2 * eps * eye.numpy()).ravel()

        done = solve_ivp(rate, (0, 1), start.numpy().ravel(), rtol=1e-6, atol=1e-8)
        np.testing.assert_allclose(done.y[:, -1].reshape(2, 2), end.numpy(), atol=2e-5)
        calls.append(done.nfev)
    assert calls[0] <= calls[1] < calls[2] / 3


# -- energies of paths --------------------------------------------------------------------------


def test_paths_to_a_normal_law_and_to_two_points_have_the_known_energies():
    normal = gaussian_mmse([1.0])
    assert marginal_energy(circle, *normal) == pytest.approx(0.0, abs=1e-12)
    assert marginal_energy(straight, *normal) == pytest.approx(2 - math.pi / 2, rel=1e-10)
    nodes, weights = np.polynomial.hermite_e.hermegauss(120)
    weights = weights / weights.sum()

    def mmse(rho: float) -> float:
        return float(weights @ (1 - np.tanh(rho * (rho + nodes)) ** 2))

    assert marginal_energy(straight, mmse) == pytest.approx(0.9824, abs=5e-5)
    assert marginal_energy(circle, mmse) == pytest.approx(0.8690, abs=5e-5)
    best = KineticOptimal(mmse)
    assert best.energy == pytest.approx(0.45912, abs=5e-6)
    assert best.angle == pytest.approx(0.69126, abs=5e-6)


# -- drifts from snapshots ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("times", "known"),
    [
        ((0.0, 0.5, 1.0, 2.0), [0.93745, 0.99262, 0.99911, 0.99989]),
        ((0.0, 2.0), [0.664, 0.817, 0.893, 0.935]),
    ],
)
def test_the_rate_of_an_ornstein_uhlenbeck_process_is_found_at_the_known_pace(times, known):
    given = snapshots(ornstein_uhlenbeck(1, 1.0, 1.0), Snapshot(0.0, [2.0], [[0.25]]), times)
    found = refine(given, brownian(1), offset=False, rounds=4).rounds
    rates = [-float(r.reference.drift_matrix) for r in found][1:5]
    assert rates == pytest.approx(known[: len(rates)], abs=5e-6 if len(times) > 2 else 5e-4)
    assert len(rates) >= 3
