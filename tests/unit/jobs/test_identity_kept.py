"""What is kept (images, rows of a sweep) goes on with its own network only, and is never mixed."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from fokker.analysis.sweep import Config, identify, run_one, sweep
from fokker.solvers.errors import AnalysisError
from fokker.solvers.jobs.errors import JobError
from fokker.solvers.jobs.work import run_job
from fokker.toy_models.networks import find_network
from small_jobs import JOB, said
from small_networks import denoise, gaussians

CFG = Config("", "ddim", 4, count=4, reference=32)
OWN = """
from fokker.solvers.networks.network import Network
from fokker.solvers.schedules import VPLinear

def mine():
    return Network("mine", lambda x, t, k: {factor} * x, VPLinear(), "data", (1, 4, 4), (-4., 4.))
"""


def write(file: Path, factor: str) -> str:
    """The file with another factor, of the same size and date, as an edit within a second."""
    file.write_text(OWN.replace("{factor}", factor))
    os.utime(file, (1e9, 1e9))
    return f"{file}:mine"


def changed(size: float) -> Callable[..., Tensor]:
    def call(x: Tensor, t: float, labels: Tensor | None) -> Tensor:
        return (1 + size) * denoise(x, t, labels)

    return call


def everything(folder: Path) -> dict[Path, bytes]:
    return {p: p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_job_does_not_go_on_with_a_file_that_was_edited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    name = write(tmp_path / "own.py", "0.5")
    job, out = replace(JOB, network=name, labels=None), tmp_path / "out"
    run_job(job, find_network(name), out)
    (out / "parts" / "000002-000003.json").unlink()
    before = everything(out)
    network = find_network(write(tmp_path / "own.py", "0.7"))
    assert float(network.call(torch.ones(1, 1, 4, 4), 0.5, None).mean()) == pytest.approx(0.7)
    with pytest.raises(
        JobError, match=r"holds another job: network's file SHA-256 is .{12} there"
    ):
        run_job(job, network, out)
    assert everything(out) == before
    assert run_job(job, find_network(write(tmp_path / "own.py", "0.5")), out).made == 2
    assert not (tmp_path / "__pycache__").exists()


def test_a_job_does_not_go_on_with_a_function_that_answers_otherwise(tmp_path: Path):
    run_job(JOB, gaussians(), tmp_path)
    (tmp_path / "parts" / "000002-000003.json").unlink()
    before = everything(tmp_path)
    with pytest.raises(JobError, match="the network behaves otherwise, its answer to probe 0"):
        run_job(JOB, gaussians(call=changed(0.1)), tmp_path)
    assert everything(tmp_path) == before
    assert run_job(JOB, gaussians(call=changed(1e-6)), tmp_path).made == 2
    assert len(said(tmp_path)["probes"]["answers"]) == 3


def test_a_row_of_a_sweep_belongs_to_the_bytes_of_the_file(tmp_path: Path):
    name, out = write(tmp_path / "own.py", "0.5"), tmp_path / "out"
    cfg = replace(CFG, network=name)
    (first,) = sweep([cfg], out)
    write(tmp_path / "own.py", "0.7")
    (second,) = sweep([cfg], out)
    assert first["rms"] != second["rms"]
    assert len(list(out.iterdir())) == 2
    write(tmp_path / "own.py", "0.5")
    assert sweep([cfg], out, one=lambda _: {}) == [first]  # it is there


def test_a_worker_measures_no_other_network_of_that_name(tmp_path: Path):
    name = write(tmp_path / "own.py", "0.5")
    cfg, known = replace(CFG, network=name), identify([name])
    assert run_one(cfg, known)["rms"] > 0
    write(tmp_path / "own.py", "0.7")
    assert run_one(cfg, known)["rms"] > 0  # the network that was loaded is still the right one
    found = run_one(cfg, identify([name]))
    assert found == run_one(cfg, identify([name]))
    assert "rms" in found
    other = run_one(replace(cfg, seed=1), known)["failed"]
    assert "is another network on " in other
    assert "where the sweep was begun: its file SHA-256 is " in other


def test_a_row_of_other_answers_is_neither_used_nor_overwritten(tmp_path: Path):
    (tmp_path / "factor.txt").write_text("0.5")
    read = f"float(__import__('pathlib').Path({str(tmp_path / 'factor.txt')!r}).read_text())"
    name, out = write(tmp_path / "own.py", read), tmp_path / "out"
    sweep([replace(CFG, network=name)], out)
    before = everything(out)
    (tmp_path / "factor.txt").write_text("0.7")
    with pytest.raises(
        AnalysisError, match=r"was measured on another network than .*: its answer"
    ):
        sweep([replace(CFG, network=name)], out)
    assert everything(out) == before
