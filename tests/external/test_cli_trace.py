"""``fokker trace`` from the outside."""

from __future__ import annotations

import json

import pytest

from fokker.cli import main


def test_a_sampler_is_printed_compared_and_noted(capsys):
    assert main(["trace", "diffusers:DPMSolverMultistep", "--steps", "4"]) == 0
    out = capsys.readouterr().out
    assert "4 evaluations of the noise prediction" in out
    assert "m1 = noise(x1, t = 0.75)" in out
    assert "equal to dpmpp_2m up to" in out


def test_json_has_plan_calls_and_verdict(capsys):
    words = ["trace", "k-diffusion:dpmpp_3m_sde", "--against", "sde_dpmpp_3m_published", "--json"]
    assert main(words) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["equal"] is True
    assert record["nfe"] == len(record["calls"]) == 4
    assert record["noises"] == 3
    assert record["plan"]["schema"] == 1
    assert record["nonlinear"] is None


def test_options_reach_the_library_and_single_precision_is_told_from_difference(capsys):
    words = ["trace", "diffusers:DDIM", "--set", "clip_sample=false", "--as-shipped"]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "equal to ddim up to" in out
    assert "not linear" not in out
    assert main(["trace", "diffusers:DDIM"]) == 0
    assert "not linear: clips" in capsys.readouterr().out


def test_what_has_no_plan_is_said(capsys):
    assert main(["trace", "k-diffusion:dpm_adaptive"]) == 0
    out = capsys.readouterr().out
    assert "no plan" in out
    assert "error control" in out
    assert main(["trace", "k-diffusion:dpm_adaptive", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["plan"] is None


@pytest.mark.parametrize(
    "words",
    [
        ["diffusers:Nope"],
        ["nope:x"],
        ["diffusers:DDIM", "--steps", "0"],
        ["diffusers:DDIM", "--set", "oops"],
        ["diffusers:DDIM", "--against", "nope"],
        ["no_such_file.py:f"],
    ],
)
def test_bad_words_are_one_sentence(words, capsys):
    assert main(["trace", *words]) == 2
    err = capsys.readouterr().err
    assert err.startswith("fokker: ")
    assert err.count("\n") == 1
