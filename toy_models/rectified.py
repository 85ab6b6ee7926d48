"""Rectified models: exact denoisers of deterministic couplings of noise and data.

Retraining on pairs ``(eps, T(eps))`` (reflow; Rectified Diffusion) makes the network learn ``eps``
from ``x_t = alpha T(eps) + sigma eps``. If that map is injective at every level, the answer is
not an average: the noise prediction is constant along each path, and one step of DDIM from any
level to any other is exact, on *any* schedule. Injective are

* ``T = A``, a matrix without negative real eigenvalue; symmetric positive ones among them;
* gradients of convex functions, so that monotone maps in one dimension are;
* the quantile map of a product law, which is what its own probability-flow ODE does to noise.

Wang et al. 2025, arXiv:2410.07303; Liu et al. 2022, arXiv:2209.03003. That a path is *straight*
is another thing, of the schedule as well: see ``analysis/straightness.py``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, Self

import torch
from torch import Tensor

from ..solvers.errors import InvalidLawError, NonFiniteError
from .checks import Coefficient, coefficients, deeper, moved, parameter, points
from .product import ProductMixture

NOISE, DATA = (0.0, 1.0), (1.0, 0.0)  # levels (alpha, sigma)


class Coupling(Protocol):
    """Data as a function of noise, and the noise that a state between them contains."""

    @property
    def like(self) -> Tensor:
        """A (…, d) tensor of the coupling's dtype and device."""
        ...

    def transport(self, eps: Tensor) -> Tensor:
        """``T(eps)``, (B, d)."""
        ...

    def noise(self, x: Tensor, alpha: Coefficient, sigma: Coefficient) -> Tensor:
        """The eps with ``alpha T(eps) + sigma eps = x``, (B, d); coefficients as in checks."""
        ...

    def to(self, device: Any = None, dtype: torch.dtype | None = None) -> Self:
        """The same coupling elsewhere."""
        ...


@dataclass(frozen=True, eq=False)
class Rectified:
    """The exact denoiser of a coupling: ``D = T(eps(x))``, for ``exact_model`` on any process.

    Parameters
    ----------
    coupling : Coupling
        One of the three below.
    """

    coupling: Coupling

    name: ClassVar[str] = "rectified"

    @property
    def dim(self) -> int:
        """Dimension d."""
        return self.coupling.like.shape[-1]

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the coupling."""
        return self.coupling.like.dtype

    @property
    def device(self) -> torch.device:
        """Device of the coupling."""
        return self.coupling.like.device

    def to(self, device: Any = None, dtype: torch.dtype | None = None) -> Rectified:
        """The same law on another device or in another dtype."""
        return Rectified(self.coupling.to(device, dtype))

    def noise(self, x: Tensor, alpha: Coefficient, sigma: Coefficient) -> Tensor:
        """The noise that x contains, (B, d)."""
        points(x, self.coupling.like)
        return self.coupling.noise(x, *coefficients(alpha, sigma, x))

    def denoiser(self, x: Tensor, alpha: Coefficient, sigma: Coefficient) -> Tensor:
        """The one data point whose path goes through x, (B, d)."""
        return self.coupling.transport(self.noise(x, alpha, sigma))

    def score(self, x: Tensor, alpha: Coefficient, sigma: Coefficient) -> Tensor:
        """``-eps/sigma``, (B, d): the field of the paths, the gradient of no density."""
        eps = self.noise(x, alpha, sigma)
        _, s = coefficients(alpha, sigma, x, zero_sigma=False)
        return -eps / s


@dataclass(frozen=True, eq=False)
class LinearCoupling:
    """``T(eps) = A eps + m``; the noise is ``(alpha A + sigma I)^{-1} (x - alpha m)``.

    Paths do not cross, whatever the schedule, iff A has no negative real eigenvalue: symmetric
    positive matrices, but rotations other than half turns as well.

    Raises
    ------
    InvalidLawError
        If A has a negative real eigenvalue, to rounding: two paths would cross.
    """

    matrix: Tensor
    shift: Tensor

    def __post_init__(self) -> None:
        shift = parameter(self.shift, "shift", (None,))
        matrix = parameter(self.matrix, "matrix", (len(shift), len(shift))).to(shift)
        values = torch.linalg.eigvals(matrix.to(torch.float64))
        slack = 1e-12 * float(values.abs().max())
        bad = (values.imag.abs() <= slack) & (values.real < -slack)
        if bool(bad.any()):
            low = float(values.real[bad].min())
            msg = f"paths of a linear coupling cross at a negative real eigenvalue, got {low}"
            raise InvalidLawError(msg)
        self.__dict__.update(matrix=matrix, shift=shift)

    @property
    def like(self) -> Tensor:
        """The shift."""
        return self.shift

    def transport(self, eps: Tensor) -> Tensor:
        """``A eps + m``."""
        return eps @ self.matrix.mT + self.shift

    def noise(self, x: Tensor, alpha: Coefficient, sigma: Coefficient) -> Tensor:
        """Solve the linear system of each level."""
        eye = torch.eye(len(self.shift), dtype=x.dtype, device=x.device)
        system = deeper(alpha) * self.matrix + deeper(sigma) * eye
        return torch.linalg.solve(system, (x - alpha * self.shift)[..., None])[..., 0]

    def to(self, device: Any = None, dtype: torch.dtype | None = None) -> Self:
        """The same coupling elsewhere."""
        return moved(self, device, dtype)


@dataclass(frozen=True, eq=False)
class PotentialCoupling:
    """``T(z) = c z + sum_k w_k a_k tanh(a_k.z + b_k)``: the gradient of a convex function.

    The function is ``c |z|^2/2 + sum_k w_k log cosh(a_k.z + b_k)``, c and w_k not negative. With d
    = 1 it is a monotone map of the line with a step at each ``-b_k/a_k``. The noise is found by
    Newton's method with halved steps, to rounding.

    Parameters
    ----------
    directions, offsets, gains : Tensor
        a (K, d), b (K,), w (K,).
    scale : float
        c, positive.

    Raises
    ------
    InvalidLawError
        For shapes that do not fit, a negative gain or a scale that is not positive.
    """

    directions: Tensor
    offsets: Tensor
    gains: Tensor
    scale: float = 0.1

    def __post_init__(self) -> None:
        a = parameter(self.directions, "directions", (None, None))
        b = parameter(self.offsets, "offsets", (len(a),)).to(a)
        w = parameter(self.gains, "gains", (len(a),)).to(a)
        if bool((w < 0).any()) or not 0 < self.scale < math.inf:
            low = float(w.min())
            msg = f"gains must not be negative and scale must be positive, got {low}, {self.scale}"
            raise InvalidLawError(msg)
        self.__dict__.update(directions=a, offsets=b, gains=w)

    @property
    def like(self) -> Tensor:
        """The directions."""
        return self.directions

    def transport(self, eps: Tensor) -> Tensor:
        """Gradient of the convex function."""
        bent = self.gains * torch.tanh(eps @ self.directions.mT + self.offsets)
        return self.scale * eps + bent @ self.directions

    def _jacobian(self, eps: Tensor) -> Tensor:
        slope = self.gains / torch.cosh(eps @ self.directions.mT + self.offsets).square()
        eye = torch.eye(eps.shape[1], dtype=eps.dtype, device=eps.device)
        return self.scale * eye + (self.directions.mT * slope[:, None, :]) @ self.directions

    def noise(self, x: Tensor, alpha: Coefficient, sigma: Coefficient) -> Tensor:
        """Root of ``alpha T(z) + sigma z - x``."""
        eye = torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
        a, s = deeper(alpha), deeper(sigma)

        def residual(z: Tensor) -> Tensor:
            return alpha * self.transport(z) + sigma * z - x

        def newton(z: Tensor, r: Tensor) -> Tensor:
            return torch.linalg.solve(a * self._jacobian(z) + s * eye, r[..., None])[..., 0]

        return _root(residual, newton, torch.zeros_like(x))

    def to(self, device: Any = None, dtype: torch.dtype | None = None) -> Self:
        """The same coupling elsewhere."""
        return moved(self, device, dtype)


def _root(
    residual: Callable[[Tensor], Tensor], newton: Callable[[Tensor, Tensor], Tensor], z: Tensor
) -> Tensor:
    """Newton's method for a monotone field; the step of a row is halved until it helps."""
    r = residual(z)
    for _ in range(200):
        step, size = newton(z, r), r.square().sum(1, keepdim=True)
        new = z - step
        trial = residual(new)
        for _ in range(40):
            worse = trial.square().sum(1, keepdim=True) > size
            if not bool(worse.any()):
                break
            step = torch.where(worse, 0.5 * step, step)
            new = z - step
            trial = residual(new)
        better = trial.square().sum(1, keepdim=True) < size
        if not bool(better.any()):
            return z
        z, r = torch.where(better, new, z), torch.where(better, trial, r)
    msg = f"no root after 200 Newton steps, residual {float(r.abs().max())}"
    raise NonFiniteError(msg)


@dataclass(frozen=True, eq=False)
class FlowCoupling:
    """Noise and what the exact flow of a product law makes of it: its pairs after one reflow.

    T is monotone in each rotated coordinate (it keeps the distribution function), so it is the
    same for every schedule. The noise is found by Newton's steps that halve, else by bisection.
    """

    law: ProductMixture
    turn: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        rotation = self.law.rotation
        eye = torch.eye(self.law.dim, dtype=self.law.dtype, device=self.law.device)
        self.__dict__.update(turn=eye if rotation is None else rotation)

    @property
    def like(self) -> Tensor:
        """The rotation of the law."""
        return self.turn

    def transport(self, eps: Tensor) -> Tensor:
        """The flow of the law from pure noise to data."""
        return self.law.flow(eps, NOISE, DATA)

    def noise(self, x: Tensor, alpha: Coefficient, sigma: Coefficient) -> Tensor:
        """Root of an increasing function in each rotated coordinate."""
        goal, width = x @ self.turn, 38.0  # standard deviations: beyond them doubles hold nothing
        low, high = torch.full_like(goal, -width), torch.full_like(goal, width)
        z, last = torch.zeros_like(goal), high
        for _ in range(200):
            data = self.transport(z @ self.turn.mT)
            gap = alpha * (data @ self.turn) + sigma * z - goal
            low, high = torch.where(gap < 0, z, low), torch.where(gap < 0, high, z)
            step = gap / (alpha * self._slope(z, data) + sigma)
            # where T is flat a step is rounding over sigma: then it is the gap that tells
            settled = step.abs() <= 1e-14 * (1.0 + z.abs())
            settled |= gap.abs() <= 1e-14 * (1.0 + goal.abs())
            good = (z - step > low) & (z - step < high) & (step.abs() <= 0.5 * last.abs())
            last = torch.where(good | settled, -step, 0.5 * (low + high) - z)
            z = z + last
            if bool(settled.all()):
                return z @ self.turn.mT
        msg = f"no root after 200 steps, the last of size {float((high - low).max())}"
        raise NonFiniteError(msg)

    def _slope(self, z: Tensor, data: Tensor) -> Tensor:
        """``dT/dz``: the density of noise over that of the data, in rotated coordinates."""
        log_noise = -0.5 * (z * z + math.log(2.0 * math.pi))
        y = (data @ self.turn)[..., None]
        w, m, s = self.law.weights, self.law.means, self.law.stds
        terms = (w / s).log() - 0.5 * ((y - m) / s).square() - 0.5 * math.log(2.0 * math.pi)
        return (log_noise - terms.logsumexp(-1)).exp()

    def to(self, device: Any = None, dtype: torch.dtype | None = None) -> FlowCoupling:
        """The same coupling elsewhere."""
        return FlowCoupling(self.law.to(device, dtype))
