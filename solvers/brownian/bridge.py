"""A stretch of Brownian path divided in two, given its increment and its space-time area.

Let w be the increment and h the area of a stretch of measure m = m1 + m2, and p = m1/m, q = m2/m.
Two cells join to one (``joined`` in ``noise.py``) by

    w = w1 + w2,        h = p h1 + q h2 + (q w1 - p w2) / 2.

The exact conditional law of the two cells given their union is, with standard normals z1, z2 and
``s^2 = p^3 + q^3 = 1 - 3 p q``,

    w1 = p w + 6 p q h + sqrt(m p q) s z1,          w2 = w - w1,
    h1 = p^2 g + sqrt(m p q / 12) (q/s) z2,         g = h - sqrt(m p q / 4) z1 / s,
    h2 = q^2 g - sqrt(m p q / 12) (p/s) z2.

For p = 1/2 it is that of Foster, Lyons & Oberhauser 2020 (arXiv:1904.06998); the form for any p is
ours. Without areas it is the Levy bridge, ``w1 = p w + sqrt(m p q) z1``.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Values = list[NDArray[np.float64]]
"""Increments of a stretch, and areas if the path has them."""


def divided(whole: Values, left: float, right: float, z: Values) -> tuple[Values, Values]:
    """The two cells of a stretch, of measures ``left`` and ``right``: positive, however different.

    ``z`` are independent standard normals, as many fields as ``whole`` has; they are used up. The
    smaller cell is computed, and the larger one is the rest: so both have all their digits, and
    their increments add up. Each product and sum is rounded by itself, so that no number depends
    on its place in the batch.
    """
    m = left + right
    p, q = left / m, right / m
    spread = math.sqrt(left * q)
    if len(whole) == 1:
        return _with_rest(whole[0], p, q, [z[0] * spread])
    (w, h), s = whole, math.sqrt(p**3 + q**3)
    w1, w2 = _with_rest(w, p, q, [h * (6 * p * q), z[0] * (spread * s)])
    g = h - np.multiply(z[0], spread / (2 * s), out=z[0])
    h1, h2 = g * p**2, np.multiply(g, q**2, out=g)
    h1 += z[1] * (spread / math.sqrt(12) * q / s)
    h2 -= np.multiply(z[1], spread / math.sqrt(12) * p / s, out=z[1])
    return [*w1, h1], [*w2, h2]


def _with_rest(w: NDArray[np.float64], p: float, q: float, kicks: Values) -> tuple[Values, Values]:
    """``p w + kicks`` to the left, ``q w - kicks`` to the right; the kicks are used up."""
    total = kicks[0]
    for kick in kicks[1:]:
        total += kick
    share = w * min(p, q)
    small = np.add(share, total, out=total) if p <= q else np.subtract(share, total, out=total)
    rest = np.subtract(w, small, out=share)
    return ([small], [rest]) if p <= q else ([rest], [small])
