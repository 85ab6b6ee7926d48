"""Mixtures of Gaussians in 60-digit arithmetic: the oracle of the exact models.

Every law of the house is a mixture of Gaussians (an empirical law has zero covariances), so this
one short, slow and independent computation checks them all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import mpmath as mp
import numpy as np

mp.mp.dps = 60


class Exact(NamedTuple):
    """Log-density, score and denoiser at one point, rounded once to float64."""

    log_density: float
    score: np.ndarray
    denoiser: np.ndarray


class MPMixture:
    """``sum_k w_k N(m_k, C_k)``; the numbers given are taken as exact."""

    def __init__(self, weights: Sequence, means: Sequence, covs: Sequence) -> None:
        self.weights = [mp.mpf(w) for w in weights]
        self.means = [mp.matrix([mp.mpf(v) for v in m]) for m in means]
        self.covs = [mp.matrix(c) for c in covs]

    def at(self, x: Sequence, alpha: float, sigma: float) -> Exact:
        """All quantities at x."""
        a, s, d = mp.mpf(alpha), mp.mpf(sigma), len(x)
        x = mp.matrix([mp.mpf(v) for v in x])
        logs, scores, denoisers = [], [], []
        for w, m, c in zip(self.weights, self.means, self.covs, strict=True):
            total = a**2 * c + s**2 * mp.eye(d)
            r = x - a * m
            solved = mp.lu_solve(total, r)
            quadratic = (r.T * solved)[0]
            logs.append(
                mp.log(w) - (quadratic + mp.log(mp.det(total)) + d * mp.log(2 * mp.pi)) / 2
            )
            scores.append(-solved)
            denoisers.append(m + a * (c * solved))
        top = max(logs)
        g = [mp.exp(v - top) for v in logs]
        total_g = mp.fsum(g)
        zero = mp.zeros(d, 1)
        score, denoiser = zero.copy(), zero.copy()
        for gk, sk, dk in zip(g, scores, denoisers, strict=True):
            score += gk / total_g * sk
            denoiser += gk / total_g * dk
        log_density = top + mp.log(total_g)
        return Exact(float(log_density), _floats(score), _floats(denoiser))


def _floats(v: Any) -> np.ndarray:
    return np.array([float(u) for u in v])
