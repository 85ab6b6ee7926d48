"""One Brownian path serves nested grids: sums bit for bit, areas in law."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from fokker.solvers.errors import InvalidGridError, InvalidPlanError
from fokker.solvers.noise import CellNoise, GridPath
from fokker.solvers.plan import Noise, clock_measure

LIKE = torch.empty(3, 2, dtype=torch.float64)
EDGES = {
    "lam": [-2.0, -1.7, -1.2, -1.0, 0.1, 0.3, 1.1, 1.15, 2.0],
    "snr^1.0": [-math.inf, -1.7, -1.2, -1.0, 0.1, 0.3, 1.1, 1.15, 2.0],
    "rho2": [-2.0, -1.7, -1.2, -1.0, 0.1, 0.3, 1.1, 1.15, math.inf],
    "t": [1.0, 0.9, 0.75, 0.7, 0.4, 0.35, 0.3, 0.2, 0.05],
}
on_clocks = pytest.mark.parametrize("clock", EDGES)


@on_clocks
def test_a_coarse_increment_is_the_pairwise_sum_of_the_fine_ones_bit_for_bit(clock: str):
    edges = EDGES[clock]
    path = GridPath(edges, seed=4)

    def w(i: int, j: int) -> torch.Tensor:
        return path.increment(Noise(clock, edges[i], edges[j]), LIKE)[0]

    fine = [w(i, i + 1) for i in range(8)]
    assert torch.equal(w(0, 2), fine[0] + fine[1])
    assert torch.equal(w(0, 4), w(0, 2) + w(2, 4))
    assert torch.equal(w(0, 8), ((fine[0] + fine[1]) + (fine[2] + fine[3])) + w(4, 8))
    assert torch.equal(w(2, 5), fine[2] + (fine[3] + fine[4]))  # a refinement by three
    torch.testing.assert_close(w(0, 8), sum(fine), rtol=1e-13, atol=1e-13)


@on_clocks
def test_the_finest_cells_are_those_of_independent_noise(clock: str):
    edges = EDGES[clock]
    cell = Noise(clock, edges[3], edges[4])
    path, plain = GridPath(edges, seed=4), CellNoise(4)
    torch.testing.assert_close(path.draw(cell, LIKE), plain.draw(cell, LIKE), rtol=1e-15, atol=0)
    single = LIKE.float()
    assert torch.equal(path.draw(cell, single), plain.draw(cell, single))


@on_clocks
def test_the_area_of_a_coarse_cell_is_the_area_under_its_path(clock: str):
    """``H = (1/m) int W ds - W/2``, the integral summed cell by cell, at any place."""
    edges = EDGES[clock]
    path = GridPath(edges, seed=4)
    for i, j in [(0, 8), (2, 5), (1, 8), (6, 8), (3, 4)]:
        w_total, h_total, m_total = path.increment(Noise(clock, edges[i], edges[j], "H"), LIKE)
        before, integral, measure = torch.zeros_like(LIKE), torch.zeros_like(LIKE), 0.0
        for k in range(i, j):
            w, h, m = path.increment(Noise(clock, edges[k], edges[k + 1], "H"), LIKE)
            integral += m * (before + h + w / 2)
            before, measure = before + w, measure + m
        assert m_total == pytest.approx(measure, rel=1e-13)
        assert m_total == pytest.approx(clock_measure(clock, edges[i], edges[j]), rel=1e-12)
        torch.testing.assert_close(w_total, before, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(
            h_total, integral / measure - before / 2, rtol=1e-11, atol=1e-11
        )


class Impulses:
    """Every finest field is a unit vector: what comes out is its own dependence on the noise."""

    def __init__(self, count: int) -> None:
        self.count, self.seen = count, {}

    def take(self, name: tuple[str, str], i: int, _like: torch.Tensor) -> np.ndarray:
        k = self.seen.setdefault((*name, i), len(self.seen))
        return np.eye(self.count, dtype=np.float32)[k : k + 1]


@on_clocks
def test_increments_and_areas_have_their_exact_covariance(clock: str):
    """Var W = m, Var H = m/12, uncorrelated in a cell and between cells; and with a part of W."""
    edges = EDGES[clock]
    path = GridPath(edges, seed=0)
    vars(path)["_ahead"] = Impulses(16)  # the linear map itself, in place of one draw of it
    like = torch.empty(1, 16, dtype=torch.float64)

    def both(i: int, j: int) -> tuple[torch.Tensor, torch.Tensor, float]:
        w, h, m = path.increment(Noise(clock, edges[i], edges[j], "H"), like)
        return w[0], h[0], m

    cells = [both(0, 3), both(3, 4), both(4, 8)]
    for w, h, m in cells:
        assert float(w @ w) == pytest.approx(m, rel=1e-13)
        assert float(h @ h) == pytest.approx(m / 12, rel=1e-13)
        assert float(w @ h) == pytest.approx(0.0, abs=1e-13 * m)
    for (w1, h1, m1), (w2, h2, m2) in itertools.combinations(cells, 2):
        size = math.sqrt(m1 * m2)
        assert max(abs(float(a @ b)) for a in (w1, h1) for b in (w2, h2)) < 1e-14 * size
    w, h, m = both(4, 8)
    later = 0.0
    for k in (7, 6, 5, 4):
        part, _, mk = both(k, k + 1)
        assert float(w @ part) == pytest.approx(mk, rel=1e-12)
        assert float(h @ part) == pytest.approx(mk * ((later + mk / 2) / m - 0.5), abs=1e-13 * m)
        later += mk


def test_an_area_without_the_cross_term_would_be_seen():
    """The covariance test has teeth: the naive average of areas has a quarter of the variance."""
    path = GridPath([0.0, 1.0, 2.0], seed=0)
    vars(path)["_ahead"] = Impulses(4)
    like = torch.empty(1, 4, dtype=torch.float64)
    _, h1, m1 = path.increment(Noise("lam", 0.0, 1.0, "H"), like)
    _, h2, m2 = path.increment(Noise("lam", 1.0, 2.0, "H"), like)
    naive = ((m1 * h1 + m2 * h2) / (m1 + m2))[0]
    assert float(naive @ naive) == pytest.approx((2 / 12) / 4, rel=1e-12)


def test_a_path_is_the_same_in_any_batch():
    cell = Noise("lam", EDGES["lam"][1], EDGES["lam"][6], "H")
    whole = GridPath(EDGES["lam"], 9).draw(cell, torch.empty(5, 4))
    part = GridPath(EDGES["lam"], 9, [3, 1]).draw(cell, torch.empty(2, 4))
    assert torch.equal(part, whole[[3, 1]])


@pytest.mark.parametrize("edges", [[], [0.0], [0.0, 1.0, 1.0], [0.0, 2.0, 1.0], [0.0, math.nan]])
def test_edges_that_are_no_grid_are_refused(edges: list[float]):
    with pytest.raises(InvalidGridError, match="strictly monotone, at least two"):
        GridPath(edges, 0)


def test_a_cell_that_is_no_union_of_finest_cells_is_refused():
    path = GridPath([0.0, 1.0, 2.0], 0)
    for a, b in ((0.5, 1.0), (0.0, 3.0), (1.0, 0.0), (1.0, 1.0)):
        with pytest.raises(InvalidGridError, match="not a union of cells, in sampling order"):
            path.draw(Noise("lam", a, b), LIKE)
    with pytest.raises(InvalidPlanError, match="unknown noise clock 'sigma'"):
        path.draw(Noise("sigma", 0.0, 1.0), LIKE)
