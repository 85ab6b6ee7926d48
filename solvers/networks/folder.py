"""A network in a folder: ``network.json`` says what it is, ``weights.safetensors`` holds numbers.

Both are checked before anything is built: the record field by field, the weights by their header
against the shapes that the named architecture has. The record carries the digest of the weights,
so that the one is never used with another's. The folder takes its name when it is complete.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import OutputError
from ..files import writable_folder, write_text_atomic
from .architectures import build_module
from .asking import ModuleCall, check_answers, module_network
from .checkpoint import read_weights, write_weights
from .errors import CheckpointError, NetworkError
from .names import check_name, inside
from .network import Network
from .process_text import process_from_dict
from .record import check_record, network_record
from .strict_json import read_json

RECORD, WEIGHTS = "network.json", "weights.safetensors"
"""The two files of a folder."""


def save_network(
    folder: str | os.PathLike[str],
    network: Network,
    *,
    dtype: torch.dtype | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a network whose module is of a registered architecture.

    Parameters
    ----------
    folder : str or path
        The folder to make.
    network : Network
        As :func:`~.asking.module_network` makes it.
    dtype : dtype, optional
        Of the floating-point weights in the file, such as float16 for half of the bytes; those of
        the module by default. A file without float64 is read back into a module of float32.
    overwrite : bool
        Whether a network that is there already is replaced; nothing else ever is.

    Returns
    -------
    Path
        The folder, absolute.

    Raises
    ------
    NetworkError
        For a network that cannot be saved, or a folder with something in it.
    OutputError
        If the folder cannot be written; what was there is there still.
    """
    if not isinstance(network.call, ModuleCall) or network.module is None:
        msg = f"the network {network.name!r} has no module of weights that could be saved"
        raise NetworkError(msg)
    record = network_record(network, network.call.asked)
    state = network.module.state_dict()
    tensors = {k: _as(v, dtype) for k, v in state.items()}
    target = Path(folder).expanduser().absolute()
    _check_free(target, overwrite)
    part = writable_folder(target.parent) / f".{target.name}.{secrets.token_hex(6)}.part"
    try:
        writable_folder(part)
        weights = write_weights(part / WEIGHTS, tensors, {"name": network.name})
        record["digest"] = read_weights(weights).digest
        write_text_atomic(part / RECORD, json.dumps(record, indent=1, allow_nan=False) + "\n")
        _take_name(part, target)
    except OutputError as reason:  # of a folder that is gone when the sentence is read
        raise OutputError(str(reason).replace(os.fspath(part), os.fspath(target))) from reason
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return target


def load_network(folder: str | os.PathLike[str]) -> Network:
    """The network in a folder, on the CPU and in evaluation mode.

    Raises
    ------
    NetworkError
        If a field of the record is missing, unknown or wrong, or the network does not answer.
    CheckpointError
        If the weights are refused, or are not those that the record was written with.
    """
    record = read_json(inside(folder, RECORD), "the record")
    where = f"{os.fspath(folder)!r}"
    check_record(record, where)
    name, config = record["architecture"], record["config"]
    process = process_from_dict(record["process"])
    like = {k: tuple(v.shape) for k, v in build_module(name, config, "meta").state_dict().items()}
    found = read_weights(inside(folder, WEIGHTS), like=like)
    if found.digest != record["digest"]:
        msg = f"the weights in {where} are not those that its {RECORD} was written with"
        raise CheckpointError(msg)
    network = module_network(
        record["name"],
        _filled(build_module(name, config), found.tensors),
        process,
        prediction=record["prediction"],
        shape=tuple(record["shape"]),
        lam_range=tuple(record["lam_range"]),
        asked=record["asked"],
        classes=record["classes"],
        null_class=record["null_class"],
        sigma_data=float(record["sigma_data"]),
        about=record["about"],
    )
    check_answers(network)
    return network


def _as(tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    return tensor.to(dtype) if dtype is not None and tensor.is_floating_point() else tensor


def _filled(module: nn.Module, tensors: Mapping[str, Tensor]) -> nn.Module:
    double = any(tensor.dtype == torch.float64 for tensor in tensors.values())
    module.to(torch.float64 if double else torch.float32)
    module.load_state_dict(tensors, strict=True)
    return module.requires_grad_(False)


def _check_free(target: Path, overwrite: bool) -> None:
    """Refuse to replace anything but, if asked to, a network."""
    check_name(target.name)
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        msg = f"{os.fspath(target)!r} is no folder; nothing was written"
        raise NetworkError(msg)
    there = {path.name for path in target.iterdir()} if target.exists() else set()
    others = sorted(there - {RECORD, WEIGHTS})
    if others or (there and not overwrite):
        what = f"{others[0]!r}" if others else "a network already (overwrite=True replaces it)"
        msg = f"the folder {os.fspath(target)!r} holds {what}; nothing was written"
        raise NetworkError(msg)


def _take_name(part: Path, target: Path) -> None:
    """Give a complete folder its name; the one before it is moved aside, then removed."""
    aside = part.with_suffix(".old")
    try:
        if target.exists():
            target.replace(aside)
        part.replace(target)
    except BaseException as reason:
        with suppress(OSError):
            if aside.exists() and not target.exists():
                aside.replace(target)
        if isinstance(reason, OSError):
            msg = f"cannot write to the folder {os.fspath(target)!r}: {reason.strerror}"
            if aside.exists():  # a disk that fails twice
                msg += f"; the network that was there is in {os.fspath(aside)!r}"
            raise OutputError(msg) from reason
        raise
    shutil.rmtree(aside, ignore_errors=True)
