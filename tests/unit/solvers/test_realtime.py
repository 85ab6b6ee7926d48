"""Real-time iteration: contraction, steady tracking error, spread, and the price in modes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from fokker.analysis.gaussian_path import Normal
from fokker.analysis.law import response
from fokker.solvers.editing.realtime import (
    contraction,
    level_for,
    real_time,
    renoise,
    shift_plan,
    steady_error,
)
from fokker.solvers.errors import InvalidPlanError
from fokker.solvers.grids import grid_from_lams, uniform_lam
from fokker.solvers.process import DATA
from fokker.solvers.registry import get
from fokker.solvers.schedules import RectifiedFlow, VPLinear
from fokker.toy_models.gaussian import Gaussian
from fokker.toy_models.law import exact_model
from fokker.toy_models.product import ProductMixture

F64 = torch.float64
VP = VPLinear()


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def target(mean: float, std: float, d: int = 2) -> Gaussian:
    return Gaussian(torch.full((d,), mean, dtype=F64), std**2 * torch.eye(d, dtype=F64))


@pytest.mark.parametrize("lam", [-2.0, -0.5, 1.0])
@pytest.mark.parametrize("process", [VP, RectifiedFlow()], ids=["vp", "flow"])
def test_the_contraction_is_that_of_renoising_and_the_exact_flow(lam, process):
    """The distance of two answers with the same noise, before and after one cycle."""
    node, law = process.node_at_lam(lam), target(0.7, 0.4)
    a, b, xi = normal(1, 5, 2), normal(2, 5, 2), normal(3, 5, 2)
    ends = [law.flow(renoise(x, node, xi), (node.alpha, node.sigma), (1.0, 0.0)) for x in (a, b)]
    kappa = contraction(node, 0.4)
    torch.testing.assert_close(ends[0] - ends[1], kappa * (a - b), rtol=1e-12, atol=1e-12)
    assert 0 < kappa < 1
    assert level_for(kappa, 0.4) == pytest.approx(lam, rel=1e-12)


@pytest.mark.parametrize("name", ["dpmpp_2m", "unipc_2", "ddim"])
def test_eight_steps_of_second_order_have_that_contraction_to_two_percent(name):
    """Read off the plan: the response to the start times alpha. DDIM forgets too much."""
    for lam, std in ((-1.0, 0.5), (0.0, 0.3), (1.0, 0.2)):
        grid = uniform_lam(VP, lam, 4.0).grid(8).with_zero()
        found = response(get(name)(VP, grid), Normal(np.zeros(1), np.array([std**2])))
        measured = float(found.start[0]) * grid[0].alpha
        assert (abs(measured / contraction(grid[0], std) - 1) < 0.02) == (name != "ddim")
        if name == "ddim":
            assert measured < 0.95 * contraction(grid[0], std)


def test_the_tracking_error_of_a_moving_target_settles_where_the_formula_says():
    """A target that moves by d a cycle: mean error of 4000 samples within 6 standard errors."""
    lam, std, drift, cycles = 0.0, 0.5, 0.2, 25
    grid = uniform_lam(VP, lam, 4.5).grid(12).with_zero()
    laws = [target(drift * (n + 1), std) for n in range(cycles)]
    models = [exact_model(law, VP) for law in laws]
    x = target(0.0, std).sample(4000, seed=1)
    plan = get("unipc_2")(VP, grid)
    out = list(real_time(plan, grid, models, x, seed=3, shift=lambda x: x))
    kappa = contraction(grid[0], std)
    error, expected = 0.0, []
    for _ in laws:
        error = kappa * (error + drift)
        expected.append(error)
    assert expected[-1] == pytest.approx(steady_error(kappa, drift), rel=1e-3)
    spread = std / math.sqrt(4000 * 2)
    for n in (0, 3, cycles - 1):
        lag = float((drift * (n + 1) - out[n]).mean())
        assert abs(lag - expected[n]) < 6 * spread + 0.02 * expected[n]
        assert abs(lag - drift) > 4 * spread  # not what one cycle moves by
    var = float(out[-1].var(0).mean())
    assert abs(var / std**2 - 1) < 6 / math.sqrt(4000) + 0.02


def test_at_pure_noise_nothing_is_left_and_at_the_data_all():
    flow = RectifiedFlow()
    assert contraction(flow.node(1.0), 0.5) == 0.0
    assert contraction(DATA, 0.5) == 1.0
    assert contraction(VP.node(0.5), 0.0) == 0.0
    assert steady_error(0.0, 3.0) == 0.0
    for bad in (1.0, -0.1, math.nan):
        with pytest.raises(InvalidPlanError, match=r"in \[0, 1\)"):
            steady_error(bad, 1.0)
    with pytest.raises(InvalidPlanError, match="no level"):
        level_for(1.0, 0.5)


def test_an_answer_leaves_its_mode_only_if_it_is_renoised_enough():
    """Two modes 2 apart, width 0.2: the share that changes sign, from one to nearly a half."""
    law = ProductMixture(
        torch.tensor([[0.5, 0.5]], dtype=F64),
        torch.tensor([[-1.0, 1.0]], dtype=F64),
        torch.tensor([[0.2, 0.2]], dtype=F64),
    )
    x, xi = law.sample(2000, seed=4), normal(5, 2000, 1)
    changed = []
    for lam in (-3.0, -1.0, 0.0, 1.0):
        node = VP.node_at_lam(lam)
        new = law.flow(renoise(x, node, xi), (node.alpha, node.sigma), (1.0, 0.0))
        changed.append(float((new * x < 0).double().mean()))
    assert changed[0] > 0.4
    assert changed[-1] < 0.01
    assert changed == sorted(changed, reverse=True)


def test_a_shifted_plan_drops_what_was_done_and_repeats_the_last():
    plan = torch.arange(12.0).reshape(1, 4, 3)
    moved = shift_plan(plan, 2)
    assert torch.equal(moved[0, :2], plan[0, 2:])
    assert torch.equal(moved[0, 2], plan[0, 3])
    assert torch.equal(moved[0, 3], plan[0, 3])
    assert torch.equal(shift_plan(plan, 0), plan)
    with pytest.raises(InvalidPlanError, match="by 5 actions"):
        shift_plan(plan, 5)


def test_cycles_are_repeatable_and_their_noises_differ():
    grid = grid_from_lams(VP, [0.0, 1.0])
    plan, model = get("sde_dpmpp_1")(VP, grid), exact_model(target(0.0, 1.0), VP)
    x = torch.zeros(3, 2, dtype=F64)
    one, two = (list(real_time(plan, grid, [model] * 3, x, seed=7)) for _ in range(2))
    for a, b in zip(one, two, strict=True):
        assert torch.equal(a, b)
    still = list(real_time(plan, grid, [model] * 2, x, seed=7, shift=lambda _x: x))
    assert (still[0] - still[1]).abs().max() > 1e-3
