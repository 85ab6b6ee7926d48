"""Rooted trees: tables read back from plans, and the order they prove."""

from __future__ import annotations

import numpy as np
import pytest

from fokker.analysis.trees import butcher_table, tree_order, tree_residuals
from fokker.solvers.errors import AnalysisError
from fokker.solvers.grids import Grid, grid_from_lams
from fokker.solvers.plan import Eval, Plan
from fokker.solvers.process import Process
from fokker.solvers.quadrature import phi
from fokker.solvers.registry import get, samplers
from fokker.solvers.samplers.onestep import (
    EULER,
    HEUN,
    KUTTA3,
    MIDPOINT,
    RK4,
    Tableau,
    exp_rk_row,
    exp_two_stage,
    one_step,
    rk_row,
)
from fokker.solvers.schedules import EDM, RectifiedFlow, VPLinear
from hand_made import MidpointOnTheGrid

VP = VPLinear()
HEUN3 = Tableau((0.0, 1 / 3, 2 / 3), ((), (1 / 3,), (0.0, 2 / 3)), (1 / 4, 0.0, 3 / 4))
TABLES = [(EULER, 1), (MIDPOINT, 2), (HEUN, 2), (KUTTA3, 3), (HEUN3, 3), (RK4, 4)]


def runge_kutta(tableau: Tableau, clock: str):
    def build(process: Process, grid: Grid) -> Plan:
        return one_step(grid, lambda tape, s, t, x: rk_row(tape, process, tableau, s, t, x, clock))

    return build


def exponential(tableau, prediction: str):
    def build(process: Process, grid: Grid) -> Plan:
        return one_step(
            grid, lambda tape, s, t, x: exp_rk_row(tape, process, tableau, s, t, x, prediction)
        )

    return build


@pytest.mark.parametrize("clock", ["rho", "nu"])
@pytest.mark.parametrize(("tableau", "order"), TABLES)
@pytest.mark.parametrize(
    "process", [VP, EDM(80.0), RectifiedFlow()], ids=lambda p: type(p).__name__
)
def test_a_classical_table_is_read_back_from_its_plan(tableau, order, clock, process):
    grid = grid_from_lams(process, [-0.3, 0.9])
    found = butcher_table(runge_kutta(tableau, clock)(process, grid))
    assert found.clock == clock
    assert found.defect < 1e-14
    for i, row in enumerate(tableau.a):
        np.testing.assert_allclose(found.a[i, : len(row)], row, atol=1e-13)
    np.testing.assert_allclose(found.b, tableau.b, atol=1e-13)
    np.testing.assert_allclose(found.c, tableau.c, atol=1e-13)
    for q, residual in tree_residuals(found).values():
        if q <= order:
            assert abs(residual) < 1e-13
    assert tree_order(runge_kutta(tableau, clock)) == order


@pytest.mark.parametrize(
    ("name", "order"),
    [
        ("ddim", 1),
        ("dpm_solver_1", 1),
        ("dpm_solver_2", 2),
        ("dpm_solver_3", 3),
        ("dpmpp_2s", 2),
        ("exp_rk2_data", 2),
        ("exp_rk3_data", 3),
        ("exp_rk4_data", 4),
        ("rho_midpoint", 2),
        ("edm_heun", 2),
        ("rho_kutta3", 3),
        ("rho_rk4", 4),
    ],
)
@pytest.mark.parametrize("process", [VP, EDM(80.0)], ids=lambda p: type(p).__name__)
def test_the_trees_prove_the_order_of_registered_one_step_samplers(name, order, process):
    assert tree_order(get(name), process=process) == order


def test_every_sampler_the_trees_apply_to_has_the_order_it_declares():
    proved = 0
    for entry in samplers("plan"):
        try:
            found = tree_order(entry)
        except AnalysisError:
            continue
        assert found == min(4, entry.order or 0), entry.name
        proved += 1
    assert proved >= 12


@pytest.mark.parametrize(
    ("planted", "order"),
    [
        (Tableau((0.0, 1 / 2), ((), (1 / 2,)), (0.01, 0.99)), 1),
        (Tableau((0.0, 1.0), ((), (1.0,)), (0.5, 0.51)), 0),
        (Tableau((0.0, 1 / 2, 1.0), ((), (1 / 2,), (-1.01, 2.01)), KUTTA3.b), 2),
        (Tableau((0.0, 1 / 2), ((), (0.49,)), (0.0, 1.0)), 0),  # the row does not sum to its c
        (Tableau(RK4.c, ((), (0.5,), (0.01, 0.49), (0.0, 0.0, 1.0)), RK4.b), 2),
    ],
    ids=["slope", "sum", "third tree", "row sum", "fourth"],
)
def test_a_planted_coefficient_lowers_the_order(planted, order):
    assert tree_order(runge_kutta(planted, "rho")) == order


def test_planted_mistakes_in_exponential_tables_lower_the_order():
    def wrong_slope(z: float):
        p = phi(1, z)
        return (0.0, 0.5), ((), (0.5 * phi(1, z / 2),)), (p - 1.02 * p, 1.02 * p)

    def wrong_phi(z: float):  # DPM-Solver-3 with the third stage's slope forgotten
        c2, c3 = 1 / 3, 2 / 3
        b3 = phi(2, z) / c3
        rows = ((), (c2 * phi(1, c2 * z),), (c3 * phi(1, c3 * z), 0.0))
        return (0.0, c2, c3), rows, (phi(1, z) - b3, 0.0, b3)

    assert tree_order(exponential(exp_two_stage(0.5), "data")) == 2
    for prediction in ("data", "noise"):
        assert tree_order(exponential(wrong_slope, prediction)) == 1
        assert tree_order(exponential(wrong_phi, prediction)) == 2


def test_an_evaluation_at_a_shifted_time_is_no_consistent_method():
    def shifted(process: Process, grid: Grid) -> Plan:
        plan = runge_kutta(MIDPOINT, "rho")(process, grid)
        ops = [
            Eval(op.source, process.node_at_lam(op.node.lam + 0.05), op.prediction)
            if isinstance(op, Eval)
            else op
            for op in plan.ops
        ]
        return Plan(tuple(ops), plan.outputs, plan.marks)

    assert tree_order(shifted) == 0


def test_stages_may_be_nodes_of_the_grid():
    assert tree_order(MidpointOnTheGrid()) == 2


def test_multistep_and_stochastic_samplers_have_no_trees():
    for name in ("dpmpp_2m", "unipc_1", "deis_rhoab2"):
        with pytest.raises(AnalysisError, match="one-step methods"):
            tree_order(get(name))
    with pytest.raises(AnalysisError, match="without noise"):
        tree_order(get("ancestral"))
    plan = get("dpmpp_2m")(VP, grid_from_lams(VP, [0.0, 0.3]), history=[VP.node_at_lam(-0.3)])
    with pytest.raises(AnalysisError, match="without history"):
        butcher_table(plan)
