"""The stand measures foreign samplers by what they do, and isolates what costs their order."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest

from fokker.analysis.stand import libraries as stand_module
from fokker.analysis.stand.causes import (
    causes_as_shipped,
    causes_on_exact_levels,
    explained_by,
    explains,
    measured,
)
from fokker.analysis.stand.claims import NOT_ON_THE_STAND, Entry, known
from fokker.analysis.stand.libraries import (
    choose,
    entries,
    library_record,
    measure_one,
    of_path,
    stand,
)
from fokker.analysis.stand.page import render
from fokker.analysis.stand.rows import SHIPPED, StandSettings, _edges, _options, measure_entry
from fokker.analysis.stand.trials import Trial, error, slope, weak_error
from fokker.cli import main
from fokker.solvers.errors import FokkerError

pytest.importorskip("diffusers")
pytestmark = pytest.mark.filterwarnings("ignore")
COUNTS = (12, 24, 48)

FILE = """
from itertools import pairwise

def euler(model, x, sigmas):
    for s, t in pairwise(sigmas):
        x = x + (t - s) * (x - model(x, s)) / s
    return x

def wrong(model, x, sigmas):
    for s, t in pairwise(sigmas):
        x = x + (t - s) * (x - model(x, 0.9 * s)) / s
    return x
"""


def entry(label: str, library: str = "diffusers") -> Entry:
    return next(e for e in known(library) if e.label == label)


def order(label: str, trial: Trial | None = None, counts: tuple[int, ...] = COUNTS) -> float:
    e = entry(label)
    found = slope(counts, measured(e, trial or Trial(), counts, "product"), counts[0])
    assert found is not None
    return found


def test_every_scheduler_class_of_the_installed_library_has_a_row():
    from fokker.solvers.adapters.diffusers_box import schedulers

    rows = entries("diffusers")
    assert {e.name for e in rows} == {n.removesuffix("Scheduler") for n in schedulers()}
    for e in rows:
        assert e.why or (e.claim is not None and e.where)
        assert not (e.why and e.claim is not None)


def test_no_class_is_both_on_the_stand_and_off_it():
    on = {e.name for e in known("diffusers") if not e.why}
    assert not on & set(NOT_ON_THE_STAND)
    labels = [(e.library, e.label) for lib in ("diffusers", "azula") for e in known(lib)]
    assert len(labels) == len(set(labels))


def test_a_class_that_was_never_seen_says_so(monkeypatch):
    monkeypatch.setattr(stand_module, "_names", lambda _: ["DDIM", "Brandnew"])
    (new,) = [e for e in entries("diffusers") if e.name == "Brandnew"]
    assert "never seen" in new.why
    assert measure_one(new, StandSettings(quick=True))["kind"] == "none"


def test_a_library_that_is_missing_or_of_another_version_says_so(monkeypatch):
    monkeypatch.setattr(stand_module, "installed", lambda _: None)
    assert "not installed" in library_record("azula")["note"]
    assert entries("azula") == []
    monkeypatch.setattr(stand_module, "installed", lambda _: "99.0")
    assert "version 99.0 was never seen" in library_record("azula")["note"]
    assert "--path" in library_record("skrample")["note"]


@pytest.mark.parametrize(
    ("label", "claim"),
    [
        ("DDIM", 1), ("EulerDiscrete", 1), ("HeunDiscrete", 2),
        ("DPMSolverMultistep (solver_order=2)", 2), ("FlowMatchHeunDiscrete", 2),
    ],
)  # fmt: skip
def test_what_is_right_is_met_on_exact_levels(label, claim):
    assert order(label) == pytest.approx(claim, abs=0.25) or order(label) > claim


@pytest.mark.slow
def test_the_last_step_of_unipc_costs_its_order_and_nothing_else_does():
    e = entry("UniPCMultistep (solver_order=2)")
    assert e.claim == 3
    assert order(e.label, counts=(24, 48, 96)) == pytest.approx(2.0, abs=0.2)
    rows = causes_on_exact_levels(e, (24, 48, 96), "product", 3.0)
    assert "last steps" in explained_by(rows)
    assert "lower order at the end" in explained_by(rows)
    assert not {"start", "formula"} & set(explained_by(rows))


@pytest.mark.parametrize(
    ("found", "before", "answer"),
    [
        (3.0, 2.0, True),
        (2.5, 1.0, False),
        (3.0, 3.0, False),
        (3.0, None, True),
        (None, 2.0, False),
    ],
    ids=["reaches", "gains too little", "had it before", "only so measured", "not measured"],
)
def test_a_cause_explains_a_shortfall_from_3_if_the_change_reaches_3(found, before, answer):
    assert explains(found, before, 3.0) is answer


def test_the_fourth_order_pseudo_method_ends_at_order_2_on_steps_that_wave():
    assert order("IPNDM", counts=(48, 96)) == pytest.approx(2.0, abs=0.25)
    shipped = order("IPNDM", Trial(levels="own", exact=True), (24, 48))
    assert shipped == pytest.approx(1.0, abs=0.25)  # its last step, to sigma 0, and its start


def test_the_start_of_the_linear_multistep_method_costs_its_order():
    e = entry("lms", "k-diffusion")
    rows = causes_on_exact_levels(e, (24, 48), "product", 4.0)
    assert "start" in explained_by(rows)
    assert "last steps" not in explained_by(rows)


@pytest.mark.slow
def test_what_neither_end_explains_is_the_formula():
    e = entry("DPMSolverMultistep (sde-dpmsolver++, solver_order=3)")
    rows = causes_on_exact_levels(e, (12, 24), "gaussian", 3.0)
    assert explained_by(rows) == ["formula"]
    assert rows[-1]["order"] < 2.75


@pytest.mark.slow
def test_clipping_is_what_costs_ddim_its_order_as_shipped():
    e = entry("DDIM")
    assert order("DDIM", SHIPPED, (24, 48)) < 0.3
    found = explained_by(causes_as_shipped(e, SHIPPED, (24, 48), "product", 1.0))
    assert "clipping" in found
    assert not {"float32", "rounded times", "last step to sigma 0"} & set(found)


@pytest.mark.parametrize(
    ("causes", "verdict", "said"),
    [
        ([{"cause": "start", "explains": True}], "not met", "as on exact levels: start"),
        ([], "met", "spacing and reach of the levels"),
    ],
)
def test_what_no_single_change_explains_is_explained_by_the_runs_on_exact_levels(
    causes, verdict, said
):
    exact = {"causes": causes, "verdict": verdict, "order": 3.0}
    e = entry("DPMSolverSinglestep (solver_order=3)")
    rows = causes_as_shipped(e, SHIPPED, (12, 24), "product", 3.0, exact)
    assert explained_by(rows) == [said]
    assert explained_by(rows[:-1]) == []


def test_a_weak_order_is_exact_and_has_no_noise():
    e = entry("EulerAncestralDiscrete")
    first, again = (weak_error(e, Trial(), 12) for _ in range(2))
    assert first == again
    found = slope((24, 48), [weak_error(e, Trial(), n) for n in (24, 48)], 24)
    assert found is not None
    assert found > 0.8


def test_an_earlier_state_of_a_stochastic_sampler_is_read_from_its_plan():
    e = entry("EulerAncestralDiscrete")
    whole, part = (weak_error(e, Trial(share=s), 12) for s in (1.0, 0.75))
    assert 0 < part != whole
    own = Trial(levels="own", as_labelled=True, finite=True)
    assert 0 < weak_error(e, own, 12) != weak_error(e, Trial(levels="own", as_labelled=True), 12)


@pytest.mark.slow
def test_a_sampler_of_a_file_is_measured_and_a_wrong_one_is_found(tmp_path: Path):
    (tmp_path / "mine.py").write_text(FILE)
    right, wrong = (of_path(f"{tmp_path}/mine.py:{name}") for name in ("euler", "wrong"))
    good, bad = (measure_entry(e, StandSettings(quick=True)) for e in (right, wrong))
    assert good["exact"]["verdict"] == "met"
    assert bad["exact"]["verdict"] == "not met"
    assert explained_by(bad["exact"]["causes"]) == ["formula"]
    assert bad["command"].startswith("fokker stand --path ")


def test_a_sampler_that_raises_is_a_row_and_not_an_end(tmp_path: Path):
    (tmp_path / "raises.py").write_text(
        "def bad(model, x, sigmas):\n    raise RuntimeError('no such level')\n"
    )
    row = measure_one(of_path(f"{tmp_path}/raises.py:bad"), StandSettings(quick=True))
    assert row["exact"]["verdict"] == "not measured"
    assert "no such level" in row["exact"]["note"]
    assert all("no such level" in e["outcome"] for e in row["edges"])


def test_a_sampler_that_gives_nan_at_one_step_is_told_from_one_that_raises(tmp_path: Path):
    (tmp_path / "nan.py").write_text(
        FILE + "\ndef nan(model, x, sigmas):\n"
        "    return euler(model, x, sigmas) + (0.0 if len(sigmas) > 2 else float('nan'))\n"
    )
    outcomes = {e["edge"]: e["outcome"] for e in _edges(of_path(f"{tmp_path}/nan.py:nan"))}
    assert outcomes["1 step"] == "not finite"
    assert outcomes["10 steps"] == "finite"


def test_options_of_the_schedule_are_tried_where_they_exist():
    found = _options(entry("EulerDiscrete"), StandSettings(quick=True))
    tried = {o["option"] for o in found}
    assert {"use_karras_sigmas=True", "timestep_spacing=trailing"} <= tried
    assert "use_lu_lambdas=True" not in tried
    assert [o for o in found if o["outcome"] == "finite"]


def test_the_error_as_shipped_is_that_of_its_own_levels():
    e, own = entry("EulerDiscrete"), Trial(levels="own", exact=True)
    assert error(e, own, "gaussian", 24) != error(e, Trial(), "gaussian", 24)
    assert error(e, own, "gaussian", 96) < error(e, own, "gaussian", 24)


def test_bad_input_is_refused(tmp_path: Path):
    with pytest.raises(FokkerError, match="unknown library 'diffuser'"):
        choose(["diffuser"])
    with pytest.raises(FokkerError, match="no sampler 'DDIN' on the stand"):
        choose(["azula"], ["DDIN"])
    with pytest.raises(FokkerError, match="existing file"):
        choose([], [], ["nowhere.py:f"])
    (tmp_path / "m.py").write_text(FILE)
    with pytest.raises(FokkerError, match="no function 'heun'"):
        choose([], [], [f"{tmp_path}/m.py:heun"])
    with pytest.raises(FokkerError, match="at least one job"):
        stand([], [], jobs=0)


@pytest.mark.slow
def test_the_command_writes_a_page_and_a_record_and_says_what_falls_short(tmp_path, capsys):
    (tmp_path / "mine.py").write_text(FILE)
    target = f"{tmp_path}/mine.py"
    words = ["stand", "--path", f"{target}:euler", f"{target}:wrong", "--quick", "--jobs", "1"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert main([*words, "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "1 met, 1 not met" in said
    assert "wrong: claims 1, has " in said
    record = json.loads((tmp_path / "out" / "stand.json").read_text())
    page = (tmp_path / "out" / "index.html").read_text()
    assert page == render(record)
    assert [r["label"] for r in record["rows"]] == ["euler", "wrong"]
    for r in record["rows"]:
        assert r["command"] in page.replace("<wbr>", "")
    assert "http://" not in page
    assert "<script src" not in page
