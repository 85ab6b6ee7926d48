r"""Gauge freedom: what of a score field moves the density, and what only stirs it.

Every field splits, orthogonally in L2(p), into a gradient and a field without p-weighted
divergence::

    s = grad phi + r,    div(p r) = 0,  that is  div r + r . grad log p = 0

r changes no marginal law of the ODE or of any eta-SDE, and no likelihood: it changes trajectories,
the coupling of noise and data, and each error that is measured in L2. So a field that is no
gradient may sample exactly, and the antisymmetric part of its Jacobian, which knows nothing of p,
is not its error: of the linear field ``B y`` on N(0, S) the gradient part is not ``(B + B^T)/2``.

Exact for linear fields on Gaussians (:func:`linear_parts`), by least squares in a basis of
polynomials elsewhere (:func:`fitted_parts`). A gauge of every law is ``A grad log p`` with A
antisymmetric (:class:`Gauged`); on a Gaussian it is ``-A S^{-1} (x - m)``.

Source: Horvat & Pfister 2024, arXiv:2402.03845.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.linalg import solve_continuous_lyapunov
from torch import Tensor

from ..solvers.errors import AnalysisError, InvalidLawError
from ..solvers.process import Array
from ..toy_models.checks import Coefficient, coefficients, moved, parameter
from .score_error.linear import (
    Line,
    LinearModel,
    check_span,
    exact_denoiser,
    integrate,
    moments_of,
)


class LinearParts(NamedTuple):
    """``B = gradient + stirring``, (d, d) each, and the mean squares of the two fields."""

    gradient: Array
    stirring: Array
    gradient_energy: float
    stirring_energy: float


def linear_parts(matrix: ArrayLike, cov: ArrayLike) -> LinearParts:
    """Parts of the field ``B (x - m)`` in L2 of N(m, S).

    The gradient part is the symmetric G of ``G S + S G = B S + S B^T``; the rest R obeys
    ``R S + S R^T = 0``, so ``R S`` is antisymmetric. Energies ``tr(G S G)``, ``tr(R S R^T)``
    add up to ``E|B (x - m)|^2``.

    Parameters
    ----------
    matrix : array_like
        B, (d, d), any.
    cov : array_like
        S, (d, d), positive definite.

    Raises
    ------
    AnalysisError
        If shapes do not fit, S is not symmetric and positive definite, or an entry is not finite.
    """
    b, s = (np.asarray(m, dtype=np.float64) for m in (matrix, cov))
    if s.ndim != 2 or s.shape[0] != s.shape[1] or b.shape != s.shape:
        msg = f"matrix and covariance must both be (d, d), got {b.shape} and {s.shape}"
        raise AnalysisError(msg)
    if not (np.isfinite(b).all() and np.isfinite(s).all()):
        msg = "matrix and covariance must be finite"
        raise AnalysisError(msg)
    low = float(np.linalg.eigvalsh(0.5 * (s + s.T))[0])
    if np.abs(s - s.T).max() > 1e-10 * np.abs(s).max() or low <= 0:
        msg = f"the covariance must be symmetric and positive, its least eigenvalue is {low:.3g}"
        raise AnalysisError(msg)
    gradient = solve_continuous_lyapunov(s, b @ s + s @ b.T)
    gradient = 0.5 * (gradient + gradient.T)
    stirring = b - gradient
    one, two = (float(np.sum((m @ s) * m)) for m in (gradient, stirring))
    return LinearParts(gradient, stirring, one, two)


def gauged_denoiser(law: Any, antisymmetric: ArrayLike) -> LinearModel:
    """Linear model with the score ``(1 + A) s`` of a Gaussian law, for ``score_error``.

    ``D = D_exact + A (D_exact - u)``: the error is a gauge at every level.
    """
    a = _antisymmetric(antisymmetric, len(moments_of(law).mean))
    exact = exact_denoiser(law)

    def model(lam: float) -> Line:
        gain, shift = exact(lam)
        return Line(gain + a @ (gain - np.eye(len(shift))), shift + a @ shift)

    return model


def _antisymmetric(matrix: ArrayLike, dim: int) -> Array:
    a = np.asarray(matrix, dtype=np.float64)
    if a.shape != (dim, dim) or not np.isfinite(a).all():
        msg = f"a gauge needs a finite matrix ({dim}, {dim}), got shape {a.shape}"
        raise AnalysisError(msg)
    even = float(np.abs(a + a.T).max())
    if even > 1e-12 * max(1.0, float(np.abs(a).max())):
        msg = f"a gauge needs an antisymmetric matrix, got |A + A^T| = {even}"
        raise AnalysisError(msg)
    return a


@dataclass(frozen=True, eq=False)
class Gauged:
    """A law seen with the score ``s + A s``, A antisymmetric: wrong everywhere, and yet exact.

    ``div(p A grad log p) = div(A grad p) = 0`` for every p. In L2(p) the error is as large as A
    makes it. The denoiser gains ``(sigma^2/alpha) A s``, so ``alpha > 0``.

    Parameters
    ----------
    law : Law
        The truth.
    matrix : Tensor
        A, (d, d).

    Raises
    ------
    InvalidLawError
        If A is not an antisymmetric (d, d) matrix, or the model is asked at ``alpha = 0``.
    """

    law: Any
    matrix: Tensor

    def __post_init__(self) -> None:
        a = parameter(self.matrix, "matrix", (self.law.dim, self.law.dim)).to(self.law.mean)
        even = float((a + a.mT).abs().max())
        if even > 1e-12 * max(1.0, float(a.abs().max())):
            msg = f"matrix must be antisymmetric, got |A + A^T| = {even}"
            raise InvalidLawError(msg)
        self.__dict__.update(matrix=a)

    @property
    def dim(self) -> int:
        """Dimension d."""
        return self.law.dim

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the law."""
        return self.law.dtype

    @property
    def device(self) -> torch.device:
        """Device of the law."""
        return self.law.device

    def to(self, device: Any = None, dtype: torch.dtype | None = None) -> Self:
        """The same model on another device or in another dtype."""
        return moved(self, device, dtype)

    def score(self, x: Tensor, alpha: Coefficient, sigma: Coefficient) -> Tensor:
        """``s + A s``, (B, d)."""
        s = self.law.score(x, alpha, sigma)
        return s + s @ self.matrix.mT

    def denoiser(self, x: Tensor, alpha: Coefficient, sigma: Coefficient) -> Tensor:
        """``D + (sigma^2/alpha) A s``, (B, d)."""
        a, s = coefficients(alpha, sigma, x)
        if isinstance(a, float) and a == 0:
            msg = "alpha must be positive, got 0: there the data prediction of a gauge is infinite"
            raise InvalidLawError(msg)
        stirred = self.law.score(x, alpha, sigma) @ self.matrix.mT
        return self.law.denoiser(x, alpha, sigma) + (s * s / a) * stirred

    def hessian(self, x: Tensor, alpha: Coefficient, sigma: Coefficient) -> Tensor:
        """Derivative of the score, ``H + A H``, (B, d, d); not symmetric."""
        h = self.law.hessian(x, alpha, sigma)
        return h + self.matrix @ h


# any field, by least squares


class FittedParts(NamedTuple):
    """The field at the points, split; both parts (B, d), their mean squares, and the size fitted.

    ``gradient`` is the best gradient *of the basis*: what the basis cannot hold stays in
    ``stirring``, whose mean square therefore only falls as the degree grows.
    """

    gradient: Tensor
    stirring: Tensor
    gradient_energy: float
    stirring_energy: float
    functions: int


def exponents(dim: int, degree: int) -> list[tuple[int, ...]]:
    """Exponents of all monomials of degree 1 to ``degree`` in ``dim`` variables."""
    powers = itertools.product(range(degree + 1), repeat=dim)
    return sorted((p for p in powers if 1 <= sum(p) <= degree), key=lambda p: (sum(p), p))


def _gradients(x: Tensor, powers: list[tuple[int, ...]]) -> Tensor:
    """Gradients of monomials at the points, (B, d, K)."""
    out = x.new_zeros(len(x), x.shape[1], len(powers))
    for k, power in enumerate(powers):
        for i, p in enumerate(power):
            if p:
                lower = x.new_tensor([q - (j == i) for j, q in enumerate(power)])
                out[:, i, k] = p * (x**lower).prod(1)
    return out


def fitted_parts(
    field: Callable[[Tensor], Tensor], x: Tensor, weights: Tensor | None = None, *, degree: int
) -> FittedParts:
    """Best gradient of a polynomial in L2(p), and what is left.

    Parameters
    ----------
    field : callable
        (B, d) to (B, d).
    x : Tensor
        Points of p: samples, or the nodes of a quadrature (exact for polynomials that it holds).
    weights : Tensor, optional
        Masses of the points, (B,), positive; equal by default.
    degree : int
        Degree of the polynomial phi, at least 1.

    Raises
    ------
    AnalysisError
        For a degree below 1, or fewer numbers than functions to be fitted.
    """
    if degree < 1:
        msg = f"the degree of the potential must be at least 1, got {degree}"
        raise AnalysisError(msg)
    w = x.new_full((len(x),), 1 / len(x)) if weights is None else weights / weights.sum()
    centre = w @ x
    scale = (w @ (x - centre).square()).sqrt().clamp_min(1e-300)
    powers = exponents(x.shape[1], degree)
    if len(powers) > x.numel():
        msg = f"{len(powers)} functions need at least as many numbers, got {x.numel()}"
        raise AnalysisError(msg)
    root = w.sqrt()[:, None]
    values = field(x)
    columns = (_gradients((x - centre) / scale, powers) / scale[:, None]) * root[:, :, None]
    flat = columns.reshape(-1, len(powers))
    found = torch.linalg.lstsq(flat, (values * root).reshape(-1, 1), driver="gelsd").solution
    gradient = (flat @ found).reshape(x.shape) / root
    parts = (gradient, values - gradient)
    one, two = (float((w @ part.square()).sum()) for part in parts)
    return FittedParts(*parts, one, two, len(powers))


def stirred_flow(law: Any, antisymmetric: ArrayLike, span: tuple[float, float]) -> Array:
    """The matrix Phi of the ODE ``u -> m + Phi (u - m)`` with a gauge, from noise to data, (d, d).

    ``Phi S Phi^T`` is the same for every gauge; Phi itself, the coupling of noise and data, is
    not. In ``u = x/alpha``; integrated to about 1e-10.
    """
    check_span(0.0, span)
    model, d = gauged_denoiser(law, antisymmetric), len(moments_of(law).mean)

    def rate(lam: float, flat: Array) -> Array:
        return ((model(lam).gain - np.eye(d)) @ flat.reshape(d, d)).ravel()

    return integrate(rate, np.eye(d).ravel(), span).reshape(d, d)


def turning(one: ArrayLike, two: ArrayLike) -> float:
    """Largest angle between two subspaces, in radians; columns (d, k) span them."""
    a, b = (np.linalg.qr(np.asarray(m, dtype=np.float64))[0] for m in (one, two))
    if a.shape != b.shape:
        msg = f"subspaces of one dimension are compared, got {a.shape} and {b.shape}"
        raise AnalysisError(msg)
    sine = float(np.linalg.norm(b - a @ (a.T @ b), 2))
    return math.asin(min(sine, 1.0))
