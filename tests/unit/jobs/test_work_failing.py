"""What goes wrong is said in a sentence, and nothing that was finished is lost."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from fokker.solvers.errors import FokkerError, NonFiniteError, OutputError
from fokker.solvers.jobs.errors import JobError
from fokker.solvers.jobs.shards import Shard
from fokker.solvers.jobs.spacing import grid_of
from fokker.solvers.jobs.work import run_job
from small_jobs import JOB, PROBES, Counting, contents, said
from small_networks import denoise, gaussians


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The job done in one go."""
    folder = tmp_path_factory.mktemp("whole")
    run_job(JOB, gaussians(), folder)
    return folder


def broken(x: Tensor, t: float, labels: Tensor | None, worst: int = 2) -> Tensor:
    """NaN for one class from the third step on."""
    out = denoise(x, t, labels)
    if t < 0.3 and labels is not None:
        out = torch.where((labels == worst)[:, None, None, None], torch.nan, out)
    return out


@pytest.mark.parametrize("every", [0, 1, 3])
def test_a_network_that_gives_nan_fails_its_batch_only(every: int, tmp_path: Path):
    job = replace(JOB, steps=6)
    report = run_job(job, gaussians(call=broken), tmp_path, save_every=every)
    (error,) = report.failures
    assert isinstance(error, NonFiniteError)
    grid = grid_of(gaussians(), job.grid, 6)
    step = 1 + next(i for i, node in enumerate(grid.nodes) if node.t < 0.3)
    assert (error.step, error.t, error.sample_ids) == (step, grid[step - 1].t, (2,))
    assert f"in step {step} at t = " in str(error)
    found = said(tmp_path)
    assert (found["complete"], found["made"], found["missing"]) == (False, 3, [])
    assert found["failed"] == [
        {"ids": [2, 3], "samples": [2], "step": step, "t": error.t, "why": str(error)}
    ]
    healthy = run_job(job, gaussians(), tmp_path)
    assert (healthy.made, healthy.found, healthy.manifest["complete"]) == (2, 3, True)
    assert not list((tmp_path / "parts").glob("*failed*"))


def test_a_state_that_only_float64_can_hold_is_an_error_not_an_infinity(tmp_path: Path):
    huge = gaussians(call=lambda x, _t, _l: torch.full_like(x, 1e300))
    report = run_job(replace(JOB, dtype="float64", count=2), huge, tmp_path)
    assert "not finite in float32, samples 0, 1" in str(report.failures[0])


def stopping(after: int, error: BaseException) -> Any:
    """The network, which raises at a call."""
    calls: list[float] = []

    def call(x: Tensor, t: float, labels: Tensor | None) -> Tensor:
        calls.append(t)
        if len(calls) > after:
            raise error
        return denoise(x, t, labels)

    return call


@pytest.mark.parametrize("error", [KeyboardInterrupt(), MemoryError("no room")])
def test_an_interrupt_leaves_a_manifest_of_what_is_done(
    error: BaseException, whole: Path, tmp_path: Path
):
    with pytest.raises(type(error)):
        run_job(JOB, gaussians(call=stopping(PROBES + 6, error)), tmp_path)
    found = said(tmp_path)
    assert (found["complete"], found["made"], found["missing"]) == (False, 2, [[2, 3], [4, 4]])
    report = run_job(JOB, gaussians(), tmp_path)
    assert (report.made, report.found) == (3, 2)
    assert contents(tmp_path) == contents(whole)


@pytest.mark.parametrize("sampler", ["dpmpp_3m", "sde_dpmpp_2m"])
def test_a_long_run_goes_on_from_its_last_checkpoint(sampler: str, tmp_path: Path):
    job = replace(JOB, sampler=sampler, steps=7, count=2)
    run_job(job, gaussians(), tmp_path / "whole")
    call = stopping(PROBES + 5, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        run_job(job, gaussians(call=call), tmp_path / "cut", save_every=2)
    (kept,) = (tmp_path / "cut" / "checkpoints").iterdir()
    before = kept.read_bytes()
    network = Counting()
    run_job(job, gaussians(call=network), tmp_path / "cut", save_every=3)  # another rhythm
    grid = grid_of(gaussians(), job.grid, 7)
    assert network.times[PROBES:] == [n.t for n in grid.nodes[4:-1]]
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")
    assert not kept.exists()
    for spoilt in (before[:-1] + b"\x01", before[:40], b"", _other_step(before)):
        (tmp_path / "cut" / "parts" / "000000-000001.json").unlink()
        kept.write_bytes(spoilt)
        network = Counting()
        run_job(job, gaussians(call=network), tmp_path / "cut", save_every=3)
        assert len(network.times) == PROBES + 7
        assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


def _other_step(data: bytes) -> bytes:
    assert data.count(b'"step":"4"') == 1
    return data.replace(b'"step":"4"', b'"step":"9"')


@contextmanager
def small_disk(size: int) -> Iterator[None]:
    """No file may grow beyond ``size`` bytes: the error of a full disk comes from the system."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_loses_nothing(whole: Path, tmp_path: Path):
    run_job(JOB, gaussians(), tmp_path, shard=Shard(0, 3))
    before = contents(tmp_path)
    with small_disk(150), pytest.raises(OutputError, match=r"cannot write to the file .*npy"):
        run_job(JOB, gaussians(), tmp_path)
    assert contents(tmp_path) == before
    assert not list(tmp_path.rglob("*.part"))
    assert said(tmp_path)["made"] == 2
    assert run_job(JOB, gaussians(), tmp_path).found == 2
    assert contents(tmp_path) == contents(whole)


def test_what_a_job_cannot_do_is_said_before_anything_is_written(tmp_path: Path):
    folder = tmp_path / "new"
    uncond = gaussians(classes=0)
    for job, network, sentence in (
        (replace(JOB, sampler="nothing"), gaussians(), "unknown sampler 'nothing'"),
        (replace(JOB, options={"tau": 1}), gaussians(), "has no option 'tau'; its options: "),
        (JOB, uncond, "the network has no classes"),
        (replace(JOB, labels=(9,)), gaussians(), "label 9 is no class"),
        (replace(JOB, labels=None, guidance=2.0), gaussians(), "guidance 2 needs labels"),
        (replace(JOB, device="nowhere"), gaussians(), "the device 'nowhere' cannot be used here"),
        (replace(JOB, device="meta"), gaussians(), "the device 'meta' cannot be used here"),
        (replace(JOB, labels=None, size=(3, 3)), gaussians((5,), 0), "they have no size"),
    ):  # fmt: skip
        with pytest.raises(FokkerError, match=sentence):
            run_job(job, network, folder)
        assert not folder.exists()
    with pytest.raises(JobError, match="steps from 1 up, or is 0 for never; got -1"):
        run_job(JOB, gaussians(), folder, save_every=-1)
    with pytest.raises(JobError, match="evodiff is no plan, so it cannot be saved on its way"):
        run_job(replace(JOB, sampler="evodiff"), gaussians(), folder, save_every=2)
