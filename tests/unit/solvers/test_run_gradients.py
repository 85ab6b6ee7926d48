"""Gradients flow through a run when they are asked for."""

from __future__ import annotations

import math

import pytest
import torch

from fokker.solvers.plan import Tape
from fokker.solvers.run import run
from plans import euler, grid, noisy, two_step
from tolerances import EXACT

double = torch.float64


def model(x: torch.Tensor, t: float) -> torch.Tensor:
    """Elementwise and not linear."""
    return torch.tanh(1.3 * x) * (0.5 + t)


def start(batch: int = 4, dtype: torch.dtype = double) -> torch.Tensor:
    return torch.linspace(-2, 2, batch * 6, dtype=double).reshape(batch, 2, 3).to(dtype)


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
