"""Adaptive steps keep the tolerance and the law, and each sample has its own."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from fokker.solvers.errors import AnalysisError
from fokker.solvers.noise import CellNoise
from fokker.solvers.ops import Noise
from fokker.solvers.sde.adaptive import solve_adaptive
from fokker.solvers.sde.basic import euler_maruyama, heun, milstein
from fokker.solvers.sde.errors import InvalidEquationError, StepUnderflowError
from fokker.solvers.sde.path import DyadicPath, Piece
from fokker.solvers.sde.problem import SDE
from fokker.solvers.sde.reversible_heun import reversible_heun
from fokker.solvers.sde.rungekutta import sra1, srk15
from sde_problems import additive, gbm

OU = SDE(lambda _, x: -2 * x, lambda *_: 1.0, noise="additive")
VARIANCE = -math.expm1(-4) / 4


class Redrawn(DyadicPath):
    """The mistake: a refused step is replaced by two with fresh noise."""

    def halves(self, piece: Piece, ids: list[int] | None) -> tuple[Piece, Piece]:
        pieces = []
        for half in super().halves(piece, ids):
            h = half.b - half.a
            source = CellNoise(self.seed, ids)
            fields = [source.draw(Noise("fresh", half.a, half.b, k), half.w) for k in "WH"]
            w, area = fields[0] * math.sqrt(h), fields[1] * math.sqrt(h / 12)
            pieces.append(half._replace(w=w, area=area))
        return pieces[0], pieces[1]


def variance_in_errors(path: DyadicPath) -> float:
    """Difference of the variance at the end from the exact one, in standard errors."""
    x = torch.zeros(20_000, 1, dtype=torch.float64)
    out = solve_adaptive(OU, heun, path, x, rtol=0, atol=0.03, first=3, depth=14)
    assert float(out.refused.double().mean()) > 0.05  # the choice is not idle
    return float(out.x.var() / VARIANCE - 1) / math.sqrt(2 / len(x))


def test_the_law_is_not_biased_by_refused_steps():
    """Bar 5.5 standard errors: false alarm below 1e-7. Redrawing the noise is far outside."""
    assert abs(variance_in_errors(DyadicPath(0.0, 1.0, seed=1))) < 5.5


def test_redrawing_the_noise_of_refused_steps_would_bias_it():
    x = torch.zeros(1500, 1, dtype=torch.float64)
    path = Redrawn(0.0, 1.0, seed=1)
    out = solve_adaptive(OU, heun, path, x, rtol=0, atol=0.1, first=3, depth=20)
    assert float(out.x.var() / VARIANCE - 1) / math.sqrt(2 / len(x)) < -10


def test_smaller_tolerances_give_smaller_errors_on_the_same_path():
    x = torch.ones(200, 1, dtype=torch.float64)
    path = DyadicPath(0.0, 1.0, seed=2)
    w = path.whole(x).w
    for method in (milstein, heun, srk15):
        calculus = "stratonovich" if method is heun else "ito"
        rate = 0.7 - (0.32 if calculus == "ito" else 0.0)
        exact = x * torch.exp(rate + 0.8 * w)
        errors = []
        for tol in (1e-1, 1e-2, 1e-3):
            out = solve_adaptive(gbm(calculus), method, path, x, rtol=0, atol=tol, first=1)
            errors.append(float((out.x - exact).square().mean().sqrt()))
        assert errors[0] > 1.6 * errors[1] > 2.5 * errors[2], (method.name, errors)


def test_a_sample_does_not_depend_on_its_batch():
    x = torch.linspace(-1, 1, 12, dtype=torch.float64).reshape(6, 2)
    whole = solve_adaptive(additive(), sra1, DyadicPath(0.0, 1.0, 5), x, rtol=0, atol=1e-3)
    some = DyadicPath(0.0, 1.0, 5, sample_ids=[4, 2])
    part = solve_adaptive(additive(), sra1, some, x[[4, 2]], rtol=0, atol=1e-3)
    torch.testing.assert_close(part.x, whole.x[[4, 2]], rtol=1e-12, atol=1e-12)
    assert torch.equal(part.accepted, whole.accepted[[4, 2]])
    assert torch.equal(part.refused, whole.refused[[4, 2]])
    assert len(whole.accepted.unique()) > 1


def test_steps_gather_where_the_drift_is_fast():
    """A drift that turns in a short while: a fixed grid of as many steps is less exact."""
    times: list[float] = []

    def drift(t: float, x: Tensor) -> Tensor:
        times.append(t)
        return 40 * torch.exp(torch.tensor(-(((t - 0.7) / 0.02) ** 2))) - 0 * x

    sde = SDE(drift, lambda *_: 0.1, noise="additive")
    x = torch.zeros(3, 1, dtype=torch.float64)
    path = DyadicPath(0.0, 1.0, 0)
    out = solve_adaptive(sde, heun, path, x, rtol=0, atol=1e-3, first=5)
    exact = 40 * 0.02 * math.sqrt(math.pi) + 0.1 * path.whole(x).w
    assert float((out.x - exact).abs().max()) < 5e-3
    near = sum(0.6 < t < 0.8 for t in times)
    assert near > len(times) / 2


def test_increments_alone_are_refused_where_they_are_not_right_pathwise():
    x, path = torch.ones(2, 1), DyadicPath(0.0, 1.0, 0)
    with pytest.raises(InvalidEquationError, match=r"strong order 0\.5 for diagonal noise"):
        solve_adaptive(gbm(), euler_maruyama, path, x)
    with pytest.raises(InvalidEquationError, match="carries a second state"):
        solve_adaptive(OU, reversible_heun, path, x)
    bad: Any
    for bad in (
        {"rtol": -1.0},
        {"atol": math.inf},
        {"rtol": math.nan},
        {"rtol": 0.0, "atol": 0.0},
        {"first": 5, "depth": 4},
    ):
        with pytest.raises(AnalysisError, match="need finite rtol, atol >= 0"):
            solve_adaptive(OU, heun, path, x, **bad)


def test_halving_that_does_not_help_ends_in_an_underflow():
    jump = SDE(lambda t, x: 0 * x + (1e9 if t > 0.3 else 0.0), lambda *_: 0.0, noise="additive")
    x = torch.zeros(2, 1, dtype=torch.float64)
    path = DyadicPath(0.0, 1.0, 0, sample_ids=[8, 9])
    with pytest.raises(StepUnderflowError, match=r"halved 12 times .* samples 8, 9") as e:
        solve_adaptive(jump, heun, path, x, rtol=0, atol=1e-6, depth=12)
    assert e.value.sample_ids == (8, 9)
    assert e.value.t == pytest.approx(0.3, abs=2**-11)


def test_a_coordinate_at_rest_in_zero_is_no_error_even_relative_to_itself():
    """Zero is absorbing: both ways over a cell end in 0, of which any part is 0."""
    x = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    path = DyadicPath(0.0, 1.0, 0)
    both = solve_adaptive(gbm(), milstein, path, x, rtol=1e-2, atol=0.0)
    assert float(both.x[0, 1]) == 0.0
    alone = solve_adaptive(gbm(), milstein, path, x, rtol=1e-2, atol=1e-300)
    assert torch.equal(both.x, alone.x)
    assert torch.equal(both.refused, alone.refused)
