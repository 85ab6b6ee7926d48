"""Linear-Gaussian super-resolution: the posterior, its flow and every loss in closed form."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..solvers.errors import InvalidLawError
from .checks import Level, level, parameter
from .gaussian import Gaussian


@dataclass(frozen=True, eq=False)
class SuperResolution:
    r"""``x_0 ~ N(m, C)`` seen as ``y = A x_0 + s e``: ``x_0 | y ~ N(m + M (y - A m), S)``.

    ``M = C A^T (A C A^T + s^2 I)^{-1}``, ``S = C - M A C``. The probability-flow ODE of the
    posterior takes a start at level ``(alpha, sigma)`` to ``h(x, y) = mean(y) + G (x - alpha
    mean(y))``, ``G = S^{1/2} (alpha^2 S + sigma^2 I)^{-1/2}``: affine, and from pure noise
    ``S^{1/2} x`` away from the posterior mean, whatever y.

    Parameters
    ----------
    prior : Gaussian
        Law of the data.
    degrade : Tensor
        A, shape (k, d).
    noise : float
        s, positive.

    Raises
    ------
    InvalidLawError
        If A does not fit, or s is not positive.
    """

    prior: Gaussian
    degrade: Tensor
    noise: float
    gain: Tensor = field(init=False)
    cov: Tensor = field(init=False)

    def __post_init__(self) -> None:
        a = parameter(self.degrade, "degrade", (None, self.prior.dim)).to(self.prior.mean)
        if not 0 < self.noise < float("inf"):
            msg = f"noise must be a positive finite number, got {self.noise}"
            raise InvalidLawError(msg)
        c = self.prior.cov
        eye = torch.eye(len(a), dtype=c.dtype, device=c.device)
        gain = torch.linalg.solve(a @ c @ a.mT + self.noise**2 * eye, a @ c).mT
        cov = c - gain @ a @ c
        self.__dict__.update(degrade=a, gain=gain, cov=0.5 * (cov + cov.mT))

    def observe(self, x0: Tensor, eps: Tensor) -> Tensor:
        """``A x_0 + s e``, (B, k), e standard normal."""
        return x0 @ self.degrade.mT + self.noise * eps

    def posterior_mean(self, y: Tensor) -> Tensor:
        """``m + M (y - A m)``, (B, d)."""
        m = self.prior.mean
        return m + (y - self.degrade @ m) @ self.gain.mT

    def posterior(self, y: Tensor) -> Gaussian:
        """The law ``x_0 | y`` of one observation, (k,)."""
        return Gaussian(self.posterior_mean(y[None])[0], self.cov)

    def spread(self, start: Level) -> Tensor:
        """G, (d, d), symmetric: how far the end moves with the start."""
        alpha, sigma = level(start, "start")
        values, vectors = torch.linalg.eigh(self.cov)
        c2 = values.clamp_min(0.0)
        return (vectors * (c2 / (alpha**2 * c2 + sigma**2)).sqrt()) @ vectors.mT

    def end(self, x: Tensor, y: Tensor, start: Level) -> Tensor:
        """``h(x, y)``, (B, d): the exact flow of the posterior from ``start`` to the data."""
        alpha, _ = level(start, "start")
        mean = self.posterior_mean(y)
        return mean + (x - alpha * mean) @ self.spread(start).mT

    def expected_loss(self, x: Tensor, start: Level) -> Tensor:
        """``E |h(x, y) - x_0|^2`` over data and observations, (B,), of a start used for all.

        ``tr S + |G (x - alpha m)|^2 + alpha^2 tr(G (C - S) G)``: C - S is the covariance of the
        posterior mean. From pure noise it is ``tr S + |S^{1/2} x|^2``: least at x = 0, where every
        output is the posterior mean.
        """
        alpha, _ = level(start, "start")
        g = self.spread(start)
        off = ((x - alpha * self.prior.mean) @ g.mT).square().sum(1)
        known = self.prior.cov - self.cov
        return torch.trace(self.cov) + off + alpha**2 * torch.trace(g @ known @ g.mT)
