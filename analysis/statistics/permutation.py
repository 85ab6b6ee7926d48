r"""Are two samples of one law: the kernel discrepancy, judged by permutation of the labels.

The statistic is MMD^2 with the kernel ``exp(-|x - y|^2/(2 b^2))``, all pairs counted, as in
``analysis/two_samples.py``: with labels ``a_i = 1/n`` on one sample and ``-1/m`` on the other it
is ``a^T K a``. Under the null hypothesis all labellings are equally likely, and the share of
those with a statistic at least as large is a p-value that is never too small::

    P(p <= u) <= u   for every u, at every sample size, with equality at the attainable values

The bandwidth is the median distance of the *pooled* sample, which no labelling changes. That makes
the test blind to units: multiplying all data by a number changes no p-value.

Source: Gretton et al. 2012 (MMD); Phipson & Smyth 2010 (the + 1 of random permutations).
"""

from __future__ import annotations

import math
from itertools import combinations
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...solvers.errors import AnalysisError
from ...solvers.process import Array
from ..two_samples import median_distance

MOST = 20_000
"""Labellings that are all tried; above, they are drawn."""


class PermutationTest(NamedTuple):
    """MMD^2 of the two samples, the p-value, and how many labellings it was compared with."""

    statistic: float
    p_value: float
    labellings: int


def permutation_test(
    x: Tensor,
    y: Tensor,
    *,
    seed: int | None = None,
    permutations: int | None = 199,
    bandwidth: float | None = None,
) -> PermutationTest:
    """Test of the hypothesis that x (n, d) and y (m, d) have one law.

    Parameters
    ----------
    x, y : Tensor
        Samples.
    seed : int
        Of the permutations; not needed where all are tried.
    permutations : int or None
        How many are drawn, p being ``(1 + larger)/(1 + permutations)``; None tries all.
    bandwidth : float, optional
        b; by default the median distance of the pooled sample.

    Raises
    ------
    AnalysisError
        If a sample is empty or not finite, the bandwidth is not positive, permutations are asked
        for without a seed, or all of more than 20000 labellings are asked for.
    """
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or min(len(x), len(y)) == 0:
        msg = f"need two samples (n, d) and (m, d), got {tuple(x.shape)} and {tuple(y.shape)}"
        raise AnalysisError(msg)
    n, m = len(x), len(y)
    labels = _all(n, m) if permutations is None else _drawn(n, m, permutations, seed)
    pooled = torch.cat([x, y]).detach().to("cpu", torch.float64)
    bad = (~torch.isfinite(pooled).all(1)).nonzero().flatten().tolist()
    if bad:  # or every comparison below is false, and p = 0
        which, row = ("first", bad[0]) if bad[0] < n else ("second", bad[0] - n)
        msg = f"the {which} sample has a value that is not finite in row {row}"
        raise AnalysisError(msg)
    b = median_distance(x, y) if bandwidth is None else float(bandwidth)
    if not 0 < b < math.inf:
        msg = f"the bandwidth must be positive and finite, got {b}"
        raise AnalysisError(msg)
    apart = torch.cdist(pooled, pooled, compute_mode="donot_use_mm_for_euclid_dist")
    kernel = torch.exp(apart.square() / (-2 * b * b)).numpy()
    values = np.einsum("pi,pi->p", labels @ kernel, labels)
    larger = values >= values[0] - 1e-12  # the first is the given one; kernels are at most 1
    return PermutationTest(float(values[0]), float(larger.mean()), len(values))


def _weights(chosen: NDArray[np.intp], n: int, m: int) -> Array:
    """Rows of labels from rows of indices of the first sample."""
    out = np.full((len(chosen), n + m), -1.0 / m)
    np.put_along_axis(out, chosen, 1.0 / n, axis=1)
    return out


def _all(n: int, m: int) -> Array:
    if math.comb(n + m, n) > MOST:
        msg = f"{n} and {m} points have more than {MOST} labellings: draw some of them"
        raise AnalysisError(msg)
    return _weights(np.array(list(combinations(range(n + m), n))), n, m)


def _drawn(n: int, m: int, permutations: int, seed: int | None) -> Array:
    if seed is None or permutations < 1:
        msg = f"drawn permutations need a seed and a positive number, got {seed}, {permutations}"
        raise AnalysisError(msg)
    order = np.argsort(np.random.default_rng(seed).random((permutations, n + m)), axis=1)[:, :n]
    return _weights(np.concatenate([np.arange(n)[None], order]), n, m)
