"""A plan in leaf form gets short recurrences back, and stays the same plan."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fokker.solvers.adapters.compress import compress, leaf_rows, true_states
from fokker.solvers.errors import InvalidPlanError
from fokker.solvers.grids import wavy_lam
from fokker.solvers.plan import Eval, Input, Lin, Noise, Plan, Tape
from fokker.solvers.plan_algebra import canonical, distance
from fokker.solvers.registry import get
from fokker.solvers.schedules import VPLinear

VP = VPLinear()
FAMILIES = (
    "ddim", "ancestral", "ddim_eta", "dpmpp_2m", "dpmpp_3m", "unipc_2", "exp_ab3_noise", "lms",
    "deis_tab2", "edm_heun", "dpm_solver_3", "sde_dpmpp_2m", "bdia", "o_belm", "edm_churn",
)  # fmt: skip
TERMS = {"ddim": 2, "ancestral": 3, "dpmpp_2m": 3, "dpmpp_3m": 4, "sde_dpmpp_2m": 4, "edm_heun": 3}
STATES = {"ddim": 1, "ancestral": 1, "dpmpp_2m": 2, "dpmpp_3m": 3, "edm_heun": 2, "lms": 4}


def leaf_form(plan: Plan) -> Plan:
    """Every evaluated state and every output on all leaves."""
    weights, order = leaf_rows(plan)
    tape, new = Tape(), {}
    asked = {op.source for op in plan.ops if isinstance(op, Eval)} | set(plan.outputs.values())
    ends = {m.vector: m.node for m in plan.marks}
    for i, op in enumerate(plan.ops):
        if isinstance(op, Input):
            new[i] = tape.input(op.name, op.node, op.prediction)
        elif isinstance(op, Noise):
            new[i] = tape.noise(op.clock, op.a, op.b, op.kind)
        elif isinstance(op, Eval):
            new[i] = tape.eval(new[op.source], op.node, op.prediction, op.head)
        elif i in asked | ends.keys():
            terms = [(new[j], float(w)) for j, w in zip(order, weights[i], strict=True) if w]
            new[i] = tape.lin(*terms)
            if i in ends:
                tape.mark(new[i], ends[i])
    return tape.plan(**{name: new[j] for name, j in plan.outputs.items()})


def longest(plan: Plan) -> int:
    return max(len(op.terms) for op in plan.ops if isinstance(op, Lin))


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("to_zero", [False, True])
def test_a_compressed_plan_is_the_same_plan(name, to_zero):
    plan = get(name)(VP, wavy_lam(VP, -3.0, 2.0).grid(7, to_zero=to_zero))
    leaves = leaf_form(plan)
    scale = max(1.0, np.abs(canonical(leaves)).max())
    short = compress(leaves)
    assert distance(leaves, short) <= 1e-12 * scale
    assert distance(plan, short) <= 1e-12 * scale
    assert short.nfe == plan.nfe
    assert [m.node for m in short.marks] == [m.node for m in plan.marks]
    assert longest(short) <= longest(leaves)


@pytest.mark.parametrize("name", TERMS)
def test_rows_are_as_short_as_the_formula_of_the_sampler(name):
    for steps in (9, 18):
        plan = get(name)(VP, wavy_lam(VP, -3.0, 2.0).grid(steps))
        short = compress(leaf_form(plan))
        assert longest(short) == TERMS[name]
        assert short.peak_live <= plan.peak_live + 2


@pytest.mark.parametrize("name", STATES)
def test_the_rank_of_the_past_is_the_number_of_true_states(name):
    plan = get(name)(VP, wavy_lam(VP, -3.0, 2.0).grid(9))
    plan = replace(plan, outputs={"x": plan.outputs["x"]})  # a history for others is kept, too
    assert max(true_states(plan)) == STATES[name]
    assert true_states(leaf_form(plan)) == true_states(plan)
    assert len(true_states(plan)) == plan.nfe


def test_a_plan_without_recurrence_keeps_its_rows():
    """Weights without rhyme or reason have full rank."""
    rng, tape, grid = np.random.default_rng(0), Tape(), wavy_lam(VP, -3.0, 2.0).grid(8)
    leaves = [tape.input("x", grid[0])]
    for node in grid.nodes:
        v = tape.lin(*((j, float(rng.normal())) for j in leaves))
        leaves.append(tape.eval(v, node, "data"))
    plan = tape.plan(x=tape.lin(*((j, float(rng.normal())) for j in leaves)))
    short = compress(plan)
    assert distance(plan, short) <= 1e-12
    assert longest(short) == longest(plan) == 10
    assert max(true_states(plan)) >= 5


def test_equal_states_become_one_and_an_output_may_be_a_leaf():
    tape, grid = Tape(), wavy_lam(VP, -3.0, 2.0).grid(2)
    x = tape.input("x", grid[0])
    m = tape.eval(tape.lin((x, 1.0)), grid[0], "data")
    y = tape.lin((x, 0.5), (m, 0.5))
    n = tape.eval(tape.lin((y, 1.0)), grid[1], "data")
    plan = tape.plan(x=tape.lin((n, 1.0)))
    short = compress(plan)
    assert sum(isinstance(op, Lin) for op in short.ops) == 1
    assert distance(plan, short) == 0.0


def test_array_weights_are_refused():
    tape, grid = Tape(), wavy_lam(VP, -3.0, 2.0).grid(2)
    x = tape.input("x", grid[0])
    plan = tape.plan(x=tape.lin((x, np.ones(3))))
    with pytest.raises(InvalidPlanError, match="row 1 has an array"):
        compress(plan)
