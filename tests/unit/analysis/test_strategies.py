"""The public strategies draw what they promise, and state theorems in a line or two."""

from __future__ import annotations

import ast
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample
from torch import Tensor

from fokker.analysis import strategies as fst
from fokker.analysis.gaussian_path import normal
from fokker.analysis.law import output_law
from fokker.solvers.discrete import DiscreteVP
from fokker.solvers.grids import grid_from_lams
from fokker.solvers.model import PREDICTIONS, convert
from fokker.solvers.plan import Eval, Lin, Plan, interpret
from fokker.solvers.plan_text import from_json, to_json
from fokker.solvers.process import Process
from fokker.solvers.registry import get, samplers
from fokker.solvers.run import run
from fokker.solvers.schedules import VPLinear

ROOT = Path(__file__).resolve().parents[3]
few = settings(max_examples=max(10, settings().max_examples // 2))  # explores as told, for longer
SEMILINEAR = [s for s in samplers("plan") if s.semilinear]
LAWS = st.one_of(fst.gaussians(), fst.mixtures(), fst.product_mixtures())
EXACT_LAWS = st.one_of(fst.gaussians(), fst.product_mixtures())
SMALLEST = settings(database=None, derandomize=True, max_examples=500)


def level(lam: float) -> tuple[float, float]:
    """``(alpha, sigma)`` on the circle at a half log-SNR."""
    alpha = 1 / math.sqrt(1 + math.exp(-2 * lam))
    return alpha, alpha * math.exp(-lam)


def states(law, alpha: float, sigma: float, n: int = 4) -> Tensor:
    """Typical states of a law at a level."""
    eps = torch.randn(n, law.dim, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    return alpha * law.sample(n, seed=1) + sigma * eps


# what is drawn


@given(fst.processes(), fst.lams())
def test_every_process_reaches_every_lam_and_comes_back(process: Process, lam: float):
    node = process.node_at_lam(lam)
    assert 0 < node.t <= process.t_max
    assert node.alpha > 0
    assert node.sigma > 0
    assert math.log(node.alpha / node.sigma) == pytest.approx(lam, abs=1e-12)
    assert float(process.lam(node.t)) == pytest.approx(lam, abs=1e-9)


@given(fst.processes(analytic=True), fst.processes(variance_preserving=True), fst.lams())
def test_the_options_of_processes_hold(analytic: Process, vp: Process, lam: float):
    assert not isinstance(analytic, DiscreteVP)
    node = vp.node_at_lam(lam)
    assert node.alpha**2 + node.sigma**2 == pytest.approx(1.0, abs=1e-14)


@given(fst.grids(to_zero=None))
def test_grids_stay_in_range_with_steps_of_similar_size(grid):
    inner = [node.lam for node in grid.nodes if node.sigma > 0]
    low, high = fst.LAM_RANGE
    assert low <= inner[0]
    assert inner[-1] <= high + 1e-12
    assert inner[-1] - inner[0] >= 1 - 1e-12
    sizes = np.diff(inner)
    assert 1 <= len(sizes) <= 8
    assert sizes.max() <= sizes.min() * (4 + 1e-9)


@given(st.integers(1, 4).flatmap(lambda d: st.tuples(fst.rotations(d), fst.covariances(d))))
def test_rotations_and_covariances_are_what_they_say(pair):
    turn, cov = pair
    eye = torch.eye(len(turn), dtype=torch.float64)
    torch.testing.assert_close(turn @ turn.mT, eye, rtol=0, atol=1e-14)
    assert float(torch.linalg.det(turn)) == pytest.approx(1.0, abs=1e-13)
    values = torch.linalg.eigvalsh(cov)
    assert torch.equal(cov, cov.mT)
    assert float(values.min()) >= fst.VARIANCES[0] * (1 - 1e-9)
    assert float(values.max()) <= fst.VARIANCES[1] * (1 + 1e-9)


@given(LAWS)
def test_laws_are_float64_bounded_and_of_small_dimension(law):
    assert 1 <= law.dim <= 4
    assert law.mean.dtype == torch.float64
    assert float(law.mean.abs().max()) <= 2 * math.sqrt(law.dim)
    assert float(torch.linalg.eigvalsh(law.cov).min()) > 0
    if hasattr(law, "weights"):
        most = law.weights.amax(-1) / law.weights.amin(-1)
        assert float(most.max()) <= 10 + 1e-9


@given(fst.built(to_zero=None))
def test_built_plans_keep_the_promises_of_their_sampler(b):
    assert b.plan.nfe == b.sampler.nfe(len(b.grid)) or b.grid.to_zero
    assert len(b.plan.marks) == len(b.grid) <= max(8, b.sampler.multiple)
    assert b.plan.marks[-1].node == b.grid[-1]


def simplest(strategy):
    """What is tried first and where shrinking ends: every choice at its least."""
    least = settings(SMALLEST, phases=[Phase.generate])
    return find(strategy, lambda _: True, settings=least)


def test_examples_shrink_to_what_the_table_says():
    assert simplest(fst.lams()) == 0.0
    assert simplest(fst.predictions()) == "data"
    assert simplest(fst.processes()) == VPLinear()
    assert simplest(fst.grids()) == grid_from_lams(VPLinear(), [0.0, 1.0])
    assert torch.equal(simplest(fst.rotations(3)), torch.eye(3).double())
    assert torch.equal(simplest(fst.covariances(3)), torch.eye(3).double())
    for law in (fst.gaussians(), fst.mixtures(), fst.product_mixtures()):
        found = simplest(law)
        assert (found.dim, found.mean.tolist(), found.cov.tolist()) == (1, [0.0], [[1.0]])
    least = simplest(fst.built())
    assert (least.sampler, least.process, len(least.grid)) == (samplers("plan")[0], VPLinear(), 1)
    assert len(simplest(fst.programs()).ops) == 2


def test_nothing_is_filtered_away():
    """Ranges hold by construction: there is no filter and no assumption in the source."""
    source = Path(fst.__file__).read_text(encoding="utf-8")
    calls = [node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    names = {ast.unparse(call).split(".")[-1] for call in calls}
    assert not names & {"filter", "assume", "reject"}


def test_hypothesis_is_loaded_by_this_module_alone():
    guilty = []
    for room in ("solvers", "toy_models", "analysis", "paper_figs", "src/fokker/cli"):
        for file in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom):
                    names = [node.module or ""]
                if any(n.split(".")[0] == "hypothesis" for n in names):
                    guilty.append(file.name)
    assert set(guilty) == {"strategies.py"}


# theorems


@few
@given(EXACT_LAWS, st.lists(fst.lams(), min_size=3, max_size=3))
def test_exact_flows_are_a_group(law, lams):
    """Two flows in a row are one, and the flow back undoes it."""
    a, b, c = map(level, lams)
    x = states(law, *a)
    whole = law.flow(x, a, c)
    torch.testing.assert_close(law.flow(law.flow(x, a, b), b, c), whole, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(law.flow(whole, c, a), x, rtol=1e-9, atol=1e-9)


@few
@given(LAWS, fst.processes(), fst.lams())
def test_tweedie_holds_for_every_law(law, process, lam):
    """``alpha D = x + sigma^2 grad log p_t``, the gradient taken of log p_t itself."""
    node = process.node_at_lam(lam)
    x = states(law, node.alpha, node.sigma).requires_grad_()
    (score,) = torch.autograd.grad(law.log_density(x, node.alpha, node.sigma).sum(), x)
    data = law.denoiser(x, node.alpha, node.sigma).detach()
    tolerance = 1e-11 * node.sigma * (1 + float(x.detach().abs().max()) / node.sigma)
    torch.testing.assert_close(
        node.alpha * data, x.detach() + node.sigma**2 * score, rtol=1e-9, atol=tolerance
    )


@few
@given(fst.processes(), fst.lams(), fst.predictions(), st.integers(0, 99))
def test_conversions_of_predictions_undo_each_other(process, lam, source, seed):
    node = process.node_at_lam(lam)
    data, eps = np.random.default_rng(seed).standard_normal((2, 3))
    x = node.alpha * data + node.sigma * eps
    there = convert(data, x, node, source="data", target=source)
    for target in PREDICTIONS:
        over = convert(there, x, node, source=source, target=target)
        back = convert(over, x, node, source=target, target=source)
        scale = 1 + float(np.abs(there).max() + np.abs(x).max() / min(node.alpha, node.sigma))
        assert np.abs(back - there).max() <= 1e-13 * scale * math.exp(2 * abs(lam))


def test_predictions_are_all_drawn():
    for name in PREDICTIONS:
        found = find(fst.predictions(), lambda p, n=name: p == n, settings=SMALLEST)
        assert found == name
    with pytest.raises(NoSuchExample):
        find(fst.predictions(), lambda p: p not in PREDICTIONS, settings=SMALLEST)


@given(fst.plans(to_zero=None) | fst.programs())
def test_plans_survive_json_bit_for_bit(plan: Plan):
    again = from_json(to_json(plan))
    assert (again.ops, dict(again.outputs), again.marks) == (plan.ops, plan.outputs, plan.marks)
    assert to_json(again) == to_json(plan)


def hoarding(plan: Plan) -> dict[str, float]:
    """The outputs when nothing is ever dropped."""
    values: list[float] = []
    for i, op in enumerate(plan.ops):
        match op:
            case Lin(terms=terms):
                values.append(math.fsum(w * values[j] for j, w in terms))
            case Eval(source=source):
                values.append(math.sin(1 + values[source]))
            case _:
                values.append(0.5 + i)
    return {name: values[j] for name, j in plan.outputs.items()}


@given(fst.plans(to_zero=None) | fst.programs())
def test_a_run_that_drops_dead_vectors_gives_the_same_in_the_promised_memory(plan: Plan):
    alive: set[int] = set()
    most = 0

    def after(i: int, _value: float) -> None:
        nonlocal most
        alive.add(i)
        most = max(most, len(alive))

    out = interpret(
        plan,
        inputs={name: 0.5 + i for name, i in plan.inputs.items()},
        evaluate=lambda _i, _op, x: math.sin(1 + x),
        draw=lambda i, _op: 0.5 + i,
        after=after,
        forget=lambda i, _value: alive.discard(i),
    )
    assert out == pytest.approx(hoarding(plan), rel=1e-11, abs=1e-11)
    assert most == plan.peak_live
    assert alive == set(plan.outputs.values())


@given(fst.processes(variance_preserving=True), st.integers(0, 99), st.data())
def test_a_step_of_ddim_turns_state_and_velocity(process, seed, data):
    """With alpha = cos a, sigma = sin a: ``x_t = cos(a_s - a_t) x - sin(a_s - a_t) v``."""
    grid = data.draw(fst.grids(process, max_steps=1))
    s, t = grid.nodes
    rng = np.random.default_rng(seed)
    x, d = (torch.from_numpy(v) for v in rng.standard_normal((2, 1, 5)))
    out = run(get("ddim")(process, grid), lambda _x, _t: d, x).x
    angle = math.atan2(s.sigma, s.alpha) - math.atan2(t.sigma, t.alpha)
    v = convert(d, x, s, source="data", target="velocity")
    torch.testing.assert_close(out, math.cos(angle) * x - math.sin(angle) * v, rtol=0, atol=1e-12)


@given(fst.built(SEMILINEAR))
def test_constant_data_are_sampled_exactly_by_every_semilinear_plan(b):
    """Data that are one point D: the output is N(alpha D, sigma^2)."""
    law, end = output_law(b.plan, normal([2.0], [0.0])), b.grid[-1]
    assert law.mean[0] == pytest.approx(2.0 * end.alpha, abs=1e-11)
    assert law.var[0] == pytest.approx(end.sigma**2, abs=1e-11)
