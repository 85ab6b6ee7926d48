"""Errors on the certificate's page: against work, by part, and at the step to sigma = 0."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ..record import finite
from .plots import CURVES, swatch_html, work_axes, work_backdrop, work_panel
from .tables import name_html
from .text import (
    MEASURE_WORDS,
    Cell,
    code_html,
    details_html,
    esc,
    number_cell,
    sci,
    table_html,
    text_cell,
)

Entry = Mapping[str, Any]
Place = tuple[str, str, str, str]  # problem, process, grid, measure


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
    found = ((r["nfe"], finite(r.get("value"))) for r in rows if r["nfe"] > 0)
    return sorted((n, v) for n, v in found if v is not None)


def _panels(entries: Sequence[Entry]) -> list[tuple[str, list[str]]]:
    """Names by family, large families in parts of nearly equal size."""
    if len(entries) <= CURVES:
        return [("all samplers", [entry["name"] for entry in entries])]
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
        legend = "".join(f"<li>{swatch_html(k)}{code_html(m)}</li>" for k, m in enumerate(members))
        out.append(
            f'<figure><h4>{esc(title)}</h4>{picture}<ul class="legend">{legend}</ul></figure>'
        )
    key = (
        '<p class="key">Error against model evaluations. In grey all samplers, in colour those '
        "of the panel; values beyond the axis lie on its edge, those not finite are left out.</p>"
    )
    return "".join([*out, "</div>", key])


def _error_table(entries: Sequence[Entry], place: Place) -> str:
    values = {
        e["name"]: {r["nfe"]: finite(r.get("value")) for r in _here(e, "errors", place)}
        for e in entries
    }
    medians = {
        (e["name"], r["nfe"]): r["median"]
        for e in entries
        for r in _here(e, "errors", place)
        if finite(r.get("median")) is not None
    }
    budgets = sorted({n for row in values.values() for n in row})
    best = {n: _smallest([v.get(n) for v in values.values()]) for n in budgets}
    rows = []
    for name, row in values.items():
        cells = [Cell(name_html(name), name)]
        for n in budgets:
            value = row.get(n)
            shown = "diverged" if n in row and value is None else sci(value)
            mark = value is not None and value == best[n]
            text = f"<b>{esc(shown)}</b> *" if mark else esc(shown)
            if (name, n) in medians:
                middle = esc(sci(medians[name, n]))
                text = f'<span class="seen">{text}<small>{middle}</small></span>'
            cells.append(number_cell(value, text))
        rows.append(cells)
    words = MEASURE_WORDS.get(place[3], place[3])
    caption = f"{words} on {place[0]} by model evaluations; * smallest"
    if medians:
        caption += "; below it the median: one start in a wrong mode rules the mean square"
    return table_html(["Sampler", *(f"{n:g} NFE" for n in budgets)], rows, caption=caption)


def _smallest(values: Sequence[float | None]) -> float | None:
    return min((v for v in values if v is not None), default=None)


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
            a, b = finite(r.get("value_without")), finite(r.get("value_with"))
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
