"""Gradients: reversible ones are those of backpropagation, adjoint ones converge to them."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from fokker.solvers.errors import NonFiniteError, NotInvertibleError
from fokker.solvers.noise import GridPath
from fokker.solvers.sde.basic import heun
from fokker.solvers.sde.errors import InvalidEquationError
from fokker.solvers.sde.gradients import solve_adjoint, solve_reversible
from fokker.solvers.sde.problem import SDE
from fokker.solvers.sde.reversible_heun import reversible_heun
from fokker.solvers.sde.solve import solve
from sde_problems import COUNTS, PATHS, edges, gbm

X = torch.linspace(0.2, 1.7, 8, dtype=torch.float64).reshape(4, 2)


def learned(kind: Any, p: Tensor) -> SDE:
    """Drift and diffusion that both read p and t."""

    def drift(t: float, x: Tensor) -> Tensor:
        return torch.sin(p[0] * x.flip(-1)) - p[1] * x * (1 + t)

    if kind == "additive":
        return SDE(drift, lambda t, _: 0.5 + p[2] ** 2 * (1 + t), "additive")
    if kind == "general":

        def matrix(t: float, x: Tensor) -> Tensor:
            return torch.stack([p[2] * torch.cos(x), x.flip(-1) * p[1] + t], -1)

        return SDE(drift, matrix, "general", "stratonovich", noises=2)
    return SDE(drift, lambda t, x: p[2] * torch.sin(x + t), kind, "stratonovich", signed=True)


def loss(out: Tensor) -> Tensor:
    return (out * torch.arange(1.0, 9.0, dtype=out.dtype).reshape(4, 2)).square().sum()


def inputs() -> tuple[Tensor, Tensor]:
    p = torch.tensor([0.8, 0.6, 0.7], dtype=torch.float64, requires_grad=True)
    return X.clone().requires_grad_(), p


@pytest.mark.parametrize("kind", ["additive", "diagonal", "scalar", "general"])
def test_the_reversible_gradient_is_that_of_backpropagation(kind: str):
    x, p = inputs()
    stored = solve(learned(kind, p), reversible_heun, edges(64), x, noise=3, grad=True).x
    expected = torch.autograd.grad(loss(stored), (x, p))
    x, p = inputs()
    out = solve_reversible(learned(kind, p), edges(64), x, noise=3, params=(p,))
    assert torch.equal(out, stored)
    for a, b in zip(torch.autograd.grad(loss(out), (x, p)), expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_the_reversible_gradient_is_the_derivative_of_what_it_computes():
    path = GridPath(edges(8), seed=1)

    def run(x: Tensor, p: Tensor) -> Tensor:
        return solve_reversible(learned("diagonal", p), edges(8), x, noise=path, params=(p,))

    assert torch.autograd.gradcheck(run, inputs())


@pytest.mark.parametrize("kind", ["additive", "diagonal"])
def test_the_adjoint_gradient_converges_to_that_of_the_fine_solve(kind: str):
    def gradient(function, n: int, **options) -> Tensor:
        x, p = inputs()
        out = function(learned(kind, p), edges(n), x, noise=path, params=(p,), **options)
        return torch.cat([g.flatten() for g in torch.autograd.grad(loss(out), (x, p))])

    path = GridPath(edges(COUNTS[-1]), seed=2)
    truth = gradient(solve_reversible, 256)
    errors = [float((gradient(solve_adjoint, n) - truth).norm() / truth.norm()) for n in (16, 128)]
    assert errors[1] < 0.02
    assert math.log(errors[0] / errors[1], 8) > 0.7, errors


def test_the_adjoint_of_geometric_brownian_motion_is_the_exact_one():
    """``dX(T)/dX(0) = X(T)/X(0)``; ``dX(T)/dmu = T X(T)``."""
    x = torch.ones(400, 2, dtype=torch.float64, requires_grad=True)
    mu = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    sde = SDE(lambda _, x: mu * x, lambda _, x: 0.4 * x, calculus="stratonovich")
    out = solve_adjoint(sde, edges(256), x, noise=PATHS[400], params=(mu,))
    by_x, by_mu = torch.autograd.grad(out.sum(), (x, mu))
    torch.testing.assert_close(by_x, out.detach(), rtol=2e-2, atol=0)
    assert float(by_mu) == pytest.approx(float(out.detach().sum()), rel=1e-3)


def contracting(p: Tensor, rate: float) -> SDE:
    return SDE(lambda _, x: -rate * p * (torch.sin(x) + 0.5 * x), lambda *_: 0.5, "additive")


def gradients(function: Any, rate: float, dtype: torch.dtype, time: float = 4.0) -> list[Tensor]:
    """By start and parameter, of a run of 80 steps that draws its states together."""
    x = X.to(dtype, copy=True).requires_grad_()
    p = torch.ones((), dtype=dtype, requires_grad=True)
    times = [time * t for t in edges(80)]
    return list(torch.autograd.grad(function(contracting(p, rate), times, x, p).sum(), (x, p)))


def by_reversal(sde: SDE, times: list[float], x: Tensor, p: Tensor) -> Tensor:
    return solve_reversible(sde, times, x, noise=5, params=(p,))


def stored(sde: SDE, times: list[float], x: Tensor, _: Tensor) -> Tensor:
    return solve(sde, reversible_heun, times, x, noise=5, grad=True).x


def by_adjoint(sde: SDE, times: list[float], x: Tensor, p: Tensor) -> Tensor:
    return solve_adjoint(sde, times, x, noise=5, params=(p,))


def test_a_way_back_that_loses_half_of_the_digits_is_an_error_and_no_gradient():
    """Rounding grows on the way back as the drift contracts on the way forward."""
    with pytest.raises(NotInvertibleError, match=r"misses the start by .* take float64"):
        gradients(by_reversal, 3.0, torch.float32)
    for rate, dtype, digits in ((3.0, torch.float64, 1e-6), (0.5, torch.float32, 1e-3)):
        found = gradients(by_reversal, rate, dtype)
        for a, b in zip(found, gradients(stored, rate, dtype), strict=True):
            torch.testing.assert_close(a, b, rtol=digits, atol=digits)


def test_the_adjoint_of_a_run_that_forgets_its_start_has_no_gradient_by_the_start():
    x = X.clone().requires_grad_()
    p = torch.ones((), dtype=torch.float64, requires_grad=True)
    long = [12 * t for t in edges(240)]
    with pytest.raises(NotInvertibleError, match="misses the start"):
        by_adjoint(contracting(p, 1.0), long, x, p).sum().backward()
    by_adjoint(contracting(p, 1.0), long, X, p).sum().backward()
    again = torch.ones((), dtype=torch.float64, requires_grad=True)
    out = solve(contracting(again, 1.0), heun, long, X, noise=5, grad=True).x
    assert p.grad is not None
    (truth,) = torch.autograd.grad(out.sum(), again)
    assert float(p.grad) == pytest.approx(float(truth), rel=0.02)


def test_memory_does_not_grow_with_steps():
    """Tensors saved for the backward pass, counted by autograd itself."""

    def saved(steps: int, reversible: bool) -> int:
        count = 0

        def pack(t: Tensor) -> Tensor:
            nonlocal count
            count += t.numel()
            return t

        x, p = inputs()
        sde = learned("diagonal", p)
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            if reversible:
                solve_reversible(sde, edges(steps), x, noise=0, params=(p,))
            else:
                solve(sde, heun, edges(steps), x, noise=0, grad=True)
        return count

    assert saved(32, True) == saved(8, True)
    assert saved(32, False) > 3 * saved(8, False)


def test_only_stratonovich_equations_have_these_gradients():
    for function in (solve_adjoint, solve_reversible):
        with pytest.raises(InvalidEquationError, match="solves stratonovich equations"):
            function(gbm("ito"), edges(4), X, noise=0)


def test_a_gradient_that_is_not_finite_is_an_error():
    x = torch.zeros(2, 1, dtype=torch.float64, requires_grad=True)
    sde = SDE(lambda _, x: x.abs().sqrt(), lambda *_: 0.0, noise="additive")
    out = solve_reversible(sde, [0.0, 1.0], x, noise=0)
    with pytest.raises(NonFiniteError, match="gradient through the solve is not finite"):
        torch.autograd.grad(out.sum(), x)
