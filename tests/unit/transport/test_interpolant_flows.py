"""The registry's samplers on the ODE of an interpolant: orders, ends, what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from fokker.analysis.order import refine
from fokker.analysis.paired import rms
from fokker.solvers.errors import FokkerError
from fokker.solvers.grids import GridMap, uniform_lam, wavy_lam
from fokker.solvers.model import PREDICTIONS, convert
from fokker.solvers.registry import get, samplers
from fokker.solvers.run import run
from fokker.solvers.transport.as_flow import FLOW, flow_model, times_of, transported, uniform_u
from fokker.solvers.transport.interpolant import (
    Interpolant,
    encoder_decoder,
    linear,
    smooth,
    straight,
    trigonometric,
)
from fokker.toy_models.interpolated import MixtureInterpolant
from interpolant_cases import LAMS, carried, gaussians, mixtures, starts, time_of

MAKERS = {"linear": linear, "trigonometric": trigonometric, "smooth": smooth}
ODE = [e for e in samplers() if not e.stochastic and e.order_cold and e.kind != "blackbox"]


@cache
def case(name: str) -> tuple[MixtureInterpolant, Tensor, Tensor]:
    path = mixtures((MAKERS | {"encoder-decoder": encoder_decoder})[name]())
    x = starts(path)
    return path, x, carried(path, x)


def errors(name: str, sampler: str, grids: GridMap) -> Callable[[int], float]:
    path, x, truth = case(name)
    return lambda n: rms(transported(path.velocity, x, grids.grid(n), sampler=sampler) - truth)


@pytest.mark.parametrize("entry", ODE, ids=lambda e: e.name)
def test_every_sampler_of_the_ode_keeps_its_order_on_an_interpolant(entry):
    error = errors("linear", entry.name, uniform_lam(FLOW, *LAMS))
    seen = refine(error, claim=entry.order_cold, floor=1e-12, first=8 * entry.multiple)
    assert seen.verdict(entry.order_cold) == "met", (seen.slopes, seen.errors)


@pytest.mark.parametrize(
    "sampler", ["ddim", "dpmpp_2m", "unipc_3", "exp_rk3_data", "rho_midpoint"]
)
@pytest.mark.parametrize("name", ["trigonometric", "smooth"])
def test_orders_hold_for_other_coefficients_and_uneven_steps(name: str, sampler: str):
    claim = get(sampler).order_cold
    assert claim is not None
    seen = refine(errors(name, sampler, wavy_lam(FLOW, *LAMS)), claim=claim, floor=1e-12, first=16)
    assert seen.verdict(claim) == "met", (seen.slopes, seen.errors)


def test_an_encoder_decoder_asks_for_a_node_where_it_forgets():
    """Its velocity has a kink at u = 1/2: lam = 0, a node of every uniform grid here."""
    path, x, truth = case("encoder-decoder")
    even, uneven = uniform_lam(FLOW, *LAMS), wavy_lam(FLOW, *LAMS)

    def slope(error: Callable[[int], float], n: int) -> float:
        return math.log2(error(n) / error(2 * n))

    assert abs(slope(errors("encoder-decoder", "exp_rk4_data", even), 32) - 4) < 0.2
    missed = errors("encoder-decoder", "exp_rk4_data", uneven)
    assert missed(64) > 10 * errors("encoder-decoder", "exp_rk4_data", even)(64)
    across = errors("encoder-decoder", "unipc_3", even)
    assert slope(across, 128) < 2.5  # its history lies on the other side of the kink

    def restarted(n: int) -> float:
        at = x
        for a, b in ((LAMS[0], 0.0), (0.0, LAMS[1])):
            at = transported(path.velocity, at, uniform_lam(FLOW, a, b).grid(n), sampler="unipc_3")
        return rms(at - truth)

    assert slope(restarted, 64) > 2.75


@pytest.mark.parametrize("make", [linear, trigonometric, smooth, encoder_decoder, straight])
def test_between_gaussians_the_flow_is_the_known_map(make: Callable[[], Interpolant]):
    """Axes in common: ``x_u = m_u + S_u^{1/2} S_0^{-1/2} (x_0 - m_0)``; inside, at the ends."""
    path = gaussians(make())

    def gap(grid, sampler: str) -> float:
        first, last = (path.law(1.0 - grid[k].t) for k in (0, -1))
        x = first.sample(8, seed=1)
        ratio = (last.covs[0].diagonal() / first.covs[0].diagonal()).sqrt()
        truth = last.means[0] + ratio * (x - first.means[0])
        return rms(transported(path.velocity, x, grid, sampler=sampler) - truth)

    assert gap(uniform_lam(FLOW, -3.0, 3.0).grid(120), "exp_rk4_data") < 5e-6
    whole = [gap(uniform_u(n), "ddim") for n in (64, 128)]
    assert math.log2(whole[0] / whole[1]) == pytest.approx(1.0, abs=0.1)
    assert whole[1] < 0.05


def test_a_step_of_ddim_is_a_step_of_euler_in_u():
    path = mixtures(linear())
    x = path.law(0.0).sample(5, seed=2)
    times = [0.0, 0.1, 0.35, 0.6, 1.0]
    at = x
    for a, b in pairwise(times):
        at = at + (b - a) * path.velocity(at, a)
    found = transported(path.velocity, x, times_of(times), sampler="ddim")
    torch.testing.assert_close(found, at, rtol=0, atol=1e-12)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_predictions_are_those_of_the_flow_and_times_may_be_rows(prediction: str):
    path = mixtures(trigonometric())
    x = path.law(0.4).sample(6, seed=0)
    t = torch.tensor([0.3, 0.7, 0.3, 0.2, 0.7, 0.7], dtype=torch.float64)
    whole = flow_model(path.velocity, prediction)(x, t)
    for i, time in enumerate(t.tolist()):
        row, node = x[i : i + 1], FLOW.node(time)
        b = path.velocity(row, 1 - time)
        torch.testing.assert_close(
            whole[i : i + 1], convert(-b, row, node, source="flow", target=prediction)
        )
    if prediction == "data":
        rates = torch.cat([path.velocity(x[i : i + 1], 1 - float(s)) for i, s in enumerate(t)])
        torch.testing.assert_close(whole, x + t[:, None] * rates)


def test_a_sampler_that_draws_noise_would_end_in_another_law():
    """Its "score" is that of a standard normal start; here the start is wide and far away."""
    path = gaussians(linear())
    grid = uniform_lam(FLOW, -4.0, 4.0).grid(60)
    x = path.law(time_of(-4.0)).sample(4000, seed=5)
    wanted = path.law(time_of(4.0)).covs[0].diagonal()

    def spread(name: str) -> Tensor:
        entry = get(name)
        model = flow_model(path.velocity, entry.prediction)
        return run(entry(FLOW, grid), model, x, noise=3).x.var(0) / wanted

    assert float((spread("ancestral") - 1).abs().max()) > 0.25
    assert float((spread("dpmpp_2m") - 1).abs().max()) < 0.15  # six standard errors
    with pytest.raises(FokkerError, match="ancestral draws noise"):
        transported(path.velocity, x, grid, sampler="ancestral")


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda x: transported(lambda y, _u: y[:, :1], x, uniform_u(2)), r"shape \(3, 2\) of x"),
        (lambda _x: uniform_u(3, 0.5, 0.5), "first < last"),
        (lambda _x: uniform_u(0), "at least 1"),
        (lambda _x: times_of([0.0, 0.6, 0.5]), "increase"),
        (lambda _x: times_of([0.0, 1.5]), "outside"),
    ],
)
def test_bad_input_is_refused_with_its_value(make, sentence: str):
    with pytest.raises(FokkerError, match=sentence):
        make(torch.ones(3, 2, dtype=torch.float64))
