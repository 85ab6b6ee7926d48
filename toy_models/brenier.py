"""Optimal maps that are known by design: gradients of convex functions, and radial maps.

Whatever law x has, ``T = grad phi`` with phi convex is the optimal map from it to the law of T(x),
for the cost ``|x - y|^2`` (Brenier 1991): an exact truth in any dimension, and for any finite
sample too, since a subset of the graph of a convex gradient is cyclically monotone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from scipy.integrate import quad
from torch import Tensor

from ..solvers.errors import InvalidLawError
from .checks import parameter, points


@dataclass(frozen=True, eq=False)
class DesignedMap:
    r"""``T = grad phi``, ``phi(x) = ridge/2 |x|^2 + sum_k log cosh(w_k . x)``.

    ``T(x) = ridge x + sum_k w_k tanh(w_k . x)``, of Jacobian
    ``ridge I + sum_k w_k w_k^T / cosh(w_k . x)^2``, symmetric and at least ridge.

    Parameters
    ----------
    directions : Tensor
        w, shape (K, d).
    ridge : float
        Strong convexity of phi, positive; 0.6 makes ``phi = .3 |x|^2 + ...``.

    Raises
    ------
    InvalidLawError
        If the directions are not finite or the ridge is not positive.
    """

    directions: Any
    ridge: float = 0.6

    def __post_init__(self) -> None:
        self.__dict__["directions"] = parameter(self.directions, "directions", (None, None))
        if not 0 < self.ridge < math.inf:
            msg = f"ridge must be positive and finite, got {self.ridge}"
            raise InvalidLawError(msg)

    def potential(self, x: Tensor) -> Tensor:
        """phi(x), (B,); ``log cosh a = |a| + log1p(e^{-2|a|}) - log 2`` never overflows."""
        a = (points(x, self.directions) @ self.directions.mT).abs()
        cosh = a + torch.log1p(torch.exp(-2 * a)) - math.log(2.0)
        return 0.5 * self.ridge * x.square().sum(1) + cosh.sum(1)

    def __call__(self, x: Tensor) -> Tensor:
        """T(x), (B, d)."""
        a = points(x, self.directions) @ self.directions.mT
        return self.ridge * x + a.tanh() @ self.directions

    def jacobian(self, x: Tensor) -> Tensor:
        """dT/dx, (B, d, d)."""
        w = self.directions
        bend = (points(x, w) @ w.mT).cosh().square().reciprocal()
        eye = torch.eye(w.shape[1], dtype=w.dtype, device=w.device)
        return self.ridge * eye + torch.einsum("bk,ki,kj->bij", bend, w, w)

    def inverse(self, y: Tensor, *, tolerance: float = 1e-13) -> Tensor:
        """The point x with T(x) = y, (B, d): Newton's method on ``phi(x) - x.y``, halved steps.

        Raises
        ------
        InvalidLawError
            If it does not come within the tolerance of y in 100 steps.
        """
        x = points(y, self.directions, "y") / self.ridge
        scale = 1.0 + y.abs().amax(1)
        miss = self(x) - y
        for _ in range(100):
            size = miss.norm(dim=1)
            if bool((size <= tolerance * scale).all()):
                return x
            step = torch.linalg.solve(self.jacobian(x), miss)
            length = torch.ones_like(size)
            for _ in range(30):
                tried = self(x - length[:, None] * step) - y
                worse = tried.norm(dim=1) > (1 - 0.25 * length) * size
                if not bool(worse.any()):
                    break
                length = torch.where(worse, 0.5 * length, length)
            x = x - length[:, None] * step
            miss = self(x) - y
        worst = float((miss.norm(dim=1) / scale).max())
        msg = f"the inverse map missed its point by {worst:.2g}, which is more than {tolerance}"
        raise InvalidLawError(msg)


@dataclass(frozen=True, eq=False)
class RadialMap:
    r"""The optimal map from N(0, I_2) to the uniform law on a disc of a radius R.

    ``T(x) = (x/r) R sqrt(1 - e^{-r^2/2})``, r = |x|: both laws are radial, and radii go by
    quantiles. ``W2^2 = 2 + R^2/2 - 2 R E[r sqrt(1 - e^{-r^2/2})]``.
    """

    radius: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.radius < math.inf:
            msg = f"radius must be positive and finite, got {self.radius}"
            raise InvalidLawError(msg)

    def __call__(self, x: Tensor) -> Tensor:
        """T(x) for x (B, 2); T(0) = 0."""
        points(x, x.new_zeros(2))
        half = 0.5 * x.square().sum(1, keepdim=True)
        small = half == 0
        safe = torch.where(small, torch.ones_like(half), half)
        gain = (-torch.expm1(-safe) / (2 * safe)).sqrt()
        return self.radius * torch.where(small, gain.new_tensor(0.5).sqrt(), gain) * x

    @property
    def cost(self) -> float:
        """W2^2."""
        shared = quad(
            lambda r: r * r * math.exp(-0.5 * r * r) * math.sqrt(-math.expm1(-0.5 * r * r)), 0, 12,
            epsabs=1e-14, epsrel=1e-13,
        )[0]  # fmt: skip
        return 2.0 + 0.5 * self.radius**2 - 2.0 * self.radius * shared


def uniform_to_gaussian_cost(mean: float, std: float) -> float:
    """W2^2 from U(0, 1) to N(m, s^2): ``1/3 - m + m^2 + s^2 - s/sqrt(pi)``."""
    return 1 / 3 - mean + mean**2 + std**2 - std / math.sqrt(math.pi)


def exponential_to_uniform_cost() -> float:
    """W2^2 from the exponential law of rate 1 to U(0, 1): ``2 + 1/3 - 2 * 3/4 = 5/6``."""
    return 5 / 6


def gaussians_first_cost(std: float) -> float:
    """W1 between N(0, 1) and N(0, s^2): ``|s - 1| sqrt(2/pi)``."""
    return abs(std - 1) * math.sqrt(2 / math.pi)


def ring_cost(count: int, radius: float) -> float:
    """W2^2 from N(0, I_2) to equal atoms on a circle: its cells are equal sectors, psi = 0.

    ``2 + a^2 - 2 a sqrt(pi/2) (k/pi) sin(pi/k)``, for k >= 2 atoms at radius a.
    """
    shared = math.sqrt(math.pi / 2) * (count / math.pi) * math.sin(math.pi / count)
    return 2 + radius**2 - 2 * radius * shared


def two_atoms(radius: float, weight: float, dim: int) -> tuple[float, float]:
    """N(0, I_d) to atoms at +a e_1 of a weight and -a e_1 of the rest: W2^2, and psi_+ - psi_-.

    The cells are half-spaces cut at ``z = Phi^{-1}(1 - w)``: ``W2^2 = d + a^2 - 4 a phi(z)``, and
    ``psi_+ - psi_- = -4 a z``.
    """
    z = math.sqrt(2.0) * float(torch.erfinv(torch.tensor(1 - 2 * weight, dtype=torch.float64)))
    density = math.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
    return dim + radius**2 - 4 * radius * density, -4 * radius * z
