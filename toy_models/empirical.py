"""The empirical law of a finite data set: its ideal denoiser is attention over the data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple, NoReturn, Self

import torch
from torch import Tensor

from ..solvers.errors import InvalidLawError, NoExactFlowError
from .checks import Coefficient, Level, coefficients, moved, parameter, points
from .checks import weights as checked_weights
from .gaussian import LOG_2PI
from .mixture import choose

MAX_SCORES = 2**22  # similarities held at once (32 MB in float64), whatever the number of points


class _Attention(NamedTuple):
    y: Tensor  # x - alpha * mean, (B, d)
    alpha: Coefficient
    var: Coefficient  # sigma^2
    nearest: Tensor  # index of the largest similarity, (B,)
    peak: Tensor  # that similarity, (B, 1)
    total: Tensor  # sum of exp(similarity - peak), (B, 1)
    average: Tensor  # their average of (points - mean), (B, d)


@dataclass(frozen=True, eq=False)
class Empirical:
    r"""``sum_i w_i delta(x_i)``: what a network that memorises its training set would learn.

    ``D(x) = sum_i softmax_i(log w_i - |x - alpha x_i|^2/(2 sigma^2)) x_i`` is attention with the
    noisy state as query and the data as keys and values; ``score = (alpha D - x)/sigma^2``;
    ``dD/dx = (alpha/sigma^2) Cov[x_0 | x_t = x]``. The points are visited in chunks with a running
    maximum, so memory does not grow with their number. There is no density at ``sigma = 0``.

    Similarities are inner products of centred vectors, without the common ``|x|^2``, so D is
    accurate far from the data; their rounding is about ``1e-16 |x| |x_i|/sigma^2``, the effect of
    rounding the points. The log-density measures its distance to the nearest point directly.

    Parameters
    ----------
    points : Tensor
        The data, shape (N, d).
    weights : Tensor, optional
        Shape (N,), positive, sum 1; equal by default.
    chunk : int, optional
        Points visited at once; by default as many as 2^22 similarities hold.

    Raises
    ------
    InvalidLawError
        If shapes or weights define no law, or chunk is not positive.

    Examples
    --------
    >>> import torch
    >>> Empirical(torch.tensor([[-1.0], [1.0]])).denoiser(torch.tensor([[0.5]]), 1.0, 0.1)
    tensor([[1.]])
    """

    points: Tensor
    weights: Tensor | None = None
    chunk: int | None = None
    mean: Tensor = field(init=False)
    _log_w: Tensor = field(init=False, repr=False)
    _shifts: Tensor = field(init=False, repr=False)  # points - mean, (N, d)
    _norms: Tensor = field(init=False, repr=False)  # |points - mean|^2, (N,)

    name: ClassVar[str] = "empirical"
    exactness: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            "sample": "exact",
            "log_density": "closed form, sigma > 0",
            "score": "closed form, sigma > 0",
            "denoiser": "closed form, sigma > 0",
            "hessian": "closed form, sigma > 0",
            "flow": "none; reference_flow, 1e-10",
        }
    )

    def __post_init__(self) -> None:
        data = parameter(self.points, "points", (None, None))
        if self.weights is None:
            w = data.new_full((len(data),), 1.0 / len(data))
        else:
            w = checked_weights(self.weights, len(data)).to(data)
        if self.chunk is not None and self.chunk < 1:
            msg = f"chunk must be positive, got {self.chunk}"
            raise InvalidLawError(msg)
        mean = w @ data
        shifts = data - mean
        self.__dict__.update(points=data, weights=w, mean=mean)
        self.__dict__.update(_log_w=w.log(), _shifts=shifts, _norms=shifts.square().sum(1))

    @property
    def dim(self) -> int:
        """Dimension d."""
        return self.points.shape[1]

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the law."""
        return self.points.dtype

    @property
    def device(self) -> torch.device:
        """Device of the law."""
        return self.points.device

    @property
    def cov(self) -> Tensor:
        """Covariance of the points, (d, d); singular if N <= d."""
        return (self._shifts * self._log_w.exp()[:, None]).mT @ self._shifts

    def to(self, device: Any = None, dtype: torch.dtype | None = None) -> Self:
        """The same law on another device or in another dtype."""
        return moved(self, device, dtype)

    def sample(self, n: int, *, seed: int, first: int = 0) -> Tensor:
        """Points drawn with replacement, (n, d); each sample a function of (seed, index) only."""
        return self.points[choose(self._log_w.exp(), n, seed=seed, first=first)]

    def _chunks(self, batch: int) -> Iterator[slice]:
        size = self.chunk or max(1, MAX_SCORES // max(1, batch))
        for begin in range(0, len(self.points), size):
            yield slice(begin, begin + size)

    def _similarity(self, y: Tensor, a: Coefficient, var: Coefficient, part: slice) -> Tensor:
        """``log w_i - |x - alpha x_i|^2/(2 sigma^2) + |y|^2/(2 sigma^2)``, (B, chunk)."""
        inner = (a * y) @ self._shifts[part].mT - 0.5 * a * a * self._norms[part]
        return self._log_w[part] + inner / var

    def _attend(self, x: Tensor, alpha: Coefficient, sigma: Coefficient) -> _Attention:
        points(x, self.points)
        a, s = coefficients(alpha, sigma, x, zero_sigma=False)
        y, var = x - a * self.mean, s * s
        peak = x.new_full((len(x), 1), float("-inf"))
        total, average = torch.zeros_like(peak), torch.zeros_like(x)
        nearest = torch.zeros(len(x), dtype=torch.long, device=x.device)
        for part in self._chunks(len(x)):
            scores = self._similarity(y, a, var, part)
            top, where = scores.max(1, keepdim=True)
            nearest = torch.where(top > peak, where + part.start, nearest[:, None])[:, 0]
            new = torch.maximum(peak, top)
            shrink, scores = (peak - new).exp(), (scores - new).exp()
            total = total * shrink + scores.sum(1, keepdim=True)
            average = average * shrink + scores @ self._shifts[part]
            peak = new
        return _Attention(y, a, var, nearest, peak, total, average / total)

    def _probability(self, att: _Attention, part: slice) -> Tensor:
        """Weights of attention of a chunk, (B, chunk)."""
        return (self._similarity(att.y, att.alpha, att.var, part) - att.peak).exp() / att.total

    def log_density(self, x: Tensor, alpha: Coefficient, sigma: Coefficient) -> Tensor:  # pyright: ignore
        """``log p_t(x)``, (B,); there is no default level because sigma must be positive."""
        att = self._attend(x, alpha, sigma)
        gap = (att.y - att.alpha * self._shifts[att.nearest]).square().sum(1)
        var = torch.as_tensor(att.var, dtype=x.dtype, device=x.device).reshape(-1)
        rest = self._log_w[att.nearest] + att.total.log()[:, 0]
        return rest - 0.5 * (gap / var + self.dim * (var.log() + LOG_2PI))

    def score(self, x: Tensor, alpha: Coefficient, sigma: Coefficient) -> Tensor:
        """``(alpha D - x)/sigma^2``, (B, d)."""
        att = self._attend(x, alpha, sigma)
        return (att.alpha * att.average - att.y) / att.var

    def denoiser(self, x: Tensor, alpha: Coefficient, sigma: Coefficient) -> Tensor:
        """Average of the data under attention, (B, d)."""
        return self.mean + self._attend(x, alpha, sigma).average

    def denoiser_jvp(self, x: Tensor, v: Tensor, alpha: Coefficient, sigma: Coefficient) -> Tensor:
        """``(alpha/sigma^2) Cov[x_0 | x_t = x] v``, (B, d)."""
        points(v, self.points, "v")
        att = self._attend(x, alpha, sigma)
        out, offset = torch.zeros_like(x), (att.average * v).sum(1, keepdim=True)
        for part in self._chunks(len(x)):
            g = self._probability(att, part)
            pull = g * (v @ self._shifts[part].mT - offset)
            out = out + pull @ self._shifts[part] - pull.sum(1, keepdim=True) * att.average
        return out * (att.alpha / att.var)

    def hessian(self, x: Tensor, alpha: Coefficient, sigma: Coefficient) -> Tensor:
        """``(alpha^2 Cov[x_0 | x_t]/sigma^2 - 1)/sigma^2``, (B, d, d); O(B N d) memory a chunk."""
        att = self._attend(x, alpha, sigma)
        cov = x.new_zeros(len(x), self.dim, self.dim)
        for part in self._chunks(len(x) * self.dim):
            g = self._probability(att, part)
            gap = self._shifts[part] - att.average[:, None, :]
            cov = cov + (g[..., None] * gap).mT @ gap
        ratio = att.alpha * att.alpha / att.var
        ratio = ratio[..., None] if isinstance(ratio, Tensor) and ratio.ndim else ratio
        var = att.var[..., None] if isinstance(att.var, Tensor) and att.var.ndim else att.var
        return (cov * ratio - torch.eye(self.dim, dtype=self.dtype, device=self.device)) / var

    def flow(self, x: Tensor, start: Level, end: Level) -> NoReturn:  # noqa: ARG002
        """Raise: attention has no closed flow map."""
        msg = "Empirical has no closed flow map; use reference_flow, to a level with sigma > 0"
        raise NoExactFlowError(msg)
