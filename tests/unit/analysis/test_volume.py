"""Points that repel: their law, fits without bias, variances in closed form, fewer values."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fokker.analysis.fokker_planck import (
    TooFewSamplesError,
    exact_log_density,
    exact_score,
    log_residual,
    quadrature,
    reverse_sde,
)
from fokker.analysis.variance import (
    Legendre,
    Weighted,
    determinantal,
    fit,
    gram_gap,
    independent,
    monomials,
    projected,
    stable_count,
    volume_sampled,
)
from fokker.solvers.errors import AnalysisError, NonFiniteError, ShapeError
from fokker.solvers.schedules import VPLinear
from fokker.toy_models.problems import problem

Array = NDArray[np.float64]
THREE = Legendre(3)
NODES, WEIGHTS = np.polynomial.legendre.leggauss(40)
AT = NODES[:, None]
NU = WEIGHTS / 2
SURE = 4.9
"""Standard errors that are exceeded once in a million."""


def power(x: Array) -> Array:
    return np.exp(2 * x[:, 0])


def exact(basis: Legendre = THREE) -> tuple[Array, float]:
    """Coefficients of the projection of ``e^{2 x}``, and ``|e|^2`` of what it leaves."""
    phi = basis.values(AT)
    c = phi.T @ (NU * power(AT))
    return c, float(NU @ (power(AT) - phi @ c) ** 2)


@cache
def triples() -> Array:
    return determinantal(THREE, 60_000, seed=0)


def values(x: Array) -> Array:
    return power(x.reshape(-1, 1)).reshape(x.shape[:2])


def check_mean(found: Array, truth: Array, *, holds: bool = True) -> None:
    """Column means against the truth at 4.9 standard errors, all of them or not all."""
    error = found.std(0) / math.sqrt(len(found))
    assert bool((np.abs(found.mean(0) - truth) < SURE * error).all()) is holds


# the law of the points


def test_three_points_have_the_density_of_the_squared_determinant():
    """Means of one and of two points: ``int g k`` and ``(int g k)^2 - sum <phi_a, g phi_b>^2``."""
    x, phi = triples()[..., 0], THREE.values(AT)
    check_mean(x[:, :1], np.zeros(1))
    for g in (lambda t: t**2, lambda t: np.cos(3 * t), lambda t: np.abs(t) ** 0.5):
        inner = phi.T @ (NU[:, None] * g(AT) * phi)
        one = np.trace(inner)
        pairs = one**2 - float((inner**2).sum())
        single = g(x)
        found = np.stack([single.sum(1), single.sum(1) ** 2 - (single**2).sum(1)], 1)
        truth = np.array([one, pairs])
        if g(0.25) != 0.5:  # the root is no polynomial, and quadrature of it is not exact
            check_mean(found, truth)
        check_mean(found, np.array([one, one**2]), holds=False)  # of independent points


def test_the_largest_squared_determinant_is_135_at_the_ends_and_the_middle():
    x = np.random.default_rng(0).uniform(-1, 1, (20_000, 3))
    found = np.linalg.det(THREE.values(x.reshape(-1, 1)).reshape(-1, 3, 3)) ** 2
    best = np.linalg.det(THREE.values(np.array([[-1.0], [0.0], [1.0]]))) ** 2
    assert best == pytest.approx(135.0, rel=1e-13)
    assert 100 < found.max() < 135
    assert found.mean() == pytest.approx(6.0, abs=SURE * found.std() / math.sqrt(20_000))


@pytest.mark.parametrize("size", [1, 4])
def test_independent_points_have_the_christoffel_density(size: int):
    basis = Legendre(size)
    x = independent(basis, 1, 20_000, seed=1)[:, 0, 0]
    phi = basis.values(AT)
    k = (phi**2).sum(1) / size
    truth = np.array([NU @ (k * AT[:, 0] ** 2), NU @ (k * np.cos(5 * AT[:, 0]))])
    check_mean(np.stack([x**2, np.cos(5 * x)], 1), truth)


def test_draws_of_a_discrete_measure_have_the_law_of_the_continuous_one():
    """Nodes of Gauss in place of the interval, functions that are not orthonormal themselves."""
    basis = Weighted(AT, WEIGHTS, monomials(2))
    np.testing.assert_allclose(np.abs(basis.values(AT)), np.abs(THREE.values(AT)), atol=1e-13)
    x = determinantal(basis, 20_000, seed=3)
    assert np.isin(x, AT).all()
    assert (np.diff(np.sort(x[..., 0]), axis=1) > 0).all()  # never the same twice
    c, left = exact()
    found = fit(basis, x, values(x)) * np.sign(basis.values(AT)[-1])
    check_mean(found, c)
    np.testing.assert_allclose(found.var(0), left, rtol=0.15)


# fits


def test_interpolation_at_repelling_points_has_the_mean_and_variance_of_the_theory():
    """(1.81343, 1.68768, .78677); every coefficient has the variance ``|e|^2``, .0668."""
    c, left = exact()
    np.testing.assert_allclose(c, (1.81343, 1.68768, 0.78677), atol=5e-6)
    found = fit(THREE, triples(), values(triples()))
    check_mean(found, c)
    np.testing.assert_allclose(found.std(0) / math.sqrt(60_000), 0.00105, rtol=0.05)
    np.testing.assert_allclose(found.var(0), left, rtol=0.05)
    whole = np.square(found - c).sum(1) + left  # E|f - fit|^2 = (1 + m) |e|^2
    assert whole.mean() == pytest.approx(4 * left, abs=SURE * whole.std() / math.sqrt(60_000))


def test_interpolation_at_independent_points_is_biased_and_spreads_noise_without_bound():
    """Uniform points: medians (1.744, 1.234, .684). Close ones make a slope of noise.

    Repelling ones pass noise of variance one on to each coefficient with variance one.
    """
    x = np.random.default_rng(2).uniform(-1, 1, (20_000, 3, 1))
    found = fit(THREE, x, values(x))
    np.testing.assert_allclose(np.median(found, 0), (1.744, 1.234, 0.684), atol=0.03)
    check_mean(found, exact()[0], holds=False)
    noise = np.random.default_rng(3).standard_normal((60_000, 3))
    assert fit(THREE, x, noise[:20_000]).var(0).max() > 1000
    passed = fit(THREE, triples(), noise)
    check_mean(passed, np.zeros(3))
    check_mean(passed**2, np.ones(3))


@pytest.mark.parametrize("n", [4, 8])
def test_volume_sampled_fits_have_no_bias_and_less_variance_with_more_points(n: int):
    c, left = exact()
    x = volume_sampled(THREE, n, 20_000, seed=4)
    found = fit(THREE, x, values(x))
    check_mean(found, c)
    assert float(found.var(0).sum()) < 3 * left * {4: 0.9, 8: 0.5}[n]
    phi, y = THREE.values(x.reshape(-1, 1)).reshape(*x.shape[:2], 3), values(x)
    plain = np.linalg.solve(
        np.einsum("rni,rnj->rij", phi, phi), np.einsum("rni,rn->ri", phi, y)[..., None]
    )[..., 0]
    check_mean(plain, c, holds=False)  # without the weights
    alone = independent(THREE, n, 20_000, seed=5)
    check_mean(fit(THREE, alone, values(alone)), c, holds=False)  # without the first three


def test_a_function_of_the_span_is_found_exactly_by_every_draw():
    coefficients = np.array([0.3, -1.0, 2.0])
    for x in (triples()[:50], volume_sampled(THREE, 7, 50, seed=1)):
        y = (THREE.values(x.reshape(-1, 1)) @ coefficients).reshape(x.shape[:2])
        np.testing.assert_allclose(fit(THREE, x, y), np.tile(coefficients, (50, 1)), atol=1e-9)


def test_projected_coefficients_come_with_bars_that_hold_the_truth():
    c, left = exact()
    found = projected(power, THREE, n=3, repeats=400, seed=7, certainty=1 - 1e-6)
    for estimate, truth in zip(found, c, strict=True):
        assert abs(estimate.value - truth) < estimate.bar
        assert abs(estimate.value - truth - 0.1) > estimate.bar
        assert estimate.bar == pytest.approx(SURE * math.sqrt(left / 400), rel=0.2)


# stability


def test_enough_independent_points_are_stable_and_few_are_not():
    m = 6
    n = stable_count(m, 0.99)
    assert n == math.ceil(m / (1.5 * math.log(1.5) - 0.5) * math.log(2 * m / 0.01))
    basis = Legendre(m)
    assert (gram_gap(basis, independent(basis, n, 200, seed=0)) <= 0.5).all()
    few = gram_gap(basis, independent(basis, 2 * m, 200, seed=0))
    assert (few > 0.5).mean() > 0.5
    nodes = np.tile(AT, (1, 1, 1))
    phi = basis.values(AT)
    weights = np.sqrt(m / (phi**2).sum(1))
    gram = (weights[:, None] * phi).T @ (weights[:, None] * phi) / len(AT)
    assert gram_gap(basis, nodes)[0] == pytest.approx(np.abs(np.linalg.eigvalsh(gram) - 1).max())


def test_monomials_are_all_products_up_to_a_degree():
    x = np.array([[2.0, 3.0, 5.0]])
    assert monomials(0)(x).tolist() == [[1.0]]
    assert monomials(2)(x).tolist() == [[1, 2, 3, 5, 4, 6, 10, 9, 15, 25]]
    assert monomials(4)(x).shape == (1, 35)


# a named check: the residual of a wrong score, fitted over the density


def test_collocation_by_volume_sampling_needs_the_fewest_points():
    """A residual fitted over p_t by degree 4 in the plane (m = 15) from 25 values.

    Mean square errors against the least one: points of p_t, of k/m, and volume-sampled.
    """
    law, process, t = problem("mixture").law, VPLinear(), 0.6
    score = exact_score(law, process)
    wrong = reverse_sde(process, lambda x, s: score(x, s) + 0.3 * (1.5 * x).sin(), 1.0)
    nodes = quadrature(law, process, t, 14)
    assert nodes.weights is not None
    residual = log_residual(wrong, exact_log_density(law, process), nodes.x, t).value.numpy()
    place = {tuple(p): k for k, p in enumerate(nodes.x.numpy().tolist())}
    w = nodes.weights.numpy()
    basis = Weighted(nodes.x.numpy(), w, monomials(4))
    phi = basis.values(basis.points)
    best = phi.T @ (w * residual)
    least = float(w @ (residual - phi @ best) ** 2)
    n, repeats = 25, 300
    plain = basis.points[np.random.default_rng(0).choice(len(w), (repeats, n), p=w / w.sum())]
    worst = []
    for x in (plain, independent(basis, n, repeats, seed=1),
              volume_sampled(basis, n, repeats, seed=1)):  # fmt: skip
        y = residual[[place[tuple(p)] for p in x.reshape(-1, 2).tolist()]].reshape(repeats, n)
        found = fit(basis, x, y)
        if x is plain:  # no weights belong to points of p_t
            table = basis.values(x.reshape(-1, 2)).reshape(repeats, n, -1)
            found = np.stack([np.linalg.lstsq(*pair)[0] for pair in zip(table, y, strict=True)])
        worst.append(float((np.square(found - best).sum(1) + least).mean() / least))
    assert worst[2] < 0.6 * worst[1]
    assert worst[1] < 0.5 * worst[0]
    assert worst[2] < 4  # interpolation at 15 determinantal points has 1 + m


# bad input


def test_too_few_points_are_told_how_many_would_do():
    with pytest.raises(TooFewSamplesError, match=r"2 points.*3 functions.*3 would be enough"):
        volume_sampled(THREE, 2, 8, seed=0)
    with pytest.raises(TooFewSamplesError, match=r"3 volume-sampled.*178 independent") as caught:
        fit(THREE, np.zeros((1, 2, 1)), np.zeros((1, 2)))
    assert caught.value.needed == 3
    with pytest.raises(TooFewSamplesError, match="32 would be enough"):
        projected(power, THREE, n=3, repeats=10)
    with pytest.raises(TooFewSamplesError, match=r"about .* would be enough") as caught:
        projected(power, THREE, n=3, repeats=64, within=0.01)
    projected(power, THREE, n=3, repeats=int(1.3 * caught.value.needed), within=0.01)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: Legendre(0), AnalysisError, "at least one function, got 0"),
        (lambda: Weighted(AT, WEIGHTS[:3], monomials(1)), ShapeError, "weights"),
        (lambda: Weighted(AT, -WEIGHTS, monomials(1)), AnalysisError, "positive"),
        (lambda: Weighted(AT[:3], WEIGHTS[:3], monomials(3)), AnalysisError, "dependent on 3"),
        (lambda: Weighted(AT, WEIGHTS, lambda x: x[:, 0]), ShapeError, "must give"),
        (lambda: Weighted(AT, WEIGHTS, lambda x: np.log(0 * x)), NonFiniteError, "not finite"),
        (lambda: monomials(-1), AnalysisError, "degree"),
        (lambda: fit(THREE, np.zeros((1, 3)), np.zeros(3)), ShapeError, "repeats, n, d"),
        (lambda: fit(THREE, triples()[:1], np.full((1, 3), np.nan)), NonFiniteError, "not finite"),
        (lambda: projected(lambda x: x, THREE, n=3, repeats=32), ShapeError, "must give"),
        (lambda: stable_count(3, 1.0), AnalysisError, "between 0 and 1"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning")
def test_bad_input_is_refused_in_one_sentence(call: Any, error: type[Exception], words: str):
    with pytest.raises(error, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_a_basis_without_new_directions_is_told():
    class Twice:
        size = 2

        def values(self, x: Array) -> Array:
            return np.ones((len(x), 2))

        def draw(self, n: int, rng: np.random.Generator) -> Array:
            return rng.random((n, 1))

    with pytest.raises(AnalysisError, match="is the basis orthonormal"):
        determinantal(Twice(), 1, seed=0)
    assert torch.get_default_dtype() is torch.float32
