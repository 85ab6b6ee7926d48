"""``fokker samplers``: every registered sampler and what it claims."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .text import columns, markdown

if TYPE_CHECKING:
    from ..solvers.registry import Sampler

HELP = "list the samplers with what they claim"
CLAIMS = ("order", "order_cold", "weak", "weak_cold", "strong", "published_order")
BEGIN, END = "<!-- samplers: begin -->", "<!-- samplers: end -->"
HEAD = ("sampler", "family", "kind", "order", "cold", "strong", "NFE/step", "source")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON object a sampler")
    form.add_argument("--markdown", action="store_true", help="print the table of the README")
    form.add_argument(
        "--readme", metavar="FILE", help="write that table between the markers of FILE, whole"
    )


def run(args: argparse.Namespace) -> int:
    """Print the table."""
    from ..solvers.registry import samplers

    entries = samplers()
    if args.json:
        print(json.dumps([describe(s) for s in entries], indent=1, ensure_ascii=False))
    elif args.markdown:
        print(table(entries))
    elif args.readme:
        _write_readme(Path(args.readme), table(entries))
    else:
        print(columns(HEAD, [row(s) for s in entries]))
    return 0


def table(entries: Iterable[Sampler]) -> str:
    """The table of the README, in Markdown."""
    return markdown(HEAD, [_markdown_row(s) for s in entries])


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


def row(entry: Sampler) -> list[str]:
    """One row of the table."""
    nfe = nfe_per_step(entry)
    return [
        entry.name,
        entry.family,
        entry.kind,
        _order(entry.order, entry.weak, entry.published_order),
        _order(entry.order_cold, entry.weak_cold),
        _order(entry.strong),
        "adaptive" if nfe is None else f"{nfe:g}",
        entry.source,
    ]


def _order(order: float | None, weak: float | None = None, printed: float | None = None) -> str:
    claim = f"weak {weak:g}" if weak is not None else "-" if order is None else f"{order:g}"
    return claim if printed is None else f"{claim} (in print {printed:g})"


def _markdown_row(entry: Sampler) -> list[str]:
    name, *middle, source = row(entry)
    linked = re.sub(r"arXiv:(\d{4}\.\d{4,5})", r"[\g<0>](https://arxiv.org/abs/\1)", source)
    return [f"`{name}`", *middle, linked.replace("sample_", r"sample\_")]
