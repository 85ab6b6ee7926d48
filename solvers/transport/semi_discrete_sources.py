"""Continuous laws that a semi-discrete map can start from.

Each says its name, mean, second moment and how to draw from it; on a line also its distribution
function, quantiles and the first moment below a point, from which everything else is exact.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from ..errors import InvalidLawError
from ..parameters import parameter
from ..parameters import weights as checked_weights

Array = NDArray[np.float64]
_HALVINGS = 200


class Source:
    """A continuous law on R^d; a source of one's own is a :class:`Sampled`."""

    name: ClassVar[str] = "source"
    mean: Array

    @property
    def dim(self) -> int:
        """Dimension d."""
        return len(self.mean)

    @property
    def second_moment(self) -> float:
        """``E |x|^2``."""
        raise NotImplementedError

    def draw(self, n: int, seed: int) -> Array:
        """Independent samples, (n, d)."""
        raise NotImplementedError

    def same(self, other: object) -> bool:
        """Whether the other is the same law, by its parameters."""
        if type(other) is not type(self):
            return False
        both = zip(vars(self).values(), vars(other).values(), strict=True)
        return all(np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b for a, b in both)


def _array(value: Any, name: str, shape: tuple[int | None, ...]) -> Array:
    return parameter(torch.as_tensor(value, dtype=torch.float64), name, shape).numpy()


@dataclass(frozen=True, eq=False)
class Box(Source):
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
    def mean(self) -> Array:  # type: ignore[override]
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
class Normals(Source):
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
    def mean(self) -> Array:  # type: ignore[override]
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
class Sampled(Source):
    """Any law that can be drawn from: ``sample(n, seed)`` gives points (n, d).

    Mean and second moment are those of 4096 draws. Two of them are the same law only if they draw
    by the same function.

    Raises
    ------
    InvalidLawError
        If the function does not give finite points of shape (n, dim).
    """

    sample: Callable[[int, int], Any]
    size: int
    mean: Array = field(init=False, repr=False)
    moment: float = field(init=False, repr=False)
    name: ClassVar[str] = "law with a sampler"

    def __post_init__(self) -> None:
        x = self.draw(4096, 0)
        self.__dict__.update(mean=x.mean(0), moment=float((x * x).sum(1).mean()))

    @property
    def second_moment(self) -> float:
        """``E |x|^2`` of 4096 draws."""
        return self.moment

    def draw(self, n: int, seed: int) -> Array:
        """Independent samples, (n, d)."""
        return _array(self.sample(n, seed), "the samples of the source", (n, self.size))
