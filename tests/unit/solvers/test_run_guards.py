"""A model is somebody else's code: what it may do changes nothing, what it may not is an error."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable
from typing import cast

import numpy as np
import pytest
import torch
from plans import PROCESS, euler, grid, leapfrog, two_step

from fokker.solvers.errors import InvalidPlanError, NonFiniteError, ShapeError
from fokker.solvers.noise import CellNoise
from fokker.solvers.plan import Noise, Plan, Tape
from fokker.solvers.registry import get
from fokker.solvers.run import run

double = torch.float64
PLANS = {name: get(name)(PROCESS, grid(7)) for name in ("ddim", "dpmpp_2m", "dpmpp_3m", "unipc_2")}
PLANS |= {name: get(name)(PROCESS, grid(7)) for name in ("dpmpp_2s", "rho_rk4", "exp_ab5_data")}
on_plans = pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS.keys())


def start(batch: int = 3) -> torch.Tensor:
    return torch.linspace(-2, 2, batch * 4, dtype=double).reshape(batch, 4)


def safe(x: torch.Tensor, t: float) -> torch.Tensor:
    return torch.tanh(x) + t


# -- what a model may do -----------------------------------------------------------------------


@on_plans
@pytest.mark.parametrize(
    "view",
    [
        lambda x: x,
        lambda x: x.view(-1).view(x.shape),
        lambda x: x[:, :],
        lambda x: x.flip(0).flip(0).copy_(x),
        lambda x: x.detach(),
        lambda x: x.T.T,
    ],
    ids=["input", "view", "slice", "copy", "detach", "transpose"],
)
def test_a_model_may_return_its_input_or_a_view_of_it(plan: Plan, view: Callable):
    want = run(plan, lambda x, _t: x.clone(), start())
    got = run(plan, lambda x, _t: view(x), start())
    for name, value in want.outputs.items():
        assert torch.equal(got.outputs[name], value)


@on_plans
@pytest.mark.parametrize("kind", ["same", "expanded", "view", "array"])
def test_a_model_may_return_one_constant_again_and_again(plan: Plan, kind: str):
    constant = start() / 7
    array = constant.numpy()
    row = torch.full((1, 1), 0.3, dtype=double)
    make = {
        "same": lambda: constant,
        "expanded": lambda: row.expand(3, 4),
        "view": lambda: constant[:, :],
        "array": lambda: torch.from_numpy(array),
    }[kind]
    before = make().clone()
    got = run(plan, lambda _x, _t: make(), start())
    want = run(plan, lambda _x, _t: make().clone(), start())
    rounding = 1e-15 if kind == "expanded" else 0.0  # an expanded tensor is read by another loop
    for name, value in want.outputs.items():
        torch.testing.assert_close(got.outputs[name], value, rtol=rounding, atol=rounding)
        got.outputs[name].fill_(99.0)  # what comes out is the caller's to change
    assert torch.equal(make(), before)


@on_plans
def test_a_model_may_keep_what_it_was_given(plan: Plan):
    kept: list[torch.Tensor] = []
    copies: list[torch.Tensor] = []

    def recorder(x, t):
        kept.append(x)
        copies.append(x.clone())
        return safe(x, t)

    got = run(plan, recorder, start()).x
    assert all(torch.equal(a, b) for a, b in zip(kept, copies, strict=True))
    assert torch.equal(got, run(plan, safe, start()).x)


@on_plans
def test_a_model_may_keep_a_part_and_return_what_it_kept(plan: Plan):
    parts, copies = [], []

    def echo(x, _t):
        parts.append(x[1:])
        copies.append(x[1:].clone())
        return torch.cat([parts[-1], parts[max(0, len(parts) - 3)][:1]])

    def fresh(x, _t):
        seen.append(x[1:].clone())
        return torch.cat([seen[-1], seen[max(0, len(seen) - 3)][:1]])

    seen: list[torch.Tensor] = []
    got, want = run(plan, echo, start()).x, run(plan, fresh, start()).x
    assert all(torch.equal(a, b) for a, b in zip(parts, copies, strict=True))
    assert torch.equal(got, want)


@on_plans
def test_a_model_may_return_an_input_it_was_given_earlier(plan: Plan):
    def delayed(keep: Callable) -> Callable:
        past: list[torch.Tensor] = []

        def f(x, _t):
            past.append(keep(x))
            return past[max(0, len(past) - 3)]

        return f

    got = run(plan, delayed(lambda x: x), start())
    want = run(plan, delayed(lambda x: x.clone()), start())
    for name, value in want.outputs.items():
        assert torch.equal(got.outputs[name], value)


@on_plans
def test_a_model_may_differentiate_with_respect_to_its_input(plan: Plan):
    """As guidance does: the flag it sets and the graph it makes stay its own."""

    def guided(x, t):
        with torch.enable_grad():
            x.requires_grad_()
            value = safe(x, t)
            (slope,) = torch.autograd.grad(value.sum(), x, retain_graph=True)
        return value + 0.1 * slope  # carries a graph if gradients are on outside

    got = run(plan, guided, start())
    want = run(plan, lambda x, t: safe(x, t) + 0.1 / torch.cosh(x) ** 2, start())
    torch.testing.assert_close(got.x, want.x, rtol=1e-12, atol=1e-12)
    assert not got.x.requires_grad


@on_plans
def test_an_output_may_carry_a_graph(plan: Plan):
    weight = torch.tensor(1.0, dtype=double, requires_grad=True)

    def learned(x, t):
        with torch.enable_grad():
            return weight * safe(x, t)

    got = run(plan, learned, start())
    assert torch.equal(got.x, run(plan, safe, start()).x)
    assert all(not v.requires_grad for v in got.outputs.values())


def test_the_graph_of_an_output_is_let_go_at_once():
    weight = torch.tensor(1.0, dtype=double, requires_grad=True)
    saved: list[weakref.ref] = []

    class Packed:
        def __init__(self, value: torch.Tensor) -> None:
            self.value = value
            saved.append(weakref.ref(self))

    def learned(x, t):
        assert all(ref() is None for ref in saved)  # of the outputs that are still alive
        with (
            torch.enable_grad(),
            torch.autograd.graph.saved_tensors_hooks(Packed, lambda packed: packed.value),
        ):
            return weight * safe(x, t)

    run(PLANS["dpmpp_3m"], learned, start())
    assert saved


@on_plans
@pytest.mark.parametrize("outside", [False, True])
def test_a_model_may_run_in_inference_mode(plan: Plan, outside: bool):
    frozen = torch.inference_mode()(safe)
    x = start()
    with torch.inference_mode(outside):
        if outside:
            x = x.clone()  # an inference tensor itself
        got = run(plan, frozen, x).x
    assert torch.equal(got, run(plan, safe, start()).x)


@pytest.mark.parametrize("name", ["ddim", "dpmpp_2s"])
def test_one_buffer_for_every_output_is_fine_where_no_output_is_kept(name: str):
    buffer = torch.empty(3, 4, dtype=double)
    plan = PLANS[name]
    plan = Plan(plan.ops, {"x": plan.outputs["x"]}, plan.marks)  # ddim also gives out m-1
    got = run(plan, lambda x, t: buffer.copy_(safe(x, t)), start()).x
    assert torch.equal(got, run(plan, safe, start()).x)


# -- what a model may not do -------------------------------------------------------------------


def multistep_plans() -> list[Plan]:
    return [PLANS[name] for name in ("dpmpp_2m", "dpmpp_3m", "unipc_2", "exp_ab5_data")]


@pytest.mark.parametrize("how", ["copy", "out", "array", "fresh array", "data"])
def test_overwriting_an_output_that_is_still_needed_is_an_error(how: str):
    for plan in multistep_plans():
        buffer = torch.zeros(3, 4, dtype=double)
        array = buffer.numpy()

        def static(x, t, buffer=buffer, array=array):
            value = safe(x, t)
            match how:
                case "copy":
                    return buffer.copy_(value)
                case "out":
                    return torch.mul(value, 1.0, out=buffer)
                case "data":
                    buffer.data.copy_(value)
                    return buffer
                case _:  # written by something that is not torch
                    array[...] = value.numpy()
                    return buffer if how == "array" else torch.from_numpy(array)

        with pytest.raises(ShapeError, match=r"at t = .* wrote into an output .* before"):
            run(plan, static, start())


def test_two_buffers_in_turns_are_an_error_where_three_outputs_are_alive():
    buffers = [torch.zeros(3, 4, dtype=double) for _ in range(2)]
    calls = 0

    def alternating(x, t):
        nonlocal calls
        calls += 1
        return buffers[calls % 2].copy_(safe(x, t))

    want = run(PLANS["dpmpp_2m"], safe, start()).x
    assert torch.equal(run(PLANS["dpmpp_2m"], alternating, start()).x, want)
    with pytest.raises(ShapeError, match="wrote into an output"):
        run(PLANS["dpmpp_3m"], alternating, start())


def test_changing_an_earlier_output_without_returning_it_is_an_error():
    last: list[torch.Tensor] = []

    def meddling(x, t):
        if last:
            last[-1].mul_(0.5)
        last.append(safe(x, t))
        return last[-1]

    with pytest.raises(ShapeError, match="wrote into an output"):
        run(PLANS["dpmpp_2m"], meddling, start())


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.mul_(2.0),
        lambda x: x.clamp_(-1, 1),
        lambda x: x[0].zero_(),
        lambda x: torch.add(x, 1.0, out=x),
        lambda x: x.view(-1).__setitem__(0, 5.0),
    ],
)
@pytest.mark.parametrize("call", [1, 3])
def test_changing_the_input_in_place_is_an_error_that_says_when(change: Callable, call: int):
    calls = 0

    def careless(x, t):
        nonlocal calls
        calls += 1
        if calls == call:
            change(x)
        return safe(x, t)

    t = grid(7)[call - 1].t
    with pytest.raises(ShapeError, match=f"changed its input in place at t = {t}"):
        run(PLANS["ddim"], careless, start())


# -- what comes in and goes out ----------------------------------------------------------------


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


# -- noise -------------------------------------------------------------------------------------


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


# -- what is not finite ------------------------------------------------------------------------


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
