"""Stochastic interpolants between mixtures: transport, Fokker-Planck, ends, couplings."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from torch import Tensor
from torch.func import jacrev, vmap

from fokker.solvers.errors import FokkerError
from fokker.solvers.transport.entropic import EntropicGaussian
from fokker.solvers.transport.gaussian_bridge import GaussianBridge
from fokker.solvers.transport.interpolant import (
    Coefficients,
    Interpolant,
    encoder_decoder,
    linear,
    mirror,
    one_sided,
    smooth,
    straight,
    trigonometric,
)
from fokker.solvers.transport.reference import brownian
from fokker.toy_models.interpolated import MixtureInterpolant, between
from fokker.toy_models.mixture import GaussianMixture

F64 = torch.float64
ALL = [linear(), linear(0.5), trigonometric(), smooth(), encoder_decoder(), mirror(), one_sided()]
IDS = [f"{i.name}-{n}" for n, i in enumerate(ALL)]


def ends() -> tuple[GaussianMixture, GaussianMixture]:
    rng = np.random.default_rng(3)
    roots = rng.normal(size=(5, 2, 3))
    covs = torch.from_numpy(0.3 * roots @ roots.transpose(0, 2, 1)) + 0.1 * torch.eye(2)
    means = torch.from_numpy(rng.normal(size=(5, 2)) * 1.5)
    first = GaussianMixture(torch.tensor([0.3, 0.7], dtype=F64), means[:2], covs[:2])
    return first, GaussianMixture(torch.tensor([0.2, 0.5, 0.3], dtype=F64), means[2:], covs[2:])


def coupled(interpolant: Interpolant) -> MixtureInterpolant:
    rng = np.random.default_rng(9)
    roots = torch.from_numpy(rng.normal(size=(3, 4, 5)))
    w = torch.tensor([0.2, 0.5, 0.3], dtype=F64)
    return MixtureInterpolant(
        interpolant, w, torch.from_numpy(rng.normal(size=(3, 4))), 0.3 * roots @ roots.mT
    )


def points() -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).normal(size=(24, 2)))


def log_rate(path: MixtureInterpolant, x: Tensor, u: float, h: float = 2e-3) -> Tensor:
    """Time derivative of log rho by a formula of order 6."""
    sides = [path.law(u + k * h).log_density(x) for k in (-3, -2, -1, 1, 2, 3)]
    weights = (-1, 9, -45, 45, -9, 1)
    return sum(w * s for w, s in zip(weights, sides, strict=True)) / (60 * h)  # type: ignore


@pytest.mark.parametrize(
    "make", [lambda i: between(i, *ends()), coupled], ids=["apart", "coupled"]
)
@pytest.mark.parametrize("interpolant", ALL, ids=IDS)
@pytest.mark.parametrize("u", [0.07, 0.31, 0.62, 0.93])
def test_transport_and_fokker_planck_hold(interpolant: Interpolant, make, u: float):
    """``d log rho + div f + f.s = eps (div s + |s|^2)`` for ``f = b + eps s``, eps 0, .1, 1, 7."""
    path, x = make(interpolant), points()
    rate, s = log_rate(path, x, u), path.score(x, u)
    torch.testing.assert_close(s, path.law(u).score(x, 1.0, 0.0), rtol=0, atol=1e-10)

    def divergence(field) -> Tensor:
        slopes = vmap(jacrev(lambda y: field(y[None])[0]))(x)
        return slopes.diagonal(dim1=-2, dim2=-1).sum(-1)

    spread = divergence(lambda y: path.score(y, u)) + s.square().sum(-1)
    for eps in (0.0, 0.1, 1.0, 7.0):
        f = path.drift(x, u, eps)
        parts = (rate, divergence(lambda y, e=eps: path.drift(y, u, e)), (f * s).sum(-1))
        size = sum(p.abs() for p in (*parts, eps * spread))
        assert float(((sum(parts) - eps * spread).abs() / size).max()) < 1e-7
    wrong = sum(parts) - 0.5 * eps * spread  # type: ignore[operator]
    assert float(wrong.abs().max()) > 1e-2


@pytest.mark.parametrize("interpolant", ALL, ids=IDS)
def test_conversions_are_consistent_and_finite_at_the_ends(interpolant: Interpolant):
    path, x = between(interpolant, *ends()), points()
    for u in (0.0, 0.4, 1.0):
        first, last, score = path.answers(x, u)
        c = interpolant.at(u)
        torch.testing.assert_close(
            c.alpha * first + c.beta * last - c.gamma2 * score, x, rtol=0, atol=1e-12
        )
        assert torch.isfinite(path.velocity(x, u)).all()
    h = 1e-5
    for u, inner in ((0.0, h), (1.0, 1 - h)):
        gap = path.velocity(x, u) - path.velocity(x, inner)
        assert float(gap.abs().max()) < 1e-2


@pytest.mark.parametrize("interpolant", ALL, ids=IDS)
@pytest.mark.parametrize("u", [0.13, 0.5, 0.77])
def test_the_derivatives_are_those_of_the_coefficients(interpolant: Interpolant, u: float):
    h, inside = 1e-6, interpolant.at(u)
    low, high = interpolant.at(u - h), interpolant.at(u + h)
    found = [(b - a) / (2 * h) for a, b in zip(low[:3], high[:3], strict=True)]
    if interpolant.name == "encoder-decoder" and u == 0.5:
        found = [0.0, 0.0, found[2]]  # both are quadratic there, one on each side
    assert found == pytest.approx(
        [inside.d_alpha, inside.d_beta, 2 * inside.gamma_d_gamma], abs=1e-5
    )


@pytest.mark.parametrize("eps", [0.0, 1.0, 20.0])
def test_the_covariance_of_the_equation_arrives_for_every_noise(eps: float):
    """Gaussian ends: the moments of the SDE are an ODE of their own, solved here to 1e-10."""
    one = torch.ones(1, dtype=F64)
    first, last = ends()
    path = between(
        linear(),
        GaussianMixture(one, first.means[:1], first.covs[:1]),
        GaussianMixture(one, last.means[:1], last.covs[:1]),
    )
    eye = torch.eye(2, dtype=F64)

    def rate(u: float, flat) -> Tensor:
        cov = torch.as_tensor(flat, dtype=F64).reshape(2, 2)
        field = path.drift(torch.cat([eye, 0 * eye[:1]]), min(max(u, 0.0), 1.0), eps)
        slope = (field[:2] - field[2]).mT
        return (slope @ cov + cov @ slope.mT + 2 * eps * eye).flatten()

    done = solve_ivp(rate, (0, 1), first.covs[0].flatten(), method="Radau", rtol=1e-9, atol=1e-10)
    end = torch.from_numpy(done.y[:, -1]).reshape(2, 2)
    torch.testing.assert_close(end, last.covs[0], rtol=0, atol=1e-6)


def test_with_the_entropic_coupling_the_linear_interpolant_is_the_schrodinger_bridge():
    q = 0.7
    first, last = ends()
    a, b = first.covs[0], last.covs[0]
    zero = torch.zeros(2, dtype=F64)
    plan = EntropicGaussian(zero, a, zero, b, 2 * q**2)
    path = MixtureInterpolant(
        linear(q), torch.ones(1, dtype=F64), torch.zeros(1, 4, dtype=F64), plan.joint()[1][None]
    )
    bridge = GaussianBridge(zero, a, zero, b, brownian(2, q))
    x = points()
    for u in (0.1, 0.5, 0.8):
        torch.testing.assert_close(path.law(u).covs[0], bridge.law(u)[1], rtol=0, atol=1e-12)
        torch.testing.assert_close(
            path.drift(x, u, 0.5 * q**2), bridge.drift(x, u), rtol=0, atol=1e-10
        )


def test_fields_are_the_regressions_of_what_training_sees():
    """``E[f(x)(x' - b)] = 0`` within 5 standard errors; not with a wrong sign of gamma'."""
    path, n, u = between(linear(), *ends()), 200_000, 0.3
    first, last = path.sample(n, seed=1)
    z = torch.randn(n, 2, generator=torch.Generator().manual_seed(2), dtype=F64)
    x, c = path.interpolant.state(first, last, z, u), path.interpolant.at(u)
    slope = c.gamma_d_gamma / math.sqrt(c.gamma2)
    seen = c.d_alpha * first + c.d_beta * last + slope * z

    def far(target: Tensor, field: Tensor) -> float:
        gap = torch.sin(x) * (target - field)
        return float((gap.mean(0).abs() / (gap.std(0) / math.sqrt(n))).max())

    assert far(seen, path.velocity(x, u)) < 5
    assert far(z, path.denoiser(x, u)) < 5
    assert far(seen - 2 * slope * z, path.velocity(x, u)) > 20


def test_a_straight_interpolant_is_rectified_flow_and_has_no_noise():
    path, x = between(straight(), *ends()), points()
    first, last, _ = path.answers(x, 0.4)
    torch.testing.assert_close(path.velocity(x, 0.4), last - first, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: linear().at(1.5), r"in \[0, 1\], got 1.5"),
        (
            lambda: Interpolant("odd", lambda u: Coefficients(1 - u, u, 1.0, -1, 1, 0)),
            "odd at u = 0 must have",
        ),
        (lambda: between(linear(), *ends()).sde(0.0), "epsilon must be positive"),
        (
            lambda: MixtureInterpolant(
                linear(), torch.ones(1), torch.zeros(1, 3), torch.eye(3)[None]
            ),
            "even length 2d, got 3",
        ),
    ],
)
def test_bad_input_is_refused_with_its_value(make, sentence: str):
    with pytest.raises(FokkerError, match=sentence):
        make()
