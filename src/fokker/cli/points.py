"""Points read from files: .npy, .npz and .csv, with nothing repaired on the way (no command)."""

from __future__ import annotations

import argparse
import hashlib
import io
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from ..solvers.transport.clouds import Cloud

SUFFIXES = (".npy", ".npz", ".csv")
_NPY, _ZIP = b"\x93NUMPY", b"PK"


def add_points(parser: argparse.ArgumentParser) -> None:
    """Declare two files of points and their weights."""
    for letter, which in (("A", "first"), ("B", "second")):
        parser.add_argument(
            letter.lower(),
            metavar=letter,
            help=f"the {which} cloud: (n, d) numbers in a .npy or .csv file, or a .npz file with "
            "'points' and, if it has them, 'weights'",
        )
    for letter in "ab":
        parser.add_argument(
            f"--weights-{letter}",
            metavar="FILE",
            help=f"weights of {letter.upper()}, (n,) numbers",
        )


def clouds_of(args: argparse.Namespace) -> tuple[Cloud, Cloud]:
    """Both clouds, checked, of one dimension."""
    from ..solvers.transport.clouds import one_dimension

    a, b = read_cloud(args.a, args.weights_a), read_cloud(args.b, args.weights_b)
    one_dimension(a, b)
    return a, b


def read_cloud(path: str, weights: str | None = None) -> Cloud:
    """The cloud of a file, its weights from a second file if one is given.

    Raises
    ------
    fokker.solvers.errors.InvalidLawError
        If a file cannot be read as said in :func:`add_points`; one sentence with the file's name.
    OSError
        If there is no such file.
    """
    from ..solvers.transport.clouds import Cloud

    held = _arrays(path)
    points, own = held["points"], held.get("weights")
    if weights is not None:
        if own is not None:
            _refuse(f"{path} holds weights of its own, so {weights} would be second ones")
        own = _arrays(weights)["points"]
        if own.ndim == 2 and own.shape[1] == 1:  # a column of a .csv file
            own = own[:, 0]
    return Cloud(points, own, name=path)


def fingerprint(path: str) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _refuse(sentence: str, cause: Exception | None = None) -> NoReturn:
    from ..solvers.errors import InvalidLawError

    raise InvalidLawError(sentence) from cause


def _arrays(path: str) -> dict[str, Any]:
    """'points', and 'weights' where the file has them; float64 arrays, or float32 ones."""
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        _refuse(f"points are read from {', '.join(SUFFIXES)} files, got {path!r}")
    data = Path(path).read_bytes()
    if not data.strip():
        _refuse(f"{path} is empty")
    if suffix == ".csv":
        return {"points": _table(path, data)}
    found = _loaded(path, data, _NPY if suffix == ".npy" else _ZIP)
    return {name: _numbers(f"{path}: {name}", value) for name, value in found.items()}


def _loaded(path: str, data: bytes, magic: bytes) -> dict[str, Any]:
    import numpy as np

    if not data.startswith(magic):
        _refuse(
            f"{path} is no {Path(path).suffix} file of NumPy (a pickle is not read: it can run "
            "code)"
        )
    try:
        held = np.load(io.BytesIO(data))  # no pickles, by default
        found = {"points": held} if magic == _NPY else {k: held[k] for k in held.files}
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        if "Object arrays" in str(error):
            why = "holds pickled Python objects, which can run code when they are read"
            _refuse(f"{path} {why}: save an array of numbers", error)
        _refuse(f"{path} cannot be read: {error}", error)
    if "points" not in found and (len(found) != 1 or "weights" in found):
        names = ", ".join(found) or "nothing"
        _refuse(f"{path} must hold an array 'points', it holds {names}")
    kept = {"points": found["points"] if "points" in found else next(iter(found.values()))}
    return kept | {k: v for k, v in found.items() if k == "weights"}


def _numbers(name: str, value: Any) -> Any:
    import numpy as np

    if value.dtype.kind not in "fiu":
        _refuse(f"{name} must be real numbers, got the dtype {value.dtype}")
    # weights of single precision sum to one in single precision: they are checked as such
    return np.asarray(value, dtype=np.float32 if value.dtype == np.float32 else np.float64)


def _table(path: str, data: bytes) -> Any:
    """The numbers of a .csv file: rows of equal length, nothing else; blank lines at the end."""
    import numpy as np

    try:
        lines = data.decode("utf-8-sig").rstrip().splitlines()
    except UnicodeDecodeError as error:
        _refuse(f"{path} is no text in UTF-8: {error.reason}", error)
    rows: list[list[float]] = []
    for number, cells in enumerate(lines, start=1):
        rows.append([_number(path, number, cell) for cell in cells.split(",")])
        if len(rows[-1]) != len(rows[0]):
            _refuse(
                f"line {number} of {path} has {len(rows[-1])} numbers and line 1 has "
                f"{len(rows[0])}"
            )
    return np.array(rows)


def _number(path: str, line: int, cell: str) -> float:
    try:
        return float(cell)
    except ValueError as error:
        _refuse(
            f"line {line} of {path} has {cell.strip()!r} where a number is wanted: only numbers "
            "with commas between them are read, without a heading",
            error,
        )
