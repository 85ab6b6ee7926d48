"""A stretch of Brownian path divided in two, given its increment and its space-time area.

Let w be the increment and h the area of a stretch of measure m = m1 + m2, and p = m1/m, q = m2/m.
Two cells join to one (``joined`` in ``noise.py``) by

    w = w1 + w2,        h = p h1 + q h2 + (q w1 - p w2) / 2.

The exact conditional law of the two cells given their union is, with standard normals z1, z2 and
``s^2 = p^3 + q^3 = 1 - 3 p q``,

    k = 6 p q h + sqrt(m p q) s z1,     w1 = p w + k,       w2 = w - w1,
    g = (h - k/2) / s^2,                h1 = p^2 g + sqrt(m p q / 12) (q/s) z2,
                                        h2 = q^2 g - sqrt(m p q / 12) (p/s) z2.

For p = 1/2 it is that of Foster, Lyons & Oberhauser 2020 (arXiv:1904.06998); the form for any p is
ours. Without areas it is the Levy bridge, ``w1 = p w + sqrt(m p q) z1``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float64]
Values = list[Field]
"""Increments of a stretch, and areas if the path has them."""

Room = Callable[[], Field]
"""Gives an array of the shape of a field, to be written to."""


def divided(
    whole: Values, left: float, right: float, z: Sequence[NDArray], room: Room
) -> tuple[Values, Values, Field]:
    """The two cells of a stretch, of measures ``left`` and ``right``: positive, however different.

    ``z`` are independent standard normals, as many fields as ``whole`` has. ``whole`` is used up:
    its arrays become those of the cells. The third result is an array that is free again.

    The smaller cell is computed, and the larger one is the rest: so both have all their digits,
    and their increments add up. Each product and sum is rounded by itself, so that no number
    depends on its place in the batch.
    """
    m = left + right
    p, q = left / m, right / m
    spread, kick, aside = math.sqrt(left * q), room(), room()
    if len(whole) == 1:
        w1, w2 = _increments(whole[0], p, q, scaled(z[0], spread, kick), aside)
        return [w1], [w2], aside
    (w, h), s = whole, math.sqrt(p**3 + q**3)
    scaled(z[0], spread * s, kick)
    kick += np.multiply(h, 6 * p * q, out=aside)
    h -= np.multiply(kick, 0.5, out=aside)
    w1, w2 = _increments(w, p, q, kick, aside)
    spread /= math.sqrt(12) * s
    h1 = scaled(z[1], spread * q, room())
    if p == q:  # then p^2 / s^2 = 1: for the halves of a cell, less is to be done
        h2 = np.subtract(h, h1, out=aside)
        h1 += h
        return [w1, h1], [w2, h2], h
    h1 += np.multiply(h, (p / s) ** 2, out=aside)
    h *= (q / s) ** 2
    h -= scaled(z[1], spread * p, aside)
    return [w1, h1], [w2, h], aside


def scaled(z: NDArray, size: float, out: Field) -> Field:
    """``size z``, both in float64."""
    np.copyto(out, z)
    return np.multiply(out, size, out=out)


def _increments(w: Field, p: float, q: float, kick: Field, aside: Field) -> tuple[Field, Field]:
    """``p w + kick`` to the left, ``q w - kick`` to the right, in the arrays of kick and w."""
    share = np.multiply(w, min(p, q), out=aside)
    small = (np.add if p <= q else np.subtract)(share, kick, out=kick)
    rest = np.subtract(w, small, out=w)
    return (small, rest) if p <= q else (rest, small)
