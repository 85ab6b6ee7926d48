"""The optimal map on a line: equal quantiles to equal quantiles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri
from torch import Tensor

from ..errors import InvalidLawError, NonFiniteError, ShapeError

Array = NDArray[np.float64]
Curve = Callable[[Array], Array]
_DEEP = 12.0  # standard deviations; phi there is 2e-32
_PANELS = 96


@dataclass(frozen=True, eq=False)
class LineLaw:
    """A continuous law on a line, by both tails, so that neither loses digits.

    Attributes
    ----------
    below, above : callable
        ``P(X <= x)`` and ``P(X > x)``.
    from_below, from_above : callable
        Their inverses, for probabilities in (0, 1/2] at least.
    name : str
        Its name.
    """

    below: Curve
    above: Curve
    from_below: Curve
    from_above: Curve
    name: str = "law on a line"

    def at(self, z: Array) -> Array:
        """The quantile of level ``Phi(z)``, from the nearer tail."""
        low, high = ndtr(np.minimum(z, 0.0)), ndtr(np.minimum(-z, 0.0))
        return np.where(z <= 0, self.from_below(low), self.from_above(high))

    def level(self, x: Array) -> Array:
        """``z`` with ``Phi(z) = P(X <= x)``, from the nearer tail."""
        low, high = self.below(x), self.above(x)
        with np.errstate(divide="ignore"):
            return np.where(low <= high, ndtri(low), -ndtri(high))


def _positive(value: float, name: str) -> float:
    if not 0 < value < np.inf:
        msg = f"{name} must be positive and finite, got {value}"
        raise InvalidLawError(msg)
    return float(value)


def uniform(low: float = 0.0, high: float = 1.0) -> LineLaw:
    """The uniform law on [low, high]."""
    width = _positive(high - low, "the length of the interval")
    return LineLaw(
        lambda x: np.clip((x - low) / width, 0.0, 1.0),
        lambda x: np.clip((high - x) / width, 0.0, 1.0),
        lambda p: low + width * p,
        lambda p: high - width * p,
        f"uniform on [{low}, {high}]",
    )


def gaussian(mean: float = 0.0, std: float = 1.0) -> LineLaw:
    """N(mean, std^2)."""
    s = _positive(std, "std")
    return LineLaw(
        lambda x: ndtr((x - mean) / s),
        lambda x: ndtr((mean - x) / s),
        lambda p: mean + s * ndtri(p),
        lambda p: mean - s * ndtri(p),
        f"N({mean}, {std}^2)",
    )


def exponential(rate: float = 1.0) -> LineLaw:
    """The exponential law of density ``rate exp(-rate x)`` on x >= 0."""
    r = _positive(rate, "rate")
    return LineLaw(
        lambda x: -np.expm1(-r * np.maximum(x, 0.0)),
        lambda x: np.exp(-r * np.maximum(x, 0.0)),
        lambda p: -np.log1p(-p) / r,
        lambda p: -np.log(p) / r,
        f"exponential of rate {rate}",
    )


def gaussian_mixture(weights: Array, means: Array, stds: Array) -> LineLaw:
    """``sum_k w_k N(m_k, s_k^2)``; quantiles by bisection, to rounding.

    Raises
    ------
    InvalidLawError
        If lengths differ, weights are not positive or do not sum to 1, or a width is not positive.
    """
    w, m, s = (np.asarray(v, dtype=np.float64) for v in (weights, means, stds))
    if not (w.ndim == 1 and w.shape == m.shape == s.shape and len(w)):
        msg = f"weights, means and stds must be equally long, got {w.shape}, {m.shape}, {s.shape}"
        raise InvalidLawError(msg)
    if not (bool((w > 0).all()) and abs(w.sum() - 1) < 1e-10):
        msg = f"weights must be positive and sum to 1, got {w.tolist()}"
        raise InvalidLawError(msg)
    if not (bool((s > 0).all()) and bool(np.isfinite(np.stack([m, s])).all())):
        msg = f"stds must be positive and means finite, got {s.tolist()} and {m.tolist()}"
        raise InvalidLawError(msg)

    def tail(x: Array, sign: float) -> Array:
        return ndtr(sign * (np.asarray(x)[..., None] - m) / s) @ w

    def inverse(p: Array, sign: float) -> Array:
        each = sign * m + s * ndtri(np.asarray(p))[..., None]
        low, high = each.min(-1), each.max(-1)
        for _ in range(200):
            middle = 0.5 * (low + high)
            if bool(((middle <= low) | (middle >= high)).all()):
                break
            short = tail(sign * middle, sign) < p
            low, high = np.where(short, middle, low), np.where(short, high, middle)
        return sign * high

    return LineLaw(
        lambda x: tail(x, 1.0), lambda x: tail(x, -1.0),
        lambda p: inverse(p, 1.0), lambda p: inverse(p, -1.0), f"mixture of {len(w)} Gaussians",
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class QuantileMap:
    r"""The optimal map between two laws on a line, ``T = Q_target o F_source``.

    The same map is optimal for every cost ``|x - y|^p``, p >= 1 (Villani 2003, th. 2.18), and
    ``W_p^p = int_0^1 |Q_0(u) - Q_1(u)|^p du``. It is monotone; the decreasing rearrangement that
    has the same image law is the worst map, not the best.
    """

    source: LineLaw
    target: LineLaw

    def __call__(self, x: Tensor) -> Tensor:
        """T(x), any shape, float64.

        Raises
        ------
        ShapeError
            If x is no float64 tensor on the host.
        NonFiniteError
            If x is not finite, or outside the range of the source.
        """
        if not isinstance(x, Tensor) or x.dtype != torch.float64 or x.device.type != "cpu":
            got = f"{x.dtype} on {x.device}" if isinstance(x, Tensor) else type(x).__name__
            msg = f"x must be a float64 tensor on the host, got {got}"
            raise ShapeError(msg)
        z = self.source.level(x.numpy())
        if not bool(np.isfinite(z).all()):
            bad = float(x.numpy()[~np.isfinite(z)].ravel()[0])
            msg = f"x must be within the range of the source, {self.source.name}; got {bad}"
            raise NonFiniteError(msg)
        return torch.from_numpy(np.asarray(self.target.at(z)))

    def cost(self, power: float = 2.0) -> float:
        """``W_p^p``, by adaptive panels in ``z = Phi^{-1}(u)``, split where the maps cross.

        Raises
        ------
        InvalidLawError
            If the power is below 1.
        """
        if not 1.0 <= power < np.inf:
            msg = f"power must be at least 1, got {power}"
            raise InvalidLawError(msg)

        def gap(z: Array) -> Array:
            return self.source.at(z) - self.target.at(z)

        edges = np.linspace(-_DEEP, _DEEP, _PANELS + 1)
        values = gap(edges)
        turns = np.flatnonzero(values[:-1] * values[1:] < 0)
        scalar = lambda z: float(gap(np.array(z)))  # noqa: E731
        cuts: Any = [brentq(scalar, edges[k], edges[k + 1], xtol=1e-14) for k in turns]
        return _adaptive(lambda z: np.abs(gap(z)) ** power, np.union1d(edges, cuts))


def _adaptive(f: Curve, edges: Array) -> float:
    """``int f(z) phi(z) dz`` over panels, halved where one rule and two half rules differ.

    A quantile is steep in a gap between modes, so fixed panels would miss digits there.
    """
    nodes, shares = np.polynomial.legendre.leggauss(24)

    def rule(low: Array, high: Array) -> Array:
        half = 0.5 * (high - low)
        z = low[:, None] + half[:, None] * (nodes + 1)
        return half * (f(z) * np.exp(-0.5 * z * z) @ shares) / np.sqrt(2 * np.pi)

    low, high = edges[:-1], edges[1:]
    whole, total = rule(low, high), 0.0
    goal = 1e-15 * (1.0 + float(np.abs(whole).sum()))
    for _ in range(40):
        middle = 0.5 * (low + high)
        left, right = rule(low, middle), rule(middle, high)
        rough = np.abs(left + right - whole) > goal
        total += float((left + right)[~rough].sum())
        low = np.concatenate([low[rough], middle[rough]])
        high = np.concatenate([middle[rough], high[rough]])
        whole = np.concatenate([left[rough], right[rough]])
        if not len(low):
            break
    return total + float(whole.sum())
