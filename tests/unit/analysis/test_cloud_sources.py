"""Errors of any sampler with any model by cause: exact on lines, a metric everywhere."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from fokker.analysis.distances import gaussian_w2
from fokker.analysis.fokker_planck.network_report import own_points
from fokker.analysis.gaussian_path import normal, prior
from fokker.analysis.score_error import cloud_sources, four_sources, paired_sources
from fokker.analysis.score_error.clouds import cut
from fokker.solvers.errors import AnalysisError
from fokker.solvers.grids import is_nested, power_t, uniform_lam
from fokker.solvers.registry import get
from fokker.solvers.schedules import EDM, RectifiedFlow, VPLinear
from fokker.toy_models.gaussian import Gaussian
from fokker.toy_models.networks import exact_network, named_network
from fokker.toy_models.perturbed import FourierField, Perturbed
from fokker.toy_models.problems import problem

VP = VPLinear()
F64 = torch.float64


def line(mean: float, var: float) -> Gaussian:
    return Gaussian(torch.tensor([mean], dtype=F64), torch.tensor([[var]], dtype=F64))


@pytest.mark.parametrize(("name", "eta"), [("dpmpp_2m", 0.0), ("sde_dpmpp_2m", 1.0)])
def test_on_a_line_the_parts_are_the_exact_ones(name: str, eta: float):
    """Sliced W2 is W2 there; two steps err by 0.2, and n = 4000 resolve 0.04 of it."""
    truth, believed = (0.5, 0.4), (0.1, 0.9)
    grid = uniform_lam(VP, -2.0, 2.0).grid(2)
    found = cloud_sources(get(name), line(*truth), line(*believed), VP, grid, n=4000)
    exact = four_sources(
        get(name)(VP, grid), normal([truth[0]], [truth[1]]), normal([believed[0]], [believed[1]]),
        prior(normal([truth[0]], [truth[1]]), grid[0].sigma), eta=eta,
    )  # fmt: skip
    alpha = grid[-1].alpha
    for part in ("initialisation", "model", "discretisation"):
        assert getattr(found, part) == pytest.approx(getattr(exact, part) / alpha, abs=0.04)
    assert found.model > 0.2
    assert found.resolved("model")
    assert found.reference < 0.1


def test_a_grid_that_begins_below_the_noisiest_level_begins_with_its_own_noise():
    """EDM from sigma = 7.4, not 80: exactly, and in pairs, where x_0 is all that is missing."""
    edm, law, sampler = EDM(), line(0.5, 0.4), get("dpmpp_2m")
    grid = uniform_lam(edm, -2.0, 2.0).grid(20)
    data = normal([0.5], [0.4])
    exact = four_sources(sampler(edm, grid), data, data, prior(data, grid[0].sigma))
    assert exact.initialisation < 0.05
    found = cloud_sources(sampler, law, law, edm, grid, n=300)
    assert found.initialisation == pytest.approx(exact.initialisation, abs=0.1)
    pairs = paired_sources(sampler, law, law, edm, grid, n=300)
    shrink = math.sqrt((0.4 + grid[-1].sigma ** 2) / (0.4 + grid[0].sigma ** 2))
    assert pairs.initialisation == pytest.approx(shrink * math.sqrt(0.5**2 + 0.4), rel=0.15)
    start = own_points(exact_network("line", law, edm, (-2.0, 2.0)), -2.0, 300)
    assert float(start.std()) == pytest.approx(grid[0].sigma, rel=0.2)


@pytest.mark.parametrize("name", ["ddim", "ancestral", "dpm_solver_12_adaptive"])
def test_every_kind_of_sampler_has_its_parts_and_they_bound_the_whole(name: str):
    p = problem("mixture")
    model = Perturbed(p.law, FourierField.random(p.law.dim, seed=1), 0.3)
    grid = uniform_lam(p.process, -3.0, 1.5).grid(4)
    found = cloud_sources(get(name), p.law, model, p.process, grid, n=64, refine=2)
    assert all(math.isfinite(v) and v >= 0 for v in found)
    assert found.total <= sum(found[1:5]) * (1 + 1e-12)
    assert found.model > 0


def test_without_an_error_of_the_model_its_part_is_nothing():
    p = problem("mixture")
    network = exact_network("exact", p.law, p.process, (-3.0, 3.0))
    grid = uniform_lam(p.process, -3.0, 1.5).grid(8)
    found = cloud_sources(get("dpmpp_2m"), p.law, network, p.process, grid, n=200)
    assert found.model < 1e-12
    assert not found.resolved("discretisation")
    called = cloud_sources(
        get("dpmpp_2m"), p.law, network.model(prediction="data"), p.process, grid, n=200
    )
    assert called == pytest.approx(found, abs=1e-12)


def test_the_floor_is_what_two_clouds_of_one_law_are_apart():
    grid = uniform_lam(VP, -2.0, 2.0).grid(4)
    found = cloud_sources(get("ddim"), line(0.0, 1.0), line(0.0, 1.0), VP, grid, n=1000)
    assert 0.001 < found.floor < 0.2
    far = cloud_sources(get("ddim"), line(0.0, 1.0), line(3.0, 1.0), VP, grid, n=1000)
    moved = gaussian_w2([0.0], [[1.0]], [3.0], [[1.0]])
    assert 0.5 * moved < far.model < moved
    assert far.resolved("total")


def test_a_cut_grid_keeps_its_nodes():
    grid = uniform_lam(VP, -2.0, 2.0).grid(3)
    fine = cut(VP, grid, 4)
    assert len(fine) == 12
    assert is_nested(grid, fine)
    widths = [t.lam - s.lam for s, t in fine.steps()]
    assert max(widths) == pytest.approx(min(widths), rel=1e-9)


def test_a_flow_that_starts_without_signal_is_cut_in_time_there():
    """At t = 1 alpha is 0 and lam -inf. The exact start is the one that is used."""
    flow, law = RectifiedFlow(), line(0.5, 0.4)
    grid = power_t(flow, 1.0, 0.1).grid(3)
    fine = cut(flow, grid, 4)
    assert is_nested(grid, fine)
    assert [n.t for n in fine.nodes[:5]] == pytest.approx(np.linspace(1.0, grid[1].t, 5))
    found = cloud_sources(get("ddim"), law, law, flow, grid, n=64)
    assert found.initialisation == found.model == 0.0
    assert found.discretisation > 0.0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"grid": uniform_lam(VP, -2.0, 2.0).grid(3, to_zero=True)}, "sigma > 0"),
        ({"n": 8}, "n >= 32"),
        ({"refine": 1}, "refine >= 2"),
        ({"model": named_network("gaussian")}, "1 dimensions does not fill samples of shape"),
        ({"process": EDM(), "model": named_network("gaussian")}, "is one of VPLinear"),
    ],
)
def test_bad_questions_are_refused_in_one_sentence(change: dict[str, Any], words: str):
    given: dict[str, Any] = {"grid": uniform_lam(VP, -2.0, 2.0).grid(3), "n": 64, **change}
    model, process = given.pop("model", line(0.0, 1.0)), given.pop("process", VP)
    with pytest.raises(AnalysisError, match=words):
        cloud_sources(get("ddim"), line(0.0, 1.0), model, process, **given)
