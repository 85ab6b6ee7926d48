"""Every black box keeps the protocol: counts, times, batches, ends and refusals."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from external.boxes import NAMES, SDES, UNIFORM, VP, starts
from fokker.solvers.adapters.blackbox import run_blackbox
from fokker.solvers.errors import (
    InvalidGridError,
    InvalidPlanError,
    NonFiniteError,
    ShapeError,
)
from fokker.solvers.grids import Grid, grid_from_times
from fokker.solvers.process import DATA
from fokker.solvers.registry import get
from fokker.solvers.schedules import RectifiedFlow

FIXED = tuple(n for n in NAMES if "lsoda" not in n)
ONE_OF_EACH = ("torchdiffeq_dopri5_lam", "torchdiffeq_adams_t", "scipy_rk45_t", "torchsde_srk_lam")


def bend(x: torch.Tensor, t: float) -> torch.Tensor:
    """A model that costs nothing and mixes no samples."""
    return torch.tanh(x) * (0.5 + t)


def run(name, grid, x, model=bend, **options):
    if name in SDES:
        options.setdefault("noise", 7)
    return run_blackbox(name, model, VP, grid, x, **options)


def test_every_method_is_offered_in_log_snr_and_in_time():
    stems = {n.rsplit("_", 1)[0] for n in NAMES}
    assert {f"{s}_{clock}" for s in stems for clock in ("lam", "t")} == set(NAMES)
    wanted = {"torchdiffeq_" + m for m in ("dopri5", "dopri8", "bosh3", "adams")}
    wanted |= {"scipy_" + m for m in ("rk45", "dop853", "lsoda")}
    wanted |= {"torchsde_" + m for m in ("euler", "milstein", "srk", "heun", "midpoint")}
    assert stems == wanted


def test_registering_a_black_box_imports_no_foreign_solver():
    code = (
        "import sys; from fokker.solvers.registry import samplers; n = len(samplers('blackbox'));"
        "heavy = {'torchdiffeq', 'torchsde', 'scipy.integrate'} & set(sys.modules);"
        "assert n >= 24 and not heavy, (n, heavy)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", FIXED)
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_the_model_is_evaluated_as_often_as_declared_and_inside_the_grid(name, steps):
    times, grid = [], UNIFORM.grid(steps)

    def model(x, t):
        times.append(t)
        return bend(x, t)

    out = run(name, grid, starts(3), model)
    assert len(times) == out.nfe == get(name).nfe(steps) <= out.asked
    assert grid[-1].t <= min(times) <= max(times) <= grid[0].t


@pytest.mark.parametrize("name", FIXED)
def test_the_number_of_evaluations_does_not_depend_on_the_dtype(name):
    out = run(name, UNIFORM.grid(40), starts(5).float())
    assert out.nfe == get(name).nfe(40)
    assert out.x.dtype == torch.float32


@pytest.mark.parametrize("name", NAMES)
def test_a_step_to_sigma_zero_is_the_data_prediction_at_the_node_before(name):
    grid, x = UNIFORM.grid(3), starts(4)
    before, after = run(name, grid, x), run(name, grid.with_zero(), x)
    end = grid[-1]
    data = (before.x - end.sigma * bend(before.x, end.t)) / end.alpha
    torch.testing.assert_close(after.x, data, rtol=1e-12, atol=1e-12)
    assert after.nfe == before.nfe + 1


@pytest.mark.parametrize("name", NAMES)
def test_a_grid_that_is_only_a_step_to_sigma_zero_needs_one_evaluation(name):
    node = UNIFORM.grid(1)[-1]
    assert run(name, Grid((node, DATA)), starts(2)).nfe == 1


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_depends_neither_on_its_batch_nor_on_its_shape(name):
    x = torch.linspace(-2, 2, 24, dtype=torch.float64).reshape(4, 3, 2)
    grid = UNIFORM.grid(5)
    whole = run(name, grid, x).x
    part = run(name, grid, x[:2]).x
    flat = run(name, grid, x.flatten(1)).x
    torch.testing.assert_close(whole[:2], part, rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(whole.flatten(1), flat, rtol=1e-13, atol=1e-13)
    assert whole.shape == x.shape


@pytest.mark.parametrize("name", SDES)
def test_noise_belongs_to_the_seed_and_the_sample(name):
    grid, x = UNIFORM.grid(4), torch.zeros(3, 2, dtype=torch.float64)
    one, again, other = (run(name, grid, x, noise=s).x for s in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.isclose(one, other).any()
    assert len(one.unique()) == one.numel()


@pytest.mark.parametrize("name", [*ONE_OF_EACH, "scipy_lsoda_lam"])
def test_an_output_that_is_not_finite_is_named_by_step_time_and_sample(name):
    grid = UNIFORM.grid(6)
    limit = 0.5 * (grid[3].t + grid[2].t)

    def model(x, t):
        out = bend(x, t)
        if t < limit:
            out[2:] = float("nan")
        return out

    options = {"together": True} if "lsoda" in name else {}
    with pytest.raises(NonFiniteError, match="not finite") as caught:
        run(name, grid, starts(4), model, **options)
    assert caught.value.step in (3, 4)
    assert caught.value.t is not None
    assert grid[4].t <= caught.value.t < limit
    assert caught.value.sample_ids == (2, 3)


def test_a_sample_solved_by_itself_is_named_by_its_place_in_the_batch():
    def model(x, t):
        return torch.where(x > 2.4, torch.nan, bend(x, t))

    with pytest.raises(NonFiniteError, match="sample 3 of the batch") as caught:
        run("scipy_rk45_lam", UNIFORM.grid(2), starts(4), model, tol=1e-3)
    assert caught.value.sample_ids == (3,)


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_a_state_that_overflows_is_an_error_and_not_a_nan(name):
    with pytest.raises(NonFiniteError):
        run(name, UNIFORM.grid(40), starts(3), lambda x, _: -1e12 * x)


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_a_start_of_pure_noise_is_refused(name):
    process = RectifiedFlow()
    grid = grid_from_times(process, [1.0, 0.5, 0.1])
    options = {"noise": 0} if name in SDES else {}
    with pytest.raises(InvalidGridError, match="alpha = 0"):
        run_blackbox(name, bend, process, grid, starts(2), **options)


@pytest.mark.parametrize("name", ONE_OF_EACH)
@pytest.mark.parametrize(
    ("x", "error"),
    [
        (torch.zeros(0, 2), ShapeError),
        (torch.zeros(3), ShapeError),
        ([[1.0]], ShapeError),
        (torch.zeros(2, 2, dtype=torch.bfloat16), ShapeError),
        (torch.zeros(2, 2, dtype=torch.int64), ShapeError),
        (torch.tensor([[1.0, float("inf")]]), NonFiniteError),
    ],
)
def test_a_start_that_is_no_batch_of_finite_states_is_refused(name, x, error):
    with pytest.raises(error):
        run(name, UNIFORM.grid(2), x)


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_a_model_that_breaks_its_contract_is_refused(name):
    with pytest.raises(ShapeError, match="must have shape"):
        run(name, UNIFORM.grid(2), starts(2), lambda x, _: x[:1])
    with pytest.raises(ShapeError, match="must have shape"):
        run(name, UNIFORM.grid(2), starts(2), lambda x, _: x.numpy())
    with pytest.raises(ShapeError, match="in place"):
        run(name, UNIFORM.grid(2), starts(2), lambda x, _: x.mul_(2))


def test_bad_options_are_refused_with_the_accepted_ones():
    grid, x = UNIFORM.grid(2), starts(2)
    with pytest.raises(InvalidPlanError, match="no option 'steps'; accepted: noise, tol"):
        run("scipy_rk45_t", grid, x, steps=3)
    with pytest.raises(InvalidPlanError, match="no option 'tol'"):
        run("torchdiffeq_adams_t", grid, x, tol=1e-3)
    for tol in (0.0, 1.0, -1e-3, float("nan"), 1e-15):
        for name in ("scipy_rk45_t", "torchdiffeq_bosh3_lam", "scipy_lsoda_t"):
            with pytest.raises(InvalidPlanError, match="tol must be in"):
                run(name, grid, x, tol=tol)
    with pytest.raises(InvalidPlanError, match="max_order"):
        run("torchdiffeq_adams_t", grid, x, max_order=13)
    for eta in (-1.0, float("nan")):
        with pytest.raises(InvalidPlanError, match="eta"):
            run("torchsde_euler_t", grid, x, eta=eta)


def test_a_stochastic_box_without_noise_and_a_plan_run_as_a_box_are_refused():
    with pytest.raises(InvalidPlanError, match="noise="):
        run_blackbox("torchsde_srk_t", bend, VP, UNIFORM.grid(2), starts(2))
    with pytest.raises(InvalidPlanError, match="not a black box"):
        run_blackbox("ddim", bend, VP, UNIFORM.grid(2), starts(2))


@pytest.mark.parametrize("name", NAMES)
def test_a_state_that_the_model_keeps_is_not_overwritten_later(name):
    kept, copies = [], []

    def model(x, t):
        kept.append(x)
        copies.append(x.clone())
        return bend(x, t)

    run(name, UNIFORM.grid(4), starts(3), model)
    assert all(torch.equal(x, copy) for x, copy in zip(kept, copies, strict=True))
