"""Shared checks and moves of the laws: shapes, dtypes, levels of noise, devices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from ..solvers.errors import InvalidLawError, ShapeError
from ..solvers.parameters import DTYPES
from ..solvers.parameters import eigen as eigen
from ..solvers.parameters import numbers as numbers
from ..solvers.parameters import orthogonal as orthogonal
from ..solvers.parameters import parameter as parameter
from ..solvers.parameters import points as points
from ..solvers.parameters import weights as weights

Coefficient = float | Tensor
"""``alpha`` or ``sigma``: a float, or one value for each row of x, shape (B,)."""
Level = Sequence[float]
"""A level of noise ``(alpha, sigma)``, two floats."""

LawT = TypeVar("LawT")


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
