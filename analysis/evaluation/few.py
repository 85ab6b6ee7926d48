"""Bootstrap intervals of few numbers: as wide as Student's.

The bootstrap deviation of a mean of n numbers is ``sqrt((n-1)/n)`` of the unbiased one, and its
quantiles are nearly normal, where those of Student's law with n - 1 degrees belong. The factor
between the two is known, so the tails at which resamples are read are moved outwards: exact for
means of normal numbers, up to the shape of the resamples.

Source: Hesterberg 2014, 1411.5279, "expanded percentile interval".
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import ndtr, stdtrit

from ...solvers.process import Array


def widened(z: float | Array, n: int) -> Array:
    """``sqrt(n/(n-1)) t``, t the quantile of Student's law with n - 1 degrees at z's level.

    In bootstrap deviations, for the quantile z of many starts.
    """
    return math.sqrt(n / (n - 1)) * stdtrit(n - 1, np.minimum(ndtr(z), 1.0 - 1e-12))


def tails(level: float, n: int) -> tuple[float, float]:
    """Ends of the percentile interval of a level, as shares of the resamples of n starts."""
    low = float(ndtr(math.sqrt(n / (n - 1)) * stdtrit(n - 1, 0.5 * (1.0 - level))))
    return low, 1.0 - low
