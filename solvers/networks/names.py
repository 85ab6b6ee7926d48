"""Names that become files: one component of a path, the same on every system."""

from __future__ import annotations

import os
from pathlib import Path

from .errors import NetworkError

_LENGTH = 100


def check_name(name: str) -> str:
    """The same name, if it can be that of one file or folder inside another, on any system.

    Raises
    ------
    NetworkError
        For what leads elsewhere or is shown wrongly: separators, ``..``, a leading dot, control
        characters, null bytes, nothing at all or more than a hundred characters.

    Examples
    --------
    >>> check_name("digits-32")
    'digits-32'
    """
    plain = name.isprintable() and not set(name) & set('/\\:*?"<>|')
    if not plain or not 0 < len(name) <= _LENGTH or name[0] in ". " or name[-1] in ". ":
        msg = (
            f"{name[:_LENGTH]!r} cannot be a name; accepted: up to {_LENGTH} printable characters "
            'without / \\ : * ? " < > |, no dot or blank first or last'
        )
        raise NetworkError(msg)
    return name


def inside(folder: str | os.PathLike[str], name: str) -> Path:
    """The path of ``name`` in a folder, if it is there: no separators, no link that leads out.

    Raises
    ------
    NetworkError
        For a name that is none, or a symbolic link to somewhere else.
    """
    path = Path(folder) / check_name(name)
    try:
        real, home = path.resolve(), Path(folder).resolve()
    except (OSError, ValueError, RuntimeError) as reason:  # a null byte, a loop of links
        msg = f"{os.fspath(folder)!r} cannot be a folder: {reason}"
        raise NetworkError(msg) from reason
    if real.parent != home:
        msg = f"{os.fspath(path)!r} leads out of its folder, to {os.fspath(real)!r}"
        raise NetworkError(msg)
    return path
