"""``fokker samplers``: every registered sampler, what it claims, and what was measured.

Below, in the table for the terminal, what is no sampler but works along the same path.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .text import columns, markdown

if TYPE_CHECKING:
    from ..solvers.registry import Sampler

HELP = "list the samplers with what they claim and what a certificate measured"
CLAIMS = ("order", "order_cold", "weak", "weak_cold", "strong", "published_order")
BEGIN, END = "<!-- samplers: begin -->", "<!-- samplers: end -->"
HEAD = ("sampler", "family", "kind", "order", "cold", "strong", "measured", "NFE/step", "source")
TOOLS, TOOL_HEAD = "Along the path: tools", ("tool", "keeps", "shown by", "figure", "source")
CERTIFICATE = Path("certificate/certificate.json")  # where 'make certify' writes it


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON object a sampler")
    form.add_argument("--markdown", action="store_true", help="print the table of the README")
    form.add_argument(
        "--readme", metavar="FILE", help="write that table between the markers of FILE, whole"
    )
    parser.add_argument(
        "--certificate",
        metavar="FILE",
        help=f"read the measured orders from FILE (default: {CERTIFICATE}, if it is there)",
    )


def run(args: argparse.Namespace) -> int:
    """Print the table."""
    from ..solvers.registry import samplers

    entries = samplers()
    found = measured(args.certificate)
    if args.json:
        facts = [describe(s) | {"measured": found.get(s.name, {})} for s in entries]
        print(json.dumps(facts, indent=1, ensure_ascii=False))
    elif args.markdown:
        print(table(entries, found))
    elif args.readme:
        _write_readme(Path(args.readme), table(entries, found))
    else:
        print(columns(HEAD, [row(s, found.get(s.name, {})) for s in entries]))
        print(f"\n{TOOLS}\n\n{tools()}")
        if not found:
            hint = "nothing measured: 'fokker certify --out certificate' writes what this reads"
            print(hint, file=sys.stderr)
    return 0


def measured(path: str | None) -> dict[str, dict[str, float | None]]:
    """Observed order of each claim of each sampler, where it was lowest; from a certificate.

    None where the certificate could not resolve it.

    Without a path, from where ``make certify`` writes it, if it is there.

    Raises
    ------
    AnalysisError
        If the file that was named cannot be read as a certificate.
    """
    from ..analysis.record import decisive, declared, finite, read

    if path is None and not CERTIFICATE.exists():
        return {}
    out: dict[str, dict[str, float | None]] = {}
    for entry in read(path or CERTIFICATE)["samplers"]:
        rows = {claim: decisive(entry, claim) for claim in declared(entry)}
        out[entry["name"]] = {c: finite(r.get("order")) for c, r in rows.items() if r}
    return out


def table(entries: Iterable[Sampler], found: Mapping[str, Mapping[str, float | None]]) -> str:
    """The table of the README, in Markdown; ``found`` as of :func:`measured`."""
    return markdown(HEAD, [_markdown_row(s, found.get(s.name, {})) for s in entries])


def tools() -> str:
    """The table of the tools: what is declared of each, and the test or figure that shows it."""
    from ..solvers.tools import TOOLS

    rows = [(t.place, t.keeps, t.measured, t.figure or "-", t.source) for t in TOOLS]
    return columns(TOOL_HEAD, rows)


def _write_readme(path: Path, text: str) -> None:
    from ..solvers.errors import OutputError
    from ..solvers.files import write_text_atomic

    before, begin, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        msg = f"{path} has no lines {BEGIN!r} and {END!r} between which the table belongs"
        raise OutputError(msg)
    write_text_atomic(path, f"{before}{BEGIN}\n{text}\n{END}{after}")


def describe(entry: Sampler) -> dict[str, Any]:
    """All claims and facts of a sampler."""
    keys = ("name", "kind", "family", "source", "note", "prediction", "fitted", *CLAIMS)
    facts: dict[str, Any] = {key: getattr(entry, key) for key in keys}
    return facts | {"nfe_per_step": nfe_per_step(entry), "multiple": entry.multiple}


def nfe_per_step(entry: Sampler) -> float | None:
    """Evaluations that one more step costs; None where the method chooses them as it goes."""
    many, few = 100 * entry.multiple, 50 * entry.multiple
    return (entry.nfe(many) - entry.nfe(few)) / (many - few) or None


def row(entry: Sampler, found: Mapping[str, float | None]) -> list[str]:
    """One row of the table; ``found`` are its measured orders by claim."""
    nfe = nfe_per_step(entry)
    return [
        entry.name,
        entry.family,
        f"{entry.kind}, fitted" if entry.fitted else entry.kind,
        _order(entry.order, entry.weak, entry.published_order),
        _order(entry.order_cold, entry.weak_cold),
        _order(entry.strong),
        _measured(found),
        "adaptive" if nfe is None else f"{nfe:g}",
        entry.source,
    ]


def _order(order: float | None, weak: float | None = None, printed: float | None = None) -> str:
    claim = f"weak {weak:g}" if weak is not None else "-" if order is None else f"{order:g}"
    return claim if printed is None else f"{claim} (in print {printed:g})"


def _measured(found: Mapping[str, float | None]) -> str:
    """With exact history, cold, strong: those that are claimed, in the order of the columns."""
    shown = (("order", "weak"), ("order_cold", "weak_cold"), ("strong",))
    claims = [next((c for c in names if c in found), None) for names in shown]
    values = [found[c] for c in claims if c is not None]
    return " / ".join("?" if v is None else f"{v:.2f}" for v in values) or "-"


def _markdown_row(entry: Sampler, found: Mapping[str, float | None]) -> list[str]:
    name, *middle, source = row(entry, found)
    linked = re.sub(r"arXiv:(\d{4}\.\d{4,5})", r"[\g<0>](https://arxiv.org/abs/\1)", source)
    return [f"`{name}`", *middle, linked.replace("sample_", r"sample\_")]
