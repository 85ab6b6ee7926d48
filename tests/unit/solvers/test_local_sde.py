"""Noise inside of a mask only: marginals are kept, the rest is the ODE; time travel forgets."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from fokker.analysis.gaussian_path import Normal, eigenbasis, transition
from fokker.analysis.law import output_law
from fokker.solvers.errors import InvalidPlanError
from fokker.solvers.grids import Grid, uniform_lam, wavy_lam
from fokker.solvers.plan import Eval, Noise, Plan, interpret
from fokker.solvers.process import Array
from fokker.solvers.registry import get
from fokker.solvers.run import run
from fokker.solvers.samplers.local_sde import local_sde, time_travel
from fokker.solvers.schedules import EDM, VPLinear
from fokker.toy_models.problems import problem
from tolerances import EXACT

VP = VPLinear()
MASK = np.array([1.0, 0.0, 0.5])
both = pytest.mark.parametrize("published", [False, True])


def grid(steps: int = 12) -> Grid:
    return wavy_lam(VP, -3.0, 2.0).grid(steps)


def start(batch: int = 4) -> Tensor:
    return torch.linspace(-2, 2, batch * 3, dtype=torch.float64).reshape(batch, 3)


def separate(x: Tensor, t: float) -> Tensor:
    """A denoiser of independent coordinates."""
    return torch.tanh((1.5 - t) * x)


def together(x: Tensor, t: float) -> Tensor:
    """A denoiser of coordinates that know of each other."""
    return torch.tanh((1.5 - t) * x + 0.3 * x.sum(1, keepdim=True))


# -- the mask -------------------------------------------------------------------------------------


@both
def test_outside_of_the_mask_independent_coordinates_are_the_ode_bit_for_bit(published):
    noisy = run(local_sde(VP, grid(), MASK, published=published), separate, start(), noise=1).x
    quiet = run(local_sde(VP, grid(), 0 * MASK, published=published), separate, start(), noise=1).x
    assert torch.equal(noisy[:, 1], quiet[:, 1])
    assert (noisy[:, [0, 2]] - quiet[:, [0, 2]]).abs().min() > 1e-3
    ddim = run(get("ddim")(VP, grid()), separate, start()).x
    torch.testing.assert_close(quiet, ddim, rtol=EXACT, atol=EXACT)
    # the negative control: what knows of the others is moved by their noise
    noisy, quiet = (
        run(local_sde(VP, grid(), m, published=published), together, start(), noise=1).x
        for m in (MASK, 0 * MASK)
    )
    assert (noisy[:, 1] - quiet[:, 1]).abs().min() > 1e-4


def test_a_mask_of_ones_is_the_sde_and_the_published_form_is_ddim_with_noise():
    ones = np.ones(3)
    for eta in (0.3, 1.0, 2.0):
        whole = run(get("sde_dpmpp_1")(VP, grid(), eta=eta), together, start(), noise=1).x
        mine = run(local_sde(VP, grid(), ones, eta=eta), together, start(), noise=1).x
        torch.testing.assert_close(mine, whole, rtol=EXACT, atol=EXACT)
    from fokker.solvers.plan_algebra import to_prediction

    for eta in (0.3, 1.0):
        plan = to_prediction(get("ddim_eta")(VP, grid(), eta_ddim=eta), "data")
        whole = run(plan, together, start(), noise=1).x
        mine = run(
            local_sde(VP, grid(), ones, eta=eta, published=True), together, start(), noise=1
        )
        torch.testing.assert_close(mine.x, whole, rtol=EXACT, atol=EXACT)


@both
def test_the_two_forms_agree_where_the_mask_is_zero_or_one_only(published):
    del published
    a, b = (run(local_sde(VP, grid(), np.array([1.0, 0.0, 1.0]), published=p), together, start(),
                noise=1).x for p in (False, True))  # fmt: skip
    torch.testing.assert_close(a, b, rtol=EXACT, atol=EXACT)
    a, b = (
        run(local_sde(VP, grid(), MASK, published=p), separate, start(), noise=1).x
        for p in (False, True)
    )
    assert (a - b)[:, 2].abs().min() > 1e-3


COV = np.array([[1.0, 0.45, -0.2], [0.45, 0.3, 0.05], [-0.2, 0.05, 0.2]])


def covariance(plan: Plan, cov: Array) -> Array:
    """Exact covariance of the output for data N(0, cov), started from the exact marginal."""
    noises = [i for i, op in enumerate(plan.ops) if isinstance(op, Noise)]
    size = len(cov)
    s = grid()[0]
    root: Array = np.linalg.cholesky(s.alpha**2 * cov + s.sigma**2 * np.eye(size)).astype(float)
    width = size * (1 + len(noises))

    def place(k: int, block: Array) -> Array:
        out = np.zeros((size, width))
        out[:, k * size : (k + 1) * size] = block
        return out

    def denoise(_row: int, op: Eval, x: Array) -> Array:
        node = op.node
        total = node.alpha**2 * cov + node.sigma**2 * np.eye(size)
        return node.alpha * cov @ np.linalg.solve(total, x)

    def add(_row: int, weights: tuple, vectors: tuple) -> Array:
        return np.sum(
            [np.reshape(w, (-1, 1)) * v for w, v in zip(weights, vectors, strict=True)], 0
        )

    x = interpret(
        plan,
        inputs={"x": place(0, root)},
        evaluate=denoise,
        draw=lambda row, _op: place(1 + noises.index(row), np.eye(size)),
        add=add,
    )["x"]
    return x @ x.T


def misfit(steps: int, cov: Array, *, published: bool) -> Array:
    end = grid(steps)[-1]
    found = covariance(local_sde(VP, grid(steps), MASK, published=published), cov)
    return np.abs(found - end.alpha**2 * cov - end.sigma**2 * np.eye(3))


@both
def test_of_correlated_coordinates_the_covariance_is_right_to_first_order(published):
    errors = [misfit(n, COV, published=published).max() for n in (80, 160, 320)]
    for a, b in pairwise(errors):
        assert 0.85 < math.log2(a / b) < 1.15


@both
def test_of_independent_coordinates_each_is_sampled_as_if_it_were_alone(published):
    cov = np.diag(np.diag(COV))
    found = covariance(local_sde(VP, grid(), MASK, published=published), cov)
    assert np.abs(found - np.diag(np.diag(found))).max() < EXACT
    for k, eta in enumerate(MASK):
        if published:
            alone = get("ddim_eta")(VP, grid(), eta_ddim=float(eta))
        else:
            alone = get("sde_dpmpp_1")(VP, grid(), eta=float(eta))
        law = output_law(alone, Normal(np.zeros(1), cov[k : k + 1, k]))
        assert found[k, k] == pytest.approx(float(law.var[0]), rel=EXACT)


def test_a_drift_that_does_not_know_of_the_mask_is_noticed():
    """The negative control: noise inside of the mask, the drift of the ODE."""
    from fokker.solvers.ops import Lin

    plan = local_sde(VP, grid(160), MASK)
    quiet = local_sde(VP, grid(160), 0 * MASK)
    rows = []
    for i, op in enumerate(plan.ops):
        if isinstance(op, Lin):
            drift = dict(quiet.ops[i].terms)  # type: ignore[union-attr]
            rows.append(Lin(tuple((j, w if isinstance(plan.ops[j], Noise) else drift[j])
                                  for j, w in op.terms)))  # fmt: skip
        else:
            rows.append(op)
    wrong = covariance(Plan(tuple(rows), plan.outputs, plan.marks), COV)
    end = grid(160)[-1]
    right = end.alpha**2 * COV + end.sigma**2 * np.eye(3)
    assert np.abs(wrong - right).max() > 20 * misfit(160, COV, published=False).max()


def test_outside_of_the_window_no_noise_is_drawn():
    plan = local_sde(VP, grid(), MASK, window=(-1.0, 0.5))
    cells = [(op.a, op.b) for op in plan.ops if isinstance(op, Noise)]
    inside = [(s.lam, t.lam) for s, t in grid().steps() if -1.0 <= s.lam <= 0.5]
    assert cells == inside
    assert 0 < len(cells) < len(grid())


def test_a_mask_may_be_an_image_and_the_ends_are_steps_of_ddim():
    mask = np.zeros((4, 5))
    mask[1:3, 2:4] = 1.0
    x = torch.linspace(-1, 1, 40, dtype=torch.float64).reshape(2, 4, 5)
    plan = local_sde(VP, grid(5).with_zero(), mask, eta=0.7)
    out = run(plan, separate, x, noise=0).x
    assert torch.isfinite(out).all()
    assert plan.ops[plan.outputs["x"]].terms[0][1] == 1.0  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("mask", "options"),
    [
        ([1.0, -0.1], {}),
        ([1.0, 1.1], {}),
        ([math.nan], {}),
        ([], {}),
        ([1.0], {"eta": -1.0}),
        ([1.0], {"eta": math.inf}),
        ([1.0], {"eta": 1.5, "published": True}),
    ],
)
def test_a_mask_or_an_eta_beyond_its_range_is_refused(mask, options):
    with pytest.raises(InvalidPlanError, match=r"a local SDE needs a mask in \[0, 1\] and eta"):
        local_sde(VP, grid(), mask, **options)


# -- time travel ----------------------------------------------------------------------------------


@pytest.mark.parametrize("back", [1, 3, 5])
def test_a_wrong_start_is_forgotten_by_going_back_and_forth(back):
    """What is left of the start falls with every round, to below the error of the steps."""
    data = eigenbasis(problem("gaussian").law)
    nodes = uniform_lam(VP, -1.0, 2.0).grid(120)
    s, end = nodes[0], nodes[-1]
    right = end.alpha**2 * data.var + end.sigma**2
    wrong = Normal(s.alpha * data.mean + 1.0, 4.0 * (s.alpha**2 * data.var + s.sigma**2))
    kept, misses = [], []
    for rounds in (0, 1, 3, 9):
        law = output_law(time_travel(VP, nodes, rounds=rounds, back=back), data, wrong)
        kept.append(float(np.abs(law.response.start).max()))
        misses.append(float(np.abs(law.var / right - 1).max()))
    assert misses[0] > 2.9
    assert misses[-1] < 0.02
    assert kept[3] < 1e-3
    assert all(b < 0.5 * a for a, b in pairwise(kept))


def test_without_rounds_it_is_ddim():
    for nodes in (grid(), grid().with_zero()):
        made = run(time_travel(VP, nodes, rounds=0), together, start()).x
        same = run(get("ddim")(VP, nodes), together, start()).x
        assert torch.equal(made, same)


@pytest.mark.parametrize("rounds", [1, 2])
@pytest.mark.parametrize("process", [VP, EDM()], ids=["vp", "edm"])
def test_with_one_step_a_stretch_its_limit_is_the_sde_with_eta_the_number_of_rounds(
    rounds, process
):
    """What is left of the start on a Gaussian, against what that SDE leaves of it."""
    data, gaps = Normal(np.zeros(1), np.array([0.3])), []
    for steps in (200, 400, 800):
        nodes = uniform_lam(process, -1.5, 1.0).grid(steps)
        found = output_law(time_travel(process, nodes, rounds=rounds), data).response.start[0]
        exact = transition(data, nodes[0], nodes[-1], float(rounds)).gain[0]
        gaps.append(abs(found / exact - 1))
    assert gaps[0] < 0.1
    assert all(0.8 < math.log2(a / b) < 1.2 for a, b in pairwise(gaps))


def test_each_turn_has_its_own_noise_and_only_the_last_one_is_a_step():
    plan = time_travel(VP, grid(6), rounds=3, back=2)
    cells = [(op.a, op.b) for op in plan.ops if isinstance(op, Noise)]
    assert len(cells) == len(set(cells)) == 9
    assert [m.node for m in plan.marks] == list(grid(6).nodes[1:])
    assert plan.nfe == 6 * 4
    quiet = time_travel(VP, grid(6).with_zero(), rounds=3, back=2, window=(0.0, 9.0))
    assert 0 < sum(isinstance(op, Noise) for op in quiet.ops) < 9


@pytest.mark.parametrize("options", [{"rounds": -1}, {"back": 0}])
def test_a_turn_that_is_none_is_refused(options):
    with pytest.raises(InvalidPlanError, match="rounds >= 0 and back >= 1"):
        time_travel(VP, grid(), **options)
