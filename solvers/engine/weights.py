"""Weights of a row outside of the executor: merged by vector, and as what a tensor multiplies."""

from __future__ import annotations

import torch
from torch import Tensor

from ..ops import Lin, Weight
from .upload import upload


def merged(op: Lin) -> dict[int, Weight]:
    """The weight of each vector of a row; one that is named twice has the sum."""
    weights: dict[int, Weight] = {}
    for j, w in op.terms:
        weights[j] = weights[j] + w if j in weights else w
    return weights


def usable(w: Weight, like: Tensor) -> float | Tensor:
    """A number as it is; an array or tensor in the dtype and on the device of ``like``."""
    return w if isinstance(w, float) else upload(torch.as_tensor(w), like.device, like.dtype)
