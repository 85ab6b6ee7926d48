"""Mixtures of low-rank-plus-isotropic Gaussians: image-sized, without d x d matrices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple, NoReturn, Self

import torch
from torch import Tensor

from ..solvers.errors import InvalidLawError
from .checks import Coefficient, Level, coefficients, moved, parameter, points
from .checks import weights as checked_weights
from .draws import normals
from .gaussian import LOG_2PI
from .mixture import MIXTURE_EXACTNESS, choose, no_flow


class Parts(NamedTuple):
    """What every formula is made of, at one level of noise."""

    y: Tensor  # x - alpha * mean, (B, d)
    alpha: Coefficient  # float or (B, 1)
    b: Tensor  # sigma^2 + alpha^2 s0^2, () or (B, 1)
    noise: Tensor  # sigma^2, () or (B, 1)
    z: Tensor  # Q_k^T (x - alpha mu_k), flattened over components, (B, K r)
    stiff: Tensor  # b + alpha^2 l^2, (K r,) or (B, K r)
    volume: Tensor  # sum log(1 + alpha^2 l^2/b), (K,) or (B, K)
    logits: Tensor  # log of w_k N(x; ...) up to a part common to all k, (B, K)


@dataclass(frozen=True, eq=False)
class LowRankMixture:
    r"""``x_0 = mu_k + U_k z + s0 e`` with ``z ~ N(0, I_r)``, ``e ~ N(0, I_d)``, k drawn from w.

    With the thin decomposition ``U_k = Q_k diag(l) V^T`` (V changes no law), ``b = sigma^2 +
    alpha^2 s0^2`` and Woodbury's identity, all in O(K d r) time and memory::

        (alpha^2 C_k + sigma^2)^{-1} = (1 - Q_k diag(alpha^2 l^2/(b + alpha^2 l^2)) Q_k^T)/b
        log det = d log b + sum log(1 + alpha^2 l^2/b)
        alpha C_k (alpha^2 C_k + sigma^2)^{-1}
            = alpha (s0^2 + Q_k diag(l^2 sigma^2/(b + alpha^2 l^2)) Q_k^T)/b

    The last line is Woodbury's with its cancellation removed by hand, so D is accurate at both
    ends. The part of ``|x - alpha mu_k|^2/b`` that all components share is left out of the
    responsibilities, which therefore stay accurate far from the data; they carry a rounding of
    about ``1e-16 |x|^2/b``. The log-density measures its distance to the likeliest component's
    plane directly and has no such error where one component dominates.

    Parameters
    ----------
    weights : Tensor
        w, shape (K,), positive, sum 1.
    means : Tensor
        mu, shape (K, d).
    factors : Tensor
        U, shape (K, d, r) with r <= d.
    noise : float
        s0, standard deviation of the isotropic part; 0 is allowed and needs ``sigma > 0``.

    Raises
    ------
    InvalidLawError
        If shapes, weights or s0 define no law.
    """

    weights: Tensor
    means: Tensor
    factors: Tensor
    noise: float
    mean: Tensor = field(init=False)
    _q: Tensor = field(init=False, repr=False)  # (d, K r): all Q_k by columns
    _l2: Tensor = field(init=False, repr=False)  # (K r,)
    _shifts: Tensor = field(init=False, repr=False)  # mu_k - mean, (K, d)
    _offsets: Tensor = field(init=False, repr=False)  # Q_k^T (mu_k - mean), (K r,)
    _norms: Tensor = field(init=False, repr=False)  # |mu_k - mean|^2, (K,)

    name: ClassVar[str] = "low-rank mixture"
    exactness: ClassVar[Mapping[str, str]] = MappingProxyType(dict(MIXTURE_EXACTNESS))

    def __post_init__(self) -> None:
        means = parameter(self.means, "means", (None, None))
        count, dim = means.shape
        w = checked_weights(self.weights, count).to(means)
        factors = parameter(self.factors, "factors", (count, dim, None)).to(means)
        rank = factors.shape[2]
        if rank > dim:
            msg = f"factors must have rank at most d = {dim}, got {rank}"
            raise InvalidLawError(msg)
        if not 0.0 <= self.noise < float("inf"):
            msg = f"noise must be finite and not negative, got {self.noise}"
            raise InvalidLawError(msg)
        q, scale, _ = torch.linalg.svd(factors, full_matrices=False)
        mean = w @ means
        shifts = means - mean
        self.__dict__.update(weights=w, means=means, factors=factors, mean=mean)
        self.__dict__.update(
            noise=float(self.noise),
            _q=q.permute(1, 0, 2).reshape(dim, count * rank).contiguous(),
            _l2=scale.square().flatten(),
            _shifts=shifts,
            _offsets=torch.einsum("kdr,kd->kr", q, shifts).flatten(),
            _norms=shifts.square().sum(-1),
        )

    @property
    def dim(self) -> int:
        """Dimension d."""
        return self.means.shape[1]

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the law."""
        return self.means.dtype

    @property
    def device(self) -> torch.device:
        """Device of the law."""
        return self.means.device

    @property
    def _shape(self) -> tuple[int, int]:
        return self.factors.shape[0], self.factors.shape[2]

    @property
    def cov(self) -> Tensor:
        """Covariance as a dense (d, d) matrix: 75 MB in float64 at d = 3072."""
        scaled = self._q * (self.weights.repeat_interleave(self._shape[1]) * self._l2)
        between = (self._shifts * self.weights[:, None]).mT @ self._shifts
        return scaled @ self._q.mT + between + self.noise**2 * torch.eye(self.dim).to(self.means)

    def to(self, device: Any = None, dtype: torch.dtype | None = None) -> Self:
        """The same law on another device or in another dtype."""
        return moved(self, device, dtype)

    def sample(self, n: int, *, seed: int, first: int = 0) -> Tensor:
        """``mu_k + Q_k (l z) + s0 e``, (n, d); each sample a function of (seed, index) only."""
        count, rank = self._shape
        which = choose(self.weights, n, seed=seed, first=first)
        z = torch.from_numpy(normals(n, rank, seed=seed, label="factors", first=first))
        e = torch.from_numpy(normals(n, self.dim, seed=seed, label="data", first=first))
        z = z.to(self.means) * self._l2.sqrt().reshape(count, rank)[which]
        out = e.to(self.means) * self.noise
        for k in range(count):
            rows = which == k
            out[rows] += self.means[k] + z[rows] @ self._q[:, k * rank : (k + 1) * rank].mT
        return out

    def _parts(self, x: Tensor, alpha: Coefficient, sigma: Coefficient) -> Parts:
        points(x, self.means)
        a, s = coefficients(alpha, sigma, x, zero_sigma=self.noise > 0)
        noise = s * s if isinstance(s, Tensor) else x.new_full((), s * s)
        a2 = a * a
        b = noise + a2 * self.noise**2
        y = x - a * self.mean
        z = y @ self._q - a * self._offsets
        stiff = b + a2 * self._l2
        pull = (z * z * (a2 * self._l2 / stiff)).unflatten(1, self._shape).sum(-1)
        volume = (stiff / b).log().unflatten(-1, self._shape).sum(-1)
        fit = (2.0 * a * (y @ self._shifts.mT) - a2 * self._norms + pull) / b
        logits = self.weights.log() + 0.5 * (fit - volume)
        return Parts(y, a, b, noise, z, stiff, volume, logits)

    def _spread(self, g: Tensor, w: Tensor) -> Tensor:
        """``sum_k g_k Q_k w_k`` of (B, K) and (B, K r)."""
        return (g.repeat_interleave(self._shape[1], -1) * w) @ self._q.mT

    def responsibilities(self, x: Tensor, alpha: Coefficient, sigma: Coefficient) -> Tensor:
        """Probability of each component given ``x_t = x``, (B, K): an exact classifier."""
        return self._parts(x, alpha, sigma).logits.softmax(-1)

    def log_density(self, x: Tensor, alpha: Coefficient = 1.0, sigma: Coefficient = 0.0) -> Tensor:
        """``log p_t(x)``, (B,)."""
        p = self._parts(x, alpha, sigma)
        best = torch.nn.functional.one_hot(p.logits.argmax(-1), self._shape[0]).to(x)
        gap = p.y - p.alpha * (best @ self._shifts) - self._spread(best, p.z)
        along = (p.z.square() / p.stiff).unflatten(1, self._shape).sum(-1)
        fit = gap.square().sum(-1) / p.b.reshape(-1) + (best * (along + p.volume)).sum(-1)
        others = (p.logits - p.logits.amax(-1, keepdim=True)).logsumexp(-1)
        rest = (best * self.weights.log()).sum(-1) + others
        return rest - 0.5 * (fit + self.dim * (p.b.reshape(-1).log() + LOG_2PI))

    def score(self, x: Tensor, alpha: Coefficient, sigma: Coefficient) -> Tensor:
        """``sum g_k s_k``, (B, d)."""
        p = self._parts(x, alpha, sigma)
        g = p.logits.softmax(-1)
        inside = self._spread(g, p.z * (p.alpha * p.alpha * self._l2 / p.stiff))
        return (inside - (p.y - p.alpha * (g @ self._shifts))) / p.b

    def denoiser(self, x: Tensor, alpha: Coefficient, sigma: Coefficient) -> Tensor:
        """``sum g_k D_k``, (B, d)."""
        p = self._parts(x, alpha, sigma)
        g = p.logits.softmax(-1)
        ratio = p.noise / p.b
        inside = self._spread(g, p.z * (self._l2 / p.stiff)) * (p.alpha * ratio)
        outside = p.y * (p.alpha * (self.noise**2 / p.b))
        return self.mean + outside + ratio * (g @ self._shifts) + inside

    def denoiser_jvp(self, x: Tensor, v: Tensor, alpha: Coefficient, sigma: Coefficient) -> Tensor:
        """``(dD/dx) v``, (B, d)."""
        points(v, self.means, "v")
        p = self._parts(x, alpha, sigma)
        g, vz, ratio = p.logits.softmax(-1), v @ self._q, p.noise / p.b
        along = (p.z * vz * (p.alpha * p.alpha * self._l2 / p.stiff)).unflatten(1, self._shape)
        slope = (p.alpha * (v @ self._shifts.mT) + along.sum(-1)) / p.b  # s_k.v, common part out
        pull = g * (slope - (g * slope).sum(-1, keepdim=True))
        gain = self._l2 / p.stiff
        inside = self._spread(g, vz * gain) + self._spread(pull, p.z * gain)
        straight = v * (p.alpha * (self.noise**2 / p.b)) + ratio * (pull @ self._shifts)
        return straight + inside * (p.alpha * ratio)

    def hessian(self, x: Tensor, alpha: Coefficient, sigma: Coefficient) -> Tensor:
        """Second derivatives of ``log p_t``, (B, d, d), dense: for small d only."""
        p = self._parts(x, alpha, sigma)
        g, (count, rank) = p.logits.softmax(-1), self._shape
        shrink = p.alpha * p.alpha * self._l2 / p.stiff
        q = self._q.reshape(self.dim, count, rank).permute(1, 0, 2)
        inside = torch.einsum("kdr,bkr->bkd", q, (p.z * shrink).unflatten(1, self._shape))
        alpha_means = (p.alpha * self._shifts.flatten().expand(len(x), -1)).unflatten(
            1, (count, self.dim)
        )
        s = (alpha_means + inside) / p.b[..., None]
        s = s - (g[..., None] * s).sum(1, keepdim=True)
        weight = g[..., None] * shrink.expand(len(x), -1).unflatten(1, self._shape)
        woodbury = torch.einsum("bkr,kir,kjr->bij", weight, q, q)
        eye = torch.eye(self.dim, dtype=self.dtype, device=self.device)
        between = torch.einsum("bk,bki,bkj->bij", g, s, s)
        return between + (woodbury - eye) / p.b[..., None]

    def flow(self, x: Tensor, start: Level, end: Level) -> NoReturn:  # noqa: ARG002
        """Raise: a mixture has no closed flow map."""
        no_flow("LowRankMixture")
