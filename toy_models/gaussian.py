"""The Gaussian law with a full covariance: everything in closed form, in its eigenbasis."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import InitVar, dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from ..solvers.errors import InvalidLawError
from .checks import (
    Coefficient,
    Level,
    coefficients,
    eigen,
    level,
    moved,
    orthogonal,
    parameter,
    points,
)
from .draws import normals

LOG_2PI = math.log(2.0 * math.pi)


@dataclass(frozen=True, eq=False)
class Gaussian:
    r"""N(m, C) with ``C = U diag(c_k^2) U^T``.

    With ``v_k = alpha^2 c_k^2 + sigma^2`` and ``u = U^T (x - alpha m)``::

        log p = -(sum u_k^2/v_k + log v_k + d log 2 pi)/2      score = -U (u/v)
        D = m + U (alpha c^2/v) u                              hessian = -U diag(1/v) U^T
        flow: u_end = u_start sqrt(v_end/v_start)

    No formula subtracts large numbers at either end of the noise: D is not made from the score,
    nor the score from D. Singular covariances are laws too; they need ``sigma > 0``, except at the
    end of a flow, which then collapses onto the support.

    Parameters
    ----------
    mean : Tensor
        m, shape (d,).
    cov : Tensor
        C, shape (d, d), symmetric without negative eigenvalues; decomposed once, in float64.
    basis : (Tensor, Tensor), optional
        ``(c^2, U)`` if known, instead of the decomposition; see :meth:`from_eigen`.

    Attributes
    ----------
    eigenvalues, eigenvectors : Tensor
        ``c_k^2``, shape (d,), and U by columns, shape (d, d).

    Raises
    ------
    InvalidLawError
        If shapes do not fit, a value is not finite, or C is no covariance.

    Examples
    --------
    >>> import torch
    >>> law = Gaussian(torch.zeros(2, dtype=torch.float64), 3 * torch.eye(2, dtype=torch.float64))
    >>> law.denoiser(torch.ones(1, 2, dtype=torch.float64), 1.0, 1.0)
    tensor([[0.7500, 0.7500]], dtype=torch.float64)
    """

    mean: Tensor
    cov: Tensor
    basis: InitVar[tuple[Tensor, Tensor] | None] = None
    eigenvalues: Tensor = field(init=False)
    eigenvectors: Tensor = field(init=False)
    _singular: bool = field(init=False, repr=False)

    name: ClassVar[str] = "gaussian"
    exactness: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            "sample": "exact to rounding",
            "log_density": "closed form",
            "score": "closed form",
            "denoiser": "closed form",
            "hessian": "closed form",
            "flow": "closed form",
        }
    )

    def __post_init__(self, basis: tuple[Tensor, Tensor] | None) -> None:
        mean = parameter(self.mean, "mean", (None,))
        cov = parameter(self.cov, "cov", (len(mean), len(mean))).to(mean)
        values, vectors = eigen(cov, "cov") if basis is None else basis
        new = {"mean": mean, "cov": cov, "eigenvalues": values, "eigenvectors": vectors}
        self.__dict__.update(new, _singular=not bool((values > 0).all()))

    @classmethod
    def from_eigen(cls, mean: Any, eigenvectors: Any, eigenvalues: Any) -> Gaussian:
        """The law with given eigenvectors (columns) and variances along them, kept exactly.

        Use it where variances span more than 1e12: a dense covariance cannot hold them.
        """
        m = parameter(mean, "mean", (None,))
        u = orthogonal(eigenvectors, "eigenvectors", len(m)).to(m)
        c2 = parameter(eigenvalues, "eigenvalues", (len(m),)).to(m)
        if bool((c2 < 0).any()):
            msg = f"eigenvalues must not be negative, got {float(c2.min())}"
            raise InvalidLawError(msg)
        return cls(m, (u * c2) @ u.mT, basis=(c2, u))

    @property
    def dim(self) -> int:
        """Dimension d."""
        return self.mean.shape[0]

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the law."""
        return self.mean.dtype

    @property
    def device(self) -> torch.device:
        """Device of the law."""
        return self.mean.device

    def to(self, device: Any = None, dtype: torch.dtype | None = None) -> Self:
        """The same law on another device or in another dtype."""
        return moved(self, device, dtype)

    def sample(self, n: int, *, seed: int, first: int = 0) -> Tensor:
        """``m + U (c z)``, (n, d); each sample a function of (seed, index) only."""
        z = torch.from_numpy(normals(n, self.dim, seed=seed, label="data", first=first))
        return self.mean + (z.to(self.mean) * self.eigenvalues.sqrt()) @ self.eigenvectors.mT

    def _in_basis(
        self, x: Tensor, alpha: Coefficient, sigma: Coefficient
    ) -> tuple[Coefficient, Tensor, Tensor]:
        """``(alpha, u, v)``: the deviation in the eigenbasis and the variance along it."""
        points(x, self.mean)
        a, s = coefficients(alpha, sigma, x, zero_sigma=not self._singular)
        v = a * a * self.eigenvalues + s * s
        return a, (x - a * self.mean) @ self.eigenvectors, v

    def log_density(self, x: Tensor, alpha: Coefficient = 1.0, sigma: Coefficient = 0.0) -> Tensor:
        """``log p_t(x)``, (B,)."""
        _, u, v = self._in_basis(x, alpha, sigma)
        return -0.5 * ((u * u / v + v.log()).sum(-1) + self.dim * LOG_2PI)

    def score(self, x: Tensor, alpha: Coefficient, sigma: Coefficient) -> Tensor:
        """``-U (u/v)``, (B, d)."""
        _, u, v = self._in_basis(x, alpha, sigma)
        return -(u / v) @ self.eigenvectors.mT

    def denoiser(self, x: Tensor, alpha: Coefficient, sigma: Coefficient) -> Tensor:
        """``m + U (alpha c^2/v) u``, (B, d)."""
        a, u, v = self._in_basis(x, alpha, sigma)
        return self.mean + (u * (a * self.eigenvalues / v)) @ self.eigenvectors.mT

    def denoiser_jvp(self, x: Tensor, v: Tensor, alpha: Coefficient, sigma: Coefficient) -> Tensor:
        """``U (alpha c^2/v) U^T v``, (B, d); the same at every x."""
        points(v, self.mean, "v")
        a, _, var = self._in_basis(x, alpha, sigma)
        return ((v @ self.eigenvectors) * (a * self.eigenvalues / var)) @ self.eigenvectors.mT

    def hessian(self, x: Tensor, alpha: Coefficient, sigma: Coefficient) -> Tensor:
        """``-U diag(1/v) U^T``, (B, d, d)."""
        _, u, v = self._in_basis(x, alpha, sigma)
        precision = (1.0 / v).expand_as(u)
        return -(self.eigenvectors * precision[:, None, :]) @ self.eigenvectors.mT

    def flow(self, x: Tensor, start: Level, end: Level) -> Tensor:
        """Exact probability-flow ODE, ``u_end = u_start sqrt(v_end/v_start)``, (B, d)."""
        alpha, sigma = level(start, "start")
        alpha_end, sigma_end = level(end, "end")
        _, u, v = self._in_basis(x, alpha, sigma)
        v_end = alpha_end**2 * self.eigenvalues + sigma_end**2
        return alpha_end * self.mean + (u * (v_end / v).sqrt()) @ self.eigenvectors.mT
