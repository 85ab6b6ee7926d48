r"""How fast samples teach a law: a Gaussian fit, a stopped empirical diffusion, and a subspace.

A *Gaussian fit* by maximum likelihood, n samples in k dimensions, covariance ``A/c`` with c = n
(or n - 1, unbiased) and A a Wishart matrix of n - 1 degrees of freedom, has exactly, whatever the
law's mean and covariance::

    E KL(p | fit) = 1/2 [ c k (1 + 1/n)/(n - k - 2) - k
                          + sum_{i=1..k} psi((n - i)/2) - k log(c/2) ]
                  = k (k + 3)/(4 n) + O(1/n^2)

A *diffusion of n points*, its score without error, stopped at ``sigma`` (exploding process), makes
the kernel density estimate of that width. On N(0, I_d) its squared L2 error is in closed form::

    E |p_hat - p|^2/|p|^2 = 1/(n sigma^d) + (1 - 1/n)(1 + sigma^2)^{-d/2}
                            - 2 (1 + sigma^2/2)^{-d/2} + 1

and is least at ``sigma ~ (4/((d + 2) n))^{1/(d + 4)}``, where it goes with ``n^{-4/(4 + d)}``: the
rate ``n^{-beta/(2 beta + d)}`` of the error itself, for smoothness beta = 2, which is all that a
Gaussian kernel uses, smooth as the law may be. Never stopping teaches no density.

On a *subspace*, ``x_0 = A z`` with orthonormal A (D, k), the score is that of z and a known part::

    s(x) = A s_z(A^T x) - (1 - A A^T) x/sigma^2

so k takes the place of D in both rates, as soon as A is known; noise-free data tell it exactly
from n = k on (see ``analysis/subspaces.py``). Near the data the second part grows as
``1/sigma^2``: rates are for laws that stop early.

Budgets of a wrong score, and why the ODE has none in KL, are in ``analysis/score_error``.

Sources: Chen, Mei, Fan & Wang 2024, arXiv:2404.07771 (survey); the error of kernels on normal laws
is Fryer's, 1976.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from scipy.special import digamma
from torch import Tensor

from ...solvers.errors import AnalysisError

_MOST = 690.0  # e^690 = 1e299 is a number still


def fit_divergence(n: int, rank: int, *, unbiased: bool = False) -> float:
    """``E KL(p | fit)`` in nats of a Gaussian fitted to n of its samples in ``rank`` dimensions.

    Parameters
    ----------
    n : int
        Number of samples; the mean is finite from ``rank + 3`` on.
    rank : int
        Dimension k in which mean and covariance are fitted.
    unbiased : bool
        Whether the covariance is the sum of squares over n - 1, not over n.

    Raises
    ------
    AnalysisError
        If ``rank < 1`` or ``n < rank + 3``.
    """
    if rank < 1 or n < rank + 3:
        msg = (
            f"the mean divergence of a fit in k >= 1 dimensions needs n >= k + 3, got {n}, {rank}"
        )
        raise AnalysisError(msg)
    c = n - 1 if unbiased else n
    trace = rank * (c * (1 + 1 / n) - (n - rank - 2)) / (n - rank - 2)
    i = np.arange(1, rank + 1)
    return 0.5 * (trace + float(np.sum(digamma((n - i) / 2) - math.log(c / 2))))


def stopped_error(n: int, dim: int, sigma: float) -> float:
    """``E |p_hat - p|^2/|p|^2`` of n points of N(0, I_d) diffused, and denoised to ``sigma``.

    Norms are those of L2; the law of the points themselves is N(0, I), so sigma is in its units.

    Raises
    ------
    AnalysisError
        Unless n and dim are at least 1 and sigma is positive, or if the error is beyond 1e300.
    """
    if n < 1 or dim < 1 or not sigma > 0:
        msg = f"need n >= 1, dim >= 1 and sigma > 0, got {n}, {dim} and {sigma}"
        raise AnalysisError(msg)
    if dim * math.log(sigma) < -_MOST:
        msg = f"the error is beyond 1e300: stop {dim} dimensions earlier than at sigma = {sigma}"
        raise AnalysisError(msg)
    s2, half = sigma * sigma, -0.5 * dim
    wide, crossed = half * math.log1p(s2), half * math.log1p(s2 / 2)
    bias = math.expm1(wide) - 2 * math.expm1(crossed)
    return bias + (sigma**-dim - math.exp(wide)) / n


class Stop(NamedTuple):
    """A level at which to stop, and the error there."""

    sigma: float
    error: float


def best_stop(n: int, dim: int) -> Stop:
    """The level that minimises :func:`stopped_error`, to about 1e-7, and its error.

    Raises
    ------
    AnalysisError
        Unless n >= 2: one point is best diffused without end.
    """
    if n < 2:
        msg = f"a best level to stop at needs at least 2 points, got {n}"
        raise AnalysisError(msg)
    guess = math.log(4 / ((dim + 2) * n)) / (dim + 4)
    found: Any = minimize_scalar(
        lambda log: math.log(stopped_error(n, dim, math.exp(log))),
        bounds=(max(guess - 1.0, -_MOST / dim), guess + 1.5),
        method="bounded",
        options={"xatol": 1e-8},
    )
    sigma = math.exp(float(found.x))
    return Stop(sigma, stopped_error(n, dim, sigma))


def lifted_score(latent: Any, basis: Tensor, x: Tensor, alpha: float, sigma: float) -> Tensor:
    """Score of ``alpha A z + sigma eps`` in D dimensions from that of z in k, (B, D).

    Parameters
    ----------
    latent : Law
        Law of z, anything with ``score(z, alpha, sigma)``.
    basis : Tensor
        A, (D, k), orthonormal columns.
    x : Tensor
        States, (B, D).
    alpha, sigma : float
        Level of noise; sigma positive.

    Raises
    ------
    AnalysisError
        If sigma is not positive, or the columns are not orthonormal to 1e-10.
    """
    if not sigma > 0:
        msg = f"off the subspace the score is -x/sigma^2, which needs sigma > 0, got {sigma}"
        raise AnalysisError(msg)
    eye = torch.eye(basis.shape[1], dtype=basis.dtype, device=basis.device)
    off = float((basis.mT @ basis - eye).abs().max())
    if off > 1e-10:
        msg = f"the columns of the basis must be orthonormal, but A^T A - 1 has an entry {off:.3g}"
        raise AnalysisError(msg)
    z = x @ basis
    return latent.score(z, alpha, sigma) @ basis.mT - (x - z @ basis.mT) / sigma**2
