"""NaN and infinity are reported with step, time and samples, and never travel on."""

from __future__ import annotations

import math

import pytest
import torch

from fokker.solvers.errors import NonFiniteError
from fokker.solvers.noise import CellNoise
from fokker.solvers.plan import Plan, Tape
from fokker.solvers.registry import get
from fokker.solvers.run import run
from plans import PROCESS, euler, grid, two_step

double = torch.float64
PLANS = {name: get(name)(PROCESS, grid(7)) for name in ("ddim", "dpmpp_2m", "dpmpp_3m", "unipc_2")}
PLANS |= {name: get(name)(PROCESS, grid(7)) for name in ("dpmpp_2s", "rho_rk4", "exp_ab5_data")}
on_plans = pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS.keys())


def start(batch: int = 3) -> torch.Tensor:
    return torch.linspace(-2, 2, batch * 4, dtype=double).reshape(batch, 4)


def safe(x: torch.Tensor, t: float) -> torch.Tensor:
    return torch.tanh(x) + t


@on_plans
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_an_output_that_is_not_finite_is_reported_with_step_time_and_samples(
    plan: Plan, bad: float
):
    times: list[float] = []
    run(plan, lambda x, t: (times.append(t), safe(x, t))[1], start())
    where = len(times) // 2
    asked = []

    def failing(x, t):
        asked.append(t)
        out = safe(x, t)
        if len(asked) == where + 1:
            out[0, 3] = out[2, 1] = bad
        return out

    with pytest.raises(NonFiniteError, match="the model's output is not finite") as caught:
        run(plan, failing, start(), noise=CellNoise(0, [70, 71, 72]))
    error = caught.value
    assert error.t == times[where]
    assert error.sample_ids == (70, 72)
    assert "samples 70, 72" in str(error)
    steps_done = sum(times[where] < m.node.t - 1e-12 for m in plan.marks) + 1
    assert error.step is not None
    assert abs(error.step - steps_done) <= 1  # a corrector finds out in the step that follows
    assert len(asked) <= where + 2  # one look serves two rows


@on_plans
@pytest.mark.parametrize("bad_call", [1, 2, 3, 4])
def test_a_model_that_chokes_on_its_own_nan_is_named_for_the_nan(plan: Plan, bad_call: int):
    times: list[float] = []

    def delicate(x, t):
        if not x.isfinite().all():
            msg = "cannot work with this"
            raise ValueError(msg)
        times.append(t)
        return safe(x, t) * (math.nan if len(times) == bad_call else 1.0)

    with pytest.raises(NonFiniteError, match="the model's output") as caught:
        run(plan, delicate, start())
    assert caught.value.t == times[bad_call - 1]
    assert len(times) == bad_call


def test_an_error_of_the_model_is_its_own():
    def failing(x, t):
        msg = "no"
        raise ZeroDivisionError(msg)

    with pytest.raises(ZeroDivisionError, match="no"):
        run(PLANS["ddim"], failing, start())


@on_plans
@pytest.mark.parametrize("bad_call", [2, 3])
def test_whoever_looks_on_sees_no_state_that_is_not_finite(plan: Plan, bad_call: int):
    calls = 0

    def failing(x, t):
        nonlocal calls
        calls += 1
        return safe(x, t) * (math.nan if calls == bad_call else 1.0)

    seen = []
    with pytest.raises(NonFiniteError):
        run(plan, failing, start(), callback=lambda e: seen.append(e.x))
    assert all(x.isfinite().all() for x in seen)
    assert calls == bad_call  # and the model is not asked again


def test_opposite_infinities_do_not_cancel():
    def failing(x, t):
        out = safe(x, t)
        out[1, 0], out[1, 1] = math.inf, -math.inf
        return out

    with pytest.raises(NonFiniteError) as caught:
        run(euler(grid(3)), failing, start())
    assert (caught.value.step, caught.value.sample_ids) == (1, (1,))


def test_many_samples_are_shortened_in_the_sentence_and_not_in_the_list():
    with pytest.raises(NonFiniteError, match=r"samples 0, 1, 2, 3, 4, 5, 6, 7, \.\.\.") as caught:
        run(euler(grid(3)), lambda x, _t: x * math.nan, start(20))
    assert caught.value.sample_ids == tuple(range(20))


def test_finite_numbers_whose_sum_overflows_are_not_reported():
    huge = torch.full((3, 4), 1e38)
    plan = _one_row(1.0, 0.5)
    assert run(plan, lambda _x, _t: huge, torch.zeros(3, 4)).x.isfinite().all()


def test_a_state_that_overflows_is_reported_as_the_state():
    huge = torch.full((3, 4), 3e38)
    huge[0] = 1.0
    with pytest.raises(NonFiniteError, match="the state is not finite in step 1") as caught:
        run(_one_row(1.0, 2.0), lambda _x, _t: huge, torch.zeros(3, 4))
    assert caught.value.sample_ids == (1, 2)


def _one_row(a: float, b: float) -> Plan:
    tape = Tape()
    x = tape.input("x", grid(1)[0])
    row = tape.lin((x, a), (tape.eval(x, grid(1)[0]), b))
    return tape.plan(x=tape.mark(row, grid(1)[1]))


def test_a_half_precision_model_that_overflows_is_reported():
    def half(x, t):
        return (1e6 * safe(x, t)).to(torch.float16)

    with pytest.raises(NonFiniteError, match="the model's output is not finite in step 1"):
        run(euler(grid(3)), half, start().float())


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_start_or_history_that_is_not_finite_is_reported(bad: float):
    x = start()
    x[1, 2] = bad
    with pytest.raises(NonFiniteError, match="x is not finite in samples 1") as caught:
        run(euler(grid(2)), safe, x)
    assert (caught.value.step, caught.value.sample_ids) == (None, (1,))
    with pytest.raises(NonFiniteError, match="input 'm-1' is not finite in samples 1"):
        run(two_step(grid(2)), safe, start(), history={"m-1": x})


def test_an_output_that_only_goes_out_is_watched_too():
    tape = Tape()
    x = tape.input("x", grid(1)[0])
    plan = tape.plan(x=tape.lin((x, 1.0)), **{"m-1": tape.eval(x, grid(1)[0])})
    with pytest.raises(NonFiniteError, match="output 'm-1' is not finite in samples 0, 1, 2"):
        run(plan, lambda v, _t: v * math.nan, start())


def test_with_gradients_outputs_are_watched_too():
    with pytest.raises(NonFiniteError, match="in step 1"):
        run(euler(grid(2)), lambda v, _t: v * math.nan, start().requires_grad_(), grad=True)
