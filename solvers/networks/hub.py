"""A name ``owner/name`` on the hub of diffusers: what is fetched of it, and why it could not be.

Files are asked for by their exact names, so that nothing else is ever sent: no pickle, no code.
They are kept in the cache of ``huggingface_hub``, where a name that was fetched once is found
again without a network.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

from .errors import CheckpointError, NetworkError, told

PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".pkl")
"""How weights end that are pickles."""
RECIPE = (
    "a pickle, and reading one runs the program in it; where you trust it and it may do no harm, "
    "load it with diffusers and write it again by save_pretrained(folder, safe_serialization=True)"
)
_NUMBER = "[0-9]" * 5


def fetch(
    name: str,
    places: Sequence[str],
    stem: str,
    variant: str | None,
    *,
    local_files_only: bool = False,
    cache_dir: str | os.PathLike[str] | None = None,
) -> Path:
    """The folder of a hub name in the cache of this machine, fetched if needed and allowed.

    Parameters
    ----------
    name : str
        ``owner/name``.
    places : sequence of str
        Folders in which the network may lie; ``""`` for the top.
    stem : str
        How files of weights begin.
    variant : str, optional
        Of the weights, such as ``"fp16"``.
    local_files_only : bool
        Whether the name may only be looked up on this machine.
    cache_dir : path, optional
        Where files of the hub are kept.

    Raises
    ------
    NetworkError
        If it cannot be had.
    CheckpointError
        If all of its weights are pickles; none of their bytes was asked for.
    """
    try:
        from huggingface_hub import snapshot_download
    except ImportError as reason:
        msg = f"{name!r} is no folder here, and to look it up on the hub: pip install diffusers"
        raise NetworkError(msg) from reason
    asked: dict[str, Any] = {
        "allow_patterns": _wanted(places, stem, variant),
        "cache_dir": None if cache_dir is None else os.fspath(cache_dir),
    }
    try:
        found = snapshot_download(name, local_files_only=local_files_only, **asked)
    except Exception as reason:  # the library's own, the client's below it, the system's
        why = _why(reason, local_files_only)
        msg = f"{name!r} is no folder here, and it cannot be had from the hub: {why}"
        raise NetworkError(msg) from reason
    folder = Path(found)
    if not local_files_only and not any(folder.rglob("*.safetensors")):
        _check_pickles(name, folder.name, places)
    return folder


def _wanted(places: Sequence[str], stem: str, variant: str | None) -> list[str]:
    """Patterns of the files of a network; nothing in them stands for a separator."""
    words = f".{variant}" if variant else ""
    files = [
        "config.json",
        f"{stem}.safetensors.index{words}.json",
        f"{stem}{words}.safetensors",
    ]
    weights = glob.escape(f"{stem}{words}")
    wanted = ["model_index.json", "scheduler_config.json", "scheduler/scheduler_config.json"]
    for place in places:
        wanted += [glob.escape(f"{place}{file}") for file in files]
        wanted.append(f"{glob.escape(place)}{weights}-{_NUMBER}-of-{_NUMBER}.safetensors")
    return wanted


def _why(reason: Exception, local_files_only: bool) -> str:
    """What went wrong, for a person."""
    from huggingface_hub import errors

    if isinstance(reason, errors.GatedRepoError):
        return "it is gated; accept its terms on its page, then log in with 'hf auth login'"
    if isinstance(reason, errors.RepositoryNotFoundError):
        return "there is no such repository, or it is private and you are not logged in to it"
    cause = reason.__cause__ if isinstance(reason, errors.LocalEntryNotFoundError) else reason
    if isinstance(cause, errors.HfHubHTTPError):
        return f"the hub answers {cause.response.status_code}"
    if cause is not reason:
        state = "was not asked" if local_files_only else "does not answer, or may not be asked"
        return f"the hub {state}, and there is no whole copy of it on this machine"
    return f"the download failed, {type(reason).__name__}: {told(reason)}"


def _check_pickles(name: str, commit: str, places: Sequence[str]) -> None:
    """Say so if the repository has weights, but only such as are never fetched."""
    from huggingface_hub import HfApi

    files: list[str] = []
    with suppress(Exception):  # only the reason is missing then
        files = [f for f in HfApi().list_repo_files(name, revision=commit) if isinstance(f, str)]
    rooms = {place.rstrip("/") or "." for place in places}
    old = sorted(
        file for file in files
        if os.fspath(PurePosixPath(file).parent) in rooms and file.endswith(PICKLES)
    )  # fmt: skip
    if old:
        msg = f"{name!r} has weights only as {old[0][:80]!r}, {RECIPE}"
        raise CheckpointError(msg)
