"""Diffusion of Gaussian data in closed form, one number per eigendirection.

On data N(m, C) the marginals, the probability-flow ODE, every eta-SDE and every prediction are
affine and commute with C, so all of them are vectors over the eigenvalues ``c^2`` of C. This file
is those formulas; everything is NumPy float64. :func:`eigenbasis` takes a Gaussian law there.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ..solvers.errors import AnalysisError
from ..solvers.model import SIGMA_DATA, conversion
from ..solvers.plan import clock_measure
from ..solvers.process import Array, Node


class Normal(NamedTuple):
    """Independent coordinates ``N(mean_k, var_k)``: a Gaussian in its eigenbasis, shapes (K,)."""

    mean: Array
    var: Array


class Affine(NamedTuple):
    """``y_k = gain_k x_k + shift_k + N(0, var_k)``, shapes (K,)."""

    gain: Array
    shift: Array
    var: Array

    def law(self, x: Normal) -> Normal:
        """Law of y for a law of x."""
        return Normal(self.gain * x.mean + self.shift, self.gain**2 * x.var + self.var)


def normal(mean: ArrayLike, var: ArrayLike) -> Normal:
    """Checked :class:`Normal`; mean and variances broadcast to one common shape (K,).

    Raises
    ------
    AnalysisError
        For non-finite values, negative variances, or shapes other than (K,) with K >= 1.
    """
    try:
        m, v = np.broadcast_arrays(np.atleast_1d(np.asarray(mean, float)), np.asarray(var, float))
    except ValueError:
        msg = f"mean and variances do not fit together: shapes {np.shape(mean)}, {np.shape(var)}"
        raise AnalysisError(msg) from None
    if m.ndim != 1 or m.size == 0:
        msg = f"mean and variances must be vectors of at least one entry, got shape {m.shape}"
        raise AnalysisError(msg)
    bad = ~(np.isfinite(m) & np.isfinite(v) & (v >= 0))
    if bad.any():
        k = int(np.argmax(bad))
        msg = (
            f"coordinate {k} has mean {m[k]}, variance {v[k]}; both must be finite, variance >= 0"
        )
        raise AnalysisError(msg)
    return Normal(m.copy(), v.copy())


def eigenbasis(law: Any) -> Normal:
    """A Gaussian law (``mean``, ``eigenvalues``, ``eigenvectors`` in columns) in its own basis.

    Coordinates are ``U^T x`` with ``C = U diag(eigenvalues) U^T``. W2 and KL do not depend on it.
    """

    def host(name: str) -> Array:
        value = getattr(law, name)
        value = value.detach().cpu() if hasattr(value, "detach") else value
        return np.asarray(value, dtype=np.float64)

    m, v, u = (host(name) for name in ("mean", "eigenvalues", "eigenvectors"))
    return normal(u.T @ m, np.maximum(v, 0.0))


def marginal(data: Normal, node: Node) -> Normal:
    """Law of ``x_t = alpha x_0 + sigma eps``: ``N(alpha m, alpha^2 c^2 + sigma^2)``."""
    return Normal(node.alpha * data.mean, node.alpha**2 * data.var + node.sigma**2)


def prior(data: Normal, std: float) -> Normal:
    """``N(0, std^2 I)``, from which sampling really starts: ``std = process.prior_std``."""
    return normal(np.zeros_like(data.mean), std**2)


def log_shrink(data: Normal, low: float, high: float) -> Array:
    """``log sqrt(q(high)/q(low))`` with ``q = (S/alpha)^2 = c^2 + e^{-2 lam}``: at most 0.

    How much the flow contracts ``x/alpha`` between two lams; no cancellation when they are close.
    """
    if low == high:
        return np.zeros_like(data.var)
    if low == -math.inf:
        return np.full_like(data.var, -math.inf)
    moved = clock_measure("rho2", low, high) / (data.var + math.exp(-2 * low))
    with np.errstate(divide="ignore"):  # c = 0 and sigma_t = 0: a point mass is reached
        return 0.5 * np.log1p(-np.minimum(moved, 1.0))


def _sizes(data: Normal, s: Node, t: Node) -> tuple[Array, Array]:
    if not t.lam >= s.lam:
        msg = f"a transition goes up in lam, got lam {s.lam} to {t.lam}"
        raise AnalysisError(msg)
    return marginal(data, s).var, marginal(data, t).var


def transition(data: Normal, s: Node, t: Node, eta: float = 0.0) -> Affine:
    """Exact transition of the eta-SDE from s up to t (``eta = 0``: the probability-flow ODE).

    ``dx = [(dlog alpha/dlam) x - (1+eta) sigma eps] dlam + sqrt(2 eta) sigma dW_lam`` has, with
    ``S^2 = alpha^2 c^2 + sigma^2``,

        gain = (S_t/S_s) ((alpha_s/S_s)/(alpha_t/S_t))^eta,    var = S_t^2 - gain^2 S_s^2,

    because ``u = (x - alpha m)/alpha`` obeys ``du/dlam = -(1+eta) (sigma/S)^2 u + noise`` and
    ``dlog(S/alpha)/dlam = -(sigma/S)^2``. Marginals are preserved for every eta.
    """
    before, after = _sizes(data, s, t)
    gain, var = np.sqrt(after) / np.sqrt(before), np.zeros_like(after)
    if eta != 0.0:
        ratio = log_shrink(data, s.lam, t.lam)
        gain, var = gain * np.exp(eta * ratio), after * -np.expm1(2 * eta * ratio)
    return Affine(gain, (t.alpha - gain * s.alpha) * data.mean, var)


def backward(data: Normal, s: Node, t: Node, eta: float = 0.0) -> Affine:
    """``x_s`` given ``x_t`` along the eta-SDE in equilibrium, s noisier than t.

    The exact past of an exact present: what a multistep sampler with exact history has seen. For
    ``eta = 0`` it is the inverse of the flow, without noise.
    """
    before, after = _sizes(data, s, t)
    gain, var = np.sqrt(before) / np.sqrt(after), np.zeros_like(after)
    if eta != 0.0:
        ratio = log_shrink(data, s.lam, t.lam)
        gain, var = gain * np.exp(eta * ratio), before * -np.expm1(2 * eta * ratio)
    return Affine(gain, (s.alpha - gain * t.alpha) * data.mean, var)


def prediction_of(
    data: Normal, node: Node, prediction: str, sigma_data: float = SIGMA_DATA
) -> Affine:
    """The exact model on Gaussian data: ``prediction = gain x + shift``, without cancellation.

    With ``S^2 = alpha^2 c^2 + sigma^2``: ``D = m + (alpha c^2/S^2)(x - alpha m)`` and
    ``eps = (sigma/S^2)(x - alpha m)``. Any other prediction is ``p_D D + p_eps eps``; the two
    weights are read from ``conversion``: target = a x + b D has ``p_eps = sigma a``, and
    target = a x + b eps has ``p_D = alpha a``.
    """
    alpha, sigma = node.alpha, node.sigma
    total = alpha**2 * data.var + sigma**2
    if not sigma > 0:
        msg = f"the model cannot be asked at sigma = {sigma}"
        raise AnalysisError(msg)
    from_data = conversion("data", prediction, node, sigma_data)
    p_eps = sigma * from_data[0]
    if alpha > 0:
        p_d = alpha * conversion("noise", prediction, node, sigma_data)[0]
    else:
        p_d = from_data[1]
    if prediction == "data":
        p_d, p_eps = 1.0, 0.0
    gain = (p_d * alpha * data.var + p_eps * sigma) / total
    shift = data.mean * ((p_d * sigma - p_eps * alpha) * sigma / total)
    return Affine(gain, shift, np.zeros_like(gain))
