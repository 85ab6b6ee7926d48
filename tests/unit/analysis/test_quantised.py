"""Rounded networks: the size of their error, and what it makes of the sample."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from fokker.analysis.gaussian_path import normal
from fokker.analysis.law import output_law
from fokker.analysis.quantised import (
    Propagation,
    noisy_outputs,
    propagated,
    quantised,
    quantised_network,
    quantised_outputs,
    step_of,
    with_weights,
)
from fokker.solvers.errors import AnalysisError
from fokker.solvers.grids import Grid, uniform_lam
from fokker.solvers.networks.asking import module_network
from fokker.solvers.plan import Plan
from fokker.solvers.plan_algebra import to_prediction
from fokker.solvers.registry import get
from fokker.solvers.run import run
from fokker.solvers.schedules import VPLinear
from fokker.toy_models.networks import exact_network, named_network
from fokker.toy_models.problems import problem

F64 = torch.float64
OU = VPLinear(6.0, 6.0)  # alpha = e^{-3 t}: the process with f = -1/2 up to time 6, rescaled


def plan_of(name: str, steps: int, law: str = "line", prediction: str = "noise") -> Plan:
    p = problem(law)
    grid = uniform_lam(p.process, p.lam_start, p.lam_end).grid(steps)
    return to_prediction(get(name)(p.process, grid), prediction)


def ou_plan(name: str = "ddim") -> Plan:
    times = np.linspace(6.0, 1e-3, 21) / 6.0
    return to_prediction(get(name)(OU, Grid(tuple(OU.node(t) for t in times))), "noise")


# the quantiser


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_rounding_is_off_by_half_a_step_at_most_and_by_its_root_mean_square(bits: int):
    values = torch.linspace(-1.7, 1.7, 30_001, dtype=F64)
    step = step_of(1.7, bits)
    error = quantised(values, bits) - values
    assert float(error.abs().max()) <= step / 2 * (1 + 1e-9)
    assert float(error.square().mean().sqrt()) == pytest.approx(step / math.sqrt(12), rel=2e-3)
    assert len(quantised(values, bits).mul(1 / step).round().unique()) == 2**bits - 1


def test_channels_of_different_size_need_steps_of_their_own():
    weights = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0), dtype=F64)
    weights = weights * torch.tensor([1.0, 0.1, 0.0])[:, None, None]
    one, each = (quantised(weights, 4, per=per) - weights for per in ("tensor", "channel"))
    assert torch.equal(one[0], each[0])  # the largest channel sets the step of all
    assert float(each[1].abs().max()) < 0.15 * float(one[1].abs().max())
    assert float(each[2].abs().max()) == 0.0


def test_a_changed_network_is_a_copy_and_keeps_what_it_is_told_to_keep():
    module = nn.Sequential(nn.Flatten(), nn.Linear(4, 4), nn.Linear(4, 4))
    module.forward = lambda z, _c, _labels: z  # type: ignore[method-assign]
    network = module_network(
        "small", module, VPLinear(), prediction="data", shape=(4,), lam_range=(-4.0, 4.0)
    )
    before = [p.clone() for p in module.parameters()]
    rough = quantised_network(network, 2, per="tensor", keep=("1.",))
    assert rough.module is not None
    for old, now, new in zip(before, module.parameters(), rough.module.parameters(), strict=True):
        assert torch.equal(old, now)
        assert torch.equal(now, new) == (new.ndim == 1 or new is rough.module[1].weight)  # pyright: ignore[reportIndexIssue]
    assert rough.call.module is rough.module  # pyright: ignore[reportFunctionMemberAccess]


# errors that know nothing of each other: exact


def test_independent_errors_meet_the_recursion_of_variances():
    """C = 1/4, 20 steps from t = 6 to 1e-3, Var(e) = 0.02: .12045, .11236 without, .00809 more."""
    data, plan = normal(0.0, 0.25), ou_plan()
    clean = float(output_law(plan, data).var[0])
    noisy = float(output_law(noisy_outputs(plan, math.sqrt(0.02)), data).var[0])
    assert (round(noisy, 5), round(clean, 5)) == (0.12045, 0.11236)
    assert round(noisy - clean, 5) == 0.00809

    t = np.linspace(6.0, 1e-3, 21)  # and the recursion by hand
    alpha, sigma = np.exp(-t / 2), np.sqrt(-np.expm1(-t))
    v = alpha[0] ** 2 * 0.25 + sigma[0] ** 2
    for k in range(20):
        a = alpha[k + 1] / alpha[k]
        b = sigma[k + 1] - a * sigma[k]
        c = sigma[k] / (alpha[k] ** 2 * 0.25 + sigma[k] ** 2)
        v = (a + b * c) ** 2 * v + b**2 * 0.02
    assert noisy == pytest.approx(v, rel=1e-12)


@pytest.mark.parametrize(("name", "dithers_itself"), [("dpmpp_2m", False), ("sde_dpmpp_2m", True)])
def test_dithered_rounding_is_predicted_exactly_for_any_plan(name: str, dithers_itself: bool):
    """Variance q^2/12 at every output: 40 000 samples, five standard errors; noise is a dither."""
    plan, bits, span, c2, n = ou_plan(name), 3, 6.0, 0.25, 40_000

    def exact(x: torch.Tensor, t: Any) -> torch.Tensor:
        node = OU.node(float(t))
        return x * node.sigma / (node.alpha**2 * c2 + node.sigma**2)

    size = step_of(span, bits) / math.sqrt(12)
    wanted = float(output_law(noisy_outputs(plan, size), normal(0.0, c2)).var[0])
    clean = float(output_law(plan, normal(0.0, c2)).var[0])
    node = OU.node(1.0)
    start = torch.randn(n, 1, generator=torch.Generator().manual_seed(1), dtype=F64)
    start = start * math.sqrt(node.alpha**2 * c2 + node.sigma**2)

    def variance(**options: Any) -> float:
        model = quantised_outputs(exact, bits, span, **options)
        return float(run(plan, model, start, noise=2).x.square().mean())

    slack = 5 * wanted * math.sqrt(2 / n)
    assert wanted > clean + 10 * slack
    assert abs(variance(dither=3) - wanted) < slack
    assert (abs(variance() - wanted) < slack) == dithers_itself


def test_errors_of_an_affine_model_propagate_linearly():
    """On a Gaussian the first order is all: a constant error, and one along the output."""
    p = problem("gaussian")
    plan, model = plan_of("dpmpp_2m", 12, "gaussian"), p.model("noise")
    x = p.starts(16)
    push = torch.tensor([0.1, -0.2, 0.05, 0.3], dtype=F64)
    shifted = propagated(plan, model, lambda x, t: model(x, t) + push, x)
    assert shifted.linear.numpy() == pytest.approx(shifted.measured.numpy(), rel=1e-8)
    assert shifted.levels == pytest.approx([float(push.square().mean().sqrt())] * 12)
    scaled = propagated(plan, model, lambda x, t: 1.03 * model(x, t), x)
    assert scaled.gains == pytest.approx([0.03] * 12)


def test_an_output_of_zero_has_no_gain():
    x = torch.ones(2, 1, dtype=F64)
    found = propagated(ou_plan(), lambda x, _: 0 * x, lambda x, _: 0 * x + 0.1, x)
    assert found.gains == (0.0,) * 20


# rounded outputs


@functools.cache
def rounded(name: str, steps: int, bits: int) -> Propagation:
    p = problem("line")
    model = p.model("noise")
    wrong = quantised_outputs(model, bits, 6.0)
    return propagated(plan_of(name, steps), model, wrong, p.starts(1500), noise=3)


@pytest.mark.parametrize("bits", [8, 6])
@pytest.mark.parametrize("name", ["ddim", "sde_dpmpp_1"])
def test_at_eight_and_six_bits_q_squared_over_twelve_predicts_the_error(name: str, bits: int):
    """Root mean square error of the samples of a mixture, 20 steps: within 10 %."""
    found = rounded(name, 20, bits)
    q = step_of(6.0, bits)
    assert np.median(found.levels) == pytest.approx(q / math.sqrt(12), rel=0.1)
    assert found.rms("independent") == pytest.approx(found.rms(), rel=0.1)


def test_at_four_bits_errors_of_different_steps_know_of_each_other():
    found = rounded("sde_dpmpp_1", 80, 4)
    assert found.rms("independent") < 0.75 * found.rms()
    assert found.rms("linear") == pytest.approx(found.rms(), rel=0.1)


def test_fine_steps_of_an_ode_repeat_a_rounding_where_an_sde_forgets_it():
    """Four times the steps: the white prediction falls to a half, as does the SDE's error."""
    coarse, fine = rounded("ddim", 20, 8), rounded("ddim", 80, 8)
    assert fine.rms("independent") == pytest.approx(0.45 * coarse.rms("independent"), rel=0.1)
    assert fine.rms() > coarse.rms()
    noisy = [rounded("sde_dpmpp_1", steps, 8).rms() for steps in (20, 80)]
    assert noisy[1] == pytest.approx(noisy[0] / 2, rel=0.1)


# quantised weights of a trained network


@functools.cache
def weights(bits: int) -> Propagation:
    network = named_network("digits").to(dtype=F64)
    labels = torch.arange(12) % 10
    plan = to_prediction(get("dpmpp_2m")(network.process, network.grid(10)), "flow")
    x = torch.randn(12, 1, 8, 8, generator=torch.Generator().manual_seed(0), dtype=F64)
    rough = quantised_network(network, bits)
    return propagated(plan, network.model(labels), rough.model(labels), x)


def test_the_error_of_quantised_weights_reaches_the_sample_as_predicted():
    """Linear within 10 % at 8 and 6 bits; white errors of that size would do far less."""
    for bits in (8, 6):
        found = weights(bits)
        assert found.median("linear") == pytest.approx(found.median(), rel=0.1)
        assert found.median("independent") < 0.6 * found.median()
    assert 2.0 < weights(6).median() / weights(8).median() < 6.0  # q is 4.1 times as large


# what is refused


@pytest.mark.parametrize("bits", [1, 0, -3])
def test_fewer_than_two_bits_are_refused(bits: int):
    with pytest.raises(AnalysisError, match="at least 2 bits"):
        quantised(torch.ones(3), bits)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: quantised(torch.ones(3), 2.5), "got 2.5"),  # type: ignore[arg-type]
        (lambda: quantised(torch.ones(3), 2000), "64 at most"),
        (lambda: quantised(torch.tensor([1.0, math.nan]), 8), "only finite values"),
        (lambda: quantised(torch.ones(0), 8), "only finite values"),
        (lambda: quantised(torch.ones(2, 2), 8, per="row"), "'tensor' or 'channel', got 'row'"),  # type: ignore[arg-type]
    ],
)
def test_no_grid_is_made_of_what_has_none(call: Any, words: str):
    with pytest.raises(AnalysisError, match=words):
        call()


def test_what_makes_no_sense_is_refused():
    p = problem("gaussian")
    exact = exact_network("exact", p.law, p.process, (-4.0, 3.0))
    with pytest.raises(AnalysisError, match="no weights to change"):
        with_weights(exact, torch.clone)
    with pytest.raises(AnalysisError, match="need 20 finite sizes"):
        noisy_outputs(ou_plan(), [0.1] * 19)
    with pytest.raises(AnalysisError, match="needs float64"):
        propagated(ou_plan(), lambda x, _: x, lambda x, _: x, torch.ones(1, 1))
    with pytest.raises(AnalysisError, match="positive finite span"):
        quantised_outputs(lambda x, _: x, 8, 0.0)
