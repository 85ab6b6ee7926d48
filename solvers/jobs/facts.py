"""What a manifest says of the network, the machine and the programs."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import torch
from torch import nn

from ..networks.errors import NetworkError
from ..networks.network import Network
from ..networks.process_text import process_to_dict
from ..networks.record import traits


def network_facts(network: Network) -> dict[str, Any]:
    """All of a network that its samples depend on and that can be written down.

    The weights enter by their SHA-256, and so does what the call holds beside them: two sets of
    texts are two networks. What a function of your own computes cannot be known: a network of one
    is known by its name.
    """
    try:
        process: Any = process_to_dict(network.process)
    except NetworkError:  # a process that cannot be written down is known by its kind
        process = {"name": type(network.process).__name__}
    return {
        "process": process,
        **traits(network),
        "weights": None if network.module is None else weights_digest(network.module),
        "call": call_digest(network),
    }


def call_digest(network: Network) -> str:
    """SHA-256 of what the call of a network holds beside the module: texts, laws, how it is asked.

    Fields of dataclasses are followed, those with a leading underscore left out; functions and
    other objects say nothing about themselves.
    """
    found = hashlib.sha256()

    def enter(value: Any) -> None:
        if isinstance(value, nn.Module):
            found.update((b"module" if network.module else weights_digest(value).encode()) + b"|")
        elif isinstance(value, (torch.Tensor, np.ndarray)):
            tensor = torch.as_tensor(value)
            found.update(f"{tensor.dtype}|{tuple(tensor.shape)}|".encode() + numbers(tensor))
        elif is_dataclass(value) and not isinstance(value, type):
            found.update(f"{type(value).__qualname__}|".encode())
            for field in fields(value):
                if not field.name.startswith("_"):
                    found.update(f"{field.name}|".encode())
                    enter(getattr(value, field.name))
        elif isinstance(value, (Mapping, list, tuple)):
            pairs = value.items() if isinstance(value, Mapping) else enumerate(value)
            found.update(f"{len(value)}|".encode())
            for key, part in sorted(pairs, key=lambda pair: str(pair[0]).zfill(20)):
                found.update(f"{key}|".encode())
                enter(part)
        elif value is None or isinstance(value, (bool, int, float, str)):
            found.update(f"{value!r}|".encode())

    enter(network.call)
    return found.hexdigest()


def weights_digest(module: nn.Module) -> str:
    """SHA-256 of the names, dtypes, shapes and numbers of all parameters and buffers."""
    found = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        found.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        found.update(numbers(tensor))
    return found.hexdigest()


def numbers(tensor: torch.Tensor) -> bytes:
    """The bytes of the numbers of a tensor, in their order."""
    plain = tensor.detach().cpu().contiguous().reshape(-1)
    return plain.view(torch.uint8).numpy().tobytes()


def versions() -> dict[str, str]:
    """Versions of what the images depend on."""
    found = {"python": platform.python_version()}
    for name in ("fokker", "torch", "numpy", "pillow"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    return found


def hardware(device: str) -> dict[str, str]:
    """The machine, and the device on it."""
    found = {"machine": platform.machine(), "system": platform.system(), "device": device}
    kind = torch.device(device)
    if kind.type == "cuda" and torch.cuda.is_available():
        found["name"] = torch.cuda.get_device_name(kind)
    return found
