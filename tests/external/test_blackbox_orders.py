"""The deterministic black boxes have the order they claim, on a linear and on a nonlinear law."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from external.boxes import (
    FLOW,
    MEAN,
    NAMES,
    RUNGE_KUTTA,
    UNIFORM,
    VARIANCES,
    VP,
    WAVY,
    carried,
    line_model,
    paired_errors,
    slopes,
    starts,
    strong_error,
)
from fokker.solvers.adapters.affine import affine_map
from fokker.solvers.adapters.blackbox import run_blackbox
from fokker.solvers.adapters.tolerance import tolerance_sweep
from fokker.solvers.errors import AnalysisError
from fokker.solvers.grids import power_t, uniform_lam, wavy_lam
from fokker.solvers.registry import get

TOLERANT = tuple(n for n in NAMES if get(n).tolerance is not None)


def counts(order: int) -> tuple[int, ...]:
    """Doubling step counts between the knee and the rounding floor of an order."""
    return {3: (32, 64, 128), 5: (16, 32, 64), 8: (8, 16)}[order]


@pytest.mark.parametrize("name", RUNGE_KUTTA)
@pytest.mark.parametrize(
    "grids", [UNIFORM, WAVY, wavy_lam(FLOW, -1.5, 1.0)], ids=["uniform", "wavy", "flow"]
)
def test_one_step_an_interval_has_the_claimed_order_on_a_nonlinear_law(name, grids):
    sampler = get(name)
    order = sampler.order or 0
    assert order == sampler.order_cold
    errors = paired_errors(sampler, grids, counts(order))
    assert order - 0.35 < slopes(errors)[-1] < 1.15 * order, errors
    assert errors[-1] < 1e-6


@pytest.mark.parametrize("name", RUNGE_KUTTA)
def test_one_step_an_interval_has_the_claimed_order_on_a_gaussian(name):
    sampler, errors = get(name), []
    order = sampler.order or 0
    for steps in counts(order):
        grid = WAVY.grid(steps)
        found = affine_map(sampler, VP, grid, MEAN, VARIANCES)
        errors.append(strong_error(found, grid, eta=0.0))
    assert slopes(errors)[-1] > order - 0.6, errors


@pytest.mark.parametrize("name", ["torchdiffeq_dopri5_t", "scipy_rk45_lam"])
def test_the_order_holds_on_a_grid_that_is_uniform_in_time(name):
    errors = paired_errors(get(name), power_t(VP, 0.6, 0.1), (16, 32, 64))
    assert 4.65 < slopes(errors)[-1] < 5.75, errors


@pytest.mark.parametrize("clock", ["lam", "t"])
def test_two_libraries_compute_the_same_dormand_prince_steps(clock):
    grid, x = WAVY.grid(12), starts()
    one, two = (
        run_blackbox(f"{name}_{clock}", line_model(), VP, grid, x).x
        for name in ("torchdiffeq_dopri5", "scipy_rk45")
    )
    torch.testing.assert_close(one, two, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("name", [n for n in NAMES if "adams" in n])
def test_adams_with_the_weights_of_equal_steps_has_order_2_on_unequal_ones(name):
    sampler = get(name)
    assert (sampler.order, sampler.order_cold, sampler.published_order) == (2, 2, 12)
    errors = paired_errors(sampler, WAVY, (64, 128, 256))
    assert (np.abs(slopes(errors) - 2) < 0.1).all(), errors


def test_adams_has_the_order_of_its_start_where_steps_are_equal():
    sampler = get("torchdiffeq_adams_lam")
    errors = paired_errors(sampler, UNIFORM, (64, 128, 256))
    assert (np.abs(slopes(errors) - 5) < 0.3).all(), errors
    in_time = paired_errors(get("torchdiffeq_adams_t"), power_t(VP, 0.6, 0.1), (64, 128, 256))
    assert abs(slopes(in_time)[-1] - 5) < 0.3, in_time
    capped = paired_errors(sampler, UNIFORM, (64, 128, 256), max_order=4)
    assert (np.abs(slopes(capped) - 4) < 0.3).all(), capped


def test_lsoda_declares_no_order_and_no_count():
    for clock in ("lam", "t"):
        sampler = get(f"scipy_lsoda_{clock}")
        assert sampler.order is sampler.order_cold is None
        assert sampler.nfe(10) == 0
        assert sampler.tolerance == 50


@pytest.mark.parametrize("name", TOLERANT)
def test_the_error_of_a_solver_that_chooses_its_steps_follows_its_tolerance(name):
    grid, x = uniform_lam(VP, -4.0, 3.0).grid(1), starts(3)
    truth = carried(x, grid)
    tols = (1e-3, 1e-5) if "bosh3" in name else (1e-3, 1e-6, 1e-9)
    rows = tolerance_sweep(get(name), line_model(), VP, grid, x, truth, tols)
    assert all(row.met(get(name).tolerance or 0.0) for row in rows), rows
    for loose, tight in pairwise(rows):
        assert loose.nfe < tight.nfe
        assert loose.median > 20 * tight.median


def test_only_solvers_that_take_a_tolerance_have_a_factor():
    adaptive = {n for n in NAMES if n in RUNGE_KUTTA or "lsoda" in n}
    assert set(TOLERANT) == adaptive


def test_a_batch_solved_together_is_one_system_with_one_choice_of_steps():
    grid, x = uniform_lam(VP, -4.0, 3.0).grid(1), starts(5)
    for name in ("torchdiffeq_dopri5_lam", "scipy_rk45_lam", "scipy_lsoda_lam"):
        alone, together = (
            run_blackbox(name, line_model(), VP, grid, x, tol=1e-4, together=flag).x
            for flag in (False, True)
        )
        assert not torch.equal(alone, together)
        torch.testing.assert_close(alone, together, rtol=0, atol=0.1)


def test_a_sweep_against_another_shape_is_refused():
    grid, x = UNIFORM.grid(1), starts(5)
    with pytest.raises(AnalysisError, match="one shape"):
        tolerance_sweep(get("scipy_rk45_t"), line_model(), VP, grid, x, x[:3])
