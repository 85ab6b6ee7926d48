"""The stand as a page: one HTML file that needs no network, in the style of the certificate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..page.style import SCRIPT, STYLE
from ..page.text import (
    DASH,
    SYMBOL,
    Cell,
    chip_html,
    code_html,
    esc,
    sci,
    slug,
    table_html,
    text_cell,
)
from ..page.write import _POLICY
from ..record import finite, plain
from .causes import explained_by

_HOW = (
    "Every sampler is run on laws whose exact flow or exact moments are known, so the model makes "
    "no error and what is left is the sampler's. <em>Exact levels</em>: its formula in float64 on "
    "a smooth grid from lam = -1.5 to 1.5, its own start and last steps included, no step to "
    "sigma 0. <em>As shipped</em>: its own table, precision, time labels and last step, slope "
    "from 24 steps on. A cause is the same run again with one thing changed; it explains a "
    "shortfall if the claim is met then."
)
_LIMITS = (
    "A lower order than claimed is not by itself a fault: a last step of lower order is often a "
    "choice, and the order of a method says little about its samples at ten steps. What is "
    "claimed is taken from the documentation named in each row. The order as shipped is the slope "
    "that a user meets at these step counts, not an asymptotic one: a table with a large last "
    "ratio of noise levels shows a lower slope for any method. Stochastic samplers are measured "
    "on a Gaussian, exactly; nonlinear order conditions do not show there."
)


def render(record: Mapping[str, Any]) -> str:
    """The record of :func:`.libraries.stand` as one self-contained HTML page."""
    data = plain(record)
    rows = [r for r in data["rows"] if r["kind"] != "none"]
    off = [r for r in data["rows"] if r["kind"] == "none"]
    sections = [
        ("claims", "Claimed and measured", _summary(rows)),
        ("causes", "What costs the order", _causes(rows)),
        ("edges", "Few steps, and the options of the schedule", _edges(rows)),
        ("off", "Not on the stand", _off(off)),
        ("libraries", "Libraries", _libraries(data["libraries"])),
        ("again", "Measure it again", _commands(rows)),
    ]
    shown = [(i, t, b) for i, t, b in sections if b]
    nav = "".join(f'<a href="#{i}">{t}</a>' for i, t, _ in shown)
    body = "\n".join(f'<section id="{i}"><h2>{t}</h2>{b}</section>' for i, t, b in shown)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>fokker stand: {esc(_headline(data))}</title><style>{STYLE}</style></head>\n"
        f"<body><main>{_head(data, nav)}{body}</main><script>{SCRIPT}</script></body></html>\n"
    )


def _headline(data: Mapping[str, Any]) -> str:
    count = data["tally"]
    return (
        f"{count['samplers']} samplers, {count['exact: met']} claims met on exact levels, "
        f"{count['shipped: met']} as shipped"
    )


def _head(data: Mapping[str, Any], nav: str) -> str:
    software = ", ".join(f"{k} {v}" for k, v in data["versions"].items())
    libraries = ", ".join(
        f"{lib['name']} {lib['version']}" for lib in data["libraries"] if lib["version"]
    )
    return (
        '<header><div><p class="kicker">fokker stand</p>'
        f'<h1>{esc(_headline(data))}</h1><p class="lead">{_HOW}</p></div>'
        f'<dl class="facts"><div><dt>libraries</dt><dd>{esc(libraries) or "none"}</dd></div>'
        f"<div><dt>made</dt><dd>{esc(data['created'])}{', quick' if data['quick'] else ''}</dd>"
        f"</div><div><dt>software</dt><dd>{esc(software)}</dd></div>"
        f"<div><dt>machine</dt><dd>{esc(str(data['hardware'].get('cpu')))}</dd></div></dl>"
        f"<nav>{nav}</nav></header><aside><h2>What this does not say</h2><p>{_LIMITS}</p></aside>"
    )


def _order(value: Any) -> str:
    found = finite(value)
    return DASH if found is None else f"{found:.2f}"


def _chip(word: str) -> str:
    if word in SYMBOL:
        return chip_html(word)
    return f'<span class="chip plain" title="{esc(word)}">{esc(word)}</span>'


def _seen(part: Mapping[str, Any] | None) -> Cell:
    """An order with its verdict."""
    if not part:
        return text_cell(DASH)
    word = part["verdict"]
    html = f'<span class="claim">{_chip(word)}<span>{_order(part["order"])}</span></span>'
    return Cell(html, finite(part["order"]))


def _summary(rows: Sequence[Mapping[str, Any]]) -> str:
    head = (
        "Sampler", "Library", "Claim", "Where", "Exact levels", "Why less", "As shipped",
        "Why less, shipped", "Float32 floor",
    )  # fmt: skip
    table = []
    for r in rows:
        shipped = r.get("shipped") or {}
        kind = "weak " if r["kind"] == "sde" else ""
        floor = finite(shipped.get("floor"))
        table.append([
            Cell(f'<a href="#s-{slug(r["label"])}">{code_html(r["label"])}</a>', r["label"]),
            text_cell(r["library"]), Cell(f"{kind}{r['claim']:g}", r["claim"]),
            text_cell(r["where"]), _seen(r["exact"]),
            text_cell(", ".join(explained_by(r["exact"]["causes"])) or DASH),
            _seen(r.get("shipped")),
            text_cell(", ".join(explained_by(shipped.get("causes", []))) or DASH),
            text_cell(DASH if floor is None else sci(floor)),
        ])  # fmt: skip
    return table_html(head, table, caption="Claims and measured orders", identity="stand")


def _causes(rows: Sequence[Mapping[str, Any]]) -> str:
    head = ("Sampler", "Run", "Order", "Cause tried", "What was changed", "Order then", "Explains")
    table = []
    for r in rows:
        for word, part in (("exact levels", r["exact"]), ("as shipped", r.get("shipped") or {})):
            for c in part.get("causes", []):
                table.append([
                    text_cell(r["label"]), text_cell(word),
                    Cell(_order(part["order"]), finite(part["order"])),
                    text_cell(c["cause"]), text_cell(c["note"] or c["changed"]),
                    Cell(_order(c["order"]), finite(c["order"])),
                    text_cell("yes" if c["explains"] else "no"),
                ])  # fmt: skip
    if not table:
        return ""
    return table_html(head, table, caption="Each is a rerun with one thing changed")


def _edges(rows: Sequence[Mapping[str, Any]]) -> str:
    table = []
    for r in rows:
        found = [(e["edge"], e["steps"], e["outcome"]) for e in r["edges"]]
        found += [(o["option"], o["steps"], o["outcome"]) for o in r["options"]]
        for what, steps, outcome in found:
            if outcome != "finite":
                table.append([
                    text_cell(r["label"]), text_cell(what), Cell(str(steps), steps),
                    text_cell(outcome),
                ])  # fmt: skip
    total = sum(len(r["edges"]) + len(r["options"]) for r in rows)
    lead = f"<p>{total} runs; {total - len(table)} gave a finite sample. The others:</p>"
    if not table:
        return lead
    head = ("Sampler", "Edge or option", "Steps", "Outcome")
    return lead + table_html(head, table, caption="Runs without a finite sample")


def _off(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return ""
    table = [[text_cell(r["label"]), text_cell(r["library"]), text_cell(r["why"])] for r in rows]
    return table_html(("Class", "Library", "Why"), table, caption="Classes without a measurement")


def _libraries(libraries: Sequence[Mapping[str, Any]]) -> str:
    table = [
        [
            text_cell(lib["name"]), text_cell(lib["version"] or "not installed"),
            text_cell(lib["seen"] or DASH), text_cell(lib["note"] or DASH),
        ]
        for lib in libraries
    ]  # fmt: skip
    head = ("Library", "Installed", "Claims read in", "Note")
    return table_html(head, table, caption="Libraries")


def _commands(rows: Sequence[Mapping[str, Any]]) -> str:
    table = [
        [
            Cell(f'<span id="s-{slug(r["label"])}">{code_html(r["label"])}</span>', r["label"]),
            Cell(code_html(r["command"]), r["command"]),
        ]
        for r in rows
    ]
    return table_html(("Sampler", "Command"), table, caption="One command a row")
