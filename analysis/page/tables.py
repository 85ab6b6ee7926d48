"""The tables of claims on the certificate's page: all samplers, and what is not met."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..record import VERDICTS, decisive, declared, finite, verdict, with_verdict
from .text import (
    CLAIM_WORDS,
    DASH,
    Cell,
    chip_html,
    claimed,
    code_html,
    esc,
    interval,
    number,
    number_cell,
    sci,
    slug,
    table_html,
    text_cell,
)

Entry = Mapping[str, Any]

_SUMMARY_HEAD = (
    "Sampler", "Order, warm", "Order, cold", "Strong order", "NFE/step", "Family", "Stable on",
    "Rounding floor",
)  # fmt: skip


def standing(entry: Entry) -> str:
    """The worst verdict of a sampler's claims, ``failed``, or ``no claim``."""
    if entry.get("failure"):
        return "failed"
    found = [verdict(entry, claim) for claim in declared(entry)]
    return max(found, key=VERDICTS.index) if found else "no claim"


def name_html(name: str) -> str:
    """A sampler's name, leading to its sheet."""
    return f'<a href="#s-{slug(name)}">{code_html(name)}</a>'


def summary_html(entries: Sequence[Entry]) -> str:
    """One row a sampler."""
    rows, attributes = [], []
    for entry in entries:
        words = " ".join(str(entry.get(k) or "") for k in ("name", "family", "kind", "note"))
        attributes.append(
            f'data-text="{esc(words.lower())}" data-family="{esc(entry.get("family") or "")}"'
            f' data-verdict="{standing(entry)}"'
        )
        rows.append(_summary_row(entry))
    return table_html(
        _SUMMARY_HEAD, rows, caption="All samplers", attributes=attributes, identity="summary"
    )


def methods_html(methods: Sequence[Entry]) -> str:
    """One row a measured order of the methods for general equations; empty without any."""
    rows = []
    for entry in methods:
        for o in entry.get("orders") or ():
            chip = chip_html(o["verdict"], f"{o['claim']} {claimed(o['declared'])}")
            rows.append([
                Cell(name_html(entry["name"]), entry["name"]),
                Cell(f"{chip}", f"{o['declared']:g}"),
                Cell(observed_html(o), f"{o.get('order') or 0:g}"),
                text_cell(o["problem"]),
                text_cell(o["process"]),
            ])  # fmt: skip
    head = ("Method (noise)", "Declared", "Observed", "Equation", "Noise and calculus")
    return table_html(head, rows, caption="Methods for stochastic equations") if rows else ""


def _summary_row(entry: Entry) -> list[Cell]:
    claims = declared(entry)
    first = next((c for c in ("weak", "order", "tolerance") if c in claims), "order")
    name = Cell(name_html(entry["name"]), entry["name"])
    if entry.get("failure"):
        name = Cell(f"{name.markup} {chip_html('failed')}", entry["name"])
    return [
        name,
        claim_cell(entry, first),
        claim_cell(entry, "weak_cold" if "weak_cold" in claims else "order_cold"),
        claim_cell(entry, "strong"),
        _nfe_cell(entry.get("nfe_per_step")),
        _family_cell(entry),
        _stability_cell(entry.get("stability") or {}),
        _floor_cell(entry.get("floors") or {}),
    ]


def _family_cell(entry: Entry) -> Cell:
    family, kind = entry.get("family") or DASH, entry.get("kind") or ""
    return Cell(f'<span class="seen">{esc(family)}<small>{esc(kind)}</small></span>', family)


def _nfe_cell(value: Any) -> Cell:
    return Cell("adaptive", "", "n") if not value else number_cell(value)


def claim_cell(entry: Entry, claim: str) -> Cell:
    """Declared order as a chip, and beside it the observed one with its interval."""
    value = declared(entry).get(claim)
    if value is None:
        return Cell(f'<span class="none">{DASH}</span>', "")
    row = decisive(entry, claim)
    kind = "weak " if claim.startswith("weak") else ""
    if claim == "tolerance":
        chip = chip_html(verdict(entry, claim), f"within {claimed(value)} tol")
        return Cell(f'<span class="claim"><span>{chip}</span></span>', f"{value:g}")
    chip = chip_html(verdict(entry, claim), f"{kind}{claimed(value)}")
    published = (entry.get("claims") or {}).get("published_order")
    if published is not None and claim in ("order", "weak"):
        chip += f'<small class="print">in print {claimed(published)}</small>'
    return Cell(
        f'<span class="claim"><span>{chip}</span>{observed_html(row)}</span>', f"{value:g}"
    )


def observed_html(row: Mapping[str, Any] | None) -> str:
    """What was seen: ``1.98`` over ``1.93 to 2.03``, or ``exact``."""
    if row is None:
        return '<span class="seen">not measured</span>'
    if row.get("exact"):
        return '<span class="seen">exact</span>'
    if finite(row.get("order")) is None:
        return '<span class="seen">unsettled</span>'
    span = interval(row.get("low"), row.get("high"))
    return f'<span class="seen">{row["order"]:.2f}<small>{esc(span)}</small></span>'


def _floor_cell(floors: Mapping[str, Any]) -> Cell:
    """The floor in float64 over the one in float32."""
    if not floors:
        return Cell(f'<span class="none">{DASH}</span>', "", "n")
    double, single = floors.get("float64"), floors.get("float32")
    small = f"<small>{esc(sci(single))} in f32</small>"
    return number_cell(double, f'<span class="seen">{esc(sci(double))}{small}</span>')


def _stability_cell(stability: Mapping[str, Any]) -> Cell:
    low, title = stability.get("low"), esc(stability.get("note") or "")
    span = stable_text(stability)
    if not span:
        return Cell(f'<span class="none" title="{title}">{DASH}</span>', "", "n")
    clock = esc(stability.get("clock") or "")
    markup = f'<span class="seen" title="{title}">{esc(span)}<small>{clock}</small></span>'
    return Cell(markup, "-1e9" if low == "-inf" else f"{low:.4g}", "n")


def stable_text(stability: Mapping[str, Any]) -> str:
    """``−2.5 to 0``, with an end at infinity as such; empty where it is not known."""
    ends = (stability.get("low"), stability.get("high"))
    if None in ends:
        return ""
    words = {"inf": "∞", "-inf": "−∞"}
    return " to ".join(words[e] if e in words else number(e) for e in ends)


def verdict_table(certificate: Mapping[str, Any], wanted: str) -> str:
    """The claims with one verdict, each with the measurement that decided; empty if none."""
    rows = [
        [
            Cell(name_html(r["sampler"]), r["sampler"]),
            text_cell(CLAIM_WORDS[r["claim"]]),
            Cell(chip_html(wanted, claimed(r["declared"])), r["declared"]),
            number_cell(r["observed"], DASH if r["observed"] is None else f"{r['observed']:.2f}"),
            text_cell(r["where"]),
        ]
        for r in with_verdict(certificate, wanted)
    ]
    head = ("Sampler", "Claim", "Declared", "Observed", "Where")
    return table_html(head, rows, caption=f"Claims {wanted}") if rows else ""
