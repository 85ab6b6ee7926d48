"""Restart: the printed step, what it is without rounds, and what its noise forgets."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fokker.analysis.gaussian_path import Normal, eigenbasis, marginal
from fokker.analysis.law import output_law, response, weak_error
from fokker.solvers.errors import InvalidPlanError
from fokker.solvers.plan import Tape
from fokker.solvers.plan_algebra import distance
from fokker.solvers.process import Node
from fokker.solvers.registry import get
from fokker.solvers.schedules import EDM, VPLinear
from fokker.toy_models.problems import problem
from laws.zoo import grid_of

PROCESS = VPLinear()
DATA = eigenbasis(problem("gaussian").law)


def _heun(tape: Tape, s: Node, t: Node, x: int) -> int:
    """Karras et al.'s Heun step in sigma, alpha = 1."""
    dt = t.sigma - s.sigma
    one = tape.eval(x, s, "noise")
    two = tape.eval(tape.lin((x, 1.0), (one, dt)), t, "noise")
    return tape.lin((x, 1.0), (one, dt / 2), (two, dt / 2))


def test_restart_is_the_printed_one():
    """Down to t_min; K times back to t_max with fresh noise, and down again; then on."""
    grid, tape = grid_of(EDM(), 6), Tape()
    x = tape.input("x", grid[0])
    middle = (grid[2].lam + grid[4].lam) / 2
    turns = [(grid[2].lam, middle), (middle, grid[4].lam)]
    for i in (0, 1, 2, 3):
        x = _heun(tape, grid[i], grid[i + 1], x)
    for a, b in turns:
        std = math.sqrt(grid[2].sigma ** 2 - grid[4].sigma ** 2)
        x = tape.lin((x, 1.0), (tape.noise("churn", a, b), std))
        for i in (2, 3):
            x = _heun(tape, grid[i], grid[i + 1], x)
    for i in (4, 5):
        x = _heun(tape, grid[i], grid[i + 1], x)
    plan = get("restart")(EDM(), grid, rounds=2, interval=(2, 4))
    assert distance(plan, tape.plan(x=x)) < 1e-12


def test_without_rounds_it_is_heuns_sampler():
    grid = grid_of(PROCESS, 6)
    assert distance(get("restart")(PROCESS, grid, rounds=0), get("edm_heun")(PROCESS, grid)) == 0.0


def test_every_round_forgets_the_start_by_the_noise_of_the_interval():
    """On a Gaussian a round keeps ``sqrt(var_t/var_s)`` down and ``alpha_s/alpha_t`` up."""
    grid = grid_of(PROCESS, 200, "uniform")
    gains = [
        response(get("restart")(PROCESS, grid, rounds=k, interval=(60, 140)), DATA).start
        for k in (0, 1, 2)
    ]
    s, t = grid[60], grid[140]
    kept = np.sqrt(marginal(DATA, t).var / marginal(DATA, s).var) * s.alpha / t.alpha
    for k in (1, 2):
        assert gains[k] == pytest.approx(gains[0] * kept**k, rel=1e-3)
    assert kept.max() < 0.95


def test_an_error_of_the_start_is_damped_and_the_order_is_kept():
    errors = []
    for steps in (64, 128):
        plan = get("restart")(PROCESS, grid_of(PROCESS, steps, "uniform"))
        errors.append(math.hypot(*weak_error(plan, DATA)))
    assert math.log2(errors[0] / errors[1]) > 1.8
    grid = grid_of(PROCESS, 128, "uniform")
    true, end = marginal(DATA, grid[0]), marginal(DATA, grid[-1])
    wrong = Normal(true.mean + 0.5, true.var)
    off = [
        np.abs(
            output_law(
                get("restart")(PROCESS, grid, rounds=k, interval=(20, 108)), DATA, wrong
            ).mean
            - end.mean
        ).max()
        for k in (0, 1, 3)
    ]
    assert off[2] < 0.7 * off[1] < 0.5 * off[0]


@pytest.mark.parametrize(("rounds", "interval"), [(-1, (0, 2)), (1, (2, 2)), (1, (2, 7))])
def test_an_interval_that_cannot_be_is_refused(rounds, interval):
    grid = grid_of(PROCESS, 6)
    with pytest.raises(InvalidPlanError, match="restart needs rounds >= 0 and an interval"):
        get("restart")(PROCESS, grid, rounds=rounds, interval=interval)
    with pytest.raises(InvalidPlanError, match="cannot end at sigma 0"):
        get("restart")(PROCESS, grid.with_zero(), interval=(3, 7))
