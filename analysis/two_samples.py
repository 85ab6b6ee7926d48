"""Distances between two samples: exact and sliced W2, energy distance, kernel discrepancy (MMD).

Samples are (n, d) and (m, d), NumPy arrays or torch tensors; see :mod:`.distances` for what comes
back. Only sliced W2 is random, and its seed is an argument. These are distances of the *empirical*
laws: two samples of one law are at a distance of order n^{-1/2} (n^{-1/d} for W2, d > 4), not 0.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..solvers.errors import AnalysisError
from .distances import as_result, safe_root, to_tensors

_ROWS = 2048  # rows of a distance matrix formed at once


def _samples(x: Any, y: Any) -> tuple[bool, Tensor, Tensor]:
    as_tensor, (a, b) = to_tensors(x, y)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(a.numel(), b.numel()) == 0:
        msg = (
            "two samples must have shapes (n, d) and (m, d) with n, m, d >= 1, got "
            f"{tuple(a.shape)} and {tuple(b.shape)}"
        )
        raise AnalysisError(msg)
    for name, v in (("first", a), ("second", b)):
        bad = ~torch.isfinite(v.detach()).all(dim=1)
        if bool(bad.any()):
            msg = (
                f"the {name} sample has a value that is not finite in row {int(bad.nonzero()[0])}"
            )
            raise AnalysisError(msg)
    return as_tensor, a, b


def _distances(a: Tensor, b: Tensor) -> Tensor:
    """Euclidean distances from differences (not from inner products, which cancel)."""
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


def _mean_distance(a: Tensor, b: Tensor) -> Tensor:
    total = sum(_distances(rows, b).sum() for rows in a.split(_ROWS))
    return torch.as_tensor(total) / (a.shape[0] * b.shape[0])


def exact_w2(x: Any, y: Any) -> Any:
    """W2 between two empirical laws, by linear programming (POT's network simplex).

    Cost is about n^3 and memory n m: meant for n up to a few thousand.

    Raises
    ------
    AnalysisError
        For bad samples, and if the solver stops before the optimum.
    """
    import ot  # it takes seconds to import

    as_tensor, a, b = _samples(x, y)
    cost = _distances(a, b).square()
    mass_a, mass_b = (a.new_full((len(v),), 1 / len(v)) for v in (a, b))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # what it warns of is in the log
        solved: Any = ot.emd2(mass_a, mass_b, cost, numItermax=100_000_000, log=True)
    square, log = solved
    if log["warning"] is not None:
        msg = f"optimal transport between {len(a)} and {len(b)} points failed: {log['warning']}"
        raise AnalysisError(msg)
    return as_result(safe_root(torch.as_tensor(square)), as_tensor)


def sliced_w2(x: Any, y: Any, *, seed: int, projections: int = 256) -> Any:
    """Root mean square over random directions of the W2 of one-dimensional projections.

    ``SW2^2 = E_theta W2^2(theta.x, theta.y)``, theta uniform on the sphere; a translation by v
    gives ``|v|/sqrt(d)`` in the mean. Directions are drawn by NumPy from ``seed``, so results
    are equal on every device and comparable for equal seeds only.
    """
    as_tensor, a, b = _samples(x, y)
    if projections < 1:
        msg = f"sliced W2 needs at least one projection, got {projections}"
        raise AnalysisError(msg)
    draws = np.random.default_rng(seed).standard_normal((projections, a.shape[1]))
    theta = torch.from_numpy(draws / np.linalg.norm(draws, axis=1, keepdims=True)).to(a.device)
    u, v = (a @ theta.T).sort(dim=0).values, (b @ theta.T).sort(dim=0).values
    i, j, mass = _quantile_steps(len(a), len(b))
    squares = (u[i] - v[j]).square() * torch.from_numpy(mass).to(a.device)[:, None]
    return as_result(safe_root(squares.sum(dim=0).mean()), as_tensor)


def _quantile_steps(n: int, m: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which sorted points the monotone coupling of n and m equal masses joins, and how much."""
    edges = np.unique(np.concatenate([np.arange(n + 1) * m, np.arange(m + 1) * n]))  # times n m
    start, mass = edges[:-1], np.diff(edges) / (n * m)
    return start // m, start // n, mass


def energy_distance(x: Any, y: Any) -> Any:
    """Root of ``2 E|X-Y| - E|X-X'| - E|Y-Y'|`` of the empirical laws (Szekely & Rizzo 2013).

    All pairs count, a point with itself too, so the square is never negative; in one dimension
    it is ``2 int (F - G)^2`` and the root is what SciPy calls the energy distance.
    """
    as_tensor, a, b = _samples(x, y)
    square = 2 * _mean_distance(a, b) - _mean_distance(a, a) - _mean_distance(b, b)
    return as_result(safe_root(square), as_tensor)


def median_distance(x: Any, y: Any) -> float:
    """Median distance between different points of the pooled sample: the usual bandwidth."""
    _, a, b = _samples(x, y)
    pooled = torch.cat([a, b]).detach()
    value = float(torch.pdist(pooled).median()) if len(pooled) > 1 else 0.0
    if value == 0.0:
        msg = "the median distance between points is 0; give a bandwidth"
        raise AnalysisError(msg)
    return value


def mmd(x: Any, y: Any, *, bandwidth: float | None = None) -> Any:
    """Maximum mean discrepancy with the kernel ``exp(-|x-y|^2/(2 bandwidth^2))`` (Gretton 2012).

    Root of the mean kernel within the samples less twice the mean across (V-statistic: all pairs
    count). ``bandwidth`` is a length; by default :func:`median_distance`, and then held constant
    in gradients.
    """
    as_tensor, a, b = _samples(x, y)
    width = median_distance(a, b) if bandwidth is None else float(bandwidth)
    if not (math.isfinite(width) and width > 0):
        msg = f"bandwidth must be positive and finite, got {bandwidth}"
        raise AnalysisError(msg)

    def mean_kernel(p: Tensor, q: Tensor) -> Tensor:
        parts = [
            torch.exp(_distances(rows, q).square() / (-2 * width**2)).sum()
            for rows in p.split(_ROWS)
        ]
        return torch.stack(parts).sum() / (p.shape[0] * q.shape[0])

    square = mean_kernel(a, a) + mean_kernel(b, b) - 2 * mean_kernel(a, b)
    return as_result(safe_root(square), as_tensor)
