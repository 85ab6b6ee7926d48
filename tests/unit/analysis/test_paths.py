"""One Brownian path for every grid: nested sums, the space-time area, and what they certify."""

import math

import pytest
import torch

from fokker.analysis.order_rows import order_grid, path_problem
from fokker.analysis.path_order import MonteCarloPath, strong_path_order
from fokker.solvers.errors import AnalysisError
from fokker.solvers.grids import wavy_lam
from fokker.solvers.plan import Noise, clock_measure
from fokker.solvers.registry import get
from fokker.solvers.schedules import VPLinear

LIKE = torch.zeros(3, 2, dtype=torch.float64)
CLOCKS = ("lam", "snr^1.0", "snr^0.25", "rho2")


def a_path(steps=16, shape=(3, 2)):
    grid = wavy_lam(VPLinear(), -1.0, 1.0).grid(steps)
    return grid, MonteCarloPath.random(grid, shape, seed=3)


@pytest.mark.parametrize("clock", CLOCKS)
def test_a_coarse_increment_is_the_sum_of_its_fine_ones(clock):
    grid, path = a_path()

    def increment(i, j):
        a, b = grid[i].lam, grid[j].lam
        return path.draw(Noise(clock, a, b), LIKE) * math.sqrt(clock_measure(clock, a, b))

    total = sum(increment(i, i + 1) for i in range(4, 12))
    torch.testing.assert_close(increment(4, 12), total, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("clock", CLOCKS)
def test_the_area_of_two_cells_is_the_exact_combination(clock):
    grid, path = a_path()

    def cell(i, j):
        a, b = grid[i].lam, grid[j].lam
        mu = clock_measure(clock, a, b)
        w = path.draw(Noise(clock, a, b, "W"), LIKE) * math.sqrt(mu)
        h = path.draw(Noise(clock, a, b, "H"), LIKE) * math.sqrt(mu / 12)
        return mu, w, h

    m1, w1, h1 = cell(2, 5)
    m2, w2, h2 = cell(5, 9)
    mu, _, h = cell(2, 9)
    expected = (m1 * h1 + m2 * h2 + 0.5 * (m2 * w1 - m1 * w2)) / mu
    torch.testing.assert_close(h, expected, rtol=1e-12, atol=1e-13)


def test_increment_and_area_are_standard_normal_and_independent():
    """Six-sigma bounds on 40 000 draws (false alarm 1e-8); the unscaled area fails them."""
    grid, path = a_path(shape=(40_000, 1))
    like = torch.zeros(40_000, 1, dtype=torch.float64)
    w = path.draw(Noise("rho2", grid[0].lam, grid[16].lam, "W"), like)
    h = path.draw(Noise("rho2", grid[0].lam, grid[16].lam, "H"), like)
    bound = 6 / math.sqrt(40_000)
    assert abs(float((w * h).mean())) < bound
    for v in (w, h):
        assert abs(float(v.mean())) < bound
        assert abs(float(v.var()) - 1) < bound * math.sqrt(2)
    assert abs(float((h / 12**0.5).var()) - 1) > bound * math.sqrt(2)


def test_a_cell_that_is_no_union_of_cells_is_refused():
    _, path = a_path()
    with pytest.raises(AnalysisError, match="not a union"):
        path.draw(Noise("lam", -0.9999, 1.0), LIKE)


def test_the_exponential_euler_scheme_is_of_strong_order_one_not_more():
    problem = path_problem()
    grids = order_grid(problem.process, "uniform-lam")
    strong = strong_path_order(get("sde_dpmpp_1"), problem, grids, levels=4)
    assert strong.verdict(1) == "met"
    assert strong.verdict(1.5) == "not met"
