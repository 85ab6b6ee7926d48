"""Continuous laws that a semi-discrete map can start from.

Each says its name, mean, second moment and how to draw from it; on a line also its distribution
function, quantiles and the first moment below a point, from which everything else is exact.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from ..errors import InvalidLawError
from ..parameters import parameter
from ..parameters import weights as checked_weights

Array = NDArray[np.float64]
_HALVINGS = 200
_DEEP = 8.2  # standard deviations; beyond, 1 - Phi is below rounding


class Source(Protocol):
    """A continuous law on R^d; a source of one's own is a :class:`Sampled`."""

    name: ClassVar[str]

    @property
    def dim(self) -> int:
        """Dimension d."""
        ...

    @property
    def mean(self) -> Array:
        """Mean, (d,)."""
        ...

    @property
    def second_moment(self) -> float:
        """``E |x|^2``."""
        ...

    def draw(self, n: int, seed: int) -> Array:
        """Independent samples, (n, d)."""
        ...


def same_law(a: Source, b: Source) -> bool:
    """Whether two sources are the same law, by their kind and parameters."""
    if type(a) is not type(b):
        return False
    both = zip(vars(a).values(), vars(b).values(), strict=True)
    return all(np.array_equal(x, y) if isinstance(x, np.ndarray) else x == y for x, y in both)


def _array(value: Any, name: str, shape: tuple[int | None, ...]) -> Array:
    return parameter(value, name, shape).to(torch.float64).numpy()


@dataclass(frozen=True, eq=False)
class Box:
    """The uniform law on the box ``low <= x <= high``; corners of shape (d,).

    Raises
    ------
    InvalidLawError
        If the corners are not finite, of different lengths, or low >= high somewhere.
    """

    low: Any
    high: Any
    name: ClassVar[str] = "uniform on a box"

    def __post_init__(self) -> None:
        low = _array(self.low, "low", (None,))
        high = _array(self.high, "high", (len(low),))
        if not bool((low < high).all()):
            at = int(np.argmax(low >= high))
            msg = f"low must be below high, got {low[at]} and {high[at]} at coordinate {at}"
            raise InvalidLawError(msg)
        self.__dict__.update(low=low, high=high)

    @property
    def dim(self) -> int:
        """Dimension d."""
        return len(self.low)

    @property
    def mean(self) -> Array:
        """Centre of the box."""
        return 0.5 * (self.low + self.high)

    @property
    def second_moment(self) -> float:
        """``|centre|^2 + sum width^2 / 12``."""
        return float((self.mean**2 + (self.high - self.low) ** 2 / 12).sum())

    def draw(self, n: int, seed: int) -> Array:
        """Independent samples, (n, d)."""
        return np.random.default_rng(seed).uniform(self.low, self.high, (n, self.dim))

    def cdf(self, x: Array) -> Array:
        """Distribution function, d = 1."""
        return np.clip((x - self.low[0]) / (self.high[0] - self.low[0]), 0.0, 1.0)

    def quantile(self, p: Array) -> Array:
        """Its inverse, d = 1."""
        return self.low[0] + p * (self.high[0] - self.low[0])

    def first(self, x: Array) -> Array:
        """``E[X; X <= x]``, d = 1."""
        x = np.clip(x, self.low[0], self.high[0])
        return 0.5 * (x * x - self.low[0] ** 2) / (self.high[0] - self.low[0])


@dataclass(frozen=True, eq=False)
class Normals:
    """A mixture of Gaussians ``sum_k w_k N(m_k, C_k)``: weights (K,), means (K, d), (K, d, d).

    Raises
    ------
    InvalidLawError
        If weights, means or covariances define no law, or a covariance is not positive definite.
    """

    weights: Any
    means: Any
    covs: Any
    roots: Array = field(init=False, repr=False)  # Cholesky factors
    name: ClassVar[str] = "mixture of Gaussians"

    def __post_init__(self) -> None:
        means = _array(self.means, "means", (None, None))
        count, dim = means.shape
        covs = _array(self.covs, "covs", (count, dim, dim))
        w = checked_weights(torch.as_tensor(self.weights, dtype=torch.float64), count).numpy()
        if float(np.abs(covs - covs.transpose(0, 2, 1)).max()) > 1e-12 * float(np.abs(covs).max()):
            msg = "covs must be symmetric, got a matrix that differs from its mirror"
            raise InvalidLawError(msg)
        try:
            roots = np.linalg.cholesky(covs)
        except np.linalg.LinAlgError:
            low = float(np.linalg.eigvalsh(covs).min())
            msg = f"covs must be positive definite, got an eigenvalue {low:.3g}"
            raise InvalidLawError(msg) from None
        self.__dict__.update(weights=w, means=means, covs=covs, roots=roots)

    @property
    def dim(self) -> int:
        """Dimension d."""
        return self.means.shape[1]

    @property
    def mean(self) -> Array:
        """Mean of the mixture."""
        return self.weights @ self.means

    @property
    def second_moment(self) -> float:
        """``sum_k w_k (|m_k|^2 + tr C_k)``."""
        traces = np.trace(self.covs, axis1=1, axis2=2)
        return float(self.weights @ ((self.means**2).sum(1) + traces))

    def draw(self, n: int, seed: int) -> Array:
        """Independent samples, (n, d)."""
        rng = np.random.default_rng(seed)
        which = rng.choice(len(self.weights), size=n, p=self.weights / self.weights.sum())
        z = rng.standard_normal((n, self.dim))
        return self.means[which] + np.einsum("nij,nj->ni", self.roots[which], z)

    def _standard(self, x: Array) -> Array:
        return (np.asarray(x)[..., None] - self.means[:, 0]) / self.roots[:, 0, 0]

    def cdf(self, x: Array) -> Array:
        """Distribution function, d = 1."""
        return ndtr(self._standard(x)) @ self.weights

    def quantile(self, p: Array) -> Array:
        """Its inverse, d = 1, by halving the bracket that the components' quantiles make."""
        p = np.asarray(p, dtype=np.float64)
        each = self.means[:, 0] + self.roots[:, 0, 0] * ndtri(p)[..., None]
        low, high = each.min(-1), each.max(-1)
        for _ in range(_HALVINGS):
            middle = 0.5 * (low + high)
            if bool(((middle == low) | (middle == high)).all()) or len(self.weights) == 1:
                break
            below = self.cdf(middle) < p
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return high

    def first(self, x: Array) -> Array:
        """``E[X; X <= x] = sum_k w_k (m_k Phi(z_k) - s_k phi(z_k))``, d = 1."""
        z = self._standard(x)
        density = np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi)
        return (self.means[:, 0] * ndtr(z) - self.roots[:, 0, 0] * density) @ self.weights


def normal(mean: Any, cov: Any) -> Normals:
    """The Gaussian N(mean, cov) as a source: shapes (d,) and (d, d)."""
    mean, cov = _array(mean, "mean", (None,)), _array(cov, "cov", (None, None))
    return Normals(np.ones(1), mean[None], cov[None])


def standard_normal(dim: int) -> Normals:
    """N(0, I) in dimension d."""
    return normal(np.zeros(dim), np.eye(dim))


@dataclass(frozen=True, eq=False)
class Sampled:
    """Any law that can be drawn from: ``sample(n, seed)`` gives points (n, d).

    Moments are those of 4096 draws. Two are the same law only if they draw by one function.

    Raises
    ------
    InvalidLawError
        If the function does not give finite points of shape (n, dim).
    """

    sample: Callable[[int, int], Any]
    dim: int
    mean: Array = field(init=False, repr=False)
    second_moment: float = field(init=False, repr=False)
    name: ClassVar[str] = "law with a sampler"

    def __post_init__(self) -> None:
        x = self.draw(4096, 0)
        self.__dict__.update(mean=x.mean(0), second_moment=float((x * x).sum(1).mean()))

    def draw(self, n: int, seed: int) -> Array:
        """Independent samples, (n, d)."""
        return _array(self.sample(n, seed), "the samples of the source", (n, self.dim))


@dataclass(frozen=True, eq=False)
class Line:
    """Any continuous law on a line, by its distribution function and quantiles (vectorised).

    Moments are integrals of quantiles ``int Q(Phi(z)) phi(z) dz``, by Gauss-Legendre panels, to
    about 1e-12 where Q is smooth. Two of them are the same law only if their functions are.

    Raises
    ------
    InvalidLawError
        If the two functions are not inverse to each other at nine levels.
    """

    distribution: Callable[[Array], Array]
    quantiles: Callable[[Array], Array]
    mean: Array = field(init=False, repr=False)
    second_moment: float = field(init=False, repr=False)
    name: ClassVar[str] = "law on a line"

    def __post_init__(self) -> None:
        p = np.arange(0.1, 0.95, 0.1)
        gap = float(np.abs(self.cdf(self.quantile(p)) - p).max())
        if not gap < 1e-8:
            msg = f"distribution and quantiles must be inverse to each other, they miss by {gap}"
            raise InvalidLawError(msg)
        z, w = _panels(np.array([-_DEEP]), np.array([_DEEP]))
        q = self.quantile(ndtr(z[0]))
        self.__dict__.update(mean=np.array([w[0] @ q]), second_moment=float(w[0] @ (q * q)))

    @property
    def dim(self) -> int:
        """Dimension 1."""
        return 1

    def draw(self, n: int, seed: int) -> Array:
        """Independent samples, (n, 1)."""
        return self.quantile(np.random.default_rng(seed).uniform(size=(n, 1)))

    def cdf(self, x: Array) -> Array:
        """Distribution function."""
        return np.asarray(self.distribution(np.asarray(x)), dtype=np.float64)

    def quantile(self, p: Array) -> Array:
        """Its inverse."""
        return np.asarray(self.quantiles(np.asarray(p)), dtype=np.float64)

    def first(self, x: Array) -> Array:
        """``E[X; X <= x]``."""
        top = np.clip(ndtri(self.cdf(x)), -_DEEP, _DEEP)
        z, w = _panels(np.full(top.shape, -_DEEP), top)
        return (w * self.quantile(ndtr(z))).sum(-1)


def _panels(low: Array, high: Array) -> tuple[Array, Array]:
    """Nodes z (..., 256) and weights ``phi(z) dz`` on [low, high], eight panels of 32."""
    x, w = np.polynomial.legendre.leggauss(32)
    edges = np.linspace(0.0, 1.0, 9)
    unit = (edges[:-1, None] + 0.125 * 0.5 * (x + 1)).ravel()
    z = low[..., None] + (high - low)[..., None] * unit
    share = np.tile(w * 0.5 * 0.125, 8) * (high - low)[..., None]
    return z, share * np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi)
