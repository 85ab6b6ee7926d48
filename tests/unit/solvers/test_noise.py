"""Noise is a pure function of its key, has the law it claims, and refines without changing.

Statistical tests have fixed seeds and a false-alarm rate of at most 1e-6 each: 4.9 standard
deviations of a normal, 2.7 of Kolmogorov's statistic. Each is shown to fail on wrong noise.
"""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from fokker.solvers import normals
from fokker.solvers.errors import ShapeError
from fokker.solvers.noise import CellNoise
from fokker.solvers.normals import BLOCK, normal_field
from fokker.solvers.plan import Noise

CELL = Noise("lam", -1.0, 0.5)
SIZES = [(1,), (3,), (5, 51), (3, 20, 20)]
SIGMAS, KOLMOGOROV = 4.9, 2.7

on_sizes = pytest.mark.parametrize("size", SIZES, ids=str)


@pytest.mark.parametrize("count", [2 * BLOCK - 1, 2 * BLOCK, 2 * BLOCK + 3, 5 * BLOCK, 7001])
def test_the_numbers_do_not_depend_on_how_the_work_is_cut(count: int, monkeypatch):
    whole = normal_field(b"key", [7, 2**40, 9], count)
    for block in (count, 1 << 20, 1000):
        monkeypatch.setattr(normals, "BLOCK", block)
        np.testing.assert_array_equal(normal_field(b"key", range(7, 10, 2), count), whole[::2])
    assert len(np.unique(whole[:, :9], axis=0)) == 3


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
    ids = [i << shift for i in range(1, 300) for shift in (0, 20, 31, 32, 33, 60, 100)]
    far = normal_field(b"key", ids, 4)
    assert len(np.unique(far, axis=0)) == len(set(ids))
    large = normal_field(b"key", [0, 3, -1, 1 << 32], 20_000)  # nor within a sample
    assert len(np.unique(large[:, :10_000] + 1j * large[:, 10_000:])) == 40_000


@given(
    st.binary(max_size=40), st.lists(st.integers(-(2**80), 2**80), max_size=5), st.integers(1, 9)
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


def flips(change: Callable[[NDArray, tuple], tuple[NDArray, tuple]]) -> float:
    """How far from 1/2 the chance of any bit to change is, in standard deviations."""
    counters = np.arange(1 << 14, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    words = tuple(word[0] for word in normals._words([b"key"]))
    before = counters.copy()
    normals._encrypt(before, words, np.empty_like(before))
    after, words = change(counters, words)
    normals._encrypt(after, words, np.empty_like(after))
    bits = np.unpackbits((before ^ after).view(np.uint8)).reshape(-1, 64)
    return float(np.abs(bits.mean(0) - 0.5).max() * 2 * math.sqrt(len(bits)))


@pytest.mark.parametrize("bit", [0, 1, 17, 31, 32, 47, 62, 63])
def test_each_bit_of_counter_and_key_changes_half_of_the_bits(bit: int):
    """6.5 standard deviations in any of 64 bits: a false alarm in 2e8 of these tests."""
    flip = np.uint64(1) << np.uint64(bit)
    assert flips(lambda z, w: (z ^ flip, w)) < 6.5
    assert flips(lambda z, w: (z.copy(), (w[0] ^ flip, w[1]))) < 6.5
    assert flips(lambda z, w: (z.copy(), (w[0], w[1] ^ flip))) < 6.5
    assert flips(lambda z, w: (z.copy(), (*w, flip))) > 6.5  # before the last round: too late


def verdicts(field: np.ndarray) -> dict[str, float]:
    """Each statistic over its limit: above 1 is an alarm, of rate at most 1e-6."""
    x = field.astype(np.float64)
    n = x.size
    within = (x[:, 1:] * x[:, :-1]).ravel()
    across = (x[1:] * x[:-1]).ravel()
    half = (x.shape[1] + 1) // 2  # the two numbers of one place are half a row apart
    pairs = (x[:, :-half] * x[:, half:]).ravel()
    radii = ((x[:, :-half] ** 2 - 1) * (x[:, half:] ** 2 - 1)).ravel() / 2
    squares = ((x[:, 1:] ** 2 - 1) * (x[:, :-1] ** 2 - 1)).ravel() / 2
    return {
        "mean": abs(x.mean()) * math.sqrt(n) / SIGMAS,
        "variance": abs((x**2).mean() - 1) * math.sqrt(n / 2) / SIGMAS,
        "skewness": abs((x**3).mean()) * math.sqrt(n / 15) / SIGMAS,
        "kurtosis": abs((x**4).mean() - 3) * math.sqrt(n / 96) / SIGMAS,
        "within": abs(within.mean()) * math.sqrt(within.size) / SIGMAS,
        "across": abs(across.mean()) * math.sqrt(across.size) / SIGMAS,
        "squares": abs(squares.mean()) * math.sqrt(squares.size) / SIGMAS,
        "pairs": abs(pairs.mean()) * math.sqrt(pairs.size) / SIGMAS,
        "radii": abs(radii.mean()) * math.sqrt(radii.size) / SIGMAS,
        "shape": stats.kstest(x.ravel(), "norm").statistic * math.sqrt(n) / KOLMOGOROV,
    }


FIELDS = {"many": (30_000, 8), "large": (800, 256), "larger": (4, 50_001)}


@pytest.mark.parametrize("kind", FIELDS)
def test_the_numbers_are_independent_standard_normals(kind: str):
    batch, count = FIELDS[kind]
    found = verdicts(normal_field(b"law", range(batch), count))
    assert max(found.values()) < 1, found


def other_half(x: np.ndarray) -> np.ndarray:
    """The other number of the same place, in each place."""
    return np.roll(x, (x.shape[1] + 1) // 2, axis=1)


def turned(x: np.ndarray, by: float) -> np.ndarray:
    return (x + by * other_half(x)) / math.sqrt(1 + by**2)


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
        (lambda x: turned(x, 0.02), "pairs"),
        (lambda x: x * np.where(np.abs(other_half(x)) > 1, 1.05, 0.975), "radii"),
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
