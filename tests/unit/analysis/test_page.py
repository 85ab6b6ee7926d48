"""The certificate's page: complete, safe, self-contained; and the numbers as CSV."""

from __future__ import annotations

import copy
import csv
import io
import re
from html.parser import HTMLParser

import pytest

import fake_certificate as fake
from fokker.analysis.page.plots import Axes, decades, order_panel
from fokker.analysis.page.style import STYLE
from fokker.analysis.page.text import interval, number, sci, source_html
from fokker.analysis.page.write import CSV_HEAD, render, to_csv
from fokker.analysis.record import with_verdict
from fokker.solvers.errors import AnalysisError

VOID = {"meta", "br", "input", "wbr", "path", "use", "rect"}
OUTSIDE = re.compile(r"https://(arxiv\.org/abs|doi\.org)/")


class Page(HTMLParser):
    """Checks that tags nest, and collects ids, links, table rows and words."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.inner: list[str] = []
        self.outer: list[str] = []
        self.loads: list[str] = []
        self.rows: dict[str, list[str]] = {}
        self._table = ""
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {k: v or "" for k, v in attrs}
        self.ids += [found["id"]] if "id" in found else []
        self.loads += [v for k, v in found.items() if k in ("src", "srcset", "data", "poster")]
        if tag == "link":
            self.loads.append(found.get("href", ""))
        elif "href" in found:
            inner = found["href"].startswith("#")
            (self.inner if inner else self.outer).append(found["href"])
        if tag == "table":
            self._table = found.get("id", f"table{len(self.rows)}")
            self.rows[self._table] = []
        if tag == "tr":
            self.rows[self._table].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)
            if "tr" in self.open:
                self.rows[self._table][-1] += f"{data} "


def page(certificate: dict | None = None) -> Page:
    return Page(render(certificate or fake.certificate()))


def text_of(found: Page) -> str:
    return " ".join("".join(found.words).replace("\u00a0", " ").split())


def test_the_page_is_well_formed_and_its_inner_links_lead_somewhere():
    found = page()
    assert found.open == []
    assert len(found.ids) == len(set(found.ids))
    assert {link[1:] for link in found.inner} <= set(found.ids)


def test_the_page_loads_nothing_from_anywhere():
    found, text = page(), render(fake.certificate())
    assert found.loads == []
    assert found.outer
    assert all(OUTSIDE.match(link) for link in found.outer)
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    script = text[text.index("<script>") :]
    assert not re.search(r"fetch|XMLHttpRequest|import\(|https?:", script)
    assert "default-src 'none'" in text


def test_every_sampler_has_a_row_and_a_sheet_and_every_claim_its_verdict():
    certificate = fake.certificate()
    text = render(certificate)
    found = Page(text)
    rows = found.rows["summary"][1:]
    names = sorted(e["name"] for e in certificate["samplers"])
    assert [row.split()[0] for row in rows] == names
    assert {f"s-{name}" for name in names} <= set(found.ids)
    row = dict(zip(names, rows, strict=True))
    assert "(met)" in row["good"]
    assert "2.01" in row["good"]
    assert "exact" in row["exactly"]
    assert "(not met)" in row["bad"]
    assert "1.99" in row["bad"]  # the worst grid decides, not the first
    assert "(not resolved)" in row["unclear"]
    assert "weak 2" in row["random"]
    assert "failed" in row["broken"]
    kinds = re.findall(r'<tr data-text="[^"]*" data-family="[^"]*" data-verdict="([^"]*)"', text)
    assert kinds == ["not met", "failed", "met", "met", "met", "not resolved"]  # by name


def test_the_heading_says_the_verdict_in_words():
    said = text_of(page())
    assert "5 of 7 claims are met; 1 is not met, 1 is not resolved, 1 sampler failed." in said
    good = fake.default_samplers()[:1]
    assert "All 2 claims are met." in text_of(page(fake.certificate(good)))
    assert "No claim was measured." in text_of(page(fake.certificate([])))


def test_what_is_not_met_is_listed_with_the_measurement_that_decides():
    said = text_of(page())
    assert "gaussian, VPLinear, wavy-lam" in said
    assert "the model's output is not finite in step 3" in said
    (unmet,) = with_verdict(fake.certificate(), "not met")
    assert (unmet["sampler"], unmet["claim"], unmet["declared"]) == ("bad", "order", 3)
    assert unmet["observed"] == pytest.approx(1.99)
    assert unmet["where"] == "gaussian, VPLinear, wavy-lam"


def test_the_page_says_what_it_does_not_certify_and_where_it_was_made():
    said = text_of(page(fake.certificate(quick=True)))
    for words in ("trained network", "guidance", "never counted as a pass", "a processor"):
        assert words in said
    assert "torch 2.13.0" in said
    assert "Quick run" in said
    assert "Quick run" not in text_of(page())


def test_everything_from_the_record_is_escaped():
    evil = "<script>alert(1)</script>\"'&"
    entry = fake.sampler(evil, [fake.order_row("order", 2, 2.0, problem=evil, grid=evil)])
    entry |= {"family": evil, "note": evil, "source": evil, "failure": evil, "kind": evil}
    entry["stability"] = {"clock": evil, "low": -1.0, "high": 0.0, "note": evil}
    for row in (*entry["errors"], *entry["split"], *entry["to_zero"]):
        row |= {"problem": evil}
    certificate = fake.certificate([entry], created=evil, hardware={"cpu": evil})
    certificate["problems"][0] |= {"name": evil, "description": evil}
    text = render(certificate)
    assert text.count("<script>") == 1
    assert "alert(1)</script>" not in text
    found = Page(text)
    assert found.open == []
    assert "".join(found.words).count(evil) > 10


def test_a_planted_failure_to_escape_would_be_seen(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("fokker.analysis.page.text.esc", str)
    entry = fake.sampler("a", [fake.order_row("order", 2, 2.0)], family="<script>x</script>")
    assert render(fake.certificate([entry])).count("<script>") > 1


def test_verdicts_are_words_and_symbols_not_colour_alone():
    text = render(fake.certificate())
    chips = re.findall(r'<span class="chip (?:met|not-met|not-resolved)"[^>]*>(.*?)</span> ', text)
    assert chips
    assert all(re.search("[✓✗?]", chip) for chip in chips)
    for word in ("(met)", "(not met)", "(not resolved)"):
        assert word in text


def test_numbers_that_are_not_finite_do_not_reach_the_page():
    certificate = fake.certificate()
    row = certificate["samplers"][0]["orders"][0]
    row |= {"errors": [float("nan"), float("inf"), None, 1e-3, 0.0], "slopes": []}
    said = text_of(page(certificate))
    assert not re.search(r"\b(nan|inf|NaN|None)\b", said)
    assert "diverged" in said


def test_a_sampler_stable_everywhere_and_one_without_claims_are_shown_as_such():
    entries = [
        fake.sampler("calm", [fake.order_row("order", 1, 1.0)]),
        fake.sampler("adaptive", [], nfe_per_step=0.0),
    ]
    entries[0]["stability"]["low"] = -float("inf")
    entries[1]["stability"] = {"clock": "lam", "low": None, "high": 0.0, "note": "no recurrence"}
    found = page(fake.certificate(entries))
    adaptive, calm = found.rows["summary"][1:]
    assert "−∞ to 0" in calm
    assert "∞" not in adaptive
    assert "adaptive" in adaptive
    assert "resolved" not in adaptive


def test_the_page_reads_with_the_optional_parts_missing():
    certificate = fake.certificate()
    for key in ("hardware", "versions", "created", "seed", "quick"):
        del certificate[key]
    for entry in certificate["samplers"]:
        for key in set(entry) - {"name", "claims", "verdicts"}:
            del entry[key]
    found = page(certificate)
    assert found.open == []
    assert {link[1:] for link in found.inner} <= set(found.ids)


def test_a_large_certificate_stays_under_the_bound():
    claims = [("order", 2), ("order_cold", 2)]
    rows = [
        fake.order_row(c, p, 2.0, problem=problem, grid=grid)
        for c, p in claims
        for problem in ("gaussian", "mixture")
        for grid in ("uniform-lam", "wavy-lam")
    ]
    problems = ("gaussian", "mixture", "product", "digits-gaussian", "digits-mixture")
    errors = [e for p in problems for m in ("W2", "KL") for e in fake.error_rows(2.0, p, m)]
    entries = [fake.sampler(f"sampler_{i}", rows, errors=errors) for i in range(90)]
    assert len(render(fake.certificate(entries)).encode()) < 5e6


def test_the_record_is_left_as_it_was():
    certificate = fake.certificate()
    before = copy.deepcopy(certificate)
    render(certificate)
    to_csv(certificate)
    assert certificate == before


def test_every_measurement_is_a_row_of_the_csv_with_all_digits():
    certificate = fake.certificate()
    rows = list(csv.DictReader(io.StringIO(to_csv(certificate))))
    assert tuple(rows[0]) == CSV_HEAD
    keys = [(r["sampler"], r["claim"], r["grid"]) for r in rows]
    assert len(keys) == len(set(keys)) == 9
    first = rows[0]
    entry = certificate["samplers"][0]
    assert float(first["last_error"]) == entry["orders"][0]["errors"][-1]
    assert first["verdict"] == "met"
    assert (first["first_steps"], first["last_steps"]) == ("8", "128")
    assert rows[-1]["sampler"] == "broken"
    assert rows[-1]["verdict"] == "failed"
    assert rows[5]["observed"] == ""  # not resolved


def test_a_claim_that_was_never_measured_is_a_row_and_not_a_pass():
    entry = fake.sampler("silent", [])
    entry["claims"]["order"] = 2
    (row,) = csv.DictReader(io.StringIO(to_csv(fake.certificate([entry]))))
    assert (row["claim"], row["verdict"]) == ("order", "not resolved")
    assert "0 of 1 claims are met; 1 is not resolved" in text_of(page(fake.certificate([entry])))


def test_numbers_have_two_to_three_digits():
    seen = {0.000123456: "1.2e−4", 0.0123456: "0.0123", 1.0: "1", 12.3456: "12.3", 1234.5: "1234"}
    assert {v: number(v) for v in seen} == seen
    assert number(1e5) == "1.0e5"
    assert number(-2.0) == "−2"
    assert number(1000) == "1000"
    assert number(float("nan")) == number(None) == "–"
    assert sci(1.26e-12) == "1.3e−12"
    assert interval(-0.5, 1.999) == "−0.50 to 2.00"


def test_sources_become_links_to_arxiv_and_doi_only():
    source = "A & B 2020, arXiv:2010.02502, eq. 12; doi 10.1016/j.jcp.2004.08.006, <b>"
    found = source_html(source)
    assert 'href="https://arxiv.org/abs/2010.02502"' in found
    assert 'href="https://doi.org/10.1016/j.jcp.2004.08.006"' in found
    assert found.count("href") == 2
    assert "A &amp; B" in found
    assert "&lt;b&gt;" in found


def test_a_figure_puts_points_where_the_numbers_are():
    axes = Axes(x=(10.0, 1000.0), y=(-4, 0), width=300.0, height=200.0)
    assert axes.px(100.0) == pytest.approx((axes.px(10.0) + axes.px(1000.0)) / 2)
    assert axes.py(1e-2) == pytest.approx((axes.py(1.0) + axes.py(1e-4)) / 2)
    assert axes.py(1e-3) > axes.py(1e-2)  # smaller errors lie lower
    assert axes.py(1e9) == axes.py(1.0)  # beyond the axis: on its edge
    assert axes.py(0.0) == axes.py(1e-4)
    assert decades([1e-3, 0.5, 0.0, None, float("inf")]) == (-4, 0)
    assert decades([]) == (-1, 0)


def test_an_order_figure_marks_the_window_and_draws_the_declared_slope():
    row = fake.order_row("order", 2, 2.0)
    row |= {"slopes": [2.0, 2.0], "errors": [1e-2, 2.5e-3, 6.25e-4, 1e-9, 1e-9]}
    figure = order_panel(row)
    assert figure.count('class="m c0"') == 3
    assert figure.count('class="m c0 open"') == 2
    assert 'class="window"' in figure
    assert "slope 2" in figure
    assert order_panel(row | {"errors": [None] * 5}) == ""


def test_a_record_of_another_form_is_refused_with_a_sentence():
    with pytest.raises(AnalysisError, match=r"schema 2; accepted: 1"):
        render(fake.certificate(schema=2))
    with pytest.raises(AnalysisError, match=r"schema None; accepted: 1"):
        to_csv({})
    broken = fake.certificate()
    broken["samplers"][1]["orders"][0]["verdict"] = "maybe"
    with pytest.raises(AnalysisError, match=r"samplers\[1\] .* 'maybe'; accepted: met"):
        render(broken)


def luminance(colour: str) -> float:
    """Relative luminance of ``#rgb`` or ``#rrggbb`` (WCAG 2)."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * c for c in colour[1:])
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_text_has_enough_contrast_in_both_themes(theme: str):
    blocks = re.findall(r":root\{(.*?)\}", STYLE, re.DOTALL)
    assert len(blocks) == 2
    colours = dict(re.findall(r"--([\w-]+):(#[0-9a-f]+)", blocks[theme == "dark"]))
    for ink in ("ink", "soft", "link", "met", "bad", "open"):
        for ground in ("paper", "card", "faint"):
            assert contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)
    for kind in ("met", "bad", "open"):
        assert contrast(colours[kind], colours[f"{kind}-bg"]) >= 4.5, kind
    for k in range(6):  # curves: graphical objects need 3 : 1
        assert contrast(colours[f"c{k}"], colours["card"]) >= 3, k
    assert contrast("#000", "#ffffff") == pytest.approx(21.0)
