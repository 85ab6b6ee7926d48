"""Weights in a file: numbers and nothing else.

Only safetensors is read (https://github.com/huggingface/safetensors): eight bytes with the length
of a header, a header in JSON that says where each tensor lies, then the numbers. The older formats
(``.bin``, ``.pt``, ``.pth``, ``.ckpt``, ``.pkl``) are pickles, and to read a pickle is to run the
program in it; promises to run only harmless ones have been broken more than once (CVE-2025-32434).

A file may lie about itself, so its header is checked here, by hand, before the library sees it,
and against the network that it is for before any number is read. A file is read whole or not at
all, and written whole or not at all.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from ..files import write_bytes_atomic
from .errors import CheckpointError, told
from .file_kinds import kind_of
from .strict_json import LIMIT, parse_json, regular_file

SIZES = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2,
    "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1,
}  # fmt: skip
"""Bytes of a number of each dtype that is accepted, as safetensors names them."""

_AXES = 64
_LARGEST = 2**63 - 1
_WHAT = "the file of weights"
_REASON = "only safetensors is read, since reading a pickle runs the program in it"


@dataclass(frozen=True)
class Checkpoint:
    """Tensors by name, on the CPU, words about them, and the SHA-256 of the file."""

    tensors: dict[str, Tensor]
    metadata: dict[str, str]
    digest: str


class Entry(NamedTuple):
    """What a header says of one tensor: its dtype, its shape, and its bytes after the header."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


class Header(NamedTuple):
    """A header that was checked: entries by name, words, and its own length in bytes."""

    entries: dict[str, Entry]
    metadata: dict[str, str]
    length: int


def write_weights(
    path: str | os.PathLike[str],
    tensors: Mapping[str, Tensor],
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """Write tensors as safetensors, the whole file or none.

    Parameters
    ----------
    path : str or path
        The file; its folder must exist.
    tensors : mapping of str to Tensor
        Finite tensors of any device; those that share memory are written twice.
    metadata : mapping of str to str, optional
        Words about them.

    Raises
    ------
    CheckpointError
        For a tensor that is not finite or of a dtype that is not accepted, for wrong metadata.
    OutputError
        If the file cannot be written.
    """
    words = dict(metadata or {})
    if not all(isinstance(v, str) for pair in words.items() for v in pair):
        msg = f"metadata of weights must be words by name, got {words!r}"
        raise CheckpointError(msg)
    ready = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    _check_finite(ready, os.fspath(path))
    try:
        data = safetensors.torch.save(ready, words)
    except (SafetensorError, ValueError, KeyError) as reason:
        msg = f"weights for {os.fspath(path)!r} do not fit into safetensors: {reason}"
        raise CheckpointError(msg) from reason
    _parse(data, len(data), os.fspath(path))  # what is written can be read
    return write_bytes_atomic(path, data)


def read_weights(
    path: str | os.PathLike[str], *, like: Mapping[str, tuple[int, ...]] | None = None
) -> Checkpoint:
    """Read a file of safetensors.

    Parameters
    ----------
    path : str or path
        The file.
    like : mapping of str to shape, optional
        The tensors that it must hold, all of them and no others.

    Raises
    ------
    CheckpointError
        If the file is no safetensors file, contradicts itself, does not hold those tensors, or
        holds one that is not finite; nothing of it is used then.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = write_weights(f"{folder}/a.safetensors", {"w": torch.ones(2)}, {"of": "me"})
    ...     found = read_weights(path, like={"w": (2,)})
    >>> found.tensors, found.metadata
    ({'w': tensor([1., 1.])}, {'of': 'me'})
    """
    name = os.fspath(path)
    with regular_file(path, _WHAT, CheckpointError) as (file, size):
        header = _header_of(file, size, name)
        if like is not None:
            _check_like({k: e.shape for k, e in header.entries.items()}, like, name)
        data = _all_of(file, size, name)
    if len(data) != size or _parse(data, size, name) != header:
        msg = f"{name!r} changed while it was read; read it again"
        raise CheckpointError(msg)
    try:
        tensors = safetensors.torch.load(data)
    except (SafetensorError, ValueError, KeyError, RuntimeError, MemoryError) as reason:
        msg = f"{name!r} is refused by the safetensors library: {told(reason)}"
        raise CheckpointError(msg) from reason
    _check_finite(tensors, name)
    return Checkpoint(tensors, header.metadata, hashlib.sha256(data).hexdigest())


def read_header(path: str | os.PathLike[str]) -> Header:
    """The header of a file of safetensors, checked against the size of the file.

    Raises
    ------
    CheckpointError
        If it is another kind of file, or its header contradicts the format, itself or the file.
    """
    with regular_file(path, _WHAT, CheckpointError) as (file, size):
        return _header_of(file, size, os.fspath(path))


def _header_of(file: BinaryIO, size: int, name: str) -> Header:
    start = file.read(512)
    length = _header_length(start, size, name)
    file.seek(0)
    return _parse(file.read(8 + length), size, name)


def _all_of(file: BinaryIO, size: int, name: str) -> bytes:
    try:
        file.seek(0)
        return file.read(size)
    except MemoryError as reason:
        msg = f"{name!r} has {size} bytes, more than this machine can hold"
        raise CheckpointError(msg) from reason


def _header_length(start: bytes, size: int, name: str) -> int:
    """Length of the header, from the first bytes of a file of ``size`` bytes."""
    if len(start) < 10:
        msg = f"{name!r} has {size} bytes, too few for safetensors"
        raise CheckpointError(msg)
    length = int.from_bytes(start[:8], "little")
    if start[8:9] == b"{" and 2 <= length <= min(LIMIT, size - 8):
        return length
    kind = kind_of(start)
    if kind is not None:
        msg = f"{name!r} is {kind}; {_REASON}"
        raise CheckpointError(msg)
    if start[8:9] == b"{":
        most = f"at most {LIMIT}, and {size - 8} in this file"
        msg = f"{name!r} claims a header of {length} bytes; accepted: {most}"
        raise CheckpointError(msg)
    msg = f"{name!r} is no safetensors file; {_REASON}"
    raise CheckpointError(msg)


def _parse(head: bytes, size: int, name: str) -> Header:
    length = _header_length(head, size, name)
    found = parse_json(head[8 : 8 + length], f"the header of {name!r}", CheckpointError)
    words = found.pop("__metadata__", {})
    if not isinstance(words, dict) or not all(isinstance(v, str) for v in words.values()):
        msg = f"the metadata of {name!r} must be words by name"
        raise CheckpointError(msg)
    entries = {key: _entry(key, value, name) for key, value in found.items()}
    _check_places(entries, size - 8 - length, name)
    return Header(entries, words, length)


def _entry(key: str, value: Any, name: str) -> Entry:
    """One tensor of the header."""
    where = f"tensor {key[:80]!r} of {name!r}"
    if not isinstance(value, dict) or set(value) != {"dtype", "shape", "data_offsets"}:
        msg = f"{where} must have dtype, shape and data_offsets and nothing else"
        raise CheckpointError(msg)
    dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(dtype, str) or dtype not in SIZES:
        msg = f"{where} has the dtype {told(dtype, 40)!r}; accepted: {', '.join(SIZES)}"
        raise CheckpointError(msg)
    if not _counts(shape) or len(shape) > _AXES:  # a product of millions never ends
        given = told(shape, 80)
        msg = f"{where} has the shape {given}; accepted: up to {_AXES} integers from 0 to 2^63 - 1"
        raise CheckpointError(msg)
    if not _counts(offsets) or len(offsets) != 2:
        given = told(offsets, 80)
        msg = f"{where} has the offsets {given}; accepted: two integers from 0 to 2^63 - 1"
        raise CheckpointError(msg)
    wanted = math.prod(shape) * SIZES[dtype]
    if offsets[1] - offsets[0] != wanted:
        needs = f"{wanted}" if wanted < 2**70 else "more than 2^70"  # a thousand digits at most
        msg = f"{where} needs {needs} bytes, but its offsets are {offsets}"
        raise CheckpointError(msg)
    return Entry(dtype, tuple(shape), offsets[0], offsets[1])


def _counts(value: Any) -> bool:
    return isinstance(value, list) and all(type(n) is int and 0 <= n <= _LARGEST for n in value)


def _check_places(entries: dict[str, Entry], size: int, name: str) -> None:
    """Tensors fill the file from end to end: none beyond it, none over another, no gap."""
    ordered = sorted(entries.items(), key=lambda item: (item[1].begin, item[1].end))
    for (a, first), (b, second) in itertools.pairwise(ordered):
        if second.begin < first.end:
            msg = f"tensors {a[:80]!r} and {b[:80]!r} of {name!r} overlap"
            raise CheckpointError(msg)
    place = 0
    for key, entry in ordered:
        if entry.end > size:
            msg = (
                f"tensor {key[:80]!r} of {name!r} ends at byte {entry.end} of {size}: "
                "the file is cut short, or its header is wrong"
            )
            raise CheckpointError(msg)
        if entry.begin != place:
            break
        place = entry.end
    if place != size:
        msg = f"{name!r} has bytes that belong to no tensor, from byte {place} of {size}"
        raise CheckpointError(msg)


def _check_like(
    found: Mapping[str, tuple[int, ...]], like: Mapping[str, tuple[int, ...]], name: str
) -> None:
    """Exactly the tensors that the network has."""
    for kind, keys in (("lacks", set(like) - set(found)), ("has unknown", set(found) - set(like))):
        if keys:
            shown = ", ".join(repr(k[:80]) for k in sorted(keys)[:4])
            shown += ", ..." if len(keys) > 4 else ""
            msg = f"{name!r} {kind} {len(keys)} tensors: {shown}"
            raise CheckpointError(msg)
    for key, shape in like.items():
        if tuple(shape) != tuple(found[key]):
            msg = f"tensor {key!r} of {name!r} has the shape {found[key]}, not {tuple(shape)}"
            raise CheckpointError(msg)


def _check_finite(tensors: Mapping[str, Tensor], name: str) -> None:
    for key, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            msg = f"tensor {key[:80]!r} for {name!r} holds NaN or infinity"
            raise CheckpointError(msg)
        if tensor.dtype == torch.bool and bool((tensor.view(torch.uint8) > 1).any()):
            msg = f"tensor {key[:80]!r} for {name!r} holds bytes that are neither true nor false"
            raise CheckpointError(msg)
