"""Reversible samplers are the published formulas, on every grid, and their weights decide all."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from fokker.analysis.order_rows import order_grid, order_problem
from fokker.analysis.paired import observed_order
from fokker.solvers.errors import InvalidPlanError
from fokker.solvers.grids import Grid, grid_from_sigmas, uniform_lam, wavy_lam
from fokker.solvers.plan import Plan, Tape, interpret
from fokker.solvers.plan_algebra import distance
from fokker.solvers.process import Node, Process
from fokker.solvers.registry import get
from fokker.solvers.samplers.reversible import FRAMES, inverse_growth, leapfrog_weights
from fokker.solvers.schedules import EDM, RectifiedFlow, VPLinear
from plans import leapfrog
from tolerances import EXACT

VP = VPLinear()
PROCESSES = {"vp": VP, "edm": EDM(), "flow": RectifiedFlow()}
on_processes = pytest.mark.parametrize("process", PROCESSES.values(), ids=PROCESSES)


def wavy(process: Process = VP, steps: int = 6) -> Grid:
    return wavy_lam(process, -2.0, 2.0).grid(steps)


# -- leapfrogs ------------------------------------------------------------------------------------


@on_processes
@pytest.mark.parametrize("frame", FRAMES)
def test_without_the_oldest_state_bdia_is_ddim(process, frame):
    for grid in (wavy(process), wavy(process).with_zero()):
        ddim = get("deis_rhoab1")(process, grid)
        plain = Plan(ddim.ops, {"x": ddim.outputs["x"]}, ddim.marks)
        assert distance(get("bdia")(process, grid, g0=0.0, frame=frame), plain) < EXACT
        assert distance(get("bdia")(process, grid, g0=0.1, frame=frame), plain) > 1e-3


@on_processes
def test_with_all_of_the_oldest_state_bdia_is_the_leapfrog_in_rho(process):
    grid = wavy(process)
    pairs = get("bdia")(process, grid.part(1, 6), g0=1.0, frame="y", carry=True, resume=grid[0])
    assert distance(pairs, leapfrog(grid)) < EXACT


def bdia_by_hand(grid: Grid, g0: float) -> Plan:
    """``x_t = x_s + ddim(s -> t) + g0 [x_p - x_s - ddim(s -> p)]`` as printed, in x."""
    tape = Tape()
    old, x = None, tape.input("x", grid[0])
    nodes = grid.nodes
    for i, (s, t) in enumerate(grid.steps()):
        eps = tape.eval(x, s, "noise")

        def increment(to: Node, s: Node = s, x: int = x, eps: int = eps) -> list:
            ratio = to.alpha / s.alpha
            return [(x, ratio - 1.0), (eps, to.sigma - ratio * s.sigma)]

        terms = [(x, 1.0), *increment(t)]
        if old is not None:
            terms += [(old, g0), (x, -g0)]
            terms += [(j, -g0 * w) for j, w in increment(nodes[i - 1])]
        old, x = x, tape.mark(tape.lin(*terms), t)
    return tape.plan(x=x)


@on_processes
@pytest.mark.parametrize("g0", [0.3, 0.9, 1.0])
def test_bdia_in_x_is_the_printed_formula(process, g0):
    grid = wavy(process)
    assert distance(get("bdia")(process, grid, g0=g0, frame="x"), bdia_by_hand(grid, g0)) < EXACT


def test_the_unit_of_the_bracket_does_not_matter_where_it_is_constant():
    grid = wavy(EDM())
    a, b = (get("bdia")(EDM(), grid, g0=0.8, frame=frame) for frame in ("x", "y"))
    assert distance(a, b) < EXACT
    assert distance(a, get("bdia")(EDM(), grid, g0=0.8, frame="z")) > 1e-2


@on_processes
def test_o_belm_is_the_printed_formula(process):
    """Wang et al. 2024: three terms with ``h_i`` and ``h_{i+1}``, the steps in rho."""
    grid = wavy(process)
    tape = Tape()
    old, x = tape.input("x", grid[0]), 0
    x = old
    nodes = grid.nodes
    for i, (s, t) in enumerate(grid.steps()):
        eps, h = tape.eval(x, s, "noise"), s.rho - t.rho
        if i == 0:
            new = tape.lin((x, t.alpha / s.alpha), (eps, -t.alpha * h))
        else:
            p = nodes[i - 1]
            k = p.rho - s.rho
            new = tape.lin(
                (old, h**2 / k**2 * t.alpha / p.alpha),
                (x, (k**2 - h**2) / k**2 * t.alpha / s.alpha),
                (eps, -h * (h + k) / k * t.alpha),
            )
        old, x = x, tape.mark(new, t)
    assert distance(get("o_belm")(process, grid), tape.plan(x=x)) < EXACT


def test_on_equal_steps_in_lam_bdia_in_z_is_o_belm_and_on_others_it_is_not():
    even = uniform_lam(VP, -2.0, 2.0).grid(6)
    assert distance(get("bdia")(VP, even), get("o_belm")(VP, even)) < EXACT
    assert distance(get("bdia")(VP, wavy()), get("o_belm")(VP, wavy())) > 1e-2


def _one_leapfrog_step(name: str, **options) -> float:
    """Error of one step of uneven length where ``eps = rho``, hence ``y = rho^2/2 + c``."""
    grid = grid_from_sigmas(EDM(), [2.0, 1.5, 1.2])
    plan = get(name)(EDM(), grid.part(1, 2), carry=True, resume=grid[0], **options)
    out = interpret(
        plan,
        inputs={"x-1": 2.0**2 / 2, "x": 1.5**2 / 2},
        evaluate=lambda _row, op, _x: op.node.rho,
        draw=lambda *_: 0.0,
    )
    return abs(out["x"] - 1.2**2 / 2)


def test_o_belm_is_of_second_order_on_any_grid_and_bdia_is_not():
    assert _one_leapfrog_step("o_belm") < 1e-15
    for frame in FRAMES:
        assert _one_leapfrog_step("bdia", frame=frame) > 1e-3
    h, k = 0.3, 0.5  # (h^2 - G k^2)/2
    assert _one_leapfrog_step("bdia", frame="y") == pytest.approx((k**2 - h**2) / 2, rel=1e-12)


@pytest.mark.parametrize(
    ("options", "order"),
    [
        ({"g0": 0.5}, 1),
        ({"g0": 0.9, "frame": "x"}, 1),
        ({"g0": 1.0, "frame": "x"}, 2),
        ({"g0": 1.0, "frame": "y"}, 2),
    ],
)
def test_only_the_full_weight_keeps_the_second_order(options, order):
    entry = dataclasses.replace(get("bdia"), options=options)
    problem = order_problem("product")
    grids = order_grid(problem.process, "wavy-lam")
    assert observed_order(entry, problem, grids, warm=False, claim=order).verdict(order) == "met"
    if order == 1:
        assert observed_order(entry, problem, grids, warm=False, claim=2).verdict(2) == "not met"


def test_the_growth_of_the_inverse_is_the_product_of_the_inverse_weights():
    grid = uniform_lam(EDM(), -2.0, 2.0).grid(9)
    assert inverse_growth(leapfrog_weights(grid, "y", 0.5)) == pytest.approx(2.0**8)
    assert inverse_growth(leapfrog_weights(grid, "y", 0.0)) == math.inf
    shrink = math.exp(-4.0 / 9)  # of a step in rho to the next, all of them the same
    found = leapfrog_weights(grid, "optimal")
    np.testing.assert_allclose(found, shrink**2, rtol=1e-12)
    np.testing.assert_allclose(leapfrog_weights(grid, "z"), found, rtol=1e-12)


@pytest.mark.parametrize(("frame", "factor"), [("y", 10.0), ("z", 0.02)])
def test_where_the_flow_contracts_the_leapfrog_in_y_spreads_an_error_and_in_z_it_does_not(
    frame, factor
):
    """A wrong second state on ``eps = k x``: what the flow shrinks, the second root grows by."""
    process = EDM()
    grid = uniform_lam(process, -3.0, 2.0).grid(200)
    plan = get("bdia")(process, grid.part(1, 200), frame=frame, carry=True, resume=grid[0])
    spread = interpret(
        plan,
        inputs={"x": 0.0, "x-1": 1.0},
        evaluate=lambda _row, op, x: x * op.node.sigma / (0.25 + op.node.sigma**2),
        draw=lambda *_: 0.0,
    )["x"]
    shrink = math.sqrt((0.25 + grid[0].sigma ** 2) / (0.25 + grid[-1].sigma ** 2))
    assert shrink > 38
    assert abs(spread) > factor if factor > 1 else abs(spread) < factor


# -- twins ----------------------------------------------------------------------------------------


def test_reversible_heun_is_the_printed_recursion_with_one_evaluation_a_step():
    grid = wavy()

    def model(x: torch.Tensor, t: float) -> torch.Tensor:
        return torch.tanh(1.3 * x) * (0.5 + t)

    from fokker.solvers.run import run

    x = torch.linspace(-2, 2, 6, dtype=torch.float64).reshape(2, 3)
    z = w = x / grid[0].sigma
    d = model(w * grid[0].sigma, grid[0].t)
    for s, t in grid.steps():
        k = t.nu - s.nu
        w = 2 * z - w + k * d
        new = model(w * t.sigma, t.t)
        z, d = z + k * (d + new) / 2, new
    plan = get("reversible_heun")(VP, grid, carry=True)
    found = run(plan, model, x).outputs
    torch.testing.assert_close(found["x"], z * grid[-1].sigma, rtol=EXACT, atol=EXACT)
    torch.testing.assert_close(found["twin"], w * grid[-1].sigma, rtol=EXACT, atol=EXACT)
    assert plan.nfe == len(grid) + 1


def test_two_stream_is_the_leapfrog_of_two_copies_in_nu():
    grid = wavy()

    def model(x: float, node: Node) -> float:
        return math.tanh(1.3 * x) * (0.5 + node.t)

    u = v = 0.7 / grid[0].sigma
    for s, t in grid.steps():
        middle = VP.node_at_lam(math.log((s.nu + t.nu) / 2))
        half = (t.nu - s.nu) / 2
        u += half * model(v * s.sigma, s)
        v += 2 * half * model(u * middle.sigma, middle)
        u += half * model(v * t.sigma, t)
    plan = get("two_stream")(VP, grid, carry=True)
    found = interpret(
        plan,
        inputs={"x": 0.7},
        evaluate=lambda _row, op, x: model(x, op.node),
        draw=lambda *_: 0.0,
    )
    assert found["x"] == pytest.approx(u * grid[-1].sigma, rel=EXACT)
    assert found["twin"] == pytest.approx(v * grid[-1].sigma, rel=EXACT)


# -- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize("g0", [-0.1, 1.1, math.nan])
def test_a_weight_beyond_its_range_is_refused(g0):
    with pytest.raises(InvalidPlanError, match=rf"needs g0 in \[0, 1\].*got g0={g0}"):
        get("bdia")(VP, wavy(), g0=g0)


def test_an_unknown_frame_is_refused():
    with pytest.raises(InvalidPlanError, match="frame of BDIA must be 'x', 'y' or 'z', got 'rho'"):
        get("bdia")(VP, wavy(), frame="rho")
