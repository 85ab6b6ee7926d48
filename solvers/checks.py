"""What a tensor must be before a run computes with it; each refusal is one sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .errors import FokkerError, NonFiniteError, ShapeError

STATE_DTYPES = (torch.float32, torch.float64)
"""A state is at least float32; only the model may compute in less."""


def check_state(x: Any, name: str, ids: Sequence[int] | None = None) -> None:
    """Refuse what is no state: a finite float32 or float64 tensor (B, *D) with B >= 1."""
    if not isinstance(x, Tensor):
        msg = f"{name} must be a torch tensor, got {type(x).__name__}"
        raise ShapeError(msg)
    if x.ndim < 2 or x.numel() == 0:
        msg = f"{name} must have shape (B, *D) with B >= 1 samples, got {tuple(x.shape)}"
        raise ShapeError(msg)
    if x.dtype not in STATE_DTYPES:
        msg = f"{name} must be float32 or float64 (only the model may be lower), got {x.dtype}"
        raise ShapeError(msg)
    check_finite(x, name, ids or range(x.shape[0]))


def check_finite(x: Tensor, name: str, ids: Sequence[int]) -> None:
    """Refuse NaN and infinity, naming the samples; one read, of a sum that one of them spoils."""
    if math.isfinite(float(x.detach().sum())):
        return
    bad = bad_samples(x)
    if bool(bad.any()):
        found = named_samples(bad, ids)
        msg = f"{name} is not finite in samples {shown(found)}"
        raise NonFiniteError(msg, step=None, t=None, sample_ids=found)


def bad_samples(x: Tensor) -> Tensor:
    """Which samples of the batch hold a value that is not finite."""
    return ~torch.isfinite(x).flatten(1).all(1)


def named_samples(bad: Tensor, ids: Sequence[int]) -> tuple[int, ...]:
    """Ids of the samples marked in ``bad``."""
    return tuple(ids[i] for i in bad.nonzero().flatten().tolist())


def shown(ids: Sequence[int]) -> str:
    """The first eight ids, for a sentence."""
    return ", ".join(map(str, ids[:8])) + (", ..." if len(ids) > 8 else "")


def check_like(value: Any, like: Tensor, name: str, *, same_dtype: bool = True) -> None:
    """Refuse a tensor of another shape, device or dtype than the state."""
    if not isinstance(value, Tensor):
        msg = f"{name} must be a torch tensor, got {type(value).__name__}"
        raise ShapeError(msg)
    if value.shape != like.shape:
        want, got = tuple(like.shape), tuple(value.shape)
        msg = f"{name} must have the shape {want} of the state, got {got}"
        raise ShapeError(msg)
    if value.device != like.device:
        msg = f"{name} must be on {like.device}, got {value.device}"
        raise ShapeError(msg)
    if same_dtype and value.dtype != like.dtype:
        msg = f"{name} must have the dtype {like.dtype} of the state, got {value.dtype}"
        raise ShapeError(msg)
    if not value.dtype.is_floating_point:
        msg = f"{name} must have a floating-point dtype, got {value.dtype}"
        raise ShapeError(msg)


def usable_device(name: str, error: type[FokkerError]) -> torch.device:
    """The device of a name, after a tensor has been made there and brought back.

    Raises
    ------
    error
        If there is no such device, or this build of torch does not serve it.
    """
    try:
        found = torch.device(name)
        torch.empty(1, device=found).cpu()  # the device "meta" holds no numbers
    except (RuntimeError, AssertionError, NotImplementedError) as reason:  # torch raises any
        why = " ".join(str(reason).split())[:120]
        msg = f"the device {name!r} cannot be used here: {why}; accepted: cpu, or cuda where it is"
        raise error(msg) from reason
    return found
