"""A process that is killed at any point of its writing loses nothing and leaves nothing half done.

The child of a fork does the job and kills itself, as SIGKILL does, at the n-th of the places where
files are made: before a file, when it is full but has not its name yet, and after. Then the job is
resumed, and must give the bytes of a job that nobody touched.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fokker.solvers import files
from fokker.solvers.jobs.work import run_job
from small_jobs import JOB, contents, said
from small_networks import gaussians

SMALL = replace(JOB, count=3)


def dying(die: Callable[[], None]) -> None:
    """Ask ``die`` before each file is made, when it is full, and when it has its name."""
    create, fsync, beside = files._create, os.fsync, files.Path.replace

    def before(path: Path) -> int:
        die()
        return create(path)

    def full(handle: int) -> None:
        fsync(handle)
        die()

    def named(self: Path, target: Any) -> Any:
        out = beside(self, target)
        die()
        return out

    files._create = before
    os.fsync = full
    files.Path.replace = named


def child(folder: Path, place: int) -> int:
    """Do the job in a child that kills itself at a place; how it ended, as ``waitpid`` says."""
    pid = os.fork()
    if pid:
        return os.waitpid(pid, 0)[1]
    count = -1

    def die() -> None:
        nonlocal count
        count += 1
        if count == place:
            os.kill(os.getpid(), signal.SIGKILL)

    try:
        dying(die)
        run_job(SMALL, gaussians(), folder, save_every=3)
    finally:
        os._exit(0 if count < place else 1)
    return 0


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The job done by nobody who was killed."""
    folder = tmp_path_factory.mktemp("whole")
    run_job(SMALL, gaussians(), folder)
    return folder


def test_a_kill_at_any_place_loses_no_image_and_doubles_none(whole: Path, tmp_path: Path):
    place, kept, halves = 0, [], 0
    while True:
        folder = tmp_path / str(place)
        status = child(folder, place)
        if status == 0:
            break
        assert os.WTERMSIG(status) == signal.SIGKILL
        halves += len(list(folder.rglob(".*.part")))
        report = run_job(SMALL, gaussians(), folder, save_every=3)
        kept.append(report.found)
        assert report.made + report.found == 3
        assert report.manifest["complete"]
        assert contents(folder) == contents(whole)
        assert said(folder)["images"] == said(whole)["images"]
        assert not list(folder.rglob(".*.part"))
        assert not list((folder / "checkpoints").iterdir())
        place += 1
    assert kept == sorted(kept)
    assert set(kept) == {0, 2, 3}
    assert halves > 8  # the kills did leave half-written files behind
    assert contents(tmp_path / str(place)) == contents(whole)
