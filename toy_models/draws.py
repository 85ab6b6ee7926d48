"""Random numbers that belong to a sample, not to a call: keyed by (seed, label, sample index).

A counter-based generator gives sample ``k`` its own block of counters, so the numbers of a sample
do not depend on how many samples are drawn with it, and blocks of samples can be drawn apart.
Normals are the normal quantiles of uniforms on the midpoints of 2^52 cells: exact to rounding, cut
at 8.2 standard deviations (probability 2e-16).
"""

from __future__ import annotations

import hashlib
import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from ..solvers.errors import InvalidLawError

_CELL = 2.0**-52


def uniforms(n: int, width: int, *, seed: int, label: str, first: int = 0) -> NDArray[np.float64]:
    """Independent uniforms on the open interval (0, 1) for samples ``first .. first + n - 1``.

    Parameters
    ----------
    n, width : int
        Number of samples and of numbers for each.
    seed : int
        Any Python integer.
    label : str
        What the numbers are for; different labels are independent.
    first : int
        Index of the first sample.

    Returns
    -------
    ndarray
        Shape (n, width), float64; row k is a function of (seed, label, width, first + k) only.

    Raises
    ------
    InvalidLawError
        If n, width or first is negative.
    """
    if min(n, width, first) < 0:
        msg = f"n, width and first must not be negative, got n={n}, width={width}, first={first}"
        raise InvalidLawError(msg)
    digest = hashlib.blake2b(f"{seed}|{label}|{width}".encode(), digest_size=16).digest()
    bits = np.random.Philox(key=int.from_bytes(digest, "little"))
    blocks = math.ceil(width / 4)  # one counter gives four 64-bit words
    bits.advance(first * blocks)
    words = bits.random_raw(n * blocks * 4).reshape(n, blocks * 4)[:, :width]
    return ((words >> np.uint64(12)).astype(np.float64) + 0.5) * _CELL


def normals(n: int, width: int, *, seed: int, label: str, first: int = 0) -> NDArray[np.float64]:
    """Independent standard normals, shape (n, width); arguments as for :func:`uniforms`."""
    return ndtri(uniforms(n, width, seed=seed, label=label, first=first))
