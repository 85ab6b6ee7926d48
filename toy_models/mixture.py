"""Mixtures of Gaussians with full or diagonal covariances."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple, NoReturn, Self

import torch
from torch import Tensor

from ..solvers.errors import InvalidLawError, NoExactFlowError
from .checks import (
    Coefficient,
    Level,
    coefficients,
    deeper,
    eigen,
    moved,
    numbers,
    parameter,
    points,
)
from .checks import weights as checked_weights
from .draws import normals, uniforms
from .gaussian import LOG_2PI

MIXTURE_EXACTNESS: Mapping[str, str] = MappingProxyType(
    {
        "sample": "exact to rounding",
        "log_density": "closed form",
        "score": "closed form",
        "denoiser": "closed form",
        "hessian": "closed form",
        "flow": "none; reference_flow, 1e-10",
    }
)


class Parts(NamedTuple):
    """What every formula of a mixture is made of, at one level of noise."""

    alpha: Coefficient  # float or (B, 1, 1)
    z: Tensor  # U_k^T (x - alpha mu_k), (B, K, d)
    var: Tensor  # alpha^2 c_k^2 + sigma^2, (K, d) or (B, K, d)
    logits: Tensor  # log of w_k N(x; ...) up to d log(2 pi)/2, (B, K)


@dataclass(frozen=True, eq=False)
class GaussianMixture:
    r"""``sum_k w_k N(mu_k, C_k)`` with ``C_k = U_k diag(c_k^2) U_k^T``.

    Every p_t is a mixture too. With responsibilities ``g_k`` (a softmax), component scores ``s_k``
    and component denoisers ``D_k`` as in :class:`Gaussian`::

        score = sum g_k s_k        D = sum g_k D_k
        hessian = sum g_k (-(alpha^2 C_k + sigma^2)^{-1} + (s_k - score)(s_k - score)^T)
        (dD/dx) v = sum g_k (alpha C_k (alpha^2 C_k + sigma^2)^{-1} v + D_k (s_k - score).v)

    Neither the score nor the denoiser is made from the other, so both ends of the noise are
    accurate. Responsibilities carry the rounding of ``|x - alpha mu_k|^2/v``, that is 1e-16 times
    the square of the distance in standard deviations. There is no closed flow map: see
    ``reference_flow`` or :class:`ProductMixture`.

    Parameters
    ----------
    weights : Tensor
        w, shape (K,), positive, sum 1.
    means : Tensor
        mu, shape (K, d).
    covs : Tensor
        Full (K, d, d), or variances of diagonal covariances (K, d); positive definite.

    Raises
    ------
    InvalidLawError
        If shapes, weights or covariances define no law.
    """

    weights: Tensor
    means: Tensor
    covs: Tensor
    mean: Tensor = field(init=False)
    eigenvalues: Tensor = field(init=False)
    _stack: Tensor | None = field(init=False, repr=False)  # (d, K d): all eigenvectors by columns
    _offsets: Tensor = field(init=False, repr=False)  # U_k^T (mu_k - centre), (K, d)

    name: ClassVar[str] = "mixture"
    exactness: ClassVar[Mapping[str, str]] = MIXTURE_EXACTNESS

    def __post_init__(self) -> None:
        means = parameter(self.means, "means", (None, None))
        count, dim = means.shape
        w = checked_weights(self.weights, count).to(means)
        stack = None
        if numbers(self.covs, "covs").ndim == 2:
            covs = values = parameter(self.covs, "covs", (count, dim)).to(means)
        else:
            covs = parameter(self.covs, "covs", (count, dim, dim)).to(means)
            values, vectors = eigen(covs, "covs")
            stack = vectors.permute(1, 0, 2).reshape(dim, count * dim)
        if not bool((values > 0).all()):
            msg = f"covs must be positive definite, got an eigenvalue {float(values.min())}"
            raise InvalidLawError(msg)
        mean = w @ means
        self.__dict__.update(weights=w, means=means, covs=covs, mean=mean)
        self.__dict__.update(eigenvalues=values, _stack=stack)
        shifts = means - mean
        self.__dict__.update(_offsets=shifts if stack is None else self._rotate(shifts))

    def _rotate(self, shifts: Tensor) -> Tensor:
        """``U_k^T`` on row k of (K, d)."""
        return torch.einsum("kin,ki->kn", self._by_component(), shifts)

    def _by_component(self) -> Tensor:
        """Eigenvectors as (K, d, d); identity matrices for diagonal covariances."""
        count, dim = self.means.shape
        if self._stack is None:
            eye = torch.eye(dim, dtype=self.dtype, device=self.device)
            return eye.expand(count, dim, dim)
        return self._stack.reshape(dim, count, dim).permute(1, 0, 2)

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
    def cov(self) -> Tensor:
        """Covariance within and between components, (d, d)."""
        u, shifts = self._by_component(), self.means - self.mean
        within = torch.einsum("k,kin,kn,kjn->ij", self.weights, u, self.eigenvalues, u)
        return within + (shifts * self.weights[:, None]).mT @ shifts

    def to(self, device: Any = None, dtype: torch.dtype | None = None) -> Self:
        """The same law on another device or in another dtype."""
        return moved(self, device, dtype)

    def sample(self, n: int, *, seed: int, first: int = 0) -> Tensor:
        """``mu_k + U_k (c_k z)``, k from the weights, (n, d); a function of (seed, index) only."""
        which = choose(self.weights, n, seed=seed, first=first)
        z = torch.from_numpy(normals(n, self.dim, seed=seed, label="data", first=first))
        z = z.to(self.means) * self.eigenvalues.sqrt()[which]
        out = torch.empty_like(z)
        for k, u in enumerate(self._by_component()):
            rows = which == k
            out[rows] = self.means[k] + z[rows] @ u.mT
        return out

    def _parts(self, x: Tensor, alpha: Coefficient, sigma: Coefficient) -> Parts:
        points(x, self.means)
        a, s = coefficients(alpha, sigma, x)
        y, a, s = x - a * self.mean, deeper(a), deeper(s)
        var = a * a * self.eigenvalues + s * s
        if self._stack is None:
            z = y[:, None, :] - a * self._offsets
        else:
            z = (y @ self._stack).unflatten(1, self.means.shape) - a * self._offsets
        logits = self.weights.log() - 0.5 * ((z * z / var).sum(-1) + var.log().sum(-1))
        return Parts(a, z, var, logits)

    def _back(self, w: Tensor) -> Tensor:
        """``sum_k U_k w_k`` of (B, K, d)."""
        return w.sum(1) if self._stack is None else w.flatten(1) @ self._stack.mT

    def responsibilities(self, x: Tensor, alpha: Coefficient, sigma: Coefficient) -> Tensor:
        """Probability of each component given ``x_t = x``, (B, K): an exact classifier."""
        return self._parts(x, alpha, sigma).logits.softmax(-1)

    def log_density(self, x: Tensor, alpha: Coefficient = 1.0, sigma: Coefficient = 0.0) -> Tensor:
        """``log p_t(x)``, (B,)."""
        logits = self._parts(x, alpha, sigma).logits
        return logits.logsumexp(-1) - 0.5 * self.dim * LOG_2PI

    def score(self, x: Tensor, alpha: Coefficient, sigma: Coefficient) -> Tensor:
        """``sum g_k s_k``, (B, d)."""
        _, z, var, logits = self._parts(x, alpha, sigma)
        return -self._back(logits.softmax(-1)[..., None] * (z / var))

    def denoiser(self, x: Tensor, alpha: Coefficient, sigma: Coefficient) -> Tensor:
        """``sum g_k D_k``, (B, d)."""
        a, z, var, logits = self._parts(x, alpha, sigma)
        g = logits.softmax(-1)
        return g @ self.means + self._back(g[..., None] * (a * self.eigenvalues / var) * z)

    def denoiser_jvp(self, x: Tensor, v: Tensor, alpha: Coefficient, sigma: Coefficient) -> Tensor:
        """``(dD/dx) v``, (B, d)."""
        points(v, self.means, "v")
        a, z, var, logits = self._parts(x, alpha, sigma)
        g, gain = logits.softmax(-1), a * self.eigenvalues / var
        stack = self._stack
        vz = v[:, None, :] if stack is None else (v @ stack).unflatten(1, self.means.shape)
        slope = -(z / var * vz).sum(-1)  # s_k . v
        pull = g * (slope - (g * slope).sum(-1, keepdim=True))
        spread = self._back(gain * (g[..., None] * vz + pull[..., None] * z))
        return pull @ (self.means - self.mean) + spread

    def hessian(self, x: Tensor, alpha: Coefficient, sigma: Coefficient) -> Tensor:
        """Second derivatives of ``log p_t``, (B, d, d); O(B K d^2) memory."""
        _, z, var, logits = self._parts(x, alpha, sigma)
        g, u = logits.softmax(-1), self._by_component()
        s = -torch.einsum("kin,bkn->bki", u, z / var)
        s = s - (g[..., None] * s).sum(1, keepdim=True)
        precision = torch.einsum("bkn,kin,kjn->bij", g[..., None] / var, u, u)
        return torch.einsum("bk,bki,bkj->bij", g, s, s) - precision

    def flow(self, x: Tensor, start: Level, end: Level) -> NoReturn:  # noqa: ARG002
        """Raise: a mixture has no closed flow map."""
        no_flow("GaussianMixture")


def no_flow(law: str) -> NoReturn:
    """Refuse an exact flow, and say where a reference is."""
    msg = f"{law} has no closed flow map; use reference_flow, or a Gaussian or ProductMixture"
    raise NoExactFlowError(msg)


def choose(weights: Tensor, n: int, *, seed: int, first: int = 0) -> Tensor:
    """Component of each sample, (n,) integers on the device of the weights."""
    edges = weights.to("cpu", torch.float64).cumsum(0)
    u = torch.from_numpy(uniforms(n, 1, seed=seed, label="component", first=first))[:, 0]
    which = torch.searchsorted(edges, u.contiguous() * edges[-1])
    return which.clamp_max(len(weights) - 1).to(weights.device)


def full_covs(law: GaussianMixture) -> Tensor:
    """Covariances (K, d, d), also of a mixture given by variances."""
    return law.covs if law.covs.ndim == 3 else torch.diag_embed(law.covs)
