"""Grids: nested bit for bit, exact at both ends, and nothing unordered or not finite gets in."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, cast

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from exact_processes import PROCESSES
from fokker.solvers.errors import InvalidGridError
from fokker.solvers.grids import (
    Grid,
    GridMap,
    grid_from_lams,
    grid_from_sigmas,
    grid_from_times,
    is_nested,
    karras,
    power_t,
    sinh_lam,
    uniform_lam,
    wavy_lam,
)
from fokker.solvers.process import DATA, Process
from fokker.solvers.schedules import EDM, VE, RectifiedFlow, Trigonometric, VPCosine, VPLinear

VP = VPLinear()
MAPS: dict[str, GridMap] = {
    "uniform": uniform_lam(VP, -4.1, 3.3),
    "wavy": wavy_lam(VP, -4.0, 3.0, waves=3),
    "time": power_t(VP, 1.0, 1e-3),
    "quadratic": power_t(VP, 0.85, 1e-3, power=2.0),
    "karras": karras(EDM(), 80.0, 0.002),
    "flow": power_t(RectifiedFlow(), 0.9, 0.01),
}
on_maps = pytest.mark.parametrize("grid_map", MAPS.values(), ids=MAPS.keys())
on_processes = pytest.mark.parametrize("process", PROCESSES.values(), ids=PROCESSES.keys())


def lams(grid: Grid) -> list[float]:
    return [node.lam for node in grid.nodes]


@on_maps
def test_halving_the_steps_keeps_every_node_bit_for_bit(grid_map: GridMap):
    for steps in (1, 3, 7, 10, 48):
        coarse, fine, finest = (grid_map.grid(k * steps) for k in (1, 2, 4))
        assert coarse.nodes == fine.nodes[::2] == finest.nodes[::4]
        assert is_nested(coarse, finest)


@given(steps=st.integers(1, 400), low=st.floats(-5.0, 0.0), span=st.floats(0.1, 9.0))
def test_uniform_and_wavy_grids_are_nested_whatever_their_ends(
    steps: int, low: float, span: float
):
    for make in (uniform_lam, wavy_lam):
        grid_map = make(VP, low, low + span)
        coarse, fine = grid_map.grid(steps), grid_map.grid(2 * steps)
        assert coarse.nodes == fine.nodes[::2]
        assert (coarse[0].lam, coarse[-1].lam) == (low, low + span)


def test_the_ends_are_exact_for_any_number_of_steps():
    for low, high in ((-4.1, 3.3), (-4.33, 3.4)):
        for steps in range(1, 120):
            nodes = uniform_lam(VP, low, high).grid(steps).nodes
            assert (nodes[0].lam, nodes[-1].lam) == (low, high)


def test_a_grid_that_shares_no_inner_node_is_not_nested():
    assert not is_nested(uniform_lam(VP, -4, 3).grid(2), uniform_lam(VP, -4, 3).grid(3))


@given(power=st.floats(0.3, 9.0), start=st.floats(0.05, 80.0), ratio=st.floats(1e-4, 0.9))
def test_powers_of_time_and_sigma_end_exactly_where_asked(power, start, ratio):
    process = EDM(start)  # the start is the largest time there is: no rounding may pass it
    for grid in (
        power_t(process, start, ratio * start, power).grid(5),
        karras(process, start, ratio * start, power).grid(5),
    ):
        assert grid[0].t == pytest.approx(start, rel=1e-15)
        assert grid[-1].sigma == pytest.approx(ratio * start, rel=1e-15)


def test_uniform_steps_are_equal_in_their_clock():
    grid = uniform_lam(VP, -4.0, 3.0).grid(7)
    assert [t.lam - s.lam for s, t in grid.steps()] == pytest.approx([1.0] * 7)
    times = [n.t for n in power_t(VP, 1.0, 0.02, 2.0).grid(6).nodes]
    assert np.diff(np.sqrt(times)) == pytest.approx([-(1 - math.sqrt(0.02)) / 6] * 6)
    rhos = [n.rho for n in karras(EDM(), 80.0, 0.002).grid(6).nodes]
    step = (0.002 ** (1 / 7) - 80 ** (1 / 7)) / 6
    assert np.diff(np.power(rhos, 1 / 7)) == pytest.approx([step] * 6)


def test_the_wavy_grid_is_smooth_increasing_and_its_step_ratios_swing():
    grid = wavy_lam(VP, -4.0, 3.0).grid(64)
    steps = np.diff(lams(grid))
    assert (steps > 0).all()
    assert 0.69 < steps.min() / steps.mean() < 0.72
    assert 1.28 < steps.max() / steps.mean() < 1.31


@pytest.mark.parametrize("name", ["uniform", "wavy", "quadratic", "flow"])
def test_history_continues_the_map_before_its_start(name: str):
    grid_map = MAPS[name]
    past = grid_map.history(40, 2)
    assert past[1].lam < past[0].lam < grid_map.grid(40)[0].lam
    assert past == (grid_map.history(40, 1)[0], past[1])
    assert grid_map.history(80, 2)[1] == past[0]  # nested, too
    assert grid_map.history(40, 0) == ()


@pytest.mark.parametrize("name", ["time", "karras"])
def test_there_is_no_history_before_the_noise_end(name: str):
    with pytest.raises(InvalidGridError, match=r"u = -0\.1\) does not exist"):
        MAPS[name].history(10, 1)


@on_processes
def test_a_grid_may_run_from_one_end_to_the_other(process: Process):
    low = max(process.lam_min, -8.0)
    grid = uniform_lam(process, low, min(process.lam_max, 5.0)).grid(4, to_zero=True)
    assert grid.to_zero
    assert grid[-1] is DATA
    assert len(grid) == 5
    assert grid.with_zero() is grid
    assert all(t.lam > s.lam for s, t in grid.steps())


def test_a_grid_may_begin_where_alpha_vanishes():
    for process in (VPCosine(), RectifiedFlow(), Trigonometric(), PROCESSES["zero-terminal"]):
        for grid in (
            grid_from_times(process, [1.0, 0.6, 0.2]),
            grid_from_lams(process, [-math.inf, 0.0, 1.0, math.inf]),
            power_t(process, 1.0, 0.1).grid(3),
        ):
            assert grid[0].lam == -math.inf
            assert grid[0].alpha == 0.0
            assert not any(math.isnan(v) for node in grid.nodes for v in node)


def test_a_grid_in_time_down_to_zero_ends_at_the_data():
    grid = power_t(VP, 1.0, 0.0).grid(4)
    assert grid.to_zero
    assert grid[-1].lam == math.inf
    assert not power_t(VE(), 1.0, 0.0).grid(4).to_zero  # VE stops at sigma_min


def test_the_three_ways_to_list_nodes_agree():
    grid = uniform_lam(VP, -3.0, 2.0).grid(5)
    by_time = grid_from_times(VP, [n.t for n in grid.nodes])
    by_sigma = grid_from_sigmas(VP, [n.rho for n in grid.nodes])
    np.testing.assert_allclose(lams(by_time), lams(grid), rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(lams(by_sigma), lams(grid), rtol=1e-13, atol=1e-13)
    assert grid_from_lams(VP, lams(grid)) == grid
    assert grid_from_sigmas(VP, [2.0, 1.0, 0.0])[-1] is DATA
    assert grid_from_lams(VP, cast(Any, np.array([-1.0, 0.5])))[0].lam == -1.0


def test_parts_share_their_joint():
    grid = uniform_lam(VP, -3.0, 2.0).grid(6)
    first, second = grid.part(0, 4), grid.part(4, 6)
    assert first[-1] == second[0]
    assert len(first) + len(second) == len(grid)


@pytest.mark.parametrize("steps", [0, -1, 2.0, True, "4", None])
def test_a_number_of_steps_that_is_none_is_refused(steps):
    with pytest.raises(InvalidGridError, match="whole number of steps, at least 1"):
        uniform_lam(VP, -4.0, 3.0).grid(steps)


def test_one_step_is_a_grid_and_numpy_integers_count():
    for steps in (1, cast(int, np.int64(1))):
        grid = uniform_lam(VP, -4.0, 3.0).grid(steps)
        assert (len(grid), len(grid.nodes)) == (1, 2)
    assert [len(uniform_lam(VP, -4.0, 3.0).grid(n, to_zero=True)) for n in (1, 2)] == [2, 3]


@pytest.mark.parametrize("values", [[], [0.5]])
def test_fewer_than_two_nodes_are_no_grid(values):
    for make in (grid_from_lams, grid_from_times, grid_from_sigmas):
        with pytest.raises(InvalidGridError, match=f"got {len(values)}"):
            make(VP, values)


@pytest.mark.parametrize(
    ("make", "values", "complaint"),
    [
        (grid_from_lams, [-1.0, math.nan, 1.0], "lam of grid node 1 is NaN"),
        (grid_from_times, [math.nan, 0.5], "time of grid node 0 is NaN"),
        (grid_from_sigmas, [1.0, 0.5, math.nan], "sigma of grid node 2 is NaN"),
        (grid_from_lams, [0.0, -1.0], r"node 0 has 0\.0, node 1 has -1\.0"),
        (grid_from_lams, [-1.0, 0.5, 0.5], r"node 1 has 0\.5, node 2 has 0\.5"),
        (grid_from_times, [0.2, 0.5], "must increase strictly"),
        (grid_from_times, [0.5, 0.5], "must increase strictly"),
        (grid_from_sigmas, [1.0, 2.0], "must increase strictly"),
        (grid_from_sigmas, [1.0, 0.0, 0.0], "node 1 has inf, node 2 has inf"),
        (grid_from_sigmas, [1.0, -0.5], r"node 1 \(sigma = -0\.5\).*negative"),
        (grid_from_lams, [-50.0, 0.0], r"node 0 \(lam = -50\.0\).*outside"),
        (grid_from_lams, [math.inf, math.inf], "must increase strictly"),
        (grid_from_times, [1.5, 0.5], r"node 0 \(time = 1\.5\).*outside \[0, 1"),
        (grid_from_times, [0.5, -0.5], r"node 1 \(time = -0\.5\).*outside"),
        (grid_from_sigmas, [math.inf, 1.0], r"node 0 \(sigma = inf\).*outside"),
    ],
)
def test_bad_nodes_are_named(make, values, complaint: str):
    with pytest.raises(InvalidGridError, match=complaint):
        make(VP, values)


@pytest.mark.parametrize(
    ("low", "high"), [(1.0, 1.0), (1.0, -1.0), (math.nan, 1.0), (-math.inf, 1.0), (0.0, math.inf)]
)
def test_ranges_of_lam_must_be_finite_and_increase(low: float, high: float):
    for make in (uniform_lam, wavy_lam):
        with pytest.raises(InvalidGridError, match="finite lam_start < lam_end"):
            make(VP, low, high)


def test_other_bad_ranges_are_refused():
    for start, end in ((0.5, 0.5), (0.2, 0.5), (1.2, 0.5), (0.5, -0.1), (math.nan, 0.1)):
        with pytest.raises(InvalidGridError, match=f"t_start={start}"):
            power_t(VP, start, end)
    for high, low in ((1.0, 0.0), (1.0, 1.0), (math.inf, 1.0), (1.0, math.nan)):
        with pytest.raises(InvalidGridError, match="sigma_min < sigma_max"):
            karras(VP, high, low)
    for bad in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(InvalidGridError, match=f"got {bad}"):
            power_t(VP, 1.0, 0.1, bad)
        with pytest.raises(InvalidGridError, match=f"got {bad}"):
            karras(VP, 1.0, 0.1, bad)


def test_a_map_out_of_its_process_is_refused_when_the_grid_is_made():
    with pytest.raises(InvalidGridError, match="outside"):
        uniform_lam(VP, -50.0, 1.0).grid(4)
    with pytest.raises(InvalidGridError, match="outside"):
        karras(EDM(), 100.0, 1.0).grid(4)


def test_so_many_steps_that_nodes_coincide_are_refused():
    low = 1.0
    high = math.nextafter(math.nextafter(low, 2.0), 2.0)
    with pytest.raises(InvalidGridError, match="must increase strictly"):
        uniform_lam(VP, low, high).grid(8)


def test_consecutive_pairs_are_the_steps():
    grid = uniform_lam(VP, -3.0, 2.0).grid(3)
    assert list(grid.steps()) == list(pairwise(grid.nodes))


@pytest.mark.parametrize(("first", "last"), [(2, 5), (-2, 4), (3, 3), (3, 2), (5, 9)])
def test_a_part_that_a_grid_does_not_have_is_refused_and_not_cut_short(first, last):
    grid = uniform_lam(VP, -1.0, 1.0).grid(4)
    with pytest.raises(InvalidGridError, match=f"no part from node {first} to node {last}"):
        grid.part(first, last)


SPACED = {
    "uniform": lambda n: uniform_lam(VP, n(-4.1), n(3.3)),
    "wavy": lambda n: wavy_lam(VP, n(-4.1), n(3.3)),
    "sinh": lambda n: sinh_lam(VP, n(-4.1), n(3.3)),
    "karras": lambda n: karras(VP, n(60.1), n(0.03)),
    "power": lambda n: power_t(VP, n(0.9), n(0.01)),
}


@pytest.mark.parametrize("name", SPACED)
@pytest.mark.parametrize("kind", [np.float32, torch.tensor])
def test_ends_in_float32_are_those_numbers_and_nothing_is_computed_in_float32(name, kind):
    """What is formed from a NumPy float32 and a Python float is a float32."""
    given = SPACED[name](kind).grid(7)
    exact = SPACED[name](lambda v: float(kind(v))).grid(7)
    assert [n.lam for n in given.nodes] == [n.lam for n in exact.nodes]
    assert all(type(v) is float for n in given.nodes for v in n)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (
            lambda: uniform_lam(VP, cast(Any, "a"), 2.0),
            "lam_start must be a number, got 'a'",
        ),
        (lambda: uniform_lam(VP, cast(Any, None), 2.0), "lam_start must be a number, got None"),
        (lambda: karras(VP, cast(Any, [1.0]), 0.1), "rho_max must be a number"),
        (lambda: karras(VP, 10.0, 0.1, exponent=1e-3), "exponent 0.001 is too small"),
        (lambda: sinh_lam(VP, -4.0, 800.0), "does not reach to lam = 800"),
        (lambda: wavy_lam(VP, -4.0, 3.0, waves=0), "whole number of waves, at least 1, got 0"),
        (
            lambda: grid_from_sigmas(VP, cast(Any, [1.0, None])),
            "sigma of grid node 1 must be",
        ),
        (
            lambda: grid_from_times(VP, cast(Any, np.ones((2, 2)))),
            "time of grid node 0 must be",
        ),
    ],
)
def test_what_is_no_number_is_refused_in_our_words(make, sentence):
    with pytest.raises(InvalidGridError, match=sentence):
        make()
