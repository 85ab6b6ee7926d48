"""``fokker sample``: what reaches the job, what is printed, and how bad input is refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from fokker import cli
from fokker.solvers.jobs.job import Job

NETWORK = Path(__file__).parents[2] / "small_networks.py"
MODEL = f"{NETWORK}:plain"


def job_in(folder: Path) -> Job:
    return Job.from_dict(json.loads((folder / "manifest.json").read_text())["job"])


def test_the_options_reach_the_job(tmp_path: Path, capsys: pytest.CaptureFixture):
    words = [
        "sample", "--model", MODEL, "--sampler", "sde_dpmpp_2m", "--steps", "4",
        "--grid", "karras", "--guidance", "1.5", "--interval", "-2", "3", "--labels", "2,0",
        "--eta", "0.5", "--count", "3", "--seed", "7", "--size", "3x5", "--device", "cpu",
        "--dtype", "float64", "--autocast", "bfloat16", "--batch", "2", "--out", str(tmp_path),
        "--save-every", "2", "--stop-before-zero",
    ]  # fmt: skip
    assert cli.main(words) == 0
    assert job_in(tmp_path) == Job(
        network=MODEL, sampler="sde_dpmpp_2m", steps=4, count=3, options={"eta": 0.5},
        grid="karras", to_zero=False, guidance=1.5, interval=(-2.0, 3.0), labels=(2, 0),
        size=(3, 5), seed=7, batch=2, dtype="float64", autocast="bfloat16", device="cpu",
    )  # fmt: skip
    said = capsys.readouterr()
    assert "3 images made, 0 found; 3 of 3 are in " in said.out
    assert "3/3" in said.err  # the bar
    assert "image/s" in said.err or "s/image" in said.err
    assert cli.main(words) == 0
    assert "0 images made, 3 found; 3 of 3 are in " in capsys.readouterr().out


def test_classes_go_round_and_shards_share(tmp_path: Path, capsys: pytest.CaptureFixture):
    words = ["sample", "--model", MODEL, "--steps", "2", "--count", "4", "--batch", "1",
             "--out", str(tmp_path), "--shard"]  # fmt: skip
    assert cli.main([*words, "1/2"]) == 0
    assert "2 images made, 0 found; 2 of 4" in capsys.readouterr().out
    assert cli.main([*words, "0/2"]) == 0
    found = json.loads((tmp_path / "manifest.json").read_text())
    assert found["complete"]
    assert [i["label"] for i in found["images"]] == [0, 1, 2, 0]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--model", "digit"], "unknown network 'digit'"),
        (["--sampler", "dpmp_2m"], "unknown sampler 'dpmp_2m'; nearest: dpmpp_2m"),
        (["--steps", "0"], "steps of a job is '0'; accepted: a whole number from 1 to 10000"),
        (["--count", "-3"], "count of a job is '-3'"),
        (["--labels", "all"], "labels must be none, cycle, a class or a list"),
        (["--labels", "7"], "label 7 is no class of the network; accepted: 0 .. 2"),
        (["--labels", "none", "--guidance", "2"], "guidance 2 needs labels"),
        (["--eta", "1"], "dpmpp_2m has no option 'eta'"),
        (["--set", "eta"], "--set takes KEY=VALUE, got 'eta'"),
        (["--size", "big"], "--size is a height and a width such as 32x32, got 'big'"),
        (["--shard", "2/2"], "a shard is one of 0/2 .. 1/2, got 2/2"),
        (["--device", "tpu0"], "the device 'tpu0' cannot be used here"),
        (["--dtype", "bfloat16"], "dtype of a job is 'bfloat16'; accepted: float32, float64"),
        (["--interval", "1", "-1"], "interval of a job is"),
        (["--out", "/proc/nowhere/samples"], "cannot write to the folder"),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(
    words: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture
):
    folder = tmp_path / "out"
    given = ["--model", MODEL, "--out", str(folder), "--count", "2", *words]
    assert cli.main(["sample", *given]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.startswith("fokker: ")
    assert said.count("\n") == 1
    assert not list(folder.glob("images/*"))


def test_a_shard_under_torchrun_is_that_of_torchrun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    words = ["sample", "--model", MODEL, "--steps", "2", "--count", "2", "--batch", "1",
             "--out", str(tmp_path)]  # fmt: skip
    assert cli.main([*words, "--shard", "0/2"]) == 2
    assert "torchrun gives each process its shard" in capsys.readouterr().err
    assert cli.main(words) == 0
    assert [p.name for p in (tmp_path / "images").iterdir()] == ["000001.png"]


BROKEN = """
import torch
from dataclasses import replace
from small_networks import gaussians, denoise

def sick():
    def call(x, t, labels):
        return torch.where((labels == 1)[:, None, None, None], torch.nan, denoise(x, t, labels))
    return gaussians(call=call)
"""


def test_an_image_that_cannot_be_made_is_said_with_status_1(
    tmp_path: Path, capsys: pytest.CaptureFixture
):
    (tmp_path / "sick.py").write_text(BROKEN)
    words = ["--steps", "3", "--count", "3", "--batch", "1", "--out", str(tmp_path / "out")]
    assert cli.main(["sample", "--model", f"{tmp_path / 'sick.py'}:sick", *words]) == 1
    said = capsys.readouterr()
    assert "2 images made, 0 found; 2 of 3 are in" in said.out
    assert "fokker: the model's output is not finite in step 1 at t = " in said.err
    assert said.err.rstrip().endswith("samples 1")


DIGITS = ["--model", "digits", "--sampler", "dpmpp_2m", "--steps", "10", "--count", "96",
          "--batch", "8", "--guidance", "1.5", "--save-every", "2"]  # fmt: skip


@pytest.mark.slow
def test_digits_by_two_processes_killed_and_resumed_have_a_complete_manifest(tmp_path: Path):
    folder = tmp_path / "two"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command = [*torchrun, "--nproc-per-node", "2", "-m", "fokker", "sample", *DIGITS]
    both = subprocess.Popen(
        [*command, "--out", str(folder)], env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    limit = time.monotonic() + 300
    while len(list(folder.glob("parts/*.json"))) < 3 and both.poll() is None:
        assert time.monotonic() < limit
        time.sleep(0.01)
    found = subprocess.run(["pgrep", "-P", str(both.pid)], capture_output=True, check=True)
    workers = [int(word) for word in found.stdout.split()]
    assert len(workers) >= 2
    for pid in (*workers, both.pid):
        os.kill(pid, signal.SIGKILL)
    both.wait()
    there = {p.stem for p in folder.glob("parts/*.json")}
    assert 3 <= len(there) < 12
    assert cli.main(["sample", *DIGITS, "--out", str(folder)]) == 0
    found = json.loads((folder / "manifest.json").read_text())
    assert (found["complete"], found["made"], found["missing"]) == (True, 96, [])
    assert [i["id"] for i in found["images"]] == list(range(96))
    assert len(list((folder / "images").iterdir())) == 96
    assert not list(folder.rglob("*.part"))
    assert cli.main(["sample", *DIGITS, "--out", str(tmp_path / "one"), "--batch", "96"]) == 0
    parts = [np.load(p) for p in sorted((folder / "arrays").iterdir())]
    one = np.load(tmp_path / "one" / "arrays" / "000000-000095.npy")
    np.testing.assert_allclose(np.concatenate(parts), one, rtol=0, atol=2e-4)
