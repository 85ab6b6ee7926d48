"""Rows in one pass over memory: a compiled sum, compiled anew for no weight and no step."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch._subclasses import FakeTensorMode

Kernel = Callable[[list[Tensor]], Any]
"""``kernel([weights, out, *vectors]) -> (sums,)``; fills out."""


def fused_sum(
    weights: tuple[float, ...], vectors: tuple[Tensor, ...], out: Tensor
) -> Tensor | None:
    """``out = sum_j w_j V_j``, and the sum of its entries for the price of none.

    The first call for a number of terms, layout, dtype and device compiles (seconds); a later one
    goes straight to the generated code. Weights travel as a vector: a Python float would be
    compiled into the kernel, and every step would compile its own.

    Returns
    -------
    Tensor or None
        The sum of all entries of ``out``, or per sample off the host, where nothing is to be read
        back; it is not finite if an entry is not. None if the vectors are laid out differently in
        memory, and nothing was done.
    """
    layout = out.stride()
    for v in vectors:
        if v.stride() != layout:
            return None
    kernel = _kernel(
        len(weights), out.shape, layout, out.dtype, out.device, torch.get_num_threads()
    )
    return kernel([_uploaded(weights, out.dtype, out.device), out, *vectors])[0]


@lru_cache(maxsize=4096)
def _uploaded(weights: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.tensor(weights, dtype=dtype, device=device)


@lru_cache(maxsize=256)
def _kernel(
    count: int,
    shape: torch.Size,
    layout: tuple[int, ...],
    dtype: torch.dtype,
    device: torch.device,
    threads: int,  # the generated loop is made for this many
) -> Kernel:
    del threads
    host = device.type == "cpu"

    def add(weights: Tensor, out: Tensor, *vectors: Tensor) -> tuple[Tensor]:
        total = weights[0] * vectors[0]
        for k in range(1, count):
            total = total + weights[k] * vectors[k]
        out.copy_(total)
        return (total.sum() if host else total.flatten(1).sum(1),)

    with torch.no_grad(), FakeTensorMode():
        examples = [torch.empty(count, dtype=dtype, device=device)]
        for _ in range(count + 1):
            examples.append(torch.empty_strided(shape, layout, dtype=dtype, device=device))
        return _compile(add, examples)


def _compile(function: Callable[..., Any], examples: list[Tensor]) -> Kernel:
    """Generated code without the guards of ``torch.compile``, which cost more than a small row.

    The entry point is not public; should it go, ``torch.compile`` does the same, more slowly.
    """
    try:
        from torch._inductor.compile_fx import compile_fx_inner
        from torch.fx.experimental.proxy_tensor import make_fx

        return compile_fx_inner(make_fx(function)(*examples), examples)
    except (ImportError, AttributeError, TypeError):
        compiled = torch.compile(function, dynamic=False, fullgraph=True)
        return lambda tensors: compiled(*tensors)
