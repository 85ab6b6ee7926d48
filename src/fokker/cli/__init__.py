"""The command ``fokker``: a dispatcher over the files of this folder, one small file a command.

A module of this folder is a command when it defines ``HELP`` (one line), ``add_arguments(parser)``
and ``run(args) -> int``; the file ``work_precision.py`` becomes the command ``work-precision``.
Heavy imports belong inside ``run``: help and version answer without PyTorch.

Exit status: what ``run`` returns (0 well, 1 a claim is not met), 2 for bad input, 3 for a mistake
of ours, 130 when interrupted. Nobody meets a bare traceback; ``FOKKER_TRACEBACK=1`` shows it.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module
from pkgutil import iter_modules
from typing import Protocol, cast

from .. import __version__

BAD_INPUT, OUR_MISTAKE, INTERRUPTED = 2, 3, 130


class Command(Protocol):
    """What a module of this folder must define to be a command."""

    HELP: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""
        ...

    def run(self, args: argparse.Namespace) -> int:
        """Do the work and return the exit status."""
        ...


def commands() -> dict[str, Command]:
    """All commands by name, in alphabetical order."""
    found = {}
    for name in sorted(info.name for info in iter_modules(__path__)):
        module = import_module(f"{__name__}.{name}")
        if hasattr(module, "HELP"):  # helpers live in the same folder
            found[name.replace("_", "-")] = cast(Command, module)
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    Parameters
    ----------
    argv : sequence of str, optional
        The words after ``fokker``; taken from the process if not given.

    Raises
    ------
    SystemExit
        By argparse: status 0 after ``--help``, 2 after a bad option.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        known = commands()
        if words and not words[0].startswith("-") and words[0] not in known:
            return _say(_unknown(words[0], known), BAD_INPUT)
        parser = _parser(known)
        args = parser.parse_args(words)
        if args.command is None:
            parser.print_help(sys.stderr)
            return BAD_INPUT
        status = known[args.command].run(args)
        sys.stdout.flush()  # a closed pipe must show here, not while the interpreter shuts down
    except KeyboardInterrupt:
        return _say("interrupted", INTERRUPTED)
    except BrokenPipeError:  # the reader has seen enough: fokker samplers | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # the last line of defence
        return _explain(error)
    return status


def _parser(known: Mapping[str, Command]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fokker",
        description="A sampler is a matrix, and every matrix is certified.",
        epilog="'fokker COMMAND --help' explains one command.",
    )
    parser.add_argument("--version", action="version", version=f"fokker {__version__}")
    choices = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for name, command in known.items():
        sub = choices.add_parser(name, help=command.HELP, description=command.HELP)
        command.add_arguments(sub)
    return parser


def _unknown(word: str, known: Mapping[str, Command]) -> str:
    nearest = get_close_matches(word, known, n=3, cutoff=0.4)
    kind, names = ("nearest", nearest) if nearest else ("accepted", list(known))
    return f"unknown command {word!r}; the {kind} names are: {', '.join(names)}"


def _explain(error: Exception) -> int:
    """One sentence for any failure; bad input and our own mistakes have different statuses."""
    if os.environ.get("FOKKER_TRACEBACK"):
        raise error
    # If this module was never imported, nobody can have raised one of its errors.
    errors = sys.modules.get("fokker.solvers.errors")
    if errors is not None and isinstance(error, errors.FokkerError):
        return _say(str(error), BAD_INPUT)
    if isinstance(error, OSError):
        place = f" ({error.filename!r})" if error.filename else ""
        return _say(f"{error.strerror or error}{place}", BAD_INPUT)
    name = type(error).__name__
    hint = "this is a mistake in fokker or in your file; FOKKER_TRACEBACK=1 shows where"
    return _say(f"{name}: {error}; {hint}", OUR_MISTAKE)


def _say(sentence: str, status: int) -> int:
    line = " ".join(sentence.split())  # words of a stranger in it may not move the cursor
    plain = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)
    print(f"fokker: {plain}", file=sys.stderr)
    return status
