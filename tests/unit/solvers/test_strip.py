"""Interpolation by functions of a strip: cardinal, exact on its space, bounded far off."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fokker.solvers.errors import InvalidPlanError
from fokker.solvers.quadrature import exp_weights, lagrange
from fokker.solvers.strip import GAUSSIAN_STRIP, prefix_weights, strip_basis, strip_weights

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


@pytest.mark.parametrize("z", [-0.7, 0.4, -6.5])
def test_weights_are_the_integrals_of_the_functions(z):
    tau, strip = [0.0, -0.8, -1.1], 1.1
    weights = strip_weights(strip)(tau, z)
    h, f = abs(z), mpmath.pi / (4 * mpmath.mpf(strip))
    nodes = [h * t for t in tau]

    def cardinal(j: int, lam):
        value = mpmath.mpf(1)
        for i, node in enumerate(nodes):
            if i != j:
                value *= mpmath.sinh(f * (lam - node)) / mpmath.sinh(f * (nodes[j] - node))
            if i > 0:
                value *= mpmath.cosh(f * (nodes[j] - node)) / mpmath.cosh(f * (lam - node))
        return value

    for j in range(3):

        def integrand(u, j=j):
            return mpmath.exp(z * (1 - u)) * cardinal(j, h * u)

        truth = mpmath.quad(integrand, [0, 0.5, 1])
        assert float(abs(weights[j] - truth)) < 1e-13


def test_the_order_of_the_nodes_does_not_matter_the_newest_is_the_newest():
    rule, tau = strip_weights(1.0), [1.0, 0.0, -0.7]
    there, back = rule(tau, -0.8), rule(tau[::-1], -0.8)
    np.testing.assert_allclose(there, back[::-1], rtol=1e-14)


def test_small_steps_see_polynomials():
    """Two rules of the same nodes differ by O(h^3) of the weights: the order is the same."""
    tau = [0.0, -1.0, -1.8]
    gaps = [
        np.abs(strip_weights(1.0)(tau, -h) - exp_weights(tau, -h)).max() for h in (0.2, 0.1, 0.05)
    ]
    ratios = np.array(gaps[:-1]) / gaps[1:]
    assert (ratios > 3.5).all()  # the functions differ from polynomials in the square of h
    assert strip_weights(1.0)([0.0], -0.3)[0] == exp_weights([0.0], -0.3)[0]


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


def test_the_weights_of_all_prefixes_of_a_batch_are_those_of_each():
    starts, ends = np.array([0.3, 1.0]), np.array([0.8, 3.0])
    nodes = np.stack([NODES, 1.0 + 0.7 * (NODES - 0.3)])
    for strip in (GAUSSIAN_STRIP, 0.8, np.inf):
        found = prefix_weights(nodes, starts, ends, strip)
        for b, (s, t) in enumerate(zip(starts, ends, strict=True)):
            h = t - s
            for k in range(5):
                tau = (nodes[b, : k + 1] - s) / h
                want = h * (
                    exp_weights(tau, -h) if np.isinf(strip) else strip_weights(strip)(tau, -h)
                )
                np.testing.assert_allclose(found[b, k, : k + 1], want, rtol=1e-9, atol=1e-12)
                assert (found[b, k, k + 1 :] == 0).all()


@pytest.mark.parametrize("strip", [0.0, -1.0, float("nan")])
def test_a_strip_without_width_is_refused(strip):
    with pytest.raises(InvalidPlanError, match="half width of the strip must be positive"):
        strip_weights(strip)
