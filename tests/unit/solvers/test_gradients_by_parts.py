"""Gradients through a run without its whole memory: the same as plain backpropagation's."""

from __future__ import annotations

import weakref
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fokker.solvers.errors import InvalidPlanError, NonFiniteError, NotInvertibleError
from fokker.solvers.gradients import reversible_gradient
from fokker.solvers.gradients.checkpointing import checkpointed, cut
from fokker.solvers.gradients.reversible_gradient import reversible_sample, undoing
from fokker.solvers.grids import Grid, wavy_lam
from fokker.solvers.plan import Tape
from fokker.solvers.registry import get
from fokker.solvers.run import run
from fokker.solvers.schedules import VPLinear
from plans import noisy, two_step

VP = VPLinear()
REVERSIBLE = ("bdia", "o_belm", "reversible_heun", "two_stream")


def grid(steps: int = 20) -> Grid:
    return wavy_lam(VP, -3.0, 2.0).grid(steps)


def start() -> Tensor:
    return torch.linspace(-2, 2, 12, dtype=torch.float64).reshape(4, 3)


class Net(nn.Module):
    """A small network with weights of its own, nonlinear and aware of the time."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        sizes = ((8, 3), (8,), (3, 8))
        self.weights = nn.ParameterList(
            [torch.randn(s, generator=generator, dtype=torch.float64) / 3 for s in sizes]
        )

    def forward(self, x: Tensor, t: float) -> Tensor:
        a, b, c = self.weights
        return 0.3 * x + torch.tanh((1 + t) * (x @ a.T + b)) @ c.T


def gradients(net: Net, sample: Callable[[Tensor], Tensor]) -> list[Tensor]:
    """Of a loss of the sample, with respect to the start and to every parameter."""
    net.zero_grad()
    x = start().requires_grad_()
    (sample(x).square().sum() + sample(x).sin().sum()).backward()
    found = [x.grad, *(p.grad for p in net.parameters())]
    return [g.clone() for g in found if g is not None]


# -- in parts -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ddim", "dpmpp_3m", "unipc_2", "rho_rk4", "o_belm"])
@pytest.mark.parametrize("parts", [None, 1, 3, 20])
def test_checkpointed_gradients_are_those_of_backpropagation_bit_for_bit(name, parts):
    net, plan = Net(), get(name)(VP, grid())
    truth = gradients(net, lambda x: run(plan, net, x, grad=True).x)
    found = gradients(net, lambda x: checkpointed(plan, net, x, parts=parts))
    assert len(truth) == len(found) == 4
    for a, b in zip(found, truth, strict=True):
        assert torch.equal(a, b)
        assert a.abs().max() > 1e-3


def test_noise_and_history_are_the_same_in_both_runs():
    net = Net()
    truth = gradients(net, lambda x: run(noisy(6), net, x, noise=3, grad=True).x)
    found = gradients(net, lambda x: checkpointed(noisy(6), net, x, parts=3, noise=3))
    other = gradients(net, lambda x: checkpointed(noisy(6), net, x, parts=3, noise=4))
    assert all(torch.equal(a, b) for a, b in zip(found, truth, strict=True))
    assert not torch.equal(other[0], truth[0])
    plan = two_step(grid(6))

    def late(sample: Callable[..., Tensor]) -> Tensor:
        m = start().cos().requires_grad_()
        sample(start(), {"m-1": m}).square().sum().backward()
        assert m.grad is not None
        return m.grad

    a = late(lambda x, h: run(plan, net, x, history=h, grad=True).x)
    b = late(lambda x, h: checkpointed(plan, net, x, history=h, parts=2))
    assert torch.equal(a, b)


@pytest.mark.parametrize("name", ["dpmpp_3m", "unipc_3", "two_stream"])
def test_the_parts_of_a_plan_one_after_another_are_the_plan(name):
    plan = get(name)(VP, grid(11))
    for parts in (1, 2, 4, 11):
        live = {0: start()}
        found = cut(plan, parts)
        assert len(found) == parts
        for part in found:
            names = ["x", *(f"v{j}" for j in part.takes[1:])]
            given = dict(zip(names, (live[j] for j in part.takes), strict=True))
            out = run(part.plan, Net(), given.pop("x"), history=given).outputs
            live |= dict(zip(part.gives, out.values(), strict=True))
        # an evaluation at the joint may be asked for on either side, never twice
        assert sum(part.plan.nfe for part in found) == plan.nfe
        for out, j in plan.outputs.items():
            assert torch.equal(live[j], run(plan, Net(), start()).outputs[out])


@pytest.mark.parametrize("parts", [0, 21, 1.5, True])
def test_a_number_of_parts_that_is_none_is_refused(parts):
    with pytest.raises(InvalidPlanError, match=r"a plan of 20 steps is cut into 1 .. 20 parts"):
        checkpointed(get("ddim")(VP, grid()), Net(), start(), parts=parts)


def test_a_missing_history_is_named():
    with pytest.raises(InvalidPlanError, match="'m-1' is missing"):
        checkpointed(two_step(grid(3)), Net(), start())
    pairs = get("o_belm")(VP, grid().part(1, 4), resume=grid()[0], carry=True)
    with pytest.raises(InvalidPlanError, match="'x-1' is missing"):
        reversible_sample(pairs, Net(), start())


# -- reversible -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REVERSIBLE)
@pytest.mark.parametrize("steps", [1, 2, 20, 100])
def test_gradients_by_reversal_are_those_of_backpropagation(name, steps):
    net, plan = Net(), get(name)(VP, grid(steps), carry=True)
    truth = gradients(net, lambda x: run(plan, net, x, grad=True).x)
    found = gradients(net, lambda x: reversible_sample(plan, net, x)["x"])
    assert len(truth) == len(found) == 4
    for a, b in zip(found, truth, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10 * float(b.abs().max()))


@pytest.mark.parametrize("name", REVERSIBLE)
def test_gradients_reach_both_states_of_a_pair_and_come_from_both(name):
    net = Net()
    part = grid().part(1, 20) if name in ("bdia", "o_belm") else grid()
    plan = get(name)(VP, part, carry=True, resume=grid()[0])
    (other,) = set(plan.inputs) - {"x"}

    def pair(sample: Callable[..., dict[str, Tensor]]) -> list[Tensor]:
        x, second = start().requires_grad_(), (1.1 * start()).requires_grad_()
        out = sample(x, {other: second})
        (out["x"].square() + out[other].sin()).sum().backward()
        assert x.grad is not None
        assert second.grad is not None
        return [x.grad, second.grad]

    truth = pair(lambda x, h: run(plan, net, x, history=h, grad=True).outputs)
    found = pair(lambda x, h: reversible_sample(plan, net, x, history=h))
    for a, b in zip(found, truth, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_a_noise_on_the_way_is_drawn_again_on_the_way_back():
    nodes, tape = grid(6).nodes, Tape()
    old, x = tape.input("x-1", nodes[0]), tape.input("x", nodes[0])
    for s, t in grid(6).steps():  # a leapfrog with noise and a weight for each coordinate
        m, xi = tape.eval(x, s), tape.noise("lam", s.lam, t.lam)
        w = np.array([0.9, 0.8, 1.1])
        old, x = x, tape.mark(tape.lin((old, w), (m, 0.3), (xi, 0.2)), t)
    plan, net = tape.plan(**{"x": x, "x-1": old}), Net()
    h = {"x-1": start().cos()}
    truth = gradients(net, lambda v: run(plan, net, v, history=h, noise=2, grad=True).x)
    found = gradients(net, lambda v: reversible_sample(plan, net, v, history=h, noise=2)["x"])
    for a, b in zip(found, truth, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_a_model_that_says_the_same_whatever_it_is_asked_has_no_gradient_of_its_own():
    plan = get("reversible_heun")(VP, grid(4), carry=True)

    def constant(x: Tensor, _t: float) -> Tensor:
        return torch.ones(x.shape, dtype=x.dtype)

    x = start().requires_grad_()
    reversible_sample(plan, constant, x)["x"].sum().backward()
    ratio = grid(4)[-1].sigma / grid(4)[0].sigma  # x/sigma moves by a constant
    torch.testing.assert_close(x.grad, torch.full_like(x, ratio), rtol=1e-12, atol=0)


def test_every_vector_is_found_again_once_and_newest_first():
    plan = get("o_belm")(VP, grid(5), carry=True)
    vectors = [event.vector for event in undoing(plan)]
    assert len(vectors) == len(set(vectors)) == len(plan.ops) - 2
    for op in plan.inputs.values():
        assert op in vectors


@pytest.mark.parametrize("name", ["ddim", "dpmpp_2m", "o_belm"])
def test_a_plan_that_does_not_put_out_its_states_is_refused(name):
    with pytest.raises(NotInvertibleError, match=r"cannot be found again .* carry=True"):
        reversible_sample(get(name)(VP, grid()), Net(), start())


def test_learned_weights_are_refused_not_ignored():
    nodes, tape = grid(2).nodes, Tape()
    w = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    x = tape.input("x", nodes[0])
    plan = tape.plan(x=tape.lin((x, w)))
    with pytest.raises(NotInvertibleError, match="does not reach learned weights"):
        reversible_sample(plan, Net(), start())


def test_a_gradient_that_is_not_finite_is_an_error():
    def model(x: Tensor, _t: float) -> Tensor:
        return x.abs().sqrt()  # at 0 its slope is infinite

    x = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    out = reversible_sample(get("reversible_heun")(VP, grid(2), carry=True), model, x)["x"]
    with pytest.raises(NonFiniteError, match="gradient of a reversible run is not finite"):
        out.sum().backward()


# -- memory ---------------------------------------------------------------------------------------


class Held:
    """Counts tensors that a model saved for its gradient and that are still alive."""

    def __init__(self) -> None:
        self.now = self.peak = 0

    def born(self, tensor: Tensor) -> None:
        self.now += 1
        self.peak = max(self.peak, self.now)
        weakref.finalize(tensor, self.died)

    def died(self) -> None:
        self.now -= 1


@pytest.fixture
def held() -> Held:
    return Held()


def tanh_model(held: Held) -> Callable[[Tensor, float], Tensor]:
    """A model of one operation, which saves one tensor of the size of the state for it."""

    class Tanh(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            saved = torch.tanh(x)
            held.born(saved)
            ctx.save_for_backward(saved)
            return saved.clone()

        @staticmethod
        def backward(ctx, bar):
            (saved,) = ctx.saved_tensors
            return bar * (1 - saved**2)

    return lambda x, t: (1 + t) * Tanh.apply(x)  # type: ignore[operator]


def peak(sample: Callable[[Tensor], Tensor], held: Held) -> int:
    held.peak = held.now = 0
    x = start().requires_grad_()
    sample(x).sum().backward()
    assert x.grad is not None
    return held.peak


def test_memory_is_linear_by_backpropagation_a_root_in_parts_and_constant_by_reversal(held):
    model = tanh_model(held)
    for steps in (16, 64, 144):
        plan = get("o_belm")(VP, grid(steps), carry=True)
        assert peak(lambda x, p=plan: run(p, model, x, grad=True).x, held) >= steps
        assert peak(lambda x, p=plan: checkpointed(p, model, x), held) <= steps**0.5 + 3
        assert peak(lambda x, p=plan: reversible_sample(p, model, x)["x"], held) <= 2


def test_states_that_are_no_longer_needed_are_dropped_on_the_way_back(monkeypatch):
    held: list[int] = []
    ask = reversible_gradient._Sweep._ask

    def counted(self, row, op):
        held.append(len(self.vectors))
        return ask(self, row, op)

    monkeypatch.setattr(reversible_gradient._Sweep, "_ask", counted)
    for name in REVERSIBLE:
        for steps in (10, 80):
            held.clear()
            x = start().requires_grad_()
            out = reversible_sample(get(name)(VP, grid(steps), carry=True), Net(), x)
            out["x"].sum().backward()
            assert max(held) <= 5, name


def test_what_autograd_keeps_of_a_reversible_run_does_not_grow_with_its_steps():
    """Saved tensors as PyTorch counts them, after the way there and before the way back."""
    counts = []
    for steps in (10, 40, 160):
        kept: list[Tensor] = []
        plan = get("reversible_heun")(VP, grid(steps), carry=True)

        def pack(tensor: Tensor, kept: list[Tensor] = kept) -> Tensor:
            kept.append(tensor)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            reversible_sample(plan, Net(), start().requires_grad_())
        counts.append(len(kept))
    assert counts[0] == counts[1] == counts[2] == 2 + 3  # both states, three parameters
