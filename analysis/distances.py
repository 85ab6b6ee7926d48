"""Distances between Gaussians in closed form; for samples see :mod:`.two_samples`.

Arguments are NumPy arrays or torch tensors. All arithmetic is float64. NumPy in gives a float; if
any argument is a tensor the result is a 0-d float64 tensor that can be differentiated, with
gradients that stay finite at equality. ``diagonal_w2`` and ``diagonal_kl`` are the same closed
forms in a common eigenbasis, NumPy only: cheap, and free of cancellation.

W2 is the distance, not its square. The Gaussian part of W2 is the Bures distance of covariances;
the Frechet distance of image papers (FID) is the *square* of this W2, taken between features.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from ..solvers.errors import AnalysisError
from ..solvers.process import Array
from ..solvers.transport.bures import bures_squared


def diagonal_w2(mean_a: ArrayLike, var_a: ArrayLike, mean_b: ArrayLike, var_b: ArrayLike) -> float:
    """W2 of Gaussians with commuting covariances, in their eigenbasis; all arguments (K,).

    ``W2^2 = sum_k (m_a - m_b)^2 + (s_a - s_b)^2``, s the standard deviations. Zero variances are
    welcome. The difference of roots is formed as ``(v_a - v_b)/(s_a + s_b)``.
    """
    ma, va, mb, vb = _vectors(mean_a, var_a, mean_b, var_b)
    total = np.sqrt(va) + np.sqrt(vb)
    roots = np.divide(va - vb, total, out=np.zeros_like(total), where=total > 0)
    return float(math.hypot(*(ma - mb), *roots))


def diagonal_kl(mean_a: ArrayLike, var_a: ArrayLike, mean_b: ArrayLike, var_b: ArrayLike) -> float:
    """KL(a || b) of Gaussians with commuting covariances, in their eigenbasis; in nats.

    ``KL = sum_k [g(delta_k) + (m_a - m_b)^2/v_b]/2`` with ``delta = (v_a - v_b)/v_b`` and
    ``g(d) = d - log(1 + d)``, which is computed without cancellation: KL of two nearly equal laws
    is right to rounding. A direction in which both variances vanish and the means agree adds 0;
    otherwise a vanishing variance makes it ``inf``.
    """
    ma, va, mb, vb = _vectors(mean_a, var_a, mean_b, var_b)
    points = (va == 0) & (vb == 0) & (ma == mb)
    if np.any(((va == 0) | (vb == 0)) & ~points):
        return math.inf
    ma, va, mb, vb = (v[~points] for v in (ma, va, mb, vb))
    gap = _log_gap(torch.from_numpy((va - vb) / vb)).numpy()
    return float(0.5 * np.sum(gap + (ma - mb) ** 2 / vb))


def _vectors(*vectors: ArrayLike) -> list[Array]:
    try:
        out = [
            np.atleast_1d(v) for v in np.broadcast_arrays(*(np.asarray(v, float) for v in vectors))
        ]
    except ValueError:
        msg = f"means and variances need one shape (K,), got {[np.shape(v) for v in vectors]}"
        raise AnalysisError(msg) from None
    if out[0].ndim != 1 or out[0].size == 0:
        msg = f"means and variances need one shape (K,) with K >= 1, got {out[0].shape}"
        raise AnalysisError(msg)
    if not all(np.isfinite(v).all() for v in out) or min(out[1].min(), out[3].min()) < 0:
        msg = "means and variances must be finite and variances >= 0"
        raise AnalysisError(msg)
    return out


def _log_gap(d: Tensor) -> Tensor:
    """``d - log(1 + d)`` for d > -1, to rounding also where it is d^2/2."""
    s = d / (2 + d)  # log(1 + d) = 2 atanh(s), and d - 2 s = d s
    small = d.abs() < 0.1
    t = torch.where(small, s, torch.zeros_like(s))
    series = sum(t ** (2 * k + 1) / (2 * k + 1) for k in range(1, 7))
    near = torch.where(small, d, torch.zeros_like(d)) * t - 2 * series
    far = torch.where(small, torch.ones_like(d), d)
    return torch.where(small, near, far - torch.log1p(far))


def to_tensors(*arguments: Any) -> tuple[bool, list[Tensor]]:
    """Float64 tensors on one device, and whether any argument was a tensor already."""
    given = [a for a in arguments if isinstance(a, Tensor)]
    device = given[0].device if given else torch.device("cpu")
    out = [
        (a if isinstance(a, Tensor) else torch.from_numpy(np.array(a, dtype=np.float64))).to(
            device=device, dtype=torch.float64
        )
        for a in arguments
    ]
    return bool(given), out


def as_result(value: Tensor, as_tensor: bool) -> Any:
    """The value as it was asked for: a tensor, or a float."""
    return value if as_tensor else float(value)


def safe_root(square: Tensor) -> Tensor:
    """Square root with gradient 0 at 0, where a distance has none."""
    positive = square > 0
    safe = torch.where(positive, square, torch.ones_like(square))
    return torch.where(positive, safe.sqrt(), torch.zeros_like(square))


def _gaussians(mean_a: Any, cov_a: Any, mean_b: Any, cov_b: Any) -> tuple[bool, list[Tensor]]:
    as_tensor, out = to_tensors(mean_a, cov_a, mean_b, cov_b)
    ma, ca, mb, cb = out
    d = ma.shape[0] if ma.ndim == 1 else 0
    if d == 0 or mb.shape != (d,) or ca.shape != (d, d) or cb.shape != (d, d):
        msg = (
            "Gaussians need means (d,) and covariances (d, d) of one d >= 1, got "
            f"{[tuple(v.shape) for v in out]}"
        )
        raise AnalysisError(msg)
    for v in out:
        if not bool(torch.isfinite(v).all()):
            msg = "means and covariances must be finite"
            raise AnalysisError(msg)
    for c in (ca, cb):
        size = float(c.detach().abs().max())
        skew = float((c - c.T).detach().abs().max())
        if skew > 1e-10 * size:
            msg = f"a covariance must be symmetric, but C - C^T has an entry of size {skew}"
            raise AnalysisError(msg)
        low = float(torch.linalg.eigvalsh(c.detach())[0])
        if low < -1e-10 * size:
            msg = f"a covariance must not have a negative eigenvalue, got {low}"
            raise AnalysisError(msg)
    return as_tensor, [ma, (ca + ca.T) / 2, mb, (cb + cb.T) / 2]


def gaussian_w2(mean_a: Any, cov_a: Any, mean_b: Any, cov_b: Any) -> Any:
    """W2 of two Gaussians: ``W2^2 = |m_a - m_b|^2 + Bures(A, B)^2`` (Olkin & Pukelsheim 1982).

    Means (d,), covariances (d, d), singular ones included. Accurate to rounding at A = B. A dense
    matrix holds variances down to about 4 d 2e-16 of its largest; smaller ones count as 0 here,
    use :func:`diagonal_w2` for them.

    Raises
    ------
    AnalysisError
        For wrong shapes, non-finite entries, asymmetric or indefinite covariances.
    """
    as_tensor, (ma, ca, mb, cb) = _gaussians(mean_a, cov_a, mean_b, cov_b)
    square = (ma - mb).square().sum() + bures_squared(ca, cb)
    return as_result(safe_root(square), as_tensor)


def gaussian_kl(mean_a: Any, cov_a: Any, mean_b: Any, cov_b: Any) -> Any:
    """KL(a || b) in nats: ``[sum g(delta) + |L^{-1}(m_a - m_b)|^2]/2``, ``B = L L^T``.

    ``delta`` are the eigenvalues of ``L^{-1}(A - B)L^{-T}`` and ``g(d) = d - log(1+d)``: the usual
    ``tr B^{-1}A - d - log det`` with the cancellation taken out. Not symmetric; the first law is
    the truth in bounds on sampling error.

    Raises
    ------
    AnalysisError
        As :func:`gaussian_w2`; and if ``cov_b`` is singular, when KL is infinite or undetermined.
    """
    as_tensor, (ma, ca, mb, cb) = _gaussians(mean_a, cov_a, mean_b, cov_b)
    lower, info = torch.linalg.cholesky_ex(cb)
    if int(info) != 0:
        msg = "KL(a || b) needs a positive definite covariance of b, got a singular one"
        raise AnalysisError(msg)
    half = torch.linalg.solve_triangular(lower, ca - cb, upper=False)
    inner = torch.linalg.solve_triangular(lower, half.T, upper=False)
    delta = torch.linalg.eigvalsh((inner + inner.T) / 2)
    if float(delta.detach()[0]) <= -1.0:
        return as_result(torch.full_like(delta[0], math.inf), as_tensor)
    shift = torch.linalg.solve_triangular(lower, (ma - mb)[:, None], upper=False)
    return as_result(0.5 * (_log_gap(delta).sum() + shift.square().sum()), as_tensor)
