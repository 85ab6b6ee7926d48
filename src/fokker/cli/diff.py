"""``fokker diff``: what changed between two certificates."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..analysis.changes import Change

HELP = "compare two certificates; exit status 1 if something got worse"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("before", metavar="A.json", help="the older certificate.json")
    parser.add_argument("after", metavar="B.json", help="the newer certificate.json")
    parser.add_argument(
        "--ratio",
        metavar="R",
        type=float,
        default=1.5,
        help="list errors that changed by more than this factor (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Print the changes; 1 if one of them is for the worse."""
    from ..analysis.changes import changes
    from ..analysis.record import read
    from ..solvers.errors import AnalysisError

    if not 1 < args.ratio < float("inf"):
        msg = f"--ratio must be a finite number over 1, got {args.ratio}"
        raise AnalysisError(msg)
    before, after = read(args.before), read(args.after)
    found = changes(before, after, ratio=args.ratio)
    notes = _notes(before, after)
    if args.json:
        print(json.dumps({"notes": notes, "changes": [asdict(c) for c in found]}, indent=1))
    else:
        print("\n".join([*notes, *_lines(found)]))
    return 1 if any(c.sort == "worse" for c in found) else 0


def _notes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """What else differs between the two runs, and may explain the changes."""
    out = []
    for key in ("quick", "seed", "versions", "hardware"):
        a, b = before.get(key), after.get(key)
        if a == b:
            continue
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            names = sorted(k for k in a.keys() | b.keys() if a.get(k) != b.get(k))
            parts = [f"{k} {b.get(k)}, before {a.get(k)}" for k in names]
            out.append(f"note: {key} differ: {'; '.join(parts)}")
        else:
            out.append(f"note: {key} is {b}, before {a}")
    return out


def _lines(found: list[Change]) -> list[str]:
    if not found:
        return ["nothing changed"]
    lines = []
    for sort in ("worse", "better", "other"):
        part = [c for c in found if c.sort == sort]
        if part:
            lines.append(f"{sort} ({len(part)})")
            lines += [f"  {c.sampler}: {c.text}" for c in part]
    return lines
