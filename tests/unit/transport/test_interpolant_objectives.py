"""Quadratic objectives of an interpolant: their minimisers, their noise at the ends, a network."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from fokker.analysis.interpolant_error import exact_line
from fokker.solvers.errors import FokkerError
from fokker.solvers.transport.interpolant import Interpolant, linear, straight, trigonometric
from fokker.solvers.transport.objectives import TARGETS, Draws, Target, objective
from fokker.toy_models.interpolated import MixtureInterpolant
from fokker.toy_models.learned_interpolant import learn_field
from interpolant_cases import F64, mixtures, skew_gaussians

each = pytest.mark.parametrize("antithetic", [False, True], ids=["plain", "pairs"])


def draws(path: MixtureInterpolant, n: int, u: float, seed: int = 0) -> Draws:
    first, last = path.sample(n, seed=seed)
    generator = torch.Generator().manual_seed(seed + 1)
    z = torch.randn(first.shape, generator=generator, dtype=F64)
    return Draws(first, last, z, torch.full((n,), u, dtype=F64))


def fields(path: MixtureInterpolant, u: float) -> dict[str, Tensor]:
    """Exact (slope, value at 0) as a (3, 2) matrix of features (x, 1), by target."""
    b, drift = exact_line(path, u), exact_line(path, u, 1.0)
    score = [torch.as_tensor(d - c) for d, c in zip(drift, b, strict=True)]
    gamma = math.sqrt(path.interpolant.at(u).gamma2)
    lines = {
        "velocity": [torch.as_tensor(part) for part in b],
        "score": score,
        "denoiser": [-gamma * part for part in score],
    }
    return {k: torch.cat([gain.mT, shift[None]]) for k, (gain, shift) in lines.items()}


def newton(d: Draws, path: MixtureInterpolant, target: Target, antithetic: bool) -> Tensor:
    """The minimiser over affine fields: the mean objective is quadratic, one step of Newton."""

    def mean(w: Tensor) -> Tensor:
        def field(x: Tensor, _u: Tensor) -> Tensor:
            return torch.cat([x, torch.ones_like(x[:, :1])], 1) @ w.reshape(3, 2)

        return objective(field, path.interpolant, d, target, antithetic=antithetic).mean()

    at = torch.zeros(6, dtype=F64)
    slope = torch.func.grad(mean)(at)
    bend = torch.func.hessian(mean)(at)
    return -torch.linalg.solve(bend, slope).reshape(3, 2)


@each
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("u", [0.05, 0.4, 0.9])
def test_the_minimiser_is_the_field(target: Target, u: float, antithetic: bool):
    """On Gaussians the field is affine: least squares finds it within 5 standard errors."""
    path = skew_gaussians(linear())
    n, parts = 4000, 10
    found = torch.stack(
        [newton(draws(path, n, u, seed=7 * k), path, target, antithetic) for k in range(parts)]
    )
    error = found.std(0) / math.sqrt(parts)
    gap = (found.mean(0) - fields(path, u)[target]).abs() / error
    assert float(gap.max()) < 9.0  # Student's t of 9 degrees of freedom, 1e-6 a number
    wrong = fields(path, u)["velocity" if target != "velocity" else "score"]
    assert float(((found.mean(0) - wrong).abs() / error).max()) > 20


@pytest.mark.parametrize("target", TARGETS)
def test_pairs_keep_the_mean_of_the_objective(target: Target):
    path, n, u = mixtures(trigonometric()), 40_000, 0.3
    d = draws(path, n, u)

    def field(x: Tensor, _u: Tensor) -> Tensor:
        return torch.sin(x)

    plain = objective(field, path.interpolant, d, target)
    both = objective(field, path.interpolant, d, target, antithetic=True)
    flipped = objective(field, path.interpolant, d._replace(z=-d.z), target)
    torch.testing.assert_close(both, (plain + flipped) / 2)
    gap = (plain - both).mean().abs() / ((plain - both).std() / math.sqrt(n))
    assert float(gap) < 5.5


@pytest.mark.parametrize("target", ["velocity", "score"])
def test_pairs_bound_the_noise_at_the_ends(target: Target):
    """Plain: a variance of order 1/u. Pairs: none. The field is smooth and does not vanish."""
    path = skew_gaussians(linear())
    weight = torch.tensor(1.0, dtype=F64)

    def noise(u: float, antithetic: bool) -> float:
        d = draws(path, 4000, u)
        field = lambda x, _u: weight * (2.0 + torch.cos(x))  # noqa: E731
        return float(objective(field, path.interpolant, d, target, antithetic=antithetic).var())

    plain = [noise(u, False) for u in (1e-2, 1e-4, 1e-6)]
    pairs = [noise(u, True) for u in (1e-2, 1e-4, 1e-6)]
    assert plain[2] / plain[1] == pytest.approx(100, rel=0.15)
    assert max(pairs) < 2 * min(pairs)
    assert pairs[0] < plain[0]


def test_the_objective_is_the_distance_to_the_field_up_to_a_number():
    """``L(f) - L(b) = E|f - b|^2/2`` within 5 standard errors of coupled differences."""
    path, n, u = mixtures(linear()), 40_000, 0.6
    d = draws(path, n, u)

    def gap(field) -> Tensor:
        return objective(field, path.interpolant, d)

    def exact(x: Tensor, _u: Tensor) -> Tensor:
        return path.velocity(x, u)

    def other(x: Tensor, _u: Tensor) -> Tensor:
        return torch.sin(x) - 0.3

    x = path.interpolant.state(d.first, d.last, d.z, u)
    wanted = 0.5 * (other(x, d.u) - exact(x, d.u)).square().sum(1)
    rest = gap(other) - gap(exact) - wanted
    assert float(rest.mean().abs() / (rest.std() / math.sqrt(n))) < 5.5
    assert float(wanted.mean()) > 0.1


def test_times_may_differ_by_row():
    path = mixtures(trigonometric())
    d = draws(path, 5, 0.2)._replace(u=torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9], dtype=F64))

    def field(x: Tensor, u: Tensor) -> Tensor:
        return x * u

    whole = objective(field, path.interpolant, d, antithetic=True)
    for i in range(5):
        row = Draws(*(part[i : i + 1] for part in d))
        one = objective(field, path.interpolant, row, antithetic=True)
        torch.testing.assert_close(whole[i : i + 1], one)


def learned_gap(interpolant: Interpolant, target: Target, field) -> float:
    """Distance of a field to the exact one over the size of that, over u in 0.1 .. 0.9."""
    path, lost, size = mixtures(interpolant), 0.0, 0.0
    for u in (0.1, 0.3, 0.5, 0.7, 0.9):
        x = path.law(u).sample(500, seed=5)
        truth = path.velocity(x, u) if target == "velocity" else path.denoiser(x, u)
        lost += float((field(x, u) - truth).square().mean())
        size += float(truth.square().mean())
    return math.sqrt(lost / size)


@pytest.mark.slow
@pytest.mark.parametrize("target", ["velocity", "denoiser"])
def test_a_network_finds_the_field(target: Target):
    first, last = mixtures(linear()).sample(20_000, seed=3)
    field = learn_field(linear(), first, last, target=target, seed=1)
    assert learned_gap(linear(), target, field) < 0.2
    short = learn_field(linear(), first, last, target=target, seed=1, steps=20)
    assert learned_gap(linear(), target, short) > 0.3


def test_learning_is_a_function_of_its_arguments():
    first, last = mixtures(linear()).sample(50, seed=3)
    x, state = first[:4], torch.random.get_rng_state()
    a, b = (learn_field(linear(), first, last, steps=3, batch=9, seed=2)(x, 0.3) for _ in "ab")
    torch.testing.assert_close(a, b, rtol=0, atol=0)
    assert torch.equal(state, torch.random.get_rng_state())
    assert a.dtype == F64


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda d: objective(torch.sin, linear(), d, "noise"), "unknown target 'noise'"),  # type: ignore
        (lambda d: objective(ask, linear(), d._replace(u=d.u * 0)), "strictly inside"),
        (lambda d: objective(ask, linear(), d._replace(u=d.u[:2])), r"times \(B,\), got"),
        (lambda d: objective(ask, straight(), d, "score"), "straight has no noise at u = 0.5"),
        (lambda d: learn_field(linear(), d.first, d.last[:1]), "pairs must be two"),
    ],
)
def test_bad_input_is_refused(make, sentence: str):
    with pytest.raises(FokkerError, match=sentence):
        make(draws(mixtures(linear()), 3, 0.5))


def ask(x: Tensor, _u: Tensor) -> Tensor:
    return x
