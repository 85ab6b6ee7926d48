"""What a manifest says of the machine and the programs."""

from __future__ import annotations

import functools
import platform
from importlib.metadata import PackageNotFoundError, version

import torch


def versions() -> dict[str, str]:
    """Versions of what the images depend on."""
    named = {name: _version(name) for name in ("fokker", "torch", "numpy", "pillow")}
    return {"python": platform.python_version(), **named}


@functools.cache  # the metadata of a package are searched for on the disk
def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"


def hardware(device: str) -> dict[str, str]:
    """The machine, and the device on it."""
    found = {"machine": platform.machine(), "system": platform.system(), "device": device}
    kind = torch.device(device)
    if kind.type == "cuda" and torch.cuda.is_available():
        found["name"] = torch.cuda.get_device_name(kind)
    return found
