"""DualFast: a plan transform, what its c repairs, and the three-way split of an error."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from fokker.analysis.paired import rms
from fokker.solvers.errors import InvalidPlanError
from fokker.solvers.grids import grid_from_times, uniform_lam, wavy_lam
from fokker.solvers.model import conversion
from fokker.solvers.plan import Eval, Plan
from fokker.solvers.plan_algebra import distance, to_prediction
from fokker.solvers.registry import get
from fokker.solvers.run import run
from fokker.solvers.schedules import EDM, RectifiedFlow
from fokker.solvers.wrappers.dualfast import ddim_dualfast, dualfast, fit_mixing, split_error
from fokker.toy_models import FourierField, Perturbed, exact_model, problem, reference_flow

P = problem("mixture")
GRIDS = uniform_lam(P.process, P.lam_start, P.lam_end)
BASES = ["ddim", "dpmpp_2m", "dpmpp_3m", "unipc_2", "dpmpp_2s"]


def alone(plan: Plan) -> Plan:
    """The plan of the sample, without what it hands over."""
    return Plan(plan.ops, {"x": plan.outputs["x"]}, plan.marks)


@pytest.mark.parametrize("base", BASES)
def test_without_mixing_the_plan_is_the_plan(base):
    plan = alone(get(base)(P.process, wavy_lam(P.process, -1.5, 2.0).grid(6)))
    assert distance(dualfast(plan, 0.0), plan) < 1e-12
    assert distance(dualfast(plan, 0.2), plan) > 1e-3
    assert dualfast(plan, 0.2).nfe == plan.nfe


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("anchor", ["last", "first"])
def test_every_output_is_mixed_as_noise_whatever_the_plan_asks_for(base, anchor):
    """By a model that mixes what it was asked, evaluation by evaluation."""
    grid = wavy_lam(P.process, -1.5, 2.0).grid(6)
    plan, c, asked = get(base)(P.process, grid), 0.3, []
    data = P.model("data")

    def mixing(x: torch.Tensor, t: float) -> torch.Tensor:
        node = P.process.node(t)
        eps = (x - node.alpha * data(x, t)) / node.sigma
        asked.append(eps)
        tau = asked[0] if anchor == "first" else asked[max(0, len(asked) - 2)]
        return (x - node.sigma * ((1 + c) * eps - c * tau)) / node.alpha

    x = P.starts(5)
    got = run(dualfast(plan, c, anchor=anchor), data, x).x
    torch.testing.assert_close(got, run(plan, mixing, x).x, rtol=1e-9, atol=1e-9)
    noise = dualfast(to_prediction(plan, "noise"), c, anchor=anchor)
    torch.testing.assert_close(run(noise, P.model("noise"), x).x, got, rtol=1e-9, atol=1e-9)
    assert {op.prediction for op in noise.ops if isinstance(op, Eval)} == {"noise"}


def test_the_registered_ddim_is_the_transform_of_ddim():
    grid = wavy_lam(P.process, -1.5, 2.0).grid(6)
    found = alone(ddim_dualfast(P.process, grid, mixing=0.3))
    want = dualfast(get("exp_ab1_noise")(P.process, grid), 0.3)
    assert distance(found, want) < 1e-12
    each = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]
    assert distance(
        alone(ddim_dualfast(P.process, grid, mixing=each)),
        dualfast(get("exp_ab1_noise")(P.process, grid), each),
    ) < 1e-12  # fmt: skip


def test_half_turns_ddim_into_adams_bashforth_on_equal_steps_in_rho():
    process = EDM()
    grid = grid_from_times(process, np.linspace(2.0, 1.0, 7).tolist())
    plan = ddim_dualfast(process, grid, mixing=0.5)
    assert distance(plan, get("deis_rhoab2")(process, grid)) < 1e-12


def _best(base: str, steps: int, anchor: str, x: torch.Tensor, truth: torch.Tensor) -> float:
    """Where the squared error, nearly a parabola in c, is least; by two rounds of five points."""
    plan, low, high = get(base)(P.process, GRIDS.grid(steps)), -0.3, 1.1
    for _ in range(2):
        mixings = np.linspace(low, high, 5)
        runs = [run(dualfast(plan, c, anchor=anchor), P.model(), x).x for c in mixings]
        a, b, _ = np.polyfit(mixings, [rms(out - truth) ** 2 for out in runs], 2)
        best = float(np.clip(-b / (2 * a), -0.3, 1.1))
        low, high = best - 0.15, best + 0.15
    return best


def test_without_an_error_of_the_network_the_best_mixing_is_what_the_order_leaves_to_repair():
    """To the first evaluation: c = O(h). To the last one: 1/2 for DDIM, 0 for a second order."""
    x = P.starts(24)
    truth = P.endpoint(x)
    first = [_best("ddim", n, "first", x, truth) for n in (20, 40, 80)]
    assert first[0] > 0.15
    assert all(0.35 < b / a < 0.65 for a, b in pairwise(first))
    assert abs(_best("ddim", 40, "last", x, truth) - 0.5) <= 0.1
    assert abs(_best("dpmpp_2m", 40, "last", x, truth)) <= 0.05
    assert abs(_best("dpmpp_2m", 40, "first", x, truth)) <= 0.05


def test_a_constant_mixing_with_the_first_evaluation_does_not_converge():
    x = P.starts(8)
    truth = P.endpoint(x)
    errors = {
        anchor: [
            rms(
                run(dualfast(get("ddim")(P.process, GRIDS.grid(n)), 0.2, anchor=anchor),
                    P.model(), x).x - truth
            )
            for n in (80, 320)
        ]
        for anchor in ("last", "first")
    }  # fmt: skip
    assert errors["last"][0] > 2.5 * errors["last"][1]
    assert errors["first"][0] < 2 * errors["first"][1]


def test_the_mixing_fitted_to_a_model_repairs_ddim():
    x, grid, model = P.starts(32), GRIDS.grid(12), P.model("noise")
    truth = P.endpoint(x)
    fit = get("ddim_dualfast").fit
    assert fit is not None
    options = fit(model, P.process, grid, P.starts(32, seed=9))
    assert len(options["mixing"]) == 12
    assert options["mixing"][0] == 0.0

    def error(**options) -> float:
        return rms(run(ddim_dualfast(P.process, grid, **options), model, x).x - truth)

    assert error(**options) < 0.6 * error(mixing=0.0)
    zero = fit_mixing(model, P.process, grid.with_zero(), x)["mixing"]
    assert len(zero) == 13
    assert zero[-1] == 0.0


def test_the_error_splits_into_network_and_solver_and_their_product():
    field = FourierField.random(2, length=0.5, seed=1)

    def amplitude(lam: float | torch.Tensor) -> torch.Tensor:
        return 0.1 * torch.sigmoid(2 * torch.as_tensor(lam, dtype=torch.float64))

    law = Perturbed(P.law, field, amplitude)
    x, ends = P.starts(24), ((P.start.alpha, P.start.sigma), (P.end.alpha, P.end.sigma))
    truth, fine = P.endpoint(x), reference_flow(law, x, *ends).x
    model = exact_model(law, P.process, "data")
    found = {
        n: split_error(run(get("ddim")(P.process, GRIDS.grid(n)), model, x).x, fine, truth)
        for n in (5, 20, 80)
    }
    for parts in found.values():
        squares = parts["approximation"] ** 2 + parts["discretization"] ** 2 + parts["cross"]
        assert parts["total"] ** 2 == pytest.approx(squares, rel=1e-12)
        assert parts["total"] <= parts["approximation"] + parts["discretization"]
        assert abs(parts["cosine"]) <= 1
    assert found[5]["discretization"] > found[5]["approximation"]  # and then they cross
    assert found[80]["discretization"] < 0.3 * found[80]["approximation"]
    same = split_error(truth, truth, truth)
    assert same["cosine"] == same["total"] == 0.0


def test_at_alpha_zero_nothing_is_mixed_and_bad_options_are_refused():
    flow = RectifiedFlow()
    grid = grid_from_times(flow, [1.0, 0.6, 0.3, 0.1])
    plan = dualfast(get("dpmpp_2m")(flow, grid), 0.3)
    assert torch.isfinite(run(plan, exact_model(P.law, flow, "data"), P.starts(3)).x).all()
    assert conversion("data", "noise", grid[0]) == (1.0, -0.0)
    with pytest.raises(InvalidPlanError, match=r"\('last', 'first'\), got 'next'"):
        dualfast(plan, 0.1, anchor="next")
    with pytest.raises(InvalidPlanError, match="has 2 numbers; evaluation 3 needs one"):
        dualfast(plan, [0.0, 0.1])
