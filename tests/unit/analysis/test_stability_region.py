"""Boundary loci: textbook and momentum limits on the real axis, and sides of the curve."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fokker.analysis.stability import real_interval, symbol
from fokker.analysis.stability_region import boundary_locus, growths, real_limit
from fokker.solvers.errors import AnalysisError
from fokker.solvers.registry import get

ADAMS = [("deis_rhoab1", -2.0), ("deis_rhoab2", -1.0), ("deis_rhoab3", -6 / 11), ("ipndm", -0.3)]


@pytest.mark.parametrize(("name", "end"), ADAMS)
def test_adams_bashforth_ends_where_books_say(name: str, end: float):
    assert real_limit(symbol(get(name), "rho")) == pytest.approx(end, abs=1e-6)


@pytest.mark.parametrize("beta", [0.3, 0.5, 0.8])
@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("hb_1", lambda b: -(4 - 2 * b) / b),
        ("hb_2", lambda b: -(2 - b) / b),
        ("hb_3", lambda b: -6 / 11 * (2 - b) / b),
        ("hb_4", lambda b: -3 / 10 * (2 - b) / b),
        ("ghvb_1", lambda b: -(4 - 2 * b) / b),
        ("ghvb_2", lambda b: -(2 - b)),
    ],
)
def test_momentum_ends_where_its_formula_says(name: str, formula, beta: float):
    """Heavy ball stretches the interval of Adams-Bashforth by ``(2 - beta)/beta``."""
    found = symbol(get(name), "rho", beta=beta)
    assert real_limit(found) == pytest.approx(formula(beta), abs=1e-6)
    if beta == 0.8:
        assert found.real_interval() == pytest.approx(formula(beta), abs=1e-6)


def test_generalised_heavy_ball_trades_stability_against_order():
    ends = {k: real_interval(get(f"ghvb_{k}"), "rho", beta=0.8) for k in (1, 2, 3, 4)}
    assert ends[1] < ends[2] < ends[3] < ends[4] < -0.3


def test_a_point_of_the_locus_has_a_root_on_the_unit_circle():
    found = symbol(get("ghvb_3"), "rho", beta=0.6)
    angles = np.linspace(0.1, 6.0, 9)
    for theta, z in zip(angles, boundary_locus(found, angles), strict=True):
        value = np.polyval(found.recurrence(complex(z)), np.exp(1j * theta))
        assert abs(value) < 1e-7


def test_the_locus_of_euler_is_a_circle():
    z = boundary_locus(symbol(get("hb_1"), "rho", beta=1.0), np.linspace(0, 6, 50))
    np.testing.assert_allclose(np.abs(z + 1), 1.0, atol=1e-9)


@pytest.mark.parametrize("name", ["ghvb_2", "deis_rhoab3", "rho_midpoint"])
def test_growths_are_the_growth_of_each_point(name: str):
    found = symbol(get(name), "rho")
    real, imaginary = [-1.3, -0.4, 0.2], [0.0, 0.7]
    expected = [[found.growth(complex(x, y)) for x in real] for y in imaginary]
    np.testing.assert_allclose(growths(found, real, imaginary), expected, rtol=1e-6)


def test_a_runge_kutta_method_has_no_locus():
    with pytest.raises(AnalysisError, match="not affine in z"):
        boundary_locus(symbol(get("rho_rk4"), "rho"), [0.1])


def test_a_leapfrog_has_no_real_limit():
    from hand_made import leapfrog

    with pytest.raises(AnalysisError, match="no end on the negative real axis"):
        real_limit(symbol(leapfrog, "rho"))


def test_a_planted_weight_moves_the_limit(monkeypatch: pytest.MonkeyPatch):
    from fokker.solvers.samplers import momentum

    monkeypatch.setattr(momentum, "ADAMS_SERIES", (1.0, 0.4, 5 / 12, 3 / 8, 251 / 720))
    found = real_limit(symbol(get("ghvb_2"), "rho", beta=0.8))
    assert not math.isclose(found, -1.2, abs_tol=0.05)
