"""phi-functions and interpolatory weights against 60-digit arithmetic."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import mpmath as mp
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fokker.solvers.errors import InvalidGridError
from fokker.solvers.grids import grid_from_lams
from fokker.solvers.plan_algebra import canonical, distance
from fokker.solvers.quadrature import (
    exp_weights,
    integral_weights,
    lagrange,
    panel_rule,
    phi,
    rho_weights,
)
from fokker.solvers.registry import get
from fokker.solvers.schedules import VE, VPCosine, VPLinear

mp.mp.dps = 60


def true_phi(k: int, z: float) -> Any:
    """The power series of phi, with as many digits as its cancellation needs."""
    if k == 0:
        return mp.exp(mp.mpf(z))
    with mp.workdps(60 + int(abs(z))):
        z, term = mp.mpf(z), mp.mpf(1) / mp.factorial(k)
        total, n = term, 0
        while abs(term) > mp.mpf(10) ** -60 * abs(total) or n < abs(z):
            n += 1
            term *= z / (n + k)
            total += term
        return +total


ARGUMENTS = [0.0, 1e-300, 1e-16, 1e-8, 1e-3, 0.1, 0.5, 1.0, 1.7, 1.9999999, 2.0, 2.1, 3.0, 8.0]
ARGUMENTS += [30.0, 100.0, 700.0]


@pytest.mark.parametrize("k", range(7))
def test_phi_is_exact_for_either_sign_tiny_or_huge(k: int):
    for size in ARGUMENTS:
        for z in (size, -size):
            exact = true_phi(k, z)
            assert abs(phi(k, z) - exact) <= 1e-14 * abs(exact), z


@pytest.mark.parametrize("k", range(7))
def test_phi_at_zero_is_one_over_k_factorial(k: int):
    assert phi(k, 0.0) == 1 / math.factorial(k)


@given(k=st.integers(1, 6), z=st.floats(-50.0, 50.0))
def test_phi_is_exact_everywhere(k: int, z: float):
    exact = true_phi(k, z)
    assert abs(phi(k, z) - exact) <= 1e-14 * abs(exact)


@given(k=st.integers(0, 5), z=st.floats(0.5, 700.0), sign=st.sampled_from([1, -1]))
def test_phi_obeys_its_recursion(k: int, z: float, sign: int):
    z = sign * z
    size = max(phi(k, z), 1 / math.factorial(k))
    assert abs(z * phi(k + 1, z) - (phi(k, z) - 1 / math.factorial(k))) < 1e-14 * size * max(
        1, abs(z)
    )


@pytest.mark.parametrize("z", [math.nan, 710.0, math.inf])
def test_phi_of_a_step_that_no_float_can_hold_is_an_error(z: float):
    with pytest.raises(InvalidGridError, match=f"got {z}"):
        phi(2, z)


def test_phi_of_minus_infinity_is_zero_and_of_negative_index_an_error():
    assert phi(1, -math.inf) == 0.0
    with pytest.raises(InvalidGridError, match="got -1"):
        phi(-1, 0.0)


def moment_defect(tau: list[float], z: float, weights: np.ndarray) -> float:
    """Largest defect of ``sum_j w_j tau_j^k = k! phi_{k+1}(z)``, relative to the sum of sizes."""
    worst = 0.0
    for k in range(len(tau)):
        terms = weights * np.array(tau) ** k
        exact = mp.factorial(k) * true_phi(k + 1, z)
        size = max(float(np.abs(terms).sum()), float(abs(exact)))
        worst = max(worst, float(abs(mp.fsum(map(mp.mpf, terms)) - exact)) / size)
    return worst


TAUS = [
    [0.0],
    [0.0, -1.0],
    [0.0, -0.4],
    [0.0, -1.0, -2.0],
    [0.0, -1.3, -1.9],
    [0.0, -0.9, -2.1, -2.8],
    [0.0, -1.0, -2.0, -3.0, -4.0],
    [1.0, 0.0],
    [1.0, 0.0, -1.0],
    [1.0, 0.0, -1.2, -2.1],
]
STEPS = [0.0, 1e-14, 1e-8, 1e-3, 0.1, 1.0, 3.0, 6.0, 6.1, 15.0, 60.0]


@pytest.mark.parametrize("tau", TAUS, ids=str)
def test_exponential_weights_meet_their_moment_conditions(tau: list[float]):
    for size in STEPS:
        for z in (size, -size):
            assert moment_defect(tau, z, exp_weights(tau, z)) < 1e-13, z


@given(
    steps=st.lists(st.floats(0.2, 5.0), min_size=0, max_size=4),
    ahead=st.booleans(),
    z=st.floats(-60.0, 60.0),
)
def test_exponential_weights_meet_their_moment_conditions_on_any_history(
    steps: list[float], ahead: bool, z: float
):
    tau = [*([1.0] if ahead else []), *(-float(v) for v in np.cumsum([0.0, *steps]))]
    assert moment_defect(tau, z, exp_weights(tau, z)) < 1e-13


@given(r=st.floats(0.1, 10.0), z=st.floats(-20.0, 20.0))
def test_two_nodes_have_a_closed_form(r: float, z: float):
    got = exp_weights([0.0, -r], z)
    slope = phi(2, z) / r
    np.testing.assert_allclose(got, [phi(1, z) + slope, -slope], rtol=1e-13)


@given(r=st.floats(0.2, 5.0), more=st.floats(0.2, 5.0), z=st.floats(-20.0, 20.0))
def test_three_nodes_have_a_closed_form(r: float, more: float, z: float):
    q = r + more
    p0, p1, p2 = phi(1, z), phi(2, z), 2 * phi(3, z)
    want = [
        p0 + p1 * (r + q) / (r * q) + p2 / (r * q),
        -(q * p1 + p2) / (r * (q - r)),
        (r * p1 + p2) / (q * (q - r)),
    ]
    np.testing.assert_allclose(exp_weights([0.0, -r, -q], z), want, rtol=1e-12)


def test_without_an_exponential_the_weights_are_adams_bashforth_and_adams_moulton():
    for tau, classical in (
        ([0.0, -1.0], [3 / 2, -1 / 2]),
        ([0.0, -1.0, -2.0], [23 / 12, -16 / 12, 5 / 12]),
        ([0.0, -1.0, -2.0, -3.0], [55 / 24, -59 / 24, 37 / 24, -9 / 24]),
        ([1.0, 0.0, -1.0], [5 / 12, 8 / 12, -1 / 12]),
    ):
        np.testing.assert_allclose(exp_weights(tau, 0.0), classical, rtol=1e-13)


def test_weights_tend_to_the_classical_ones_without_a_jump_at_small_steps():
    tau = [0.0, -0.7, -1.9]
    plain = exp_weights(tau, 0.0)
    for z in (1e-300, 1e-15, 1e-9, 1e-5):
        np.testing.assert_allclose(exp_weights(tau, z), plain, rtol=2 * z + 1e-14)


def test_integral_weights_are_classical_variable_step_adams_bashforth():
    s, t = 2.0, 0.7  # rho falls while sampling
    for count, nodes in ((2, [2.0, 3.1]), (3, [2.0, 3.1, 3.6]), (4, [2.0, 3.1, 3.6, 6.0])):
        got = integral_weights(nodes, lambda r: r, s, t)
        for k in range(count):
            moment = (t ** (k + 1) - s ** (k + 1)) / (k + 1)
            size = np.abs(got * np.array(nodes) ** k).sum()
            assert abs(got @ np.array(nodes) ** k - moment) < 1e-13 * size
    equal = integral_weights([0.0, -1.0, -2.0, -3.0], lambda r: r, 0.0, 1.0)
    np.testing.assert_allclose(equal, np.array([55, -59, 37, -9]) / 24, rtol=1e-13)


def test_integral_weights_take_their_polynomials_in_another_clock():
    """Polynomials in ``log rho`` integrated over rho, whose antiderivatives are known."""
    s, t, nodes = 3.0, 1.2, [math.log(3.0), math.log(4.5)]
    got = integral_weights(nodes, np.log, s, t)
    assert got.sum() == pytest.approx(t - s, rel=1e-13)
    first_moment = (t * math.log(t) - t) - (s * math.log(s) - s)
    assert got @ nodes == pytest.approx(first_moment, rel=1e-13)


@pytest.mark.parametrize(("s", "t"), [(-4.0, -3.9), (-4.0, 6.0), (-20.0, 20.0), (2.0, 9.0)])
def test_weights_in_rho_are_exact_over_steps_of_any_length(s, t):
    """Polynomials in lam, whose integrals ``int lam^k drho`` are known."""
    nodes = [s, s - 0.3, s - 0.38]
    got = rho_weights(nodes, lambda lam: lam, s, t)

    def primitive(lam):
        k = np.arange(3)
        return math.exp(-lam) * np.array([1.0, lam + 1.0, lam**2 + 2 * lam + 2.0])[k]

    for k, exact in enumerate(primitive(t) - primitive(s)):
        size = np.abs(got * np.array(nodes) ** k).sum()
        assert abs(got @ np.array(nodes) ** k - exact) < 1e-13 * size


@pytest.mark.parametrize("process", [VPLinear(), VPCosine(), VE()])
def test_the_weights_of_a_long_step_are_those_of_its_parts(process):
    """Of a time that is no polynomial in lam, too."""
    lams = np.arange(-4.0, 6.5, 0.5)
    nodes = [float(process.t_of_lam(lam)) for lam in (-4.0, -4.2, -4.3)]
    whole = rho_weights(nodes, process.t_of_lam, lams[0], lams[-1])
    parts = [rho_weights(nodes, process.t_of_lam, a, b) for a, b in pairwise(lams)]
    np.testing.assert_allclose(whole, np.sum(parts, axis=0), rtol=3e-13)


@pytest.mark.parametrize("order", [2, 3, 4])
def test_polynomials_in_time_are_those_in_lam_where_time_is_a_line_in_lam(order):
    """On VE: tAB of DEIS is exponential Adams-Bashforth on noise, however long the steps."""
    grid = grid_from_lams(VE(), [-4.3, -4.0, -3.0, 2.0, 6.2])
    a, b = (get(name)(VE(), grid) for name in (f"deis_tab{order}", f"exp_ab{order}_noise"))
    assert distance(a, b) < 1e-12 * np.abs(canonical(b)).max()


def test_lagrange_bases_are_one_at_their_node_and_zero_at_the_others():
    nodes = [0.0, -0.3, 1.0, -2.0]
    np.testing.assert_allclose(lagrange(nodes, nodes), np.eye(4), atol=1e-15)
    u = np.linspace(-2, 1, 7)
    np.testing.assert_allclose(lagrange(nodes, u).sum(axis=0), 1.0, rtol=1e-14)
    cubic = 1 - 2 * np.array(nodes) + np.array(nodes) ** 3
    np.testing.assert_allclose(cubic @ lagrange(nodes, u), 1 - 2 * u + u**3, atol=1e-13)


def test_a_node_given_twice_is_an_error():
    with pytest.raises(InvalidGridError, match=r"-0\.5 twice"):
        exp_weights([0.0, -0.5, -0.5], 1.0)


@given(length=st.floats(0.0, 200.0))
def test_the_panel_rule_integrates_exponentials_and_powers(length: float):
    assume(length == 0 or length > 1e-6)
    u, w = panel_rule(length)
    assert w.sum() == pytest.approx(1.0, abs=1e-14)
    assert (w * u**4).sum() == pytest.approx(0.2, abs=1e-14)
    exact = -math.expm1(-length) / length if length else 1.0
    assert (w * np.exp(-length * u)).sum() == pytest.approx(exact, rel=1e-13)
