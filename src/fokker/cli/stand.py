"""``fokker stand``: the samplers of installed libraries, certified like our own."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .output import add_out, out_folder

HELP = "measure the samplers of installed libraries against what they claim, with the causes"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--library",
        metavar="NAME",
        nargs="+",
        action="extend",
        help="only these: diffusers, k-diffusion, azula, torchdiffeq, torchsde (default: all)",
    )
    parser.add_argument(
        "--sampler",
        metavar="NAME",
        nargs="+",
        action="extend",
        default=[],
        help="only these, by class or by the whole name of a row",
    )
    parser.add_argument(
        "--path",
        metavar="FILE:NAME",
        nargs="+",
        action="extend",
        default=[],
        help="a function (model, x, sigmas) in a file of yours",
    )
    parser.add_argument("--quick", action="store_true", help="one law and fewer step counts")
    parser.add_argument(
        "--jobs", metavar="N", type=int, default=2, help="processes (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print the record as JSON")
    add_out(parser, "stand")


def run(args: argparse.Namespace) -> int:
    """Measure, write stand.json and index.html: 0, or 1 if a measurement of ours failed.

    A claim that is not met is a finding about another library, not a failure of the command.
    """
    from ..analysis.record import to_json
    from ..analysis.stand.libraries import ELSEWHERE, LIBRARIES, choose, stand
    from ..analysis.stand.page import render
    from ..solvers.errors import AnalysisError
    from ..solvers.files import write_text_atomic
    from .certify import Bar

    if args.jobs < 1:
        msg = f"--jobs must be at least 1, got {args.jobs}"
        raise AnalysisError(msg)
    default = [] if args.path else [*LIBRARIES, *ELSEWHERE]
    libraries = args.library or default
    chosen = choose(libraries, args.sampler, args.path)
    folder = out_folder(args)
    with Bar(len(chosen)) as bar:
        record = stand(chosen, libraries, quick=args.quick, jobs=args.jobs, progress=bar)
    texts = {"stand.json": to_json(record), "index.html": render(record)}
    for name, text in texts.items():
        write_text_atomic(folder / name, text)
    if args.json:
        print(texts["stand.json"], end="")
    else:
        print("\n".join(summary(record, folder / "index.html")))
    return 1 if any(r.get("failed") for r in record["rows"]) else 0


def summary(record: Mapping[str, Any], page: Path) -> list[str]:
    """Counts, what falls short on exact levels and why, and what the libraries lack."""
    from ..analysis.stand.libraries import shortfalls

    count = record["tally"]
    lines = [
        f"samplers: {count['samplers']}, not on the stand: {count['not on the stand']}; claims on "
        f"exact levels: {count['exact: met']} met, {count['exact: not met']} not met, "
        f"{count['exact: not resolved']} not resolved; as shipped: {count['shipped: met']} met, "
        f"{count['shipped: not met']} not met"
    ]
    lines += [f"{lib['name']}: {lib['note']}" for lib in record["libraries"] if lib["note"]]
    short = shortfalls(record["rows"])
    lines += ["less than claimed, on exact levels:"] if short else []
    for label, claim, order, causes in short:
        seen = "unsettled" if order is None else f"{order:.2f}"
        lines.append(f"  {label}: claims {claim:g}, has {seen} ({causes or 'unexplained'})")
    failed = [r for r in record["rows"] if r.get("failed")]
    lines += [f"  {r['label']}: {r['why']}" for r in failed]
    return [*lines, str(page)]
