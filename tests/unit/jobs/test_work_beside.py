"""Others in the same folder, words that are none, samplers that walk by themselves."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fokker.solvers import files
from fokker.solvers.errors import FokkerError, NonFiniteError, OutputError
from fokker.solvers.jobs import folder as folders
from fokker.solvers.jobs.errors import JobError
from fokker.solvers.jobs.job import difference
from fokker.solvers.jobs.pictures import pixel_range
from fokker.solvers.jobs.spacing import grid_of
from fokker.solvers.jobs.trial import _watched, starts
from fokker.solvers.jobs.work import run_job
from fokker.solvers.model import for_rows
from fokker.solvers.networks.diffusers_call import DiffusersCall
from fokker.solvers.networks.identity import identity_of, network_facts
from fokker.toy_models.networks import named_network
from small_jobs import JOB, said, samples
from small_networks import denoise, flow, gaussians


def test_of_two_jobs_that_begin_at_once_in_one_folder_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write = folders.write_text_new

    def late(path: Path, text: str) -> Path:
        monkeypatch.setattr(folders, "write_text_new", write)
        run_job(replace(JOB, seed=5), gaussians(), tmp_path)
        return write(path, text)

    monkeypatch.setattr(folders, "write_text_new", late)
    with pytest.raises(JobError, match="holds another job: seed is 5 there and 0 here"):
        run_job(JOB, gaussians(), tmp_path)
    assert said(tmp_path)["job"]["seed"] == 5
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize("refused", [False, True])
def test_a_first_file_stays_with_and_without_links(
    refused: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    if refused:

        def none(*_: Any) -> None:
            raise PermissionError

        monkeypatch.setattr(files.os, "link", none)
    for text in ("first", "second"):
        files.write_text_new(tmp_path / "a", text)
    assert (tmp_path / "a").read_text() == "first"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    with pytest.raises(OutputError):
        files.write_text_new(tmp_path / "no" / "a", "x")


def test_who_tidies_takes_no_file_that_another_is_writing(tmp_path: Path):
    facts = network_facts(gaussians())
    tmp_path.joinpath(".job.json.old.part").touch()
    mine = folders.Folder(tmp_path, JOB, facts, None)
    other = tmp_path / "parts" / ".000000-000001.json.new.part"
    other.touch()
    mine.sweep()
    assert list(tmp_path.rglob("*.part")) == [other]


def test_a_file_that_vanishes_while_it_is_written_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    replace_, lost = files.Path.replace, []

    def vanishing(self: Path, target: Path) -> Path:
        if not lost:
            lost.append(self)
            self.unlink()
        return replace_(self, target)

    monkeypatch.setattr(files.Path, "replace", vanishing)
    files.write_text_atomic(tmp_path / "a", "all of it")
    assert lost
    assert (tmp_path / "a").read_text() == "all of it"


def texts(shift: float) -> Any:
    table = torch.arange(6.0).reshape(3, 2) + shift
    call = DiffusersCall(lambda *_, **__: None, lambda t: (1.0, t), {"rows": table}, 1)
    return gaussians(call=call)


def test_another_text_is_another_network():
    same, other = identity_of(texts(0.0)), identity_of(texts(1.0))
    assert same.difference(identity_of(texts(0.0))) is None
    assert same.difference(other) == "the tensor tables[rows] is another one"
    laws = [identity_of(named_network("gaussian")) for _ in range(2)]
    assert laws[0] == laws[1]
    assert laws[0].digest != identity_of(named_network("mixture")).digest


def test_a_field_that_only_the_other_job_has_is_a_difference():
    assert difference({"a": 1, "b": 2}, {"a": 1}) == "b is 2 there and missing here"
    assert difference({"a": 1}, {"a": 1, "b": None}) == "b is missing there and None here"
    assert difference({"a": 1}, {"a": 1}) is None


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"grid": 3}, "dpmpp_2m has no option 'grid'"),
        ({"process": 3}, "dpmpp_2m has no option 'process'"),
        ({"eta": "abc"}, "the option eta of sde_dpmpp_2m is a number, got 'abc'"),
        ({"tol": "abc"}, "the option tol of adams_adaptive is a number, got 'abc'"),
        ({"noise": 1}, "adams_adaptive has no option 'noise'"),
    ],
)
def test_options_that_are_none_are_refused(options: dict, sentence: str, tmp_path: Path):
    sampler = sentence.split(" has ")[0].split(" is ")[0].split()[-1]
    with pytest.raises(JobError, match=sentence):
        run_job(replace(JOB, sampler=sampler, options=options), gaussians(), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_name_that_is_no_unicode_has_a_manifest_all_the_same(tmp_path: Path):
    job = replace(JOB, network="bad\udcff.py:f", count=2)
    assert run_job(job, gaussians(), tmp_path).manifest["complete"]
    assert said(tmp_path)["job"]["network"] == job.network


@pytest.mark.parametrize("pixels", [(-np.inf, np.inf), (0, np.inf), (np.nan, 1), (1, 0), 3])
def test_a_range_of_pixels_that_is_none_is_refused(pixels: Any):
    with pytest.raises(JobError, match="must be two numbers"):
        pixel_range(gaussians(about={"pixels": pixels}))


@pytest.mark.parametrize("sampler", ["adams_adaptive", "dpm_solver_12_adaptive", "sada"])
def test_a_sampler_with_a_time_for_each_image_ends_where_the_flow_does(
    sampler: str, tmp_path: Path
):
    """Images of three classes arrive at different times; each keeps its class."""
    job = replace(JOB, sampler=sampler, steps=30, dtype="float64", guidance=1.0)
    report = run_job(job, gaussians(), tmp_path)
    assert not report.failures
    grid = grid_of(gaussians(), job.grid, 30)
    labels = torch.tensor([0, 1, 2, 0, 1])
    x = starts(gaussians(), grid, range(5), seed=0, dtype=torch.float64, device="cpu")
    last = flow(x, grid[0], labels, grid[-2])
    wanted = denoise(last, grid[-2].t, labels)
    np.testing.assert_allclose(samples(tmp_path), wanted.numpy(), atol=2e-2)


@pytest.mark.parametrize("sampler", ["dpmpp_2m", "adams_adaptive", "sada"])
def test_what_fails_is_named_by_id_in_every_kind_of_sampler(sampler: str, tmp_path: Path):
    def broken(x: Tensor, t: float, labels: Tensor | None) -> Tensor:
        out = denoise(x, t, labels)
        assert labels is not None
        return torch.where((labels == 2)[:, None, None, None], torch.nan, out)

    job = replace(JOB, sampler=sampler, steps=6)
    (error,) = run_job(job, gaussians(call=broken), tmp_path).failures
    assert error.sample_ids == (2,)  # row 0 of the second batch
    assert said(tmp_path)["failed"][0]["samples"] == [2]


def test_a_row_that_is_asked_alone_is_named_by_its_own_id():
    model = _watched(lambda x, _: x, [4, 7, 9], lambda: None, look=True)
    with pytest.raises(NonFiniteError) as caught:
        for_rows(model, np.array([2]))(torch.full((1, 3), torch.nan), torch.tensor([0.25]))
    assert caught.value.sample_ids == (9,)
    assert caught.value.t == 0.25


def test_guidance_that_overflows_names_ids(tmp_path: Path):
    job = replace(JOB, labels=(0,), guidance=3e38, count=4)
    first, second = run_job(job, gaussians(call=_huge), tmp_path).failures
    assert (first.sample_ids, second.sample_ids) == ((0, 1), (2, 3))
    assert "samples [2, 3]" in str(second)
    assert [f["samples"] for f in said(tmp_path)["failed"]] == [[0, 1], [2, 3]]


def _huge(x: Tensor, t: float, labels: Tensor | None) -> Tensor:
    assert labels is not None
    return torch.ones_like(x) * (1.0 + 9.0 * (labels == 0))[:, None, None, None]


def test_the_record_of_a_job_is_never_another_kind_of_error(tmp_path: Path):
    run_job(JOB, gaussians(), tmp_path)
    whole = json.loads((tmp_path / "job.json").read_text())
    probes = whole["probes"]
    for change, sentence in (
        ({"schema": 1}, "has the schema 1, this program writes 2; take another folder"),
        ({"job": [1]}, "is no record of a job"),
        ({"probes": None}, "is no record of a job"),
        ({"probes": probes | {"tensors": 3}}, "has probes that are no numbers"),
        ({"probes": probes | {"answers": [[1, "2"]]}}, "has probes that are no numbers"),
        ({"probes": probes | {"times": 5}}, "has probes that are no numbers"),
    ):
        (tmp_path / "job.json").write_text(json.dumps(whole | change))
        with pytest.raises(FokkerError, match=sentence):
            run_job(JOB, gaussians(), tmp_path)
