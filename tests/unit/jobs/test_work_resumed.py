"""Whoever does a job in parts, again, or beside others has the same images in the end."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fokker.solvers.jobs import manifest as manifests
from fokker.solvers.jobs.errors import JobError
from fokker.solvers.jobs.shards import Shard
from fokker.solvers.jobs.work import run_job
from fokker.solvers.networks.network import Network
from small_jobs import JOB, PROBES, Counting, contents, said
from small_networks import gaussians


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The job done in one go."""
    folder = tmp_path_factory.mktemp("whole")
    run_job(JOB, gaussians(), folder)
    return folder


@pytest.mark.parametrize("n", [2, 3])
def test_any_number_of_processes_makes_the_same_images(n: int, whole: Path, tmp_path: Path):
    for i in reversed(range(n)):
        report = run_job(JOB, gaussians(), tmp_path, shard=Shard(i, n))
        assert report.manifest["complete"] == (i == 0)
    assert contents(tmp_path) == contents(whole)
    assert said(tmp_path)["images"] == said(whole)["images"]


def test_a_process_that_writes_late_does_not_hide_what_another_has_done(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write, calls = manifests.write_text_atomic, []

    def late(path: Path, text: str) -> Path:
        calls.append(path)
        if len(calls) == 1:  # we have looked, but not written: now the other one finishes
            run_job(JOB, gaussians(), tmp_path, shard=Shard(1, 2))
        return write(path, text)

    monkeypatch.setattr(manifests, "write_text_atomic", late)
    report = run_job(JOB, gaussians(), tmp_path, shard=Shard(0, 2))
    assert report.manifest["complete"]
    assert said(tmp_path)["images"] == said(whole)["images"]


def test_what_is_there_is_not_made_again(tmp_path: Path):
    network = Counting()
    first = run_job(JOB, gaussians(call=network), tmp_path)
    asked = len(network.times)
    again = run_job(replace(JOB, device="cpu:0"), gaussians(call=network), tmp_path)
    assert (first.made, first.found, again.made, again.found) == (5, 0, 0, 5)
    assert (asked, len(network.times)) == (PROBES + 3 * 4, 2 * PROBES + 3 * 4)


def test_a_spoilt_array_is_made_again_and_a_spoilt_picture_is_drawn_again(
    whole: Path, tmp_path: Path
):
    run_job(JOB, gaussians(), tmp_path)
    array = tmp_path / "arrays" / "000002-000003.npy"
    array.write_bytes(array.read_bytes()[:-1] + b"\x01")
    (tmp_path / "images" / "000000.png").write_bytes(b"half a pict")
    (tmp_path / "images" / "000004.png").unlink()
    network = Counting()
    report = run_job(JOB, gaussians(call=network), tmp_path)
    assert (report.made, report.found, len(network.times)) == (2, 3, PROBES + 4)
    assert contents(tmp_path) == contents(whole)
    assert report.manifest["images"] == said(whole)["images"]


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[1]", '{"schema": 1}', '{"identity": "another", "ids": [0, 1]}',
        '{"IDENTITY", "ids": [0, 1], "array": "../../etc/passwd", "nfe": 4, "images": ["", ""]}',
        '{"IDENTITY", "ids": [0, 9], "array": "x", "nfe": 4, "images": ["", ""]}',
        '{"IDENTITY", "ids": [0, 1], "array": "x", "nfe": 4, "images": ["../../x"]}',
    ],
)  # fmt: skip
def test_a_record_that_is_wrong_does_not_count(text: str, whole: Path, tmp_path: Path):
    run_job(JOB, gaussians(), tmp_path)
    identity = said(whole)["identity"]
    record = tmp_path / "parts" / "000000-000001.json"
    record.write_text(text.replace('"IDENTITY"', f'"identity": "{identity}"'))
    report = run_job(JOB, gaussians(), tmp_path)
    assert (report.made, report.found) == (2, 3)
    assert contents(tmp_path) == contents(whole)


def test_a_whole_record_of_another_job_does_not_count(whole: Path, tmp_path: Path):
    run_job(JOB, gaussians(), tmp_path)
    record = tmp_path / "parts" / "000000-000001.json"
    text = record.read_text()
    record.write_text(text.replace(said(whole)["identity"], "0" * 64))
    report = run_job(JOB, gaussians(), tmp_path)
    assert (report.made, report.found) == (2, 3)
    assert json.loads(record.read_text())["identity"] == said(whole)["identity"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"seed": 1}, "seed is 0 there and 1 here"),
        ({"batch": 3}, "batch is 2 there and 3 here"),
        ({"labels": (1,)}, r"labels is cycle there and \[1\] here"),
    ],
)
def test_another_job_in_the_folder_is_refused(change: dict, sentence: str, whole: Path):
    with pytest.raises(JobError, match=f"holds another job: {sentence}; take another folder"):
        run_job(replace(JOB, **change), gaussians(), whole)


def test_one_and_one_point_zero_are_one_job(tmp_path: Path):
    job = replace(JOB, sampler="sde_dpmpp_2m", options={"eta": 1})
    run_job(job, gaussians(), tmp_path)
    before = contents(tmp_path)
    again = run_job(replace(job, options={"eta": 1.0}, guidance=1), gaussians(), tmp_path)
    assert (again.made, again.found) == (0, 5)
    assert contents(tmp_path) == before
    assert said(tmp_path)["complete"]


def test_other_weights_are_another_job(tmp_path: Path):
    def network(weight: float) -> Network:
        module = torch.nn.Linear(1, 1)
        torch.nn.init.constant_(module.weight, weight)
        torch.nn.init.zeros_(module.bias)
        return gaussians(module=module)

    run_job(JOB, network(1.0), tmp_path)
    assert run_job(JOB, network(1.0), tmp_path).found == 5
    with pytest.raises(JobError, match="holds another job: network's weights SHA-256 is "):
        run_job(JOB, network(1.5), tmp_path)


def test_a_folder_with_images_of_no_job_is_left_alone(tmp_path: Path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "000000.png").write_bytes(b"mine")
    with pytest.raises(JobError, match=r"holds images but no job\.json; take an empty folder"):
        run_job(JOB, gaussians(), tmp_path)
    assert (tmp_path / "images" / "000000.png").read_bytes() == b"mine"
    (tmp_path / "job.json").write_text("{}")
    with pytest.raises(JobError, match="is no record of a job"):
        run_job(JOB, gaussians(), tmp_path)


def test_names_lead_nowhere(whole: Path, tmp_path: Path):
    outside = tmp_path / "outside"
    outside.write_bytes(b"keep")
    folder = tmp_path / "in"
    (folder / "images").mkdir(parents=True)
    job = replace(JOB, network="../../outside\x00\n.py", options={})
    (folder / "job.json").symlink_to(tmp_path / "nowhere")
    (folder / "images" / "000000.png").symlink_to(outside)
    with pytest.raises(JobError, match=r"no record of a job|but no job\.json"):
        run_job(job, gaussians(), folder)
    (folder / "job.json").unlink()
    (folder / "images" / "000000.png").unlink()
    run_job(job, gaussians(), folder)
    (folder / "images" / "000000.png").unlink()
    (folder / "images" / "000000.png").symlink_to(outside)
    run_job(job, gaussians(), folder)
    assert outside.read_bytes() == b"keep"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "outside"]
    assert contents(folder) == contents(whole)
