"""The folder of a job from a stranger: what contradicts the job is made again, nothing is run."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fokker.solvers.jobs.work import run_job
from fokker.solvers.networks.checkpoint import read_weights, write_weights
from small_jobs import JOB, contents
from small_networks import gaussians

ARRAY, PICTURE, RECORD = (
    "arrays/000000-000001.npy",
    "images/000000.png",
    "parts/000000-000001.json",
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("whole")
    run_job(JOB, gaussians(), folder)
    return contents(folder)


class Bomb:
    """What writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.write_text, (self.path, "boom")


def saved(array: Any) -> bytes:
    out = io.BytesIO()
    np.save(out, array, allow_pickle=True)
    return out.getvalue()


def forged(mark: Path) -> dict[str, bytes]:
    """Arrays that are none of this job, by what is wrong with them."""
    odd = np.empty(2, object)
    odd[:] = [Bomb(mark), Bomb(mark)]
    nan = np.full((2, 1, 4, 4), np.nan, np.float32)
    return {
        "pickle": pickle.dumps(Bomb(mark)), "objects": saved(odd), "": b"", "NaN": saved(nan),
        "half": saved(nan)[:70], "other dtype": saved(np.zeros((2, 1, 4, 4))),
        "another count": saved(np.zeros((1, 1, 4, 4), np.float32)),
        "a number": saved(np.float32(1)), "no picture": saved(np.zeros((2, 3), np.float32)),
    }  # fmt: skip


def test_an_array_that_its_record_vouches_for_is_still_looked_at(
    tmp_path: Path, whole: dict[str, bytes]
):
    mark, folder = tmp_path / "boom", tmp_path / "job"
    run_job(JOB, gaussians(), folder)
    for data in forged(mark).values():
        (folder / ARRAY).write_bytes(data)
        record = json.loads((folder / RECORD).read_text())
        record["array"] = hashlib.sha256(data).hexdigest()
        (folder / RECORD).write_text(json.dumps(record))
        (folder / PICTURE).unlink()  # so that it is drawn again, from the array
        run_job(JOB, gaussians(), folder)
        assert contents(folder) == whole
    assert not mark.exists()


@pytest.mark.parametrize("place", [ARRAY, PICTURE, RECORD])
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(
    tmp_path: Path, whole: dict[str, bytes], place: str
):
    run_job(JOB, gaussians(), tmp_path)
    (tmp_path / place).unlink()
    os.mkfifo(tmp_path / place)
    run_job(JOB, gaussians(), tmp_path)
    assert contents(tmp_path) == whole


@pytest.mark.parametrize("step", ["9" * 5000, "-1", "1.0", "\u0661", "", "99"])
def test_a_checkpoint_at_a_step_that_is_none_does_not_count(
    tmp_path: Path, whole: dict[str, bytes], step: str, monkeypatch: pytest.MonkeyPatch
):
    class Stopped(Exception):
        pass

    def stop(*_: Any) -> None:
        raise Stopped

    monkeypatch.setattr("fokker.solvers.jobs.checkpoints.Checkpoints.drop", stop)
    with pytest.raises(Stopped):
        run_job(JOB, gaussians(), tmp_path, save_every=1)
    (kept,) = (tmp_path / "checkpoints").iterdir()
    found = read_weights(kept)
    write_weights(kept, found.tensors, {**found.metadata, "step": step})
    (tmp_path / RECORD).unlink()
    monkeypatch.undo()
    run_job(JOB, gaussians(), tmp_path, save_every=1)
    assert contents(tmp_path) == whole
