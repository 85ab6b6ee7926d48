"""The certificate as a page: one HTML file that needs no network, and the same numbers as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

from ..record import check, declared, entries, plain, tally, verdict
from .errors import accuracy_html, split_html, to_zero_html
from .sheets import sheets_html
from .style import SCRIPT, STYLE
from .tables import methods_html, name_html, summary_html, verdict_table
from .text import SYMBOL, Cell, esc, slug, table_html, text_cell

# The page may load nothing from anywhere: the browser enforces what we promise.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"

_LIMITS = (
    "The models here are exact: their scores, laws and flows are known in closed form or to ten "
    "digits. So the certificate says how well each sampler solves the equation that it is given, "
    "and nothing else. It says nothing about the error of a trained network, which is often more "
    "than all that is measured here; about how good or how diverse the samples of a particular "
    "model are; about guidance, thresholding, conditioning or distilled networks; about problems, "
    "processes, grids and options other than those listed; or about seconds: work is counted in "
    "evaluations of the model. An order is a statement about small steps: at 5 to 20 evaluations "
    "look at the errors, and expect the best sampler to differ from problem to problem. 'Not "
    "resolved' means that the measurements do not decide; it is never counted as a pass."
)

_READING = """
<dl class="facts">
<div><dt>warm</dt><dd>started from exact history, so that the formula itself is measured</dd></div>
<div><dt>cold</dt><dd>as the sampler runs by itself, with its own start and its own last step; the
step to sigma = 0 is left out and priced on its own below</dd></div>
<div><dt>weak, strong</dt><dd>order of the law of the output; order of the path itself</dd></div>
<div><dt>observed</dt><dd>limit of the slopes on halved grids above the rounding floor, with its
interval; the problem and grid that look worst decide the claim</dd></div>
<div><dt>exact</dt><dd>every error is under the rounding floor</dd></div>
<div><dt>NFE</dt><dd>number of model evaluations; a column shows the largest number of steps
within it</dd></div>
</dl>
"""


def render(certificate: Mapping[str, Any]) -> str:
    """The certificate as one self-contained HTML page.

    Parameters
    ----------
    certificate : mapping
        A record of schema 1, see ``record.py``; numbers that are not finite are shown as such.

    Returns
    -------
    str
        HTML that loads nothing: style, script and figures are inside. It reads without script,
        in light and in dark, on paper and on a telephone.

    Raises
    ------
    AnalysisError
        If the record is not of schema 1.
    """
    data = check(plain(certificate))
    samplers = sorted(data["samplers"], key=lambda e: e["name"])
    methods = data.get("methods") or []
    sections = [
        ("answers", "Claims not met, or not resolved", _answers_html(data)),
        (
            "zoo",
            "All samplers",
            _filters_html(samplers) + summary_html(samplers) if samplers else "",
        ),
        ("methods", "Methods for stochastic equations", methods_html(methods)),
        ("reading", "How to read it", _READING + _problems_html(data)),
        ("accuracy", "Error against work", accuracy_html(samplers)),
        ("split", "Where the error comes from", split_html(samplers)),
        ("to-zero", "The step to sigma = 0", to_zero_html(samplers)),
        ("sheets", "Sampler by sampler", _FOLDING + sheets_html([*samplers, *methods])),
    ]
    present = [(i, f"<h2>{t}</h2>{b}") for i, t, b in sections if b]
    nav = "".join(f'<a href="#{i}">{t}</a>' for i, t, b in sections if b)
    body = "\n".join(f'<section id="{i}">{content}</section>' for i, content in present)
    body = f"{_head_html(data, nav)}{_limits_html(data)}\n{body}"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>fokker certificate: {esc(_headline(tally(data)))}</title>"
        f"<style>{STYLE}</style></head>\n<body><main>{body}</main>"
        f"<script>{SCRIPT}</script></body></html>\n"
    )


_FOLDING = (
    '<p class="script"><button type="button" data-fold="open">open all</button> '
    '<button type="button" data-fold="close">close all</button></p>'
)


def _headline(counts: Mapping[str, int]) -> str:
    """The verdict in words."""
    total = counts["met"] + counts["not met"] + counts["not resolved"]
    if not total:
        return "No claim was measured"
    rest = [_count(counts["not met"], "is", "are") + " not met"] if counts["not met"] else []
    if counts["not resolved"]:
        rest.append(_count(counts["not resolved"], "is", "are") + " not resolved")
    if counts["failed"]:
        rest.append(_count(counts["failed"], "sampler", "samplers") + " failed")
    if not rest:
        return f"All {total} claims are met" if total > 1 else "The one claim is met"
    return f"{counts['met']} of {total} claims are met; " + ", ".join(rest)


def _count(n: int, one: str, many: str) -> str:
    return f"{n}\u00a0{one if n == 1 else many}"


def _head_html(data: Mapping[str, Any], nav: str) -> str:
    counts = tally(data)
    bars = "".join(
        f'<span class="{slug(v)}" style="flex-grow:{counts[v]}"></span>'
        for v in ("met", "not resolved", "not met")
        if counts[v]
    )
    items = "".join(
        f'<li class="{slug(v)}"><b>{counts[v]}</b> '
        f'<span aria-hidden="true">{SYMBOL[v]}</span> {v}</li>'
        for v in ("met", "not met", "not resolved")
    )
    quick = "Quick run: fewer problems and grids than the full one. " if data.get("quick") else ""
    samplers = _count(len(data["samplers"]), "sampler", "samplers")
    return (
        f'<header><div><p class="kicker">fokker certificate</p><h1>{esc(_headline(counts))}.</h1>'
        f'<p class="lead">{quick}{samplers}, each against models whose answer is known exactly.'
        f'</p><div class="tally" aria-hidden="true">{bars}</div><ul class="counts">{items}</ul>'
        f"</div>{_provenance_html(data)}<nav>{nav}</nav></header>"
    )


def _provenance_html(data: Mapping[str, Any]) -> str:
    hardware = data.get("hardware") or {}
    cores = f"{hardware['cores']} cores" if hardware.get("cores") else ""
    machine = ", ".join(
        str(v) for v in (hardware.get("cpu"), cores, hardware.get("platform")) if v
    )
    versions = ", ".join(f"{k} {v}" for k, v in (data.get("versions") or {}).items())
    facts = {
        "made": data.get("created"),
        "versions": versions,
        "machine": machine,
        "seed": data.get("seed"),
        "schema": data["schema"],
    }
    rows = "".join(
        f"<div><dt>{k}</dt><dd>{esc(v)}</dd></div>"
        for k, v in facts.items()
        if v not in (None, "")
    )
    return f'<dl class="facts">{rows}</dl>'


def _limits_html(data: Mapping[str, Any]) -> str:
    """The paragraph of the record, or our own."""
    text = esc(data.get("not_certified") or _LIMITS)
    return f'<aside id="limits"><h2>What this does not certify</h2><p>{text}</p></aside>'


def _answers_html(data: Mapping[str, Any]) -> str:
    """What stands against the samplers: claims not met, not resolved, samplers that failed."""
    failed = [
        [Cell(name_html(e["name"]), e["name"]), text_cell(e["failure"])]
        for e in entries(data)
        if e.get("failure")
    ]
    head = ("Sampler", "What happened")
    parts = [verdict_table(data, "not met")]
    parts += [table_html(head, failed, caption="Samplers that failed")] if failed else []
    parts.append(verdict_table(data, "not resolved"))
    return "".join(parts) or "<p>None: every claim is met.</p>"


def _problems_html(data: Mapping[str, Any]) -> str:
    keys = ("name", "law", "process", "exact", "description")
    rows = [[text_cell(p.get(k)) for k in keys] for p in data["problems"]]
    head = ("Problem", "Law", "Process", "Truth", "Description")
    return table_html(head, rows, caption="The problems") if rows else ""


def _filters_html(samplers: list[Mapping[str, Any]]) -> str:
    families = sorted({e.get("family") or "" for e in samplers} - {""})
    every = '<option value="">all</option>'
    family = every + "".join(f"<option>{esc(f)}</option>" for f in families)
    verdicts = every + "".join(f"<option>{v}</option>" for v in SYMBOL)
    return (
        '<form class="script" id="filters" role="search">'
        '<label>Find <input type="search" name="text" placeholder="name, family, note"></label> '
        f'<label>Family <select name="family">{family}</select></label> '
        f'<label>Verdict <select name="verdict">{verdicts}</select></label> '
        '<output name="shown" aria-live="polite"></output></form>'
    )


CSV_HEAD = (
    "sampler", "family", "kind", "nfe_per_step", "claim", "declared", "published_order", "problem",
    "process", "grid", "warm", "observed", "low", "high", "exact", "verdict", "first_steps",
    "last_steps", "last_error", "seconds",
)  # fmt: skip


def to_csv(certificate: Mapping[str, Any]) -> str:
    """The measured orders as CSV: one row for each sampler, claim, problem, process and grid.

    Numbers have all of their digits; a missing one is an empty field. A claim that was never
    measured and a sampler that failed have a row too, without a measurement.

    Raises
    ------
    AnalysisError
        If the record is not of schema 1.
    """
    out = io.StringIO()
    writer: csv.DictWriter[str] = csv.DictWriter(out, CSV_HEAD, lineterminator="\n")
    writer.writeheader()
    for entry in entries(check(plain(certificate))):
        writer.writerows(_csv_rows(entry))
    return out.getvalue()


def _csv_rows(entry: Mapping[str, Any]) -> list[dict[str, Any]]:
    claims, measured = declared(entry), entry.get("orders") or []
    fixed = {"sampler": entry["name"], "published_order": entry["claims"].get("published_order")}
    fixed |= {k: entry.get(k) for k in ("family", "kind", "nfe_per_step")}
    rows = []
    for row in measured:
        kept = {k: row[k] for k in CSV_HEAD if k in row} | {"observed": row.get("order")}
        ends = {"first_steps": row["steps"][:1], "last_steps": row["steps"][-1:]}
        ends |= {"last_error": row["errors"][-1:]}
        rows.append(fixed | kept | {k: v[0] for k, v in ends.items() if v})
    for claim in [c for c in claims if c not in {row["claim"] for row in measured}]:
        word = "failed" if entry.get("failure") else verdict(entry, claim)
        rows.append(fixed | {"claim": claim, "declared": claims[claim], "verdict": word})
    return rows or [fixed | {"verdict": "failed" if entry.get("failure") else "no claim"}]
