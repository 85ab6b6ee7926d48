"""A stretch of Brownian path divided in two, given its increment and its space-time area.

Everything is in standard normals: ``x = W / sqrt(m)`` and ``y = H / sqrt(m / 12)`` of a stretch of
measure m. Let a part p of the measure lie to the left, q = 1 - p to the right. Two cells join to
one (``joined`` in ``noise.py``) by

    x = sqrt(p) x1 + sqrt(q) x2,        e = sqrt(q) x1 - sqrt(p) x2,
    y = p^(3/2) y1 + q^(3/2) y2 + sqrt(3 p q) e,

and the last row has length one, for ``p^3 + q^3 + 3 p q = 1``. So joining is the first half of an
orthogonal map of (x1, x2, y1, y2) to (x, y, z1, z2), and the exact conditional law of the two
cells given their union is the inverse map with fresh normals z1, z2: three plane rotations,

    (y, z1) -> (e, r),      (x, e) -> (x1, x2),      (r, z2) -> (y1, y2).

The law is that of Foster, Lyons & Oberhauser 2020 (arXiv:1904.06998), where p = 1/2; the form in
rotations, for any p, is ours. Without areas the same is the Levy bridge, (x, z) -> (x1, x2).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
LEFT, RIGHT = 0, 1


class Division:
    """The map from a stretch, and fresh normals, to the two cells it is made of.

    Parameters
    ----------
    left, right : float
        Measures of the two cells: positive, however different.
    """

    def __init__(self, left: float, right: float) -> None:
        whole = left + right
        root_p, root_q = math.sqrt(left / whole), math.sqrt(right / whole)
        c1, c2 = root_p**3, root_q**3
        rest = math.hypot(c1, c2)  # sqrt(1 - 3 p q)
        self._roots = (root_p, root_q)
        self._tilt = (math.sqrt(3.0) * root_p * root_q, rest)
        self._areas = (c1 / rest, c2 / rest)

    def increment(self, side: int, x: Array, e: Array) -> Array:
        """Increment of a cell, from that of the stretch and the normal that divides it."""
        return _row(side, x, e, *self._roots)

    def dividing(self, y: Array, z1: Array) -> tuple[Array, Array]:
        """The normal that divides the increment, and what else of the area is fixed."""
        return _row(LEFT, y, z1, *self._tilt), _row(RIGHT, y, z1, *self._tilt)

    def area(self, side: int, r: Array, z2: Array) -> Array:
        """Area of a cell."""
        return _row(side, r, z2, *self._areas)


def _row(side: int, u: Array, v: Array, c: float, s: float) -> Array:
    """A row of ``(c u + s v, s u - c v)``: an orthogonal map if ``c^2 + s^2 = 1``.

    Each product and sum is rounded by itself, so no number depends on its place in an array.
    """
    if side == LEFT:
        out = u * c
        out += v * s
    else:
        out = u * s
        out -= v * c
    return out
