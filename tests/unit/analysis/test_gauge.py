"""What a gauge changes and what it does not, exactly on Gaussians; dimension read from a model."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fokker.analysis.fokker_planck import (
    exact_log_density,
    exact_score,
    flow_ode,
    log_residual,
    quadrature,
    reverse_sde,
)
from fokker.analysis.gauge import (
    Gauged,
    fitted_parts,
    gauged_denoiser,
    linear_parts,
    stirred_flow,
    turning,
)
from fokker.analysis.intrinsic import (
    flow_jacobian,
    gaussian_flow_values,
    gaussian_score_spectrum,
    score_spectrum,
)
from fokker.analysis.score_error import evolve, noised, score_budget
from fokker.analysis.strategies import covariances
from fokker.solvers.errors import AnalysisError, InvalidLawError
from fokker.solvers.grids import uniform_lam
from fokker.solvers.likelihood.density import log_density
from fokker.solvers.registry import get
from fokker.solvers.run import run
from fokker.solvers.schedules import VPLinear
from fokker.toy_models.gaussian import Gaussian
from fokker.toy_models.law import exact_model
from fokker.toy_models.problems import problem

VP = VPLinear()
F64 = torch.float64
QUARTER = np.array([[0.0, -1.0], [1.0, 0.0]])
SPAN = (-2.0, 2.0)
ENTRY = st.floats(-2.0, 2.0, allow_subnormal=False)


def law() -> Gaussian:
    return Gaussian(
        torch.tensor([0.5, -1.0], dtype=F64), torch.tensor([[1.3, 0.4], [0.4, 0.3]]).to(F64)
    )


# the decomposition


@settings(max_examples=40)
@given(covariances(3), st.lists(ENTRY, min_size=9, max_size=9))
def test_a_linear_field_is_a_gradient_and_a_stirring_orthogonal_to_all_gradients(cov, numbers):
    b, s = np.array(numbers).reshape(3, 3), cov.numpy()
    parts = linear_parts(b, s)
    scale = 1 + np.abs(b).max()
    np.testing.assert_allclose(parts.gradient, parts.gradient.T)
    np.testing.assert_allclose(parts.gradient + parts.stirring, b, atol=1e-12 * scale)
    moved = parts.stirring @ s
    np.testing.assert_allclose(moved, -moved.T, atol=1e-11 * scale)
    assert abs(np.trace(parts.stirring)) < 1e-9 * scale
    total = float(np.trace(b @ s @ b.T))
    assert parts.gradient_energy + parts.stirring_energy == pytest.approx(
        total, abs=1e-9 * scale**2
    )


def test_a_gauge_of_a_gaussian_has_the_known_energy_and_no_gradient():
    """S = diag(1, 0.2), c = 3: 54."""
    s = np.diag([1.0, 0.2])
    field = 3 * QUARTER @ np.linalg.inv(s)
    parts = linear_parts(field, s)
    assert parts.stirring_energy == pytest.approx(54.0, rel=1e-12)
    assert parts.gradient_energy < 1e-24
    even = 0.5 * (field + field.T)  # what a Jacobian's symmetric part takes for the gradient
    assert np.abs(even).max() > 5


def test_the_antisymmetric_part_of_the_jacobian_is_not_the_stirring():
    s, b = np.diag([1.0, 0.2]), np.array([[1.0, 2.0], [0.0, -1.0]])
    parts = linear_parts(b, s)
    assert np.abs(parts.gradient - 0.5 * (b + b.T)).max() > 0.3
    same = linear_parts(b, np.eye(2))  # unless p is isotropic
    np.testing.assert_allclose(same.gradient, 0.5 * (b + b.T), atol=1e-14)


def test_least_squares_find_the_same_parts():
    """Gauss-Hermite nodes of order 4 hold the squares of linear fields exactly."""
    data, t = law(), 0.3
    motion = quadrature(data, VP, t, 4)
    node = VP.node(t)
    cov = node.alpha**2 * data.cov.numpy() + node.sigma**2 * np.eye(2)
    b = np.array([[0.3, 1.0], [-0.5, 0.2]])
    exact = linear_parts(b, cov)
    y = motion.x - node.alpha * data.mean
    found = fitted_parts(lambda _: y @ torch.from_numpy(b).mT, motion.x, motion.weights, degree=2)
    torch.testing.assert_close(found.gradient, y @ torch.from_numpy(exact.gradient).mT)
    assert found.gradient_energy == pytest.approx(exact.gradient_energy, rel=1e-10)
    assert found.stirring_energy == pytest.approx(exact.stirring_energy, rel=1e-10)
    assert found.functions == 5


def test_of_a_mixture_the_gauge_has_no_gradient_and_the_score_is_one():
    data, t = problem("mixture").law, 0.4
    motion, node = quadrature(data, VP, t, 40), VP.node(t)
    stirred = Gauged(data, torch.from_numpy(QUARTER))

    def gauge(x: torch.Tensor) -> torch.Tensor:
        return stirred.score(x, node.alpha, node.sigma) - data.score(x, node.alpha, node.sigma)

    def score(x: torch.Tensor) -> torch.Tensor:
        return data.score(x, node.alpha, node.sigma)

    found = fitted_parts(gauge, motion.x, motion.weights, degree=6)
    assert found.gradient_energy < 1e-16 * found.stirring_energy
    left = [fitted_parts(score, motion.x, motion.weights, degree=k) for k in (2, 6, 10)]
    shares = [p.stirring_energy / (p.stirring_energy + p.gradient_energy) for p in left]
    assert shares[0] > 3 * shares[1] > 3 * shares[2]


# what does not change


def test_every_marginal_stays_and_the_budget_of_girsanov_is_empty():
    truth = noised(law(), SPAN[1])
    for eta in (0.0, 0.5, 1.0):
        found = score_budget(law(), gauged_denoiser(law(), 3 * QUARTER), eta, SPAN)
        np.testing.assert_allclose(found.law.cov, truth.cov, rtol=1e-7, atol=1e-8)
        np.testing.assert_allclose(found.law.mean, truth.mean, rtol=1e-7)
        assert found.kl < 1e-12
        assert found.girsanov > 10
    uneven = gauged_denoiser(law(), 3 * QUARTER)

    def wrong(lam: float) -> Any:  # the same rotation without the precision
        right = uneven(lam)
        return right._replace(gain=right.gain + 0.1 * QUARTER)

    assert np.abs(evolve(wrong, noised(law(), SPAN[0]), 0.0, SPAN).cov - truth.cov).max() > 1e-2


@pytest.mark.parametrize("name", ["gaussian", "mixture"])
def test_the_fokker_planck_equation_does_not_see_a_gauge(name: str):
    data = problem(name).law
    a = torch.zeros(data.dim, data.dim, dtype=F64)
    a[0, 1], a[1, 0] = -2.0, 2.0
    score, p = exact_score(data, VP), exact_log_density(data, VP)
    x = 2 * torch.from_numpy(np.random.default_rng(0).standard_normal((8, data.dim)))
    t = torch.full((8,), 0.4, dtype=F64)
    for make in (flow_ode, lambda q, s: reverse_sde(q, s, 0.7)):
        sizes = [
            log_residual(make(VP, lambda y, u, c=c: score(y, u) @ c.mT), p, x, t).value.abs().max()
            for c in (torch.eye(data.dim, dtype=F64) + a, torch.eye(data.dim, dtype=F64) + a.abs())
        ]
        assert sizes[0] < 1e-10
        assert sizes[1] > 1e-2


def test_likelihoods_stay():
    data = problem("mixture").law
    grid = uniform_lam(VP, -3.0, 2.0).grid(60)
    x = data.sample(4, seed=0)
    end, start = grid[-1], grid[0]
    truth = data.log_density(x, end.alpha, end.sigma)
    for law_, tolerance in ((data, 2e-6), (Gauged(data, torch.from_numpy(QUARTER)), 2e-5)):
        found = log_density(
            exact_model(law_, VP, "data"), VP, grid, x,
            start_density=lambda z: data.log_density(z, start.alpha, start.sigma),
        )  # fmt: skip
        torch.testing.assert_close(found.log_density, truth, atol=tolerance, rtol=0)


def test_the_likelihood_of_a_stirred_gaussian_is_its_own_to_a_millionth():
    """S = diag(1, 0.2), ``A = J``; a drift that is no gauge of it is far off."""
    data = Gaussian(torch.zeros(2, dtype=F64), torch.diag(torch.tensor([1.0, 0.2])).to(F64))
    grid, x = uniform_lam(VP, -3.0, 2.0).grid(90), data.sample(2, seed=0)
    end, start = grid[-1], grid[0]
    truth = data.log_density(x, end.alpha, end.sigma)
    for one, exact in ((Gauged(data, torch.from_numpy(QUARTER)), True), (law(), False)):
        found = log_density(
            exact_model(one, VP, "data"), VP, grid, x,
            start_density=lambda z: data.log_density(z, start.alpha, start.sigma),
        ).log_density  # fmt: skip
        assert bool(((found - truth).abs() < 1e-6).all()) is exact


# what changes


def test_the_coupling_of_noise_and_data_changes():
    begin, end = (noised(law(), lam).cov for lam in SPAN)
    maps = [stirred_flow(law(), c * QUARTER, SPAN) for c in (0.0, 3.0)]
    for one in maps:
        np.testing.assert_allclose(one @ begin @ one.T, end, atol=1e-9)
    assert np.abs(maps[0] - maps[1]).max() > 0.3 * np.abs(maps[0]).max()
    np.testing.assert_allclose(maps[0], maps[0].T, atol=1e-10)  # the flow itself is a gradient


def test_trajectories_of_a_sampler_change():
    data = problem("mixture").law
    grid = uniform_lam(VP, -3.0, 2.0).grid(60)
    x = torch.from_numpy(np.random.default_rng(1).standard_normal((16, 2)))
    ends = [
        run(get("exp_rk4_data")(VP, grid), exact_model(one, VP, "data"), x).x
        for one in (data, Gauged(data, torch.from_numpy(2 * QUARTER)))
    ]
    assert (ends[0] - ends[1]).norm(dim=1).median() > 0.3


# dimension


def test_the_flow_tells_tangents_from_normals():
    cov = torch.diag(torch.tensor([1.0, 0.3, 0.0], dtype=F64))
    line = Gaussian(torch.zeros(3, dtype=F64), cov)
    start, end = (0.05, 1.0), (0.999, 0.02)
    x = torch.from_numpy(np.random.default_rng(2).standard_normal((2, 3)))
    jacobian = flow_jacobian(line, x, start, end)
    exact = np.sort(gaussian_flow_values([1.0, 0.3, 0.0], start, end))[::-1]
    np.testing.assert_allclose(torch.linalg.svdvals(jacobian)[0], exact, rtol=1e-7)
    assert exact[2] == pytest.approx(0.02, rel=1e-9)
    moved = line.flow(x + 1e-6, start, end) - line.flow(x, start, end)
    torch.testing.assert_close((jacobian @ torch.full((3, 1), 1e-6, dtype=F64))[:, :, 0], moved)


def test_a_gauge_keeps_the_count_and_turns_the_plane():
    """C = diag(1, 0, 0), sigma = 0.05, c = 0.5: (1.117, 20, 22.36), and a tilt of atan 0.5."""
    a = np.zeros((3, 3))
    a[0, 1], a[1, 0] = 0.5, -0.5
    cov = np.diag([1.0, 0.0, 0.0]) + 0.05**2 * np.eye(3)
    plain, stirred = gaussian_score_spectrum(cov), gaussian_score_spectrum(cov, a)
    np.testing.assert_allclose(plain.values[::-1], [0.99875, 20, 20], rtol=1e-5)
    np.testing.assert_allclose(stirred.values[::-1], [1.117, 20, 22.36], rtol=4e-4)
    assert plain.codimension(0.05) == stirred.codimension(0.05) == 2
    tilt = turning(plain.directions[:, :2], stirred.directions[:, :2])
    assert tilt == pytest.approx(math.atan(0.5), rel=2e-3)
    truth = Gaussian(torch.zeros(3, dtype=F64), torch.from_numpy(np.diag([1.0, 0, 0])))
    x = truth.sample(4000, seed=0) + 0.05 * torch.from_numpy(
        np.random.default_rng(3).standard_normal((4000, 3))
    )
    found = score_spectrum(Gauged(truth, torch.from_numpy(a)).score(x, 1.0, 0.05))
    np.testing.assert_allclose(found.values, stirred.values, rtol=0.07)  # 6/sqrt(2 n)
    assert np.abs(found.values - plain.values).max() > 2


def test_the_jacobian_of_a_gauged_flow_is_that_of_its_linear_map():
    data = law()
    start, end = (1.0, math.exp(2.0)), (1.0, math.exp(-2.0))
    stirred = Gauged(data, torch.from_numpy(3 * QUARTER))
    jacobian = flow_jacobian(stirred, torch.ones(1, 2, dtype=F64), start, end)[0]
    np.testing.assert_allclose(jacobian, stirred_flow(data, 3 * QUARTER, SPAN), atol=1e-7)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: linear_parts(np.eye(2), np.eye(3)), AnalysisError, "must both be"),
        (lambda: linear_parts(np.eye(2), np.diag([1.0, 0.0])), AnalysisError, "positive"),
        (lambda: linear_parts(np.eye(2) * np.nan, np.eye(2)), AnalysisError, "finite"),
        (lambda: Gauged(law(), torch.eye(2)), InvalidLawError, "antisymmetric"),
        (lambda: gauged_denoiser(law(), np.eye(2)), AnalysisError, "antisymmetric"),
        (lambda: gauged_denoiser(law(), np.eye(3)), AnalysisError, "finite matrix"),
        (lambda: Gauged(law(), torch.from_numpy(QUARTER)).denoiser(
            torch.zeros(1, 2, dtype=F64), 0.0, 1.0
        ), InvalidLawError, "alpha must be positive"),
        (lambda: fitted_parts(lambda x: x, torch.zeros(4, 2), degree=0), AnalysisError, "degree"),
        (lambda: fitted_parts(lambda x: x, torch.zeros(2, 2), degree=3), AnalysisError, "need"),
        (lambda: turning(np.eye(3)[:, :1], np.eye(3)[:, :2]), AnalysisError, "one dimension"),
        (lambda: score_spectrum(torch.zeros(1, 2)), AnalysisError, "n at least d"),
        (lambda: gaussian_score_spectrum(np.zeros((2, 2))), AnalysisError, "definite"),
        (lambda: gaussian_score_spectrum(np.eye(2)).codimension(0.0), AnalysisError, "positive"),
        (lambda: flow_jacobian(
            law(), torch.zeros(1, 2, dtype=F64), (1.0, 0.1), (1.0, 0.2)
        ), AnalysisError, "from noise to data"),
    ],
)  # fmt: skip
def test_bad_questions_are_refused_in_one_sentence(call: Any, error: type, words: str):
    with pytest.raises(error, match=words):
        call()
