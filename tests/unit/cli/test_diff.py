"""``fokker diff``: the changes in words, and a status that a script can use."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import fake_certificate as fake
from fokker import cli
from fokker.analysis.record import to_json


def write(folder: Path, name: str, certificate: dict) -> str:
    (folder / name).write_text(to_json(certificate), encoding="utf-8")
    return str(folder / name)


def costing(nfe: float) -> dict:
    return fake.certificate([fake.sampler("a", [], nfe_per_step=nfe)])


def test_only_what_is_worse_is_an_error(tmp_path: Path):
    cheap = write(tmp_path, "cheap.json", costing(1.0))
    dear = write(tmp_path, "dear.json", costing(2.0))
    assert cli.main(["diff", cheap, dear]) == 1
    assert cli.main(["diff", dear, cheap]) == 0


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    worse = fake.certificate(versions={"fokker": "0.2.0", "python": "3.11.2"}, quick=True)
    worse["samplers"][0]["verdicts"]["order"] = "not met"
    worse["samplers"][1]["nfe_per_step"] = 0.5
    return write(tmp_path, "a.json", fake.certificate()), write(tmp_path, "b.json", worse)


def test_something_worse_gives_status_one_and_a_list(
    files: tuple[str, str], capsys: pytest.CaptureFixture
):
    assert cli.main(["diff", *files]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "note: quick is True, before False"
    assert lines[1].startswith("note: versions differ: fokker 0.2.0, before 0.1.0; numpy None")
    assert lines[2:] == [
        "worse (1)",
        "  good: order 2, warm is not met, before met",
        "better (1)",
        "  exactly: costs 0.5 evaluations a step, before 1",
    ]


def test_nothing_worse_gives_status_zero(files: tuple[str, str], capsys: pytest.CaptureFixture):
    assert cli.main(["diff", files[0], files[0]]) == 0
    assert capsys.readouterr().out == "nothing changed\n"


def test_json_holds_every_change(files: tuple[str, str], capsys: pytest.CaptureFixture):
    assert cli.main(["diff", *files, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [c["sort"] for c in found["changes"]] == ["worse", "better"]
    assert len(found["notes"]) == 2


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "is not JSON"),
        ('{"schema": 7}', "has the schema 7; accepted: 1"),
        (None, "No such file"),
    ],
)
def test_bad_input_is_one_sentence_and_status_two(
    files: tuple[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
    text: str | None,
    sentence: str,
):
    path = tmp_path / "bad.json"
    if text is not None:
        path.write_text(text)
    assert cli.main(["diff", files[0], str(path)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("fokker: ")
    assert sentence in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("ratio", ["1", "0.5", "nan", "inf"])
def test_a_ratio_must_be_over_one(
    files: tuple[str, str], capsys: pytest.CaptureFixture, ratio: str
):
    assert cli.main(["diff", *files, "--ratio", ratio]) == 2
    assert "--ratio must be a finite number over 1" in capsys.readouterr().err
