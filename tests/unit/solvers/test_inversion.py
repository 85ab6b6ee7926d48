"""There and back: exact where a sampler carries two states, wrong by O(h) where it carries one."""

from __future__ import annotations

import math

import pytest
import torch

from fokker.solvers.editing.inversion import (
    ddim_inversion,
    ddim_invert_and_regenerate,
    invert_and_regenerate,
    pair_plan,
    round_trip,
)
from fokker.solvers.errors import InvalidGridError, NotInvertibleError
from fokker.solvers.grids import Grid, uniform_lam
from fokker.solvers.plan_algebra import invert
from fokker.solvers.registry import get
from fokker.solvers.samplers.reversible import inverse_growth, leapfrog_weights
from fokker.toy_models.gaussian import Gaussian
from fokker.toy_models.law import exact_model
from fokker.toy_models.problems import problem

NAMES = ("bdia", "o_belm", "reversible_heun", "two_stream")
MIXTURE = problem("mixture")
VP = MIXTURE.process


def grid(steps: int) -> Grid:
    return uniform_lam(VP, -4.0, 3.0).grid(steps)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("steps", [1, 2, 10, 80])
def test_a_reversible_sampler_finds_its_start_again(name, steps):
    sampler = get(name)
    model, x = MIXTURE.model(sampler.prediction), MIXTURE.starts(16)
    found = round_trip(sampler, model, VP, grid(steps), x)
    assert found.error < 1e-11
    assert (found.away - x).abs().max() > 0.1
    assert sampler.nfe(steps) <= found.nfe <= 2 * sampler.nfe(steps)
    low = round_trip(sampler, model, VP, grid(steps), x.to(torch.float32))
    assert low.back.dtype == torch.float32
    assert low.error < 1e-3


@pytest.mark.parametrize("g0", [0.5, 0.8, 0.9, 1.0])
def test_rounding_spreads_in_the_inverse_by_the_product_of_the_inverse_weights(g0):
    """``eps |y| prod(1/G) / contraction``: what the flow contracts in y, its inverse spreads.

    The prediction is one rounding error at the end; the sum of many differs by what they add up
    to. Over N = 10 .. 40 the growth itself spans up to nine decades.
    """
    x, model = MIXTURE.starts(32), MIXTURE.model("noise")
    rho = [MIXTURE.start.sigma / MIXTURE.start.alpha, MIXTURE.end.sigma / MIXTURE.end.alpha]
    contraction = math.hypot(0.7, rho[0]) / math.hypot(0.7, rho[1])
    for steps in (10, 20, 40):
        found = round_trip(get("bdia"), model, VP, grid(steps), x, g0=g0, frame="x").error
        growth = inverse_growth(leapfrog_weights(grid(steps), "x", g0)) / contraction
        predicted = MIXTURE.start.alpha * 1.1e-16 * max(growth, 1.0)
        floor = 4e-16 * float(x.abs().max())
        assert 1 / 30 < found / (predicted + floor) < 30, (steps, found, predicted)


def test_half_of_the_oldest_state_keeps_ten_digits_of_twenty_steps_and_four_of_forty():
    x, model = MIXTURE.starts(32), MIXTURE.model("noise")
    errors = [
        round_trip(get("bdia"), model, VP, grid(n), x, g0=0.5, frame="x").error for n in (20, 40)
    ]
    assert 1e-12 < errors[0] < 1e-9
    assert 1e-6 < errors[1] < 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_a_pair_of_states_and_its_image_are_exchanged_both_ways(name):
    sampler = get(name)
    plan = pair_plan(sampler, VP, grid(12))
    assert set(plan.inputs) == set(plan.outputs)
    back = invert(plan)
    assert set(back.inputs) == set(back.outputs) == set(plan.inputs)
    assert back.nfe == plan.nfe


@pytest.mark.parametrize("name", NAMES)
def test_inverted_and_regenerated_by_one_model_data_stay_as_they_are(name):
    sampler = get(name)
    x, model = MIXTURE.endpoint(MIXTURE.starts(16)), MIXTURE.model(sampler.prediction)
    for steps in (3, 40):
        found = invert_and_regenerate(sampler, VP, grid(steps), x, model, model)
        assert found.error < 1e-12
        assert found.away.std() > 0.5  # noise


def test_ddim_inversion_is_wrong_by_the_size_of_a_step():
    """The control: the same laws, one state."""
    x, model = MIXTURE.endpoint(MIXTURE.starts(16)), MIXTURE.model("noise")
    errors = [
        ddim_invert_and_regenerate(VP, grid(n), x, model, model).error for n in (160, 320, 640)
    ]
    assert errors[0] > 1e-3
    assert 0.7 < math.log2(errors[0] / errors[1]) < 1.5
    assert 0.8 < math.log2(errors[1] / errors[2]) < 1.3


def test_an_edit_is_the_composition_of_two_exact_flows():
    """Source and target N(m, C) with one C: closed form; DDIM inversion is five times as far."""
    cov = torch.diag(torch.tensor([0.5, 0.05], dtype=torch.float64))
    laws = [Gaussian(torch.tensor(m, dtype=torch.float64), cov) for m in ([0.5, 0.2], [-0.4, 0.6])]
    nodes = uniform_lam(VP, -4.0, 3.0).grid(40)
    top, end = ((n.alpha, n.sigma) for n in (nodes[0], nodes[-1]))
    x = end[0] * laws[0].sample(16, seed=0)
    truth = laws[1].flow(laws[0].flow(x, end, top), top, end)
    assert (truth - x - end[0] * (laws[1].mean - laws[0].mean)).abs().max() < 0.02
    errors = {}
    for name in NAMES:
        models = [exact_model(law, VP, get(name).prediction) for law in laws]
        errors[name] = (invert_and_regenerate(get(name), VP, nodes, x, *models).back - truth).abs()
    models = [exact_model(law, VP, "noise") for law in laws]
    control = (ddim_invert_and_regenerate(VP, nodes, x, *models).back - truth).abs().max()
    for name, error in errors.items():
        assert error.max() < 0.2 * control, name


@pytest.mark.parametrize("name", NAMES)
def test_the_noise_an_inversion_reaches_is_that_of_the_flow_to_second_order(name):
    """A second state from the wrong level would cost an order, and still undo itself exactly."""
    p = problem("gaussian")
    model, errors = p.model(get(name).prediction), []
    for steps in (40, 80, 160):
        nodes = uniform_lam(VP, -2.0, 2.0).grid(steps)
        top, end = ((n.alpha, n.sigma) for n in (nodes[0], nodes[-1]))
        x = end[0] * p.law.sample(8, seed=0)
        away = invert_and_regenerate(get(name), VP, nodes, x, model, model).away
        errors.append(float((away - p.law.flow(x, end, top)).abs().max()))
    assert errors[0] > 3 * errors[1] > 9 * errors[2]


# -- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ddim", "dpmpp_2m", "sde_dpmpp_1"])
def test_a_sampler_of_one_state_is_refused_by_name(name):
    x, model = MIXTURE.starts(2), MIXTURE.model("data")
    with pytest.raises(NotInvertibleError, match=f"{name} carries one state only"):
        round_trip(get(name), model, VP, grid(4), x)
    with pytest.raises(NotInvertibleError, match=f"{name} carries one state only"):
        pair_plan(get(name), VP, grid(4))


def test_a_weight_of_zero_has_no_inverse():
    x, model = MIXTURE.starts(2), MIXTURE.model("noise")
    with pytest.raises(NotInvertibleError, match="cannot be recovered"):
        round_trip(get("bdia"), model, VP, grid(4), x, g0=0.0)


def test_there_is_no_way_back_from_sigma_zero():
    for name in NAMES:
        with pytest.raises(NotInvertibleError, match="no way back from sigma = 0"):
            pair_plan(get(name), VP, grid(4).with_zero())
    with pytest.raises(InvalidGridError, match="cannot start at sigma = 0"):
        ddim_inversion(VP, grid(4).with_zero())
    with pytest.raises(NotInvertibleError, match="needs 2 steps or more, got 1"):
        pair_plan(get("o_belm"), VP, grid(1))
