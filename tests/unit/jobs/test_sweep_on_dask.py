"""A sweep on a Dask cluster: the rows of one machine, and nothing lost with a worker.

The cluster is real: a scheduler and worker processes on this machine, killed with SIGKILL.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fokker.analysis import sweep_workers
from fokker.analysis.sweep import Config, configs, sweep
from fokker.solvers.errors import AnalysisError
from small_cluster import Cluster, cluster

REAL = [Config("gaussian", "dpmpp_2m", 8, count=4, reference=64)]
MANY = configs(["a"], ["s"], range(1, 9))


@pytest.fixture(scope="module")
def two() -> Iterator[Cluster]:
    """Two workers, which come back when they died."""
    with cluster(2) as found:
        yield found


def logging(folder: Path, deadly: int = 0, times: int = 0) -> Callable[[Any], dict[str, Any]]:
    """What writes down each asking, and dies so many times at one of them.

    A closure is sent by value: the workers cannot import this file.
    """
    log = str(folder / "asked")

    def one(cfg: Any) -> dict[str, Any]:
        import os
        import signal
        import time
        from pathlib import Path

        with open(log, "a") as file:
            file.write(f"{cfg.nfe}\n")
        if cfg.nfe == deadly and Path(log).read_text().split().count(str(deadly)) <= times:
            time.sleep(0.3)
            os.kill(os.getpid(), signal.SIGKILL)
        return {"nfe": cfg.nfe, "rms": 0.1 * cfg.nfe, "pid": os.getpid()}

    return one


def asked(folder: Path) -> Counter[int]:
    return Counter(map(int, (folder / "asked").read_text().split()))


def test_the_rows_of_a_cluster_are_those_of_joblib_and_of_one_process(
    two: Cluster, tmp_path: Path
):
    def made_up(cfg: Any) -> dict[str, Any]:
        return {"rms": cfg.nfe / 3, "reference_error": 1e-300, "nfe": cfg.nfe}

    ways: dict[str, Any] = {"one": {}, "joblib": {"jobs": 2}, "dask": {"dask": two.address}}
    for todo, one in ((MANY, made_up), (REAL, None)):
        rows = {name: sweep(todo, tmp_path / name, one=one, **how) for name, how in ways.items()}
        assert len(rows["one"]) == len(todo)
        assert all(row["rms"] > 0 for row in rows["one"])
        assert rows["one"] == rows["joblib"] == rows["dask"]
    files = [{p.name: p.read_bytes() for p in (tmp_path / n).iterdir()} for n in ways]
    assert len(files[0]) == len(MANY) + len(REAL)
    assert files[0] == files[1] == files[2]


def test_a_worker_that_is_killed_costs_what_it_was_at_and_the_sweep_is_finished(
    two: Cluster, tmp_path: Path
):
    seen: list[tuple[int, int]] = []
    found = sweep(
        MANY, tmp_path / "out", dask=two.address, one=logging(tmp_path, 4, 1),
        progress=lambda done, of: seen.append((done, of)),
    )  # fmt: skip
    assert [row["nfe"] for row in found] == list(range(1, 9))
    assert seen == [(done, 8) for done in range(9)]
    times = asked(tmp_path)
    assert times.pop(4) == 2
    assert sum(times.values()) <= 7 + 2  # at most what had waited on the one that died
    assert len({row["pid"] for row in found}) >= 2


def test_what_kills_each_worker_is_given_up_last_and_only_that_is_done_again(
    two: Cluster, tmp_path: Path
):
    with pytest.raises(AnalysisError, match="were lost each time; what was measured is kept"):
        sweep(MANY, tmp_path / "out", dask=two.address, one=logging(tmp_path, 4, 99))
    kept = {json.loads(p.read_text())["nfe"] for p in (tmp_path / "out").iterdir()}
    assert 4 not in kept
    assert kept >= {1, 2, 3}
    (tmp_path / "asked").unlink()
    found = sweep(MANY, tmp_path / "out", dask=two.address, one=logging(tmp_path))
    assert [row["nfe"] for row in found] == list(range(1, 9))
    assert asked(tmp_path) == Counter(set(range(1, 9)) - kept)


def test_errors_are_raised_as_they_are_and_a_missing_program_is_named(
    two: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def wrong(_: Any) -> dict[str, Any]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        sweep(MANY[:1], tmp_path, dask=two.address, one=wrong)
    (tmp_path / "fokker_new.py").write_text("def one(cfg):\n    return {}\n")
    monkeypatch.syspath_prepend(tmp_path)
    new = importlib.import_module("fokker_new").one  # sent by its name, which nobody there knows
    with pytest.raises(AnalysisError, match=r"cannot import fokker: .*; install it on its sched"):
        sweep(MANY[:1], tmp_path, dask=two.address, one=new)
    monkeypatch.setattr(sweep_workers, "__version__", "0.0.1")
    with pytest.raises(AnalysisError, match=r"the sweep was begun with 0\.0\.1; install the same"):
        sweep(MANY[:1], tmp_path, dask=two.address, one=logging(tmp_path))


def test_a_scheduler_that_is_lost_leaves_what_was_measured(tmp_path: Path):
    with cluster(1) as found:
        pid = found.pid

        def one(cfg: Any) -> dict[str, Any]:
            import os
            import signal
            import time

            if cfg.nfe == 3:
                time.sleep(0.5)
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)
            return {"nfe": cfg.nfe}

        with pytest.raises(AnalysisError, match=f"{found.address}' no longer answers; what was"):
            sweep(MANY, tmp_path / "out", dask=found.address, one=one)
    assert len(list((tmp_path / "out").iterdir())) == 2


def test_nobody_to_do_it_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sweep_workers, "CONNECT", 0.3)
    for address in ("tcp://127.0.0.1:9", "nothing://", "127.0.0.1"):
        with pytest.raises(AnalysisError, match="no Dask scheduler answers at '"):
            sweep(MANY, tmp_path, dask=address)
    monkeypatch.setattr(sweep_workers, "CONNECT", 20.0)
    monkeypatch.setattr(sweep_workers, "PATIENCE", 0.2)
    monkeypatch.setattr(sweep_workers, "_LOOK", 0.1)
    with cluster(0) as found, pytest.raises(AnalysisError, match=r"had no worker for 0\.2 s"):
        sweep(MANY, tmp_path, dask=found.address)
    assert not list(tmp_path.iterdir())


def test_nothing_imports_dask_before_it_is_asked_for():
    code = "import sys, fokker.cli.sweep, fokker.analysis.sweep, fokker.analysis.sweep_workers\n"
    code += "assert not {'dask', 'distributed', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
