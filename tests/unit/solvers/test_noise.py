"""Noise is a pure function of its key, has the law it claims, and refines without changing.

Statistical tests have fixed seeds and a false-alarm rate of at most 1e-6 each: 4.9 standard
deviations of a normal, 2.7 of Kolmogorov's statistic. Each is shown to fail on wrong noise.
"""

from __future__ import annotations

import itertools
import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fokker.solvers.errors import InvalidGridError, InvalidPlanError, ShapeError
from fokker.solvers.noise import CellNoise, GridPath
from fokker.solvers.normals import LARGE, normal_field
from fokker.solvers.plan import Noise, clock_measure

CELL = Noise("lam", -1.0, 0.5)
SIZES = [(1,), (3,), (5, 51), (16, 16), (3, 20, 20)]  # below, just below, at and above LARGE
SIGMAS, KOLMOGOROV = 4.9, 2.7

on_sizes = pytest.mark.parametrize("size", SIZES, ids=str)


def test_the_sizes_stand_on_both_sides_of_the_border():
    assert {math.prod(s) < LARGE for s in SIZES} == {True, False}
    assert {math.prod(s) for s in SIZES} >= {LARGE - 1, LARGE}


# -- a pure function of the key ----------------------------------------------------------------


@on_sizes
def test_a_sample_has_its_noise_in_any_batch_order_and_shard(size: tuple[int, ...]):
    whole = CellNoise(3).draw(CELL, torch.empty(9, *size))
    for ids in ([4], [8, 0, 3], [5, 6, 7, 8], list(range(8, -1, -1)), [2, 2]):
        part = CellNoise(3, ids).draw(CELL, torch.empty(len(ids), *size))
        assert torch.equal(part, whole[ids])


@on_sizes
def test_noise_does_not_depend_on_what_was_drawn_before(size: tuple[int, ...]):
    like = torch.empty(2, *size)
    cells = [CELL, Noise("lam", 0.5, 1.0), Noise("lam", -1.0, 0.5, "H"), Noise("t", 0.9, 0.4)]
    source = CellNoise(0)
    first = [source.draw(c, like) for c in cells]
    again = [CellNoise(0).draw(c, like) for c in reversed(cells)][::-1]
    torch.manual_seed(123)
    np.random.seed(7)  # noqa: NPY002 - the global generators must have no say
    third = [source.draw(c, like) for c in cells]
    for a, b, c in zip(first, again, third, strict=True):
        assert torch.equal(a, b)
        assert torch.equal(a, c)


def test_another_process_draws_the_same():
    program = (
        "from fokker.solvers.normals import normal_field as f;"
        "print(f(b'key', [0, 7, -3], 5).tobytes().hex(), f(b'key', [7], 300).tobytes().hex())"
    )
    said = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()
    assert said[0] == normal_field(b"key", [0, 7, -3], 5).tobytes().hex()
    assert said[1] == normal_field(b"key", [7], 300).tobytes().hex()


@on_sizes
def test_a_dtype_is_a_cast_and_a_shape_a_view(size: tuple[int, ...]):
    single = CellNoise(1).draw(CELL, torch.empty(4, *size))
    double = CellNoise(1).draw(CELL, torch.empty(4, *size, dtype=torch.float64))
    flat = CellNoise(1).draw(CELL, torch.empty(4, math.prod(size)))
    assert single.dtype == torch.float32
    assert torch.equal(double, single.double())
    assert torch.equal(flat, single.flatten(1))


@pytest.mark.parametrize("count", [2, 300])
def test_every_part_of_the_key_matters(count: int):
    def drawn(seed=0, sample=0, clock="lam", a=-1.0, b=0.5, kind="W"):
        return CellNoise(seed, [sample]).draw(Noise(clock, a, b, kind), torch.empty(1, count))

    one_ulp = math.nextafter(0.5, 1.0)
    others = [
        drawn(),
        drawn(seed=1),
        drawn(seed=-1),
        drawn(seed=2**40),
        drawn(seed=2**80),
        drawn(sample=1),
        drawn(sample=-1),
        drawn(sample=2**40),
        drawn(clock="t"),
        drawn(clock="snr^1.0"),
        drawn(clock="snr^0.5"),
        drawn(a=-1.5),
        drawn(b=one_ulp),
        drawn(kind="H"),
    ]
    for a, b in itertools.combinations(others, 2):
        assert not torch.equal(a, b)


def test_the_sign_of_zero_does_not_matter():
    for count in (2, 300):
        like = torch.empty(3, count)
        plus, minus = (CellNoise(0).draw(Noise("lam", -1.0, z), like) for z in (0.0, -0.0))
        assert torch.equal(plus, minus)


def test_no_two_keys_of_many_share_their_numbers():
    """A 32-bit seed would collide about once in this many; the rows hold 90 bits and more."""
    many = normal_field(b"key", range(100_000), 4)
    assert len(np.unique(many, axis=0)) == len(many)
    cells = np.concatenate([normal_field(b"key%d" % k, [0], 4) for k in range(4_000)])
    assert len(np.unique(np.concatenate([many, cells]), axis=0)) == len(many) + len(cells)
    large = normal_field(b"key", range(2_000), LARGE)
    assert len(np.unique(large[:, :4], axis=0)) == len(large)


@given(
    st.binary(max_size=40), st.lists(st.integers(-(2**63), 2**63), max_size=5), st.integers(1, 9)
)
def test_any_key_and_ids_give_finite_numbers_row_by_row(key: bytes, ids: list[int], count: int):
    field = normal_field(key, ids, count)
    assert field.shape == (len(ids), count)
    assert np.isfinite(field).all()
    for row, i in zip(field, ids, strict=True):
        np.testing.assert_array_equal(row, normal_field(key, [i], count)[0])


def test_a_batch_of_another_size_than_the_ids_is_refused():
    with pytest.raises(ShapeError, match="3 sample ids were given for a batch of 2"):
        CellNoise(0, [4, 5, 6]).draw(CELL, torch.empty(2, 3))


# -- the law -----------------------------------------------------------------------------------


def verdicts(field: np.ndarray) -> dict[str, float]:
    """Each statistic over its limit: above 1 is an alarm, of rate at most 1e-6."""
    x = field.astype(np.float64)
    n = x.size
    within = (x[:, 1:] * x[:, :-1]).ravel()
    across = (x[1:] * x[:-1]).ravel()
    squares = ((x[:, 1:] ** 2 - 1) * (x[:, :-1] ** 2 - 1)).ravel() / 2
    return {
        "mean": abs(x.mean()) * math.sqrt(n) / SIGMAS,
        "variance": abs((x**2).mean() - 1) * math.sqrt(n / 2) / SIGMAS,
        "skewness": abs((x**3).mean()) * math.sqrt(n / 15) / SIGMAS,
        "kurtosis": abs((x**4).mean() - 3) * math.sqrt(n / 96) / SIGMAS,
        "within": abs(within.mean()) * math.sqrt(within.size) / SIGMAS,
        "across": abs(across.mean()) * math.sqrt(across.size) / SIGMAS,
        "squares": abs(squares.mean()) * math.sqrt(squares.size) / SIGMAS,
        "shape": stats.kstest(x.ravel(), "norm").statistic * math.sqrt(n) / KOLMOGOROV,
    }


FIELDS = {"counters": (30_000, 8), "generators": (800, LARGE)}


@pytest.mark.parametrize("kind", FIELDS)
def test_the_numbers_are_independent_standard_normals(kind: str):
    batch, count = FIELDS[kind]
    found = verdicts(normal_field(b"law", range(batch), count))
    assert max(found.values()) < 1, found


@pytest.mark.parametrize(
    ("spoil", "alarm"),
    [
        (lambda x: x + 0.02, "mean"),
        (lambda x: 1.02 * x, "variance"),
        (lambda x: (x + 0.03 * (x**2 - 1)) / math.sqrt(1 + 2 * 0.03**2), "skewness"),
        (lambda x: np.clip(x, -2.5, 2.5), "kurtosis"),
        (lambda x: (x + 0.02 * np.roll(x, 1, axis=1)) / math.sqrt(1.0004), "within"),
        (lambda x: (x + 0.02 * np.roll(x, 1, axis=0)) / math.sqrt(1.0004), "across"),
        (lambda x: x * np.where(np.abs(np.roll(x, 1, axis=1)) > 1, 1.05, 0.975), "squares"),
        (lambda x: np.round(x, 1), "shape"),
    ],
)
@pytest.mark.parametrize("kind", FIELDS)
def test_noise_with_one_flaw_raises_the_alarm_meant_for_it(kind: str, spoil, alarm: str):
    batch, count = FIELDS[kind]
    assert verdicts(spoil(normal_field(b"law", range(batch), count)))[alarm] > 1


def test_different_cells_kinds_and_seeds_are_uncorrelated():
    like = torch.empty(20_000, 5)
    draws = [
        CellNoise(seed).draw(Noise(clock, a, a + 1.0, kind), like).double()
        for seed, clock, a, kind in [
            (0, "lam", 0.0, "W"),
            (0, "lam", 0.0, "H"),
            (0, "lam", 1.0, "W"),
            (0, "snr^1.0", 0.0, "W"),
            (1, "lam", 0.0, "W"),
        ]
    ]
    for a, b in itertools.combinations(draws, 2):
        assert abs((a * b).mean()) * math.sqrt(a.numel()) < SIGMAS
    a, b = draws[0], draws[0] + 0.03 * draws[1]  # a correlation of 0.03 would be seen
    assert abs((draws[1] * b).mean()) * math.sqrt(a.numel()) > SIGMAS


# -- one path for nested grids -----------------------------------------------------------------

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

    sample_ids = None

    def __init__(self, count: int) -> None:
        self.count, self.ids = count, {}

    def draw(self, cell: Noise, _like: torch.Tensor) -> torch.Tensor:
        i = self.ids.setdefault((cell.a, cell.kind), len(self.ids))
        return torch.eye(self.count, dtype=torch.float64)[i : i + 1]


@on_clocks
def test_increments_and_areas_have_their_exact_covariance(clock: str):
    """Var W = m, Var H = m/12, uncorrelated in a cell and between cells; and with a part of W."""
    edges = EDGES[clock]
    path = GridPath(edges, seed=0)
    vars(path)["_fine"] = Impulses(16)  # the linear map itself, in place of one draw of it
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
    vars(path)["_fine"] = Impulses(4)
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
