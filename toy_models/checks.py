"""Shared checks and moves of the laws: shapes, dtypes, levels of noise, devices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from ..solvers.errors import InvalidLawError, NonFiniteError, ShapeError

Coefficient = float | Tensor
"""``alpha`` or ``sigma``: a float, or one value for each row of x, shape (B,)."""
Level = Sequence[float]
"""A level of noise ``(alpha, sigma)``, two floats."""

DTYPES = (torch.float64, torch.float32)
LawT = TypeVar("LawT")


def parameter(value: Any, name: str, shape: tuple[int | None, ...]) -> Tensor:
    """``value`` as a finite floating tensor of the given shape (None: any length).

    Raises
    ------
    InvalidLawError
        If the shape is another, or a value is not finite.
    """
    tensor = torch.as_tensor(value)
    if tensor.dtype not in DTYPES:
        tensor = tensor.to(torch.float64)
    fits = tensor.ndim == len(shape) and all(
        want in (None, have) for want, have in zip(shape, tensor.shape, strict=True)
    )
    if not fits or tensor.numel() == 0:
        wanted = ", ".join("any" if n is None else str(n) for n in shape)
        msg = f"{name} must be a non-empty tensor of shape ({wanted}), got {tuple(tensor.shape)}"
        raise InvalidLawError(msg)
    if not bool(torch.isfinite(tensor).all()):
        bad = tensor[~torch.isfinite(tensor)].flatten()[0].item()
        msg = f"{name} must be finite, got {bad}"
        raise InvalidLawError(msg)
    return tensor.detach().clone()


def weights(value: Any, count: int) -> Tensor:
    """Positive weights of ``count`` components, summing to one within 1e-10 (1e-6 in float32)."""
    w = parameter(value, "weights", (count,))
    total = float(w.sum(dtype=torch.float64))
    if not bool((w > 0).all()):
        msg = f"weights must be positive, got {float(w.min())}"
        raise InvalidLawError(msg)
    if abs(total - 1.0) > (1e-10 if w.dtype == torch.float64 else 1e-6):
        msg = f"weights must sum to 1, got {total}"
        raise InvalidLawError(msg)
    return w


def eigen(cov: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """Eigenvalues and eigenvectors of a covariance (…, d, d), in float64, tiny negatives set to 0.

    Raises
    ------
    InvalidLawError
        If the matrix is not symmetric, or has a negative eigenvalue beyond rounding.
    """
    c = cov.to(torch.float64)
    scale = float(c.abs().max())
    slack = 1e3 * torch.finfo(cov.dtype).eps * max(scale, torch.finfo(cov.dtype).tiny)
    skew = float((c - c.mT).abs().max())
    if skew > slack:
        msg = f"{name} must be symmetric, got entries that differ by {skew} from their mirror"
        raise InvalidLawError(msg)
    values, vectors = torch.linalg.eigh(0.5 * (c + c.mT))
    low = float(values.min())
    if low < -slack:
        msg = f"{name} must have no negative eigenvalue, got {low}"
        raise InvalidLawError(msg)
    return values.clamp_min(0.0).to(cov.dtype), vectors.to(cov.dtype)


def orthogonal(value: Any, name: str, dim: int) -> Tensor:
    """``value`` as an orthogonal (dim, dim) matrix, to rounding."""
    q = parameter(value, name, (dim, dim))
    error = float((q.mT @ q - torch.eye(dim, dtype=q.dtype, device=q.device)).abs().max())
    if error > 1e3 * torch.finfo(q.dtype).eps * math.sqrt(dim):
        msg = f"{name} must be orthogonal, got a matrix with |Q'Q - 1| = {error}"
        raise InvalidLawError(msg)
    return q


def points(x: Any, like: Tensor, name: str = "x") -> Tensor:
    """Check that x is (B, d), of the dtype and device of the law's tensor ``like`` (…, d), finite.

    On the host only: off the host reading a value back would stall the device, and NaN travels to
    the executor, which reports it with its step.
    """
    dim = like.shape[-1]
    if not isinstance(x, Tensor) or x.ndim != 2 or x.shape[1] != dim:
        got = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
        msg = f"{name} must be a tensor of shape (B, {dim}), got {got}"
        raise ShapeError(msg)
    if x.dtype != like.dtype or x.device != like.device:
        msg = (
            f"{name} is {x.dtype} on {x.device} and the law is {like.dtype} on {like.device}: "
            "move one of them, for instance law.to(dtype=..., device=...)"
        )
        raise ShapeError(msg)
    if x.device.type == "cpu":
        _finite(x, name)
    return x


def _finite(x: Tensor, name: str) -> None:
    try:
        total = float(x.detach().sum())
    except RuntimeError:  # inside torch.vmap no value can be read
        return
    if math.isfinite(total) or bool(torch.isfinite(x).all()):
        return
    rows = (~torch.isfinite(x).all(1)).nonzero().flatten().tolist()
    msg = f"{name} is not finite in samples {', '.join(map(str, rows[:8]))}"
    raise NonFiniteError(msg, sample_ids=rows)


def coefficients(
    alpha: Coefficient, sigma: Coefficient, x: Tensor, *, zero_sigma: bool = True
) -> tuple[Coefficient, Coefficient]:
    """``alpha`` and ``sigma`` ready to meet a (B, d) tensor: floats, or (B, 1) tensors.

    Raises
    ------
    InvalidLawError
        If one is negative or not finite, or ``sigma = 0`` where the law allows no such level, or
        both are zero.
    ShapeError
        If a tensor is neither a scalar nor of shape (B,), or lives elsewhere than x.
    """
    a, s = _coefficient(alpha, "alpha", x), _coefficient(sigma, "sigma", x)
    if isinstance(s, float) and s == 0.0 and (not zero_sigma or (isinstance(a, float) and a == 0)):
        why = (
            "this law has no density at"
            if not zero_sigma
            else "alpha and sigma cannot both be 0 at"
        )
        msg = f"sigma must be positive, got {s}: {why} (alpha, sigma) = ({alpha}, {s})"
        raise InvalidLawError(msg)
    if (
        isinstance(s, Tensor)
        and s.device.type == "cpu"
        and not zero_sigma
        and bool((s == 0).any())
    ):
        msg = "sigma must be positive, got 0.0 in a row: this law has no density there"
        raise InvalidLawError(msg)
    return a, s


def _coefficient(value: Coefficient, name: str, x: Tensor) -> Coefficient:
    if isinstance(value, (float, int)):
        if not 0.0 <= value < math.inf:
            msg = f"{name} must be finite and not negative, got {value}"
            raise InvalidLawError(msg)
        return float(value)
    if not isinstance(value, Tensor) or not value.is_floating_point() or value.ndim > 1:
        got = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        msg = f"{name} must be a float or a floating tensor of shape (B,), got {got}"
        raise ShapeError(msg)
    if value.ndim == 1 and (len(value) != len(x) or value.device != x.device):
        msg = f"{name} has {len(value)} rows on {value.device}, x has {len(x)} on {x.device}"
        raise ShapeError(msg)
    if value.device.type == "cpu" and not bool(((value >= 0) & (value < math.inf)).all()):
        msg = f"{name} must be finite and not negative, got {float(value.min())}"
        raise InvalidLawError(msg)
    return value.to(x.dtype)[:, None] if value.ndim else value.to(x.dtype)


def deeper(c: Coefficient) -> Coefficient:
    """A coefficient made by :func:`coefficients`, ready to meet a (B, K, d) tensor."""
    return c[..., None] if isinstance(c, Tensor) and c.ndim else c


def level(pair: Level, name: str) -> tuple[float, float]:
    """A level of noise ``(alpha, sigma)`` as two floats, not negative and not both zero."""
    if len(pair) != 2:
        msg = f"{name} must be a pair (alpha, sigma), got {pair!r}"
        raise InvalidLawError(msg)
    alpha, sigma = float(pair[0]), float(pair[1])
    if not (0 <= alpha < math.inf and 0 <= sigma < math.inf and alpha + sigma > 0):
        msg = f"{name} must be finite, not negative and not (0, 0), got ({alpha}, {sigma})"
        raise InvalidLawError(msg)
    return alpha, sigma


def moved(law: LawT, device: Any = None, dtype: torch.dtype | None = None) -> LawT:
    """A copy of a frozen law whose floating tensors live on ``device`` with ``dtype``."""
    if dtype is not None and dtype not in DTYPES:
        msg = f"a law is float64 or float32, got {dtype}"
        raise ShapeError(msg)
    new = object.__new__(type(law))
    for key, value in vars(law).items():
        movable = isinstance(value, Tensor) or (hasattr(value, "to") and hasattr(value, "dtype"))
        new.__dict__[key] = value.to(device=device, dtype=dtype) if movable else value
    return new
