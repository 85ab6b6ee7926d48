"""Methods for general equations: exact errors on linear ones, and claims that are judged."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.linalg import expm

from fake_certificate import certificate
from fokker.analysis.order_rows import verdicts
from fokker.analysis.page.write import render, to_csv
from fokker.analysis.record import all_claims, check, tally
from fokker.analysis.stochastic import linear_equations as room
from fokker.analysis.stochastic.equations import B, for_method, same_law
from fokker.analysis.stochastic.linear_equations import (
    DRIFT,
    FIELDS,
    START,
    ou_strong_error,
    second_moments,
    weak_linear_error,
)
from fokker.analysis.stochastic.methods import (
    carries_state_alone,
    methods,
    strong_on_paths,
    weak_nonlinear,
)
from fokker.analysis.stochastic.rows import all_methods, method_rows
from fokker.solvers.sde.basic import euler_maruyama, heun, milstein
from fokker.solvers.sde.reversible_heun import reversible_heun
from fokker.solvers.sde.rungekutta import sra1, srk15


def test_every_method_is_found_with_every_noise_that_it_declares():
    assert {"Euler-Maruyama", "log-ODE", "reversible Heun", "SRIW1", "ShARK"} <= {
        m.name for m in methods()
    }
    assert len(all_methods()) == sum(len(m.strong) for m in methods())
    assert [m.name for m in methods() if not carries_state_alone(m)] == ["reversible Heun"]


def test_the_moments_of_a_linear_equation_are_those_of_its_generator():
    mean = expm(DRIFT) @ START
    for kind in ("additive", "diagonal", "scalar", "general"):
        np.testing.assert_allclose(second_moments(kind)[0, 1:], mean, rtol=1e-12)
    b = room.KICK**2
    cov = sum(
        expm(DRIFT * u) @ np.diag(b) @ expm(DRIFT.T * u) * 1e-3
        for u in (np.arange(1000) + 0.5) * 1e-3
    )
    found = second_moments("additive")[1:, 1:] - np.outer(mean, mean)
    np.testing.assert_allclose(found, cov, rtol=1e-5)


@pytest.mark.parametrize("kind", ["scalar", "diagonal", "general"])
def test_the_weak_error_of_euler_is_that_of_its_recursion(kind: str):
    h, n = 1 / 8, 8
    one = np.eye(2) + DRIFT * h
    step = np.kron(one, one) + h * sum(np.kron(b, b) for b in FIELDS[kind])
    second = (np.linalg.matrix_power(step, n) @ np.kron(START, START)).reshape(2, 2)
    mean = np.linalg.matrix_power(one, n) @ START
    truth = second_moments(kind)
    gap = np.zeros((3, 3))
    gap[0, 1:] = gap[1:, 0] = mean - truth[0, 1:]
    gap[1:, 1:] = second - truth[1:, 1:]
    assert weak_linear_error(euler_maruyama, kind, n) == pytest.approx(np.linalg.norm(gap))


def test_additive_noise_enters_the_moments():
    errors = [weak_linear_error(euler_maruyama, "additive", n) for n in (32, 64)]
    assert errors[1] < 0.02
    assert errors[0] / errors[1] == pytest.approx(2, abs=0.1)


def test_the_strong_error_of_one_euler_step_is_a_closed_form():
    """``X = W`` against ``x/e + int e^{s - 1} dW``: 1/e^2 + int (1 - e^{s - 1})^2 ds."""
    exact = math.exp(-2) + 1 - 2 * (1 - math.exp(-1)) + (1 - math.exp(-2)) / 2
    assert ou_strong_error(euler_maruyama, [0.0, 1.0]) == pytest.approx(math.sqrt(exact))
    assert ou_strong_error(reversible_heun, [0.0, 0.5, 1.0]) < math.sqrt(exact)


def test_on_an_ornstein_uhlenbeck_process_sra1_shows_more_than_it_has():
    errors = [ou_strong_error(sra1, np.linspace(0, 1, n + 1).tolist()) for n in (64, 128)]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(2, abs=0.02)
    ((_, seen),) = strong_on_paths(sra1, "additive", rows=3000, levels=6)
    assert seen.verdict(1.5) == "met"
    assert seen.verdict(2) == "not met"


def test_the_law_of_a_nonlinear_equation_is_reached():
    for method, kind in ((milstein, "diagonal"), (heun, "general"), (sra1, "additive")):
        errors = [weak_nonlinear(method, kind, n) for n in (8, 16)]
        assert errors[1][0] < 0.6 * errors[0][0] < 0.1
        assert errors[1][1] < 1e-4


def test_both_calculi_are_of_one_process():
    sde, x = same_law("diagonal"), torch.tensor([[0.7]], dtype=torch.float64)
    turned = for_method(sde, heun)
    assert turned.calculus == "stratonovich"
    gap = sde.f(0.0, x) - turned.f(0.0, x)
    torch.testing.assert_close(gap, 0.5 * B * B * x)


def test_a_claim_beyond_the_order_of_a_method_is_not_met():
    """Euler's strong order 1 holds for additive noise and not for diagonal noise."""
    false = replace(euler_maruyama, strong={"diagonal": 1.0}, weak={"diagonal": 2.0})
    rows = method_rows(false, quick=False, kinds=("diagonal",))
    assert verdicts(rows) == {"strong": "not met", "weak": "not met"}
    true = method_rows(euler_maruyama, quick=True, kinds=("diagonal",))
    assert verdicts(true) == {"strong": "met", "weak": "met"}


def test_methods_are_on_the_page_counted_and_in_the_table():
    rows = method_rows(milstein, quick=True, kinds=("scalar",))
    entry = {
        "name": "Milstein (scalar)", "kind": "sde", "family": "SDE", "source": "Milstein 1974",
        "claims": {"strong": 2.0, "weak": 1.0}, "orders": rows, "verdicts": {"strong": "not met"},
        "failure": None,
    }  # fmt: skip
    data = certificate() | {"methods": [entry]}
    assert check(data) is data
    assert ("Milstein (scalar)", "strong", "not met") in {
        (e["name"], c, v) for e, c, v in all_claims(data)
    }
    assert tally(data)["not met"] == tally(certificate())["not met"] + 1
    assert "Milstein (scalar),SDE,sde" in to_csv(data)
    page = render(data)
    assert "Methods for stochastic equations" in page
    assert "turned" in page


def test_a_method_of_order_three_halves_is_told_from_order_one():
    (_, seen), *_ = strong_on_paths(srk15, "diagonal", rows=1000)
    assert seen.verdict(1.5) == "met"
    assert seen.verdict(2) == "not met"
