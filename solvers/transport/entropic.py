r"""Entropic optimal transport between Gaussians in closed form.

The plan minimises ``E |x - y|^2 + epsilon KL(plan | rho_a x rho_b)``. It is Gaussian; with
``s = epsilon/2`` (the variance of the Brownian motion whose static bridge it is),
``A^{1/2} B A^{1/2} = U diag(n^2) U^T`` and ``d = (4 n^2 + s^2)^{1/2}``::

    Cov(x, y) = 2 A^{1/2} U diag(1/(d + s)) U^T A^{1/2} B
    cost      = |m_b - m_a|^2 + tr A + tr B - 4 sum n^2/(d + s) + s sum log((d + s)/(2 s))
    rho       = 2 n/(d + s)                        the canonical correlations of x and y

No inverse occurs, so singular covariances are laws too, and nothing cancels for small or large
epsilon. Janati, Muzellec, Peyre & Cuturi 2020, arXiv:2006.02572, Theorem 1, in another form.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..errors import InvalidLawError
from ..parameters import points
from .bures import inner_roots, roots
from .gaussian import gaussian_pair


class _Cost(torch.autograd.Function):
    """The covariance part of the cost; its gradient in A is ``I - R_a``, R_a regressing y on x.

    At the optimum the dual potentials are the derivatives in the two laws, and the quadratic part
    of the first is ``x^T (I - R_a) x``.
    """

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, s: float) -> Tensor:
        forth, n = _regression(a, b, s)
        ctx.save_for_backward(forth, _regression(b, a, s)[0])
        d = torch.hypot(2 * n, torch.full_like(n, s))
        gain = 4 * (n * n / (d + s)).sum()
        return torch.trace(a) + torch.trace(b) - gain + s * ((d + s) / (2 * s)).log().sum()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        forth, back = ctx.saved_tensors
        eye = torch.eye(len(forth), dtype=forth.dtype)
        return grads[0] * (eye - forth), grads[0] * (eye - back), None


def _regression(a: Tensor, b: Tensor, s: float) -> tuple[Tensor, Tensor]:
    """The symmetric matrix R with ``E[y | x] = m_b + R (x - m_a)``, and the roots n."""
    root, inverse = roots(a)
    n, u = inner_roots(root, b)
    d = torch.hypot(2 * n, torch.full_like(n, s))
    return inverse @ (u * (2 * n * n / (d + s))) @ u.mT @ inverse, n


@dataclass(frozen=True, eq=False)
class EntropicGaussian:
    r"""The plan between N(m_a, A) and N(m_b, B) of least ``E |x - y|^2 + epsilon KL``.

    The formulae are those of the module. For ``epsilon -> 0`` the plan becomes the optimal map,
    for ``epsilon -> inf`` the independent coupling.

    Not to be confused with other scalings: for the cost ``|x - y|^2/2`` the same plan belongs to
    epsilon/2, and with KL against the Lebesgue measure the cost differs by a constant.

    Parameters
    ----------
    mean_a, cov_a, mean_b, cov_b
        Means (d,), covariances (d, d).
    epsilon : float
        Weight of the entropy, in units of the squared distance.

    Attributes
    ----------
    cross : Tensor
        ``Cov(x, y)``, shape (d, d).
    correlations : Tensor
        Canonical correlations of x and y, shape (d,), largest first.

    Raises
    ------
    InvalidLawError
        If dimensions differ, a matrix is no covariance, or epsilon is not positive and finite.

    Examples
    --------
    >>> plan = EntropicGaussian([0.0], [[1.0]], [0.0], [[1.0]], epsilon=2.0)
    >>> round(float(plan.cross[0, 0]), 12)  # the golden ratio less 1
    0.61803398875
    """

    mean_a: Any
    cov_a: Any
    mean_b: Any
    cov_b: Any
    epsilon: float
    cross: Tensor = field(init=False)
    correlations: Tensor = field(init=False)

    def __post_init__(self) -> None:
        if not 0.0 < self.epsilon < float("inf"):
            msg = f"epsilon must be positive and finite, got {self.epsilon}"
            raise InvalidLawError(msg)
        names = ("mean_a", "cov_a", "mean_b", "cov_b")
        ends = gaussian_pair(*(getattr(self, n) for n in names))
        self.__dict__.update(zip(names, ends, strict=True))
        a, b, s = ends[1].detach(), ends[3].detach(), self.epsilon / 2
        root, _ = roots(a)
        n, u = inner_roots(root, b)
        d = torch.hypot(2 * n, torch.full_like(n, s))
        cross = 2 * root @ (u / (d + s)) @ u.mT @ root @ b
        self.__dict__.update(cross=cross, correlations=2 * n / (d + s))

    @property
    def cost(self) -> Tensor:
        """Transport and entropy together; can be differentiated in the four parameters."""
        shift = (self.mean_b - self.mean_a).square().sum()
        return shift + _Cost.apply(self.cov_a, self.cov_b, self.epsilon / 2)

    @property
    def transport(self) -> Tensor:
        """``E |x - y|^2`` under the plan, without the entropy."""
        spread = torch.trace(self.cov_a) + torch.trace(self.cov_b) - 2 * torch.trace(self.cross)
        return (self.mean_b - self.mean_a).square().sum() + spread

    def barycentric(self, x: Tensor) -> Tensor:
        """``E[y | x]`` for points x of shape (B, d), in the range of A where A is singular."""
        matrix, _ = _regression(self.cov_a, self.cov_b, self.epsilon / 2)
        return self.mean_b + (points(x, self.mean_a) - self.mean_a) @ matrix

    def joint(self) -> tuple[Tensor, Tensor]:
        """Mean (2d,) and covariance (2d, 2d) of (x, y)."""
        top = torch.cat([self.cov_a, self.cross], 1)
        bottom = torch.cat([self.cross.mT, self.cov_b], 1)
        return torch.cat([self.mean_a, self.mean_b]), torch.cat([top, bottom])

    def sinkhorn_rates(self) -> tuple[float, float]:
        """Factors by which a full sweep of Sinkhorn shrinks errors of means and of covariances.

        They are ``rho^2`` and ``rho^4`` with rho the largest canonical correlation: what the
        number of iterations of any Sinkhorn solver on Gaussians must show.
        """
        rho = float(self.correlations.max())
        return rho**2, rho**4
