"""Heavy ball and its generalisation: weights, recursions by hand, orders, and calm when stiff."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise
from typing import cast

import numpy as np
import pytest
import torch

from fokker.analysis.paired import rms
from fokker.solvers.errors import InvalidPlanError
from fokker.solvers.grids import grid_from_sigmas, uniform_lam, wavy_lam
from fokker.solvers.model import Model
from fokker.solvers.plan import Eval, Input, Plan, interpret
from fokker.solvers.plan_algebra import compose, distance
from fokker.solvers.registry import get
from fokker.solvers.run import run
from fokker.solvers.samplers.momentum import (
    ADAMS_SERIES,
    momentum,
    momentum_weights,
    velocity_weights,
)
from fokker.solvers.schedules import EDM, VPLinear
from fokker.toy_models.law import exact_model
from fokker.toy_models.mixture import GaussianMixture
from fokker.toy_models.problems import Problem, problem

VP = VPLinear()
GRID = wavy_lam(VP, -2.0, 1.5).grid(7)


def printed(order: int, b: float) -> list[float]:
    """The combinations of velocities as the paper prints them, over b."""
    rows = {
        1: ([b], 1),
        2: ([2 + b, -(2 - b)], 2),
        3: ([18 + 5 * b, -(24 - 8 * b), 6 - b], 12),
        4: ([46 + 9 * b, -(78 - 19 * b), 42 - 5 * b, -(10 - b)], 24),
        5: (
            [
                1650 + 251 * b,
                -3420 + 646 * b,
                2880 - 264 * b,
                -1380 + 106 * b,
                270 - 19 * b,
            ],
            720,
        ),
    }
    weights, over = rows[order]
    return [w / over / b for w in weights]


@pytest.mark.parametrize("order", range(1, 6))
@pytest.mark.parametrize("beta", [0.3, 0.8, 1.0])
def test_weights_are_the_printed_ones(order: int, beta: float):
    np.testing.assert_allclose(momentum_weights(order, beta), printed(order, beta), rtol=1e-13)


def test_the_series_is_that_of_adams_bashforth():
    """``sum_j g_j/(k - j + 1) = 1`` for every k: the moments of equal steps, exactly."""
    found = [Fraction(g).limit_denominator(1000) for g in ADAMS_SERIES]
    for k in range(len(found)):
        assert sum(g * Fraction(1, k - j + 1) for j, g in enumerate(found[: k + 1])) == 1


@pytest.mark.parametrize("kind", ["hb", "ghvb"])
@pytest.mark.parametrize("back", [0, 1, 2])
def test_velocities_before_the_start_are_those_of_a_polynomial_since_ever(kind: str, back: int):
    beta, count = 0.7, 4
    outputs = np.array([(1 + 0.1 * n) ** 3 for n in range(-400, 1)])  # a cubic of the index
    mean = momentum_weights(count, 1.0) if kind == "hb" else np.array([1.0])
    v, kept = 0.0, []
    for n in range(5, len(outputs)):
        f = float(mean @ outputs[n - len(mean) + 1 : n + 1][::-1])
        v = (1 - beta) * v + beta * f
        kept.append(v)
    found = velocity_weights(count, beta, kind, back) @ outputs[::-1][:count]
    assert found == pytest.approx(kept[-1 - back], rel=1e-9)


def by_hand(kind: str, order: int, b: float, x: torch.Tensor, model) -> torch.Tensor:
    """The published loop on y = x/alpha, with a list of outputs and a velocity."""
    outputs, velocity, velocities = [], None, []
    y = x / GRID[0].alpha
    for s, t in GRID.steps():
        eps = model(s.alpha * y, s.t)
        velocity = eps if velocity is None else velocity
        if kind == "ghvb":
            velocity = (1 - b) * velocity + b * eps
            velocities = [velocity, *velocities][:order]
            w = printed(len(velocities), b)
            push = sum(a * v for a, v in zip(w, velocities, strict=True))
        else:
            outputs = [eps, *outputs][:order]
            mean = sum(a * e for a, e in zip(printed(len(outputs), 1.0), outputs, strict=True))
            velocity = (1 - b) * velocity + b * mean
            push = velocity if kind == "hb" else (1 - b) * velocity + b * mean
        y = y + (t.rho - s.rho) * push
    return y * GRID[-1].alpha


@pytest.mark.parametrize(
    ("kind", "order"), [("hb", 1), ("hb", 2), ("hb", 4), ("nesterov", 2), ("ghvb", 2), ("ghvb", 5)]
)
@pytest.mark.parametrize("beta", [0.5, 0.8])
def test_the_plan_is_the_published_loop(kind: str, order: int, beta: float):
    p = problem("product")
    x, model = p.starts(3), p.model("noise")
    plan = momentum(VP, GRID, kind=kind, order=order, beta=beta)
    torch.testing.assert_close(
        run(plan, model, x).x, by_hand(kind, order, beta, x, model), rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize(("order", "plain"), [(2, "ipndm_2"), (3, "ipndm_3"), (4, "ipndm")])
def test_without_momentum_all_of_them_are_ipndm(order: int, plain: str):
    for kind in ("hb", "ghvb", *(["nesterov"] if order == 2 else [])):
        assert distance(get(f"{kind}_{order}")(VP, GRID, beta=1.0), get(plain)(VP, GRID)) < 1e-12
        assert distance(get(f"{kind}_{order}")(VP, GRID, beta=0.9), get(plain)(VP, GRID)) > 1e-3
    assert distance(get("dpmpp_2m_hb")(VP, GRID, beta=1.0), get("dpmpp_2m")(VP, GRID)) < 1e-12


def test_one_output_with_a_velocity_is_one_velocity():
    assert distance(get("hb_1")(VP, GRID), get("ghvb_1")(VP, GRID)) < 1e-12


@pytest.mark.parametrize(
    ("kind", "order", "slope"), [("hb", 2, 1), ("hb", 4, 1), ("ghvb", 2, 2), ("ghvb", 4, 4)]
)
def test_on_equal_steps_in_rho_ghvb_has_its_order_and_hb_the_first(kind, order, slope):
    """Steps in rho on EDM, where the prediction bends, from exact history; GHVB-k is order k."""
    process, law = EDM(), problem("product").law
    begin, end = process.node_at_lam(-1.0), process.node_at_lam(1.0)
    x = begin.alpha * law.sample(4, seed=1) + begin.sigma * torch.randn(
        4, law.dim, generator=torch.Generator().manual_seed(2), dtype=torch.float64
    )
    model = problem("product").on(process).model("noise")

    def flow(node):
        return law.flow(x, (begin.alpha, begin.sigma), (node.alpha, node.sigma))

    errors = []
    for steps in (128, 256, 512):
        width = (begin.rho - end.rho) / steps
        grid = grid_from_sigmas(process, [begin.rho - i * width for i in range(steps + 1)])
        nodes = [process.node_at_lam(-math.log(begin.rho + j * width)) for j in range(1, order)]
        given = {f"m-{j}": model(flow(n), n.t) for j, n in enumerate(nodes, 1)}
        plan = momentum(process, grid, kind=kind, order=order, history=nodes)
        errors.append(rms(run(plan, model, x, history=given).x - flow(end)))
    found = math.log2(errors[1] / errors[2])
    assert found == pytest.approx(slope, abs=0.3)


@pytest.mark.parametrize("name", ["ghvb_4", "hb_3", "dpmpp_2m_hb"])
@pytest.mark.parametrize("cut", [1, 3, 5])
def test_velocities_can_be_handed_over(name: str, cut: int):
    sampler = get(name)
    first = sampler(VP, GRID.part(0, cut), carry=True)
    nodes = [GRID[cut - j] for j in range(1, 1 + min(cut, sampler.history))]
    rest = sampler(VP, GRID.part(cut, 7), history=nodes, resume=GRID[cut - 1])
    both = compose(first, rest)
    assert distance(_only_x(both), _only_x(sampler(VP, GRID))) < 1e-12
    assert {op.name for op in both.ops if isinstance(op, Input)} == {"x"}


def _only_x(plan: Plan) -> Plan:
    return Plan(plan.ops, {"x": plan.outputs["x"]}, plan.marks)


def test_forgetting_the_velocity_is_another_sampler():
    """The control of the test above."""
    sampler = get("ghvb_2")
    nodes = [GRID[2]]
    both = compose(sampler(VP, GRID.part(0, 3)), sampler(VP, GRID.part(3, 7), history=nodes))
    assert distance(both, sampler(VP, GRID)) > 1e-4


def test_the_velocity_of_2m_smooths_the_extrapolated_data_prediction():
    plan, b = get("dpmpp_2m_hb")(VP, GRID, beta=0.6), 0.6
    p = problem("product")
    x, model = p.starts(3), p.model("data")
    state, v, before = x, None, None
    for i, (s, t) in enumerate(GRID.steps()):
        d, h = model(state, s.t), t.lam - s.lam
        mean = d if before is None else d + (d - before) * h / (s.lam - GRID[i - 1].lam) / 2
        v = d if v is None else (1 - b) * v + b * mean
        state = t.sigma / s.sigma * state - t.alpha * math.expm1(-h) * v
        before = d
    torch.testing.assert_close(run(plan, model, x).x, state, rtol=1e-12, atol=1e-12)


def guided(p: Problem, weight: float, component: int) -> Model:
    """Noise prediction pushed ``weight`` times away from the free one, towards a component."""
    law = cast(GaussianMixture, p.law)
    only = slice(component, component + 1)
    one = GaussianMixture(torch.ones(1, dtype=torch.float64), law.means[only], law.covs[only])
    free, bound = p.model("noise"), exact_model(one, p.process, "noise")
    return lambda x, t: free(x, t) + weight * (bound(x, t) - free(x, t))


def test_under_strong_guidance_momentum_leaves_fewer_outliers():
    """Beyond three times the radius of the data: w = 10, 10 steps, GHVB-4, 256 starts."""
    p = problem("mixture")
    grid = uniform_lam(p.process, p.lam_start, p.lam_end).grid(10)
    x, model = p.starts(256), guided(p, 10.0, component=2)
    radius = float(p.law.sample(2000, seed=3).norm(dim=1).max())

    def outliers(beta: float) -> float:
        out = run(get("ghvb_4")(p.process, grid, beta=beta), model, x).x / grid[-1].alpha
        return float((out.norm(dim=1) > 3 * radius).double().mean())

    found = [outliers(beta) for beta in (1.0, 0.8, 0.5, 0.3)]
    assert found[0] > 0.2
    assert all(a > b for a, b in pairwise(found))


def test_a_last_step_to_sigma_zero_takes_the_newest_output_alone():
    plan = get("ghvb_3")(VP, GRID.with_zero())
    evals = [i for i, op in enumerate(plan.ops) if isinstance(op, Eval)]
    last = plan.ops[plan.outputs["x"]]
    assert {j for j, _ in last.terms} == {plan.marks[-2].vector, evals[-1]}


@pytest.mark.parametrize("beta", [0.0, -0.5, 1.2, math.nan])
def test_a_beta_outside_its_range_is_refused(beta: float):
    for name in ("hb_1", "ghvb_2", "dpmpp_2m_hb"):
        with pytest.raises(InvalidPlanError, match=r"beta .* \(0, 1\]"):
            get(name)(VP, GRID, beta=beta)


def test_an_order_or_kind_that_is_none_is_refused():
    with pytest.raises(InvalidPlanError, match=r"order 1 .. 5"):
        momentum(VP, GRID, kind="ghvb", order=6)
    with pytest.raises(InvalidPlanError, match="'polyak'"):
        momentum(VP, GRID, kind="polyak", order=2)


def test_a_constant_is_a_fixed_point_of_every_velocity():
    for name in ("hb_4", "nesterov_2", "ghvb_4"):
        plan = get(name)(VP, GRID, beta=0.4)
        out = interpret(
            plan, inputs={"x": GRID[0].sigma}, evaluate=lambda *_: 1.0, draw=lambda *_: 0.0
        )
        assert out["x"] == pytest.approx(GRID[-1].sigma, rel=1e-12)
