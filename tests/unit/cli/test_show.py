"""``fokker show``: the rows of a plan, and the difference of two in words."""

from __future__ import annotations

import json

import pytest

from fokker import cli
from fokker.cli.show import LAM, processes
from fokker.solvers.grids import uniform_lam
from fokker.solvers.plan_text import from_json, to_json
from fokker.solvers.registry import get
from fokker.solvers.schedules import VE, VPLinear


def show(capsys: pytest.CaptureFixture, *words: str) -> str:
    assert cli.main(["show", *words]) == 0
    return capsys.readouterr().out


def test_the_rows_of_a_plan_are_printed(capsys: pytest.CaptureFixture):
    said = show(capsys, "dpmpp_2m", "--steps", "2")
    process = VPLinear()
    plan = get("dpmpp_2m")(process, uniform_lam(process, *LAM).grid(2))
    title, rows = said.split("\n", 1)
    assert title.startswith("dpmpp_2m on VPLinear, uniform-lam, 2 steps: 2 evaluations, at most ")
    assert rows == f"{plan}\n"


def test_the_json_holds_the_plan_itself(capsys: pytest.CaptureFixture):
    said = json.loads(show(capsys, "ddim", "--process", "ve", "--json"))
    process = VE()
    plan = get("ddim")(process, uniform_lam(process, *LAM).grid(3))
    assert to_json(from_json(json.dumps(said["plan"]))) == to_json(plan)
    assert (said["process"], said["steps"], said["nfe"]) == ("VE", 3, 3)


@pytest.mark.parametrize("grid", ["uniform-lam", "wavy-lam", "uniform-t", "karras"])
def test_every_process_has_every_grid(capsys: pytest.CaptureFixture, grid: str):
    assert "VPLinear" in processes()
    assert len(processes()) >= 7
    for name in processes():
        words = ["ddim", "--steps", "2", "--grid", grid, "--process", name, "--to-zero"]
        assert f"ddim on {name}, {grid}, 3 steps" in show(capsys, *words)


def test_equal_samplers_are_said_to_be_equal(capsys: pytest.CaptureFixture):
    said = show(capsys, "ddim", "--against", "dpm_solver_1")
    assert "ddim and dpm_solver_1 are equal: the same evaluations" in said
    found = json.loads(show(capsys, "ddim", "--against", "dpm_solver_1", "--json"))
    assert found["equal"] is True
    assert found["differences"] == []


def test_a_difference_is_told_in_words_largest_first(capsys: pytest.CaptureFixture):
    said = show(capsys, "ddim", "--against", "ancestral", "--top", "2").splitlines()
    assert said[1] == "ddim and ancestral differ (both written for the data prediction)"
    assert said[2].startswith("only in ancestral: noise W on snr^1.0 [-3, -1]; ")
    assert said[3].startswith("the state of evaluation 2 (lam = -1): the weight of noise W on ")
    assert " is 0 in ddim, 0.92" in said[3]
    assert said[-1].endswith("smaller differences are not shown (--top)")
    assert len(said) == 6
    found = json.loads(show(capsys, "ddim", "--against", "ancestral", "--json"))
    gaps = [abs(d["first"] - d["second"]) for d in found["differences"]]
    assert gaps == sorted(gaps, reverse=True)
    assert found["equal"] is False


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["ddimm"], "unknown sampler 'ddimm'; nearest: ddim"),
        (["ddim", "--against", "dpmpp2m"], "unknown sampler 'dpmpp2m'; nearest: "),
        (["ddim", "--steps", "0"], "a grid needs a whole number of steps, at least 1, got 0"),
        (["ddim", "--process", "VPLinaer"], "unknown process 'VPLinaer'; the nearest names are: "),
        (["ddim", "--process", "???"], "unknown process '???'; the accepted names are: "),
        (["scipy_rk45_t"], "scipy_rk45_t is a blackbox, so it has no plan to show"),
        (["ddim", "--top", "0"], "--top must be at least 1, got 0"),
    ],
)
def test_bad_input_is_one_sentence_and_status_two(
    capsys: pytest.CaptureFixture, words: list[str], sentence: str
):
    assert cli.main(["show", *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"fokker: {sentence}")
    assert err.count("\n") == 1


def test_a_word_for_a_number_is_refused_by_the_parser(capsys: pytest.CaptureFixture):
    with pytest.raises(SystemExit) as stop:
        cli.main(["show", "ddim", "--steps", "many"])
    assert stop.value.code == 2
    assert "invalid int value: 'many'" in capsys.readouterr().err
