"""The adaptive sampler: every sample chooses its own steps, whoever keeps it company."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from fokker.solvers.adaptive.dpmpp_12 import Adaptive12, dpmpp_12_adaptive
from fokker.solvers.errors import FokkerError, NonFiniteError, ShapeError
from fokker.solvers.grids import Grid, uniform_lam
from fokker.solvers.registry import get
from fokker.solvers.run import run
from fokker.solvers.schedules import VPCosine, VPLinear
from fokker.solvers.stepper import StepError, march
from fokker.toy_models.law import exact_model
from fokker.toy_models.problems import problem

P = problem("product")
GRID = uniform_lam(P.process, P.lam_start, P.lam_end).grid(1)
X = P.starts(6, seed=3)
MODEL = P.model("data")


def test_the_error_is_proportional_to_the_tolerance():
    truth = P.endpoint(X)
    errors = [
        float((dpmpp_12_adaptive(MODEL, P.process, GRID, X, tol=tol).x - truth).abs().max())
        for tol in (1e-2, 1e-3, 1e-4)
    ]
    for loose, tight in pairwise(errors):
        assert 5 < loose / tight < 20
    assert errors[-1] < 5e-4


def test_a_sample_is_the_same_alone_and_in_any_company():
    together = dpmpp_12_adaptive(MODEL, P.process, GRID, X, tol=1e-3)
    for order in ([0], [5, 2], [4, 3, 1]):
        some = dpmpp_12_adaptive(MODEL, P.process, GRID, X[order], tol=1e-3)
        torch.testing.assert_close(some.x, together.x[order], rtol=1e-12, atol=1e-12)


def test_a_published_batch_wide_control_would_fail_that_test():
    """The negative control: with the largest error of the batch for all, company matters."""

    class Together(Adaptive12):
        def _error(self, x, low, high):
            return np.full(len(x), super()._error(x, low, high).max())

    def end(x):
        return march(Together(P.process, P.lam_start, P.lam_end, 1e-3), MODEL, x).x

    assert float((end(X)[:1] - end(X[:1])).abs().max()) > 1e-6


def test_one_accepted_step_is_the_exponential_midpoint_rule():
    grid = uniform_lam(P.process, -1.0, -0.97).grid(1)  # shorter than the first trial step
    found = dpmpp_12_adaptive(MODEL, P.process, grid, X, tol=0.5)
    plan = get("dpmpp_2s")(P.process, grid)
    torch.testing.assert_close(found.x, run(plan, MODEL, X).x, rtol=1e-12, atol=1e-12)
    assert (found.nfe, found.steps, found.rejected) == (2, 1, 0)


def test_evaluations_are_counted_and_a_rejected_step_does_not_ask_its_start_again():
    asked = np.zeros(len(X))

    def counting(x, t):
        assert t.shape == (len(x),)
        for row in range(len(x)):
            asked[row] += 1
        return MODEL(x, t)

    seen = dpmpp_12_adaptive(counting, P.process, GRID, X[:1], tol=1e-3)
    assert seen.nfe == asked[0] == 2 * seen.steps + seen.rejected


def test_a_last_step_to_sigma_0_is_the_data_prediction():
    end = dpmpp_12_adaptive(MODEL, P.process, GRID.with_zero(), X, tol=1e-3)
    before = dpmpp_12_adaptive(MODEL, P.process, GRID, X, tol=1e-3)
    t = float(P.process.t_of_lam(P.lam_end))
    torch.testing.assert_close(end.x, MODEL(before.x, t), rtol=1e-10, atol=1e-12)
    assert end.nfe == before.nfe + 1


def test_the_process_does_not_matter():
    cosine = VPCosine()
    grid = uniform_lam(cosine, P.lam_start, P.lam_end).grid(1)
    model = exact_model(P.law, cosine)
    a = dpmpp_12_adaptive(model, cosine, grid, X, tol=1e-3).x
    b = dpmpp_12_adaptive(MODEL, P.process, GRID, X, tol=1e-3).x
    torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


def test_images_and_float32_are_welcome():
    x = X.to(torch.float32).reshape(6, 1, 3)
    out = dpmpp_12_adaptive(MODEL, P.process, GRID, x, tol=1e-3).x
    assert out.shape == x.shape
    assert out.dtype == torch.float32


@pytest.mark.parametrize("tol", [0.0, 1.0, -1e-3, math.nan])
def test_a_tolerance_outside_its_range_is_refused(tol):
    with pytest.raises(FokkerError, match="tol must lie"):
        dpmpp_12_adaptive(MODEL, P.process, GRID, X, tol=tol)


def test_a_start_without_signal_is_refused():
    grid = uniform_lam(VPCosine(), -4.0, 3.0).grid(1)
    endless = Grid((VPCosine().node(1.0), grid[1]))
    with pytest.raises(FokkerError, match="finite lam"):
        dpmpp_12_adaptive(MODEL, VPCosine(), endless, X)


def test_a_state_that_is_none_is_refused():
    with pytest.raises(ShapeError):
        dpmpp_12_adaptive(MODEL, P.process, GRID, X[:0])


def test_a_model_that_fails_is_named_with_time_and_samples():
    def sick(x, t):
        out = MODEL(x, t).clone()
        out[-1] = math.nan
        return out

    with pytest.raises(NonFiniteError, match=r"samples \[5\]") as caught:
        dpmpp_12_adaptive(sick, P.process, GRID, X)
    assert caught.value.sample_ids == (5,)


def test_a_march_without_end_is_given_up():
    stepper = Adaptive12(VPLinear(), P.lam_start, P.lam_end, 1e-6)
    with pytest.raises(StepError, match="not arrived after 3 steps"):
        march(stepper, MODEL, X, most=3)
