"""The sheet of one sampler on the certificate's page: what it is, and every measured order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..record import declared, verdict
from .plots import order_panel
from .tables import observed_html, stable_text, standing
from .text import (
    chip_html,
    claim_text,
    claimed,
    code_html,
    details_html,
    esc,
    number,
    number_cell,
    sci,
    slug,
    source_html,
    table_html,
    text_cell,
)

Entry = Mapping[str, Any]


def sheets_html(entries: Sequence[Entry]) -> str:
    """All sheets; those with something to answer for are open."""
    return "\n".join(_sheet_html(entry) for entry in entries)


def _sheet_html(entry: Entry) -> str:
    state = standing(entry)
    chips = " ".join(
        chip_html(verdict(entry, c), claim_text(c, v)) for c, v in declared(entry).items()
    )
    family = f'<span class="family">{esc(entry.get("family") or "")}</span>'
    summary = f"{code_html(entry['name'])} {family} {chips}"
    if state == "failed":
        summary += f" {chip_html('failed')}"
    body = _about_html(entry) + _tolerance_html(entry) + _panels_html(entry)
    opened = state in ("failed", "not met")
    return details_html(summary, body, opened=opened, identity=f"s-{slug(entry['name'])}")


def _about_html(entry: Entry) -> str:
    note = f"<p>{esc(entry['note'])}</p>" if entry.get("note") else ""
    if entry.get("failure"):
        note += f'<p class="failure">{chip_html("failed")} {esc(entry["failure"])}</p>'
    facts = "".join(f"<div><dt>{esc(k)}</dt><dd>{v}</dd></div>" for k, v in _facts(entry) if v)
    return f'{note}<dl class="facts">{facts}</dl>'


def _facts(entry: Entry) -> list[tuple[str, str]]:
    """Names and markup of what is known; an empty markup is left out."""
    stability, floors = entry.get("stability") or {}, entry.get("floors") or {}
    published = (entry.get("claims") or {}).get("published_order")
    nfe = entry.get("nfe_per_step")
    stable = stable_text(stability)
    clock = f" in {stability['clock']}" if stable and stability.get("clock") else ""
    note = f"; {stability['note']}" if stability.get("note") else ""
    floor = ", ".join(f"{sci(v)} in {k}" for k, v in floors.items() if v is not None)
    return [
        ("source", source_html(entry.get("source") or "")),
        ("kind", esc(entry.get("kind") or "")),
        ("asks the model for", esc(entry.get("prediction") or "")),
        ("evaluations a step", esc(number(nfe)) if nfe else "its own choice"),
        ("order claimed in print", esc(claimed(published)) if published is not None else ""),
        ("stable", esc(f"{stable}{clock}{note}".lstrip("; "))),
        ("rounding floor", esc(floor)),
        ("measured in", f"{esc(number(entry['seconds']))} s" if entry.get("seconds") else ""),
    ]


def _tolerance_html(entry: Entry) -> str:
    """What an adaptive solver makes of the tolerance it is given."""
    rows = [
        [
            text_cell(row["problem"]),
            *(number_cell(row[k]) for k in ("tol", "median", "worst", "nfe")),
        ]
        for row in entry.get("tolerance") or ()
    ]
    if not rows:
        return ""
    head = ("Problem", "Tolerance", "Median error", "Worst error", "NFE")
    return table_html(head, rows, caption="Adaptive: error against tolerance, over 8 starts")


def _panels_html(entry: Entry) -> str:
    figures = "".join(_figure_html(row) for row in entry.get("orders") or ())
    if not figures:
        return ""
    return (
        '<div class="panels">' + figures + "</div>"
        '<p class="key">Error against number of steps. Filled points lie in the window (shaded) '
        "that decides the order; the dashed line has the declared slope.</p>"
    )


def _figure_html(row: Mapping[str, Any]) -> str:
    where = f"{row['process']}, {row['grid']}"
    picture = order_panel(dict(row)) or '<p class="none">no finite error</p>'
    chip = chip_html(row["verdict"], claim_text(row["claim"], row.get("declared")))
    return (
        f"<figure>{picture}<figcaption>{chip} {observed_html(row)}"
        f"<br><b>{esc(row['problem'])}</b> {esc(where)}</figcaption></figure>"
    )
