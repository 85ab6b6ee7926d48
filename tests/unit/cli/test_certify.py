"""``fokker certify``: what it asks for, writes, says and returns; the measuring is faked."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path
from typing import Any

import pytest

import fake_certificate as fake
from fokker import cli
from fokker.cli.certify import Bar
from fokker.solvers.errors import InvalidLawError


class Fake:
    """Stands for the computing part; remembers how it was called."""

    def __init__(self, certificate: dict[str, Any]) -> None:
        self.certificate, self.asked = certificate, {}
        self.error: BaseException | None = None

    def __call__(self, samplers: Any, **options: Any) -> dict[str, Any]:
        self.asked = {"names": [s.name for s in samplers], **options}
        options["progress"](1, len(samplers), samplers[0].name)
        if self.error:
            raise self.error
        return self.certificate


@pytest.fixture
def certify(monkeypatch: pytest.MonkeyPatch) -> Fake:
    found = Fake(fake.certificate(fake.default_samplers()[:2]))
    module = types.SimpleNamespace(certify=found)
    monkeypatch.setitem(sys.modules, "fokker.analysis.certificate", module)
    return found


def run(*words: str, out: Path) -> int:
    return cli.main(["certify", *words, "--out", str(out)])


def test_three_whole_files_are_written_and_the_outcome_is_said(
    certify: Fake, tmp_path: Path, capsys: pytest.CaptureFixture
):
    out = tmp_path / "new/folder"
    assert run("ddim", out=out) == 0
    names = {"certificate.csv", "certificate.json", "index.html"}
    assert {f.name for f in out.iterdir()} == names
    assert json.loads((out / "certificate.json").read_text())["schema"] == 1
    assert "</html>" in (out / "index.html").read_text()
    said = capsys.readouterr().out
    assert said.startswith("samplers: 2; claims: 3, of these 3 met, 0 not met, 0 not resolved\n")
    assert said.endswith(f"{out / 'index.html'}\n")


def test_the_options_reach_the_measurement(certify: Fake, tmp_path: Path):
    words = ["ddim", "--sampler", "dpmpp_2m", "lms", "--problem", "gaussian", "mixture"]
    assert run(*words, "--quick", "--jobs", "3", out=tmp_path) == 0
    assert certify.asked["names"] == ["ddim", "dpmpp_2m", "lms"]
    assert certify.asked["problems"] == ["gaussian", "mixture"]
    assert certify.asked["quick"] is True
    assert certify.asked["jobs"] == 3
    assert certify.asked["out"] == tmp_path
    run("ddim", out=tmp_path)
    assert certify.asked["problems"] is None
    assert certify.asked["quick"] is False


def test_without_names_every_sampler_is_certified(certify: Fake, tmp_path: Path):
    from fokker.solvers.registry import samplers

    run(out=tmp_path)
    assert certify.asked["names"] == [s.name for s in samplers()]


def test_claims_not_met_are_listed_and_the_status_is_one(
    certify: Fake, tmp_path: Path, capsys: pytest.CaptureFixture
):
    certify.certificate = fake.certificate()
    assert run("ddim", out=tmp_path) == 1
    said = capsys.readouterr().out
    lines = said.splitlines()
    line = "  bad: order 3, warm: observed 1.99 (gaussian, VPLinear, wavy-lam)"
    assert lines[lines.index("not met:") + 1] == line
    assert "  unclear: order 2, warm: unsettled (gaussian, VPLinear, uniform-lam)" in lines
    assert "  broken: the model's output is not finite in step 3" in lines
    assert "not met" in (tmp_path / "index.html").read_text()


@pytest.mark.parametrize(("kept", "status"), [([2], 1), ([5], 1), ([3], 0), ([0, 1], 0)])
def test_not_met_and_failed_are_errors_and_not_resolved_is_shown_only(
    certify: Fake, tmp_path: Path, kept: list[int], status: int
):
    certify.certificate = fake.certificate([fake.default_samplers()[i] for i in kept])
    assert run("ddim", out=tmp_path) == status


def test_json_on_stdout_is_the_file_and_nothing_else(
    certify: Fake, tmp_path: Path, capsys: pytest.CaptureFixture
):
    run("ddim", "--json", out=tmp_path)
    assert capsys.readouterr().out == (tmp_path / "certificate.json").read_text()


def test_an_interrupt_says_that_the_work_goes_on_from_there(
    certify: Fake, tmp_path: Path, capsys: pytest.CaptureFixture
):
    certify.error = KeyboardInterrupt()
    assert run("ddim", "lms", out=tmp_path) == 130
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("fokker: interrupted after 1 of 2 samplers; what is finished is kept")
    assert "the same command goes on" in said
    assert list(tmp_path.iterdir()) == []  # no half certificate


def test_an_own_function_is_certified_with_the_order_it_is_given(certify: Fake, tmp_path: Path):
    text = "from fokker.solvers.samplers.multistep import multistep\n"
    text += "def own_euler(process, grid):\n    return multistep(process, grid, order=1)\n"
    (tmp_path / "own_file.py").write_text(text)
    try:
        assert run(f"{tmp_path / 'own_file.py'}:own_euler", "--order", "1", out=tmp_path) == 0
        assert certify.asked["names"] == ["own_euler"]
    finally:
        from fokker.solvers.registry import unregister

        unregister("own_euler")
        sys.modules.pop("own_file", None)
        sys.path.remove(str(tmp_path))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["dim"], "unknown sampler 'dim'; nearest: ddim"),
        (["--sampler", "dpmpp_2n"], "unknown sampler 'dpmpp_2n'; nearest: "),
        (["nothing/here.py:f"], "there is no file "),
        (["ddim", "--jobs", "0"], "--jobs must be at least 1, got 0"),
        (["ddim", "--order", "0"], "--order must be at least 1, got 0"),
        (["ddim", "--order", "2"], "--order 2 is for a bare function"),
    ],
)
def test_bad_input_is_one_sentence_and_status_two(
    certify: Fake,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
    words: list[str],
    sentence: str,
):
    assert run(*words, out=tmp_path / "out") == 2
    said = capsys.readouterr().err
    assert said.startswith(f"fokker: {sentence}")
    assert said.count("\n") == 1
    assert certify.asked == {}
    assert not (tmp_path / "out").exists()


def test_an_unwritable_folder_is_refused_before_any_work(
    certify: Fake, tmp_path: Path, capsys: pytest.CaptureFixture
):
    (tmp_path / "file").touch()
    assert run("ddim", out=tmp_path / "file") == 2
    assert "fokker: cannot write to the folder" in capsys.readouterr().err
    assert certify.asked == {}


def test_an_unknown_problem_is_a_sentence(
    certify: Fake, tmp_path: Path, capsys: pytest.CaptureFixture
):
    certify.error = InvalidLawError("unknown problem 'x'; accepted: gaussian")
    assert run("ddim", "--problem", "x", out=tmp_path) == 2
    assert "fokker: unknown problem 'x'; accepted: gaussian\n" in capsys.readouterr().err


def test_the_bar_counts_what_is_done(capsys: pytest.CaptureFixture):
    with Bar(4) as bar:
        bar(1, 4, "a")
        bar(4, 4, "b")
        assert bar.done == 4
    out, err = capsys.readouterr()
    assert out == ""
    assert "4/4" in err
