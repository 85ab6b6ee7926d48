"""Rows in one pass over memory: a compiled sum, compiled anew for no weight and no step."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch._subclasses import FakeTensorMode

from .upload import upload

Kernel = Callable[[list[Tensor]], tuple[Tensor]]
"""``kernel([weights, out, *vectors]) -> (sums,)``; fills out."""


class FusedSum:
    """``out = sum_j w_j V_j`` on states like one given, and the sum of ``out`` at no price.

    The first row of a number of terms, layout, dtype and device compiles (seconds); any later one
    goes straight to the generated code. Weights travel as a vector: a Python float would be
    compiled into the kernel, and every step would compile its own.
    """

    def __init__(self, like: Tensor) -> None:
        self.layout, self.dtype, self.device = like.stride(), like.dtype, like.device
        self._form = (like.shape, self.layout, like.dtype, like.device, torch.get_num_threads())
        self._kernels: dict[int, Kernel] = {}

    def __call__(
        self, weights: tuple[float, ...], vectors: tuple[Tensor, ...], out: Tensor
    ) -> Tensor | None:
        """Fill ``out``.

        Returns
        -------
        Tensor or None
            The sum of all entries of ``out``, or per sample off the host, where nothing is to be
            read back; it is not finite if an entry is not. None if a vector is laid out otherwise
            in memory than the state: then nothing was done.
        """
        layout = self.layout
        for v in vectors:
            if v.stride() != layout:
                return None
        kernel = self._kernels.get(len(weights))
        if kernel is None:
            kernel = self._kernels[len(weights)] = _kernel(len(weights), *self._form)
        return kernel([_uploaded(weights, self.dtype, self.device), out, *vectors])[0]


@lru_cache(maxsize=4096)
def _uploaded(weights: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    return upload(torch.tensor(weights, dtype=dtype), device, dtype)


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
        return _compile(add, examples, host)


def _compile(function: Callable[..., Any], examples: list[Tensor], host: bool) -> Kernel:
    """Generated code without the guards of ``torch.compile``, which cost more than a small row.

    What the guards would see to holds by construction: dtype, device and layout are the key of the
    kernel. The entry point is not public; should it go, ``torch.compile`` does the same, slower.
    """
    try:
        from torch._inductor import config
        from torch._inductor.compile_fx import compile_fx_inner
        from torch.fx.experimental.proxy_tensor import make_fx

        with config.patch(size_asserts=False):
            compiled: Any = compile_fx_inner(make_fx(function)(*examples), examples)
    except (ImportError, AttributeError, TypeError):
        slow = torch.compile(function, dynamic=True, fullgraph=True)
        return lambda tensors: slow(*tensors)
    return getattr(compiled, "current_callable", None) or compiled if host else compiled
