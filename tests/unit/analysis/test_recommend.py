"""Recommendations: who takes part, what is spent, what is exact, and that other starts agree."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
import torch
from sklearn.covariance import LedoitWolf

from fokker.analysis.gaussian_path import eigenbasis
from fokker.analysis.paired import rms
from fokker.analysis.recommend import Recommendation, Settings, recommend
from fokker.analysis.recommend.candidates import candidates, grid_of
from fokker.analysis.recommend.race import Runner, advance, race, rounds
from fokker.analysis.recommend.reference import reference
from fokker.analysis.recommend.report import record, text
from fokker.analysis.recommend.scheduler import configuration
from fokker.analysis.recommend.starts import Starts
from fokker.analysis.recommend.surrogate import statistics, surrogate_error
from fokker.cli import main
from fokker.solvers.adapters.diffusers_levels_of_plan import grid_of as scheduler_grid
from fokker.solvers.adapters.diffusers_levels_of_plan import process_of
from fokker.solvers.discrete import from_alphas_cumprod
from fokker.solvers.errors import AnalysisError
from fokker.solvers.networks.errors import NetworkError
from fokker.solvers.networks.identity import network_digest
from fokker.solvers.networks.network import Network
from fokker.solvers.plan_text import from_json, to_json
from fokker.solvers.process import Process
from fokker.solvers.run import run
from fokker.solvers.schedules import EDM, RectifiedFlow, VPCosine, VPLinear
from fokker.toy_models.networks import exact_network, named_network
from fokker.toy_models.problems import problem

FEW = ("ddim", "dpmpp_2m", "unipc_2", "exp_rk2_data", "ghvb_3", "strip_adams_4", "exp_ab4_noise")


def on(process: Process, prediction: str, levels: tuple[float, float]) -> Network:
    law = problem("product").law
    return exact_network("product", law, process, levels, prediction=prediction)


@lru_cache
def digits(seed: int) -> Recommendation:
    network = named_network("digits-mixture")
    return recommend(network, Settings(nfe=10, names=FEW, seed=seed))


# who takes part


def test_everybody_keeps_the_budget_and_nobody_could_take_a_further_step():
    network = named_network("product")
    found, out = candidates(network, 10, spacings=["time"])
    assert len(found) > 50
    assert all(c.plan.nfe <= 10 for c in found)
    assert not any(c.sampler.stochastic or c.sampler.fitted for c in found)
    assert out["euler_maruyama"] == "it draws noise"
    for c in found[::9]:
        more = len(c.grid) + c.sampler.multiple
        plan = c.sampler(network.process, grid_of(network, c.spacing, more))
        assert plan.nfe > 10, c.name
    heun = candidates(network, 9, names=["edm_heun"], spacings=["lam"])[0][0]
    assert (len(heun.grid), heun.plan.nfe) == (5, 9)  # the step to sigma 0 asks once


def test_one_sampler_of_many_names_runs_once():
    names = ["ddim", "dpm_solver_1", "exp_ab1_noise", "dpmpp_2m", "deis_rhoab1"]
    found, _ = candidates(named_network("product"), 6, names=names, spacings=["lam", "time"])
    assert [c.name for c in found] == ["ddim@lam", "ddim@time", "dpmpp_2m@lam", "dpmpp_2m@time"]
    assert found[0].same == ("dpm_solver_1@lam", "exp_ab1_noise@lam", "deis_rhoab1@lam")


def test_grids_span_the_levels_of_the_network_and_end_as_asked():
    network = named_network("product")
    low, high = network.lam_range
    for spacing in ("lam", "karras", "time"):
        grid = grid_of(network, spacing, 6)
        assert grid.to_zero
        assert (grid[0].lam, grid[-2].lam) == pytest.approx((low, high), abs=1e-9)
        assert grid_of(network, spacing, 6, to_zero=False)[-1].lam == pytest.approx(high, abs=1e-9)
    times = [n.t for n in grid_of(network, "time", 4, to_zero=False).nodes]
    assert np.diff(times, 2) == pytest.approx([0, 0, 0], abs=1e-12)


# starts and cost


def test_starts_belong_to_their_seed_and_number_and_classes_go_round():
    network = named_network("digits-mixture")
    few, many = Starts(network, 12), Starts(network, 24)
    assert torch.equal(few.x, many.x[:12])
    assert not torch.equal(few.x, Starts(network, 12, seed=1).x)
    assert list(many.labels or ()) == [i % 10 for i in range(24)]


def test_starts_on_an_exploding_process_have_its_deviation():
    """RMS of 1200 normals: 2 % are one standard deviation, so 12 % are six."""
    network = on(EDM(), "data", (-3.0, 3.0))
    assert rms(Starts(network, 400).x) == pytest.approx(math.exp(3.0), rel=0.12)


def test_every_evaluation_is_counted():
    found = recommend(named_network("product"), Settings(nfe=6, starts=16, names=["dpmpp_2m"],
                      spacings=["lam"], reference_steps=32, confirm=True))  # fmt: skip
    spent = found.cost["evaluations"]
    fine = 16 * (32 + 16 + 8 + 3 * 4 + 3)  # three solutions, each with its start and its end
    assert spent["race"] == spent["full race"] == 16 * 6
    assert spent["reference"] == fine
    assert spent["second starts"] == fine + 16 * 6


# the fine solution


@pytest.mark.parametrize("to_zero", [True, False])
def test_the_fine_solution_is_the_exact_flow_and_knows_its_own_error(to_zero: bool):
    p, network = problem("product"), named_network("product")
    starts = Starts(network, 32)
    found = reference(starts, to_zero=to_zero)
    truth = p.law.flow(starts.x, (p.start.alpha, p.start.sigma), (p.end.alpha, p.end.sigma))
    if to_zero:
        truth = p.law.denoiser(truth, p.end.alpha, p.end.sigma)
    error = rms(found.ends - truth)
    assert error < 1e-5
    assert 0.4 < found.error / error < 2.5
    assert 3 < found.order <= 4
    assert found.error == pytest.approx(math.sqrt(float((found.each**2).mean())))


# the race


def test_the_race_finds_who_wins_without_one_and_spends_less():
    network = named_network("mixture")
    starts = Starts(network, 32)
    truth = reference(starts)
    entered, _ = candidates(network, 6, spacings=["lam", "karras"])
    entered = entered[::3]
    before = starts.spent
    left, gone = race(entered, starts, truth)
    spent = starts.spent - before
    assert len(left) + len(gone) == len(entered)
    assert len(left) >= len(entered) / 9  # two rounds, a third stays in each
    assert spent < 0.6 * sum(c.plan.nfe for c in entered) * 32
    everybody = [Runner(c, np.empty(0)) for c in entered]
    for runner in everybody:
        advance(runner, starts, truth, 0, 32)
    everybody.sort(key=lambda r: r.size("typical", truth.error))
    assert everybody[0].candidate is left[0].candidate
    assert left[0].errors == pytest.approx(everybody[0].errors, rel=1e-9)
    assert {len(r.errors) for r in left} == {32}
    assert {len(r.errors) for r in gone} <= {8, 16}
    better = sum(r.size("typical", truth.error) < left[-1].size("typical", truth.error)
                 for r in everybody)  # fmt: skip
    assert better <= 2 * len(left)


def test_rounds_double_up_to_all():
    assert rounds(64) == [8, 16, 32, 64]
    assert rounds(50) == [8, 16, 32, 50]
    assert rounds(6) == [6]


def test_who_diverges_is_out_and_says_why():
    p = problem("gaussian")
    model = p.model("data")

    def call(x, t, labels):
        out = model(x, t)
        return out / 0.0 if abs(t - bad) < 1e-9 else out

    network = Network("breaks", call, p.process, "data", (4,), (p.lam_start, p.lam_end))
    bad = grid_of(network, "karras", 6)[3].t
    asked = Settings(nfe=6, starts=8, names=["ddim", "dpmpp_2m"], spacings=["lam", "karras"])
    found = recommend(network, asked)
    assert {r.candidate.spacing for r in found.ranked} == {"lam"}
    assert {r.candidate.spacing for r, _ in found.dropped} == {"karras"}
    assert all("not finite" in r.failure for r, _ in found.dropped)
    assert "not finite" in json.dumps(record(found))
    with pytest.raises(AnalysisError, match="all 2 candidates diverged"):
        recommend(network, Settings(nfe=6, starts=8, names=["ddim", "dpmpp_2m"],
                                    spacings=["karras"]))  # fmt: skip


# the exact surrogate


@pytest.mark.parametrize("to_zero", [True, False])
def test_on_gaussian_data_the_surrogate_is_the_error_of_the_network(to_zero: bool):
    """The error is affine in the start: 2 d starts with exact moments have its exact RMS."""
    p, network = problem("gaussian"), named_network("gaussian")
    data = eigenbasis(p.law)
    starts = Starts(network, 8)
    sigma = p.process.node_at_lam(network.lam_range[0]).sigma
    starts.x = 2.0 * sigma * torch.cat([torch.eye(4), -torch.eye(4)]).double()
    begin, end = (p.start.alpha, p.start.sigma), (p.end.alpha, p.end.sigma)
    truth = p.law.flow(starts.x, begin, end)
    if to_zero:
        truth = p.law.denoiser(truth, *end)
    for c in candidates(network, 8, names=FEW, to_zero=to_zero)[0]:
        x = run(c.plan, starts.model(c.prediction, 0, 8), starts.x).x
        found = surrogate_error(c, network, data, to_zero=to_zero)
        assert found is not None
        assert found.paired is not None
        assert found.paired == pytest.approx(rms(x - truth), rel=1e-8), c.name
        assert found.w2 <= found.paired * (1 + 1e-9)


def test_a_sampler_with_noise_has_an_exact_w2_and_no_pairs():
    network = named_network("gaussian")
    data = eigenbasis(problem("gaussian").law)
    names = ["euler_maruyama", "sde_dpmpp_2m"]
    found, _ = candidates(network, 20, names=names, spacings=["lam"], stochastic=True)
    coarse, fine = (surrogate_error(c, network, data) for c in found)
    assert coarse is not None
    assert fine is not None
    assert coarse.paired is fine.paired is None
    assert coarse.w2 > 3 * fine.w2 > 0


@pytest.mark.parametrize("dim", [3, 40])
def test_statistics_are_those_of_ledoit_and_wolf_in_their_eigenbasis(dim: int):
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((20, dim)) * np.linspace(0.2, 2, dim) + 0.3
    found = statistics(torch.from_numpy(rows))
    values, vectors = np.linalg.eigh(LedoitWolf().fit(rows).covariance_)
    assert np.sort(found.var) == pytest.approx(values, rel=1e-9)
    mean = rows.mean(0)
    assert np.sum(found.mean**2) == pytest.approx(mean @ mean, rel=1e-12)
    weighted = np.sum((vectors.T @ mean) ** 2 * values)
    assert np.sum(found.mean**2 * found.var) == pytest.approx(weighted, rel=1e-9)


# what is recommended


def test_on_gaussian_data_network_and_surrogate_agree():
    found = recommend(named_network("gaussian"), Settings(nfe=8, starts=32, names=FEW))
    data = record(found)
    assert data["network"]["SHA-256"] == network_digest(named_network("gaussian"))
    assert data["surrogate"]["rank_correlation"] > 0.95
    exact = min(found.ranked, key=lambda r: (r.surrogate.paired if r.surrogate else None) or 9.0)
    assert exact.candidate.name in found.group


def test_other_starts_have_the_same_group_on_the_exact_digits():
    first, second = digits(0), digits(1)
    assert set(first.group) == set(second.group)
    assert first.winner.candidate.name == second.winner.candidate.name
    assert not torch.equal(first.reference.ends, second.reference.ends)


def test_confirming_runs_the_best_from_other_starts_and_shows_both_halves():
    network = named_network("product")
    asked = Settings(nfe=10, starts=24, names=FEW, spacings=["lam"])
    found = recommend(network, replace(asked, confirm=True))
    assert all(r.halves is not None and len(r.errors.each) == 48 for r in found.ranked)
    alone = recommend(network, asked)
    assert set(alone.group) == {r.candidate.name for r in found.ranked if r.halves and r.halves[0]}
    shown = text(record(found))
    assert "both halves of the starts have this group" in shown
    assert f"take {found.winner.candidate.name}" in shown


def test_samplers_with_noise_are_compared_by_the_law_of_their_ends():
    asked = Settings(nfe=16, starts=48, names=["dpmpp_2m", "sde_dpmpp_2m", "euler_maruyama"],
                     spacings=["lam"], stochastic=True)  # fmt: skip
    found = recommend(named_network("product"), asked)
    rows = {r.candidate.sampler.name: r for r in found.laws}
    assert set(rows) == {"dpmpp_2m", "sde_dpmpp_2m", "euler_maruyama"}
    assert [r.candidate.sampler.name for r in found.ranked] == ["dpmpp_2m"]
    good = rows["sde_dpmpp_2m"]
    assert good.mmd is not None
    assert abs(good.mmd.square) < 5 * good.mmd.deviation
    assert "by the law of the ends" in text(record(found))


def test_ranking_by_rms_and_by_the_typical_error_are_two_things():
    asked = Settings(nfe=10, starts=16, names=FEW, spacings=["lam", "karras"])
    orders = []
    for by in ("rms", "typical"):
        found = recommend(named_network("mixture"), replace(asked, by=by))
        values = [r.errors.of(by).value for r in found.ranked]
        assert values == sorted(values)
        orders.append([r.candidate.name for r in found.ranked])
    assert orders[0] != orders[1]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"nfe": 0}, "at least one evaluation"),
        ({"starts": 3}, "at least 4 starts"),
        ({"spacings": ["log"]}, "unknown spacing 'log'"),
        ({"reference_steps": 30}, "multiple of 4"),
        ({"labels": [1]}, "as many labels"),
        ({"level": 2.0}, r"inside \(0, 1\)"),
        ({"by": "mean"}, "'typical' or 'rms'"),
        ({"device": "xla"}, "the device 'xla' cannot be used here"),
        ({"device": "nowhere"}, "the device 'nowhere' cannot be used here"),
        ({"names": ["exp_rk4_data"], "nfe": 2, "to_zero": False}, "no sampler fits into 2 "),
    ],
)
def test_bad_settings_are_refused_in_one_sentence(change: dict, sentence: str):
    with pytest.raises(AnalysisError, match=sentence):
        recommend(named_network("gaussian"), Settings(**{"names": ["ddim"], **change}))


# what is saved


def test_the_saved_plan_is_the_measured_one_bit_for_bit():
    found = digits(0)
    plan = from_json(to_json(found.plan))
    assert plan.ops == found.plan.ops
    starts = Starts(found.network, 64)
    model = starts.model(found.winner.candidate.prediction, 0, 64)
    ends = [run(p, model, starts.x).x for p in (plan, found.plan)]
    assert torch.equal(*ends)


TABLE = from_alphas_cumprod(np.cumprod(1 - np.linspace(1e-4, 0.02, 500)))


@pytest.mark.parametrize(
    "network",
    [
        on(TABLE, "noise", (TABLE.lam_min, float(TABLE.lam(1 / 500)))),
        on(VPLinear(), "velocity", (VPLinear().lam_min, float(VPLinear().lam(1e-3)))),
        on(RectifiedFlow(), "flow", tuple(RectifiedFlow().lam([0.999, 0.001]))),  # type: ignore[arg-type]
    ],
    ids=["table", "linear", "flow"],
)
@pytest.mark.parametrize("to_zero", [True, False])
def test_a_scheduler_that_spans_the_same_levels_makes_the_measured_grid(
    network: Network, to_zero: bool
):
    for spacing in ("lam", "karras"):
        chosen = candidates(network, 7, names=["dpmpp_2m"], spacings=[spacing], to_zero=to_zero)
        grid = chosen[0][0].grid
        found = configuration(network, chosen[0][0], to_zero=to_zero)
        assert found.sentence == "its levels are those measured"
        assert found.config is not None
        made = scheduler_grid(process_of(found.config), found.config, len(grid))
        assert [n.lam for n in made.nodes] == pytest.approx([n.lam for n in grid.nodes], abs=1e-9)


def test_a_scheduler_says_how_far_its_levels_are_or_why_there_is_none():
    network = on(VPCosine(), "noise", (-3.0, 3.0))
    found = configuration(network, candidates(network, 5, names=["ddim"])[0][0])
    assert found.gap > 0.1
    assert "up to" in found.sentence
    network = on(RectifiedFlow(), "flow", (-3.0, 3.0))
    uniform = candidates(network, 5, names=["ddim"], spacings=["time"])[0][0]
    assert (
        "it starts at alpha = 0, measured was from lam = -3"
        in configuration(network, uniform).sentence
    )
    for process, prediction in ((EDM(), "data"), (VPLinear(), "flow"), (RectifiedFlow(), "noise")):
        network = on(process, prediction, (-3.0, 3.0))
        none = configuration(network, candidates(network, 5, names=["ddim"])[0][0])
        assert none.config is None
        assert "knows no network" in none.sentence


def test_the_command_writes_plan_record_picture_and_scheduler(tmp_path, capsys):
    words = ["recommend", "--model", "digits-mixture", "--nfe", "6", "--starts", "8", "--sampler",
             "ddim", "dpmpp_2m", "--spacing", "lam", "--reference-steps", "32", "--class", "3",
             "--guidance", "1.5", "--out", str(tmp_path)]  # fmt: skip
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "take dpmpp_2m@lam: all others are worse" in out
    assert from_json((tmp_path / "plan.json").read_text()).nfe == 6
    data = json.loads((tmp_path / "recommendation.json").read_text())
    assert data["winner"] == "dpmpp_2m@lam"
    assert data["settings"]["guidance"] == 1.5
    assert (tmp_path / "recommendation.png").read_bytes().startswith(b"\x89PNG")
    saved = json.loads((tmp_path / "scheduler" / "scheduler_config.json").read_text())
    assert saved["sampler"] == "dpmpp_2m"
    assert main([*words[:2], "digitz", *words[3:]]) == 2
    assert "unknown network 'digitz'" in capsys.readouterr().err


def test_labels_of_a_network_without_classes_are_refused():
    with pytest.raises(NetworkError, match="has no classes"):
        recommend(named_network("gaussian"), Settings(names=["ddim"], starts=4, labels=[0] * 4))
    with pytest.raises(NetworkError, match="needs labels"):
        recommend(named_network("gaussian"), Settings(names=["ddim"], starts=4, guidance=2.0))
