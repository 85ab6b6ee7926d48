"""Products of one-dimensional mixtures under a rotation: nonlinear, with an exact flow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from ..solvers.errors import InvalidLawError
from .checks import Coefficient, Level, coefficients, deeper, level, moved, orthogonal, parameter
from .checks import points as checked_points
from .draws import normals, uniforms
from .gaussian import LOG_2PI
from .quantile import Components, QuantileMap

_Parts = tuple[Coefficient, Tensor, Tensor, Tensor]


@dataclass(frozen=True, eq=False)
class ProductMixture:
    r"""``x_0 = R y`` with independent coordinates ``y_i ~ sum_j w_ij N(m_ij, s_ij^2)``.

    The level-t law keeps the form, with means ``alpha m`` and variances ``alpha^2 s^2 +
    sigma^2``, and the probability-flow ODE acts on each coordinate of ``R^T x`` alone, keeping its
    distribution function: ``y_end = F_end^{-1}(F_start(y_start))``. So the flow is exact although
    the denoiser is not linear: the law on which orders are measured. Logarithms of masses keep
    the map accurate in tails and in gaps between modes (``quantile.py``).

    Parameters
    ----------
    weights, means, stds : Tensor
        w, m, s, each (d, J): J components in each coordinate, w positive with rows summing to 1,
        s positive.
    rotation : Tensor, optional
        R, orthogonal (d, d); the identity by default.

    Raises
    ------
    InvalidLawError
        If shapes, weights, stds or the rotation define no law.

    Examples
    --------
    >>> import torch
    >>> halves, modes = torch.tensor([[0.5, 0.5]]), torch.tensor([[-1.0, 1.0]])
    >>> law = ProductMixture(halves, modes, torch.tensor([[0.1, 0.1]])).to(dtype=torch.float64)
    >>> noise = torch.tensor([[-1.0], [1.0]], dtype=torch.float64)
    >>> [round(float(y), 4) for y in law.flow(noise, (0.0, 1.0), (1.0, 0.0))]
    [-1.0475, 1.0475]
    """

    weights: Tensor
    means: Tensor
    stds: Tensor
    rotation: Tensor | None = None
    mean: Tensor = field(init=False)
    _turn: Tensor = field(init=False, repr=False)  # R, never None
    _log_w: Tensor = field(init=False, repr=False)

    name: ClassVar[str] = "product of mixtures"
    exactness: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            "sample": "exact to rounding",
            "log_density": "closed form",
            "score": "closed form",
            "denoiser": "closed form",
            "hessian": "closed form",
            "flow": "quantiles, 1e-13 times its condition number",
        }
    )

    def __post_init__(self) -> None:
        means = parameter(self.means, "means", (None, None))
        w = parameter(self.weights, "weights", tuple(means.shape)).to(means)
        stds = parameter(self.stds, "stds", tuple(means.shape)).to(means)
        off = float((w.sum(1, dtype=torch.float64) - 1.0).abs().max())
        if off > (1e-10 if w.dtype == torch.float64 else 1e-6) or not bool((w > 0).all()):
            sums = w.sum(1).tolist()
            msg = f"weights must be positive with rows summing to 1, got {w.tolist()}, sums {sums}"
            raise InvalidLawError(msg)
        if not bool((stds > 0).all()):
            msg = f"stds must be positive, got {float(stds.min())}"
            raise InvalidLawError(msg)
        given = (
            torch.eye(len(means), dtype=means.dtype) if self.rotation is None else self.rotation
        )
        turn = orthogonal(given, "rotation", len(means))
        turn = turn.to(means)
        self.__dict__.update(weights=w, means=means, stds=stds, rotation=turn)
        self.__dict__.update(_turn=turn, _log_w=w.log(), mean=turn @ (w * means).sum(1))

    @property
    def dim(self) -> int:
        """Dimension d."""
        return self.means.shape[0]

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the law."""
        return self.means.dtype

    @property
    def device(self) -> torch.device:
        """Device of the law."""
        return self.means.device

    @property
    def cov(self) -> Tensor:
        """Covariance, (d, d)."""
        centre = (self.weights * self.means).sum(1, keepdim=True)
        var = (self.weights * (self.stds.square() + (self.means - centre).square())).sum(1)
        return (self._turn * var) @ self._turn.mT

    def to(self, device: Any = None, dtype: torch.dtype | None = None) -> Self:
        """The same law on another device or in another dtype."""
        return moved(self, device, dtype)

    def sample(self, n: int, *, seed: int, first: int = 0) -> Tensor:
        """``R y``, (n, d); each sample a function of (seed, index) only."""
        u = torch.from_numpy(uniforms(n, self.dim, seed=seed, label="component", first=first))
        z = torch.from_numpy(normals(n, self.dim, seed=seed, label="data", first=first))
        edges = self.weights.to("cpu", torch.float64).cumsum(1)[:, :-1]
        which = (u[..., None] > edges).sum(-1).to(self.device)
        row = torch.arange(self.dim, device=self.device)
        y = self.means[row, which] + self.stds[row, which] * z.to(self.means)
        return y @ self._turn.mT

    def _parts(self, x: Tensor, alpha: Coefficient, sigma: Coefficient) -> _Parts:
        """``alpha, r = y - alpha m, var`` (B, d, J), logits of components."""
        checked_points(x, self._turn)
        a, s = coefficients(alpha, sigma, x)
        a, s = deeper(a), deeper(s)
        var = (a * self.stds).square() + s * s
        r = (x @ self._turn)[..., None] - a * self.means
        logits = self._log_w - 0.5 * (r * r / var + var.log())
        return a, r, var, logits

    def _weighed(self, x: Tensor, alpha: Coefficient, sigma: Coefficient) -> _Parts:
        """As :meth:`_parts`, with responsibilities (B, d, J) in the place of logits."""
        a, r, var, logits = self._parts(x, alpha, sigma)
        return a, r, var, logits.softmax(-1)

    def log_density(self, x: Tensor, alpha: Coefficient = 1.0, sigma: Coefficient = 0.0) -> Tensor:
        """``log p_t(x)``, (B,)."""
        return self._parts(x, alpha, sigma)[-1].logsumexp(-1).sum(-1) - 0.5 * self.dim * LOG_2PI

    def score(self, x: Tensor, alpha: Coefficient, sigma: Coefficient) -> Tensor:
        """``R`` times the scores of the coordinates, (B, d)."""
        _, r, var, g = self._weighed(x, alpha, sigma)
        return -(g * r / var).sum(-1) @ self._turn.mT

    def denoiser(self, x: Tensor, alpha: Coefficient, sigma: Coefficient) -> Tensor:
        """``R`` times the denoisers of the coordinates, (B, d)."""
        a, r, var, g = self._weighed(x, alpha, sigma)
        return (g * (self.means + a * self.stds.square() / var * r)).sum(-1) @ self._turn.mT

    def denoiser_jvp(self, x: Tensor, v: Tensor, alpha: Coefficient, sigma: Coefficient) -> Tensor:
        """``(dD/dx) v``, (B, d): diagonal in the rotated coordinates."""
        checked_points(v, self._turn, "v")
        a, r, var, g = self._weighed(x, alpha, sigma)
        gain = a * self.stds.square() / var
        slope = -r / var
        slope = slope - (g * slope).sum(-1, keepdim=True)
        centre = (g * self.means).sum(-1, keepdim=True)
        rate = (g * (gain + (self.means - centre + gain * r) * slope)).sum(-1)
        return (v @ self._turn * rate) @ self._turn.mT

    def hessian(self, x: Tensor, alpha: Coefficient, sigma: Coefficient) -> Tensor:
        """Second derivatives of ``log p_t``, (B, d, d)."""
        _, r, var, g = self._weighed(x, alpha, sigma)
        s = -r / var
        s = s - (g * s).sum(-1, keepdim=True)
        rate = (g * (s * s - 1.0 / var)).sum(-1)
        return (self._turn * rate[:, None, :]) @ self._turn.mT

    def _components(self, alpha: float, sigma: float) -> Components:
        width = ((alpha * self.stds).square() + sigma**2).sqrt()
        return Components(self._log_w, alpha * self.means, width)

    def flow(self, x: Tensor, start: Level, end: Level) -> Tensor:
        """Exact probability-flow ODE by quantiles, (B, d); differentiable to any order.

        The first guess is one straight step of the ODE; the answer does not depend on it.
        """
        (alpha, sigma), (alpha_end, sigma_end) = level(start, "start"), level(end, "end")
        a, r, var, g = self._weighed(x, alpha, sigma)
        data = (g * (self.means + a * self.stds.square() / var * r)).sum(-1)
        noise = sigma * (g * r / var).sum(-1)
        first, last = self._components(alpha, sigma), self._components(alpha_end, sigma_end)
        guess = (alpha_end * data + sigma_end * noise).detach()
        y: Tensor = QuantileMap.apply(x @ self._turn, guess, first, last)  # pyright: ignore
        return y @ self._turn.mT
