r"""Low-rank mixtures as a denoiser learns them: PCA, clustering of subspaces, and the law N = d.

Data ``x_0 = U_k a`` with orthonormal ``U_k`` (D, d_k), ``a ~ N(0, I)``, class weights w_k. The
exact denoiser is, at ``snr = alpha^2/sigma^2``::

    D(x) = alpha/(alpha^2 + sigma^2) sum_k g_k U_k U_k^T x,
    g = softmax_k[ log w_k - (d_k/2) log(1 + snr) + q |U_k^T x|^2 ],
    q = alpha^2/(2 sigma^2 (alpha^2 + sigma^2))

(the law itself, also off the subspaces and with means, is ``toy_models/lowrank.py``). With the
denoiser parametrised so and K = 1, the denoising loss is a constant minus ``a (2 - a)
sum |U^T x|^2`` with ``a = alpha^2/(alpha^2 + sigma^2)``: training is PCA at every level of noise.
Noise-free data span a subspace exactly once ``N >= d``: needed samples grow with d, not with D.
Noise of size delta in the data tilts what they span by ``delta^2`` over the squares of their
singular values, in the mean of :func:`projector_error` ``2 delta^2 (D - d) d/(N - d - 1)``.

Bases are compared by their projectors: a rotated basis is the same subspace.

Source: Wang, Zhang, Zhang, Chen, Ma & Qu 2024, arXiv:2409.02426.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ..solvers.errors import AnalysisError
from ..solvers.process import Array


def responsibilities(
    x: ArrayLike,
    bases: Sequence[Array],
    weights: ArrayLike,
    alpha: float,
    sigma: float,
) -> Array:
    """Probability of each subspace given ``x_t = x``, (B, K); ranks and weights may differ.

    Parameters
    ----------
    x : array_like
        States, (B, D).
    bases : sequence of (D, d_k) arrays
        Orthonormal columns.
    weights : array_like
        w, (K,), positive.
    alpha, sigma : float
        Level of noise, both positive.
    """
    if not (alpha > 0 and sigma > 0):
        msg = f"alpha and sigma must be positive, got {alpha} and {sigma}"
        raise AnalysisError(msg)
    points, w = np.asarray(x, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    if len(bases) != len(w) or not (w > 0).all():
        msg = f"need one positive weight a subspace, got {len(bases)} and {w.tolist()}"
        raise AnalysisError(msg)
    pull = alpha**2 / (2 * sigma**2 * (alpha**2 + sigma**2))
    grown = np.log1p((alpha / sigma) ** 2)
    logits = np.stack(
        [
            np.log(p) - 0.5 * u.shape[1] * grown + pull * np.sum((points @ u) ** 2, axis=1)
            for p, u in zip(w, bases, strict=True)
        ],
        axis=1,
    )
    parts = np.exp(logits - logits.max(1, keepdims=True))
    return parts / parts.sum(1, keepdims=True)


def denoising_loss(x: ArrayLike, basis: Array, alpha: float, sigma: float) -> float:
    """``mean_i E_eps |x_i - kappa U U^T (alpha x_i + sigma eps)|^2``, exact in the noise.

    ``kappa = alpha/(alpha^2 + sigma^2)``: the loss of the denoiser that believes in one subspace.
    """
    points = np.asarray(x, dtype=np.float64)
    a = alpha**2 / (alpha**2 + sigma**2)
    kappa = alpha / (alpha**2 + sigma**2)
    kept = np.sum((points @ basis) ** 2, axis=1)
    spread = kappa**2 * sigma**2 * basis.shape[1]
    return float(np.mean(np.sum(points**2, axis=1) - a * (2 - a) * kept) + spread)


def principal_basis(x: ArrayLike, rank: int, *, seed: int = 0) -> Array:
    """Orthonormal (D, rank) basis that minimises :func:`denoising_loss`: uncentred PCA.

    Directions in which the data do not lie are completed at random, as a trained network would.
    """
    points = np.asarray(x, dtype=np.float64)
    if points.ndim != 2 or not 1 <= rank <= points.shape[1]:
        msg = f"need data (N, D) and a rank from 1 to D, got {points.shape} and {rank}"
        raise AnalysisError(msg)
    _, values, vh = np.linalg.svd(points, full_matrices=False)
    found = int(np.sum(values > 1e-12 * values[0])) if values.size else 0
    known = vh[: min(rank, found)].T
    if known.shape[1] == rank:
        return known
    more = np.random.default_rng(seed).standard_normal((points.shape[1], rank - known.shape[1]))
    return np.linalg.qr(np.concatenate([known, more], axis=1))[0]


def projector_error(one: Array, two: Array) -> float:
    """``|P - Q|_F^2`` of the projectors on the spans of two orthonormal bases, not cancelling.

    For equal ranks it is ``2 |(1 - P) V|_F^2``, twice the sum of squared sines of the angles.
    """
    if one.shape != two.shape:
        msg = f"bases of one shape are compared, got {one.shape} and {two.shape}"
        raise AnalysisError(msg)
    return 2 * float(np.sum((two - one @ (one.T @ two)) ** 2))


def expected_projector_error(dim: int, rank: int, n: int) -> float:
    """Mean of :func:`projector_error` after n noise-free samples and a random completion.

    ``2 (d - n) (1 - (d - n)/(D - n))`` for n < d, and 0 from n = d on.
    """
    if not 0 < rank <= dim or n < 0:
        msg = f"need 0 < rank <= dim and n >= 0, got rank {rank}, dim {dim}, n {n}"
        raise AnalysisError(msg)
    missing = max(rank - n, 0)
    return 2.0 * missing * (1 - missing / (dim - n)) if missing else 0.0


def noisy_projector_error(dim: int, rank: int, n: int, delta: float) -> float:
    """Mean of :func:`projector_error` after n samples ``U a + delta e``, to first order.

    ``2 delta^2 (D - d) d/(n - d - 1)``: of each normal direction the data see a regression of
    noise on n samples of ``a ~ N(0, I_d)``, and ``E tr (A^T A)^{-1} = d/(n - d - 1)``. At
    ``n = d`` and ``d + 1`` the mean diverges: that far the transition is blurred by noise.

    Raises
    ------
    AnalysisError
        Unless ``0 < rank <= dim``, ``n >= rank + 2`` and ``delta >= 0``.
    """
    if not 0 < rank <= dim or n < rank + 2 or not delta >= 0:
        msg = f"need 0 < rank <= dim, n >= rank + 2, delta >= 0; got {rank}, {dim}, {n}, {delta}"
        raise AnalysisError(msg)
    return 2.0 * delta**2 * (dim - rank) * rank / (n - rank - 1)


class Clusters(NamedTuple):
    """Bases (K of (D, d)), the label of each point, and the mean square that is left over."""

    bases: tuple[Array, ...]
    labels: Array
    left: float


def cluster(
    x: ArrayLike, count: int, rank: int, *, starts: int = 20, rounds: int = 50, seed: int = 0
) -> Clusters:
    """Subspaces of one rank by alternation: each point to its nearest, each basis by PCA.

    It is what training does at low noise, where responsibilities are hard. Local minima are met
    by several starts; the best is kept.
    """
    points = np.asarray(x, dtype=np.float64)
    if points.ndim != 2 or count < 1 or starts < 1 or rounds < 1:
        msg = f"need data (N, D) and counts of at least 1, got {points.shape}, {count}, {starts}"
        raise AnalysisError(msg)
    rng = np.random.default_rng(seed)
    runs = (_alternate(points, count, rank, rounds, rng) for _ in range(starts))
    return min(runs, key=lambda run: run.left)


def _alternate(x: Array, count: int, rank: int, rounds: int, rng: np.random.Generator) -> Clusters:
    bases = [
        np.linalg.qr(rng.standard_normal((x.shape[1], rank)))[0] for _ in range(count)
    ]  # the first round gives each the points that happen to be near
    labels = np.full(len(x), -1)
    left = float("inf")
    for _ in range(rounds):
        gaps = np.stack([np.sum((x - x @ u @ u.T) ** 2, axis=1) for u in bases], axis=1)
        new = gaps.argmin(1)
        left = float(np.mean(gaps.min(1)))
        if (new == labels).all():
            break
        labels = new
        for k in range(count):
            mine = x[labels == k]
            if len(mine):
                bases[k] = principal_basis(mine, rank, seed=k)
    return Clusters(tuple(bases), labels, left)
