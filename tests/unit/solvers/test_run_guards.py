"""A model is somebody else's code: what it may do changes nothing, what it may not is an error."""

from __future__ import annotations

import weakref
from collections.abc import Callable

import pytest
import torch

from fokker.solvers.errors import ShapeError
from fokker.solvers.plan import Plan
from fokker.solvers.registry import get
from fokker.solvers.run import run
from plans import PROCESS, grid

double = torch.float64
PLANS = {name: get(name)(PROCESS, grid(7)) for name in ("ddim", "dpmpp_2m", "dpmpp_3m", "unipc_2")}
PLANS |= {name: get(name)(PROCESS, grid(7)) for name in ("dpmpp_2s", "rho_rk4", "exp_ab5_data")}
on_plans = pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS.keys())


def start(batch: int = 3) -> torch.Tensor:
    return torch.linspace(-2, 2, batch * 4, dtype=double).reshape(batch, 4)


def safe(x: torch.Tensor, t: float) -> torch.Tensor:
    return torch.tanh(x) + t


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
