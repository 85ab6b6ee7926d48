"""Writing results: whole files or nothing, and one sentence when a folder cannot be written.

A reader never meets half a file: the text goes to a new file in the same folder, is flushed to
the disk, and takes the final name in one step (a rename, atomic on one file system). An
interrupted run leaves the old file as it was.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from .errors import OutputError

_NO_LINKS = (
    errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EMLINK,
    errno.EXDEV, errno.EINVAL,
)  # fmt: skip
"""What a file system says that has no hard links, or no more of them."""


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
        try:
            os.close(_create(probe))
        finally:
            _forget(probe)  # who tidies the folder may be faster
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


def write_all_atomic(folder: str | os.PathLike[str], files: Mapping[str, bytes]) -> Path:
    """Write several files that belong together; the last one says what the others are.

    All of them lie in the folder before the first takes its name, so that a full disk leaves a
    result of before as it was. The last file, a manifest, is away while names change: where it
    is, the others are those that it lists.

    Parameters
    ----------
    folder : str or path
        Where; it must exist.
    files : mapping of str to bytes
        At least one, by name.

    Returns
    -------
    Path
        The path of the last file.

    Raises
    ------
    OutputError
        If one of them cannot be written.
    """
    targets = {Path(folder) / name: data for name, data in files.items()}
    parts = {target: _beside(target) for target in targets}
    manifest = target = list(targets)[-1]
    try:
        for target, data in targets.items():
            _fill(parts[target], data)
        manifest.unlink(missing_ok=True)
        for target, part in parts.items():
            part.replace(target)
    except (OSError, ValueError) as error:
        raise OutputError(_sentence("file", target, error)) from error
    finally:
        for part in parts.values():
            _forget(part)
    return manifest


def _written(target: Path, data: bytes, put: Callable[[Path, Path], object]) -> Path:
    for last in (False, True):
        part = _beside(target)
        try:
            _fill(part, data)
            put(part, target)
        except (OSError, ValueError) as error:
            # another process may have taken ours for a file that a kill left behind
            if last or not isinstance(error, FileNotFoundError) or not target.parent.is_dir():
                raise OutputError(_sentence("file", target, error)) from error
        else:
            break
        finally:  # also on an interrupt; after the replacement there is nothing left to remove
            _forget(part)
    return target


def _fill(part: Path, data: bytes) -> None:
    """Write a new file to the disk, to the last byte."""
    with os.fdopen(_create(part), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())  # or a power cut may keep the name and lose the bytes


def _forget(part: Path) -> None:
    """Remove our own new file; a disk that cannot even do that has failed already."""
    with suppress(OSError, ValueError):
        part.unlink(missing_ok=True)


def _named_new(part: Path, target: Path) -> None:
    """Give a file its name in one step, unless the name is taken."""
    try:
        os.link(part, target)
    except FileExistsError:
        return
    except OSError as error:
        if not isinstance(error, PermissionError) and error.errno not in _NO_LINKS:
            raise  # a full disk, say: the file may not come to be in another way
        _replaced_new(part, target)
    except NotImplementedError:
        _replaced_new(part, target)


def _replaced_new(part: Path, target: Path) -> None:
    """The same in two steps, for a file system without links."""
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
