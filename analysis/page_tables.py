"""The tables of the certificate's page, and the work-precision figures beside them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from .page_plots import CURVES, swatch_html, work_axes, work_backdrop, work_panel
from .page_text import (
    CLAIM_WORDS,
    DASH,
    MEASURE_WORDS,
    Cell,
    chip_html,
    claimed,
    details_html,
    esc,
    interval,
    minus,
    number,
    number_cell,
    sci,
    slug,
    table_html,
    text_cell,
)
from .record import VERDICTS, decisive, declared, verdict, with_verdict

Entry = Mapping[str, Any]
Place = tuple[str, str, str, str]  # problem, process, grid, measure

_SUMMARY_HEAD = (
    "Sampler", "Family", "NFE/step", "Order, warm", "Order, cold", "Strong order",
    "Stable on", "Rounding floor",
)  # fmt: skip


def standing(entry: Entry) -> str:
    """The worst verdict of a sampler's claims, or ``failed``."""
    if entry.get("failure"):
        return "failed"
    found = [verdict(entry, claim) for claim in declared(entry)]
    return max(found, key=VERDICTS.index) if found else "not resolved"


def name_html(name: str) -> str:
    """A sampler's name, leading to its sheet."""
    return f'<a href="#s-{slug(name)}"><code>{esc(name)}</code></a>'


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


def _summary_row(entry: Entry) -> list[Cell]:
    claims = entry.get("claims") or {}
    name = Cell(name_html(entry["name"]), entry["name"])
    if entry.get("failure"):
        name = Cell(f"{name.markup} {chip_html('failed')}", entry["name"])
    return [
        name,
        _family_cell(entry),
        _nfe_cell(entry.get("nfe_per_step")),
        claim_cell(entry, "weak" if claims.get("weak") is not None else "order"),
        claim_cell(entry, "weak_cold" if claims.get("weak_cold") is not None else "order_cold"),
        claim_cell(entry, "strong"),
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
    if row.get("order") is None:
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
    low, high = stability.get("low"), stability.get("high")
    title = esc(stability.get("note") or "")
    if low is None and high is None:
        return Cell(
            f'<span class="none" title="{esc(stability.get("note", ""))}">{DASH}</span>', ""
        )
    ends = f"{'−∞' if low is None else number(low)} to {'∞' if high is None else number(high)}"
    title = esc(stability.get("note") or "")
    clock = esc(stability.get("clock") or "")
    markup = f'<span class="seen" title="{title}">{minus(ends)}<small>{clock}</small></span>'
    return Cell(markup, "" if low is None else f"{low:.4g}", "n")


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


def places(entries: Sequence[Entry], table: str) -> list[Place]:
    """Every (problem, process, grid, measure) of a table of records, in order of appearance."""
    found = {}
    for entry in entries:
        for row in entry.get(table) or ():
            found[row["problem"], row["process"], row["grid"], row.get("measure", "")] = None
    return list(found)


def _here(entry: Entry, table: str, place: Place) -> list[Mapping[str, Any]]:
    keys = ("problem", "process", "grid")
    return [
        row
        for row in entry.get(table) or ()
        if tuple(row[k] for k in keys) == place[:3] and row.get("measure", "") == place[3]
    ]


def place_html(place: Place) -> str:
    """A place in words."""
    problem, process, grid, measure = (esc(p) for p in place)
    words = MEASURE_WORDS.get(place[3], measure)
    tail = f' <span class="measure">{esc(words)}</span>' if words else ""
    return f"<b>{problem}</b> {process}, {grid}{tail}"


def accuracy_html(entries: Sequence[Entry]) -> str:
    """For each place: the work-precision panels, and the same numbers as a table."""
    parts = []
    for i, place in enumerate(places(entries, "errors")):
        curves = {e["name"]: _curve(_here(e, "errors", place)) for e in entries}
        present = [e for e in entries if _here(e, "errors", place)]
        figure = _work_html(present, curves, f"wp{i}", place)
        body = figure + _error_table(present, place)
        parts.append(details_html(place_html(place), body, opened=i == 0, identity=f"place{i}"))
    return "\n".join(parts)


def _curve(rows: Sequence[Mapping[str, Any]]) -> list[tuple[float, float]]:
    found = [(r["nfe"], r.get("value")) for r in rows if r["nfe"] > 0]
    return sorted((n, v) for n, v in found if v is not None and math.isfinite(v))


def _panels(entries: Sequence[Entry]) -> list[tuple[str, list[str]]]:
    """Names by family, large families in parts of nearly equal size."""
    families: dict[str, list[str]] = {}
    for entry in entries:
        families.setdefault(entry.get("family") or "others", []).append(entry["name"])
    out = []
    for family, members in sorted(families.items()):
        parts = math.ceil(len(members) / CURVES)
        size = math.ceil(len(members) / parts)
        for k in range(parts):
            title = family if parts == 1 else f"{family}, {k + 1} of {parts}"
            out.append((title, members[k * size : (k + 1) * size]))
    return out


def _work_html(
    entries: Sequence[Entry],
    curves: Mapping[str, list[tuple[float, float]]],
    backdrop: str,
    place: Place,
) -> str:
    drawn = [c for c in curves.values() if c]
    if not drawn:
        return ""
    axes = work_axes(drawn)
    out = [work_backdrop(axes, drawn, backdrop), '<div class="panels wide">']
    for title, members in _panels(entries):
        label = f"{place[0]}: error against model evaluations, {title}; numbers in the table below"
        picture = work_panel(axes, [curves[m] for m in members], backdrop, label)
        legend = "".join(
            f"<li>{swatch_html(k)}<code>{esc(m)}</code></li>" for k, m in enumerate(members)
        )
        out.append(
            f'<figure><h4>{esc(title)}</h4>{picture}<ul class="legend">{legend}</ul></figure>'
        )
    return "".join([*out, "</div>"])


def _error_table(entries: Sequence[Entry], place: Place) -> str:
    values = {
        e["name"]: {r["nfe"]: r.get("value") for r in _here(e, "errors", place)} for e in entries
    }
    budgets = sorted({n for row in values.values() for n in row})
    best = {
        n: min((v[n] for v in values.values() if v.get(n) is not None), default=None)
        for n in budgets
    }
    rows = []
    for name, row in values.items():
        cells = [Cell(name_html(name), name)]
        for n in budgets:
            value = row.get(n)
            shown = "diverged" if n in row and value is None else sci(value)
            mark = value is not None and value == best[n]
            cells.append(number_cell(value, f"<b>{esc(shown)}</b> *" if mark else esc(shown)))
        rows.append(cells)
    words = MEASURE_WORDS.get(place[3], place[3])
    caption = f"{words} on {place[0]} by model evaluations; * smallest"
    return table_html(["Sampler", *(f"{n:g} NFE" for n in budgets)], rows, caption=caption)


def split_html(entries: Sequence[Entry]) -> str:
    """Where the exact error comes from, place by place."""
    parts = []
    keys = ("initialisation", "truncation", "discretisation", "total")
    for place in places(entries, "split"):
        rows = [
            [Cell(name_html(e["name"]), e["name"]), number_cell(r["steps"])]
            + [number_cell(r.get(k), esc(sci(r.get(k)))) for k in keys]
            for e in entries
            for r in _here(e, "split", place)
        ]
        head = ("Sampler", "Steps", *(k.capitalize() for k in keys))
        table = table_html(head, rows, caption=f"Parts of the error on {place[0]}")
        parts.append(details_html(place_html(place), table))
    return "\n".join(parts)


def to_zero_html(entries: Sequence[Entry]) -> str:
    """What the last step to sigma = 0 costs or gains."""
    rows = []
    for entry in entries:
        for r in entry.get("to_zero") or ():
            a, b = r.get("value_without"), r.get("value_with")
            ratio = b / a if a and b is not None else None
            rows.append(
                [
                    Cell(name_html(entry["name"]), entry["name"]),
                    text_cell(r["problem"]),
                    number_cell(r["steps"]),
                    number_cell(a, esc(sci(a))),
                    number_cell(b, esc(sci(b))),
                    number_cell(ratio),
                ]
            )
    head = ("Sampler", "Problem", "Steps", "Without", "With", "With / without")
    caption = "Error without and with the last step to sigma = 0"
    return (
        details_html("<b>All samplers</b>", table_html(head, rows, caption=caption))
        if rows
        else ""
    )
