"""Noise at its edges: what has no normals is refused, and a number is the one that is written.

The generator is written once more here, in Python's whole numbers: a number that comes out is that
of the formula, on every path through the blocks.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from hashlib import blake2b
from typing import Any

import numpy as np
import pytest
import torch

from fokker.solvers import normals
from fokker.solvers.brownian.tree import TreePath
from fokker.solvers.errors import FokkerError, InvalidGridError, InvalidPlanError, ShapeError
from fokker.solvers.noise import CellNoise, GridPath, NoiseSource
from fokker.solvers.normals import normal_field, normal_fields
from fokker.solvers.plan import Noise
from fokker.solvers.sde.path import DyadicPath

LIKE = torch.empty(2, 3)
HALF = Noise("t", 0.0, 0.5)
SOURCES: dict[str, Callable[[], NoiseSource]] = {
    "cell": lambda: CellNoise(0),
    "grid": lambda: GridPath([0.0, 0.25, 0.5, 1.0], 0),
    "tree": lambda: TreePath([0.0, 1.0], 0, tolerance=0.01),
    "dyadic": lambda: DyadicPath(0.0, 1.0, 0),
}
on_sources = pytest.mark.parametrize("make", SOURCES.values(), ids=SOURCES)
WORD = (1 << 64) - 1


def by_hand(key: bytes, i: int, place: int) -> tuple[float, float]:
    """Both normals of a place: SplitMix64's mixing with two words of the key's hash."""
    digest = blake2b(b"%d|" % (i >> 32) + key, digest_size=16).digest()
    words = [int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little"), 0]
    z = 0x9E3779B97F4A7C15 * ((i % 2**32) * 2**32 + place) & WORD
    factors = (0xBF58476D1CE4E5B9, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
    for word, shift, factor in zip(words, (30, 30, 27), factors, strict=True):
        z ^= word
        z = (z ^ z >> shift) * factor & WORD
    z ^= z >> 31
    radius = math.sqrt(-2 * math.log(((z >> 24) + 0.5) / 2**40))
    angle = 2 * math.pi * (z % 2**24) / 2**24
    return radius * math.cos(angle), radius * math.sin(angle)


@pytest.mark.parametrize("count", [1, 2, 7])
def test_each_number_is_that_of_the_formula(count: int):
    ids, keys = [0, 5, -3, 2**40 + 1], [b"one", b"two"]
    places = range((count + 1) // 2)

    def row(key: bytes, i: int) -> list[float]:
        pairs = [by_hand(key, i, place) for place in places]
        return [*(a for a, _ in pairs), *(b for _, b in pairs)][:count]

    want = [[row(key, i) for i in ids] for key in keys]
    got = normal_fields(keys, ids, count)
    np.testing.assert_allclose(got, np.array(want), rtol=0, atol=4e-6)


def test_the_farthest_numbers_are_finite_and_reach_seven_and_a_half(
    monkeypatch: pytest.MonkeyPatch,
):
    """All 64 bits 0, and all 1: the largest radius at angle 0, and the smallest one."""
    for bits, size in ((0, math.sqrt(-2 * math.log(2.0**-41))), (WORD, 2.0**-20)):

        def constant(z: np.ndarray, *_: object, bits: int = bits) -> None:
            z[...] = np.uint64(bits)

        with monkeypatch.context() as patch:
            patch.setattr(normals, "_encrypt", constant)
            field = normal_field(b"key", [1], 2)[0]
        assert float(np.hypot(*field)) == pytest.approx(size, rel=1e-6)


@on_sources
@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64])
def test_normals_are_not_cast_to_what_is_no_real_number(
    make: Callable[[], NoiseSource], dtype: torch.dtype
):
    source = make()
    source.draw(HALF, LIKE)  # what waits for the same shape has no say
    with pytest.raises(ShapeError, match=r"real floating-point numbers, got torch\.[a-z0-9]+ of"):
        source.draw(HALF, LIKE.to(dtype))
    with pytest.raises(ShapeError, match=r"got torch.float32 of shape \(\)"):
        source.draw(HALF, torch.empty(()))


@on_sources
def test_another_kind_than_increment_and_area_is_refused(make: Callable[[], NoiseSource]):
    with pytest.raises(InvalidPlanError, match="kind 'W' or 'H', got 'bridge'"):
        make().draw(Noise("t", 0.0, 0.5, "bridge"), LIKE)


def test_a_cell_whose_ends_are_no_numbers_is_refused():
    with pytest.raises(InvalidGridError, match=r"must be numbers, got \[nan, 1.0\]"):
        CellNoise(0).draw(Noise("lam", math.nan, 1.0), LIKE)


@pytest.mark.parametrize("seed", [1.7, "3", None, math.nan, 2.0])
def test_a_seed_or_an_id_that_is_not_whole_is_refused_not_cut_off(seed: object):
    for ask in (
        lambda: CellNoise(seed),  # type: ignore[arg-type]
        lambda: CellNoise(0, [1, seed]),  # type: ignore[list-item]
        lambda: GridPath([0.0, 1.0], seed),  # type: ignore[arg-type]
        lambda: DyadicPath(0.0, 1.0, seed),  # type: ignore[arg-type]
        lambda: normal_field(b"key", [0, seed], 2),  # type: ignore[list-item]
    ):
        with pytest.raises(InvalidPlanError, match="must be a whole number, got"):
            ask()


def test_whole_numbers_of_any_library_are_one_seed_and_one_id():
    ids = [3, 4]
    want = CellNoise(5, ids).draw(HALF, LIKE)
    for seed in (np.int32(5), np.uint64(5), torch.tensor(5)):
        assert torch.equal(CellNoise(seed, ids).draw(HALF, LIKE), want)  # type: ignore[arg-type]
    others: list[Any] = [np.array(ids, np.int32), torch.tensor(ids), np.array(ids, np.uint8)]
    for same in others:
        assert torch.equal(CellNoise(5, same).draw(HALF, LIKE), want)
        np.testing.assert_array_equal(normal_field(b"k", same, 3), normal_field(b"k", ids, 3))


@on_sources
@pytest.mark.parametrize("shape", [(0, 3), (2, 0), (3,)])
def test_a_batch_may_be_empty_or_of_single_numbers(
    make: Callable[[], NoiseSource], shape: tuple[int, ...]
):
    field = make().draw(HALF, torch.empty(shape))
    assert field.shape == shape
    assert torch.isfinite(field).all()


INFINITE = [-math.inf, -1.0, 1.0]
NO_MEASURE = {
    "infinite": (INFINITE, "lam"),
    "overflown": ([300.0, 400.0, 500.0], "snr^1.0"),
    "underflown": ([-900.0, -800.0, -700.0], "snr^1.0"),
    "denormal": ([0.0, 5e-324, 1e-323], "lam"),
    "backwards": ([3.0, 2.0, 1.0], "snr^1.0"),
    "overflown difference": ([-1e308, 0.0, 1e308], "lam"),
}


@pytest.mark.parametrize(("edges", "clock"), NO_MEASURE.values(), ids=NO_MEASURE)
@pytest.mark.parametrize("kind", ["W", "H"])
def test_a_sum_over_cells_without_a_measure_is_refused(edges: list[float], clock: str, kind: str):
    path, cell = GridPath(edges, 0), Noise(clock, edges[0], edges[-1], kind)
    for ask in (path.draw, path.increment):
        with pytest.raises(InvalidGridError, match="a path needs one from 1e-300 to 1e"):
            ask(cell, LIKE)


def test_where_the_measure_has_a_limit_an_infinite_cell_is_a_part_like_any_other():
    whole, one = Noise("snr^1.0", -math.inf, 1.0), Noise("lam", -math.inf, -1.0)
    assert torch.isfinite(GridPath(INFINITE, 0).draw(whole, LIKE)).all()
    assert torch.equal(GridPath(INFINITE, 0).draw(one, LIKE), CellNoise(0).draw(one, LIKE))


def test_paths_of_no_length_or_too_much_are_refused():
    with pytest.raises(InvalidGridError, match=r"to inf \(the length"):
        TreePath([-1.5e308, 1.5e308], 0, tolerance=1e305)
    for ends in ((0.0, 5e-324), (-1e308, 1.7e308)):
        with pytest.raises(FokkerError, match="a path needs one from"):
            DyadicPath(*ends, 0)
