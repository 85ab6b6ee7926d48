"""The page of the stand shows every row, escapes what libraries say, and loads nothing."""

from __future__ import annotations

import re

from fokker.analysis.stand.libraries import shortfalls, tally
from fokker.analysis.stand.page import render

CAUSE = {
    "cause": "last steps", "changed": "the error taken earlier", "steps": [12], "errors": [],
    "order": 2.9, "explains": True, "note": "",
}  # fmt: skip


def row(label, verdict="met", **extra):
    return {
        "library": "lib", "name": label, "label": label, "why": "", "claim": 3.0, "kind": "ode",
        "where": "docstring", "config": {}, "formula_config": {}, "command": f"fokker {label}",
        "exact": {"rows": [], "order": 2.0, "verdict": verdict, "note": "", "causes": []},
        "shipped": None, "edges": [], "options": [], "seconds": 1.0, **extra,
    }  # fmt: skip


def record(rows):
    return {
        "stand": 1, "created": "2026-01-01T00:00:00+00:00", "quick": True, "rows": rows,
        "versions": {"fokker": "0"}, "hardware": {"cpu": "some"}, "tally": tally(rows),
        "libraries": [
            {"name": "lib", "version": None, "seen": "1.0", "note": "lib is not installed"}
        ],
    }  # fmt: skip


SHORT = row("short", "not met")
SHORT["exact"] = {**SHORT["exact"], "causes": [CAUSE]}
ODD = row("<b>odd</b>")
ODD["edges"] = [{"edge": "1 step", "steps": 1, "outcome": "raised <script>alert(1)</script>"}]
OFF = {**row("off"), "kind": "none", "why": "its states are tokens", "claim": None}


def test_every_row_and_library_is_on_the_page():
    page = render(record([row("right"), SHORT, ODD, OFF]))
    for word in ("right", "short", "off", "its states are tokens", "lib is not installed"):
        assert word in page
    assert "last steps" in page
    assert "fokker right" in page


def test_what_a_library_says_is_escaped():
    page = render(record([ODD]))
    assert "<script>alert" not in page
    assert "<b>odd" not in page
    assert "raised &lt;script&gt;" in page


def test_the_page_loads_nothing():
    page = render(record([row("right")]))
    assert re.search(r"default-src 'none'", page)
    assert not re.search(r'(src|href)="(?!#)', page)


def test_links_on_the_page_lead_somewhere():
    page = render(record([row("right"), SHORT]))
    ids = set(re.findall(r'id="([^"]+)"', page))
    assert {a for a in re.findall(r'href="#([^"]+)"', page)} <= ids


def test_an_empty_record_is_a_page_too():
    assert "0 samplers" in render(record([]))


def test_the_tally_counts_rows_once():
    rows = [row("right"), SHORT, OFF]
    count = tally(rows)
    assert (count["samplers"], count["not on the stand"]) == (2, 1)
    assert (count["exact: met"], count["exact: not met"]) == (1, 1)
    assert shortfalls(rows) == [("short", 3.0, 2.0, "last steps")]
