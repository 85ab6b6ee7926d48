r"""Schrodinger bridges between mixtures that are exact by construction, in any dimension.

A coupling ``pi(x, y) = F(x) k(x, y) G(y)``, k the transition of ``sigma W`` over [0, 1], is the
static bridge between its own marginals, whatever F and G. Take mixtures for both: then
``rho_u = F_u G_u`` with ``F_u = F * N(0, sigma^2 u)``, ``G_u = G * N(0, sigma^2 (1 - u))`` is a
mixture at every u, and all fields are closed. The ends are what F, G and sigma make them: a
problem is designed by its potentials, not by its marginals.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..solvers.errors import InvalidLawError
from ..solvers.sde.problem import SDE
from .draws import normals
from .mixture import GaussianMixture, choose, full_covs


@dataclass(frozen=True, eq=False)
class MixtureBridge:
    """The Schrodinger bridge of ``sigma W`` with potentials F and G; u in [0, 1].

    ``drift = sigma^2 grad log G_u``: with its model ``E[X_1 | X_u = x]``, the denoiser of G at the
    noise level ``sigma sqrt(1 - u)``, it is the reverse SDE (eta = 1) of variance-exploding noise
    on G, only started in ``rho_0`` instead of noise. So every sampler for eta = 1 runs it.

    Not to be confused: F and G are not the ends of the bridge, see :meth:`law`.

    Parameters
    ----------
    first, last : GaussianMixture
        F and G, in float64, of one dimension d.
    sigma : float
        Strength of the reference, positive.

    Raises
    ------
    InvalidLawError
        If dimensions or devices differ, F or G is not float64, or sigma is not positive and
        finite.

    Examples
    --------
    >>> one = GaussianMixture([1.0], [[0.0]], [[1.0]])
    >>> round(float(MixtureBridge(one, one, 1.0).law(0.0).covs), 12)
    0.666666666667
    """

    first: GaussianMixture
    last: GaussianMixture
    sigma: float
    _pairs: tuple[Tensor, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not 0.0 < self.sigma < math.inf:
            msg = f"sigma must be positive and finite, got {self.sigma}"
            raise InvalidLawError(msg)
        if self.first.dim != self.last.dim:
            msg = f"F and G must have one dimension, got {self.first.dim} and {self.last.dim}"
            raise InvalidLawError(msg)
        _exact(self.first, self.last)
        m, n = self.first.means[:, None], self.last.means[None]
        a, b = full_covs(self.first)[:, None], full_covs(self.last)[None]
        apart = torch.linalg.solve(a + b + self._noise(1.0), (m - n)[..., None])[..., 0]
        logs = -0.5 * (torch.logdet(a + b + self._noise(1.0)) + ((m - n) * apart).sum(-1))
        logs = logs + self.first.weights.log()[:, None] + self.last.weights.log()
        weights = logs.flatten().softmax(0)
        self.__dict__["_pairs"] = (weights, m, n, a, b)

    @property
    def dim(self) -> int:
        """Dimension d."""
        return self.first.dim

    def law(self, u: float) -> GaussianMixture:
        """The law of X_u: a component for each pair, with weights that do not depend on u."""
        weights, m, n, a, b = self._pairs
        p, q = a + self._noise(u), b + self._noise(1.0 - u)
        total = p + q
        mean = m + (p @ torch.linalg.solve(total, (n - m)[..., None]))[..., 0]
        cov = p @ torch.linalg.solve(total, q.expand_as(total))
        cov = (cov + cov.mT) / 2
        return GaussianMixture(weights, mean.flatten(0, 1), cov.flatten(0, 1))

    def _noise(self, u: float) -> Tensor:
        return self.sigma**2 * _time(u) * torch.eye(self.dim, dtype=self.first.dtype)

    def sample(self, n: int, *, seed: int) -> tuple[Tensor, Tensor]:
        """``n`` independent pairs (X_0, X_1), each (n, d)."""
        weights, m, n_, a, b = self._pairs
        which = choose(weights, n, seed=seed)
        total = a + b + self._noise(1.0)
        m, y, a, b, total = (
            v.expand(*total.shape[:2], *v.shape[2:]).flatten(0, 1) for v in (m, n_, a, b, total)
        )
        gain_x, gain_y = (torch.linalg.solve(total, c).mT for c in (a, b))
        mean = torch.cat([m + _dot(gain_x, y - m), y + _dot(gain_y, m - y)], -1)
        cross = gain_x @ b
        cov = torch.cat(
            [
                torch.cat([a - gain_x @ a, cross], -1),
                torch.cat([cross.mT, b - gain_y @ b], -1),
            ],
            -2,
        )
        root = torch.linalg.cholesky((cov + cov.mT) / 2)
        z = torch.from_numpy(normals(n, 2 * self.dim, seed=seed, label="pair")).to(mean)
        pairs = mean[which] + _dot(root[which], z)
        return pairs[:, : self.dim], pairs[:, self.dim :]

    def to_come(self, x: Tensor, u: float) -> Tensor:
        """``grad log G_u``, (B, d)."""
        return self.last.score(x, 1.0, self.sigma * math.sqrt(1.0 - _time(u)))

    def has_been(self, x: Tensor, u: float) -> Tensor:
        """``grad log F_u``, (B, d)."""
        return self.first.score(x, 1.0, self.sigma * math.sqrt(_time(u)))

    def score(self, x: Tensor, u: float) -> Tensor:
        """``grad log rho_u``, (B, d)."""
        return self.to_come(x, u) + self.has_been(x, u)

    def drift(self, x: Tensor, u: float) -> Tensor:
        """``sigma^2 grad log G_u``: drift of the bridge run forward."""
        return self.sigma**2 * self.to_come(x, u)

    def velocity(self, x: Tensor, u: float) -> Tensor:
        """``(sigma^2/2)(grad log G_u - grad log F_u)``: the probability-flow ODE."""
        return 0.5 * self.sigma**2 * (self.to_come(x, u) - self.has_been(x, u))

    def last_given(self, x: Tensor, u: float) -> Tensor:
        """``E[X_1 | X_u = x]``, (B, d)."""
        return self.last.denoiser(x, 1.0, self.sigma * math.sqrt(1.0 - _time(u)))

    def first_given(self, x: Tensor, u: float) -> Tensor:
        """``E[X_0 | X_u = x]``, (B, d)."""
        return self.first.denoiser(x, 1.0, self.sigma * math.sqrt(_time(u)))

    def log_plan(self, x: Tensor, y: Tensor) -> Tensor:
        """Log-density of the coupling at n pairs, x and y (n, d), up to a constant; (n,)."""
        apart = (x - y).square().sum(-1) / (2 * self.sigma**2)
        return self.first.log_density(x) + self.last.log_density(y) - apart

    def sde(self) -> SDE:
        """The bridge as a stochastic equation on u in [0, 1], for :mod:`fokker.solvers.sde`."""
        return SDE(lambda u, x: self.drift(x, u), lambda _u, _x: self.sigma, noise="additive")


def _exact(first: GaussianMixture, last: GaussianMixture) -> None:
    """Refuse what is not float64, or not in one place."""
    if not first.dtype == last.dtype == torch.float64:
        msg = (
            f"F and G must be float64, got {first.dtype} and {last.dtype}: give tensors of "
            "float64, or mixture.to(dtype=torch.float64)"
        )
        raise InvalidLawError(msg)
    if first.device != last.device:
        msg = f"F and G must be on one device, got {first.device} and {last.device}"
        raise InvalidLawError(msg)


def _time(u: float) -> float:
    if not 0.0 <= u <= 1.0:
        msg = f"the time u of a bridge must be in [0, 1], got {u}"
        raise InvalidLawError(msg)
    return float(u)


def _dot(matrix: Tensor, vector: Tensor) -> Tensor:
    return (matrix @ vector[..., None])[..., 0]
