"""Methods on equations whose moments close: weak errors that no table and no path gives."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from fokker.analysis.order import Observation, observe, refine
from fokker.analysis.order_rows import verdicts
from fokker.analysis.stochastic import polynomial_equations as room
from fokker.analysis.stochastic import rows
from fokker.analysis.stochastic.backward import normal_rule
from fokker.analysis.stochastic.equations import for_method, sinh
from fokker.analysis.stochastic.polynomial_equations import (
    START,
    exponents,
    moments,
    monomials,
    polynomial,
    weak_polynomial_error,
)
from fokker.solvers.errors import AnalysisError
from fokker.solvers.sde.basic import euler_maruyama, heun
from fokker.solvers.sde.method import Cell, Method
from fokker.solvers.sde.reversible_heun import reversible_heun
from fokker.solvers.sde.rungekutta import srk15

POWERS = exponents((1, 2, 3))
PLACES = {tuple(p): i for i, p in enumerate(POWERS.tolist())}


def observed(method: Method, kind: str, claim: float) -> Observation:
    return refine(
        lambda n: weak_polynomial_error(method, kind, n), claim=claim, floor=1e-12, most=8
    )


def test_monomials_of_weight_three_in_weights_one_two_three():
    assert len(PLACES) == len(POWERS) == 7
    assert {(0, 0, 0), (1, 0, 0), (2, 0, 0), (3, 0, 0), (0, 1, 0), (1, 1, 0), (0, 0, 1)} == set(
        PLACES
    )
    point = np.array([[2.0, 3.0, 5.0]])
    assert monomials(point, POWERS)[0, PLACES[1, 1, 0]] == 6.0


def test_the_true_moments_solve_the_moment_equations_written_by_hand():
    """Of the first two coordinates with two noises: Ito's formula on a, a^2 and b."""

    def slope(_: float, m: Sequence[float]) -> list[float]:
        a, aa, b = m
        square = 0.16 + 0.24 * a + 0.09 * aa + 0.09 - 0.12 * a + 0.04 * aa
        return [0.2 - 0.6 * a, 0.4 * a - 1.2 * aa + square, 0.5 * aa - 0.4 * b + 0.1 * a]

    start = [START[0], START[0] ** 2, START[1]]
    end = solve_ivp(slope, (0, 1), start, rtol=1e-11, atol=1e-12).y[:, -1]
    found = moments("general")[[PLACES[1, 0, 0], PLACES[2, 0, 0], PLACES[0, 1, 0]]]
    np.testing.assert_allclose(found, end, rtol=1e-9)


@pytest.mark.parametrize(
    ("method", "kind"), [(reversible_heun, "general"), (srk15, "scalar"), (heun, "general")]
)
def test_two_steps_have_the_moments_of_quadrature_over_all_their_noises(method, kind):
    sde, width = for_method(polynomial(kind), method), 2 if kind == "general" else 1
    count = width * (2 if method.needs_area else 1)
    nodes, weights = normal_rule(2 * count, 6)
    xi = torch.from_numpy(nodes)
    x = torch.from_numpy(START)[None].expand(len(nodes), 3).contiguous()
    state = method.start(sde, 0.0, x)
    for k in range(2):
        part = xi[:, k * count : (k + 1) * count]
        zeta = part[:, width:] if method.needs_area else None
        state = method.step(sde, Cell(k / 2, 0.5, part[:, :width], zeta), state)
    seen = weights @ monomials(state[0].numpy(), POWERS)
    error = float(np.linalg.norm(seen - moments(kind)))
    assert weak_polynomial_error(method, kind, 2) == pytest.approx(error, rel=1e-9)


def test_half_orders_are_seen_and_the_next_claim_is_refused():
    """Differences over sqrt h have a sign: the weak order of SRIW1 is 3/2 and no more."""
    seen = observed(srk15, "scalar", 1.5)
    assert seen.verdict(1.5) == "met"
    assert seen.verdict(2) == "not met"
    assert seen.slopes[-1] == pytest.approx(1.5, abs=0.06)
    for method in (euler_maruyama, reversible_heun):
        found = observed(method, "general", 1)
        assert found.verdict(1) == "met"
        assert found.verdict(2) == "not met"


def test_a_method_in_the_wrong_calculus_is_not_met(monkeypatch):
    monkeypatch.setattr(room, "for_method", lambda sde, _: sde)
    assert observed(heun, "general", 1).verdict(1) == "not met"


def test_a_step_that_is_no_polynomial_is_refused(monkeypatch):
    monkeypatch.setattr(room, "polynomial", lambda _: sinh("scalar"))
    with pytest.raises(AnalysisError, match="no polynomial"):
        weak_polynomial_error(euler_maruyama, "scalar", 4)


def test_the_weak_claim_of_a_method_with_a_shadow_rests_on_a_nonlinear_equation(monkeypatch):
    asked: list[int] = []

    def late(*_: object, levels: int, **__: object) -> list[tuple[str, Observation]]:
        """Settled from the sixth grid on."""
        asked.append(levels)
        steps = [8 * 2**k for k in range(levels)]
        errors = [1 / n if n > 100 else n**-0.3 for n in steps]
        return [("two-noises", observe(steps, errors, floor=0.0))]

    monkeypatch.setattr(rows, "strong_on_paths", late)
    found = rows.method_rows(reversible_heun, quick=True, kinds=("general",))
    assert verdicts(found) == {"strong": "met", "weak": "met"}
    assert [r["problem"] for r in found if r["claim"] == "weak"] == ["linear", "polynomial"]
    assert asked == [5, 7]
