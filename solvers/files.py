"""Writing results: whole files or nothing, and one sentence when a folder cannot be written.

A reader never meets half a file: the text goes to a new file in the same folder, is flushed to
the disk, and takes the final name in one step (a rename, atomic on one file system). An
interrupted run leaves the old file as it was.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path

from .errors import OutputError


def writable_folder(path: str | os.PathLike[str]) -> Path:
    """Create the folder if needed and prove by writing that it can be written.

    Asking for permissions is not enough: a read-only file system, a full disk and the superuser
    all give the wrong answer, so a small file is really made and removed.

    Parameters
    ----------
    path : str or path
        The folder; missing parents are created.

    Returns
    -------
    Path
        The same folder, absolute.

    Raises
    ------
    OutputError
        If the folder cannot be made, is a file, or cannot be written.
    """
    folder = Path(path).expanduser().absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = _beside(folder / "probe")
        os.close(_create(probe))
        probe.unlink(missing_ok=True)  # who tidies the folder may be faster
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        raise OutputError(_sentence("folder", path, error)) from error
    return folder


def write_text_atomic(path: str | os.PathLike[str], text: str) -> Path:
    """Write a whole UTF-8 text file with Unix line ends, or leave what was there.

    Parameters
    ----------
    path : str or path
        The file; its folder must exist.
    text : str
        Everything the file will hold.

    Returns
    -------
    Path
        The path written.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    return write_bytes_atomic(path, text.encode())


def write_bytes_atomic(path: str | os.PathLike[str], data: bytes) -> Path:
    """Write a whole file of bytes (a picture, say), or leave what was there.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    return _written(Path(path), data, lambda part, target: part.replace(target))


def write_text_new(path: str | os.PathLike[str], text: str) -> Path:
    """Write a whole UTF-8 text file, unless there is one: of several writers the first one wins.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    return _written(Path(path), text.encode(), _named_new)


def _written(target: Path, data: bytes, put: Callable[[Path, Path], object]) -> Path:
    for last in (False, True):
        part = _beside(target)
        try:
            with os.fdopen(_create(part), "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())  # or a power cut may keep the name and lose the bytes
            put(part, target)
        except (OSError, ValueError) as error:
            # another process may have taken ours for a file that a kill left behind
            if last or not isinstance(error, FileNotFoundError) or not target.parent.is_dir():
                raise OutputError(_sentence("file", target, error)) from error
        else:
            break
        finally:  # also on an interrupt; after the replacement there is nothing left to remove
            part.unlink(missing_ok=True)
    return target


def _named_new(part: Path, target: Path) -> None:
    """Give a file its name in one step, unless the name is taken."""
    try:
        os.link(part, target)
    except FileExistsError:
        return
    except (OSError, NotImplementedError):  # a file system without links
        if not part.exists():
            raise
        if not target.exists():
            part.replace(target)


def _beside(target: Path) -> Path:
    """Name of a new hidden file in the folder of ``target``: a rename stays on one file system."""
    return target.with_name(f".{target.name}.{secrets.token_hex(6)}.part")


def _create(path: Path) -> int:
    """Open a new file; mode 0666 less the umask, where `tempfile` would give 0600."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)


def _sentence(kind: str, path: str | os.PathLike[str], error: Exception) -> str:
    reason = getattr(error, "strerror", None) or str(error)
    return f"cannot write to the {kind} {os.fspath(path)!r}: {reason}; choose a writable {kind}"
