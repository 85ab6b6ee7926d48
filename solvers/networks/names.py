"""Names that become files: one component of a path, the same on every system."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

from .errors import NetworkError

_LENGTH, _BYTES = 100, 200
_DEVICES = {"con", "prn", "aux", "nul", "clock$", "conin$", "conout$"}
_DEVICES |= {f"{port}{k}" for port in ("com", "lpt") for k in range(10)}
"""What is a device in every folder of Windows, also with an ending: ``nul.txt``."""
_UNSEEN = {0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0}
"""Letters and marks of no width that count as printable; variation selectors beside them."""


def check_name(name: str) -> str:
    """The same name, if it can be that of one file or folder inside another, on any system.

    Raises
    ------
    NetworkError
        For what leads elsewhere or is shown wrongly: separators, ``..``, a leading dot, control
        characters, null bytes, nothing at all or more than a hundred characters; for what one
        system takes for another name (wide or composed letters that are not in the form NFKC),
        for what cannot be seen, and for names of devices.

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
    if name.split(".")[0].rstrip(" ").lower() in _DEVICES:
        msg = f"{name!r} cannot be a name: on Windows it is a device"
        raise NetworkError(msg)
    unseen = any(map(_is_unseen, name))
    if unseen or unicodedata.normalize("NFKC", name) != name or len(name.encode()) > _BYTES:
        msg = (
            f"{name!a} cannot be a name: it is shown as another, or longer than {_BYTES} "
            "bytes; accepted: visible characters in the form NFKC"
        )
        raise NetworkError(msg)
    return name


def _is_unseen(letter: str) -> bool:
    return ord(letter) in _UNSEEN or "VARIATION SELECTOR" in unicodedata.name(letter, "")


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
