"""What a plan costs and hands over is what its sampler declares.

About plans; of other kinds only the declared number of evaluations, which their runs report.
"""

from __future__ import annotations

import inspect

import pytest

from fokker.solvers.adapters.blackbox import run_blackbox
from fokker.solvers.errors import InvalidPlanError
from fokker.solvers.plan import Eval, Input, Lin, Noise
from fokker.solvers.registry import get, samplers
from laws.zoo import (
    GRIDS,
    PLANS,
    PROCESSES,
    bimodal_model,
    each,
    grid_map,
    grid_of,
    starts,
    steps_of,
    variants,
    warm,
)

STEPS = range(1, 13)


@each()
@pytest.mark.parametrize("kind", GRIDS)
def test_declared_evaluations_are_those_of_the_plan(entry, kind):
    for steps in STEPS:
        grid = grid_of(PROCESSES["vp"], steps, kind)
        if steps % entry.multiple:
            with pytest.raises(
                InvalidPlanError, match=f"divisible by {entry.multiple}, got {steps}"
            ):
                entry(PROCESSES["vp"], grid)
            continue
        assert entry(PROCESSES["vp"], grid).nfe == entry.nfe(steps), steps
        # the step to sigma 0 never asks for more than a step elsewhere
        last = entry.nfe(steps + entry.multiple)
        if entry.multiple == 1:
            assert entry.nfe(steps) < entry(PROCESSES["vp"], grid.with_zero()).nfe <= last


@each([e for e in samplers("blackbox") if e.nfe(8) > 0])
def test_declared_evaluations_of_a_black_box_are_those_of_its_run(entry):
    process = PROCESSES["vp"]
    for steps in (1, 2, 3, 7):
        grid = grid_of(process, steps_of(entry, steps))
        model = bimodal_model(process, entry.prediction)
        result = run_blackbox(entry, model, process, grid, starts(2), noise=0)
        assert result.nfe == entry.nfe(len(grid)), steps


@each()
def test_evaluations_ask_for_the_declared_prediction(entry):
    for grid in (g := grid_of(PROCESSES["vp"], steps_of(entry, 6)), g.with_zero()):
        if len(grid) % entry.multiple:
            continue
        asked = {op.prediction for op in entry(PROCESSES["vp"], grid).ops if isinstance(op, Eval)}
        assert asked == {entry.prediction}


@each()
def test_no_evaluation_is_made_at_sigma_zero_or_repeated(entry):
    steps = steps_of(entry, 5)
    grid = grid_of(PROCESSES["flow"], steps).with_zero()
    plan = entry(PROCESSES["flow"], grid.part(len(grid) - steps, len(grid)))
    evals = [op for op in plan.ops if isinstance(op, Eval)]
    assert all(op.node.sigma > 0 for op in evals)
    assert len(evals) == plan.nfe


@each()
def test_a_cold_plan_asks_for_its_start_alone_a_warm_one_for_the_declared_history(entry):
    process, steps = PROCESSES["vp"], steps_of(entry, 8)
    maps = grid_map(process)
    assert list(entry(process, maps.grid(steps)).inputs) == ["x"]
    plan = warm(entry, maps, steps)
    expected = {"x": None} | {f"m-{j}": entry.prediction for j in range(1, 1 + entry.history)}
    found = {op.name: op.prediction for op in plan.ops if isinstance(op, Input)}
    assert found == expected
    assert plan.nfe <= entry.nfe(steps)
    nodes = {op.name: op.node.lam for op in plan.ops if isinstance(op, Input)}
    for j, node in enumerate(maps.history(steps, entry.history), 1):
        assert nodes[f"m-{j}"] == node.lam < maps.grid(steps)[0].lam


@each([e for e in PLANS if e.history])
def test_more_history_than_declared_is_not_used_and_every_declared_node_is(entry):
    process, steps = PROCESSES["vp"], steps_of(entry, 12)
    maps = grid_map(process)
    plan = warm(entry, maps, steps)
    more = entry(process, maps.grid(steps), history=maps.history(steps, entry.history + 2))
    assert more == plan
    used = {j for op in plan.ops if isinstance(op, Lin) for j, _ in op.terms}
    assert {i for i, op in enumerate(plan.ops) if isinstance(op, Input)} <= used


@each([e for e in PLANS if not e.history])
def test_a_sampler_that_declares_no_history_takes_none(entry):
    parameters = inspect.signature(entry.build).parameters
    if "history" in parameters:  # accepted for uniformity, and of no effect
        process, maps = PROCESSES["vp"], grid_map(PROCESSES["vp"])
        steps = steps_of(entry, 3)
        grid = maps.grid(steps)
        assert entry(process, grid, history=maps.history(steps, 2)) == entry(process, grid)


@each()
def test_each_step_is_marked_at_its_node_and_the_last_mark_is_the_sample(entry):
    for steps in (1, 2, 7):
        for grid in (g := grid_of(PROCESSES["edm"], steps_of(entry, steps)), g.with_zero()):
            if len(grid) % entry.multiple:
                continue
            for options in variants(entry):
                plan = entry(PROCESSES["edm"], grid, **options)
                assert [m.step for m in plan.marks] == list(range(1, len(grid) + 1))
                assert [m.node for m in plan.marks] == list(grid.nodes[1:])
                assert plan.marks[-1].vector == plan.outputs["x"]
                vectors = [m.vector for m in plan.marks]
                assert vectors == sorted(set(vectors))


@each()
def test_outputs_for_a_following_plan_are_model_outputs_newest_first(entry):
    plan = entry(PROCESSES["vp"], grid_of(PROCESSES["vp"], steps_of(entry, 8)))
    names = [n for n in plan.outputs if n != "x"]
    assert names == [f"m-{j}" for j in range(1, 1 + len(names))]
    assert len(names) >= entry.history
    lams = []
    for name in names:
        op = plan.ops[plan.outputs[name]]
        assert isinstance(op, Eval)
        lams.append(op.node.lam)
    assert lams == sorted(lams, reverse=True)


@each([e for e in PLANS if e.stochastic])
def test_the_noises_of_an_sde_are_stretches_of_its_path_without_gaps(entry):
    process = PROCESSES["vp"]
    grid = grid_of(process, steps_of(entry, 6))
    plan = entry(process, grid)
    cells = [(op.a, op.b) for op in plan.ops if isinstance(op, Noise)]
    cells = list(dict.fromkeys(cells))  # W and H of a cell are one stretch of path
    ends = [s.t if "t" in _clocks(plan) else s.lam for s in grid.nodes]
    if entry.sde_eta is None:  # it may leave steps without noise
        assert set(ends) & set(sum(cells, ()))
        return
    assert [a for a, _ in cells] == [ends[0], *(b for _, b in cells[:-1])]
    assert cells[-1][1] == ends[-1]
    assert set(ends) <= {a for a, _ in cells} | {ends[-1]}
    if plan.nfe == len(grid):  # no stage inside the step could use a part of it
        assert len(cells) == len(grid)


@each([e for e in PLANS if e.stochastic])
def test_one_noise_a_step_claims_neither_weak_order_3_nor_strong_order_above_1(entry):
    """The increment alone says too little of a path, whatever the weights; no area, no more."""
    plan = entry(PROCESSES["vp"], grid_of(PROCESSES["vp"], steps_of(entry, 6)))
    if all(op.kind == "W" for op in plan.ops if isinstance(op, Noise)):
        assert max(entry.weak, entry.weak_cold) <= 2
        assert (entry.strong or 0) <= 1


def test_some_samplers_draw_the_area_of_the_path_and_claim_more():
    beyond = [e.name for e in PLANS if (e.weak or 0) > 2 or (e.strong or 0) > 1]
    assert beyond


def _clocks(plan) -> set[str]:
    return {op.clock for op in plan.ops if isinstance(op, Noise)}


@each([e for e in PLANS if not e.stochastic])
def test_a_deterministic_sampler_draws_nothing(entry):
    plan = entry(PROCESSES["vp"], grid_of(PROCESSES["vp"], steps_of(entry, 6)))
    assert not _clocks(plan)


# states, outputs of the model and the new state alive at once; k outputs in the row give k + 2
PEAKS = {
    "ddim": 3,
    "dpmpp_2m": 4,
    "dpmpp_3m": 5,
    "exp_ab5_data": 7,
    "lms": 6,
    "sde_dpmpp_2m": 5,
    "unipc_2": 5,
    "unipc_3": 6,
    "edm_heun": 4,
    "rho_rk4": 6,
}


@pytest.mark.parametrize("name", PEAKS)
def test_memory_is_what_the_row_needs(name):
    plan = get(name)(PROCESSES["vp"], grid_of(PROCESSES["vp"], 12))
    assert plan.peak_live == PEAKS[name]


@each()
def test_memory_does_not_grow_with_the_number_of_steps(entry):
    peaks = [
        entry(PROCESSES["vp"], grid_of(PROCESSES["vp"], steps_of(entry, n))).peak_live
        for n in (12, 24, 48)
    ]
    assert peaks[0] == peaks[1] == peaks[2] <= 10
