"""Bits per dimension: what a density of dequantised data says about the integers themselves.

Integers k in {0, ..., L-1} become real numbers by uniform noise, ``y = k + u`` in [0, L), and then
``x = low + (high - low) y/L``. A density p of x gives the integers the probability of their cells,
and by Jensen's inequality (Theis, van den Oord & Bethge 2016, arXiv:1511.01844)

    -log2 P(k) <= -E_u log2 p(x) - d log2((high - low)/L).

So bits per dimension are ``-log2 p/d + log2(L/(high - low))``: for L = 256 on [-1, 1] the offset
is 7, on [0, 1] it is 8. Mapping by L - 1 instead of L, or leaving the noise out, moves it by a few
hundredths, which is as much as papers differ by. And a diffusion model has the density of data
plus noise of its last level: it must be small against a cell, else something else is measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import InvalidPlanError, ShapeError
from ..given import whole_number
from ..normals import normal_field


def bits_per_dim(
    log_density: Tensor, dim: int, *, levels: int = 256, low: float = -1.0, high: float = 1.0
) -> Tensor:
    """``-log p/(d log 2) + log2(levels/(high - low))``, of the shape of ``log_density``.

    Parameters
    ----------
    log_density : Tensor
        Natural logarithms of the density of x.
    dim : int
        Numbers in a sample, d.
    levels, low, high
        Number of integers, and the interval that they are mapped to, see the module.

    Raises
    ------
    InvalidPlanError
        For a dimension or a number of levels below 1, or an empty interval.

    Examples
    --------
    >>> float(bits_per_dim(torch.zeros(()), 3072))  # a density of 1 on [-1, 1]: one bit too many
    7.0
    """
    if whole_number(dim, "dim") < 1:
        msg = f"dim must be at least 1, got {dim}"
        raise InvalidPlanError(msg)
    return -log_density / (dim * math.log(2.0)) - math.log2(_cell(levels, low, high))


def dequantised(
    values: Tensor,
    levels: int = 256,
    *,
    seed: int,
    sample_ids: Sequence[int] | None = None,
    low: float = -1.0,
    high: float = 1.0,
) -> Tensor:
    """Integers (B, *D) with uniform noise, mapped to [low, high], float64.

    The noise of a sample is a function of (seed, sample id); ids are 0, 1, 2, ... by default.

    Raises
    ------
    ShapeError
        For values that are no integers 0 .. levels - 1 of shape (B, *D).
    InvalidPlanError
        For fewer than one level, or an empty interval.
    """
    width = _cell(levels, low, high)
    if values.ndim < 2 or values.numel() == 0 or values.is_complex():
        got = f"{values.dtype} of shape {tuple(values.shape)}"
        msg = f"values must be integers of shape (B, *D), B >= 1, got {got}"
        raise ShapeError(msg)
    whole = values.to(torch.float64)
    if bool(((whole != whole.round()) | (whole < 0) | (whole >= levels)).any()):
        msg = (
            f"values must be integers 0 .. {levels - 1} of shape (B, *D), got shape "
            f"{tuple(values.shape)} from {float(whole.min())} to {float(whole.max())}"
        )
        raise ShapeError(msg)
    ids = range(len(values)) if sample_ids is None else sample_ids
    if len(ids) != len(values):
        msg = f"{len(ids)} sample ids were given for a batch of {len(values)}"
        raise ShapeError(msg)
    key = f"{whole_number(seed, 'a seed')}|dequantise"
    normals = normal_field(key.encode(), ids, whole[0].numel())
    uniform = torch.special.ndtr(torch.from_numpy(normals).to(torch.float64))
    return low + width * (whole + uniform.reshape(whole.shape))


def _cell(levels: int, low: float, high: float) -> float:
    """Width of the cell of one integer."""
    if whole_number(levels, "levels") < 1 or not -math.inf < low < high < math.inf:
        msg = f"need levels >= 1 on a finite interval, got {levels} on [{low}, {high}]"
        raise InvalidPlanError(msg)
    return (high - low) / levels
