"""Searches: spaces of plans, exact gradients to the grid, held-out gains, honest refusals."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fokker.solvers.errors import InvalidGridError, InvalidPlanError
from fokker.solvers.fitted.grid_gradient import descend, jacobian, linearised, softmax
from fokker.solvers.fitted.search import SearchError, Target, ranking_quality, search, target
from fokker.solvers.fitted.search_space import (
    Choice,
    GridSpace,
    UnifiedSpace,
    respaced,
    shares_of,
    unified,
)
from fokker.solvers.fitted.searched import fit_grid, fit_unified, searched_grid, searched_usf
from fokker.solvers.grids import grid_from_times, karras, power_t, uniform_lam, wavy_lam
from fokker.solvers.plan import Eval
from fokker.solvers.plan_algebra import canonical, distance
from fokker.solvers.registry import get
from fokker.solvers.run import run
from fokker.solvers.schedules import RectifiedFlow
from fokker.toy_models import problem

P = problem("mixture")
PROCESS, MODEL = P.process, P.model()
GRID = uniform_lam(PROCESS, P.lam_start, P.lam_end).grid(5)


def whole(count: int, seed: int = 0) -> Target:
    x = P.starts(count, seed)
    return target(MODEL, PROCESS, GRID, x)


TRAIN, TEST = whole(256), whole(512, seed=1)


def baselines(steps: int) -> dict[str, float]:
    """Errors of known samplers on known grids, on the held-out starts."""
    grids = {
        "lam": uniform_lam(PROCESS, -4.0, 3.0),
        "edm": karras(PROCESS, math.exp(4.0), math.exp(-3.0)),
        "time": power_t(PROCESS, float(PROCESS.t_of_lam(-4.0)), float(PROCESS.t_of_lam(3.0))),
    }
    return {
        f"{name} {kind}": TEST(get(name)(PROCESS, maps.grid(steps)))
        for name in ("dpmpp_2m", "unipc_2", "unipc_3")
        for kind, maps in grids.items()
    }


# -- spaces -----------------------------------------------------------------------------------


def test_shares_and_grids_are_two_spellings_of_one_thing():
    grid = wavy_lam(PROCESS, -3.0, 2.0).grid(6)
    for g in (grid, grid.with_zero()):
        again = respaced(PROCESS, g, [7.0 * s for s in shares_of(g)])
        assert [n.lam for n in again.nodes] == pytest.approx([n.lam for n in g.nodes], abs=1e-12)
        assert (again[0], again[-1]) == (g[0], g[-1])
    moved = respaced(PROCESS, grid, [1, 2, 3, 4, 5, 6])
    assert np.diff([n.lam for n in moved.nodes]) == pytest.approx(5.0 * np.arange(1, 7) / 21)


def test_shares_that_are_none_are_one_sentence():
    for bad in ([1.0] * 4, [1, 1, 0, 1, 1], [1, 1, math.nan, 1, 1]):
        with pytest.raises(InvalidGridError, match="need 5 positive shares, one for each finite"):
            respaced(PROCESS, GRID, bad)
    process = RectifiedFlow()
    with pytest.raises(InvalidGridError, match="only a grid with finite steps"):
        respaced(process, grid_from_times(process, [1.0, 0.5, 0.1]), [1.0, 1.0])


SAME = {
    "dpmpp_2m": Choice(),
    "ddim": Choice(nodes=()),
    "exp_ab2_data": Choice(midpoint=False),
    "exp_ab3_data": Choice(nodes=(1, 2), midpoint=False),
    "exp_ab3_noise": Choice(nodes=(1, 2), midpoint=False, prediction="noise"),
    "unipc_1": Choice(nodes=(), correct=True),
    "unipc_2": Choice(nodes=(1,), correct=True),
    "unipc_3": Choice(nodes=(1, 2), correct=True),
}


@pytest.mark.parametrize("name", SAME)
def test_known_samplers_are_points_of_the_unified_space(name: str):
    grid, x = wavy_lam(PROCESS, -2.0, 2.0).grid(7), P.starts(4)
    entry = get(name)
    plan = unified(grid, [SAME[name]] * 7)
    assert plan.nfe == 7
    want = run(entry(PROCESS, grid), P.model(entry.prediction), x).x
    torch.testing.assert_close(run(plan, MODEL, x).x, want, rtol=1e-11, atol=1e-11)
    if entry.prediction == "data":
        assert distance(plan, unified(grid, [Choice(nodes=(3,))] * 7)) > 1e-3


@given(st.integers(0, 10**6))
def test_every_genome_is_a_plan_of_equal_cost_that_keeps_constant_data(seed: int):
    space, rng = UnifiedSpace(PROCESS, GRID), np.random.default_rng(seed)
    genome = space.mutate(space.draw(rng), rng)
    plan = space.plan(genome)
    assert plan.nfe == sum(isinstance(op, Eval) for op in plan.ops) == 5
    assert len(space.encode(genome)) == len(space.encode(space.neutral()))
    start, end = GRID[0], GRID[-1]
    data = torch.tensor([[0.3, -0.7]], dtype=torch.float64)
    x = start.alpha * data + start.sigma
    got = run(plan, lambda x, _t: data.expand_as(x), x).x
    size = max(1.0, float(np.abs(canonical(plan)).max()))
    torch.testing.assert_close(got, end.alpha * data + end.sigma, rtol=0, atol=1e-10 * size)


def test_the_neutral_genome_is_the_known_sampler():
    known = get("dpmpp_2m")(PROCESS, GRID)
    free, fixed = UnifiedSpace(PROCESS, GRID), GridSpace(get("dpmpp_2m"), PROCESS, GRID)
    assert distance(free.plan(free.neutral()), known) < 1e-12
    assert distance(fixed.plan(fixed.neutral()), known) < 1e-12


def test_choices_that_cannot_be_are_one_sentence():
    with pytest.raises(InvalidPlanError, match="interpolates 'data' or 'noise', got 'flow'"):
        Choice(prediction="flow")
    with pytest.raises(InvalidPlanError, match=r"different numbers from 1 to 3, got \(4,\)"):
        Choice(nodes=(4,))
    with pytest.raises(InvalidPlanError, match="one choice for each of 5 steps, got 2"):
        unified(GRID, [Choice()] * 2)


# -- gradients --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ddim", "dpmpp_2m", "unipc_2", "edm_heun", "dpm_solver_2"])
def test_the_gradient_to_the_grid_is_that_of_differences(name: str):
    entry = get(name)
    grid = uniform_lam(PROCESS, -2.0, 2.0).grid(4)
    x = P.on(PROCESS).cold().starts(4)
    error = Target(P.model(entry.prediction), x, torch.zeros_like(x))

    def build(p: np.ndarray):
        return entry(PROCESS, respaced(PROCESS, grid, softmax(p).tolist()))

    at = np.array([0.3, -0.2, 0.1, 0.4])
    p = torch.tensor(at, requires_grad=True)
    plan, model = linearised(build, p, error.model, PROCESS)
    loss = run(plan, model, x, grad=True).x.square().mean()
    assert float(loss.detach()) == pytest.approx(error(build(at)) ** 2, rel=1e-12)
    loss.backward()
    steps = 1e-5 * np.eye(4)
    slopes = [(error(build(at + d)) ** 2 - error(build(at - d)) ** 2) / 2e-5 for d in steps]
    assert p.grad is not None
    np.testing.assert_allclose(p.grad.numpy(), slopes, rtol=2e-5, atol=1e-8)


def test_a_builder_whose_rows_change_is_refused():
    space = GridSpace(get("dpmpp_2m"), PROCESS, GRID)

    def build(p: np.ndarray):
        name = "ddim" if p[0] > 0 else "dpmpp_2m"
        return GridSpace(get(name), PROCESS, GRID).plan(space.neutral())

    with pytest.raises(InvalidPlanError, match="rows of the plan change with parameter 0"):
        jacobian(build, np.array([0.0, 1.0]))


@pytest.mark.parametrize(("name", "steps", "least"), [("ddim", 4, 0.3), ("dpmpp_2m", 4, 0.2)])
def test_searched_grids_gain_on_held_out_starts(name: str, steps: int, least: float):
    """Li et al. 2023, in small: by gradients and by evolution."""
    entry = get(name)
    grid = uniform_lam(PROCESS, P.lam_start, P.lam_end).grid(steps)
    space = GridSpace(entry, PROCESS, grid)
    plain = TEST(entry(PROCESS, grid))
    shares = descend(entry, PROCESS, grid, TRAIN, budget=25).shares
    by_gradient = TEST(space.plan(shares))
    found = search(space, TRAIN, budget=120, seed=0, strategy="evolution")
    assert by_gradient < (1 - least) * plain
    assert TEST(space.plan(found.genome)) < (1 - 0.8 * least) * plain
    first = respaced(PROCESS, grid, shares)[1].lam
    assert -1.0 < first < 0.0  # from -4: nothing is decided before


# -- searches ---------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_five_evaluations_are_spent_better_than_by_any_known_sampler(seed: int):
    """Liu et al. 2024, in small: at least 15 % on held-out starts, for every seed."""
    space = UnifiedSpace(PROCESS, GRID)
    found = search(space, TRAIN, budget=160, seed=seed, strategy="evolution")
    assert TEST(space.plan(found.genome)) < 0.85 * min(baselines(5).values())


def test_the_predictor_ranks_schedules_that_it_has_not_seen():
    space = UnifiedSpace(PROCESS, GRID)
    error = TRAIN.part(slice(0, 64))
    drawn = search(space, error, budget=300, seed=0, strategy="random")
    assert ranking_quality(space, drawn, train=200, seed=0) > 0.5
    errors = np.random.default_rng(0).permutation(drawn.errors)  # the negative control
    shuffled = replace(drawn, errors=tuple(errors.tolist()))
    assert abs(ranking_quality(space, shuffled, train=200, seed=0)) < 0.3


@pytest.mark.parametrize("strategy", ["random", "evolution", "predictor"])
def test_results_depend_on_the_seed_and_not_on_the_number_of_jobs(strategy: str):
    space = UnifiedSpace(PROCESS, GRID)
    error = TRAIN.part(slice(0, 32))

    def once(seed: int, jobs: int):
        return search(space, error, budget=29, seed=seed, strategy=strategy, jobs=jobs)

    one, two, other = once(0, 1), once(0, 2), once(1, 1)
    assert (one.genomes, one.errors) == (two.genomes, two.errors)
    assert one.errors[1:] != other.errors[1:]
    assert len(one.errors) == 29
    assert one.error == min(one.errors) == one.best_so_far[-1]
    assert one.genomes[0] == space.neutral()


def test_a_plan_that_overflows_has_an_infinite_error():
    plan = unified(GRID, None)
    assert Target(lambda x, _t: x * 1e200, TRAIN.starts, TRAIN.truth)(plan) == math.inf


def test_the_fine_run_that_stands_for_the_truth_is_close_to_the_exact_flow():
    x = P.starts(8)
    miss = target(MODEL, PROCESS, GRID, x).truth - P.endpoint(x)
    assert float(miss.abs().max()) < 1e-4


# -- fits -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["searched_grid", "searched_usf"])
def test_a_fit_gives_options_that_beat_the_unfitted_sampler_elsewhere(name: str):
    entry = get(name)
    assert entry.fit is not None
    options = entry.fit(MODEL, PROCESS, GRID, P.starts(128), budget=60 if "usf" in name else 20)
    fitted, plain = entry(PROCESS, GRID, **options), entry(PROCESS, GRID)
    assert fitted.nfe == plain.nfe == 5
    assert TEST(fitted) < 0.9 * TEST(plain)
    zero = entry(PROCESS, GRID.with_zero(), **({"shares": options["shares"]}))
    assert torch.isfinite(run(zero, MODEL, P.starts(4)).x).all()


def test_a_grid_is_fitted_by_evolution_too():
    options = fit_grid(MODEL, PROCESS, GRID, P.starts(64), method="evolution", budget=150)
    assert TEST(searched_grid(PROCESS, GRID, **options)) < 0.9 * TEST(searched_grid(PROCESS, GRID))


def test_a_fit_that_gains_nothing_elsewhere_is_not_kept():
    one = torch.tensor([[0.2, -0.4]], dtype=torch.float64)

    def point(x: torch.Tensor, _t: float) -> torch.Tensor:
        return one.expand_as(x) + 0.0 * x

    for fit in (fit_grid, fit_unified):
        found = fit(point, PROCESS, GRID, P.starts(32), budget=3)
        plan = (searched_grid if fit is fit_grid else searched_usf)(PROCESS, GRID, **found)
        assert Target(point, TEST.starts, one + 0 * TEST.starts)(plan) < 0.2


def test_searches_for_nothing_are_one_sentence():
    space, x = UnifiedSpace(PROCESS, GRID), P.starts(32)
    with pytest.raises(SearchError, match=r"budget, parents, .* at least 1, got 0, 8, 8 and 1"):
        search(space, TRAIN, budget=0, seed=0)
    with pytest.raises(SearchError, match=r"strategy must be one of .*, got 'luck'"):
        search(space, TRAIN, budget=5, seed=0, strategy="luck")
    with pytest.raises(SearchError, match="at least 8 starts to be judged on, got 7"):
        target(MODEL, PROCESS, GRID, x[:7])
    found = search(space, TRAIN.part(slice(0, 8)), budget=5, seed=0)
    with pytest.raises(SearchError, match="need 2 <= train <= 3 trials, got 4"):
        ranking_quality(space, found, train=4, seed=0)
    for fit in (fit_grid, fit_unified):
        with pytest.raises(SearchError, match="budget of at least 1, got 0"):
            fit(MODEL, PROCESS, GRID, x, budget=0)
        with pytest.raises(SearchError, match=r"a fit needs at least 32 starts, .* got 31"):
            fit(MODEL, PROCESS, GRID, x[:31])
    with pytest.raises(SearchError, match=r"method must be one of .*, got 'newton'"):
        fit_grid(MODEL, PROCESS, GRID, x, method="newton")
    with pytest.raises(SearchError, match="budget of at least 1, got 0"):
        descend(get("ddim"), PROCESS, GRID, TRAIN, budget=0)
    with pytest.raises(InvalidPlanError, match="choices must be Choice objects"):
        searched_usf(PROCESS, GRID, choices=["2m"] * 5)  # pyright: ignore[reportArgumentType]
