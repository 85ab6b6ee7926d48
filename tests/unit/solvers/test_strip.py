"""Interpolation by functions of a strip: cardinal, exact on its space, bounded far off."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fokker.solvers.errors import InvalidPlanError
from fokker.solvers.quadrature import exp_weights, lagrange
from fokker.solvers.samplers.strip import (
    GAUSSIAN_STRIP,
    check_size,
    clock,
    prefix_weights,
    strip_basis,
    strip_weights,
)

NODES = np.array([0.3, -0.2, -0.9, -1.3, -2.4])
AT = np.linspace(-2.5, 1.5, 23)

strips = st.sampled_from([0.5, 1.0, GAUSSIAN_STRIP, 3.0])
gaps = st.lists(st.floats(0.05, 1.2), min_size=0, max_size=5)


def nodes_of(steps: list[float]) -> np.ndarray:
    return 0.3 - np.concatenate([[0.0], np.cumsum(steps)])


@given(gaps, strips)
def test_the_functions_are_cardinal_and_reproduce_constants(steps, strip):
    nodes = nodes_of(steps)
    np.testing.assert_allclose(strip_basis(nodes, nodes, strip), np.eye(len(nodes)), atol=1e-11)
    total = strip_basis(nodes, AT, strip).sum(0)
    np.testing.assert_allclose(total, 1.0, atol=1e-9)


@given(gaps.filter(bool), strips)
def test_the_space_has_its_poles_at_the_mirror_images_of_older_nodes(steps, strip):
    nodes, f = nodes_of(steps), np.pi / (4 * strip)
    for older in nodes[1:]:

        def with_pole(lam, older=older):
            return np.sinh(f * (lam - nodes[0])) / np.cosh(f * (lam - older))

        made = with_pole(nodes) @ strip_basis(nodes, AT, strip)
        np.testing.assert_allclose(made, with_pole(AT), atol=1e-8)


def test_a_strip_without_end_is_the_whole_plane_and_gives_polynomials():
    np.testing.assert_allclose(strip_basis(NODES, AT, np.inf), lagrange(NODES, AT), rtol=1e-12)
    wide = strip_basis(NODES, AT, 3e3)
    np.testing.assert_allclose(wide, lagrange(NODES, AT), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("size", "span"), [(2.0, (-0.4, 0.3)), (0.7, (1.0, 7.5)), (np.inf, (0.0, 1.0))]
)
def test_weights_are_the_integrals_of_the_functions_in_the_clock(size, span):
    start, end = span
    nodes, strip = [start, start - 0.8, start - 1.1], 1.1
    weights = strip_weights(np.array(nodes), start, end, strip=strip, size=size)
    f = mpmath.pi / (4 * mpmath.mpf(strip))

    def zeta(lam):
        return lam if np.isinf(size) else mpmath.asinh(size * mpmath.exp(lam))

    def cardinal(j: int, lam):
        value = mpmath.mpf(1)
        for i, node in enumerate(nodes):
            gap, own = zeta(lam) - zeta(node), zeta(nodes[j]) - zeta(node)
            if i != j:
                value *= mpmath.sinh(f * gap) / mpmath.sinh(f * own)
            if i > 0:
                value *= mpmath.cosh(f * own) / mpmath.cosh(f * gap)
        return value

    for j in range(3):

        def integrand(lam, j=j):
            return mpmath.exp(lam - end) * cardinal(j, lam)

        truth = mpmath.quad(integrand, mpmath.linspace(start, end, 5))
        assert float(abs(weights[j] - truth)) < 1e-13


def test_small_steps_see_polynomials_in_lam():
    """The two rules differ by O(h^2) of the weights that are O(h): the order is the same."""
    tau = np.array([0.0, -1.0, -1.8])
    gaps = []
    for h in (0.1, 0.05, 0.025):
        ours = strip_weights(h * tau, 0.0, h, strip=1.0, size=1.0) / h
        moments = [(ours * tau**k).sum() for k in range(3)]
        exact = [(exp_weights(list(tau), -h) * tau**k).sum() for k in range(3)]
        gaps.append(np.abs(np.subtract(moments, exact)))
    assert max(g[0] for g in gaps) < 1e-14  # constants are exact
    ratios = np.array(gaps[:-1])[:, 1:] / np.array(gaps[1:])[:, 1:]
    assert (ratios > 1.7).all()  # moments k = 1, 2 are off by O(h), as another clock must be


def test_in_its_clock_every_gaussian_mode_is_analytic_in_the_strip():
    """The data prediction is single valued around a rectangle that all but fills the strip."""
    size = 2.0
    for c in (2.0, 0.7, 0.01):
        edge = np.pi / 2 - 1e-6
        corners = np.array([0.3 - 1j * edge, 3.0 - 1j * edge, 3.0 + 1j * edge, 0.3 + 1j * edge])
        path = np.concatenate(
            [
                np.linspace(a, b, 4001)[:-1]
                for a, b in zip(corners, np.roll(corners, -1), strict=True)
            ]
        )
        nu = np.sinh(path) / size
        radicand = 1 + (c * nu) ** 2
        turns = np.unwrap(np.angle(radicand))
        assert abs(turns[-1] - turns[0]) < 0.1  # no branch point of the root inside
        assert np.abs(radicand).min() > 0


def test_the_clock_is_linear_in_the_noise_and_lam_near_the_data():
    assert clock(np.array([-9.0]), 2.0)[0] == pytest.approx(2 * np.exp(-9.0), rel=1e-6)
    assert np.diff(clock(np.array([7.0, 8.0]), 2.0))[0] == pytest.approx(1.0, abs=1e-6)
    assert clock(np.array([0.4]), np.inf)[0] == 0.4


def test_more_nodes_never_hurt_on_gaussian_modes_where_they_ruin_polynomials():
    """Extrapolation by a step of length 1 in lam: root mean square over modes of every size."""
    centres = np.linspace(-3.0, 3.0, 49)[:, None]

    def data(lam):
        return (1 + np.exp(-2 * (lam - centres))) ** -0.5

    def error(count: int, strip: float) -> float:
        nodes, at = -np.arange(float(count)), np.array([1.0])
        gap = data(nodes[None]) @ strip_basis(nodes, at, strip) - data(at[None])
        return float(np.sqrt(np.mean(gap**2)))

    strips, polynomials = ([error(n, s) for n in (4, 6, 8)] for s in (GAUSSIAN_STRIP, np.inf))
    assert strips == sorted(strips, reverse=True)
    assert polynomials == sorted(polynomials)
    assert strips[-1] < polynomials[-1] / 5


@pytest.mark.parametrize("size", [2.0, np.inf])
@pytest.mark.parametrize("strip", [GAUSSIAN_STRIP, 0.8, np.inf])
def test_the_weights_of_all_prefixes_of_a_batch_are_those_of_each(strip, size):
    starts, ends = np.array([0.3, 1.0]), np.array([0.8, 3.0])
    nodes = np.stack([NODES, 1.0 + 0.7 * (NODES - 0.3)])
    found = prefix_weights(nodes, starts, ends, strip=strip, size=size)
    for b, (s, t) in enumerate(zip(starts, ends, strict=True)):
        for k in range(5):
            want = strip_weights(nodes[b, : k + 1], s, t, strip=strip, size=size)
            np.testing.assert_allclose(found[b, k, : k + 1], want, rtol=1e-9, atol=1e-12)
            assert (found[b, k, k + 1 :] == 0).all()
            if np.isinf(strip) and np.isinf(size):
                tau = (nodes[b, : k + 1] - s) / (t - s)
                polynomial = (t - s) * exp_weights(list(tau), s - t)
                np.testing.assert_allclose(want, polynomial, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan")])
def test_a_strip_or_a_size_that_is_not_positive_is_refused(bad):
    with pytest.raises(InvalidPlanError, match="half width of the strip must be positive"):
        strip_weights(NODES, 0.3, 0.8, strip=bad, size=1.0)
    with pytest.raises(InvalidPlanError, match="size of the leading modes must be positive"):
        check_size(bad)
