"""ResShift: its levels, its chain, its ancestral step, and what ordinary samplers make of it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from fokker.analysis.gaussian_path import Normal, marginal
from fokker.analysis.law import output_law, response
from fokker.solvers.errors import InvalidGridError
from fokker.solvers.grids import grid_from_lams, uniform_lam, wavy_lam
from fokker.solvers.plan import Noise, Tape
from fokker.solvers.plan_algebra import canonical
from fokker.solvers.processes.shifted import around
from fokker.solvers.registry import get
from fokker.solvers.run import run
from fokker.solvers.samplers.resshift import ResShift, resshift_grid
from fokker.solvers.schedules import VE, VPLinear

EXACT = 1e-12
F64 = torch.float64
RES = ResShift()


def test_e16_resshift_has_the_published_levels():
    grid = resshift_grid(RES, 15)
    b = (0.99 / 0.02) ** (1 / 14)
    roots = [0.02 * b ** (((t - 1) / 14) ** 0.3 * 14) for t in range(1, 16)][::-1]
    assert grid.to_zero
    assert len(grid) == 15
    for node, root in zip(grid.nodes, roots, strict=False):
        assert node.sigma == pytest.approx(2.0 * root, rel=1e-12)
        assert node.alpha == pytest.approx(1 - root**2, rel=1e-12)
    with pytest.raises(InvalidGridError, match="at least 2"):
        resshift_grid(RES, 1)


def test_e16_the_published_chain_has_the_marginals_of_the_process():
    """``x_t = x_{t-1} + a_t (y - x_0) + kappa sqrt(a_t) xi`` summed up, from the data on."""
    levels = [float(RES.eta(n.t)) for n in resshift_grid(RES, 6).nodes[:-1]][::-1]
    share, variance, before = 0.0, 0.0, 0.0
    for eta, node in zip(levels, resshift_grid(RES, 6).nodes[-2::-1], strict=True):
        share, variance, before = share + eta - before, variance + 4.0 * (eta - before), eta
        assert node.alpha == pytest.approx(1 - share, rel=1e-12)
        assert node.sigma**2 == pytest.approx(variance, rel=1e-12)


def test_e16_the_ancestral_step_in_x_is_the_published_one():
    """Mean ``(eta_t/eta_s) x + (a/eta_s) D``, variance ``kappa^2 eta_t a/eta_s``; mu drops out."""
    grid = resshift_grid(RES, 5)
    tape = Tape()
    x, y = tape.input("x", grid[0]), tape.input("mu", grid[0])
    for s, t in grid.steps():
        d = tape.eval(x, s, "data")
        if t.sigma == 0:
            x = tape.mark(tape.lin((d, 1.0)), t)
            break
        before, now = float(RES.eta(s.t)), float(RES.eta(t.t))
        a = before - now
        xi = tape.noise("churn", s.lam, t.lam)
        std = 2.0 * math.sqrt(now * a / before)
        x = tape.mark(tape.lin((x, now / before), (d, a / before), (xi, std)), t)
    printed = tape.plan(x=x)
    assert y in printed.inputs.values()
    ours = around(get("resshift_ancestral")(RES, grid))
    assert np.abs(canonical(ours) - canonical(printed)).max() < EXACT


def test_e16_the_ancestral_step_is_the_ddim_family_with_its_own_noise():
    """Of the noise in x the share ``e^{-2T} = eta_t/eta_s`` of the variance stays as it is."""
    grid = grid_from_lams(RES, [-2.0, 0.5])
    plan = get("resshift_ancestral")(RES, grid)
    s, t = grid.nodes
    keep = float(RES.eta(t.t) / RES.eta(s.t))
    found = response(plan, Normal(np.zeros(1), np.zeros(1)))  # the data are a point, D = 0
    assert found.start[0] * s.sigma / t.sigma == pytest.approx(math.sqrt(keep), rel=1e-12)
    fresh = t.sigma * math.sqrt(1 - keep)
    assert found.noises[0, 0] == pytest.approx(fresh, rel=1e-12)
    ddpm = response(get("ancestral")(RES, grid), Normal(np.zeros(1), np.zeros(1)))
    assert found.noises[0, 0] < ddpm.noises[0, 0]  # less noise than the reverse SDE


def test_where_alpha_is_constant_the_ancestral_step_is_that_of_ddpm():
    process = VE()
    grid = wavy_lam(process, -2.0, 2.0).grid(4).with_zero()
    ours, ddpm = (get(n)(process, grid) for n in ("resshift_ancestral", "ancestral"))
    assert np.abs(canonical(ours) - canonical(ddpm)).max() < EXACT
    vp = VPLinear()
    grid = wavy_lam(vp, -2.0, 2.0).grid(4)
    ours, ddpm = (get(n)(vp, grid) for n in ("resshift_ancestral", "ancestral"))
    assert np.abs(canonical(ours) - canonical(ddpm)).max() > 1e-2


def test_the_variance_of_the_ancestral_sampler_comes_with_slope_one():
    data = Normal(np.zeros(1), np.array([0.3]))

    def error(steps: int) -> float:
        grid = uniform_lam(RES, -1.5, 2.5).grid(steps)
        found = output_law(get("resshift_ancestral")(RES, grid), data)
        return abs(float(found.var[0] - marginal(data, grid[-1]).var[0]))

    assert math.log2(error(256) / error(512)) == pytest.approx(1.0, abs=0.1)
    assert error(64) > 1e-4


def test_simulated_steps_of_the_ancestral_sampler_have_the_stated_moments():
    """20000 draws of one step: mean and variance within 6 standard errors (4e-9 each)."""
    grid = grid_from_lams(RES, [-1.0, 1.0])
    x = torch.full((20000, 1), 0.8, dtype=F64)
    plan = get("resshift_ancestral")(RES, grid)
    out = run(plan, lambda x, _t: 0.0 * x + 0.3, x, noise=5).x
    before, now = (float(RES.eta(n.t)) for n in grid.nodes)
    # the step in w with D = 0.3
    mean = 0.3 * (1 - now) + now / before * (0.8 - 0.3 * (1 - before))
    std = 2.0 * math.sqrt(now * (before - now) / before)
    assert abs(float(out.mean()) - mean) < 6 * std / math.sqrt(20000)
    assert abs(float(out.var()) - std**2) < 6 * std**2 * math.sqrt(2 / 20000)
    cells = [op for op in plan.ops if isinstance(op, Noise)]
    assert len(cells) == 1


def test_ordinary_solvers_beat_the_ancestral_one_at_four_steps_on_gaussian_super_resolution():
    """W2 to the exact posterior; the start's mismatch is common to all."""
    data = Normal(np.zeros(4), np.array([0.4, 0.2, 0.1, 0.03]))
    grid = resshift_grid(ResShift(min_noise=0.2), 4)

    def w2(name: str) -> float:
        law = output_law(get(name)(ResShift(min_noise=0.2), grid), data)
        gap = (np.sqrt(law.var) - np.sqrt(data.var)) ** 2 + (law.mean - data.mean) ** 2
        return math.sqrt(float(gap.sum()))

    assert w2("ddim") < w2("resshift_ancestral")
    assert w2("dpmpp_2m") < w2("resshift_ancestral")
