r"""Entropy along a diffusion: how fast a law forgets, and what it costs to keep it turning.

Two laws p, q that the same ``dx = b dt + G dW`` moves, ``a = G G^T``, come together at the rate of
their relative Fisher information, whatever the drift is::

    d KL(p|q)/dt = -1/2 E_p[ (s_p - s_q) . a (s_p - s_q) ],      s = grad log

With q = 1 (Lebesgue) it is de Bruijn's identity, and there the drift is seen, for it moves 1::

    d E_p[log p]/dt = -1/2 E_p[ s_p . a s_p ] - E_p[div b]

A law need not rest in a steady state. ``dx = (F x + c) dt + G dW`` carries p with the velocity
``v = F x + c - a s_p/2``, and produces entropy at the rate ``2 E_p[v . a^{-1} v]``, which splits::

    2 E_p|v|^2 = -d KL(p|q)/dt + 2 E_p|v_q|^2       |w|^2 = w . a^{-1} w,  q steady

into what relaxation makes and what turning costs; the second is 0 where the dynamics are
reversible. (Half of the *diffusion constant* a is the D of physics, hence the 2.)

In closed form on Gaussians, by a uniform sum in dimension one, by samples with an error bar for
every law with a density and a score. KL in nats, rates a unit of the time of a.

Sources: Stam 1959, Inf. Control 2, 101-112 (de Bruijn); Bakry & Emery 1985; the split of the
production after Hatano & Sasa 2001, arXiv:cond-mat/0010405. Not to be confused with the loss of
denoising, which is a Fisher divergence of the data's noise, see :mod:`.information`.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.linalg import solve_continuous_lyapunov
from torch import Tensor

from ..solvers.errors import AnalysisError
from ..solvers.process import Array, Process
from ..toy_models.draws import normals
from .distances import gaussian_kl
from .fokker_planck.collocation import Estimate, mean
from .score_error.linear import Moments, moments_of

STEP = 0.02
"""Spacing of the sum in dimension one, in the smaller of sigma and 1."""
REACH = 9.0
"""Standard deviations of noise beyond the data that are summed."""


class Entropy(NamedTuple):
    """``E_p log(p/q)`` and ``E_p|grad log(p/q)|^2``; without q ``E_p log p`` and ``E_p|s|^2``."""

    relative: float
    fisher: float

    def rate(self, process: Process, t: float, *, dim: int = 0) -> float:
        """``d relative/dt`` of laws that a process moves: ``-g^2 fisher/2 - f dim``.

        Parameters
        ----------
        process : Process
            The forward process.
        t : float
            Its time, at which the entropy was taken.
        dim : int
            d where the entropy is absolute, for the drift moves the measure; 0 between two laws.
        """
        return float(-0.5 * process.g2(t) * self.fisher - process.f(t) * dim)


class SampledEntropy(NamedTuple):
    """The same two numbers as estimates with error bars."""

    relative: Estimate
    fisher: Estimate


class Production(NamedTuple):
    """Rates of entropy, nats a unit of time: ``total = relaxing + turning``."""

    total: float
    relaxing: float
    turning: float


def gaussian_entropy(law: Any, other: Any = None, *, weight: ArrayLike | None = None) -> Entropy:
    """Relative entropy and Fisher information of Gaussians, in closed form.

    Parameters
    ----------
    law, other : Moments or laws
        p and q, with a mean (d,) and a covariance (d, d), positive definite; no q by default.
    weight : array_like, optional
        a, (d, d), in ``E_p[w . a w]`` for the Fisher information; the identity by default.

    Raises
    ------
    AnalysisError
        If a law has no density, or shapes do not fit.
    """
    p = _with_density(law)
    d = len(p.mean)
    a = np.eye(d) if weight is None else _matrix(weight, d, "the weight")
    inverse = np.linalg.inv(p.cov)
    if other is None:
        log_det = float(np.linalg.slogdet(p.cov)[1])
        value = -0.5 * (d * math.log(2 * math.pi * math.e) + log_det)
        return Entropy(value, float(np.sum(a * inverse)))
    q = _with_density(other)
    if len(q.mean) != d:
        msg = f"two laws of one dimension are compared, got {d} and {len(q.mean)}"
        raise AnalysisError(msg)
    there = np.linalg.inv(q.cov)
    gain, shift = there - inverse, there @ (p.mean - q.mean)  # of s_p - s_q about p's mean
    spread = float(np.sum((a @ gain @ p.cov) * gain) + shift @ a @ shift)
    return Entropy(float(gaussian_kl(*p, *q)), spread)


def line_entropy(
    law: Any, other: Any, alpha: float, sigma: float, support: tuple[float, float]
) -> Entropy:
    """The same for laws in dimension one at a level of noise, by a uniform sum.

    Spectrally accurate for densities smoothed by ``sigma > 0``.

    Parameters
    ----------
    law, other : Law
        p and q, in dimension one; None for no q.
    alpha, sigma : float
        The level, ``sigma > 0``.
    support : (float, float)
        An interval that holds the data of p (nine standard deviations of a normal law).

    Raises
    ------
    AnalysisError
        For another dimension, no noise, an empty interval, or one that loses mass of p.
    """
    if law.dim != 1 or not (sigma > 0 and support[0] <= support[1]):
        msg = f"the sum needs dimension 1, sigma > 0 and an interval, got {law.dim}, {sigma} and "
        raise AnalysisError(msg + f"{support}")
    low, high = alpha * support[0] - REACH * sigma, alpha * support[1] + REACH * sigma
    count = math.ceil((high - low) / (STEP * min(sigma, 1.0))) + 1
    x = torch.linspace(low, high, count, dtype=torch.float64)[:, None]
    step = float(x[1] - x[0])
    log_p, p_score = law.log_density(x, alpha, sigma), law.score(x, alpha, sigma)
    p = log_p.exp() * step
    mass = float(p.sum())
    if abs(mass - 1) > 1e-8:
        msg = f"the interval {support} holds the mass {mass:.6g} of p, not 1: a wider one would do"
        raise AnalysisError(msg)
    log_ratio, gap = _against(other, x, log_p, p_score, alpha, sigma)
    return Entropy(float((p * log_ratio).sum()), float((p * gap.square()[:, 0]).sum()))


def sampled_entropy(
    law: Any, other: Any, alpha: float, sigma: float, *, n: int = 2000, seed: int = 0,
    certainty: float = 0.999, within: float = math.inf,
) -> SampledEntropy:  # fmt: skip
    """The same for any law with ``sample``, ``log_density`` and ``score``, with error bars.

    Parameters
    ----------
    law, other : Law
        p, from which is drawn, and q; None for no q.
    alpha, sigma : float
        The level of noise.
    n, seed : int
        Number of samples, at least 32, and their seed.
    certainty, within : float
        As in :func:`fokker.analysis.fokker_planck.mean`.

    Raises
    ------
    TooFewSamplesError
        If the samples are too few for what is asked.
    AnalysisError
        If the laws have different dimensions.
    """
    if other is not None and other.dim != law.dim:
        msg = f"two laws of one dimension are compared, got {law.dim} and {other.dim}"
        raise AnalysisError(msg)
    eps = torch.from_numpy(normals(n, law.dim, seed=seed, label="entropy")).to(law.dtype)
    x = alpha * law.sample(n, seed=seed) + sigma * eps
    log_p, p_score = law.log_density(x, alpha, sigma), law.score(x, alpha, sigma)
    log_ratio, gap = _against(other, x, log_p, p_score, alpha, sigma)
    return SampledEntropy(
        mean(log_ratio, certainty=certainty, within=within),
        mean(gap.square().sum(1), certainty=certainty, within=within),
    )


def production(
    law: Any, drift: ArrayLike, diffusion: ArrayLike, shift: ArrayLike | None = None
) -> Production:
    """Entropy that ``dx = (F x + c) dt + G dW`` produces in a Gaussian law, in closed form.

    Parameters
    ----------
    law : Moments or a law
        p, at any time; a steady one has ``relaxing = 0``.
    drift : array_like
        F, (d, d), all eigenvalues with negative real parts: a steady law q is needed.
    diffusion : array_like
        ``a = G G^T``, (d, d), positive definite.
    shift : array_like, optional
        c, (d,); 0 by default.

    Raises
    ------
    AnalysisError
        If there is no steady law, a is singular, or shapes do not fit.
    """
    p = _with_density(law)
    d = len(p.mean)
    f, a = _matrix(drift, d, "the drift"), _matrix(diffusion, d, "the diffusion")
    c = np.zeros(d) if shift is None else np.asarray(shift, dtype=np.float64)
    q = steady(f, a, c)
    gap = gaussian_entropy(p, q, weight=a)
    inverse = np.linalg.inv(a)

    def cost(carrier: Moments) -> float:
        gain = f + 0.5 * a @ np.linalg.inv(carrier.cov)
        away = f @ p.mean + c + 0.5 * a @ np.linalg.solve(carrier.cov, p.mean - carrier.mean)
        return 2.0 * float(np.sum((inverse @ gain @ p.cov) * gain) + away @ inverse @ away)

    return Production(cost(p), 0.5 * gap.fisher, cost(q))


def steady(drift: ArrayLike, diffusion: ArrayLike, shift: ArrayLike | None = None) -> Moments:
    """The law that stays: ``F m + c = 0``, ``F S + S F^T + a = 0``.

    Raises
    ------
    AnalysisError
        If an eigenvalue of F has no negative real part, or ``a`` is not positive definite.
    """
    f = np.atleast_2d(np.asarray(drift, dtype=np.float64))
    a = _matrix(diffusion, len(f), "the diffusion")
    top = float(np.linalg.eigvals(_matrix(f, len(f), "the drift")).real.max())
    if not top < 0:
        msg = f"a steady law needs a drift that pulls back, got an eigenvalue of real part {top:g}"
        raise AnalysisError(msg)
    low = float(np.linalg.eigvalsh(0.5 * (a + a.T))[0])
    if np.abs(a - a.T).max() > 1e-12 * np.abs(a).max() or low <= 0:
        msg = f"a diffusion must be symmetric and positive, its least eigenvalue is {low:.3g}"
        raise AnalysisError(msg)
    cov = solve_continuous_lyapunov(f, -a)
    c = np.zeros(len(f)) if shift is None else np.asarray(shift, dtype=np.float64)
    centre = np.asarray(-np.linalg.solve(f, c), dtype=np.float64)
    return Moments(centre, 0.5 * (cov + cov.T))


def _against(
    other: Any, x: Tensor, log_p: Tensor, p_score: Tensor, alpha: float, sigma: float
) -> tuple[Tensor, Tensor]:
    """``log(p/q)`` and its gradient at x."""
    if other is None:
        return log_p, p_score
    return log_p - other.log_density(x, alpha, sigma), p_score - other.score(x, alpha, sigma)


def _with_density(law: Any) -> Moments:
    found = moments_of(law)
    low = float(np.linalg.eigvalsh(found.cov)[0])
    if low <= 0:
        msg = f"entropy needs a law with a density, its least variance is {low:.3g}"
        raise AnalysisError(msg)
    return found


def _matrix(value: ArrayLike, dim: int, name: str) -> Array:
    found = np.asarray(value, dtype=np.float64)
    if found.shape != (dim, dim) or not np.isfinite(found).all():
        msg = f"{name} must be a finite matrix ({dim}, {dim}), got shape {found.shape}"
        raise AnalysisError(msg)
    return found
