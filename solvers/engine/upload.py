"""Host numbers on a device, without waiting for what the device is doing."""

from __future__ import annotations

import torch
from torch import Tensor


def upload(host: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    """The tensor on a device, cast there.

    A copy from ordinary memory to a device with memory of its own waits until the device has done
    all that it was given before; from pinned memory it does not.
    """
    if device.type in _ONE_MEMORY:
        return host if device == host.device and dtype == host.dtype else host.to(device, dtype)
    return host.pin_memory().to(device, non_blocking=True).to(dtype)


_ONE_MEMORY = ("cpu", "mps", "meta")
"""Devices that share the memory of the host, or have none."""
