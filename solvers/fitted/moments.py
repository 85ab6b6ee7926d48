"""Mean and covariance of data, the covariance by its leading directions.

``C = U diag(c_k^2) U^T + r (I - U U^T)``: what the closed flow of a Gaussian and the sampler that
is preconditioned by it need to know of the data. The covariance is that of the data, not of x_t.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..checks import check_finite, check_state
from ..errors import InvalidPlanError, ShapeError
from ..given import whole_number
from ..parameters import eigen, parameter
from ..process import Node


@dataclass(frozen=True, eq=False)
class GaussianStatistics:
    """Mean and covariance of data, the covariance by its leading directions.

    Attributes
    ----------
    mean : Tensor
        m, (d,), float64.
    basis : Tensor
        U by columns, (d, r), orthonormal, r <= d.
    variances : Tensor
        c^2 along them, (r,).
    rest : float
        Variance of every direction orthogonal to U; 0 is the null space of a low-rank covariance.
    """

    mean: Tensor
    basis: Tensor
    variances: Tensor
    rest: float = 0.0

    def __post_init__(self) -> None:
        mean, basis, variances = (tuple(p.shape) for p in self._parts)
        if (
            len(basis) != 2
            or (mean, variances) != (basis[:1], basis[1:])
            or not (0 < basis[1] <= basis[0])
        ):
            msg = (
                "need a mean (d,), a basis (d, r) and variances (r,), r <= d; "
                f"got {mean}, {basis}, {variances}"
            )
            raise ShapeError(msg)
        for name in ("mean", "basis", "variances"):
            object.__setattr__(self, name, getattr(self, name).double())
        gap = (self.basis.mT @ self.basis - torch.eye(basis[1]).to(self.basis)).abs().max()
        spread = [*self.variances.tolist(), self.rest]
        known = bool(self.mean.isfinite().all()) and all(0.0 <= v < math.inf for v in spread)
        if not (known and float(gap) < 1e-8):
            msg = (
                "need a finite mean, an orthonormal basis and finite variances >= 0; got a basis "
                f"off by {float(gap):g} and variances from {min(spread):g} to {max(spread):g}"
            )
            raise InvalidPlanError(msg)

    @property
    def _parts(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.mean, self.basis, self.variances

    @classmethod
    def from_moments(
        cls, mean: Tensor, cov: Tensor, rank: int | None = None
    ) -> GaussianStatistics:
        """From m (d,) and C (d, d); of ``rank`` directions, the others by their mean variance.

        Raises
        ------
        InvalidLawError
            If the covariance is not symmetric, or has a negative eigenvalue beyond rounding.
        """
        m = parameter(mean, "the mean", (None,)).double()
        c = parameter(cov, "the covariance", (len(m), len(m)))
        values, vectors = eigen(c, "the covariance")
        values, vectors = values.double(), vectors.double()
        if c.dtype != torch.float64:  # orthonormal to the rounding of float32 only
            vectors = torch.linalg.qr(vectors)[0]
        return cls._cut(m, values.flip(0), vectors.flip(1), rank)

    @classmethod
    def from_samples(cls, data: Tensor, rank: int | None = None) -> GaussianStatistics:
        """From data (n, *D), by a singular value decomposition of the centred data.

        Directions that n samples do not span have variance 0: without ``rank`` all of n - 1.

        Raises
        ------
        ShapeError
            For fewer than two samples.
        NonFiniteError
            For data that are not finite.
        """
        flat = data.reshape(len(data), -1).double()
        check_finite(flat, "data", range(len(flat)))
        n, d = flat.shape
        if n < 2:
            msg = f"a covariance needs at least two samples, got {n}"
            raise ShapeError(msg)
        mean = flat.mean(0)
        _, singular, right = torch.linalg.svd(flat - mean, full_matrices=False)
        kept = min(n - 1, d)
        values, vectors = singular[:kept] ** 2 / (n - 1), right[:kept].mT
        return cls._cut(mean, values, vectors, rank)

    @classmethod
    def _cut(
        cls, mean: Tensor, values: Tensor, vectors: Tensor, rank: int | None
    ) -> GaussianStatistics:
        if rank is None or whole_number(rank, "the rank") >= len(values):
            return cls(mean, vectors, values)
        if rank < 1:
            msg = f"the rank must be at least 1, got {rank}"
            raise InvalidPlanError(msg)
        outside = float(values[rank:].sum()) / (len(mean) - rank)
        return cls(mean, vectors[:, :rank], values[:rank], outside)

    def spread(self, node: Node) -> tuple[Tensor, float]:
        """``v = alpha^2 c^2 + sigma^2`` along U, (r,), and outside."""
        a2, s2 = node.alpha**2, node.sigma**2
        return a2 * self.variances + s2, a2 * self.rest + s2

    def scaled(self, x: Tensor, along: Tensor, outside: float) -> Tensor:
        """``U diag(along) U^T x + outside (I - U U^T) x`` for x (B, d)."""
        inner = x @ self.basis
        return outside * x + (inner * (along - outside)) @ self.basis.mT

    def to(self, like: Tensor) -> GaussianStatistics:
        """The same on the device of ``like``, in float64."""
        parts = (p.to(like.device) for p in self._parts)
        return GaussianStatistics(*parts, rest=self.rest)


def checked(statistics: GaussianStatistics, x: Tensor) -> GaussianStatistics:
    """Statistics beside a state: on its device, of its dimension.

    Raises
    ------
    ShapeError
        If x is no state, or does not flatten to the dimension of the statistics.
    InvalidPlanError
        If these are no statistics of a Gaussian.
    """
    check_state(x, "x")
    if not isinstance(statistics, GaussianStatistics):
        msg = f"need GaussianStatistics, got {type(statistics).__name__}"
        raise InvalidPlanError(msg)
    if x[0].numel() != len(statistics.mean):
        msg = f"statistics of dimension {len(statistics.mean)} do not fit a state {tuple(x.shape)}"
        raise ShapeError(msg)
    return statistics.to(x)
