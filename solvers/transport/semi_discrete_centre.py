"""Sources moved to the origin: squares of far coordinates would drown the distances of atoms."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .semi_discrete_sources import Box, Line, Normals, Sampled, Source

Array = NDArray[np.float64]


def centred(source: Source) -> tuple[Any, Array]:
    """The law of ``x - c`` and c, (d,), the mean of the source.

    Cells, masses and potentials of ``|x - y|^2`` are the same once the atoms are moved too. A
    source of a kind of its own stays where it is, and c is 0.
    """
    c = np.asarray(source.mean, dtype=np.float64)
    if not c.any():
        return source, c
    if isinstance(source, Box):
        return Box(source.low - c, source.high - c), c
    if isinstance(source, Normals):
        return Normals(source.weights, source.means - c, source.covs), c
    if isinstance(source, Line):
        cdf, quantile, at = source.cdf, source.quantile, float(c[0])
        return Line(lambda x: cdf(np.asarray(x) + at), lambda p: quantile(p) - at), c
    if isinstance(source, Sampled):
        draw = source.draw
        return Sampled(lambda n, seed: draw(n, seed) - c, source.dim), c
    return source, np.zeros_like(c)
