"""The options ``--set KEY=VALUE`` and ``--device`` of several commands (no command itself)."""

from __future__ import annotations

import argparse
import json
from typing import Any


def add_set(parser: argparse.ArgumentParser) -> None:
    """Declare ``--set``."""
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="an option of the sampler, its value in JSON or a word; may be repeated",
    )


def read_set(words: list[str]) -> dict[str, Any]:
    """The options by name.

    Raises
    ------
    fokker.solvers.errors.AnalysisError
        For a word that is not ``KEY=VALUE``.
    """
    from ..solvers.errors import AnalysisError

    out: dict[str, Any] = {}
    for word in words:
        key, sign, value = word.partition("=")
        if not (sign and key.isidentifier()):
            msg = f"--set takes KEY=VALUE, got {word!r}"
            raise AnalysisError(msg)
        try:
            out[key] = json.loads(value)
        except json.JSONDecodeError:
            out[key] = {"True": True, "False": False, "None": None}.get(value, value)
    return out


def add_device(parser: argparse.ArgumentParser) -> None:
    """Declare ``--device``."""
    parser.add_argument(
        "--device", metavar="NAME", default="auto", help="cpu, cuda, ... (default: cuda if there)"
    )


def device_of(args: argparse.Namespace) -> str:
    """The device asked for, or the one that is there."""
    import torch

    if args.device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return args.device
