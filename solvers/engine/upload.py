"""Host numbers on a device, without waiting for what the device is doing."""

from __future__ import annotations

import torch
from torch import Tensor


def upload(host: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    """The tensor on a device, cast there.

    A copy from ordinary memory to a CUDA device waits until the device has done all that it was
    given before; from pinned memory it does not.
    """
    if device.type == "cuda":
        return host.pin_memory().to(device, non_blocking=True).to(dtype)
    if device.type == "cpu" and dtype == host.dtype:
        return host
    return host.to(device=device, dtype=dtype)
