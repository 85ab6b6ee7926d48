"""The logic of the benches, on made-up times: nothing here is measured."""

from __future__ import annotations

import importlib.util
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from scipy.sparse.linalg import expm_multiply

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


def bench(name: str) -> ModuleType:
    """A file of benchmarks/, which is no package."""
    spec = importlib.util.spec_from_file_location(f"bench_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


curves, timing = bench("curves"), bench("timing")


def curve(errors: list[float], *rounds: list[float], steps: tuple[int, ...] = (8, 16, 32)):
    return curves.Curve(steps, errors, rounds)


def test_a_cost_is_read_off_the_chord_in_logarithms():
    """Error ``n^-1.5`` and cost ``n``: any accuracy between the solves costs its power."""
    steps = (8, 16, 32)
    found = curve([n**-1.5 for n in steps], [float(n) for n in steps])
    for accuracy in (0.04, 0.02, 0.01, 0.006):
        assert found.at(accuracy, found.seconds[0]) == pytest.approx(accuracy ** (-1 / 1.5))


def test_an_accuracy_that_all_keep_costs_the_first_and_one_that_none_keeps_is_out_of_reach():
    found = curve([0.1, 0.05, 0.02], [1.0, 2.0, 4.0])
    assert found.at(0.2, found.seconds[0]) == 1.0
    assert math.isinf(found.at(0.01, found.seconds[0]))
    assert found.at(0.05, found.seconds[0]) == pytest.approx(2.0)


def test_a_lucky_coarse_solve_does_not_count():
    """Kept at 8 steps, missed at 16: the accuracy is reached between 16 and 32."""
    found = curve([0.01, 0.04, 0.01], [1.0, 2.0, 4.0])
    assert 2.0 < found.at(0.02, found.seconds[0]) < 4.0


def test_an_overflow_is_a_miss_without_a_chord():
    found = curve([math.nan, math.nan, 0.01], [1.0, 2.0, 4.0])
    assert math.isinf(found.at(0.02, found.seconds[0]))


def test_the_cheapest_method_of_each_side_runs_and_rounds_are_compared_with_themselves():
    e = [0.4, 0.2, 0.1]
    ours = {"slow": curve(e, [9.0] * 3, [9.0] * 3, [9.0] * 3)}
    ours["fast"] = curve(e, [1.0] * 3, [2.0] * 3, [1.0] * 3)
    theirs = {"only": curve(e, [3.0] * 3, [8.0] * 3, [30.0] * 3)}
    found = curves.race(ours, theirs, 0.2)
    assert (found.ours, found.theirs, found.steps) == ("fast", "only", pytest.approx(16.0))
    assert found.ratio == pytest.approx(4.0)  # of 3, 4 and 30
    assert found.least == pytest.approx(3.0)
    with pytest.raises(ValueError, match=r"none of only reaches 0\.01"):
        curves.race(ours | {"better": curve([0.1, 0.01, 0.001], [1.0] * 3)}, theirs, 0.01)


class Clock:
    """A clock that moves only when work is done."""

    def __init__(self) -> None:
        self.now = 0.0

    def thread_time(self) -> float:
        return self.now

    def work(self, times: Iterator[float]):
        def call() -> None:
            self.now += next(times)

        return call


def test_times_are_taken_in_turns_the_first_round_being_free(monkeypatch: pytest.MonkeyPatch):
    clock = Clock()
    monkeypatch.setattr(timing, "time", clock)
    base = clock.work(iter([50.0, 50.0, 1.0, 3.0, 2.0, 2.0, 5.0, 5.0]))  # two calls a round
    target = clock.work(iter([70.0, 6.0, 8.0, 50.0]))
    pair = timing.in_turns(base, target, base_count=2, rounds=3)
    assert (pair.base, pair.target) == (2.0, 6.0)
    assert pair.typical_ratio == pytest.approx(4.0)  # of 6/2, 8/2 and 50/5


def test_a_record_carries_machine_versions_and_rows(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(timing, "RESULTS", tmp_path)
    import json

    record = json.loads(timing.write("made_up", [{"ratio": 2.0}]).read_text())
    assert record["rows"] == [{"ratio": 2.0}]
    assert {"processor", "threads", "python", "torch", "numpy", "fokker"} <= set(record["machine"])
    assert [p.name for p in tmp_path.iterdir()] == ["made_up.json"]


def test_a_table_is_ranged_left_then_right():
    assert timing.table(["a", "b"], [["long", "1"], ["x", "100"]]) == (
        "a       b\nlong    1\nx     100"
    )


@pytest.fixture
def densities(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The bench of densities as it is without py-pde."""
    monkeypatch.syspath_prepend(FOLDER)
    module = bench("fokker_planck")
    monkeypatch.setattr(module, "pde", None)
    return module


def test_without_py_pde_the_bench_of_densities_says_so_and_leaves(densities: ModuleType, capsys):
    assert densities.main() == []
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert "pip install py-pde" in said


def test_the_densities_of_the_bench_are_those_that_both_sides_reach(densities: ModuleType):
    """Closed forms and a Fourier method against our grids; cells foretold for theirs."""
    for case in (densities.LINE, densities.WELL):
        errors = [abs(densities.ours(case, n, 3) - case.truth(n)).sum() for n in (44, 64)]
        assert errors[1] < 0.3 * errors[0] < 3e-7
        n = densities.their_cells(case, 1e-3)
        matrix, start = densities.central(case, n)
        end = expm_multiply(case.span * matrix, start)
        assert 0.9e-3 < densities.their_error(case, n, end) <= 1.001e-3


def test_a_bar_that_is_missed_is_called_missed(densities: ModuleType):
    assert densities.verdict(99.0, 100.0) == "100 MISSED"
    assert (densities.verdict(101.0, 100.0), densities.verdict(0.3, None)) == ("100", "-")
    assert (densities.short(0.257), densities.short(1482.3)) == ("0.26", "1482")
