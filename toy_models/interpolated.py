"""Stochastic interpolants between mixtures: the law at every u, velocity, score, denoisers."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from ..solvers.errors import InvalidLawError
from ..solvers.parameters import eigen, parameter, points, weights
from ..solvers.sde.problem import SDE
from ..solvers.transport.interpolant import Coefficients, Interpolant
from .draws import normals
from .mixture import GaussianMixture, choose, full_covs


class Answers(NamedTuple):
    """All that is known given ``x_u = x``, each (B, d)."""

    first: Tensor
    last: Tensor
    score: Tensor


class _Level(NamedTuple):
    """At one u, with ``L_k L_k^T = S_k``: answers are linear in the ``L_k^{-1} (x - mean_k)``."""

    centre: Tensor  # (d,)
    whiten: Tensor  # all L_k^{-T} by columns, (d, K d)
    shifts: Tensor  # L_k^{-1} (mean_k - centre), (K, d)
    logs: Tensor  # log w_k - log det L_k, (K,)
    means: Tensor  # m, n and 0, (K, 3 d)
    gains: Tensor  # (K d, 3 d)


_MOST = 2**20
"""How many numbers of covariances an interpolant keeps, at most."""


@dataclass(frozen=True, eq=False)
class MixtureInterpolant:
    r"""``x_u = alpha x_0 + beta x_1 + gamma z`` with (x_0, x_1) from a mixture in 2d dimensions.

    A component with ends ``N(m, A)``, ``N(n, B)`` and ``Cov(x_0, x_1) = C`` has at u the mean
    ``alpha m + beta n``, the covariance ``S = alpha^2 A + beta^2 B + alpha beta (C + C^T) +
    gamma^2 I``, the score ``-S^{-1}(x - mean)`` and ``E[x_0|x] = m + (alpha A + beta C) S^{-1}
    (x - mean)``, likewise ``x_1``; the mixture weighs them by its responsibilities. Velocity and
    drifts follow as :mod:`fokker.solvers.transport.interpolant` has them.

    Parameters
    ----------
    interpolant : Interpolant
        The coefficients.
    weights : Tensor
        (K,), positive, sum 1.
    means : Tensor
        Of the pairs, (K, 2d): those of x_0, then those of x_1.
    covs : Tensor
        Of the pairs, (K, 2d, 2d), without negative eigenvalues: couplings may be deterministic.

    Raises
    ------
    InvalidLawError
        If shapes, weights or covariances define no law.

    See Also
    --------
    between : Independent ends.
    """

    interpolant: Interpolant
    weights: Tensor
    means: Tensor
    covs: Tensor
    _kept: dict[float, _Level] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        means = parameter(self.means, "means", (None, None)).to(torch.float64)
        count, size = means.shape
        if size % 2:
            msg = f"means of pairs must have an even length 2d, got {size}"
            raise InvalidLawError(msg)
        w = weights(self.weights, count).to(means)
        covs = parameter(self.covs, "covs", (count, size, size)).to(means)
        eigen(covs, "covs")
        self.__dict__.update(weights=w, means=means, covs=covs)

    @property
    def dim(self) -> int:
        """Dimension d of a state."""
        return self.means.shape[1] // 2

    def _blocks(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        d = self.dim
        m, c = self.means, self.covs
        return m[:, :d], m[:, d:], c[:, :d, :d], c[:, :d, d:], c[:, d:, d:]

    def law(self, u: float) -> GaussianMixture:
        """The law of x_u; at an end only if it has a density."""
        return GaussianMixture(self.weights, *self._moments(self.interpolant.at(u)))

    def _moments(self, c: Coefficients) -> tuple[Tensor, Tensor]:
        m, n, a, cross, b = self._blocks()
        mixed = c.alpha * c.beta * cross
        noise = c.gamma2 * torch.eye(self.dim, dtype=m.dtype)
        cov = c.alpha**2 * a + c.beta**2 * b + mixed + mixed.mT + noise
        return c.alpha * m + c.beta * n, (cov + cov.mT) / 2

    def answers(self, x: Tensor, u: float) -> Answers:
        """``E[x_0|x]``, ``E[x_1|x]`` and the score for points x of shape (B, d)."""
        points(x, self.means[:, : self.dim])
        at = self._level(u)
        half = ((x - at.centre) @ at.whiten).unflatten(1, at.shifts.shape) - at.shifts
        g = (at.logs - 0.5 * half.square().sum(-1)).softmax(-1)
        out = g @ at.means + (g[..., None] * half).flatten(1) @ at.gains
        return Answers(*out.split(self.dim, 1))

    def _level(self, u: float) -> _Level:
        """What answers need of u alone, kept: solves on nested grids ask for one u many times."""
        u = float(u)
        if u not in self._kept:
            if len(self._kept) * self.covs.numel() >= _MOST:
                self._kept.clear()
            with torch.inference_mode(False):  # what is kept may be used with gradients later
                self._kept[u] = self._level_at(u)
        return self._kept[u]

    def _level_at(self, u: float) -> _Level:
        c, d = self.interpolant.at(u), self.dim
        m, n, a, cross, b = self._blocks()
        mean, cov = self._moments(c)
        lower = torch.linalg.cholesky(cov)
        inverse = torch.linalg.solve_triangular(
            lower, torch.eye(d, dtype=m.dtype).expand_as(lower), upper=False
        )
        centre = self.weights @ mean
        gains = (c.alpha * a + c.beta * cross, c.alpha * cross.mT + c.beta * b)
        gains = [*(inverse @ gain.mT for gain in gains), -inverse]  # of rows: half @ gain
        return _Level(
            centre,
            inverse.permute(2, 0, 1).reshape(d, -1),
            torch.einsum("kij,kj->ki", inverse, mean - centre),
            self.weights.log() - lower.diagonal(dim1=-2, dim2=-1).log().sum(-1),
            torch.cat([m, n, torch.zeros_like(m)], 1),
            torch.cat(gains, 2).flatten(0, 1),
        )

    def score(self, x: Tensor, u: float) -> Tensor:
        """``grad log rho_u``, (B, d)."""
        return self.answers(x, u).score

    def denoiser(self, x: Tensor, u: float) -> Tensor:
        """``E[z | x] = -gamma score``, (B, d)."""
        return -math.sqrt(self.interpolant.at(u).gamma2) * self.answers(x, u).score

    def velocity(self, x: Tensor, u: float) -> Tensor:
        """``b``, the velocity of the probability-flow ODE, (B, d)."""
        return self.interpolant.velocity(*self.answers(x, u), u)

    def drift(self, x: Tensor, u: float, epsilon: float, *, backward: bool = False) -> Tensor:
        """``b + epsilon s``; ``b - epsilon s`` for the equation that runs from 1 to 0; (B, d)."""
        known = self.answers(x, u)
        sign = -1.0 if backward else 1.0
        return self.interpolant.velocity(*known, u) + sign * epsilon * known.score

    def sde(self, epsilon: float) -> SDE:
        """The forward equation with constant epsilon > 0, for :mod:`fokker.solvers.sde`."""
        if not 0.0 < epsilon < math.inf:
            msg = f"epsilon must be positive and finite, got {epsilon}"
            raise InvalidLawError(msg)
        noise = math.sqrt(2.0 * epsilon)
        return SDE(lambda u, x: self.drift(x, u, epsilon), lambda _u, _x: noise, noise="additive")

    def sample(self, n: int, *, seed: int) -> tuple[Tensor, Tensor]:
        """``n`` independent pairs (x_0, x_1), each (n, d)."""
        values, vectors = eigen(self.covs, "covs")
        roots = vectors * values.sqrt()[:, None]
        which = choose(self.weights, n, seed=seed)
        z = torch.from_numpy(normals(n, 2 * self.dim, seed=seed, label="pair")).to(self.means)
        pairs = self.means[which] + (roots[which] @ z[..., None])[..., 0]
        return pairs[:, : self.dim], pairs[:, self.dim :]


def between(
    interpolant: Interpolant, first: GaussianMixture, last: GaussianMixture
) -> MixtureInterpolant:
    """The interpolant between two mixtures with independent ends: one component for each pair."""
    if first.dim != last.dim:
        msg = f"the ends must have one dimension, got {first.dim} and {last.dim}"
        raise InvalidLawError(msg)
    k, j, d = len(first.weights), len(last.weights), first.dim
    w = (first.weights[:, None] * last.weights).flatten()
    means = torch.cat([first.means.repeat_interleave(j, 0), last.means.repeat(k, 1)], 1)
    covs = torch.zeros(k * j, 2 * d, 2 * d, dtype=means.dtype)
    covs[:, :d, :d] = full_covs(first).repeat_interleave(j, 0)
    covs[:, d:, d:] = full_covs(last).repeat(k, 1, 1)
    return MixtureInterpolant(interpolant, w, means, covs)
