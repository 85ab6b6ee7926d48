"""What comes into a run and goes out of it; what does not fit is refused in a sentence."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np
import pytest
import torch

from fokker.solvers.adapters.blackbox import as_source
from fokker.solvers.errors import InvalidPlanError, ShapeError
from fokker.solvers.noise import CellNoise
from fokker.solvers.plan import Noise, Plan, Tape
from fokker.solvers.registry import get
from fokker.solvers.run import run
from plans import PROCESS, euler, grid, leapfrog, two_step

double = torch.float64
PLANS = {name: get(name)(PROCESS, grid(7)) for name in ("ddim", "dpmpp_2m", "dpmpp_3m", "unipc_2")}
PLANS |= {name: get(name)(PROCESS, grid(7)) for name in ("dpmpp_2s", "rho_rk4", "exp_ab5_data")}
on_plans = pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS.keys())


def start(batch: int = 3) -> torch.Tensor:
    return torch.linspace(-2, 2, batch * 4, dtype=double).reshape(batch, 4)


def safe(x: torch.Tensor, t: float) -> torch.Tensor:
    return torch.tanh(x) + t


@on_plans
def test_the_start_is_left_alone_and_nothing_given_back_shares_its_memory(plan: Plan):
    x = start()
    got = run(plan, lambda v, _t: v, x, save_at=[0, 7])
    assert torch.equal(x, start())
    tensors = [x, *got.outputs.values(), *got.saved.values()]
    tensors = list({id(v): v for v in tensors}.values())
    addresses = [v.untyped_storage().data_ptr() for v in tensors]
    assert len(set(addresses)) == len(addresses)


def test_an_output_that_is_an_input_is_a_copy():
    plan = leapfrog(grid(1).with_zero())  # one step: the second output is the given x
    x, old = start(), start() / 2
    got = run(plan, safe, x, history={"x-1": old})
    assert torch.equal(got.outputs["x-1"], x)
    got.outputs["x-1"].zero_()
    assert torch.equal(x, start())


def test_a_cancelled_run_does_not_give_back_the_tensor_of_the_model():
    constant, tape, nodes = start() / 3, Tape(), grid(1)
    m = tape.eval(tape.input("x", nodes[0]), nodes[0])
    plan = tape.plan(x=tape.mark(m, nodes[1]))
    got = run(plan, lambda _x, _t: constant, start(), callback=lambda e: e.cancel())
    got.x.zero_()
    assert torch.equal(constant, start() / 3)


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        (torch.zeros(0, 4), r"B >= 1 samples, got \(0, 4\)"),
        (torch.zeros(4), r"shape \(B, \*D\).* got \(4,\)"),
        (torch.tensor(1.0), r"got \(\)"),
        (torch.zeros(4, 0), r"got \(4, 0\)"),
        (torch.zeros(3, 4, dtype=torch.float16), "float32 or float64 .* got torch.float16"),
        (torch.zeros(3, 4, dtype=torch.bfloat16), "got torch.bfloat16"),
        (torch.zeros(3, 4, dtype=torch.int64), "got torch.int64"),
        (torch.zeros(3, 4, dtype=torch.complex64), "got torch.complex64"),
        (np.zeros((3, 4)), "must be a torch tensor, got ndarray"),
        ([[1.0]], "must be a torch tensor, got list"),
    ],
)
def test_a_start_that_is_no_state_is_refused(bad, complaint: str):
    with pytest.raises(ShapeError, match=complaint):
        run(euler(grid(2)), safe, bad)


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        (lambda x: x[:1], r"the model's output at t = .* shape \(3, 4\) .* got \(1, 4\)"),
        (lambda x: x[..., None], r"got \(3, 4, 1\)"),
        (lambda x: x.sum(), r"got \(\)"),
        (lambda x: x.to(torch.int32), "floating-point dtype, got torch.int32"),
        (lambda x: x > 0, "floating-point dtype, got torch.bool"),
        (lambda x: x.to(torch.complex128), "floating-point dtype, got torch.complex128"),
        (lambda x: x.to("meta"), "must be on cpu, got meta"),
        (lambda x: x.numpy(), "must be a torch tensor, got ndarray"),
        (lambda x: (x,), "must be a torch tensor, got tuple"),
        (lambda _x: None, "must be a torch tensor, got NoneType"),
    ],
)
def test_an_output_that_fits_no_state_is_refused(bad: Callable, complaint: str):
    with pytest.raises(ShapeError, match=complaint):
        run(euler(grid(2)), lambda x, _t: bad(x), start())


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        (torch.zeros(2, 4, dtype=double), r"input 'm-1' must have the shape \(3, 4\)"),
        (torch.zeros(3, 4), "input 'm-1' must have the dtype torch.float64"),
        (None, "input 'm-1' must be a torch tensor"),
    ],
)
def test_history_that_does_not_fit_is_refused(bad, complaint: str):
    with pytest.raises(ShapeError, match=complaint):
        run(two_step(grid(2)), safe, start(), history={"m-1": bad})


def test_a_history_that_is_missing_is_named():
    with pytest.raises(InvalidPlanError, match="'m-1' is missing"):
        run(two_step(grid(2)), safe, start())


def test_a_plan_without_a_sample_is_not_run():
    tape = Tape()
    x = tape.input("x", grid(1)[0])
    with pytest.raises(InvalidPlanError, match=r"must put out 'x'; this one puts out \['y'\]"):
        run(tape.plan(y=tape.lin((x, 1.0))), safe, start())


def noisy() -> Plan:
    tape = Tape()
    x = tape.input("x", grid(1)[0])
    return tape.plan(x=tape.lin((x, 1.0), (tape.noise("lam", 0.0, 1.0), 2.0)))


def test_a_plan_that_draws_needs_a_source():
    with pytest.raises(InvalidPlanError, match="the plan draws noise: give run"):
        run(noisy(), safe, start())
    assert run(euler(grid(2)), safe, start(), noise=None).x.isfinite().all()


def test_seeds_may_be_numpy_integers():
    a, b = (run(noisy(), safe, start(), noise=seed).x for seed in (3, cast(int, np.int64(3))))
    assert torch.equal(a, b)


class Source:
    def __init__(self, make: Callable) -> None:
        self.make = make

    def draw(self, cell: Noise, like: torch.Tensor) -> torch.Tensor:
        return self.make(cell, like)


def test_any_object_that_draws_is_a_source():
    got = run(noisy(), safe, start(), noise=Source(lambda c, x: torch.full_like(x, c.b))).x
    assert torch.equal(got, start() + 2.0)


@pytest.mark.parametrize("bad", [1.5, "3", torch.Generator(), torch.tensor(3)])
def test_what_is_neither_a_seed_nor_a_source_of_noise_is_refused(bad):
    for plan in (noisy(), euler(grid(2))):
        with pytest.raises(InvalidPlanError, match=f"or a source .*, got {type(bad).__name__}"):
            run(plan, safe, start(), noise=bad)
    with pytest.raises(InvalidPlanError, match="noise must be a seed"):
        as_source(bad)
    assert isinstance(as_source(cast(int, np.int64(3))), CellNoise)


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda _c, x: x[:1], r"the noise of the cell \[0.0, 1.0\] must have the shape"),
        (lambda _c, x: x.float(), "must have the dtype torch.float64"),
        (lambda _c, x: x.numpy(), "must be a torch tensor"),
    ],
)
def test_noise_that_does_not_fit_is_refused(make: Callable, complaint: str):
    with pytest.raises(ShapeError, match=complaint):
        run(noisy(), safe, start(), noise=Source(make))
