"""A linear score error whose every consequence stays in closed form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from ..solvers.errors import InvalidLawError
from .checks import Coefficient, Level, moved, numbers, parameter
from .gaussian import Gaussian


@dataclass(frozen=True, eq=False)
class MisfitGaussian:
    r"""A Gaussian truth N(m, C) and a network that believes in N(m', C') instead.

    With C' in the eigenbasis U of C the score error is linear in x::

        s_theta - s = U [ diag(1/v - 1/v') U^T (x - alpha m) + diag(1/v') alpha U^T (m' - m) ]
        v = alpha^2 c^2 + sigma^2,   v' = alpha^2 c'^2 + sigma^2

    and vanishes in D like sigma^2, as a trained network's does. The flow of the wrong model is the
    exact flow of N(m', C'); it carries p_t of the truth to a Gaussian that is known, see
    :meth:`reached`. Data (``sample``, ``log_density``, ``mean``, ``cov``) are the truth's.

    Parameters
    ----------
    truth, believed : Gaussian
        Make ``believed`` with :meth:`of` to have a shared eigenbasis.
    """

    truth: Gaussian
    believed: Gaussian

    name: ClassVar[str] = "misfit gaussian"
    exactness: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            "sample": "the truth's, exact to rounding",
            "log_density": "the truth's, closed form",
            "score": "the wrong model's, closed form",
            "denoiser": "the wrong model's, closed form",
            "hessian": "the wrong model's, closed form",
            "flow": "the wrong model's, closed form",
        }
    )

    def __post_init__(self) -> None:
        if self.truth.dim != self.believed.dim:
            msg = (
                "truth and believed must have one dimension, "
                f"got {self.truth.dim} and {self.believed.dim}"
            )
            raise InvalidLawError(msg)

    @classmethod
    def of(cls, truth: Gaussian, *, factor: Any = 1.0, shift: Any = 0.0) -> MisfitGaussian:
        """Believe in variances ``factor * c^2`` and the mean ``m + U shift``; floats or (d,)."""
        like = truth.eigenvalues
        f, s = _spread(factor, like, "factor"), _spread(shift, like, "shift")
        u = truth.eigenvectors
        return cls(truth, Gaussian.from_eigen(truth.mean + u @ s, u, f * like))

    @property
    def dim(self) -> int:
        """Dimension d."""
        return self.truth.dim

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the laws."""
        return self.truth.dtype

    @property
    def device(self) -> torch.device:
        """Device of the laws."""
        return self.truth.device

    @property
    def mean(self) -> Tensor:
        """Mean of the data."""
        return self.truth.mean

    @property
    def cov(self) -> Tensor:
        """Covariance of the data."""
        return self.truth.cov

    def to(self, device: Any = None, dtype: torch.dtype | None = None) -> Self:
        """The same pair on another device or in another dtype."""
        return moved(self, device, dtype)

    def sample(self, n: int, *, seed: int, first: int = 0) -> Tensor:
        """Samples of the truth."""
        return self.truth.sample(n, seed=seed, first=first)

    def log_density(self, x: Tensor, alpha: Coefficient = 1.0, sigma: Coefficient = 0.0) -> Tensor:
        """Log-density of the truth."""
        return self.truth.log_density(x, alpha, sigma)

    def score(self, x: Tensor, alpha: Coefficient, sigma: Coefficient) -> Tensor:
        """Score of the wrong model."""
        return self.believed.score(x, alpha, sigma)

    def denoiser(self, x: Tensor, alpha: Coefficient, sigma: Coefficient) -> Tensor:
        """Denoiser of the wrong model."""
        return self.believed.denoiser(x, alpha, sigma)

    def denoiser_jvp(self, x: Tensor, v: Tensor, alpha: Coefficient, sigma: Coefficient) -> Tensor:
        """Derivative of the wrong denoiser along v."""
        return self.believed.denoiser_jvp(x, v, alpha, sigma)

    def hessian(self, x: Tensor, alpha: Coefficient, sigma: Coefficient) -> Tensor:
        """Derivative of the wrong score."""
        return self.believed.hessian(x, alpha, sigma)

    def flow(self, x: Tensor, start: Level, end: Level) -> Tensor:
        """Flow of the wrong model, in closed form."""
        return self.believed.flow(x, start, end)

    def reached(self, start: Level, end: Level) -> Gaussian:
        """The law at ``end`` of the wrong flow started from the truth's law at ``start``.

        With both in the basis U: mean ``alpha_e m' + U sqrt(v'_e/v'_s) alpha_s U^T (m - m')`` and
        variances ``v_s v'_e/v'_s``. Dense covariances without a shared basis work too.
        """
        centre = self.flow(start[0] * self.truth.mean[None], start, end)[0]
        unit = torch.eye(self.dim, dtype=self.dtype, device=self.device)
        zero = torch.zeros_like(unit[:1])
        linear = (self.flow(unit, start, end) - self.flow(zero, start, end)).mT
        cov = start[0] ** 2 * self.truth.cov + start[1] ** 2 * unit
        pushed = linear @ cov @ linear.mT
        return Gaussian(centre, 0.5 * (pushed + pushed.mT))


def _spread(value: Any, like: Tensor, name: str) -> Tensor:
    """One number for all axes, or one for each, as a vector like the variances."""
    found = numbers(value, name)
    return parameter(
        (found.expand(len(like)) if found.ndim == 0 else found).to(like), name, (len(like),)
    )
