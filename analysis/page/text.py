"""Small pieces of the certificate's page: numbers, links, chips and tables as safe HTML.

Everything that comes from the record passes :func:`esc`; a function whose name ends in ``_html``
returns markup and is never escaped again.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ..record import finite

DASH = "–"
SYMBOL = {"met": "✓", "not met": "✗", "not resolved": "?", "failed": "!"}
CLAIM_WORDS = {
    "order": "order, warm",
    "order_cold": "order, cold",
    "weak": "weak order, warm",
    "weak_cold": "weak order, cold",
    "strong": "strong order",
    "tolerance": "error over tolerance at most",
}
MEASURE_WORDS = {
    "W2": "exact 2-Wasserstein distance",
    "KL": "exact Kullback–Leibler divergence",
    "paired": "paired error to the exact flow",
    "path": "paired error to the exact path",
}
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_LINKS = re.compile(r"arXiv:(\d{4}\.\d{4,5})|\b(10\.\d{4,9}/[^\s;,)]+)")


def esc(value: Any) -> str:
    """Any value as text that is safe in HTML, also inside an attribute."""
    return html.escape(str(value), quote=True)


def number(value: Any, digits: int = 3) -> str:
    """A number with 2 to 3 significant digits; a dash where there is none."""
    if finite(value) is None:
        return DASH
    if value == 0 or isinstance(value, int):
        return minus(f"{value:.0f}")
    if not 1e-2 <= abs(value) < 1e4:
        return sci(value, digits - 1)
    shown = f"{value:.{max(0, digits - 1 - math.floor(math.log10(abs(value))))}f}"
    return minus(shown.rstrip("0").rstrip(".") if "." in shown else shown)


def sci(value: Any, digits: int = 2) -> str:
    """``1.2e−3``: for columns of errors, where the exponent is what the eye looks for."""
    if finite(value) is None:
        return DASH
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    return minus(f"{mantissa}e{int(exponent)}")


def minus(text: str) -> str:
    """The text with true minus signs."""
    return text.replace("-", "−")


def power(exponent: int) -> str:
    """``10⁻³``, for the axes of figures."""
    return f"10{str(exponent).translate(_SUPERSCRIPT)}"


def claimed(value: Any) -> str:
    """A declared order: 2, 1.5."""
    return DASH if finite(value) is None else f"{value:g}"


def claim_text(claim: str, value: Any) -> str:
    """``order 2, cold``: a claim with its number."""
    name, _, start = CLAIM_WORDS.get(claim, claim).partition(",")
    return f"{name} {claimed(value)}" + (f",{start}" if start else "")


def interval(low: Any, high: Any) -> str:
    """``1.96 to 2.04``, empty where there is none."""
    if finite(low) is None or finite(high) is None:
        return ""
    return minus(f"{low:.2f} to {high:.2f}")


def slug(name: str) -> str:
    """A name as the id of an element: letters, digits and dashes."""
    return re.sub(r"[^A-Za-z0-9_]+", "-", name).strip("-") or "unnamed"


def source_html(source: str) -> str:
    """A source with its arXiv ids and DOIs as links."""
    out, end = [], 0
    for found in _LINKS.finditer(source):
        arxiv, doi = found.groups()
        place = f"https://arxiv.org/abs/{arxiv}" if arxiv else f"https://doi.org/{doi}"
        out.append(esc(source[end : found.start()]))
        out.append(f'<a href="{esc(place)}" rel="noopener">{esc(found.group())}</a>')
        end = found.end()
    return "".join([*out, esc(source[end:])])


def code_html(name: str) -> str:
    """A name in code letters, which may break after an underscore."""
    return f"<code>{esc(name).replace('_', '_<wbr>')}</code>"


def chip_html(verdict: str, text: str = "") -> str:
    """A verdict by symbol, word and colour; ``text`` stands in the place of the word."""
    words = esc(text or verdict)
    hidden = f'<span class="sr"> ({esc(verdict)})</span>' if text else ""
    kind = slug(verdict)
    symbol = f'<span aria-hidden="true">{SYMBOL[verdict]}</span>'
    return f'<span class="chip {kind}" title="{esc(verdict)}">{symbol} {words}{hidden}</span>'


@dataclass(frozen=True)
class Cell:
    """One cell of a table: its markup, and the value by which its column is sorted."""

    markup: str
    sort: Any = None
    kind: str = ""


def text_cell(text: Any) -> Cell:
    """Words."""
    return Cell(esc(DASH if text in (None, "") else text))


def number_cell(value: Any, markup: str | None = None) -> Cell:
    """A number, sorted by its value; missing numbers come last."""
    sort = "" if finite(value) is None else f"{value:.6g}"
    return Cell(markup or esc(number(value)), sort, "n")


def table_html(
    head: Sequence[str],
    rows: Iterable[Sequence[Cell]],
    *,
    caption: str,
    attributes: Sequence[str] = (),
    identity: str = "",
) -> str:
    """A table that scrolls by itself on a narrow screen; its columns sort where there is script.

    The first cell of a row is its heading; ``attributes`` are those of the rows.
    """
    listed = [list(row) for row in rows]
    kinds = [cell.kind for cell in listed[0]] if listed else [""] * len(head)
    columns = "".join(
        f'<th scope="col"{_kind(k)}>{esc(h)}</th>' for h, k in zip(head, kinds, strict=True)
    )
    lines = []
    for i, row in enumerate(listed):
        extra = f" {attributes[i]}" if attributes else ""
        cells = "".join(_cell_html(cell, first=j == 0) for j, cell in enumerate(row))
        lines.append(f"<tr{extra}>{cells}</tr>")
    name = f' id="{esc(identity)}"' if identity else ""
    body = "\n".join(lines)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{esc(caption)}">'
        f'<table class="sortable"{name}><caption>{esc(caption)}</caption>'
        f"<thead><tr>{columns}</tr></thead>\n<tbody>{body}</tbody></table></div>"
    )


def _cell_html(cell: Cell, *, first: bool) -> str:
    sort = "" if cell.sort is None else f' data-sort="{esc(cell.sort)}"'
    if first:
        return f'<th scope="row"{sort}>{cell.markup}</th>'
    return f"<td{sort}{_kind(cell.kind)}>{cell.markup}</td>"


def _kind(kind: str) -> str:
    return f' class="{kind}"' if kind else ""


def details_html(summary: str, body: str, *, opened: bool = False, identity: str = "") -> str:
    """A part that unfolds; ``summary`` and ``body`` are markup."""
    name = f' id="{esc(identity)}"' if identity else ""
    state = " open" if opened else ""
    unfolded = f'<div class="body">{body}</div>'
    return f"<details{name}{state}><summary>{summary}</summary>\n{unfolded}</details>"
