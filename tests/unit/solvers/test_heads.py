"""Several models in one run: the plan says which, and nothing else changes."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import cast

import pytest
import torch
from torch import Tensor

from fokker.solvers.caching.features import FeatureCache, reuse_features
from fokker.solvers.caching.virtual import every
from fokker.solvers.errors import InvalidLawError, InvalidPlanError, ShapeError
from fokker.solvers.grids import power_t, uniform_lam
from fokker.solvers.heads import Heads, heads_of, route
from fokker.solvers.plan import Eval
from fokker.solvers.plan_algebra import canonical, to_prediction
from fokker.solvers.registry import get
from fokker.solvers.run import run
from fokker.solvers.schedules import VPLinear
from fokker.toy_models import GaussianMixture, merged, problem
from fokker.toy_models.draws import normals
from fokker.toy_models.law import exact_model

PROCESS = VPLinear()
GRID = uniform_lam(PROCESS, -2.0, 2.0).grid(8)


def big(x: Tensor, t: float) -> Tensor:
    return torch.tanh(1.3 * x) * (0.5 + t)


def small(x: Tensor, t: float) -> Tensor:
    return torch.tanh(x) - t


def start() -> Tensor:
    return torch.linspace(-2, 2, 12, dtype=torch.float64).reshape(4, 3)


@pytest.mark.parametrize("name", ["ddim", "dpmpp_2m", "unipc_2", "edm_heun"])
def test_each_evaluation_is_answered_by_the_model_of_its_head(name: str):
    plan = get(name)(PROCESS, GRID)
    routed = route(plan, "small", until=0.3)
    turn = float(PROCESS.t_of_lam(0.3))

    def by_hand(x: Tensor, t: float) -> Tensor:
        return small(x, t) if t > turn else big(x, t)

    assert heads_of(routed) == ("", "small")
    got = run(routed, Heads({"": big, "small": small}), start()).x
    assert torch.equal(got, run(plan, by_hand, start()).x)
    assert not torch.equal(got, run(plan, big, start()).x)


def test_routing_changes_no_weight_state_or_memory():
    plan = get("dpmpp_3m")(PROCESS, GRID)
    routed = route(plan, "small", until=0.0)
    assert (canonical(routed) == canonical(plan)).all()
    assert (routed.peak_live, routed.nfe) == (plan.peak_live, plan.nfe)
    assert routed.marks == plan.marks
    assert heads_of(to_prediction(routed, "noise")) == ("", "small")


def test_a_plain_model_answers_every_head_and_heads_are_a_model():
    plan = get("dpmpp_2m")(PROCESS, GRID)
    want = run(plan, big, start()).x
    assert torch.equal(run(route(plan, "small", until=0.0), big, start()).x, want)
    assert torch.equal(run(plan, Heads({"": big, "small": small}), start()).x, want)
    assert torch.equal(Heads({"": big})(start(), 0.5), big(start(), 0.5))


def test_limits_of_a_route_are_half_open():
    plan = get("ddim")(PROCESS, GRID)
    lams = [node.lam for node in GRID.nodes]
    routed = route(plan, "middle", since=lams[2], until=lams[5])
    heads = [op.head for op in routed.ops if isinstance(op, Eval)]
    assert heads == ["", "", "middle", "middle", "middle", "", "", ""]


def test_what_cannot_be_is_one_sentence():
    plan = get("ddim")(PROCESS, GRID)
    with pytest.raises(InvalidPlanError, match=r"asks the head .tiny.; .* \[.*no.\]"):
        run(route(plan, "tiny", until=0.0), Heads({"": big, "no": small}), start())
    with pytest.raises(InvalidPlanError, match=r"a model for the head '', got \['small'\]"):
        Heads({"small": small})
    with pytest.raises(InvalidPlanError, match="'small' cannot be called: 3"):
        Heads({"": big, "small": 3})  # pyright: ignore[reportArgumentType]
    with pytest.raises(InvalidPlanError, match="limits in lam that are numbers, got since=-inf"):
        route(plan, "small", until=math.nan)


# -- features ---------------------------------------------------------------------------------


def encode(x: Tensor, t: float) -> Tensor:
    return torch.tanh(0.7 * x) * (1.0 + 0.2 * t)


def decode(features: Tensor, x: Tensor, t: float) -> Tensor:
    return 0.8 * features + 0.1 * torch.sin(x) * t


def whole(x: Tensor, t: float) -> Tensor:
    return decode(encode(x, t), x, t)


def test_the_encoder_runs_at_key_evaluations_only_and_features_are_the_last_ones():
    plan = reuse_features(get("ddim")(PROCESS, GRID), every(3))
    cache = FeatureCache(encode, decode)
    got = run(plan, cache.heads, start()).x
    assert (cache.encoded, cache.decoded) == (3, 8)
    x, held = start(), start()
    for k, (s, t) in enumerate(GRID.steps()):
        held = encode(x, s.t) if k % 3 == 0 else held
        ratio = t.sigma / s.sigma
        x = ratio * x + (t.alpha - ratio * s.alpha) * decode(held, x, s.t)
    torch.testing.assert_close(got, x, rtol=1e-13, atol=1e-13)


def test_with_every_evaluation_a_key_the_network_is_whole():
    plan = get("dpmpp_2m")(PROCESS, GRID)
    cache = FeatureCache(encode, decode)
    got = run(reuse_features(plan, every(1)), cache.heads, start()).x
    assert torch.equal(got, run(plan, whole, start()).x)


def test_reused_features_cost_the_order_of_the_sampler():
    errors = []
    for steps in (32, 64, 128):
        plan = get("dpmpp_2m")(PROCESS, uniform_lam(PROCESS, -2.0, 2.0).grid(steps))
        fine = get("dpmpp_3m")(PROCESS, uniform_lam(PROCESS, -2.0, 2.0).grid(1024))
        truth = run(fine, whole, start()).x
        reused = run(reuse_features(plan, every(2)), FeatureCache(encode, decode).heads, start()).x
        errors.append([float((run(plan, whole, start()).x - truth).abs().max())])
        errors[-1].append(float((reused - truth).abs().max()))
    full, saved = ([math.log2(a[k] / b[k]) for a, b in pairwise(errors)] for k in (0, 1))
    assert full[-1] > 1.8
    assert 0.85 < saved[-1] < 1.15


def test_features_of_another_batch_are_refused():
    cache = FeatureCache(encode, decode)
    with pytest.raises(ShapeError, match=r"holds nothing, .* a batch \(4, 3\)"):
        cache.heads["reuse"](start(), 0.5)
    cache.heads(start(), 0.5)
    with pytest.raises(ShapeError, match=r"features of a batch \(4, 3\), .* batch \(2, 3\)"):
        cache.heads["reuse"](start()[:2], 0.5)
    cache.clear()
    with pytest.raises(ShapeError, match="holds nothing"):
        cache.heads["reuse"](start(), 0.5)


# -- T-Stitch -----------------------------------------------------------------------------------


def test_a_small_model_in_the_noisy_forty_percent_changes_less_than_one_percent():
    """Pan et al. 2025, on real digits: the small model is one Gaussian of equal moments."""
    law = cast(GaussianMixture, problem("digits-mixture").law)
    small = exact_model(merged(law, 1), PROCESS, "data")
    heads = Heads({"": exact_model(law, PROCESS, "data"), "small": small})
    grid = power_t(PROCESS, 1.0, 1e-3).grid(20)
    plan = get("dpmpp_2m")(PROCESS, grid)
    x = torch.from_numpy(normals(8, 64, seed=1, label="noise"))
    full, size = run(plan, heads, x).x, float(law.cov.diagonal().mean().sqrt())
    gaps = []
    for steps in (0, 4, 8, 12, 16, 20):
        out = run(route(plan, "small", until=grid[steps].lam), heads, x).x
        gaps.append(float((out - full).square().mean().sqrt()) / size)
    assert gaps[0] == 0.0
    assert gaps == sorted(gaps)
    assert gaps[2] < 0.01 < gaps[3]
    assert gaps[-1] > 0.2  # the negative control: another law altogether


def test_merging_keeps_mean_and_covariance_and_the_third_cumulant_is_what_is_lost():
    law = cast(GaussianMixture, problem("mixture").law)
    x = torch.from_numpy(normals(64, 2, seed=2, label="noise"))
    for count in (1, 2, 4):
        coarse = merged(law, count)
        assert len(coarse.weights) == count
        torch.testing.assert_close(coarse.mean, law.mean, rtol=1e-13, atol=1e-13)
        torch.testing.assert_close(coarse.cov, law.cov, rtol=1e-13, atol=1e-13)
        gaps = [
            float((coarse.denoiser(x, a, 1.0) - law.denoiser(x, a, 1.0)).square().mean().sqrt())
            for a in (0.01, 0.005)
        ]
        assert abs(math.log2(gaps[0] / gaps[1]) - 2.0) < 0.05  # alpha^2/sigma^2
    with pytest.raises(InvalidLawError, match=r"merged to 1 \.\. 5 of them, got 0"):
        merged(law, 0)
