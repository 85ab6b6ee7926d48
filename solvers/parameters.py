"""Parameters of laws and of maps between them: shapes, weights, covariances, points."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .errors import InvalidLawError, NonFiniteError, ShapeError

DTYPES = (torch.float64, torch.float32)


def numbers(value: Any, name: str) -> Tensor:
    """``value`` as a real floating tensor: numbers, lists, NumPy arrays, tensors, lists of them.

    Python's numbers are float64 and stay it (torch's own default would round them to float32);
    arrays and tensors that are float32 or float64 stay what they are, any other real dtype becomes
    float64. A tensor keeps its graph and its device.

    Raises
    ------
    InvalidLawError
        If these are no real numbers, or rows of different lengths.
    """
    if isinstance(value, (list, tuple)) and any(isinstance(v, Tensor) for v in value):
        parts = [numbers(v, name) for v in value]
        if any(p.shape != parts[0].shape for p in parts):
            msg = f"{name} has rows of the shapes {sorted({tuple(p.shape) for p in parts})}"
            raise InvalidLawError(msg)
        return torch.stack(parts)
    if isinstance(value, Tensor):
        if value.is_complex():
            msg = f"{name} must be real, got {value.dtype}"
            raise InvalidLawError(msg)
        return value if value.dtype in DTYPES else value.to(torch.float64)
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "fiubO":
            raise TypeError(str(array.dtype))
        low = array.dtype.kind == "f" and array.dtype.itemsize == 4
        return torch.from_numpy(np.array(array, np.float32 if low else np.float64, order="C"))
    except (TypeError, ValueError, OverflowError) as error:
        why = " ".join(str(error).split())[:120]
        msg = f"{name} must be real numbers in rows of one length, got {_kind(value)} ({why})"
        raise InvalidLawError(msg) from error


def _kind(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else type(value).__name__


def parameter(value: Any, name: str, shape: tuple[int | None, ...]) -> Tensor:
    """``value`` as a finite floating tensor of the given shape (None: any length).

    Anything that :func:`numbers` takes; a list is float64.

    Raises
    ------
    InvalidLawError
        If the shape is another, or a value is no real number or not finite.
    """
    tensor = numbers(value, name)
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
