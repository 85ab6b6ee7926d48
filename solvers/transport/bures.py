"""The geometry of covariance matrices: distance and optimal map, with gradients that stay finite.

Nothing here differentiates an eigendecomposition, whose gradient divides by the differences of
eigenvalues and is NaN at a multiple of the identity. Roots and gradients are solved for instead.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..errors import InvalidLawError
from ..parameters import eigen, numbers, parameter


def covariance(value: Any, name: str, dim: int | None = None, *, definite: bool = False) -> Tensor:
    """``value`` as a covariance (d, d) in float64; its graph is kept.

    Raises
    ------
    InvalidLawError
        If it is not square of that size, not finite, not symmetric, has a negative eigenvalue, or
        has a zero one where ``definite`` is asked for.
    """
    tensor = numbers(value, name).to(torch.float64)
    parameter(tensor, name, (dim, dim))
    if tensor.shape[0] != tensor.shape[1]:
        msg = f"{name} must be square, got {tuple(tensor.shape)}"
        raise InvalidLawError(msg)
    values, _ = eigen(tensor.detach(), name)
    low, high = float(values[0]), float(values[-1])
    if (definite and low <= rounding(values)) or (high == 0 and definite):
        msg = (
            f"{name} must be positive definite, its smallest eigenvalue is {low:.3g} of {high:.3g}"
        )
        raise InvalidLawError(msg)
    return (tensor + tensor.mT) / 2


def rounding(values: Tensor) -> float:
    """What an eigenvalue of a (d, d) matrix must exceed to be told from zero (values ascend)."""
    return 4 * len(values) * torch.finfo(values.dtype).eps * float(values[-1])


def roots(c: Tensor) -> tuple[Tensor, Tensor]:
    """Symmetric root of a positive semidefinite matrix, and the pseudo-inverse of that root.

    Eigenvalues within rounding of 0 are 0: their roots would be noise of size 1e-8. Not meant to
    be differentiated.
    """
    values, vectors = torch.linalg.eigh(c)
    kept = values > rounding(values)
    root = torch.where(kept, values, torch.zeros_like(values)).sqrt()
    inverse = torch.where(kept, 1 / root, torch.zeros_like(root))
    return (vectors * root) @ vectors.mT, (vectors * inverse) @ vectors.mT


class _Squared(torch.autograd.Function):
    """``min_Q |A^{1/2} - B^{1/2} Q|_F^2`` over orthogonal Q: the squared Bures distance.

    The minimiser is the polar factor of ``B^{1/2} A^{1/2}``. As a norm of a difference the value
    is exact at A = B, where ``tr A + tr B - 2 tr (A^{1/2} B A^{1/2})^{1/2}`` leaves 1e-8 after its
    root. The gradient is ``I - M`` with M the optimal map ``B^{1/2} Q A^{-1/2}``.
    """

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        (root_a, inverse_a), (root_b, inverse_b) = roots(a), roots(b)
        u, _, vh = torch.linalg.svd(root_b @ root_a)
        q = u @ vh
        ctx.save_for_backward(root_a, root_b, inverse_a, inverse_b, q)
        return (root_a - root_b @ q).square().sum()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        root_a, root_b, inverse_a, inverse_b, q = ctx.saved_tensors
        eye = torch.eye(q.shape[0], dtype=q.dtype, device=q.device)
        forth, back = root_b @ q @ inverse_a, root_a @ q.mT @ inverse_b
        return grads[0] * (eye - _symmetric(forth)), grads[0] * (eye - _symmetric(back))


class _Map(torch.autograd.Function):
    """``M = A^{-1/2} N A^{-1/2}`` with ``N = (A^{1/2} B A^{1/2})^{1/2}``, so that ``M A M = B``.

    Differentiating that equation gives ``A^{1/2} dM A^{1/2} =: P`` from ``P N + N P = A^{1/2}
    (dB - M dA M) A^{1/2}``: in the eigenbasis of N a division by ``n_i + n_j``, a sum and never a
    difference. Where both vanish the map is not determined, and the gradient is taken as 0.
    """

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        root, inverse = roots(a)
        middle, vectors = inner_roots(root, b)
        m = _symmetric(inverse @ (vectors * middle) @ vectors.mT @ inverse)
        ctx.save_for_backward(root, inverse, middle, vectors, m)
        return m

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        root, inverse, middle, vectors, m = ctx.saved_tensors
        total = middle[:, None] + middle
        share = torch.where(total > 0, 1 / total, torch.zeros_like(total))
        turned = vectors.mT @ inverse @ _symmetric(grads[0]) @ inverse @ vectors
        of_b = root @ vectors @ (share * turned) @ vectors.mT @ root
        return -m @ of_b @ m, of_b


def inner_roots(root: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """``n`` and U with ``A^{1/2} B A^{1/2} = U diag(n^2) U^T``, given ``root = A^{1/2}``.

    They are the singular values and left vectors of ``A^{1/2} B^{1/2}``: small ones are right to
    rounding of the largest, not to its root, as eigenvalues of the product would be.
    """
    vectors, values, _ = torch.linalg.svd(root @ roots(b)[0])
    return values, vectors


def _symmetric(m: Tensor) -> Tensor:
    return (m + m.mT) / 2


def bures_squared(a: Tensor, b: Tensor) -> Tensor:
    """Squared Bures distance of covariances (d, d), ``tr(A + B - 2 (A^{1/2} B A^{1/2})^{1/2})``.

    It is W2^2 of centred Gaussians; a 0-d tensor with gradient ``I - M`` in A. Exact at A = B.

    Not to be confused with the Frechet distance between features of images (FID), which adds the
    squared distance of the means.
    """
    return _Squared.apply(a, b)


def bures_map(a: Tensor, b: Tensor) -> Tensor:
    """Symmetric positive M with ``M A M = B``: the linear map of least cost from N(0,A) to N(0,B).

    ``M = A^{-1/2} (A^{1/2} B A^{1/2})^{1/2} A^{-1/2}`` (Olkin & Pukelsheim 1982). Its gradient is
    finite also at A = B, at A = I and at multiple eigenvalues. Where A is singular, M acts on the
    range of A and is 0 beyond; it reaches B only if the range of A is large enough.
    """
    return _Map.apply(a, b)
