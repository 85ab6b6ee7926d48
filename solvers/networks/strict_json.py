"""JSON from strangers: a limit on its size, no key twice, no NaN, one sentence when it is refused.

Python's reader keeps the last of two equal keys and takes ``NaN`` and ``Infinity``, which JSON
does not have: a file that two readers read differently can pass a check in the one and be used by
the other.
"""

from __future__ import annotations

import json
import math
import os
import stat
from pathlib import Path
from typing import Any

from .errors import NetworkError

LIMIT = 16 * 2**20
"""Longest JSON that is read, bytes; ten thousand tensors need a tenth of it."""


def parse_json(
    data: bytes,
    what: str,
    error: type[NetworkError] = NetworkError,
    *,
    constants: bool = False,
) -> dict[str, Any]:
    """The JSON object in ``data``; ``what`` is what the sentence calls it.

    With ``constants`` NaN and infinity pass, which Python's own writer puts where it has them.

    Raises
    ------
    NetworkError
        Or the given kind of it: not UTF-8, no JSON, a key twice, a number that is none, no object.
    """
    try:
        found = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_once,
            parse_constant=None if constants else _no_constant,
        )
    except RecursionError as reason:
        msg = f"{what} is nested too deep"
        raise error(msg) from reason
    except ValueError as reason:  # also what is no UTF-8, and integers of thousands of digits
        msg = f"{what} is no JSON: {' '.join(str(reason).split())[:200]}"
        raise error(msg) from reason
    if not isinstance(found, dict):
        msg = f"{what} must be a JSON object, got {type(found).__name__}"
        raise error(msg)
    return found


def read_json(
    path: str | os.PathLike[str], what: str, *, constants: bool = False
) -> dict[str, Any]:
    """The JSON object in a file of at most :data:`LIMIT` bytes.

    Raises
    ------
    NetworkError
        If it cannot be read, is too long, or is no such object.
    """
    size = regular_size(path, what, NetworkError)
    if size > LIMIT:
        msg = f"{what} {os.fspath(path)!r} has {size} bytes; at most {LIMIT} are read"
        raise NetworkError(msg)
    try:
        with Path(path).open("rb") as file:
            data = file.read(LIMIT + 1)
    except OSError as reason:
        raise NetworkError(unreadable(path, what, reason)) from reason
    return parse_json(data, f"{what} {os.fspath(path)!r}", constants=constants)


def is_number(value: Any) -> bool:
    """Whether a value of JSON is a finite number that float64 holds; true and false are none."""
    if type(value) is int:
        return abs(value) <= 2**53
    return type(value) is float and math.isfinite(value)


def is_count(value: Any, least: int = 0) -> bool:
    """Whether a value of JSON is a whole number from ``least`` up."""
    return type(value) is int and least <= value <= 2**53


def regular_size(path: str | os.PathLike[str], what: str, error: type[NetworkError]) -> int:
    """Size of an ordinary file; a pipe or a device would never end, so it is not opened."""
    try:
        found = Path(path).stat()
    except (OSError, ValueError) as reason:  # ValueError: a null byte in the name
        raise error(unreadable(path, what, reason)) from reason
    if not stat.S_ISREG(found.st_mode):
        msg = f"{what} {os.fspath(path)!r} is no ordinary file"
        raise error(msg)
    return found.st_size


def unreadable(path: str | os.PathLike[str], what: str, reason: Exception) -> str:
    """The sentence for a file that cannot be opened or read."""
    why = getattr(reason, "strerror", None) or str(reason)
    return f"cannot read {what} {os.fspath(path)!r}: {why}"


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))
        msg = f"the key {twice[:80]!r} is there twice"
        raise ValueError(msg)
    return found


def _no_constant(text: str) -> float:
    msg = f"{text} is no number of JSON"
    raise ValueError(msg)
