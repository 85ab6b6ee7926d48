"""The exact law of a plan: against the executor, against the forward reading, against theory."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from fokker.analysis.gaussian_path import eigenbasis, marginal, normal, prediction_of, prior
from fokker.analysis.law import (
    end_node,
    error_split,
    exact_law,
    output_law,
    response,
    start_node,
    weak_error,
)
from fokker.solvers.errors import AnalysisError
from fokker.solvers.grids import uniform_lam, wavy_lam
from fokker.solvers.plan import Eval, Lin, Noise, Plan, Tape, interpret
from fokker.solvers.registry import get
from fokker.solvers.run import run
from fokker.solvers.schedules import EDM, RectifiedFlow, VPLinear
from fokker.toy_models.gaussian import Gaussian
from fokker.toy_models.law import exact_model
from hand_made import scale_weights
from tolerances import EXACT

VP = VPLinear()
DATA = normal([0.5, -1.0, 2.0], [1e-3, 0.25, 4.0])
NAMES = [
    "ddim",
    "dpmpp_3m",
    "exp_ab4_noise",
    "rho_rk4",
    "dpm_solver_3",
    "unipc_3",
    "pndm",
    "ancestral",
    "euler_maruyama",
    "ddim_eta",
    "edm_churn",
    "sde_dpmpp_3m",
]


def build(name: str, steps: int, *, warm: bool = False, to_zero: bool = False, process=VP, **kw):
    grid_map, sampler = wavy_lam(process, -2.0, 2.0), get(name)
    if warm:
        kw["history"] = grid_map.history(steps, sampler.history)
    return sampler(process, grid_map.grid(steps, to_zero=to_zero), **kw)


class UnitNoise:
    """A noise source in which one cell is 1 and all others 0."""

    def __init__(self, which: int) -> None:
        self.which, self.seen = which, -1

    def draw(self, cell: Noise, like: torch.Tensor) -> torch.Tensor:
        del cell
        self.seen += 1
        return torch.ones_like(like) if self.seen == self.which else torch.zeros_like(like)


def push_impulses(plan: Plan, data) -> np.ndarray:
    """The response read forwards: constant, start, noises, each an impulse, shape (leaves, K)."""
    draws = [i for i, op in enumerate(plan.ops) if isinstance(op, Noise)]
    leaves, k = 2 + len(draws), data.var.size

    def unit(j: int) -> np.ndarray:
        out = np.zeros((leaves, k))
        out[j] = 1.0
        return out

    def evaluate(_: int, op: Eval, x: np.ndarray) -> np.ndarray:
        model = prediction_of(data, op.node, op.prediction)
        return model.gain * x + model.shift * unit(0)

    out = interpret(
        plan,
        inputs={"x": unit(1)},
        evaluate=evaluate,
        draw=lambda i, _: unit(2 + draws.index(i)),
    )
    return out["x"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("to_zero", [False, True])
def test_reading_backwards_equals_pushing_impulses_forwards(name, to_zero):
    plan = build(name, 7, to_zero=to_zero)
    found, pushed = response(plan, DATA), push_impulses(plan, DATA)
    np.testing.assert_allclose(found.constant, pushed[0], rtol=EXACT, atol=EXACT)
    np.testing.assert_allclose(found.start, pushed[1], rtol=EXACT, atol=EXACT)
    np.testing.assert_allclose(found.noises, pushed[2:], rtol=EXACT, atol=EXACT)


@pytest.mark.parametrize("name", ["unipc_2", "sde_dpmpp_2m", "edm_churn"])
def test_the_response_is_what_the_executor_computes_on_a_rotated_gaussian(name):
    generator = np.random.default_rng(1)
    u, _ = np.linalg.qr(generator.standard_normal((3, 3)))
    law = Gaussian.from_eigen(
        torch.from_numpy(generator.standard_normal(3)),
        torch.from_numpy(u),
        torch.tensor([0.01, 0.5, 3.0], dtype=torch.float64),
    )
    plan = build(name, 5)
    model = exact_model(law, VP, next(op for op in plan.ops if isinstance(op, Eval)).prediction)
    found, x = response(plan, eigenbasis(law)), torch.from_numpy(generator.standard_normal((2, 3)))
    for which in range(-1, len(found.cells)):
        out = run(plan, model, x, noise=UnitNoise(which)).x.numpy() @ u
        noise = found.noises[which] * u.sum(axis=0) if which >= 0 else 0.0
        truth = found.start * (x.numpy() @ u) + found.constant + noise
        np.testing.assert_allclose(out, truth, rtol=1e-11, atol=1e-12)


def test_the_law_of_one_ancestral_step_is_the_formula_on_paper():
    grid = uniform_lam(VP, -0.5, 0.7).grid(1)
    s, t = grid.nodes
    law = output_law(get("ancestral")(VP, grid), DATA)
    gain = s.alpha * DATA.var / marginal(DATA, s).var
    keep = (s.alpha / t.alpha) * (t.sigma / s.sigma) ** 2
    fresh = 1 - math.exp(2 * (s.lam - t.lam))
    a = keep + t.alpha * fresh * gain
    np.testing.assert_allclose(
        law.var, a**2 * marginal(DATA, s).var + t.sigma**2 * fresh, rtol=1e-13
    )


@pytest.mark.parametrize("name", ["dpmpp_3m", "exp_ab4_noise", "unipc_3"])
def test_exact_history_is_the_model_on_the_exact_trajectory(name):
    plan = build(name, 6, warm=True)
    begin = start_node(plan)
    found, x = response(plan, DATA), np.array([0.2, 1.0, -3.0])
    inputs = {"x": x}
    for key, i in plan.inputs.items():
        op = plan.ops[i]
        if key == "x":
            continue
        model = prediction_of(DATA, op.node, op.prediction)
        size = np.sqrt(marginal(DATA, op.node).var / marginal(DATA, begin).var)
        state = op.node.alpha * DATA.mean + size * (x - begin.alpha * DATA.mean)
        inputs[key] = model.gain * state + model.shift

    def evaluate(_, op, v):
        model = prediction_of(DATA, op.node, op.prediction)
        return model.gain * v + model.shift

    out = interpret(plan, inputs=inputs, evaluate=evaluate, draw=lambda *_: 0.0)["x"]
    np.testing.assert_allclose(found.start * x + found.constant, out, rtol=EXACT)
    assert not found.past.any()


def test_an_earlier_state_is_taken_from_the_exact_trajectory_too():
    begin, before, end = (VP.node_at_lam(v) for v in (-0.2, -0.9, 0.5))
    tape = Tape()
    x, older = tape.input("x", begin), tape.input("x-1", before)
    plan = tape.plan(x=tape.mark(tape.lin((x, 0.7), (older, 0.4)), end))
    found = response(plan, DATA)
    size = np.sqrt(marginal(DATA, before).var / marginal(DATA, begin).var)
    np.testing.assert_allclose(found.start, 0.7 + 0.4 * size, rtol=EXACT)
    shift = (before.alpha - size * begin.alpha) * DATA.mean
    np.testing.assert_allclose(found.constant, 0.4 * shift, rtol=EXACT)


def test_exact_history_of_an_sde_carries_its_own_randomness():
    """A two-step rule on (x, m-1) has the variance of the joint Gaussian of the two states."""
    grid_map, eta = wavy_lam(VP, -1.0, 1.0), 1.0
    past = grid_map.history(4, 1)
    plan = get("sde_dpmpp_2m")(VP, grid_map.grid(1), history=past)
    begin, older = start_node(plan), past[0]
    (row,) = [op for op in plan.ops if isinstance(op, Lin)]
    weight = {
        type(plan.ops[j]).__name__ + getattr(plan.ops[j], "name", ""): w for j, w in row.terms
    }
    now, then = (prediction_of(DATA, n, "data").gain for n in (begin, older))
    on_x = weight["Inputx"] + weight["Eval"] * now
    on_past = weight["Inputm-1"] * then
    var_now, var_then = marginal(DATA, begin).var, marginal(DATA, older).var
    ratio = (older.alpha / np.sqrt(var_then)) / (begin.alpha / np.sqrt(var_now))
    joint = np.sqrt(var_now * var_then) * ratio**eta
    truth = on_x**2 * var_now + on_past**2 * var_then + 2 * on_x * on_past * joint
    truth += weight["Noise"] ** 2
    np.testing.assert_allclose(output_law(plan, DATA, history_eta=eta).var, truth, rtol=1e-12)
    assert response(plan, DATA, history_eta=eta).past.any()


@pytest.mark.parametrize(
    ("name", "order", "eta"),
    [
        ("ddim", 1, 0.0),
        ("dpmpp_2m", 2, 0.0),
        ("rho_rk4", 4, 0.0),
        ("ancestral", 1, 1.0),
        ("euler_maruyama", 1, 1.0),
        ("sde_dpmpp_2m", 2, 1.0),
        ("ddim_eta", 1, 0.25),
    ],
)
def test_the_weak_error_falls_with_the_order_of_the_sampler(name, order, eta):
    coarse, fine = (weak_error(build(name, n), DATA, eta=eta).var for n in (128, 256))
    assert math.log2(coarse / fine) == pytest.approx(order, abs=0.15)


@pytest.mark.parametrize("planted", ["noise", "weight", "time"])
def test_a_planted_mistake_leaves_an_error_that_does_not_vanish(planted):
    def mistaken(steps: int) -> Plan:
        plan = build("sde_dpmpp_2m", steps)
        if planted != "time":
            return scale_weights(plan, Noise if planted == "noise" else Eval, 1.02)
        late = [
            replace(op, node=VP.node_at_lam(op.node.lam + 0.02)) if isinstance(op, Eval) else op
            for op in plan.ops
        ]
        return Plan(tuple(late), plan.outputs, plan.marks)

    def size(plan: Plan) -> float:
        return max(weak_error(plan, DATA, eta=1.0))

    assert size(mistaken(512)) > 0.5 * size(mistaken(256)) > 1e-3
    assert size(build("sde_dpmpp_2m", 512)) < 1e-3


@pytest.mark.parametrize("name", ["dpmpp_2m", "unipc_2", "ancestral", "edm_churn"])
@pytest.mark.parametrize(
    "process", [VP, RectifiedFlow(), EDM(80.0)], ids=lambda p: type(p).__name__
)
@pytest.mark.parametrize("to_zero", [False, True])
def test_the_parts_of_the_error_obey_the_triangle_inequality(name, process, to_zero):
    grid = wavy_lam(process, -4.0, 2.0).grid(12, to_zero=to_zero)
    eta = get(name).sde_eta or 0.0
    plan = get(name)(process, grid)
    parts = error_split(plan, DATA, prior(DATA, grid[0].sigma), eta=eta).w2
    total, *rest = parts
    assert total <= sum(rest) * (1 + 1e-12)
    for part in rest:
        assert part >= 0
        assert total >= 2 * part - sum(rest) - 1e-12  # each side of the polygon
    assert (parts.truncation == 0.0) == to_zero


def test_an_exact_start_and_a_fine_grid_leave_truncation_alone():
    plan = build("exp_ab4_data_rkstart", 400)
    split = error_split(plan, DATA)
    assert split.w2.initialisation == 0.0
    assert split.kl.initialisation == 0.0
    assert split.w2.discretisation < 1e-7
    end, wide = end_node(plan), marginal(DATA, end_node(plan))
    shift, gap = DATA.mean * (1 - end.alpha), np.sqrt(wide.var) - np.sqrt(DATA.var)
    assert split.w2.total == pytest.approx(math.sqrt((shift**2 + gap**2).sum()), rel=1e-6)


def test_an_sde_forgets_a_wrong_prior_that_the_ode_carries_to_the_end():
    grid = uniform_lam(VP, -4.0, 4.0).grid(50)
    start = prior(DATA, 1.0)
    ode = error_split(get("dpmpp_2m")(VP, grid), DATA, start, eta=0.0).w2
    sde = error_split(get("sde_dpmpp_2m")(VP, grid), DATA, start, eta=1.0).w2
    assert sde.initialisation < 0.1 * ode.initialisation


def test_kl_is_infinite_for_a_sampler_that_collapses_a_direction():
    plan = build("ddim", 1, to_zero=False)
    assert math.isfinite(error_split(plan, DATA).kl.total)
    flat = normal([0.0, 0.0], [0.0, 1.0])
    assert error_split(build("ddim", 8, to_zero=False), flat).kl.total == math.inf


def test_the_exact_law_of_the_ode_from_the_marginal_is_the_marginal():
    s, t = VP.node_at_lam(-3.0), VP.node_at_lam(3.0)
    law = exact_law(DATA, marginal(DATA, s), s, t)
    np.testing.assert_allclose(np.array(law), np.array(marginal(DATA, t)), rtol=1e-13)


def test_320_churned_heun_steps_in_64_directions_take_milliseconds():
    plan = get("edm_churn")(EDM(80.0), uniform_lam(EDM(80.0), -4.0, 4.0).grid(320))
    data = normal(np.zeros(64), np.geomspace(1e-4, 4.0, 64))
    assert len([op for op in plan.ops if isinstance(op, Noise)]) == 320

    def seconds() -> float:
        start = time.perf_counter()
        output_law(plan, data)
        return time.perf_counter() - start

    assert min(seconds() for _ in range(5)) < 0.1


def test_what_has_no_exact_law_is_refused():
    node, after = VP.node_at_lam(-1.0), VP.node_at_lam(0.0)
    tape = Tape()
    x = tape.input("x", node)
    out = tape.mark(tape.lin((x, np.array([1.0, 2.0]))), after)
    with pytest.raises(AnalysisError, match="scalar weights"):
        output_law(tape.plan(x=out), DATA)
    tape = Tape()
    x = tape.input("x", node)
    out = tape.lin((tape.input("v", node), 1.0), (tape.eval(x, node, "data", "left"), 1.0))
    with pytest.raises(AnalysisError, match="no head 'left'"):
        output_law(tape.plan(x=out), DATA)
    tape = Tape()
    x = tape.input("x", node)
    out = tape.lin((tape.input("v", node), 1.0), (x, 1.0))
    with pytest.raises(AnalysisError, match="'v' is neither the start"):
        output_law(tape.plan(x=out), DATA)
    with pytest.raises(AnalysisError, match="does not mark its output"):
        end_node(tape.plan(x=out))
    tape = Tape()
    y = tape.input("y", node)
    with pytest.raises(AnalysisError, match="no input 'x'"):
        start_node(tape.plan(x=y))
