"""The optimal map between two Gaussians, and the path of least energy that it spans."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..errors import InvalidLawError
from ..parameters import numbers, parameter, points
from .bures import bures_map, bures_squared, covariance


def gaussian_pair(
    mean_a: Any, cov_a: Any, mean_b: Any, cov_b: Any, *, definite: bool = False
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Means (d,) and covariances (d, d) of two Gaussians of one dimension, in float64.

    Raises
    ------
    InvalidLawError
        If dimensions differ, a value is not finite, a matrix is no covariance, or is singular
        where ``definite`` is asked for.
    """
    means = []
    for m, name in ((mean_a, "mean_a"), (mean_b, "mean_b")):
        means.append(numbers(m, name).to(torch.float64))
        parameter(means[-1], name, (None,))
    if means[0].shape != means[1].shape:
        dims = " and ".join(str(len(m)) for m in means)
        msg = f"two Gaussians must have one dimension, got {dims}"
        raise InvalidLawError(msg)
    a = covariance(cov_a, "cov_a", len(means[0]), definite=definite)
    b = covariance(cov_b, "cov_b", len(means[0]), definite=definite)
    return means[0], a, means[1], b


@dataclass(frozen=True, eq=False)
class GaussianMap:
    r"""The optimal map from N(m_a, A) to N(m_b, B) for the cost ``|x - y|^2``.

    ``T(x) = m_b + M (x - m_a)``, ``M = A^{-1/2} (A^{1/2} B A^{1/2})^{1/2} A^{-1/2}``; and the
    displacement interpolation ``x_u = (1 - u) x + u T(x)``, u in [0, 1], with covariance
    ``S_u = G A G``, ``G = (1 - u) I + u M``, and velocity
    ``v_u(x) = m_b - m_a + (M - I) G^{-1} (x - m_u)``, a gradient. Its energy
    ``int E |v|^2 du`` is the cost W2^2, and ``W2(law(s), law(u)) = |s - u| W2``.

    Dowson & Landau 1982; Olkin & Pukelsheim 1982; McCann 1997. Not to be confused with the
    probability flow of a diffusion between the same ends, whose path costs more.

    Parameters
    ----------
    mean_a, cov_a, mean_b, cov_b
        Means (d,) and covariances (d, d), float64. They may require gradients, which stay finite
        at A = B and at multiple eigenvalues.

    Attributes
    ----------
    matrix : Tensor
        M, shape (d, d).

    Raises
    ------
    InvalidLawError
        If dimensions differ, a matrix is no covariance, or no linear map leads from the first to
        the second: A is singular in a direction that B needs.

    Examples
    --------
    >>> step = GaussianMap([0.0], [[1.0]], [3.0], [[4.0]])
    >>> step(torch.tensor([[1.0]], dtype=torch.float64)), step.cost
    (tensor([[5.]], dtype=torch.float64), tensor(10., dtype=torch.float64))
    """

    mean_a: Any
    cov_a: Any
    mean_b: Any
    cov_b: Any
    matrix: Tensor = field(init=False)

    def __post_init__(self) -> None:
        names = ("mean_a", "cov_a", "mean_b", "cov_b")
        ends = gaussian_pair(*(getattr(self, n) for n in names))
        self.__dict__.update(zip(names, ends, strict=True))
        a, b = ends[1], ends[3]
        m = bures_map(a, b)
        missed = float((m @ a @ m - b).detach().abs().max())
        if missed > 1e-9 * float(b.detach().abs().max()):
            msg = (
                "no map leads from a singular Gaussian to this one: its covariance is missed by "
                f"{missed:.3g}; cov_a must have the range of cov_b"
            )
            raise InvalidLawError(msg)
        self.__dict__["matrix"] = m

    @property
    def dim(self) -> int:
        """Dimension d."""
        return len(self.mean_a)

    @property
    def cost(self) -> Tensor:
        """W2^2, a 0-d tensor that can be differentiated in all four arguments."""
        return (self.mean_b - self.mean_a).square().sum() + bures_squared(self.cov_a, self.cov_b)

    def __call__(self, x: Tensor) -> Tensor:
        """T(x) for points x of shape (B, d)."""
        return self.mean_b + (points(x, self.mean_a) - self.mean_a) @ self.matrix

    def inverse(self) -> GaussianMap:
        """The optimal map back; cov_b must have the range of cov_a."""
        return GaussianMap(self.mean_b, self.cov_b, self.mean_a, self.cov_a)

    def law(self, u: float) -> tuple[Tensor, Tensor]:
        """Mean (d,) and covariance (d, d) at u in [0, 1]."""
        g = self._gain(u)
        return torch.lerp(self.mean_a, self.mean_b, float(u)), g @ self.cov_a @ g

    def velocity(self, x: Tensor, u: float) -> Tensor:
        """``v_u(x)`` for points x of shape (B, d); where the law is singular, for x in its range.

        At u = 1 with singular B there is no velocity off the range of B; there it is that of the
        nearest point of the range.
        """
        mean, _ = self.law(u)
        away = points(x, self.mean_a) - mean
        back = torch.linalg.pinv(self._gain(u), hermitian=True)
        return self.mean_b - self.mean_a + away @ back @ (self.matrix - self._eye())

    def _gain(self, u: float) -> Tensor:
        if not 0.0 <= u <= 1.0:
            msg = f"the time u of a displacement must be in [0, 1], got {u}"
            raise InvalidLawError(msg)
        return (1.0 - u) * self._eye() + u * self.matrix

    def _eye(self) -> Tensor:
        return torch.eye(self.dim, dtype=self.mean_a.dtype)
