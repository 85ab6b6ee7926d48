"""On a device no plan waits, and its rows launch and move what their terms say."""

from __future__ import annotations

import pytest
import torch

from fokker.analysis.device_work import DeviceWaitError, device_work, run_work
from fokker.analysis.imagined_device import imagined
from fokker.solvers.engine.executor import Executor
from fokker.solvers.engine.tables import tables
from fokker.solvers.model import Model
from fokker.solvers.plan import Eval, Lin, Noise, Plan
from fokker.solvers.registry import Sampler, get
from fokker.solvers.schedules import VPLinear

from .zoo import PLANS, each, grid_of, steps_of

SHAPE = (4, 3, 8, 8)
STATE = 4 * 4 * 3 * 8 * 8


def model(x: torch.Tensor, t: float) -> torch.Tensor:
    """One kernel, that reads a state and writes one."""
    return x * (1.0 + t)


def executor(plan: Plan, x: torch.Tensor, asked: Model = model, grad: bool = False) -> Executor:
    """The loop alone: ``run`` looks at the start before it and at the samples after it."""
    return Executor(
        plan, asked, x, noise=3, callback=None, save_at=set(), compiled=False, grad=grad
    )


@each()
def test_nothing_waits_and_rows_launch_and_move_what_their_terms_say(entry: Sampler):
    process = VPLinear()
    plan = entry(process, grid_of(process, steps_of(entry, 5)))
    work = run_work(plan, lambda _: model, SHAPE)
    asked = sum(isinstance(op, Eval) for op in plan.ops)
    assert [(call.kernels.total(), call.moved) for call in work.calls] == [(1, 2 * STATE)] * asked
    rows = [k for k, op in enumerate(plan.ops) if isinstance(op, Lin)]
    terms = [len(plan.columns[k][0]) for k in rows]
    looks = len(tables(plan).arrivals)
    assert work.sampler.kernels.total() == sum(terms) + looks
    states = sum(3 * k - 1 for k in terms) + looks  # v -> w v, then out += w v
    assert work.sampler.moved == states * STATE + looks * SHAPE[0] * 4
    states, sums = (
        plan.peak_live + 1,
        looks * SHAPE[0] * 4,
    )  # one more, for the answer of the model
    assert plan.peak_live * STATE < work.sampler.peak <= states * STATE + sums
    noises = sum(isinstance(op, Noise) for op in plan.ops)
    assert (work.sampler.uploads, work.sampler.uploaded) == (noises, noises * STATE)


@each([entry for entry in PLANS if not entry.stochastic][::6])
def test_gradients_through_a_run_wait_for_nothing(entry: Sampler):
    process = VPLinear()
    plan = entry(process, grid_of(process, steps_of(entry, 3)))
    with device_work() as work:
        x = work.empty(*SHAPE).requires_grad_()
        inputs = {name: torch.empty_like(x) for name in plan.inputs} | {"x": x}
        out = executor(plan, x, grad=True)(inputs)["x"]
        (slope,) = torch.autograd.grad(out.sum(), x)
    assert (slope.device, slope.shape) == (imagined(), x.shape)
    assert work.uploads == 0


def test_a_sampler_that_looks_at_its_numbers_is_caught():
    process = VPLinear()
    plan = get("ddim")(process, grid_of(process, 3))

    def looking(x: torch.Tensor, t: float) -> torch.Tensor:
        return x if float(x.mean()) > 0 else x * t

    with device_work() as work, torch.no_grad():
        x = work.empty(*SHAPE)
        with pytest.raises(DeviceWaitError, match=r"test_devices.py:\d+: .*_local_scalar_dense"):
            executor(plan, x, looking)({"x": x})
