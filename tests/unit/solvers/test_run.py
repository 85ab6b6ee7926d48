"""The executor computes the plan: values, callbacks, precision, gradients, memory."""

from __future__ import annotations

import itertools
import math
import threading
import weakref
from typing import Any, cast

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from plans import PROCESS, euler, grid, random_plans, two_step
from tolerances import EXACT, tolerance
from torch import Tensor
from torch._subclasses import FakeTensorMode

from fokker.solvers import scratch
from fokker.solvers.errors import (
    FokkerError,
    InvalidPlanError,
    NonFiniteError,
    PredictionError,
)
from fokker.solvers.events import Event
from fokker.solvers.executor import Executor
from fokker.solvers.model import as_prediction
from fokker.solvers.noise import CellNoise
from fokker.solvers.plan import Noise, Plan, Tape, interpret
from fokker.solvers.registry import get, samplers
from fokker.solvers.run import run
from fokker.solvers.schedules import RectifiedFlow

double = torch.float64


def model(x: torch.Tensor, t: float) -> torch.Tensor:
    """Elementwise and not linear."""
    return torch.tanh(1.3 * x) * (0.5 + t)


def start(batch: int = 4, dtype: torch.dtype = double) -> torch.Tensor:
    return torch.linspace(-2, 2, batch * 6, dtype=double).reshape(batch, 2, 3).to(dtype)


def noisy(steps: int = 5) -> Plan:
    """Two terms and a noise a row."""
    tape, nodes = Tape(), grid(steps)
    x = tape.input("x", nodes[0])
    for s, t in nodes.steps():
        m, xi = tape.eval(x, s), tape.noise("lam", s.lam, t.lam)
        x = tape.mark(tape.lin((x, 0.7), (m, 0.4), (xi, 0.2)), t)
    return tape.plan(x=x)


# -- values ------------------------------------------------------------------------------------


@given(random_plans())
def test_any_plan_gives_what_its_rows_say(plan: Plan):
    x, history = start(), {"m-1": start() / 3}
    draws: dict[int, torch.Tensor] = {}
    source = CellNoise(2)

    def draw(i: int, op: Noise) -> torch.Tensor:
        return draws.setdefault(i, source.draw(op, x))

    want = interpret(
        plan,
        inputs={"x": x, **history},
        evaluate=lambda _i, op, v: model(v, op.node.t),
        draw=draw,
    )
    assume(all(v.abs().max() < 1e100 for v in want.values()))
    got = run(plan, model, x, noise=2, history=history).outputs
    size = max(1.0, *(float(v.abs().max()) for v in want.values()))
    for name, value in want.items():
        torch.testing.assert_close(got[name], value, rtol=1e-10, atol=1e-12 * size)


def test_rows_are_written_out_by_hand():
    plan, nodes = two_step(grid(2), (0.5, 2.0, -1.0)), grid(2).nodes
    x, old = start(), start() / 3
    m0 = model(x, nodes[0].t)
    x1 = 0.5 * x + 2 * m0 - old
    m1 = model(x1, nodes[1].t)
    got = run(plan, model, x, history={"m-1": old})
    torch.testing.assert_close(got.x, 0.5 * x1 + 2 * m1 - m0, rtol=EXACT, atol=EXACT)
    torch.testing.assert_close(got.outputs["m-1"], m1, rtol=EXACT, atol=EXACT)
    assert got.outputs["x"] is got.x
    assert not got.cancelled


def test_the_model_is_asked_at_the_times_of_the_nodes_as_floats():
    asked = []

    def spy(x, t):
        asked.append(t)
        return model(x, t)

    run(euler(grid(6)), spy, start())
    assert asked == [n.t for n in grid(6).nodes[:-1]]
    assert all(type(t) is float for t in asked)


@pytest.mark.parametrize("dtype", [torch.float32, double])
def test_the_state_keeps_its_dtype(dtype: torch.dtype):
    got = run(two_step(grid(9)), model, start(dtype=dtype), history={"m-1": start(dtype=dtype)}).x
    want = run(two_step(grid(9)), model, start(), history={"m-1": start()}).x
    assert got.dtype == dtype
    torch.testing.assert_close(got.double(), want, **tolerance(dtype))


@pytest.mark.parametrize("inner", [torch.bfloat16, torch.float16, torch.float32, double])
def test_a_model_may_compute_in_any_precision(inner: torch.dtype):
    def rough(x, t):
        return model(x.to(inner), t)

    got = run(euler(grid(9)), rough, start(dtype=torch.float32)).x
    want = run(euler(grid(9)), model, start()).x
    assert got.dtype == torch.float32
    loosest = max(tolerance(torch.float32)["rtol"], tolerance(inner)["rtol"])
    torch.testing.assert_close(got.double(), want, rtol=loosest, atol=3 * loosest)


def test_channels_last_states_stay_channels_last():
    x = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
    got = run(euler(grid(4)), model, x).x
    assert got.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(got, run(euler(grid(4)), model, x.contiguous()).x)


def test_states_and_outputs_may_be_strided_views():
    x = start(8)[::2].transpose(1, 2)
    got = run(
        euler(grid(4)), lambda v, t: model(v, t).transpose(1, 2).contiguous().transpose(1, 2), x
    )
    torch.testing.assert_close(got.x, run(euler(grid(4)), model, x.contiguous()).x)


def test_one_sample_and_one_step_are_enough():
    assert run(euler(grid(1)), model, start(1)).x.shape == (1, 2, 3)
    assert run(euler(grid(1).with_zero()), model, start(1)).x.isfinite().all()


def test_a_run_may_begin_at_pure_noise():
    process = RectifiedFlow()
    from fokker.solvers.grids import power_t

    plan = get("dpmpp_2m")(process, power_t(process, 1.0, 0.0).grid(8))
    seen = []

    def denoiser(x, t):
        seen.append(t)
        return torch.tanh(x)

    assert run(plan, denoiser, start()).x.isfinite().all()
    assert seen[0] == 1.0


# -- weights per coordinate and sample ---------------------------------------------------------


@pytest.mark.parametrize("shape", [(), (3,), (2, 1), (4, 1, 1), (4, 2, 3)])
@pytest.mark.parametrize("tensor", [False, True])
def test_weights_may_be_arrays_that_broadcast_to_the_state(shape: tuple[int, ...], tensor: bool):
    w = np.random.default_rng(0).normal(size=shape)
    w.setflags(write=False)
    a, b = (torch.tensor(v) if tensor else v for v in (np.array(w), w))
    tape = Tape()
    x = tape.input("x", grid(1)[0])
    m = tape.eval(x, grid(1)[0])
    plan = tape.plan(x=tape.lin((x, a), (m, b), (m, 0.5)))
    # equal ids were merged into one array
    m_value = model(start(), grid(1)[0].t)
    want = start() * torch.tensor(w) + m_value * torch.tensor(w + 0.5)
    for grad in (False, True):
        torch.testing.assert_close(
            run(plan, model, start(), grad=grad).x, want, rtol=EXACT, atol=EXACT
        )
    single = run(plan, model, start(dtype=torch.float32)).x
    torch.testing.assert_close(single.double(), want, **tolerance(torch.float32))


@pytest.mark.parametrize("shape", [(2,), (5, 1, 1), (1, 4, 2, 3), (2, 3, 1)])
def test_a_weight_that_does_not_broadcast_is_refused(shape: tuple[int, ...]):
    tape = Tape()
    x = tape.input("x", grid(1)[0])
    plan = tape.plan(x=tape.lin((x, np.ones(shape))))
    with pytest.raises(
        FokkerError, match=r"a weight of shape .* does not fit a state \(4, 2, 3\)"
    ):
        run(plan, model, start())


# -- independence of the batch -----------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, double])
@pytest.mark.parametrize("size", [1, 7, 33, 300])
def test_a_sample_is_the_same_bit_for_bit_in_any_batch_and_order(dtype: torch.dtype, size: int):
    x = torch.linspace(-2, 2, 11 * size, dtype=dtype).reshape(11, size)
    whole = run(noisy(), lambda v, t: (v * t).clamp(-1, 1), x, noise=5).x
    for ids in ([3], [10, 2, 7], list(range(11))[::-1]):
        part = run(noisy(), lambda v, t: (v * t).clamp(-1, 1), x[ids], noise=CellNoise(5, ids)).x
        assert torch.equal(part, whole[ids])


# -- callbacks ---------------------------------------------------------------------------------


def test_a_callback_sees_step_time_state_and_data_prediction():
    nodes = grid(5)
    plan = euler(nodes)
    noise_model = as_prediction(
        lambda x, _t: torch.tanh(x), PROCESS, source="data", target="noise"
    )
    events: list[Event] = []

    def callback(event: Event) -> None:
        assert event.x is event.x  # one copy, however often it is read
        events.append(event)

    got = run(plan, noise_model, start(), callback=callback, save_at=range(6))
    assert [e.step for e in events] == [1, 2, 3, 4, 5]
    assert {e.steps for e in events} == {5}
    assert [e.t for e in events] == [n.t for n in nodes.nodes[1:]]
    assert [e.node for e in events] == list(nodes.nodes[1:])
    for event in events:
        torch.testing.assert_close(event.x, got.saved[event.step], rtol=0, atol=0)
        before = got.saved[event.step - 1]
        torch.testing.assert_close(event.data, torch.tanh(before), rtol=1e-12, atol=1e-12)
    assert torch.equal(got.saved[0], start())
    assert torch.equal(got.saved[5], got.x)


def test_what_a_callback_keeps_is_its_own():
    kept: list[Event] = []

    def callback(event: Event) -> None:
        if event.step == 2:
            _ = event.x
        kept.append(event)
        if event.step > 2:
            event.x.zero_()
            cast(Tensor, event.data).zero_()

    got = run(euler(grid(6)), model, start(), callback=callback, save_at=[2])
    assert torch.equal(kept[1].x, got.saved[2])
    torch.testing.assert_close(got.x, run(euler(grid(6)), model, start()).x, rtol=0, atol=0)
    with pytest.raises(
        FokkerError, match=r"after step 1 is gone; read event\.x inside the callback"
    ):
        _ = kept[0].x


def test_before_the_first_evaluation_there_is_no_data_prediction():
    tape, nodes = Tape(), grid(2)
    x = tape.input("x", nodes[0])
    x = tape.mark(tape.lin((x, 0.5)), nodes[1])
    x = tape.mark(tape.lin((tape.eval(x, nodes[1]), 1.0)), nodes[2])
    seen = []
    run(tape.plan(x=x), model, start(), callback=lambda e: seen.append(e.data))
    assert seen[0] is None
    torch.testing.assert_close(seen[1], model(0.5 * start(), nodes[1].t))


def test_a_data_prediction_that_does_not_exist_is_an_error_for_the_callback():
    process, tape = RectifiedFlow(), Tape()
    x = tape.input("x", process.node(1.0))
    x = tape.mark(tape.lin((tape.eval(x, process.node(1.0), "noise"), 1.0)), process.node(0.5))
    plan = tape.plan(x=x)
    with pytest.raises(PredictionError, match="alpha = 0"):
        run(plan, model, start(), callback=lambda e: e.data)
    run(plan, model, start(), callback=lambda e: e.x)


@pytest.mark.parametrize("step", [1, 3, 6])
def test_a_cancelled_run_gives_back_the_state_of_its_last_step(step: int):
    def callback(event: Event) -> None:
        if event.step == step:
            event.cancel()

    got = run(two_step(grid(6)), model, start(), history={"m-1": start()}, callback=callback)
    whole = run(two_step(grid(6)), model, start(), history={"m-1": start()}, save_at=[step])
    assert got.cancelled
    assert got.outputs == {}
    assert torch.equal(got.x, whole.saved[step])


def test_a_cancelled_run_keeps_what_was_saved():
    got = run(
        euler(grid(6)),
        model,
        start(),
        callback=lambda e: e.step == 3 and e.cancel(),
        save_at=[0, 2, 5],
    )
    assert sorted(got.saved) == [0, 2]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, ZeroDivisionError])
def test_an_interrupted_run_leaves_everything_of_the_caller_as_it_was(error: type[BaseException]):
    x, states = start(), []

    def failing(v, t):
        if len(states) == 3:
            raise error
        return model(v, t)

    with pytest.raises(error):
        run(euler(grid(6)), failing, x, callback=lambda e: states.append(e.x))
    assert torch.equal(x, start())
    want = run(euler(grid(6)), model, start(), save_at=[1, 2, 3]).saved
    for step, state in enumerate(states, 1):
        assert torch.equal(state, want[step])
    torch.testing.assert_close(run(euler(grid(6)), model, x).x, run(euler(grid(6)), model, x).x)


def test_an_error_in_a_callback_is_the_callers():
    def callback(event: Event) -> None:
        msg = f"no more after {event.step}"
        raise ValueError(msg)

    with pytest.raises(ValueError, match="no more after 1"):
        run(euler(grid(3)), model, start(), callback=callback)


@pytest.mark.parametrize("bad", [7, -1])
def test_a_step_to_save_that_does_not_exist_is_refused(bad: int):
    with pytest.raises(InvalidPlanError, match=f"step {bad}; the plan has steps 0 .. 6"):
        run(euler(grid(6)), model, start(), save_at=[2, bad])


# -- gradients ---------------------------------------------------------------------------------


def test_by_default_no_gradient_is_recorded():
    x = start().requires_grad_()
    got = run(euler(grid(3)), model, x)
    assert not got.x.requires_grad


@pytest.mark.parametrize("outside", [torch.enable_grad, torch.no_grad])
def test_gradients_of_a_linear_chain_are_the_closed_form(outside):
    """``x_n = prod (a_i + b_i k) x`` for the model ``k x``: by hand in x and in k."""
    nodes, k0 = grid(5), 0.7
    x, k = start().requires_grad_(), torch.tensor(k0, dtype=double, requires_grad=True)
    with outside():
        got = run(euler(nodes), lambda v, _t: k * v, x, grad=True).x
    got.sum().backward()
    factors = [(t.alpha / s.alpha, t.alpha * (t.rho - s.rho)) for s, t in nodes.steps()]
    whole = math.prod(a + b * k0 for a, b in factors)
    torch.testing.assert_close(x.grad, torch.full_like(x, whole), rtol=EXACT, atol=0)
    slope = sum(b * whole / (a + b * k0) for a, b in factors)
    torch.testing.assert_close(k.grad, slope * start().sum(), rtol=1e-10, atol=1e-12)


def test_gradients_flow_to_learned_weights():
    w = torch.tensor([0.3, -0.2], dtype=double, requires_grad=True)
    nodes, tape = grid(2), Tape()
    x = tape.input("x", nodes[0])
    for s, t in nodes.steps():
        x = tape.mark(tape.lin((x, w[0]), (tape.eval(x, s), w[1])), t)
    plan = tape.plan(x=x)

    def value(v: torch.Tensor) -> torch.Tensor:
        y = start()
        for s, _ in nodes.steps():
            y = v[0] * y + v[1] * model(y, s.t)
        return y.square().sum()

    run(plan, model, start(), grad=True).x.square().sum().backward()
    other = w.detach().clone().requires_grad_()
    value(other).backward()
    torch.testing.assert_close(w.grad, other.grad, rtol=EXACT, atol=EXACT)


def test_gradients_agree_with_differences_through_noise_and_history():
    def f(x: torch.Tensor, m: torch.Tensor) -> torch.Tensor:
        return run(two_step(grid(3)), model, x, history={"m-1": m}, grad=True).x

    x, m = (v.requires_grad_() for v in (start(2), start(2) / 2))
    assert torch.autograd.gradcheck(f, (x, m))
    assert torch.autograd.gradcheck(
        lambda v: run(noisy(3), model, v, noise=1, grad=True).x, (start(2).requires_grad_(),)
    )


def test_with_and_without_gradients_the_values_agree():
    a = run(noisy(), model, start(), noise=1).x
    b = run(noisy(), model, start(), noise=1, grad=True).x
    torch.testing.assert_close(a, b.detach(), rtol=1e-14, atol=1e-14)


# -- memory and reading back -------------------------------------------------------------------


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
            assert len(executor.flags) == len(plan.arrivals)  # to be read once, at the end


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
