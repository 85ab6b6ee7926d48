"""The certificate: distributed, resumed, judged by its worst place, never silently complete."""

import json
from dataclasses import replace

import pytest

from fokker.analysis import certificate as room
from fokker.analysis.budget import steps_within
from fokker.analysis.certificate import certify
from fokker.analysis.measure import Settings, errors, measure
from fokker.analysis.order_rows import verdicts
from fokker.analysis.record import plain
from fokker.solvers.errors import AnalysisError, FokkerError
from fokker.solvers.grids import Grid
from fokker.solvers.registry import Sampler, get, is_registered
from fokker.solvers.samplers.multistep import multistep


def own_sampler(order):
    """Not registered: an order-1 method with whatever claim."""

    def build(process, grid, *, history=()):
        return multistep(process, grid, order=1)

    return Sampler(
        name="own", build=build, nfe=lambda n: n, prediction="data", source="a test",
        order=order, order_cold=order,
    )  # fmt: skip


@pytest.fixture(scope="module")
def record():
    return measure(get("dpmpp_2m"), Settings(("gaussian", "product", "digits-gaussian"), True))


def test_a_true_claim_is_met_on_a_gaussian_and_on_a_nonlinear_law(record):
    assert record["failure"] is None
    assert record["verdicts"] == {"order": "met", "order_cold": "met"}
    assert {(r["problem"], r["warm"]) for r in record["orders"]} == {
        ("gaussian", True), ("gaussian", False), ("product", True), ("product", False),
    }  # fmt: skip


def test_a_false_claim_is_listed_as_not_met(tmp_path):
    page = certify([own_sampler(2)], problems=["gaussian"], quick=True, jobs=2, out=tmp_path)
    assert {row["claim"] for row in page["unmet"]} == {"order", "order_cold"}
    assert all(0.8 < row["observed"] < 1.2 for row in page["unmet"])


def test_an_order_that_the_sampler_has_beyond_its_claim_is_no_failure():
    assert measure(get("unipc_1"), Settings(("gaussian",), True))["verdicts"]["order"] == "met"


def test_errors_shrink_with_the_budget_and_say_what_they_are(record):
    rows = [r for r in record["errors"] if r["problem"] == "digits-gaussian"]
    assert [r["measure"] for r in rows] == ["W2"] * 4
    assert rows[0]["value"] > 10 * rows[-1]["value"] > 0
    paired = [r for r in record["errors"] if r["problem"] == "product"]
    assert {r["measure"] for r in paired} == {"paired"}


def test_the_error_split_obeys_the_triangle_inequality(record):
    for row in record["split"]:
        assert row["total"] <= row["initialisation"] + row["truncation"] + row["discretisation"]


def test_rounding_floors_are_those_of_the_two_dtypes(record):
    assert 1e-17 < record["floors"]["float64"] < 1e-14
    assert 1e-8 < record["floors"]["float32"] < 1e-5


def test_the_record_is_json(record):
    assert json.loads(json.dumps(plain(record)))["name"] == "dpmpp_2m"


def test_the_worst_place_decides_a_claim():
    rows = [
        {"claim": "order", "verdict": v} for v in ("met", "not resolved", "met", "not met", "met")
    ]
    assert verdicts(rows) == {"order": "not met"}
    assert verdicts(rows[:3]) == {"order": "not resolved"}


@pytest.fixture
def counted(monkeypatch):
    calls = []

    def fake(sampler, settings):
        calls.append(sampler.name)
        return {"name": sampler.name, "orders": [], "failure": None}

    monkeypatch.setattr(room, "measure", fake)
    return calls


def test_finished_parts_are_not_measured_again(counted, tmp_path):
    two = [get("ddim"), get("dpmpp_2m")]
    certify(two, quick=True, jobs=1, out=tmp_path)
    certify(two, quick=True, jobs=1, out=tmp_path)
    assert counted == ["ddim", "dpmpp_2m"]


def test_an_interrupted_run_goes_on_where_it_stopped(counted, tmp_path, monkeypatch):
    real = room.write_text_atomic

    def stop_after_one(path, text):
        real(path, text)
        raise KeyboardInterrupt

    monkeypatch.setattr(room, "write_text_atomic", stop_after_one)
    two = [get("ddim"), get("dpmpp_2m")]
    with pytest.raises(KeyboardInterrupt):
        certify(two, quick=True, jobs=1, out=tmp_path)
    monkeypatch.setattr(room, "write_text_atomic", real)
    done = certify(two, quick=True, jobs=1, out=tmp_path)
    assert counted == ["ddim", "dpmpp_2m"]
    assert [r["name"] for r in done["samplers"]] == ["ddim", "dpmpp_2m"]


@pytest.mark.parametrize("change", ["settings", "sources", "claims", "broken file"])
def test_a_part_made_by_anything_else_is_not_reused(counted, tmp_path, monkeypatch, change):
    certify([own_sampler(1)], quick=True, jobs=1, out=tmp_path)
    order, quick = (2 if change == "claims" else 1), change != "settings"
    if change == "sources":
        monkeypatch.setattr(room, "source_hash", lambda: "other")
    if change == "broken file":
        (tmp_path / "parts/own.json").write_text('{"key": ')
    certify([own_sampler(order)], quick=quick, jobs=1, out=tmp_path)
    assert counted == ["own", "own"]


def test_progress_is_told_of_every_sampler(counted):
    seen = []
    two = [get("ddim"), get("dpmpp_2m")]
    certify(two, jobs=1, progress=lambda *args: seen.append(args))
    assert seen == [(1, 2, "ddim"), (2, 2, "dpmpp_2m")]


def test_a_sampler_that_fails_with_a_sentence_keeps_the_rest_of_the_page():
    def build(process, grid, **_):
        msg = "this sampler refuses 8 steps"
        raise AnalysisError(msg)

    sick = Sampler(
        name="sick", build=build, nfe=lambda n: n, prediction="data", source="a test", order=1
    )
    page = certify([sick], problems=["gaussian"], quick=True, jobs=1)
    assert page["failures"] == [
        {"sampler": "sick", "failure": "AnalysisError: this sampler refuses 8 steps"}
    ]


@pytest.mark.parametrize("wrong", [{"problems": ["nope"]}, {"jobs": 0}])
def test_bad_input_is_one_sentence(wrong):
    with pytest.raises(FokkerError):
        certify([get("ddim")], **wrong)
    with pytest.raises(AnalysisError, match="at least one sampler"):
        certify([])


def test_a_user_s_own_sampler_is_not_taken_for_a_registered_one():
    assert is_registered(get("ddim"))
    assert not is_registered(own_sampler(1))


def test_steps_within_a_budget_count_evaluations_not_steps():
    assert steps_within(get("edm_heun"), 5) == 2
    assert steps_within(get("pndm"), 3) is None
    assert steps_within(get("pndm"), 20) == 11
    assert steps_within(get("ddim"), 5) == 5


def test_a_sampler_that_diverges_is_shown_as_such_and_not_as_a_number():
    def build(process, grid: Grid, **_):
        from fokker.solvers.plan import Tape

        tape = Tape()
        x = tape.input("x", grid[0])
        for s, t in grid.steps():
            m = tape.eval(x, s, "data")
            x = tape.mark(tape.lin((x, 1e200), (m, 1e200)), t)
        return tape.plan(x=x)

    wild = Sampler(name="wild", build=build, nfe=lambda n: n, prediction="data", source="a test")
    rows = errors(wild, Settings(("product",), True))
    assert rows
    assert all(row["value"] is None for row in rows)


@pytest.mark.parametrize(("factor", "expected"), [(50.0, "met"), (1e-4, "not met")])
def test_an_adaptive_solver_is_judged_by_its_tolerance(factor, expected):
    lsoda = replace(get("scipy_lsoda_lam"), tolerance=factor)
    seen = measure(lsoda, Settings(("gaussian",), True))
    assert seen["claims"]["tolerance"] == factor
    assert seen["verdicts"] == {"tolerance": expected}
    assert [row["tol"] for row in seen["tolerance"]] == [1e-3, 1e-5]
    assert seen["errors"] == []  # it chooses its evaluations: a budget means nothing
