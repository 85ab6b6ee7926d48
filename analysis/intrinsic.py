r"""The dimension of data near a low-dimensional set, read from a model in two ways.

*From the flow*: the Jacobian ``Y = dx_t/dx_T`` of the probability-flow ODE stretches tangent
directions to the size of the data and shrinks normal ones like sigma_t. On N(m, C), whose axes
have variances l_i, its singular values are::

    sqrt((alpha_t^2 l_i + sigma_t^2)/(alpha_T^2 l_i + sigma_T^2))

*From the scores* near the data: across the set they are of size 1/sigma, along it of size 1. On
N(0, S) the singular values of a matrix of scores over the root of their number are those of
``S^{-1/2}``. With a gauge (see ``gauge``) they become those of ``(1 + A) S^{-1/2}``: the count of
large ones may survive while the subspace that they point to turns.

Thresholds scale with sigma: a fixed one counts noise.

Sources: Stanczuk et al. 2022, arXiv:2212.12611 (scores); Horvat & Pfister 2024, arXiv:2402.03845.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from ..solvers.errors import AnalysisError
from ..solvers.process import Array
from ..toy_models.checks import Level, level
from .score_error.linear import integrate


class Spectrum(NamedTuple):
    """Singular values, largest first, (d,), and the directions that they belong to, by columns."""

    values: Array
    directions: Array

    def codimension(self, sigma: float, share: float = 0.5) -> int:
        """Number of singular values above ``share/sigma``."""
        if not (sigma > 0 and share > 0):
            msg = f"sigma and share must be positive, got {sigma} and {share}"
            raise AnalysisError(msg)
        return int(np.sum(self.values > share / sigma))


def score_spectrum(scores: Tensor) -> Spectrum:
    """Of scores at n points near one place, (n, d): singular values over ``sqrt(n)``, n >= d."""
    if scores.ndim != 2 or len(scores) < scores.shape[1]:
        msg = f"need scores (n, d) with n at least d, got shape {tuple(scores.shape)}"
        raise AnalysisError(msg)
    _, values, vh = torch.linalg.svd(scores.detach().to("cpu", torch.float64), full_matrices=False)
    return Spectrum(values.numpy() / math.sqrt(len(scores)), vh.mT.numpy())


def gaussian_score_spectrum(cov: ArrayLike, gauge: ArrayLike = 0.0) -> Spectrum:
    """The limit of many scores ``(1 + A) s`` under N(m, S): of ``(1 + A) S^{-1/2}``."""
    s = np.asarray(cov, dtype=np.float64)
    values, vectors = np.linalg.eigh(s)
    if values[0] <= 0:
        msg = f"the covariance must be positive definite, its least eigenvalue is {values[0]:.3g}"
        raise AnalysisError(msg)
    turned = (np.eye(len(s)) + np.asarray(gauge, dtype=np.float64)) @ vectors / np.sqrt(values)
    u, sizes, _ = np.linalg.svd(turned)
    return Spectrum(sizes, u)


def gaussian_flow_values(variances: ArrayLike, start: Level, end: Level) -> Array:
    """Singular values of the flow's Jacobian on a Gaussian, one for each variance (any order)."""
    (a0, s0), (a1, s1) = level(start, "start"), level(end, "end")
    v = np.asarray(variances, dtype=np.float64)
    return np.sqrt((a1**2 * v + s1**2) / (a0**2 * v + s0**2))


def flow_jacobian(
    model: Any, x: Tensor, start: Level, end: Level, *, rtol: float = 1e-9
) -> Tensor:
    """``dx_end/dx_start`` of the probability-flow ODE along the paths from x, (B, d, d).

    With ``u = x/alpha`` and ``rho = sigma/alpha``: ``du/dlam = rho^2 s(u)`` and
    ``dJ/dlam = rho^2 (ds/du) J`` at ``alpha = 1``, integrated together to about
    ten times ``rtol``.

    Parameters
    ----------
    model : Law
        Anything with ``score`` and ``hessian`` (derivative of the score; it need not be
        symmetric).
    x : Tensor
        States at ``start``, (B, d), float64.
    start, end : (float, float)
        ``(alpha, sigma)``, both positive, from noise to data.
    rtol : float
        Relative tolerance of the integration.

    Raises
    ------
    AnalysisError
        If alpha or sigma vanishes at an end, or the two are not in this order.
    """
    (a0, s0), (a1, s1) = level(start, "start"), level(end, "end")
    if min(a0, s0, a1, s1) <= 0 or not s0 / a0 > s1 / a1:
        msg = f"alpha and sigma must be positive and go from noise to data, got {start}, {end}"
        raise AnalysisError(msg)
    n, d = x.shape
    eye = torch.eye(d, dtype=torch.float64).expand(n, d, d)
    flat = torch.cat([(x / a0).reshape(-1), eye.reshape(-1)]).numpy()

    def rate(lam: float, state: Array) -> Array:
        rho = math.exp(-lam)
        u = torch.from_numpy(state[: n * d].copy()).reshape(n, d)
        j = torch.from_numpy(state[n * d :].copy()).reshape(n, d, d)
        with torch.no_grad():
            moved = rho**2 * model.score(u, 1.0, rho)
            turned = rho**2 * model.hessian(u, 1.0, rho) @ j
        return torch.cat([moved.reshape(-1), turned.reshape(-1)]).numpy()

    span = math.log(a0 / s0), math.log(a1 / s1)
    done = integrate(rate, flat, span, rtol=rtol)
    return (a1 / a0) * torch.from_numpy(done[n * d :].copy()).reshape(n, d, d)
