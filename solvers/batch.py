"""One number for each sample of a batch, beside states of any shape."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def column(values: Tensor | np.ndarray, like: Tensor) -> Tensor:
    """One number for each sample, (B,), shaped to be broadcast over ``like``, (B, *D).

    On the device of ``like`` and, unless they are truth values, in its dtype.

    Examples
    --------
    >>> column(np.array([1.0, 2.0]), torch.zeros(2, 3, 4)).shape
    torch.Size([2, 1, 1])
    """
    found = torch.as_tensor(values)
    dtype = found.dtype if found.dtype == torch.bool else like.dtype
    return found.to(like.device, dtype).reshape(-1, *[1] * (like.ndim - 1))


def inner(a: Tensor, b: Tensor) -> Tensor:
    """Inner product of each sample, shape (B, 1, ..., 1)."""
    return column((a * b).flatten(1).sum(1), a)
