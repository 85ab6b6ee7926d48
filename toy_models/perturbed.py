"""Models that are wrong by a known amount: a law's denoiser plus a controlled error.

The data stay those of the true law: ``sample`` and ``log_density`` are the truth, ``denoiser``,
``score`` and ``denoiser_jvp`` are what an imperfect network would answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, NoReturn, Self

import torch
from torch import Tensor

from ..solvers.errors import InvalidLawError, NoExactFlowError, ShapeError
from .checks import Coefficient, Level, coefficients, moved, parameter, points
from .draws import normals, uniforms
from .law import Law


@dataclass(frozen=True, eq=False)
class FourierField:
    r"""A fixed smooth random field ``sqrt(2/M) sum_m a_m cos(w_m . u + b_m)``.

    ``u = x/sqrt(alpha^2 + sigma^2)``, so the field depends on x/alpha and lam only and is the same
    for every process. Over the phases b its mean square norm is the mean of ``|a_m|^2``, which is
    about 1 for :meth:`random`. It is not a gradient: a perturbed score need not be conservative.

    Parameters
    ----------
    frequencies, directions : Tensor
        w and a, shape (M, d).
    phases : Tensor
        b, shape (M,).
    """

    frequencies: Tensor
    directions: Tensor
    phases: Tensor

    def __post_init__(self) -> None:
        w = parameter(self.frequencies, "frequencies", (None, None))
        a = parameter(self.directions, "directions", tuple(w.shape)).to(w)
        b = parameter(self.phases, "phases", (len(w),)).to(w)
        self.__dict__.update(frequencies=w, directions=a, phases=b)

    @classmethod
    def random(
        cls, dim: int, *, features: int = 64, length: float = 1.0, seed: int = 0
    ) -> FourierField:
        """Frequencies N(0, 1/length^2), directions N(0, 1/d), uniform phases."""
        if dim < 1 or features < 1 or not 0 < length < math.inf:
            msg = (
                "dim and features must be at least 1 and length positive, "
                f"got dim={dim}, features={features}, length={length}"
            )
            raise InvalidLawError(msg)
        w = normals(features, dim, seed=seed, label="frequencies") / length
        a = normals(features, dim, seed=seed, label="directions") / math.sqrt(dim)
        b = uniforms(features, 1, seed=seed, label="phases")[:, 0] * 2 * math.pi
        return cls(torch.from_numpy(w), torch.from_numpy(a), torch.from_numpy(b))

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the field."""
        return self.frequencies.dtype

    def to(self, device: Any = None, dtype: torch.dtype | None = None) -> Self:
        """The same field on another device or in another dtype."""
        return moved(self, device, dtype)

    def _angle(
        self, x: Tensor, alpha: Coefficient, sigma: Coefficient
    ) -> tuple[Tensor, float | Tensor]:
        a, s = coefficients(alpha, sigma, points(x, self.frequencies))
        size = (a * a + s * s) ** 0.5
        return (x / size) @ self.frequencies.mT + self.phases, size

    def value(self, x: Tensor, alpha: Coefficient, sigma: Coefficient) -> Tensor:
        """The field at x, (B, d)."""
        angle, _ = self._angle(x, alpha, sigma)
        return math.sqrt(2 / len(self.phases)) * (angle.cos() @ self.directions)

    def jvp(self, x: Tensor, v: Tensor, alpha: Coefficient, sigma: Coefficient) -> Tensor:
        """Its derivative along v, (B, d)."""
        angle, size = self._angle(x, alpha, sigma)
        rate = -angle.sin() * ((v / size) @ self.frequencies.mT)
        return math.sqrt(2 / len(self.phases)) * (rate @ self.directions)


Amplitude = float | Callable[[Any], Any]
"""A constant, or a function of ``lam``, which is a float or a (B, 1) tensor."""


@dataclass(frozen=True, eq=False)
class Perturbed:
    r"""``D_theta = D + a(lam) delta(x)``: a law seen through an imperfect network.

    The score error is ``(alpha/sigma^2) a(lam) delta``; ``sigma > 0``.

    Parameters
    ----------
    law : Law
        The truth.
    field : FourierField
        delta, of the law's dimension.
    amplitude : float or callable
        a: a constant or a function of lam (half log-SNR), typically about the root-mean-square
        error of D at that level.

    Raises
    ------
    ShapeError
        If law and field have different dimensions.
    """

    law: Law
    field: FourierField
    amplitude: Amplitude

    name: ClassVar[str] = "perturbed"
    exactness: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            "sample": "the law's",
            "log_density": "the law's",
            "score": "the law's plus a known error",
            "denoiser": "the law's plus a known error",
            "hessian": "the law's plus a known error",
            "flow": "none; reference_flow gives the flow of the wrong model",
        }
    )

    def __post_init__(self) -> None:
        if self.field.frequencies.shape[1] != self.law.dim:
            width = self.field.frequencies.shape[1]
            msg = f"the field has dimension {width}, the law {self.law.dim}"
            raise ShapeError(msg)
        self.__dict__["field"] = self.field.to(device=self.law.device, dtype=self.law.dtype)

    @property
    def dim(self) -> int:
        """Dimension d."""
        return self.law.dim

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the law."""
        return self.law.dtype

    @property
    def device(self) -> torch.device:
        """Device of the law."""
        return self.law.device

    @property
    def mean(self) -> Tensor:
        """Mean of the data."""
        return self.law.mean

    @property
    def cov(self) -> Tensor:
        """Covariance of the data."""
        return self.law.cov

    def to(self, device: Any = None, dtype: torch.dtype | None = None) -> Self:
        """The same model on another device or in another dtype."""
        return moved(self, device, dtype)

    def sample(self, n: int, *, seed: int, first: int = 0) -> Tensor:
        """Samples of the true law."""
        return self.law.sample(n, seed=seed, first=first)

    def log_density(self, x: Tensor, alpha: Coefficient = 1.0, sigma: Coefficient = 0.0) -> Tensor:
        """Log-density of the true law."""
        return self.law.log_density(x, alpha, sigma)

    def _scale(self, x: Tensor, alpha: Coefficient, sigma: Coefficient) -> tuple[Any, Any]:
        """``a(lam)`` and the factor ``alpha/sigma^2`` that makes it a score error."""
        a, s = coefficients(alpha, sigma, points(x, self.field.frequencies), zero_sigma=False)
        if not callable(self.amplitude):
            return self.amplitude, a / (s * s)
        if isinstance(a, float) and isinstance(s, float):
            lam: Any = math.log(a / s) if a > 0 else -math.inf
        else:
            like = x.new_ones(len(x), 1)
            lam = (like * a).log() - (like * s).log()
        return self.amplitude(lam), a / (s * s)

    def error(self, x: Tensor, alpha: Coefficient, sigma: Coefficient) -> Tensor:
        """``D_theta - D``, (B, d)."""
        amplitude, _ = self._scale(x, alpha, sigma)
        return amplitude * self.field.value(x, alpha, sigma)

    def denoiser(self, x: Tensor, alpha: Coefficient, sigma: Coefficient) -> Tensor:
        """``D_theta``, (B, d)."""
        return self.law.denoiser(x, alpha, sigma) + self.error(x, alpha, sigma)

    def score(self, x: Tensor, alpha: Coefficient, sigma: Coefficient) -> Tensor:
        """``s + (alpha/sigma^2) a(lam) delta``, (B, d)."""
        amplitude, factor = self._scale(x, alpha, sigma)
        field = self.field.value(x, alpha, sigma)
        return self.law.score(x, alpha, sigma) + (amplitude * factor) * field

    def denoiser_jvp(self, x: Tensor, v: Tensor, alpha: Coefficient, sigma: Coefficient) -> Tensor:
        """``(dD_theta/dx) v``, (B, d)."""
        amplitude, _ = self._scale(x, alpha, sigma)
        straight = self.law.denoiser_jvp(x, v, alpha, sigma)
        return straight + amplitude * self.field.jvp(x, v, alpha, sigma)

    def hessian(self, x: Tensor, alpha: Coefficient, sigma: Coefficient) -> Tensor:
        """Derivative of the perturbed score, (B, d, d); not symmetric in general.

        Entry (i, j) is the derivative of component i along j.
        """
        amplitude, factor = self._scale(x, alpha, sigma)
        unit = torch.eye(self.dim, dtype=self.dtype, device=self.device)
        columns = [self.field.jvp(x, e.expand_as(x), alpha, sigma) for e in unit]
        scale = amplitude * factor
        return self.law.hessian(x, alpha, sigma) + torch.stack(
            [scale * column for column in columns], dim=2
        )

    def flow(self, x: Tensor, start: Level, end: Level) -> NoReturn:  # noqa: ARG002
        """Raise: the flow of the wrong model has no closed form."""
        msg = (
            "Perturbed has no closed flow map; use reference_flow for the flow of the wrong model"
        )
        raise NoExactFlowError(msg)
