"""The module of a network of diffusers: built from its config, filled from checked files.

The library builds it and reads nothing: what it would look for in a folder (an index first, then
single files, pickles among them) is more than what was checked. A config is a few words of a
stranger and can describe anything, so it is first built without memory, and no further than the
files go.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from threading import get_ident
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn.modules import module as hooks

from .architectures import Undrawn
from .checkpoint import Header
from .diffusers_files import Files, weight_files
from .diffusers_training import NEEDED
from .errors import CheckpointError, NetworkError, told

CLASSES = (
    "UNet2DModel",
    "UNet2DConditionModel",
    "DiTTransformer2DModel",
    "PixArtTransformer2DModel",
    "SD3Transformer2DModel",
)
"""Classes of networks that are loaded."""
_OLD = {"ada_norm_zero": "DiTTransformer2DModel", "ada_norm_single": "PixArtTransformer2DModel"}
_SPARE = 1000
_TABLES = 2**24
"""Numbers that a module may compute for itself, as tables of positions, beside its weights."""


def class_of(config: Mapping[str, Any]) -> str:
    """The class of a config; old transformers are known by their norm.

    Raises
    ------
    NetworkError
        For one that is not in :data:`CLASSES`; no other is ever looked up.
    """
    kind = config.get("_class_name")
    if kind == "Transformer2DModel":
        kind = _OLD.get(str(config.get("norm_type")), kind)
    if kind not in CLASSES:
        accepted = ", ".join(CLASSES)
        msg = f"a network of the class {str(kind)[:80]!r} is not supported; accepted: {accepted}"
        raise NetworkError(msg)
    return str(kind)


def load_module(files: Files, variant: str | None) -> nn.Module:
    """The module in float32 and evaluation mode, every one of its weights from the files.

    Raises
    ------
    NetworkError
        If the config makes no network.
    CheckpointError
        If the weights are refused, or are not those of the config.
    """
    kind, folder = class_of(files.config), os.fspath(files.folder)
    if "quantization_config" in files.config:
        msg = f"the network in {folder!r} is quantised; load its original"
        raise NetworkError(msg)
    weights = weight_files(files.folder, variant)
    try:
        import diffusers

        made = getattr(diffusers, kind)
        _check_config(made, files.config, weights, folder)
        with torch.random.fork_rng(devices=[]), _uninitialised():
            module = made.from_config(files.config)
        _fill(module, _tensors(weights), folder)
    except ImportError as reason:
        raise NetworkError(NEEDED) from reason
    except NetworkError:
        raise
    except (
        OSError, ValueError, RuntimeError, TypeError, LookupError, ArithmeticError, MemoryError,
        AttributeError, safetensors.SafetensorError,
    ) as reason:  # fmt: skip
        why = told(reason, 300) or type(reason).__name__
        msg = f"diffusers cannot load the network in {folder!r}: {why}"
        raise NetworkError(msg) from reason
    return module.float().eval()


def _check_config(
    made: Any, config: Mapping[str, Any], weights: Mapping[Path, Header], folder: str
) -> None:
    """Build the network without memory: it may not be larger than its files."""
    entries = [entry for header in weights.values() for entry in header.entries.values()]
    held = sum(torch.Size(entry.shape).numel() for entry in entries)
    most = 2 * len(entries) + _SPARE
    with torch.device("meta"), Undrawn(), _no_more_than(most, folder):
        module = made.from_config(config)
    kept = module.state_dict()
    described = sum(v.numel() for v in kept.values())
    if described > held:
        msg = f"the config in {folder!r} describes {described} weights, its files hold {held}"
        raise CheckpointError(msg)
    tables = sum(v.numel() for name, v in module.named_buffers() if name not in kept)
    if tables > held + _TABLES:
        msg = (
            f"the config in {folder!r} describes tables of {tables} numbers beside the {held} "
            f"weights of its files; accepted: up to {_TABLES} more"
        )
        raise CheckpointError(msg)


@contextmanager
def _no_more_than(count: int, folder: str) -> Iterator[None]:
    """Stop in the middle of building what has more tensors: layers without end never end."""
    left, ours = count, get_ident()

    def entered(*_: object) -> None:
        nonlocal left
        left -= get_ident() == ours
        if left < 0:
            msg = f"the config in {folder!r} describes over {count} tensors, its files hold fewer"
            raise CheckpointError(msg)

    handles = (
        hooks.register_module_parameter_registration_hook(entered),
        hooks.register_module_buffer_registration_hook(entered),
    )
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _uninitialised() -> Any:
    """Random numbers need not be drawn for weights that are read, where the library knows how."""
    from diffusers.models import modeling_utils

    return getattr(modeling_utils, "no_init_weights", nullcontext)()


def _tensors(weights: Mapping[Path, Header]) -> dict[str, Tensor]:
    """All tensors, of the shapes that were checked."""
    found: dict[str, Tensor] = {}
    for path, header in weights.items():
        part = safetensors.torch.load_file(path)
        shapes = {key: tuple(tensor.shape) for key, tensor in part.items()}
        if shapes != {key: entry.shape for key, entry in header.entries.items()}:
            msg = f"{os.fspath(path)!r} changed while it was read; read it again"
            raise CheckpointError(msg)
        found |= part
    return found


def _fill(module: nn.Module, tensors: dict[str, Tensor], folder: str) -> None:
    """Nothing left at random, nothing left over, nothing that is not finite."""
    renamed: Callable[[dict[str, Tensor]], object] | None = getattr(
        module, "_fix_state_dict_keys_on_load", None
    )
    if renamed is not None:  # what old releases called an attention's weights
        renamed(tensors)
    optional = getattr(module, "_keys_to_ignore_on_load_unexpected", None) or ()
    wanted = {key: tuple(tensor.shape) for key, tensor in module.state_dict().items()}
    lost = [key for key in wanted if key not in tensors]
    extra = [
        key for key in tensors
        if key not in wanted and not any(re.search(p, key) for p in optional)
    ]  # fmt: skip
    odd = [key for key, shape in wanted.items() if key in tensors and tensors[key].shape != shape]
    for keys, words in ((lost, "lack"), (extra, "have unknown"), (odd, "have wrong shapes of")):
        if keys:
            shown = ", ".join(repr(key[:80]) for key in keys[:3])
            msg = f"the weights in {folder!r} {words} {len(keys)} tensors: {shown}"
            raise CheckpointError(msg)
    module.load_state_dict({key: tensors[key] for key in wanted}, strict=True)
    for key, tensor in module.state_dict().items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            msg = f"tensor {key!r} of the weights in {folder!r} holds NaN or infinity"
            raise CheckpointError(msg)
