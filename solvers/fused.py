"""Rows in one pass: a compiled weighted sum, recompiled for no weight and no step."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor


@cache
def _kernel(count: int):
    def add(weights: Tensor, out: Tensor, *vectors: Tensor) -> None:
        total = weights[0] * vectors[0]
        for k in range(1, count):
            total = total + weights[k] * vectors[k]
        out.copy_(total)

    return torch.compile(add, dynamic=False, fullgraph=True)


@cache
def _uploaded(weights: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.tensor(weights, dtype=dtype, device=device)


def fused_sum(weights: tuple[float, ...], vectors: tuple[Tensor, ...], out: Tensor) -> Tensor:
    """``out = sum_j w_j V_j`` in one pass over memory; weights travel as a vector.

    A Python float would be compiled into the kernel and every step would compile anew.
    """
    _kernel(len(weights))(_uploaded(weights, out.dtype, out.device), out, *vectors)
    return out
