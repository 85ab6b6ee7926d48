"""One step at a random time stands for all of them, and training with it saves steps."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from fokker.solvers.errors import AnalysisError, NonFiniteError
from fokker.solvers.noise import CellNoise
from fokker.solvers.sde.adaptive import solve_adaptive
from fokker.solvers.sde.basic import euler_maruyama, heun, milstein
from fokker.solvers.sde.errors import InvalidEquationError
from fokker.solvers.sde.method import Cell
from fokker.solvers.sde.path import DyadicPath
from fokker.solvers.sde.problem import SDE
from fokker.solvers.sde.regularised import local_error, sampled_local_error
from fokker.solvers.sde.reversible_heun import reversible_heun
from fokker.solvers.sde.rungekutta import srk15
from fokker.solvers.sde.solve import drawn, solve
from sde_problems import diagonal, gbm

F64 = torch.float64
PAIR = euler_maruyama, heun
X = torch.linspace(0.5, 1.5, 4, dtype=F64).reshape(4, 1)
GRID = [0.0, 0.1, 0.15, 0.4, 0.7, 1.0]
WAVES = 2


def swinging(theta: Tensor, noise: float = 0.0) -> SDE:
    """``x' = (theta_0 + theta_1 w cos(w t)) x``, w two turns: theta_1 changes no end at t = 1."""
    w = 2 * math.pi * WAVES

    def drift(t: float, x: Tensor) -> Tensor:
        return (theta[0] + theta[1] * w * math.cos(w * t)) * x

    return SDE(drift, lambda *_: noise, noise="additive")


def parameters() -> Tensor:
    return torch.tensor([0.2, 0.3], dtype=F64, requires_grad=True)


def test_the_mean_over_a_uniform_time_is_the_sum_over_the_steps():
    """Exactly, on a grid that is not uniform, with noise; by steps without a weight it is not."""
    sde = swinging(parameters().detach(), noise=0.4)
    states = solve(sde, heun, GRID, X, noise=3, save_at=range(5)).saved
    total, mean, unweighted = 0.0, 0.0, 0.0
    for n, (a, b) in enumerate(pairwise(GRID)):
        cell = drawn(sde, heun, CellNoise(3), a, b, X)
        error = float(local_error(sde, PAIR, cell, states[n]))
        found = sampled_local_error(sde, PAIR, GRID, X, noise=3, u=a + 0.3 * (b - a))
        assert float(found) == pytest.approx(error / (b - a), rel=1e-13)
        total, mean = total + error, mean + (b - a) * float(found)
        unweighted += error * (b - a) * 5
    assert mean == pytest.approx(total, rel=1e-13)
    assert abs(unweighted - total) > 0.05 * total


def test_the_gradient_is_through_the_one_step_only():
    theta = parameters()
    found = sampled_local_error(swinging(theta), PAIR, GRID, X, noise=0, u=0.3)
    gradient = torch.autograd.grad(found, theta)[0]
    fixed = solve(swinging(theta), heun, GRID[:3], X, noise=0).x
    a, h = 0.15, 0.25

    def by_hand(p: Tensor) -> Tensor:
        f, w = swinging(p).drift, 2 * math.pi * WAVES
        assert f(0.0, X).shape == X.shape
        begin = (p[0] + p[1] * w * math.cos(w * a)) * fixed
        end = (p[0] + p[1] * w * math.cos(w * (a + h))) * (fixed + h * begin)
        return (h / 2 * (end - begin)).square().mean().sqrt() / h

    torch.testing.assert_close(found, by_hand(theta), rtol=1e-12, atol=0)
    torch.testing.assert_close(
        gradient, torch.autograd.grad(by_hand(theta), theta)[0], rtol=1e-12, atol=1e-14
    )
    through = solve(swinging(theta), heun, GRID[:3], X, noise=0, grad=True).x
    cell = Cell(a, h, torch.zeros_like(X))
    whole = torch.autograd.grad(local_error(swinging(theta), PAIR, cell, through) / h, theta)[0]
    assert float((whole - gradient).abs().max()) > 1e-3  # the state owes something, too


def trained(strength: float) -> tuple[Tensor, float]:
    """Parameters after training to ``x(1) = e^(1/2) x(0)``, and the error of the end.

    The strength goes down to 0 while the training goes on.
    """
    theta = torch.tensor([0.0, 0.5], dtype=F64, requires_grad=True)
    uniform = torch.rand(60, generator=torch.Generator().manual_seed(0), dtype=F64).tolist()
    grid = [k / 20 for k in range(21)]
    for k, u in enumerate(uniform):
        sde = swinging(theta)
        end = solve(sde, heun, grid, X, noise=0, grad=True).x
        loss = (end - math.exp(0.5) * X).square().mean()
        if strength:
            error = sampled_local_error(sde, PAIR, grid, X, noise=0, u=u)
            loss = loss + strength * (1 - k / len(uniform)) * error
        gradient = torch.autograd.grad(loss, theta)[0]
        theta = (theta - 0.08 * gradient).detach().requires_grad_()
    fine = [k / 256 for k in range(257)]
    end = solve(swinging(theta.detach()), heun, fine, X, noise=0).x
    return theta.detach(), float((end / X - math.exp(0.5)).abs().max())


def adaptive_steps(theta: Tensor) -> int:
    path = DyadicPath(0.0, 1.0, 0)
    out = solve_adaptive(swinging(theta), heun, path, X, rtol=1e-4, atol=1e-4, first=2)
    return int((out.accepted + out.refused).max())


def test_training_with_the_local_error_needs_fewer_steps_at_the_same_accuracy():
    """Without it nothing tells the training that the swing is of no use."""
    plain, plain_error = trained(0.0)
    kept, kept_error = trained(0.05)
    assert kept_error < 1e-3
    assert kept_error < plain_error < 0.1
    assert abs(float(plain[1])) > 0.3
    assert abs(float(kept[1])) < 0.01
    assert adaptive_steps(kept) < 0.2 * adaptive_steps(plain)


def test_an_error_of_zero_has_a_gradient_of_zero():
    theta = torch.zeros(2, dtype=F64, requires_grad=True)
    found = sampled_local_error(swinging(theta), PAIR, GRID, X, noise=0, u=0.0)
    assert float(found.detach()) == 0.0
    assert not bool(torch.autograd.grad(found, theta)[0].any())


def test_multiplicative_noise_and_areas_have_pairs_of_their_own():
    x, fine = X.repeat(1, 2), [k / 64 for k in range(65)]
    low = sampled_local_error(diagonal(), (milstein, srk15), fine, x, noise=2, u=0.3)
    lower = sampled_local_error(diagonal(), (euler_maruyama, srk15), fine, x, noise=2, u=0.3)
    assert 0 < float(low) < 0.5 * float(lower)


def test_what_makes_no_sense_is_refused():
    sde = swinging(parameters())
    for u in (-0.1, 1.0, math.nan):
        with pytest.raises(AnalysisError, match=r"must lie in \[0, 1\)"):
            sampled_local_error(sde, PAIR, GRID, X, noise=0, u=u)
    with pytest.raises(InvalidEquationError, match="carries a second state"):
        sampled_local_error(sde, (euler_maruyama, reversible_heun), GRID, X, noise=0, u=0.5)
    with pytest.raises(InvalidEquationError, match="solves stratonovich"):
        sampled_local_error(gbm(), PAIR, GRID, X, noise=0, u=0.5)
    with pytest.raises(NonFiniteError, match="the start is not finite"):
        sampled_local_error(sde, PAIR, GRID, X * math.nan, noise=0, u=0.5)
