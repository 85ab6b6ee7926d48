"""A request that would run away is refused at once, in a sentence with the value and the most."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from fokker import cli
from fokker.analysis.recommend import Settings
from fokker.analysis.recommend.starts import Starts
from fokker.analysis.sweep import Config, sweep
from fokker.solvers.errors import AnalysisError
from fokker.solvers.jobs.errors import JobError
from fokker.solvers.jobs.job import Job
from fokker.solvers.jobs.limits import MOST_NUMBERS, within_memory, within_rows
from fokker.solvers.jobs.work import run_job
from fokker.solvers.registry import get
from small_jobs import JOB, PROBES
from small_networks import gaussians

HUGE = 10**10


@pytest.fixture
def little_memory() -> Iterator[None]:
    """No more than a few megabytes are taken, modules left out."""
    get("ddim")
    tracemalloc.start()
    yield
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2**23


@pytest.mark.parametrize(
    ("field", "most"), [("count", 1_000_000), ("steps", 10_000), ("batch", 65_536)]
)
@pytest.mark.usefixtures("little_memory")
def test_a_job_has_a_size(field: str, most: int):
    for value in (most + 1, HUGE):
        sentence = f"{field} of a job is '{value}'; accepted: a whole number from 1 to {most}"
        with pytest.raises(JobError, match=sentence):
            replace(JOB, **{field: value})
    assert getattr(replace(JOB, **{field: most}), field) == most


@pytest.mark.usefixtures("little_memory")
def test_the_largest_job_begins_at_once(tmp_path: Path):
    """The first image is asked for when nothing but the list of batches is there."""
    asked: list[float] = []

    def stop(x: Tensor, t: float, _: Any) -> Tensor:
        asked.append(t)
        if len(asked) > PROBES:
            raise KeyboardInterrupt
        return x

    job = Job("gaussians", "ddim", steps=2, count=1_000_000, batch=1000)
    with pytest.raises(KeyboardInterrupt):
        run_job(job, gaussians((2,), 0, call=stop), tmp_path)
    assert (tmp_path / "manifest.json").stat().st_size < 2**17


@pytest.mark.parametrize(
    ("sampler", "options", "sentence"),
    [
        ("restart", {"rounds": HUGE}, "4 steps with rounds = 10000000000 are 40000000000 rows"),
        ("time_travel", {"rounds": 1000, "back": 50}, "rounds = 1000, back = 50 are 200000 rows"),
    ],
)
@pytest.mark.usefixtures("little_memory")
def test_options_that_multiply_a_plan_are_bounded(
    sampler: str, options: dict[str, int], sentence: str, tmp_path: Path
):
    with pytest.raises(JobError, match=f"{sentence}; accepted: up to 100000"):
        run_job(replace(JOB, sampler=sampler, options=options), gaussians(), tmp_path / "new")
    assert not (tmp_path / "new").exists()
    within_rows(10_000, {"rounds": 10, "eta": 1e9, "flag": True})


@pytest.mark.usefixtures("little_memory")
def test_a_batch_has_a_size_in_numbers(tmp_path: Path):
    with pytest.raises(JobError, match=r"2 samples of shape \(1, 99999, 99999\) at once are 1999"):
        run_job(replace(JOB, size=(99999, 99999)), gaussians(), tmp_path / "new")
    assert not (tmp_path / "new").exists()
    within_memory(4, (MOST_NUMBERS // 4,))
    with pytest.raises(JobError, match=f"accepted: {MOST_NUMBERS}, so 3 at most"):
        within_memory(4, (MOST_NUMBERS // 4 + 1,))
    with pytest.raises(AnalysisError, match=r"1000000 samples of shape \(9, 999\) at once are"):
        Starts(gaussians((9, 999)), 1_000_000)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Config("a", "s", HUGE), "nfe of a sweep must be at most 10000, got 10000000000"),
        (lambda: Config("a", "s", 5, count=HUGE), "count of a sweep must be at most 1000000"),
        (
            lambda: Config("a", "s", 5, reference=HUGE),
            "reference of a sweep must be at most 10000",
        ),
        (lambda: Settings(nfe=HUGE), "the budget of a recommendation must be at most 1000, got 1"),
        (lambda: Settings(starts=HUGE), "the starts of a recommendation must be at most 1000000"),
        (lambda: Settings(reference_steps=HUGE), "the steps of the reference must be at most 10"),
        (lambda: sweep([], ".", jobs=HUGE), "at most 1024, got 10000000000"),
    ],
)
def test_so_have_sweeps_and_recommendations(make: Any, sentence: str):
    with pytest.raises(AnalysisError, match=sentence):
        make()


@pytest.mark.parametrize(
    "words",
    [
        ["sample", "--model", "gaussian", "--count", str(HUGE)],
        ["sweep", "--model", "gaussian", "--sampler", "ddim", "--nfe", str(HUGE)],
        ["recommend", "--model", "digits", "--class", "3", "--starts", str(HUGE)],
        ["recommend", "--model", "gaussian", "--nfe", str(HUGE)],
    ],
)
def test_the_commands_refuse_before_a_folder_is_made(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture
):
    assert cli.main([*words, "--out", str(tmp_path / "new")]) == 2
    said = capsys.readouterr().err
    assert str(HUGE) in said
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "new").exists()
