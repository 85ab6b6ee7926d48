"""Adaptive DPM-Solver-12 and -23: the published pairs, alone and in company."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch

from fokker.analysis.paired import rms
from fokker.solvers.adaptive.dpm_solver import AdaptiveNoise, dpm_solver_adaptive
from fokker.solvers.errors import FokkerError
from fokker.solvers.grids import Grid, uniform_lam
from fokker.solvers.registry import get
from fokker.solvers.run import run
from fokker.solvers.schedules import VPCosine, VPLinear
from fokker.solvers.stepper import StepperRun
from fokker.toy_models.law import exact_model
from fokker.toy_models.problems import problem

P = problem("product")
GRID = uniform_lam(P.process, P.lam_start, P.lam_end).grid(1)
X = P.starts(6, seed=3)
MODEL = P.model("noise")
VP = VPLinear()


def solve(x=X, order: int = 3, **options) -> StepperRun:
    return dpm_solver_adaptive(MODEL, P.process, GRID, x, order=order, **options)


# evaluations with k for every try, and the RMS error, for rtol = 1e-1 .. 1e-4, atol = rtol/10
PUBLISHED = {
    2: [(76, 2.7e-3), (144, None), (342, None), (1008, 1e-5)],
    3: [(66, 6.8e-4), (111, 1.0e-4), (192, 1.3e-5), (309, 1.7e-6)],
}


@pytest.mark.parametrize("order", [2, 3])
def test_the_published_control_spends_what_it_is_known_to_spend(order: int):
    """128 samples of the mixture under one control; evaluations within 20 %, errors within 1.7."""
    p = problem("mixture")
    x, model = p.starts(128), p.model("noise")
    truth = p.endpoint(x)
    grid = uniform_lam(p.process, p.lam_start, p.lam_end).grid(1)
    for tol, (nfe, error) in zip((1e-1, 1e-2, 1e-3, 1e-4), PUBLISHED[order], strict=True):
        found = dpm_solver_adaptive(
            model, p.process, grid, x, order=order, tol=tol, atol=tol / 10, control="batch"
        )
        assert order * (found.steps + found.rejected) == pytest.approx(nfe, rel=0.2)
        assert found.nfe == order * found.steps + (order - 1) * found.rejected
        if error is not None:
            assert 1 / 1.7 < rms(found.x - truth) / error < 1.7


@pytest.mark.parametrize("order", [2, 3])
def test_the_error_falls_with_the_tolerance(order: int):
    truth = P.endpoint(X)
    errors = [rms(solve(order=order, tol=tol).x - truth) for tol in (1e-2, 1e-3, 1e-4)]
    for loose, tight in pairwise(errors):
        assert loose / tight > 3
    assert errors[-1] < 3e-4


@pytest.mark.parametrize("order", [2, 3])
def test_a_sample_is_the_same_alone_and_in_any_company(order: int):
    together = solve(order=order)
    for some in ([0], [5, 2], [4, 3, 1]):
        torch.testing.assert_close(
            solve(X[some], order).x, together.x[some], rtol=1e-11, atol=1e-11
        )


def test_under_the_published_control_company_matters():
    together, alone = solve(control="batch"), solve(X[:1], control="batch")
    assert float((together.x[:1] - alone.x).abs().max()) > 1e-6
    torch.testing.assert_close(alone.x, solve(X[:1]).x, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("order", "name"), [(2, "dpm_solver_2"), (3, "dpm_solver_3")])
def test_one_accepted_step_is_the_higher_order_of_the_pair(order: int, name: str):
    grid = uniform_lam(VP, -1.0, -0.97).grid(1)  # shorter than the first trial step
    found = dpm_solver_adaptive(MODEL, VP, grid, X, order=order, tol=0.5)
    torch.testing.assert_close(
        found.x, run(get(name)(VP, grid), MODEL, X).x, rtol=1e-12, atol=1e-12
    )
    assert (found.nfe, found.steps, found.rejected) == (order, 1, 0)


@pytest.mark.parametrize("order", [2, 3])
def test_the_lower_order_of_the_pair_is_of_that_order(order: int):
    """Its local error falls with 2^order, the difference to the higher one likewise."""
    gaps = []
    for h in (0.2, 0.1, 0.05):
        stepper = AdaptiveNoise(VP, -1.0, -1.0 + h, order, 0.5, 0.5)
        state = stepper.init(X)
        state = state._replace(h=state.h * 0 + h)
        eps = MODEL(X, float(VP.t_of_lam(-1.0)))
        pair = stepper._pair_12 if order == 2 else stepper._pair_23
        low, high = pair(MODEL, state, eps, state.lam + h, state.lam < 0)
        gaps.append(rms(low - high))
    assert math.log2(gaps[1] / gaps[2]) == pytest.approx(order, abs=0.25)


def test_the_error_is_measured_against_both_low_states_and_both_tolerances():
    stepper = AdaptiveNoise(VP, -1.0, 1.0, 3, 0.1, 0.02)
    low = torch.tensor([[1.0, 0.0], [0.1, -3.0]], dtype=torch.float64)
    before = torch.tensor([[-2.0, 0.1], [0.0, 0.0]], dtype=torch.float64)
    high = low + torch.tensor([[0.2, 0.02], [0.04, 0.0]], dtype=torch.float64)
    busy = torch.tensor([True, True]).numpy()
    found = stepper._error(low, high, before, busy)
    # delta = (0.2, 0.02) and (0.02, 0.3)
    assert found == pytest.approx([1.0, math.sqrt(2.0)])
    batch = AdaptiveNoise(VP, -1.0, 1.0, 3, 0.1, 0.02, "batch")
    assert batch._error(low, high, before, busy) == pytest.approx([math.sqrt(2.0)] * 2)


def test_a_last_step_to_sigma_zero_is_the_data_prediction():
    data = P.model("data")
    before = solve()
    end = dpm_solver_adaptive(MODEL, P.process, GRID.with_zero(), X, order=3)
    t = float(P.process.t_of_lam(P.lam_end))
    torch.testing.assert_close(end.x, data(before.x, t), rtol=1e-9, atol=1e-10)
    assert end.nfe == before.nfe + 1


def test_the_process_does_not_matter():
    cosine = VPCosine()
    grid = uniform_lam(cosine, P.lam_start, P.lam_end).grid(1)
    a = dpm_solver_adaptive(exact_model(P.law, cosine, "noise"), cosine, grid, X, order=3).x
    torch.testing.assert_close(a, solve().x, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(
    "wrong", [{"tol": 0.0}, {"tol": math.nan}, {"atol": -1.0}, {"control": "all"}, {"order": 4}]
)
def test_options_that_are_none_are_refused(wrong: dict):
    with pytest.raises(FokkerError, match=r"need order 2 or 3|must lie in \(0, 1\)"):
        solve(**wrong)


def test_a_start_without_signal_is_refused():
    cosine = VPCosine()
    endless = Grid((cosine.node(1.0), cosine.node_at_lam(3.0)))
    with pytest.raises(FokkerError, match="finite lam"):
        dpm_solver_adaptive(MODEL, cosine, endless, X, order=2)
