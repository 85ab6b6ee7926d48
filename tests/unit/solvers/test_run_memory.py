"""A run holds what is alive and no more, reads nothing back, and leaves no trace."""

from __future__ import annotations

import itertools
import math
import threading
import weakref
from typing import Any, cast

import pytest
import torch
from torch._subclasses import FakeTensorMode

from fokker.solvers.engine import scratch
from fokker.solvers.engine.executor import Executor
from fokker.solvers.engine.tables import tables
from fokker.solvers.errors import (
    FokkerError,
    NonFiniteError,
)
from fokker.solvers.plan import Plan
from fokker.solvers.registry import get, samplers
from fokker.solvers.run import run
from plans import PROCESS, euler, grid, noisy, two_step

double = torch.float64


def model(x: torch.Tensor, t: float) -> torch.Tensor:
    """Elementwise and not linear."""
    return torch.tanh(1.3 * x) * (0.5 + t)


def start(batch: int = 4, dtype: torch.dtype = double) -> torch.Tensor:
    return torch.linspace(-2, 2, batch * 6, dtype=double).reshape(batch, 2, 3).to(dtype)


def executor_of(plan: Plan, x: torch.Tensor, f=model, kind=Executor, **options) -> Executor:
    usual = {"noise": 1, "callback": None, "save_at": set(), "compiled": False, "grad": False}
    return kind(plan, f, x, **{**usual, **options})


def most_held(plan: Plan) -> int:
    """Largest number of states that a run holds: its buffers, in use or spare, and all others."""
    alive, most = set(plan.inputs.values()), 0

    def born(old):
        def method(self, row, *rest):
            nonlocal most
            out = old(self, row, *rest)
            alive.add(row)
            most = max(most, len(alive) + len(self.pool))
            return out

        return method

    class Watched(Executor):
        add: Any = born(Executor.add)
        evaluate: Any = born(Executor.evaluate)
        draw: Any = born(Executor.draw)

        def forget(self, row, vector):
            alive.remove(row)
            super().forget(row, vector)

    executor = executor_of(plan, start(), kind=Watched)
    with torch.no_grad():
        executor({"x": start()})
    return most


def as_on_a_device(executor: Executor) -> Executor:
    """The same executor, doing on the host what it does on a device."""
    executor.host, executor.watchful, executor.answers.host = False, True, False
    return executor


def test_a_run_holds_no_more_states_than_are_alive_at_once():
    for sampler in samplers("plan"):
        for steps in (6, 30):
            plan = sampler(PROCESS, grid(steps))
            assert most_held(plan) == plan.peak_live, sampler.name


def test_an_output_of_the_model_is_let_go_at_its_last_use():
    for name, most in (("ddim", 1), ("dpmpp_2m", 2), ("dpmpp_3m", 3), ("unipc_2", 3)):
        plan = get(name)(PROCESS, grid(9))
        plan = Plan(plan.ops, {"x": plan.outputs["x"]}, plan.marks)
        alive: list[weakref.ref] = []
        counts = []

        def tracked(x, t, alive=alive, counts=counts):
            out = model(x, t)
            alive.append(weakref.ref(out))
            counts.append(sum(ref() is not None for ref in alive))
            return out

        run(plan, tracked, start())
        assert max(counts) == most, name
        assert all(ref() is None for ref in alive)


@pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")
def test_nothing_is_read_back_from_a_device_inside_the_loop():
    """On fake tensors of a device any read-back is an error, so that none is made."""
    for name in ("dpmpp_2m", "unipc_2", "dpmpp_2s", "edm_heun"):
        plan = get(name)(PROCESS, grid(6))
        with FakeTensorMode(), torch.no_grad():
            x = torch.empty(4, 3, device="cuda")
            executor = executor_of(plan, x, lambda v, t: v * t, noise=None)
            out = executor({"x": x})
            assert out["x"].device.type == "cuda"
            assert len(executor.flags) == len(tables(plan).arrivals)  # to be read once, at the end


@pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")
def test_a_run_on_fake_tensors_leaves_nothing_behind():
    for device in ("cpu", "cuda"):
        with FakeTensorMode(), torch.no_grad():
            x = torch.empty(4, 2, 3, dtype=double, device=device)
            executor = executor_of(euler(grid(6)), x, lambda v, t: v * t, noise=None)
            as_on_a_device(executor)
            assert type(executor({"x": x})["x"]) is not torch.Tensor
    assert type(run(euler(grid(6)), model, start()).x) is torch.Tensor


@pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")
def test_the_read_back_test_would_see_one():
    with FakeTensorMode(), torch.no_grad():
        x = torch.empty(4, 3, device="cuda")
        executor = executor_of(euler(grid(2)), x, lambda v, _t: v * float(v.sum()), noise=None)
        with pytest.raises(RuntimeError):
            executor({"x": x})


def test_flags_of_a_device_name_step_time_and_samples():
    """The way of a device, walked on the host: sums are noted, and read once at the end."""
    plan = euler(grid(4))

    def failing(v, t):
        out = model(v, t)
        if t == grid(4)[2].t:
            out[[1, 3]] = math.nan
        return out

    executor = as_on_a_device(executor_of(plan, start(), failing))
    with torch.no_grad():
        executor({"x": start()})
    with pytest.raises(FokkerError, match=r"not finite in step 3 .* samples 1, 3") as caught:
        executor.check_flags()
    assert cast(NonFiniteError, caught.value).t == grid(4)[2].t


def test_what_an_earlier_run_left_in_memory_does_not_matter():
    plan = noisy(7)
    want = run(plan, model, start(), noise=1).x
    for kept in scratch._kept.values():
        for buffer in kept:
            buffer.fill_(math.nan)
    assert torch.equal(run(plan, model, start(), noise=1).x, want)


def test_memory_kept_between_runs_is_bounded_and_of_one_layout(monkeypatch: pytest.MonkeyPatch):
    run(two_step(grid(5)), model, start(), history={"m-1": start()})
    run(two_step(grid(5)), model, start(9), history={"m-1": start(9)})
    assert [key[0] for key in scratch._kept] == [(9, 2, 3)]
    monkeypatch.setattr(scratch, "LIMIT", start(9).nbytes)
    run(two_step(grid(5)), model, start(9), history={"m-1": start(9)})
    assert [len(kept) for kept in scratch._kept.values()] == [1]


def test_samples_do_not_share_memory_with_later_runs():
    first = run(euler(grid(5)), model, start()).x
    copy = first.clone()
    for _ in range(3):
        run(euler(grid(5)), model, start() + 1)
    assert torch.equal(first, copy)


def test_runs_in_threads_do_not_disturb_each_other():
    plan = noisy(12)
    starts = [start() * (1 + 0.1 * k) for k in range(6)]
    want = [run(plan, model, x, noise=k).x for k, x in enumerate(starts)]
    got: dict[tuple[int, int], torch.Tensor] = {}

    def work(k: int) -> None:
        for again in range(8):
            got[k, again] = run(plan, model, starts[k], noise=k).x

    threads = [threading.Thread(target=work, args=(k,)) for k in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k, again in itertools.product(range(6), range(8)):
        assert torch.equal(got[k, again], want[k])
