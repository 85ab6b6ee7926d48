"""The files of a network of diffusers: where they lie, and that weights are safetensors.

::

    pipeline/model_index.json            network/config.json
    pipeline/unet/config.json            network/diffusion_pytorch_model.safetensors
    pipeline/unet/diffusion_...          scheduler/scheduler_config.json    beside it, or
    pipeline/scheduler/...               network/scheduler_config.json

Of a name on the hub only such files are fetched, see :mod:`.hub`: JSON and safetensors, never a
pickle and no code.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .checkpoint import Header, read_header
from .errors import CheckpointError, NetworkError
from .hub import PICKLES, RECIPE, fetch
from .names import check_name
from .strict_json import read_json

NETWORKS = ("unet", "transformer")
"""Folders of a pipeline in which its network may lie."""
STEM = "diffusion_pytorch_model"
"""How diffusers names weights."""

_HUB = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")


@dataclass(frozen=True)
class Files:
    """What was found: the folder of the network, its config, and that of a scheduler, if any."""

    name: str
    folder: Path
    config: Mapping[str, Any]
    scheduler: Mapping[str, Any] | None


def find_files(
    source: str | os.PathLike[str],
    *,
    subfolder: str | None = None,
    variant: str | None = None,
    local_files_only: bool = False,
    cache_dir: str | os.PathLike[str] | None = None,
) -> Files:
    """The files of a folder on this machine, or of a name ``owner/name`` on the hub.

    Raises
    ------
    NetworkError
        If there is no network, or its config is no JSON.
    CheckpointError
        If its weights are not safetensors, or contradict themselves.
    """
    text = os.fspath(source)
    for part in [*(subfolder or "_").split("/"), variant or "_"]:
        check_name(part)
    try:
        root = Path(text).expanduser()
        there = root.is_dir()
    except (ValueError, OSError, RuntimeError):  # a null byte, an unknown user
        root, there = Path(), False
    if not there:
        if not _HUB.fullmatch(text):
            msg = f"{text!r} is neither a folder nor a name owner/name on the hub"
            raise NetworkError(msg)
        places = [f"{subfolder}/"] if subfolder else ["", *(f"{n}/" for n in NETWORKS)]
        root = fetch(
            text, places, STEM, variant, local_files_only=local_files_only, cache_dir=cache_dir
        )
    folder = _network_folder(root, subfolder, text)
    config = read_json(folder / "config.json", "the config", constants=True)
    places = (
        folder / "scheduler_config.json",
        folder / "scheduler" / "scheduler_config.json",
        folder.parent / "scheduler" / "scheduler_config.json",
    )
    found = next((p for p in places if p.is_file()), None)
    scheduler = None
    if found is not None:
        scheduler = read_json(found, "the config of the scheduler", constants=True)
    return Files(Path(text).name or root.resolve().name, folder, config, scheduler)


def weight_files(folder: Path, variant: str | None) -> dict[Path, Header]:
    """The files of weights of a network, with their checked headers.

    Those of the index, if there is one, as diffusers has it; else the single file.

    Raises
    ------
    CheckpointError
        If there are none, one of them is no honest file of safetensors, or a tensor is in two.
    """
    words = f".{variant}" if variant else ""
    index = folder / f"{STEM}.safetensors.index{words}.json"
    single = folder / f"{STEM}{words}.safetensors"
    if index.exists():
        found = {folder / name: read_header(folder / name) for name in _shards(index)}
        _check_once(found)
        return found
    if single.exists():
        return {single: read_header(single)}
    old = sorted(p.name for p in folder.iterdir() if p.suffix in PICKLES)
    if old:
        msg = f"{os.fspath(folder)!r} has weights only as {old[0]!r}, {RECIPE}"
        raise CheckpointError(msg)
    msg = f"{os.fspath(folder)!r} has no weights {single.name}"
    raise CheckpointError(msg)


def _check_once(files: Mapping[Path, Header]) -> None:
    """No tensor in two files: which of them counts would be anybody's guess."""
    seen: dict[str, Path] = {}
    for path, header in files.items():
        for key in header.entries:
            if seen.setdefault(key, path) != path:
                both = f"{os.fspath(seen[key])!r} and in {path.name!r}"
                msg = f"tensor {key[:80]!r} is in {both}"
                raise CheckpointError(msg)


def _shards(index: Path) -> list[str]:
    """Names of the files of a network in several files: all of them in this one folder."""
    found = read_json(index, "the index of weights").get("weight_map")
    if not isinstance(found, dict) or not all(isinstance(v, str) for v in found.values()):
        msg = f"the index {os.fspath(index)!r} must have a weight_map from tensors to files"
        raise CheckpointError(msg)
    names = sorted(set(found.values()))
    for name in names:
        if check_name(name) != name or not name.endswith(".safetensors"):
            msg = f"the index {os.fspath(index)!r} names {name!r}, which is no safetensors file"
            raise CheckpointError(msg)
    return names


def _network_folder(root: Path, subfolder: str | None, text: str) -> Path:
    if subfolder is not None:
        folder = root / subfolder
    else:
        kinds = (root / name for name in NETWORKS)
        folder = next((f for f in kinds if (f / "config.json").is_file()), root)
    if not (folder / "config.json").is_file():
        where = f"{text!r}" if subfolder is None else f"{subfolder!r} of {text!r}"
        msg = f"{where} holds no network: no config.json there or in {' or '.join(NETWORKS)}"
        raise NetworkError(msg)
    return folder
