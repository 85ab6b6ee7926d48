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
rotations, for any p, is ours. Without areas the same is the Levy bridge, (x, z1) -> (x1, x2).

A query of a path is linear in all these normals, and its weights come from the transposed map.
"""

from __future__ import annotations

import math

Weights = tuple[float, float]
"""Weights of a stretch's normals in a query: of x, its increment, and of y, its area."""


def gathered(
    left: float, right: float, on_left: Weights, on_right: Weights, *, areas: bool
) -> tuple[Weights, Weights]:
    """Weights of a query in a stretch and in its fresh normals, from those in its two cells.

    Parameters
    ----------
    left, right : float
        Measures of the two cells: positive, however different.
    on_left, on_right : (float, float)
        Weights in the cells.
    areas : bool
        Whether the path has areas; if not, the weights of y and z2 are zero.

    Returns
    -------
    on_whole, on_fresh : (float, float)
        Weights of (x, y) and of (z1, z2).
    """
    root_p, root_q = math.sqrt(left / (left + right)), math.sqrt(right / (left + right))
    x, e = _turned(on_left[0], on_right[0], root_p, root_q)
    if not areas:
        return (x, 0.0), (e, 0.0)
    cube_p, cube_q = root_p**3, root_q**3
    rest = math.hypot(cube_p, cube_q)  # sqrt(1 - 3 p q)
    r, z2 = _turned(on_left[1], on_right[1], cube_p / rest, cube_q / rest)
    y, z1 = _turned(e, r, math.sqrt(3.0) * root_p * root_q, rest)
    return (x, y), (z1, z2)


def _turned(u: float, v: float, c: float, s: float) -> tuple[float, float]:
    """``(c u + s v, s u - c v)``: its own inverse and transpose if ``c^2 + s^2 = 1``."""
    return c * u + s * v, s * u - c * v
