"""``fokker samplers`` and ``fokker cite``: what the registry knows, and no more."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from fokker import cli
from fokker.cli.cite import bibtex, fields
from fokker.cli.samplers import nfe_per_step
from fokker.solvers.registry import get, samplers
from fokker.solvers.tools import TOOLS


def test_the_table_has_one_row_a_sampler(capsys: pytest.CaptureFixture):
    assert cli.main(["samplers"]) == 0
    table, title, below = capsys.readouterr().out.split("\n\n")
    head, rule, *rows = table.splitlines()
    assert head.split()[:3] == ["sampler", "family", "kind"]
    assert set(rule) == {"-", " "}
    assert [row.split()[0] for row in rows] == [s.name for s in samplers()]
    printed = next(row for row in rows if row.startswith("dpmpp_3m_published "))
    assert "2 (in print 3)" in printed
    assert "weak 2" in next(row for row in rows if row.startswith("sde_dpmpp_2m "))
    assert title == "Along the path: tools"
    _, _, *rows = below.splitlines()
    assert [row.split()[0] for row in rows] == [t.place for t in TOOLS]
    assert all(t.keeps in row and t.measured in row for t, row in zip(TOOLS, rows, strict=True))


def test_measured_orders_are_those_of_a_certificate(tmp_path, monkeypatch, capsys):
    """In the order of the columns; the lowest of the places where a claim was measured."""
    rows = [
        {"claim": "order", "order": 2.01, "grid": "a"},
        {"claim": "order", "order": 1.98, "grid": "b"},
        {"claim": "order_cold", "order": 2.25, "grid": "a"},
    ]
    shape = {"problem": "p", "process": "q", "verdict": "met", "steps": [], "errors": [],
             "slopes": []}  # fmt: skip
    entry = {
        "name": "dpmpp_2m",
        "claims": {"order": 2, "order_cold": 2},
        "verdicts": {},
        "orders": [shape | row for row in rows],
    }
    certificate = {"schema": 1, "problems": [], "samplers": [entry], "unmet": []}
    path = tmp_path / "certificate" / "certificate.json"
    path.parent.mkdir()
    path.write_text(json.dumps(certificate | {"not_resolved": []}))
    monkeypatch.chdir(tmp_path)
    for arguments in ([], ["--certificate", str(path)]):
        assert cli.main(["samplers", *arguments]) == 0
        out = capsys.readouterr()
        assert "1.98 / 2.25" in next(r for r in out.out.splitlines() if r.startswith("dpmpp_2m "))
        assert not out.err
    assert cli.main(["samplers", "--json"]) == 0
    (found,) = (s for s in json.loads(capsys.readouterr().out) if s["name"] == "dpmpp_2m")
    assert found["measured"] == {"order": 1.98, "order_cold": 2.25}
    path.unlink()
    assert cli.main(["samplers"]) == 0
    assert "nothing measured" in capsys.readouterr().err
    assert cli.main(["samplers", "--certificate", str(path)]) == 2


def test_the_json_holds_every_claim(capsys: pytest.CaptureFixture):
    assert cli.main(["samplers", "--json"]) == 0
    found = {s["name"]: s for s in json.loads(capsys.readouterr().out)}
    assert set(found) == {s.name for s in samplers()}
    for entry in samplers():
        assert found[entry.name]["order"] == entry.order
        assert found[entry.name]["strong"] == entry.strong
        assert found[entry.name]["source"] == entry.source


def test_the_markdown_has_as_many_cells_in_every_row(capsys: pytest.CaptureFixture):
    assert cli.main(["samplers", "--markdown"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + len(samplers())
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1
    ddim = next(line for line in lines if line.startswith("| `ddim` |"))
    assert "[arXiv:2010.02502](https://arxiv.org/abs/2010.02502), eq. 12" in ddim
    with pytest.raises(SystemExit):
        cli.main(["samplers", "--markdown", "--json"])


def test_the_cost_of_a_step_is_the_slope_of_the_declared_count():
    assert nfe_per_step(get("dpmpp_2m")) == 1
    assert nfe_per_step(get("dpmpp_2s")) == 2
    assert nfe_per_step(get("exp_ab4_data_rkstart")) == 1  # the start is paid once
    assert nfe_per_step(get("scipy_lsoda_t")) is None


def test_a_source_is_cited_in_words_and_as_bibtex(capsys: pytest.CaptureFixture):
    assert cli.main(["cite", "ddim", "dpmpp_2m"]) == 0
    said = capsys.readouterr().out
    assert "ddim: Song, Meng & Ermon 2021, arXiv:2010.02502, eq. 12\n" in said
    assert "author = {Song and Meng and Ermon}" in said
    assert "eprint = {2010.02502}" in said
    assert said.count("@misc{") == 2
    assert "title" not in said.replace("It knows no titles", "")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (
            "Lu et al. 2022, arXiv:2211.01095, Alg. 2",
            {"author": "Lu and others", "year": "2022", "eprint": "2211.01095", "note": "Alg. 2"},
        ),
        (
            "SciPy: Virtanen et al. 2020, Nat. Methods 17, 261-272",
            {"author": "Virtanen and others", "note": "SciPy: Nat. Methods 17, 261-272"},
        ),
        ("in lam: arXiv:2302.04867", {"eprint": "2302.04867", "note": "in lam"}),
        ("me, today", {"note": "me, today"}),
        ("Liu et al. 2022, arXiv:2202.09778 for the idea", {"note": "for the idea"}),
    ],
)
def test_the_fields_are_those_of_the_words(source: str, expected: dict[str, str]):
    found = fields(source)
    assert {k: found.get(k) for k in expected} == expected
    assert ("year" in found) == bool(re.search(r" 20\d\d\b", source))


def test_every_source_of_the_registry_gives_entries_with_keys_of_their_own():
    works = [work for s in samplers() for work in s.source.split(";")]
    entries = bibtex(works)
    keys = [re.match(r"@misc\{([^,]+),", e) for e in entries]
    names = [k[1] for k in keys if k]
    assert len(set(names)) == len(entries)
    assert all(re.fullmatch(r"[a-z0-9.-]+", name) for name in names)
    assert all(e.count("{") - e.count(r"\{") == e.count("}") - e.count(r"\}") for e in entries)


def test_one_work_cited_twice_is_one_entry_and_tex_is_escaped():
    (entry,) = bibtex(["A 2020, arXiv:2001.00001, eq. 1", "A 2020, arXiv:2001.00001, a_b & 5%"])
    assert r"note = {eq. 1; a\_b \& 5\%}" in entry
    two = bibtex(["A 2020, here", "A 2020, there"])
    assert [e.split(",")[0] for e in two] == ["@misc{a2020", "@misc{a2020b"]


def test_an_unknown_sampler_is_answered_with_the_nearest(capsys: pytest.CaptureFixture):
    assert cli.main(["cite", "dimm"]) == 2
    assert capsys.readouterr().err.startswith("fokker: unknown sampler 'dimm'; nearest: ddim")


def test_the_help_of_every_command_imports_no_numerical_library():
    code = (
        "import sys, fokker.cli\n"
        "for name in fokker.cli.commands():\n"
        "    try: fokker.cli.main([name, '--help'])\n"
        "    except SystemExit as stop: assert not stop.code\n"
        "heavy = {'torch', 'numpy', 'scipy', 'matplotlib', 'tqdm'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
