"""Standard normal numbers as a pure function of a key, an id and a place: no state, no order.

A generator in the usual sense would have to be set up for each sample, and torch's and NumPy's
normal numbers of a set-up generator cost two to three times ``torch.randn``, or (torch's seeds)
keep 32 bits of the key: two cells in 65 000 would collide. Here each 64 bits are the encryption of
(id, place) under the key, for all samples at once, and give two numbers by Box & Muller (1958).
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from functools import lru_cache
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from .given import whole_number

BLOCK = 32768
"""Pairs of numbers made at once: what fits the processor's nearer caches."""

FEW = 4096
"""Samples and numbers of each, together, whose places are remembered."""

Words = Sequence[NDArray[np.uint64]]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_LOW = (1 << 32) - 1
_EACH = np.uint64((int(_GOLDEN) << 32) % (1 << 64))  # 2^32 places for each id

# arrays, because NumPy takes them in faster than numbers
_ROUNDS = tuple(
    (np.array(shift, np.uint64), np.array(factor, np.uint64))
    for shift, factor in (
        (30, 0xBF58476D1CE4E5B9),
        (30, 0xBF58476D1CE4E5B9),
        (27, 0x94D049BB133111EB),
    )
)
_LAST, _ANGLE_BITS = (np.array(n, np.uint64) for n in (31, 24))
_ANGLE_MASK = np.array((1 << 24) - 1, np.uint32)
_HALF, _UNIT = (np.array(v) for v in (0.5, 2.0**-40))
_FACTOR, _ANGLE = (np.array(v, np.float32) for v in (-2.0, 2.0 * math.pi * 2.0**-24))


def normal_field(key: bytes, ids: Sequence[int], count: int) -> NDArray[np.float32]:
    """``count`` numbers for each id, shape ``(len(ids), count)``: a function of (key, id, count).

    No number depends on the other ids, nor on their order; ids are any integers, ``count`` is
    below 2^32. Within a key, different (id, place) have different bits, always: a cipher is a
    bijection. Two keys have the same numbers only if 128 bits of a hash agree. The bits are the
    same on every machine; the numbers are those of its elementary functions in the last place.
    """
    return normal_fields((key,), ids, count)[0]


def normal_fields(keys: Sequence[bytes], ids: Sequence[int], count: int) -> NDArray[np.float32]:
    """The fields of many keys, shape ``(len(keys), len(ids), count)``: each its ``normal_field``.

    Small fields are cheap only together: one call costs as much as some thousand numbers.
    """
    few = isinstance(ids, range) and len(ids) + count < FEW
    rows = _few_rows(ids, count) if few else Rows(ids, count)
    return rows.fields(keys)


class Rows:
    """Samples and how many numbers each is to have, under one key after another.

    Parameters
    ----------
    ids : sequence of int
        Any integers.
    count : int
        Numbers for each of them, below 2^32.
    """

    def __init__(self, ids: Sequence[int], count: int) -> None:
        self._shape = len(ids), count
        self._places = _places((count + 1) // 2)
        self._parts = [(rows, b"%d|" % high, low * _EACH) for rows, high, low in _by_word(ids)]

    def fields(
        self, keys: Sequence[bytes], out: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """As :func:`normal_fields`; written to ``out`` where it is given."""
        (many, count), half = self._shape, len(self._places)
        if out is None:
            out = np.empty((len(keys), many, count), np.float32)
        for rows, high, begin in self._parts:
            words = _words([high + key for key in keys])
            part = out if rows is None else np.empty((len(keys), len(begin), count), np.float32)
            for k, r, c in _blocks(len(keys), len(begin), half):
                _WORK.draw(begin[r, None], self._places[c], [word[k] for word in words])
                _WORK.write(part[k, r, :half][..., c], part[k, r, half:][..., c])
            if rows is not None:
                out[:, rows] = part
        return out


@lru_cache(maxsize=4)
def _places(many: int) -> NDArray[np.uint64]:
    """Counters of the first places of a sample."""
    return _GOLDEN * np.arange(many, dtype=np.uint64)


_few_rows = lru_cache(maxsize=16)(Rows)


def _by_word(
    ids: Sequence[int],
) -> Iterator[tuple[NDArray[np.intp] | None, int, NDArray[np.uint64]]]:
    """Rows whose ids agree but for their low 32 bits (None: all), what they agree in, low bits."""
    if isinstance(ids, range) and ids and ids[0] >> 32 == ids[-1] >> 32:
        low = np.arange(ids.start & _LOW, (ids.start & _LOW) + len(ids) * ids.step, ids.step)
        yield None, ids[0] >> 32, low.astype(np.uint64)
        return
    try:
        low, high = _halves(ids)
    except (TypeError, OverflowError):  # short integers of NumPy, or what is none
        low, high = _halves([whole_number(i, "a sample id") for i in ids])
    if len(set(high)) == 1:
        yield None, high[0], low
        return
    for value in set(high):
        rows = np.array([k for k, h in enumerate(high) if h == value])
        yield rows, value, low[rows]


def _halves(ids: Sequence[int]) -> tuple[NDArray[np.uint64], list[int]]:
    """Low 32 bits of ids, and the rest of them."""
    return np.array([i & _LOW for i in ids], dtype=np.uint64), [i >> 32 for i in ids]


def _blocks(keys: int, rows: int, columns: int) -> Iterator[tuple[slice, slice, slice]]:
    """Boxes of at most BLOCK places that tile ``keys`` by ``rows`` by ``columns``."""
    wide = max(1, min(columns, BLOCK))
    tall = max(1, min(rows, BLOCK // wide))
    deep = max(1, BLOCK // (wide * tall))
    for k in range(0, keys, deep):
        for r in range(0, rows, tall):
            for c in range(0, columns, wide):
                yield slice(k, k + deep), slice(r, r + tall), slice(c, c + wide)


class _Work(threading.local):
    """Room for one block, used again by the next: new memory would cost more than the numbers.

    Functions are taken of whole contiguous blocks only, where NumPy has one code for all places.
    """

    def __init__(self) -> None:
        self._room = np.empty(0, np.uint64)
        self._size = 0

    def of(self, size: int) -> _Work:
        """Room for ``size`` pairs: 20 bytes each, where one thing is in the place of another."""
        if size != self._size:
            if 5 * size > 2 * len(self._room):
                self._room = np.empty((5 * size + 1) // 2, np.uint64)
            self._size = size
            self.bits, self.aside, rest = np.split(self._room, [size, 2 * size])
            self.angle = rest.view(np.float32)[:size]
            self.radius, self.wave = np.split(self.bits.view(np.float32), 2)
            self.low = self.aside.view(np.uint32)[:size]
            self.short = self.low.view(np.int32)
            self.signed, self.uniform = self.bits.view(np.int64), self.aside.view(np.float64)
        return self

    def draw(
        self,
        begin: NDArray[np.uint64],
        places: NDArray[np.uint64],
        words: Words,
    ) -> None:
        """Radius and angle of each place, from its counter, under each key.

        40 bits for the radius reach 7.5 standard deviations, and its logarithm is taken in float64
        for the sake of the small ones; 24 bits for the angle: float32 has no more. Whole numbers
        that fit are converted as signed ones, and as short ones, where processors are quick.
        """
        self.shape = (len(words[0]), len(begin), len(places))
        at = self.of(math.prod(self.shape))
        np.add(begin, places, out=at.bits.reshape(self.shape))
        if len(words[0]) == 1:
            _encrypt(at.bits, [word[0] for word in words], at.aside)
        else:
            by_key = len(words[0]), -1
            _encrypt(at.bits.reshape(by_key), words, at.aside.reshape(by_key))
        np.copyto(at.low, at.bits, casting="unsafe")  # the low half, by the rules of C
        np.bitwise_and(at.low, _ANGLE_MASK, out=at.low)
        np.copyto(at.angle, at.short, casting="same_kind")
        np.multiply(at.angle, _ANGLE, out=at.angle)
        np.right_shift(at.bits, _ANGLE_BITS, out=at.bits)
        np.copyto(at.uniform, at.signed, casting="same_kind")
        np.add(at.uniform, _HALF, out=at.uniform)
        np.multiply(at.uniform, _UNIT, out=at.uniform)
        np.log(at.uniform, out=at.uniform)
        np.copyto(at.radius, at.uniform, casting="same_kind")
        np.multiply(at.radius, _FACTOR, out=at.radius)
        np.sqrt(at.radius, out=at.radius)

    def write(self, cosines: NDArray[np.float32], sines: NDArray[np.float32]) -> None:
        """Both numbers of each place; a sample of odd size has one sine less."""
        odd = slice(0, sines.shape[-1])
        radius, shaped = self.radius.reshape(self.shape), self.wave.reshape(self.shape)
        np.cos(self.angle, out=self.wave)
        np.multiply(radius, shaped, out=cosines)
        np.sin(self.angle, out=self.wave)
        np.multiply(radius[..., odd], shaped[..., odd], out=sines)


_WORK = _Work()


@lru_cache(maxsize=256)
def _digest(key: bytes) -> bytes:
    return blake2b(key, digest_size=16).digest()


def _words(keys: Sequence[bytes]) -> Words:
    """A hash of each key, as two words of 64 bits; each word is a column, a row for each key."""
    digests = b"".join([_digest(key) for key in keys])
    both = np.frombuffer(digests, "<u8").astype(np.uint64).reshape(-1, 2)
    return both[:, :1], both[:, 1:]


def _encrypt(z: NDArray[np.uint64], words: Words, aside: NDArray[np.uint64]) -> None:
    """SplitMix64's mixing (Steele, Lea & Flood 2014) after a keyed round of it: a bijection.

    Each bit of the counter and of both words changes half of the bits that come out. In place;
    ``aside`` is overwritten.
    """
    for k, (shift, factor) in enumerate(_ROUNDS):
        if k < len(words):
            np.bitwise_xor(z, words[k], out=z)
        np.right_shift(z, shift, out=aside)
        np.bitwise_xor(z, aside, out=z)
        np.multiply(z, factor, out=z)
    np.right_shift(z, _LAST, out=aside)
    np.bitwise_xor(z, aside, out=z)
