"""``fokker version``: the versions that a bug report needs, without importing any of them."""

from __future__ import annotations

import argparse
import json
import platform
from importlib.metadata import PackageNotFoundError, version

from .. import __version__

HELP = "print the versions of fokker, Python and the libraries it computes with"
LIBRARIES = ("numpy", "scipy", "torch", "torchsde", "torchdiffeq", "POT", "scikit-learn")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Print the versions."""
    found = versions()
    if args.json:
        print(json.dumps(found, indent=2))
    else:
        width = max(map(len, found))
        print("\n".join(f"{name:<{width}}  {number}" for name, number in found.items()))
    return 0


def versions() -> dict[str, str]:
    """Versions by name, read from the installed metadata; 'not installed' where there is none."""
    found = {"fokker": __version__, "python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found
