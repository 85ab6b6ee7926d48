"""Sliced W2: its closed form between Gaussians, and how far two samples of one law are.

The distance of two samples is :func:`fokker.analysis.two_samples.sliced_w2`, whose projections
agree with those of POT. Two samples of one law are never at distance 0, so a value says something
only beside what samples of these sizes would give anyway: :func:`against_chance`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch

from ...solvers.errors import AnalysisError
from ..distances import _gaussians
from ..two_samples import _samples


def gaussian_sliced_w2(
    mean_a: Any, cov_a: Any, mean_b: Any, cov_b: Any, *, seed: int, projections: int = 256
) -> float:
    """Sliced W2 of two Gaussians over the directions that ``sliced_w2`` takes for this seed.

    Each projection is a pair of normal laws: ``W2^2 = (theta.(m_a - m_b))^2 + (s_a - s_b)^2`` with
    ``s^2 = theta^T C theta``. For ``B = c^2 A`` the mean over all directions is
    ``|m_a - m_b|^2/d + (1 - c)^2 tr A/d``.

    Raises
    ------
    AnalysisError
        For means and covariances that are none, or no projections.
    """
    _, (ma, ca, mb, cb) = _gaussians(mean_a, cov_a, mean_b, cov_b)
    if projections < 1:
        msg = f"sliced W2 needs at least one projection, got {projections}"
        raise AnalysisError(msg)
    draws = np.random.default_rng(seed).standard_normal((projections, len(ma)))
    theta = torch.from_numpy(draws / np.linalg.norm(draws, axis=1, keepdims=True)).to(ma)
    spread = [((theta @ c) * theta).sum(1).clamp_min(0).sqrt() for c in (ca, cb)]
    squares = (theta @ (ma - mb)).square() + (spread[0] - spread[1]).square()
    return math.sqrt(float(squares.mean()))


class AgainstChance(NamedTuple):
    """A distance, and the mean and deviation that two samples of the pooled law have."""

    value: float
    mean: float
    deviation: float

    @property
    def score(self) -> float:
        """How many deviations the value is above what chance gives."""
        return (self.value - self.mean) / self.deviation if self.deviation > 0 else 0.0


def against_chance(
    x: Any,
    y: Any,
    distance: Callable[[Any, Any], float],
    *,
    seed: int,
    draws: int = 20,
) -> AgainstChance:
    """A distance of two samples beside that of random splits of both into the same sizes.

    If x and y are samples of one law, the value is one more draw of the splits (a permutation
    test; Pitman 1937). A value below the mean is no sign of quality: it is chance as well.

    Raises
    ------
    AnalysisError
        For bad samples, or fewer than two splits.
    """
    _, a, b = _samples(x, y)
    if draws < 2:
        msg = f"chance needs at least two splits to have a deviation, got {draws}"
        raise AnalysisError(msg)
    pooled, rng = torch.cat([a, b]), np.random.default_rng(seed)
    split = []
    for _ in range(draws):
        order = torch.from_numpy(rng.permutation(len(pooled))).to(pooled.device)
        mixed = pooled[order]
        split.append(float(distance(mixed[: len(a)], mixed[len(a) :])))
    value = float(distance(a, b))
    return AgainstChance(value, float(np.mean(split)), float(np.std(split, ddof=1)))
