"""JSON from strangers: limits on size and depth, no key twice, no NaN, one sentence if refused.

Python's reader keeps the last of two equal keys and takes ``NaN`` and ``Infinity``, which JSON
does not have: a file that two readers read differently can pass a check in the one and be used by
the other.
"""

from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from .errors import NetworkError, told

LIMIT = 16 * 2**20
"""Longest JSON that is read, bytes; ten thousand tensors need a tenth of it."""
DEPTH = 32
"""Deepest JSON: what is written again or shown later recurses, and may do so from further down."""


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
        Or the given kind of it: not UTF-8, no JSON, a key twice, a number that is none or that
        float64 does not hold, more than :data:`DEPTH` levels, no object.
    """
    try:
        found = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_once,
            parse_constant=None if constants else _no_constant,
            parse_float=None if constants else _finite,
        )
        _check_depth(found)
    except RecursionError as reason:
        msg = f"{what} is nested too deep"
        raise error(msg) from reason
    except ValueError as reason:  # also what is no UTF-8, and integers of thousands of digits
        msg = f"{what} is no JSON: {told(reason)}"
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
    with regular_file(path, what, NetworkError) as (file, size):
        if size > LIMIT:
            msg = f"{what} {os.fspath(path)!r} has {size} bytes; at most {LIMIT} are read"
            raise NetworkError(msg)
        data = file.read(size)
    return parse_json(data, f"{what} {os.fspath(path)!r}", constants=constants)


def is_number(value: Any) -> bool:
    """Whether a value of JSON is a finite number that float64 holds; true and false are none."""
    if type(value) is int:
        return abs(value) <= 2**53
    return type(value) is float and math.isfinite(value)


def is_count(value: Any, least: int = 0) -> bool:
    """Whether a value of JSON is a whole number from ``least`` up."""
    return type(value) is int and least <= value <= 2**53


@contextmanager
def regular_file(
    path: str | os.PathLike[str], what: str, error: type[NetworkError]
) -> Iterator[tuple[BinaryIO, int]]:
    """An ordinary file, open, and its size; a pipe or a device would never end.

    What is open is looked at again, since the name may stand for another file by then; opening
    a pipe would wait for its writer, but for the flag.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        _check_regular(Path(path).stat(), path, what, error)
        with os.fdopen(os.open(path, flags), "rb") as file:
            found = os.fstat(file.fileno())
            _check_regular(found, path, what, error)
            yield file, found.st_size
    except (OSError, ValueError) as reason:  # ValueError: a null byte in the name
        if isinstance(reason, NetworkError):
            raise
        raise error(unreadable(path, what, reason)) from reason


def _check_regular(
    found: os.stat_result, path: str | os.PathLike[str], what: str, error: type[NetworkError]
) -> None:
    if not stat.S_ISREG(found.st_mode):
        msg = f"{what} {os.fspath(path)!r} is no ordinary file"
        raise error(msg)


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


def _check_depth(found: Any) -> None:
    """Level by level, so that the check itself does not recurse."""
    level = [found]
    for _ in range(DEPTH):
        inner = (v.values() if isinstance(v, dict) else v for v in level)
        level = [part for values in inner for part in values if isinstance(part, (dict, list))]
        if not level:
            return
    raise RecursionError


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        msg = f"{text[:40]} is too large for float64"
        raise ValueError(msg)
    return value


def _no_constant(text: str) -> float:
    msg = f"{text} is no number of JSON"
    raise ValueError(msg)
