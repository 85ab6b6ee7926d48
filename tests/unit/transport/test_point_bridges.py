"""Pinned references and bridges between clouds: against closed forms, and their own equations."""

from __future__ import annotations

import math
from functools import lru_cache

import mpmath
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.func import jacrev, vmap

from fokker.solvers.errors import InvalidLawError, ShapeError
from fokker.solvers.transport.gaussian_bridge import GaussianBridge
from fokker.solvers.transport.pinned import checked_times, noise_of, pin, pinned_paths
from fokker.solvers.transport.point_bridge import PointBridge, point_bridge
from fokker.solvers.transport.reference import LinearReference, brownian, ornstein_uhlenbeck

F64 = torch.float64


def matrix(*rows: tuple[float, ...]) -> Tensor:
    return torch.tensor(rows, dtype=F64)


REFERENCES = {
    "brownian": brownian(2, 0.9),
    "ou": ornstein_uhlenbeck(2, 1.3, 0.8, 0.4),
    "rotating": LinearReference(
        matrix((-0.5, 2.0), (-2.0, 0.1)), matrix((0.9, 0.0), (0.3, 0.7)), matrix((0.4, -0.2))[0]
    ),
}
each = pytest.mark.parametrize("name", REFERENCES)


def close(got: Tensor, wanted: Tensor, off: float) -> None:
    torch.testing.assert_close(got, wanted, rtol=0, atol=off)


# -- a reference pinned at both ends ------------------------------------------------------------


@each
@pytest.mark.parametrize("u", [0.01, 0.4, 0.99])
def test_the_pinned_law_is_the_conditional_of_the_joint_law(name: str, u: float):
    reference = REFERENCES[name]
    first, rest, whole = (reference.transition(t) for t in (u, 1 - u, 1.0))
    gain = torch.linalg.solve(whole.cov, rest.phi @ first.cov).mT
    law = pin(reference, u)
    close(law.end, gain, 1e-12)
    close(law.start, first.phi - gain @ whole.phi, 1e-12)
    close(law.shift, first.shift - gain @ whole.shift, 1e-12)
    close(law.cov, first.cov - gain @ rest.phi @ first.cov, 1e-12)


@each
def test_pinned_laws_compose(name: str):
    reference = REFERENCES[name]
    first, second, both = pin(reference, 0.3), pin(reference, 0.8, 0.3), pin(reference, 0.8)
    close(second.start @ first.start, both.start, 1e-12)
    close(second.start @ first.end + second.end, both.end, 1e-12)
    close(second.start @ first.shift + second.shift, both.shift, 1e-12)
    close(second.start @ first.cov @ second.start.mT + second.cov, both.cov, 1e-12)


def test_paths_have_the_covariance_of_the_brownian_bridge_at_all_times_together():
    """Paths are linear in their numbers, so unit numbers give the covariance exactly."""
    times, sigma = (0.0, 0.2, 0.5, 0.9, 1.0), 0.7
    count = len(times)
    zero = torch.zeros(count, 1, dtype=F64)
    paths = pinned_paths(
        brownian(1, sigma), zero, zero + 1, times, torch.eye(count, dtype=F64)[..., None]
    )
    line = torch.tensor(times, dtype=F64)
    root = paths[..., 0] - line
    wanted = (
        sigma**2 * torch.minimum(line[:, None], line) * (1 - torch.maximum(line[:, None], line))
    )
    close(root.mT @ root, wanted, 1e-14)


@each
def test_a_path_is_at_its_ends_at_their_times_and_ignores_the_others(name: str):
    x0, x1 = matrix((1.0, 2.0), (0.0, -1.0)), matrix((3.0, 0.5), (0.2, 0.1))
    z = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 3, 2)))
    paths = pinned_paths(REFERENCES[name], x0, x1, (0.0, 0.6, 1.0), z)
    close(paths[:, 0], x0, 0)
    close(paths[:, 2], x1, 0)
    alone = pinned_paths(REFERENCES[name], x0[1:], x1[1:], (0.0, 0.6, 1.0), z[1:])
    close(alone[0], paths[1], 1e-15)


def test_a_strong_pull_forgets_its_start_and_a_strong_push_is_refused():
    """``Q = sigma^2 (1 - e^{-2 kappa})/(2 kappa)``, also where ``e^kappa`` is beyond float64."""
    for kappa in (0.7, 3.0, 50.0, 1000.0):
        got = ornstein_uhlenbeck(2, kappa, 0.8, 0.4).transition(1.0)
        cov = -0.32 * math.expm1(-2 * kappa) / kappa
        close(got.cov / cov, torch.eye(2, dtype=F64), 1e-12)
        close(got.phi, math.exp(-kappa) * torch.eye(2, dtype=F64), 1e-14)
        close(got.shift, torch.full((2,), -0.4 * math.expm1(-kappa), dtype=F64), 1e-13)
    push = LinearReference(matrix((1000.0,)), matrix((1.0,)))
    with pytest.raises(InvalidLawError, match=r"grows beyond float64: the 1-norm .* is 1e\+03"):
        push.transition(1.0)


# -- bridges between clouds ---------------------------------------------------------------------


@lru_cache
def bridge(name: str = "rotating") -> PointBridge:
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(7, 2)), 1.5 * rng.normal(size=(9, 2)) + 1
    a, b = rng.uniform(0.5, 1, 7), rng.uniform(0.5, 1, 9)
    return point_bridge(
        torch.from_numpy(x), torch.from_numpy(y), torch.from_numpy(a / a.sum()),
        torch.from_numpy(b / b.sum()), reference=REFERENCES[name], tolerance=1e-12,
    )  # fmt: skip


def test_two_points_an_end_are_coupled_in_closed_form():
    sigma = 0.8
    ends = torch.tensor([[0.0], [1.0]], dtype=F64)
    made = point_bridge(ends, ends, reference=brownian(1, sigma), tolerance=1e-13)
    share = 0.5 / (1 + math.exp(-0.5 / sigma**2))
    assert float(made.plan.plan()[0, 0]) == pytest.approx(share, abs=1e-13)


def test_from_point_to_point_it_is_the_pinned_reference():
    made = point_bridge([[1.0]], [[3.0]], reference=brownian(1, 0.5))
    x = torch.tensor([[0.2], [2.0]], dtype=F64)
    for u in (0.0, 0.4, 0.99):
        close(made.drift(x, u), (3.0 - x) / (1 - u), 1e-12)
    exact = pin(made.reference, 0.4)
    apart = x[:, 0] - 1.8
    logs = -apart.square() / (2 * float(exact.cov)) - 0.5 * math.log(2 * math.pi * 0.06)
    close(made.log_density(x, 0.4), logs, 1e-12)


@each
def test_mean_and_covariance_are_those_of_a_mixture_of_pinned_references(name: str):
    made = bridge(name)
    same = GaussianBridge(
        made.mean[0], made.cov[0], made.mean[1], made.cov[1], made.reference, made.cross
    )
    p = made.plan.plan()
    close(made.mean[1], p.sum(0) @ made.y, 1e-12)
    close(made.cross, made.x.mT @ p @ made.y - made.mean[0][:, None] * made.mean[1], 1e-11)
    for u in (0.0, 0.05, 0.5, 1.0):
        for got, wanted in zip(made.law(u), same.law(u), strict=True):
            close(got, wanted, 1e-10)


@each
@pytest.mark.parametrize("u", [0.15, 0.8])
def test_density_score_and_velocity_satisfy_the_continuity_equation(name: str, u: float):
    """``d/du log rho + div v + v . score = 0``, the score is the gradient of the density."""
    made = bridge(name)
    x = torch.from_numpy(np.random.default_rng(1).normal(size=(5, 2)))
    h = 2e-4
    sides = [made.log_density(x, u + k * h) for k in (-2, -1, 1, 2)]
    rate = (sides[0] - 8 * sides[1] + 8 * sides[2] - sides[3]) / (12 * h)
    velocity = torch.stack([torch.autograd.functional.jacobian(
        lambda v: made.velocity(v[None], u)[0], point) for point in x])  # fmt: skip
    divergence = velocity.diagonal(dim1=-2, dim2=-1).sum(-1)
    score = made.score(x, u)
    residual = rate + divergence + (made.velocity(x, u) * score).sum(-1)
    assert float(residual.abs().max()) < 1e-6
    slope = vmap(jacrev(lambda v: made.log_density(v[None], u)[0]))(x)
    close(slope, score, 1e-9)
    wrong = rate + divergence + (made.drift(x, u) * score).sum(-1)
    assert float(wrong.abs().max()) > 0.1


def test_the_density_has_mass_one_and_the_moments_of_the_law():
    ends = torch.tensor([[-1.0], [0.5]], dtype=F64), torch.tensor([[2.0], [0.0], [1.0]], dtype=F64)
    made = point_bridge(*ends, reference=ornstein_uhlenbeck(1, 0.7, 0.9, 0.3), tolerance=1e-12)
    line = torch.linspace(-8, 9, 2001, dtype=F64)[:, None]
    for u in (0.1, 0.6):
        share = made.log_density(line, u).exp() * 17 / 2000
        mean, cov = made.law(u)
        assert float(share.sum()) == pytest.approx(1.0, abs=1e-11)
        assert float(share @ line) == pytest.approx(float(mean), abs=1e-11)
        seen = float(share @ (line - mean).square())
        assert seen == pytest.approx(float(cov), abs=1e-10)


@pytest.mark.parametrize("reference", [brownian(1, 1.1), ornstein_uhlenbeck(1, 0.8, 0.9, 0.5)])
def test_between_gaussians_on_a_grid_drift_and_law_are_the_closed_ones(reference):
    """Nodes of a fine grid weighed by a normal density: sums are integrals to rounding."""
    line = torch.linspace(-9, 9, 181, dtype=F64)[:, None]
    ends = [(0.5, 0.8), (-0.5, 1.1)]
    weights = [torch.exp(-((line[:, 0] - m) ** 2) / (2 * v)) for m, v in ends]
    made = point_bridge(
        line, line, *(w / w.sum() for w in weights), reference=reference, tolerance=1e-12
    )
    (m, v), (n, w) = ends
    exact = GaussianBridge([m], [[v]], [n], [[w]], reference)
    x = torch.linspace(-2, 2, 9, dtype=F64)[:, None]
    for u in (0.2, 0.7):
        close(made.drift(x, u), exact.drift(x, u), 1e-9)
        close(made.score(x, u), exact.score(x, u), 1e-9)
        close(made.law(u)[1], exact.law(u)[1], 1e-9)
    close(made.cross, exact.cross, 1e-9)


def test_pairs_of_even_numbers_have_the_plan_of_the_bridge():
    made, k = bridge(), 400
    even = (torch.arange(k, dtype=F64) + 0.5) / k
    u, v = torch.meshgrid(even, even, indexing="ij")
    first, last = made.pairs(torch.stack([u.flatten(), v.flatten()], 1))
    seen = torch.zeros(7, 9, dtype=F64).index_put(
        (first, last), torch.ones(len(first), dtype=F64), accumulate=True
    )
    assert float((seen / k**2 - made.plan.plan()).abs().max()) < 1.5 / k


@pytest.mark.parametrize(
    ("make", "error", "sentence"),
    [
        (lambda: pin(brownian(1), 1.0), InvalidLawError, "s < t < 1, got s = 0.0 and t = 1.0"),
        (lambda: checked_times([]), InvalidLawError, r"\[0, 1\], got none"),
        (lambda: checked_times([0.5, 0.2]), InvalidLawError, "must increase .* got 0.5, 0.2"),
        (lambda: checked_times([0.5, 1.2]), InvalidLawError, "got 0.5, 1.2"),
        (lambda: checked_times([float("nan")]), InvalidLawError, "got nan"),
        (lambda: noise_of(-1.0), InvalidLawError, "epsilon must be positive and finite, got -1"),
        (
            lambda: pinned_paths(brownian(1), torch.zeros(2, 1), torch.zeros(3, 1), [0.5],
                                 torch.zeros(2, 1, 1)),
            ShapeError, r"must be \(n, 1\), z \(n, 1, 1\), got \(2, 1\), \(3, 1\)",
        ),
        (lambda: bridge().drift(torch.zeros(1, 2, dtype=F64), 1.0), InvalidLawError, "ends in"),
        (lambda: bridge().score(torch.zeros(1, 2, dtype=F64), 0.0), InvalidLawError, "starts in"),
        (
            lambda: point_bridge([[0.0]], [[0.0]], reference=brownian(2)), InvalidLawError,
            "one dimension, got 1, 1 and 2",
        ),
    ],
)  # fmt: skip
def test_bad_input_of_bridges_is_refused_with_its_value(make, error, sentence: str):
    with pytest.raises(error, match=sentence):
        make()


@pytest.mark.parametrize("length", [1e-4, 0.003, 0.01, 0.03, 0.3])
def test_transitions_are_right_to_rounding_over_short_stretches_too(length: float):
    """Relative to their own size, against 40 digits; torch's exponential has 10 at 0.01."""
    reference = REFERENCES["rotating"]
    f, rate = (mpmath.matrix(m.tolist()) for m in (
        reference.drift_matrix, reference.covariance_rate
    ))  # fmt: skip
    with mpmath.workdps(40):
        block = mpmath.zeros(4)
        block[:2, :2], block[:2, 2:], block[2:, 2:] = -f, rate, f.T
        power = mpmath.expm(block * length)
        phi = power[2:, 2:].T
        truth = [phi - mpmath.eye(2), phi * power[:2, 2:]]
    got = reference.transition(length)
    for seen, wanted in zip((got.phi - torch.eye(2), got.cov), truth, strict=True):
        exact = torch.tensor(wanted.tolist(), dtype=F64)
        close(seen / length, exact / length, max(1e-14, 5e-16 / length))
