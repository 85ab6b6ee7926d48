r"""The weak form: test functions instead of derivatives of the score.

For every smooth psi a density that belongs to ``dx = b dt + G dW``, ``a = G G^T`` obeys::

    d/dt E psi(x_t) = E[b.grad psi + 1/2 tr(a hess psi)]

The left side is ``E[grad psi . xdot]`` along any motion of points that carries the density: for
``x_t = alpha x_0 + sigma eps`` it is ``xdot = alpha' x_0 + sigma' eps``, known from data alone. So
neither a density nor the derivative of a network is needed, in any dimension, and both sides are
taken on the same points. With psi = 1, x_i and x_i x_j it is the moment form.

What is zero here is zero for these test functions only; each of them is a separate question.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from ...solvers.errors import AnalysisError, ShapeError
from ...solvers.process import Process
from ...toy_models.draws import normals, uniforms
from ...toy_models.gaussian import Gaussian
from ...toy_models.law import Law
from ...toy_models.mixture import GaussianMixture
from .collocation import FEWEST, quantile
from .errors import TooFewSamplesError
from .fields import Dynamics, check_diffusion, diffusion_of


class Tests(Protocol):
    """Test functions psi_1 .. psi_K and what an equation does to them."""

    def rate(self, x: Tensor, v: Tensor) -> Tensor:
        """``grad psi . v``, (B, K)."""
        ...

    def curvature(self, x: Tensor, a: Tensor) -> Tensor:
        """``tr(a hess psi)``, (B, K), for a (B,), (B, d) or (B, d, d)."""
        ...


@dataclass(frozen=True)
class Waves:
    """``cos(w_k . x + b_k)``: bounded, so their means have error bars for every density.

    Parameters
    ----------
    frequencies : Tensor
        w, (K, d).
    phases : Tensor
        b, (K,).
    """

    frequencies: Tensor
    phases: Tensor

    @classmethod
    def random(cls, dim: int, count: int = 16, *, size: float = 1.0, seed: int = 0) -> Waves:
        """Frequencies N(0, 1/size^2), phases uniform; ``size`` is a length of the density."""
        w = normals(count, dim, seed=seed, label="frequencies") / size
        b = 2 * math.pi * uniforms(count, 1, seed=seed, label="phases")[:, 0]
        return cls(torch.from_numpy(w), torch.from_numpy(b))

    def rate(self, x: Tensor, v: Tensor) -> Tensor:
        """``-sin(w.x + b) w.v``."""
        w = self.frequencies.to(x)
        return -(x @ w.mT + self.phases.to(x)).sin() * (v @ w.mT)

    def curvature(self, x: Tensor, a: Tensor) -> Tensor:
        """``-cos(w.x + b) w.a w``."""
        w = self.frequencies.to(x)
        size = w.square().sum(1)
        if a.ndim == 1:
            bent = a[:, None] * size
        elif a.ndim == 2:
            bent = a @ w.square().mT
        else:
            bent = torch.einsum("ki,bij,kj->bk", w, a, w)
        return -(x @ w.mT + self.phases.to(x)).cos() * bent


@dataclass(frozen=True)
class Moments:
    """``x_i`` and ``x_i x_j`` for i <= j: d means, then d(d+1)/2 second moments."""

    dim: int

    def rate(self, x: Tensor, v: Tensor) -> Tensor:
        """``v_i`` and ``v_i x_j + x_i v_j``."""
        i, j = torch.triu_indices(self.dim, self.dim)
        return torch.cat([v, v[:, i] * x[:, j] + x[:, i] * v[:, j]], 1)

    def curvature(self, x: Tensor, a: Tensor) -> Tensor:
        """0 and ``2 a_ij``."""
        i, j = torch.triu_indices(self.dim, self.dim)
        if a.ndim == 1:
            a = a[:, None].expand_as(x)
        full = torch.diag_embed(a) if a.ndim == 2 else a
        return torch.cat([torch.zeros_like(x), 2 * full[:, i, j]], 1)


class Motion(NamedTuple):
    """Points that carry a density: ``x`` (B, d), ``velocity`` (B, d), ``weights`` (B,), sum 1.

    Equal weights are samples; anything else is a quadrature, and leaves no sampling error.
    """

    x: Tensor
    velocity: Tensor
    weights: Tensor | None = None


@dataclass(frozen=True)
class WeakResidual:
    """What the weak form leaves, for each test function.

    Attributes
    ----------
    value, scale : Tensor
        (K,): ``d/dt E psi - E[L psi]``, and the mean of the absolute values of the three terms.
    bar : Tensor
        (K,): half-widths of intervals that hold *together* with probability ``certainty``;
        zero for a quadrature.
    certainty : float
        Its probability, by the central limit theorem and Bonferroni's inequality.
    """

    value: Tensor
    scale: Tensor
    bar: Tensor
    certainty: float

    @property
    def relative(self) -> Tensor:
        """``|value|/scale``."""
        return self.value.abs() / self.scale.clamp_min(torch.finfo(self.scale.dtype).tiny)

    @property
    def seen(self) -> bool:
        """Whether some test function proves that the density does not belong to the dynamics."""
        return bool((self.value.abs() > self.bar).any())


def weak_residual(
    dynamics: Dynamics,
    motion: Motion,
    t: float,
    tests: Tests,
    *,
    certainty: float = 0.999,
    within: float = math.inf,
) -> WeakResidual:
    """The weak form of a density against dynamics, at one time.

    Parameters
    ----------
    dynamics : Dynamics
        Drift and diffusion; nothing is differentiated.
    motion : Motion
        The density, from :func:`pathwise` or :func:`quadrature`, in the time of the process.
    t : float
        Time.
    tests : Waves or Moments
        Test functions.
    certainty : float
        Probability with which all intervals hold.
    within : float
        Half-width, as a share of ``scale``, that no interval may exceed.

    Raises
    ------
    TooFewSamplesError
        If the samples are too few for what is asked.
    DiffusionError, ShapeError, TimeRangeError
        As said by their sentences.
    """
    x, n = motion.x, len(motion.x)
    times = torch.full((n,), float(t), dtype=x.dtype, device=x.device)
    check_diffusion(dynamics, x, times)
    b = dynamics.drift(x, times).detach()
    if b.shape != x.shape:
        msg = f"the drift must have the shape {tuple(x.shape)} of x, got {tuple(b.shape)}"
        raise ShapeError(msg)
    sign = -1.0 if dynamics.backward else 1.0
    terms = torch.stack(
        [
            sign * tests.rate(x, motion.velocity),
            -tests.rate(x, b),
            -0.5 * tests.curvature(x, diffusion_of(dynamics, x, times).detach()),
        ]
    ).to(torch.float64)
    if motion.weights is not None:
        w = motion.weights.to(torch.float64)[:, None]
        value, scale = (terms.sum(0) * w).sum(0), (terms.abs().sum(0) * w).sum(0)
        return WeakResidual(value, scale, torch.zeros_like(value), 1.0)
    if n < FEWEST:
        msg = f"{n} samples give no error bar; {FEWEST} would be enough to have one"
        raise TooFewSamplesError(msg, needed=FEWEST)
    rows = terms.sum(0)
    value, scale = rows.mean(0), terms.abs().sum(0).mean(0)
    z = quantile(1 - (1 - certainty) / rows.shape[1])
    bar = z * rows.std(0) / math.sqrt(n)
    share = float((bar / scale.clamp_min(1e-300)).max())
    if share > within:
        needed = math.ceil(n * (share / within) ** 2)
        msg = f"{n} samples leave an interval of {share:.2g} of the terms, asked {within:g} at "
        msg += f"certainty {certainty:g}; about {needed} would be enough"
        raise TooFewSamplesError(msg, needed=needed)
    return WeakResidual(value, scale, bar, certainty)


def pathwise(law: Law, process: Process, t: float, n: int, *, seed: int) -> Motion:
    """Draw n samples ``alpha x_0 + sigma eps`` and their velocities at fixed x_0 and eps."""
    node = process.node(t)
    f, g2 = float(process.f(t)), float(process.g2(t))
    data = law.sample(n, seed=seed)
    noise = torch.from_numpy(normals(n, law.dim, seed=seed, label="weak")).to(data)
    rate = f * node.sigma + 0.5 * g2 / node.sigma
    return Motion(
        node.alpha * data + node.sigma * noise, f * node.alpha * data + rate * noise, None
    )


def quadrature(law: Law, process: Process, t: float, order: int = 24) -> Motion:
    """A Gaussian or a mixture by Gauss and Hermite's nodes in each component: ``K order^d`` rows.

    A component moves by ``xdot = alpha' mu + V' V^{-1} (x - alpha mu)/2``, which carries it.
    Moments of a linear drift are exact; a smooth function converges like ``e^{-c sqrt(order)}`` or
    faster.

    Raises
    ------
    AnalysisError
        For a law of another kind.
    """
    parts: list[tuple[float, Tensor, Tensor, Tensor]]
    if isinstance(law, Gaussian):
        parts = [(1.0, law.mean, law.eigenvalues, law.eigenvectors)]
    elif not isinstance(law, GaussianMixture):
        msg = f"the quadrature is of a Gaussian or a GaussianMixture, not of {law.name}; draw "
        raise AnalysisError(msg + "samples with pathwise")
    else:
        full = law.covs if law.covs.ndim == 3 else torch.diag_embed(law.covs)
        values, vectors = torch.linalg.eigh(full)
        parts = list(zip(law.weights.tolist(), law.means, values, vectors, strict=True))
    node, f, g2 = process.node(t), float(process.f(t)), float(process.g2(t))
    z, w = np.polynomial.hermite_e.hermegauss(order)
    grids = torch.meshgrid(*[torch.from_numpy(z)] * law.dim, indexing="ij")
    z_all = torch.stack([g.flatten() for g in grids], 1)
    w_grids = torch.meshgrid(*[torch.from_numpy(w / w.sum())] * law.dim, indexing="ij")
    w_all = torch.stack([g.flatten() for g in w_grids], 1).prod(1)
    xs, vs, ws = [], [], []
    for weight, mean, c2, u in parts:
        var = node.alpha**2 * c2 + node.sigma**2
        speed = 2 * f * var + g2  # V' = 2 f V + g^2
        shift = z_all * var.sqrt()
        xs.append(node.alpha * mean + shift @ u.mT)
        vs.append(f * node.alpha * mean + (shift * (0.5 * speed / var)) @ u.mT)
        ws.append(weight * w_all)
    return Motion(torch.cat(xs), torch.cat(vs), torch.cat(ws))
