"""A sweep measures each configuration once, keeps what it has, and goes on from there."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fokker import cli
from fokker.analysis import sweep as sweeps
from fokker.analysis.sweep import Config, configs, run_one, sweep
from fokker.analysis.sweep_picture import curves, draw
from fokker.cli.sweep import table
from fokker.solvers.errors import AnalysisError
from fokker.solvers.jobs.spacing import grid_of
from fokker.solvers.registry import get
from fokker.solvers.run import run
from fokker.toy_models.networks import named_network
from fokker.toy_models.problems import problem

CFG = Config("gaussian", "dpmpp_2m", 8, count=4, reference=64)


def fake(cfg: Config) -> dict[str, Any]:
    return {"rms": 1.0 / cfg.nfe, "median": 0.0, "reference_error": 0.0, "nfe": cfg.nfe}


def test_the_error_is_that_to_the_exact_flow():
    found = run_one(CFG)
    network, p = named_network("gaussian"), problem("gaussian")
    starts = sweeps._reference("gaussian", 4, 0, 1.0, 64)[0]
    grid = grid_of(network, "uniform-lam", 8)
    last = grid[-2]
    clean = p.law.flow(starts.x, (grid[0].alpha, grid[0].sigma), (last.alpha, last.sigma))
    exact = network.model()(clean, last.t)
    plan = get("dpmpp_2m")(network.process, grid)
    each = (run(plan, network.model(), starts.x).x - exact).square().mean(1).sqrt()
    truth = float(each.square().mean().sqrt())
    assert found["rms"] == pytest.approx(truth, abs=2 * found["reference_error"] + 1e-12)
    assert found["median"] == pytest.approx(float(torch.quantile(each, 0.5)), rel=1e-2)
    assert found["reference_error"] < found["rms"] / 100
    assert (found["nfe"], found["steps"]) == (8, 8)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"sampler": "sde_dpmpp_2m"}, "sde_dpmpp_2m draws noise"),
        ({"sampler": "nothing"}, "unknown sampler 'nothing'"),
        ({"nfe": 0}, "dpmpp_2m does not fit into 0 evaluations"),
        ({"grid": "wide"}, "unknown grid 'wide'; accepted: uniform-lam"),
        ({"guidance": 2.0, "network": "digit"}, "unknown network 'digit'"),
    ],
)
def test_what_cannot_be_measured_is_a_sentence_in_the_result(change: dict, sentence: str):
    assert sentence in run_one(replace(CFG, **change))["failed"]


def test_every_result_is_one_file_and_is_not_measured_again(tmp_path: Path):
    todo = configs(["a", "../b c"], ["s", "t", "s"], [1, 2], count=5)
    assert len(todo) == 8
    assert len({cfg.file() for cfg in todo}) == 8
    asked: list[Config] = []

    def counting(cfg: Config) -> dict[str, Any]:
        asked.append(cfg)
        return fake(cfg)

    seen: list[tuple[int, int]] = []
    first = sweep(todo[:5], tmp_path, one=counting)
    second = sweep(todo, tmp_path, one=counting, progress=lambda d, n: seen.append((d, n)))
    assert asked == todo
    assert first == second[:5]
    assert [r["config"] for r in second] == [asdict(cfg) for cfg in todo]
    assert seen == [(5, 8), (6, 8), (7, 8), (8, 8)]
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(cfg.file() for cfg in todo)
    (tmp_path / todo[0].file()).write_text('{"config"')
    (tmp_path / todo[1].file()).write_text(json.dumps({"config": asdict(todo[2])}))
    sweep(todo, tmp_path, one=counting)
    assert asked[8:] == todo[:2]


def test_what_was_measured_before_an_interrupt_is_kept(tmp_path: Path):
    todo = configs(["a"], ["s"], [1, 2, 3, 4])

    def stop(cfg: Config) -> dict[str, Any]:
        if cfg.nfe == 3:
            raise KeyboardInterrupt
        return fake(cfg)

    with pytest.raises(KeyboardInterrupt):
        sweep(todo, tmp_path, one=stop)
    assert {p.name for p in tmp_path.iterdir()} == {cfg.file() for cfg in todo[:2]}
    assert len(sweep(todo, tmp_path, one=fake)) == 4


def test_a_lost_worker_loses_its_own_measurement_only(tmp_path: Path):
    todo = configs(["a"], ["s"], range(1, 7))
    flag = str(tmp_path / "died")

    def dying(cfg: Any) -> dict[str, Any]:
        import os
        import signal
        import time

        if cfg.nfe == 6 and not os.path.exists(flag):
            open(flag, "w").close()
            time.sleep(0.5)
            os.kill(os.getpid(), signal.SIGKILL)
        return {"nfe": cfg.nfe, "pid": os.getpid()}

    with pytest.raises(AnalysisError, match="a worker was lost; what was measured is kept"):
        sweep(todo, tmp_path / "out", jobs=2, one=dying)
    kept = len(list((tmp_path / "out").iterdir()))
    assert 1 <= kept <= 5
    results = sweep(todo, tmp_path / "out", jobs=2, one=dying)
    assert [r["nfe"] for r in results] == [1, 2, 3, 4, 5, 6]


def test_without_dask_the_sentence_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "dask", None)
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(AnalysisError, match=r"needs Dask: pip install 'dask\[distributed\]'"):
        sweep([CFG], tmp_path, dask="tcp://127.0.0.1:1", one=fake)
    with pytest.raises(AnalysisError, match="at least one process, at most 1024, got 0"):
        sweep([CFG], tmp_path, jobs=0, one=fake)


def test_a_picture_has_a_line_for_each_sampler_and_a_table_a_row():
    todo = configs(["a", "b"], ["s", "t"], [4, 2])
    results = [{"config": asdict(cfg), **fake(cfg)} for cfg in todo]
    results[0] = {"config": asdict(todo[0]), "failed": "no"}
    results[1] |= {"reference_error": 0.4}
    found = curves(results)
    assert found["a"] == {"s": [(2, 0.5)], "t": [(2, 0.5), (4, 0.25)]}
    figure = draw(results)
    assert [axes.get_title() for axes in figure.axes] == ["a", "b"]
    lines = figure.axes[1].get_lines()
    assert [line.get_label() for line in lines] == ["s", "t", "fine solution"]
    np.testing.assert_array_equal(np.asarray(lines[0].get_xydata()), [[2, 0.5], [4, 0.25]])
    rows = [line.split() for line in table(results).splitlines()]
    assert rows[2] == ["a", "s", "<1.2", "failed"]
    assert rows[3] == ["a", "t", "0.5", "0.25"]


def test_the_command_prints_the_table_and_writes_the_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture
):
    words = ["sweep", "--model", "gaussian", "--sampler", "ddim", "dpmpp_2m", "--nfe", "4", "8",
             "--count", "4", "--reference", "64", "--out", str(tmp_path)]  # fmt: skip
    assert cli.main(words) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].split() == ["network", "sampler", "4", "evaluations", "8", "evaluations"]
    assert [line.split()[:2] for line in said[2:]] == [
        ["gaussian", "ddim"],
        ["gaussian", "dpmpp_2m"],
    ]
    assert (tmp_path / "error.png").read_bytes().startswith(b"\x89PNG")
    found = json.loads((tmp_path / "sweep.json").read_text())
    assert found[3]["rms"] == run_one(replace(CFG))["rms"]
    assert cli.main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == found
    assert cli.main([*words, "--sampler", "ancestral"]) == 1
    assert "fokker: ancestral draws noise" in capsys.readouterr().err
    for more, sentence in (
        (["--sampler", "dimm"], "unknown sampler 'dimm'"),
        (["--model", "gausian"], "unknown network 'gausian'"),
        (["--jobs", "0"], "at least one process, at most 1024, got 0"),
    ):
        assert cli.main([*words, *more]) == 2
        assert sentence in capsys.readouterr().err
