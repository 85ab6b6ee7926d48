r"""The expected perturbation score: what all levels of noise say about one point.

    EPS(x) = E_{t ~ U(0, T)} E[ s_t(alpha x + sigma eps) ]

a vector for each sample, to be compared with that of natural samples by a two-sample test (see
``permutation``). On N(m, C) it is affine, ``-(x - m) (1/T) int alpha/(alpha^2 C + sigma^2) dt`` in
each eigendirection, and injective: laws of EPS agree exactly if the laws agree, and a shift of the
mean by delta appears as the gain times delta.

Times are Gauss-Legendre nodes in t and noises come in pairs +-eps, so a linear score, Gaussian
data, is averaged without any error. The noise of a sample is a function of (seed, index): two
samples that are compared need different ``seed`` or ``first``, else the noise couples them.

Large T does not lose a shift by itself: a test whose kernel scales with the sample sees the same
affine features at every T. What loses it is the noise of the average, which a gain that falls
like 1/T no longer covers.

Source: Zhang et al. 2023, arXiv:2305.16035.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from ...solvers.errors import AnalysisError
from ...solvers.process import Array, Process
from ...toy_models.draws import normals


def _times(process: Process, t_max: float, levels: int) -> tuple[Array, Array]:
    """Gauss-Legendre nodes of (0, T), and weights of sum 1."""
    if not 0 < t_max <= process.t_max:
        msg = f"T must be positive and at most {process.t_max}, got {t_max}"
        raise AnalysisError(msg)
    if levels < 1:
        msg = f"the mean over times needs at least one level, got {levels}"
        raise AnalysisError(msg)
    nodes, weights = np.polynomial.legendre.leggauss(levels)
    return 0.5 * t_max * (nodes + 1), 0.5 * weights


def perturbation_gain(
    variances: ArrayLike, process: Process, t_max: float, *, levels: int = 64
) -> Array:
    """``-(1/T) int_0^T alpha/(alpha^2 C + sigma^2) dt`` by eigenvalue C: EPS = gain (x - m).

    With ``f = -1/2, g = 1`` and C < 1 it is
    ``-(2/(T r)) [atanh(r) - atanh(r e^{-T/2})]``, ``r = sqrt(1 - C)``.

    Raises
    ------
    AnalysisError
        Unless ``0 < T <= process.t_max`` and the variances are positive.
    """
    c = np.atleast_1d(np.asarray(variances, dtype=np.float64))
    if not (c > 0).all():
        msg = f"variances must be positive, or scores diverge at t = 0; got {c.tolist()}"
        raise AnalysisError(msg)
    times, weights = _times(process, t_max, levels)
    gain = np.zeros_like(c)
    for t, w in zip(times, weights, strict=True):
        node = process.node(float(t))
        gain -= w * node.alpha / (node.alpha**2 * c + node.sigma**2)
    return gain


def perturbation_score(
    law: Any,
    process: Process,
    x: Tensor,
    t_max: float,
    *,
    seed: int,
    levels: int = 12,
    draws: int = 8,
    paired: bool = True,
    first: int = 0,
) -> Tensor:
    """EPS of each row of x, (B, d): a function of the row, its index and the seed.

    Parameters
    ----------
    law : Law
        Anything with ``score(x, alpha, sigma)``.
    process : Process
        Forward process.
    x : Tensor
        Samples, (B, d).
    t_max : float
        T, in the clock of the process.
    seed : int
        Of the noise.
    levels, draws : int
        Times, and noises for each time (pairs count as one).
    paired : bool
        Whether each noise comes with its negative.
    first : int
        Index of the first row.

    Raises
    ------
    AnalysisError
        Unless ``0 < T <= process.t_max``, and levels and draws are at least 1.
    """
    if x.ndim != 2 or draws < 1:
        msg = f"need samples (B, d) and at least one draw, got {tuple(x.shape)} and {draws}"
        raise AnalysisError(msg)
    times, weights = _times(process, t_max, levels)
    n, d = x.shape
    flat = normals(n, levels * draws * d, seed=seed, label="perturbation", first=first)
    noise = torch.from_numpy(flat).to(x).reshape(n, levels, draws, d)
    total = torch.zeros_like(x)
    signs = (1.0, -1.0) if paired else (1.0,)
    for k, (t, w) in enumerate(zip(times, weights, strict=True)):
        node = process.node(float(t))
        mean = node.alpha * x[:, None]
        for sign in signs:
            moved = (mean + sign * node.sigma * noise[:, k]).reshape(-1, d)
            found = law.score(moved, node.alpha, node.sigma).reshape(n, draws, d)
            total = total + (w / len(signs)) * found.mean(1)
    return total
