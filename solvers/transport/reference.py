r"""Linear references: the diffusions ``dX = (F X + a) du + L dW`` that a bridge stays close to.

Over a stretch of length h the transition is Gaussian, ``X_{u+h} = Phi X_u + b + N(0, Q)``::

    Phi = exp(F h)     b = int_0^h exp(F r) a dr     Q = int_0^h exp(F r) L L^T exp(F^T r) dr

all three from one matrix exponential (Van Loan 1978), in float64. It holds ``exp(-F h)`` too,
which overflows for a strong pull: so a stretch is halved until ``|F| h <= 1`` and put together
again, ``Q_{2h} = Q_h + Phi_h Q_h Phi_h^T``, a sum of positives.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..errors import InvalidLawError
from ..parameters import parameter


class Transition(NamedTuple):
    """``X_end = phi X_start + shift + N(0, cov)``; shapes (d, d), (d,), (d, d)."""

    phi: Tensor
    shift: Tensor
    cov: Tensor


_MOST = 64
"""Transitions that a reference keeps: a bridge asks for one length several times."""


@dataclass(frozen=True, eq=False)
class LinearReference:
    """``dX = (F X + a) du + L dW`` with constant coefficients, u in [0, 1].

    Parameters
    ----------
    drift_matrix : Tensor
        F, shape (d, d); any matrix, rotations too.
    diffusion : Tensor
        L, shape (d, d), with L L^T positive definite: a bridge needs a density at every point.
    offset : Tensor, optional
        a, shape (d,); zero by default.

    Raises
    ------
    InvalidLawError
        If shapes do not fit, a value is not finite, or L L^T is singular.

    See Also
    --------
    brownian, ornstein_uhlenbeck : The two that the literature uses most.
    """

    drift_matrix: Tensor
    diffusion: Tensor
    offset: Any = None
    _kept: dict[float, Transition] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        f = _matrix(self.drift_matrix, "drift_matrix", None)
        lower = _matrix(self.diffusion, "diffusion", len(f))
        given = torch.zeros(len(f)) if self.offset is None else self.offset
        a = parameter(given, "offset", (len(f),)).to(torch.float64)
        smallest = float(torch.linalg.svdvals(lower)[-1])
        if smallest <= 1e-12 * float(lower.abs().max()):
            msg = (
                "the diffusion of a reference must be invertible, or its bridges have no density; "
                f"its smallest singular value is {smallest:.3g}"
            )
            raise InvalidLawError(msg)
        self.__dict__.update(drift_matrix=f, diffusion=lower, offset=a)

    @property
    def dim(self) -> int:
        """Dimension d."""
        return len(self.drift_matrix)

    @property
    def covariance_rate(self) -> Tensor:
        """L L^T, shape (d, d)."""
        return self.diffusion @ self.diffusion.mT

    def drift(self, x: Tensor) -> Tensor:
        """``F x + a`` for points x of shape (B, d)."""
        return x @ self.drift_matrix.mT + self.offset

    def transition(self, length: float) -> Transition:
        """The law of X at the end of a stretch of this length >= 0, given X at its start.

        Raises
        ------
        InvalidLawError
            If the reference grows so fast that this law is beyond float64.
        """
        if length not in self._kept:
            if len(self._kept) >= _MOST:
                self._kept.clear()
            with torch.inference_mode(False):  # what is kept may be used with gradients later
                self._kept[length] = self._computed(length)
        return self._kept[length]

    def _computed(self, length: float) -> Transition:
        halvings = math.ceil(math.log2(max(1.0, self._size * length)))
        phi, shift, cov = self._short(length / 2**halvings)
        for _ in range(halvings):
            phi, shift, cov = phi @ phi, shift + phi @ shift, cov + phi @ cov @ phi.mT
        cov = (cov + cov.mT) / 2
        if not all(bool(torch.isfinite(v).all()) for v in (phi, shift, cov)):
            msg = (
                f"over a stretch of length {length:g} this reference grows beyond float64: the "
                f"1-norm of its drift matrix is {self._size:.3g}"
            )
            raise InvalidLawError(msg)
        return Transition(phi, shift, cov)

    @property
    def _size(self) -> float:
        return float(torch.linalg.matrix_norm(self.drift_matrix, 1))

    def _short(self, length: float) -> Transition:
        """The same where ``|F| length <= 1``."""
        d, f = self.dim, self.drift_matrix
        block = torch.zeros(2 * d, 2 * d, dtype=torch.float64)
        block[:d, :d], block[:d, d:], block[d:, d:] = -f, self.covariance_rate, f.mT
        power = exponential(block * length)
        phi = power[d:, d:].mT
        cov = phi @ power[:d, d:]
        line = torch.zeros(d + 1, d + 1, dtype=torch.float64)
        line[:d, :d], line[:d, d] = f, self.offset
        shift = exponential(line * length)[:d, d]
        return Transition(phi, shift, cov)


def exponential(m: Tensor) -> Tensor:
    """``e^m`` of a square matrix, to rounding, small ones too.

    `torch.linalg.matrix_exp` (2.13) keeps only 10 digits of ``e^m - 1`` where the norm of m is
    near 0.01, and a bridge near its end rests on those digits: there Taylor's series is summed.
    """
    eye = torch.eye(len(m), dtype=m.dtype)
    if float(torch.linalg.matrix_norm(m, 1)) >= 0.1:
        return torch.linalg.matrix_exp(m)
    out = eye
    for k in range(10, 0, -1):  # what is left out is below 0.1^11/11! = 3e-19
        out = eye + m @ out / k
    return out


def _matrix(value: Any, name: str, dim: int | None) -> Tensor:
    m = parameter(value, name, (dim, dim)).to(torch.float64)
    if m.shape[0] != m.shape[1]:
        msg = f"{name} must be square, got {tuple(m.shape)}"
        raise InvalidLawError(msg)
    return m


def brownian(dim: int, sigma: float = 1.0) -> LinearReference:
    """``dX = sigma dW`` in ``dim`` dimensions; its static bridge is entropic with 2 sigma^2."""
    eye = torch.eye(dim, dtype=torch.float64)
    return LinearReference(0.0 * eye, sigma * eye)


def ornstein_uhlenbeck(dim: int, kappa: float, sigma: float, mean: float = 0.0) -> LinearReference:
    """``dX = kappa (mean - X) du + sigma dW``."""
    eye = torch.eye(dim, dtype=torch.float64)
    offset = torch.full((dim,), kappa * mean, dtype=torch.float64)
    return LinearReference(-kappa * eye, sigma * eye, offset)
