"""Standard normal numbers as a pure function of a key: two ways, by the size of a sample.

Large samples have a generator each, whose whole 256-bit state is a hash of the key (torch's CPU
generator keeps 32 bits of a seed: two cells in 65 000 would collide). Small samples would spend
their time on setting generators up, so all of them are made at once, by mixing counters.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

LARGE = 256
"""Numbers of a sample from which it has a generator of its own."""

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_WORD = (1 << 64) - 1


def normal_field(key: bytes, ids: Sequence[int], count: int) -> NDArray[np.float32]:
    """``count`` numbers for each id, shape ``(len(ids), count)``: a function of (key, id, count).

    No number depends on the other ids, nor on their order.
    """
    if count < LARGE:
        return _by_counter(key, ids, count)
    out = np.empty((len(ids), count), dtype=np.float32)
    bits = np.random.SFC64(0)
    generator = np.random.Generator(bits)
    for row, i in zip(out, ids, strict=True):
        bits.state = {
            "bit_generator": "SFC64",
            "state": {"state": _words(key + b"|%d" % i)},
            "has_uint32": 0,
            "uinteger": 0,
        }
        generator.standard_normal(dtype=np.float32, out=row)
    return out


def _words(key: bytes) -> NDArray[np.uint64]:
    """A hash of the key, as four words of 64 bits."""
    digest = hashlib.blake2b(key, digest_size=32).digest()
    return np.frombuffer(digest, dtype="<u8").astype(np.uint64)


def _by_counter(key: bytes, ids: Sequence[int], count: int) -> NDArray[np.float32]:
    """Box & Muller (1958) on hashed counters.

    The id is mixed with the key into 128 bits, the counter with both halves of them in turn: two
    samples, or two keys, share a number only if all 128 bits agree.
    """
    words = _words(key)
    if isinstance(ids, range):
        sample = np.arange(ids.start, ids.stop, ids.step).astype(np.uint64)
    else:
        sample = np.array([i & _WORD for i in ids], dtype=np.uint64)
    first = _mix(_mix(sample ^ words[0:1]) ^ words[1:2])
    second = _mix(_mix(sample ^ words[2:3]) ^ words[3:4])
    counter = _GOLDEN * np.arange(1, (count + 1) // 2 + 1, dtype=np.uint64)
    bits = _mix(_mix(first[:, None] + counter) ^ second[:, None])
    # 40 bits for the radius reach 7.5 standard deviations, 24 for the angle: float32 has no more
    radius = np.sqrt(-2.0 * np.log(((bits >> np.uint64(24)).astype(np.float64) + 0.5) * 2.0**-40))
    angle = (bits & np.uint64(0xFFFFFF)).astype(np.float64) * (2.0 * math.pi * 2.0**-24)
    pairs = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)
    return pairs.reshape(len(sample), 2 * counter.size)[:, :count].astype(np.float32)


def _mix(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Finaliser of SplitMix64 (Steele, Lea & Flood 2014): a bijection with full avalanche."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
