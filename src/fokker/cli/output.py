"""The option ``--out`` shared by the commands that write files (a helper, not a command)."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_out(parser: argparse.ArgumentParser, default: str) -> None:
    """Declare ``--out DIR`` with a default folder, relative to where the user stands."""
    parser.add_argument(
        "--out",
        metavar="DIR",
        default=default,
        help="folder for the results, made if it is missing (default: %(default)s)",
    )


def out_folder(args: argparse.Namespace) -> Path:
    """Return the folder of ``--out``, made and proved writable before any work begins.

    Raises
    ------
    fokker.solvers.errors.OutputError
        If the folder cannot be made or written.
    """
    from ..solvers.files import writable_folder

    return writable_folder(args.out)
