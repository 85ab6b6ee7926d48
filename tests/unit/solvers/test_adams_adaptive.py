"""The adaptive Adams sampler: few evaluations, every sample for itself, dense output."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from fokker.solvers.adaptive.adams import adams_adaptive
from fokker.solvers.adaptive.dense import adams_trajectory
from fokker.solvers.adaptive.walk import best_order
from fokker.solvers.errors import (
    InvalidGridError,
    InvalidPlanError,
    NonFiniteError,
    ShapeError,
)
from fokker.solvers.grids import uniform_lam
from fokker.solvers.schedules import EDM, VPCosine
from fokker.solvers.stepper import StepperRun
from fokker.toy_models.problems import problem

P = problem("product")
GRID = uniform_lam(P.process, P.lam_start, P.lam_end).grid(1)


def solve(p=P, batch=8, **options) -> tuple[StepperRun, float]:
    x = p.starts(batch)
    grid = uniform_lam(p.process, p.lam_start, p.lam_end).grid(1)
    found = adams_adaptive(p.model(), p.process, grid, x, **options)
    return found, float((found.x - p.endpoint(x)).square().mean().sqrt())


@pytest.mark.parametrize(
    ("name", "tol", "nfe", "bar"),
    [("gaussian", 5e-5, 22, 1e-4), ("gaussian", 6e-9, 70, 1e-8),
     ("line", 3e-5, 40, 1e-4), ("line", 5e-10, 130, 1e-8)],
)  # fmt: skip
def test_it_reaches_an_accuracy_in_fewer_evaluations_than_any_peer(name, tol, nfe, bar):
    """The sample that needs most of 32; general adaptive solvers need twice as many."""
    found, error = solve(problem(name), batch=32, tol=tol)
    assert found.nfe <= nfe
    assert error <= bar


def test_a_smaller_tolerance_gives_a_smaller_error_at_a_few_more_evaluations():
    runs = [solve(tol=tol) for tol in (1e-3, 1e-5, 1e-7, 1e-9)]
    errors, counts = [e for _, e in runs], [r.nfe for r, _ in runs]
    assert errors == sorted(errors, reverse=True)
    assert counts == sorted(counts)
    assert errors[-1] < 20e-9
    assert counts[-1] < 120


def test_a_sample_does_not_depend_on_its_company():
    x = P.starts(6)
    together = adams_adaptive(P.model(), P.process, GRID, x, tol=1e-5).x
    turned = adams_adaptive(P.model(), P.process, GRID, x.flip(0), tol=1e-5).x.flip(0)
    alone = torch.cat(
        [adams_adaptive(P.model(), P.process, GRID, r, tol=1e-5).x for r in x.split(1)]
    )
    torch.testing.assert_close(together, alone, rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(together, turned, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("process", [EDM(), VPCosine()])
def test_the_process_is_a_matter_of_scale(process):
    other = P.on(process)
    one, error = solve(tol=1e-6)
    two, other_error = solve(other, tol=1e-6)
    assert one.nfe == two.nfe
    a, b = P.end.alpha, other.end.alpha
    torch.testing.assert_close(two.x / b, one.x / a, rtol=1e-9, atol=1e-10)
    assert error / a == pytest.approx(other_error / b, rel=1e-3)


def test_any_strip_and_size_reach_the_same_end():
    inf = float("inf")
    others: list[dict[str, Any]] = [{}, {"strip": inf}, {"size": 3.0}, {"size": inf}]
    runs = [solve(tol=1e-8, **o) for o in others]
    assert max(error for _, error in runs) < 1e-6


def test_single_precision_reaches_what_it_can():
    x = P.starts(8)
    found = adams_adaptive(P.model(), P.process, GRID, x.float(), tol=1e-4).x
    assert found.dtype == torch.float32
    assert float((found.double() - P.endpoint(x)).abs().max()) < 1e-2


def test_a_step_to_sigma_zero_is_the_data_prediction():
    x = P.starts(4)
    grid = uniform_lam(P.process, P.lam_start, P.lam_end).grid(1, to_zero=True)
    ends = adams_adaptive(P.model(), P.process, grid, x, tol=1e-5)
    before = adams_adaptive(P.model(), P.process, GRID, x, tol=1e-5)
    want = P.model()(before.x, P.end.t) * grid[-1].alpha
    torch.testing.assert_close(ends.x, want, rtol=1e-7, atol=1e-8)  # the time is found from lam
    assert ends.nfe == before.nfe + 1


def test_the_best_order_is_where_neighbouring_correctors_agree_most():
    inf = np.inf
    gaps = np.array([[inf, 1e-2, 1e-4, 1e-3, inf], [inf, 1e-2, inf, inf, inf]])
    best, error = best_order(gaps, np.array([3, 1]))
    assert best.tolist() == [1, 1]
    np.testing.assert_allclose(error, [1e-4, 3e-3])


def test_dense_output_is_as_accurate_between_the_steps_and_meets_them():
    x = P.starts(4)
    path = adams_trajectory(P.model(), P.process, P.lam_start, P.lam_end, x, tol=1e-7)
    plain = adams_adaptive(P.model(), P.process, GRID, x, tol=1e-7)
    assert torch.equal(path.x, plain.x)
    assert path.nfe == plain.nfe
    torch.testing.assert_close(path.at(P.lam_end), path.x, rtol=1e-13, atol=1e-14)
    assert torch.equal(path.at(P.lam_start), x)
    begin = (P.start.alpha, P.start.sigma)
    for lam in np.linspace(-3.9, 2.9, 12):
        node = P.process.node_at_lam(lam)
        truth = P.law.flow(x, begin, (node.alpha, node.sigma))
        assert float((path.at(lam) - truth).abs().max()) < 5e-6
    steps = path.steps[2]
    for lam, state in zip(steps.lams, steps.states, strict=True):
        torch.testing.assert_close(path.at(lam)[2], state, rtol=1e-12, atol=1e-13)


def test_bad_input_is_one_sentence():
    x = P.starts(2)
    for tol in (0.0, 1.0, float("nan")):
        with pytest.raises(InvalidPlanError, match="tol must lie in"):
            adams_adaptive(P.model(), P.process, GRID, x, tol=tol)
        with pytest.raises(InvalidPlanError, match="tol must lie in"):
            adams_trajectory(P.model(), P.process, -1.0, 1.0, x, tol=tol)
    with pytest.raises(InvalidPlanError, match="half width of the strip"):
        adams_adaptive(P.model(), P.process, GRID, x, strip=0.0)
    with pytest.raises(InvalidPlanError, match="size of the leading modes"):
        adams_adaptive(P.model(), P.process, GRID, x, size=0.0)
    with pytest.raises(InvalidGridError, match=r"finite lam_start < lam_end, got 1\.0 and -1\.0"):
        adams_trajectory(P.model(), P.process, 1.0, -1.0, x)
    path = adams_trajectory(P.model(), P.process, -1.0, 1.0, x, tol=1e-3)
    with pytest.raises(InvalidGridError, match=r"lam must lie in \[-1.0, 1.0\]"):
        path.at(1.5)
    with pytest.raises(ShapeError):
        adams_adaptive(P.model(), P.process, GRID, x[0], tol=1e-3)


def test_a_model_that_fails_names_the_sample_and_the_time():
    model, x = P.model(), P.starts(3)

    def spoilt(y, t):
        out = model(y, t).clone()
        out[(t < 0.3) & (torch.arange(len(t)) == len(t) - 1)] = float("nan")
        return out

    with pytest.raises(NonFiniteError, match="not finite at t = ") as info:
        adams_adaptive(spoilt, P.process, GRID, x, tol=1e-3)
    assert info.value.sample_ids == (2,) or info.value.sample_ids == [2]
