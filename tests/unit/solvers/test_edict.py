"""EDICT: the printed steps, an exact way back, and what turns, levels and the mixing are for."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from fokker.analysis.order_rows import order_grid, order_problem
from fokker.analysis.paired import observed_order
from fokker.solvers.editing.inversion import invert_and_regenerate, round_trip
from fokker.solvers.errors import InvalidPlanError
from fokker.solvers.grids import Grid, uniform_lam, wavy_lam
from fokker.solvers.plan import interpret
from fokker.solvers.process import Node
from fokker.solvers.registry import get
from fokker.solvers.schedules import EDM, RectifiedFlow, VPLinear
from fokker.toy_models.problems import problem

VP = VPLinear()
MIXTURE = problem("mixture")


def curved(x: float, node: Node) -> float:
    return math.tanh(1.3 * x) * (0.5 + node.t)


def by_hand(grid: Grid, x: float, p: float, *, turns: bool, published: bool) -> tuple:
    """``a_t``, ``b_t`` and the mixing as printed, in x; ``x`` is pushed by what ``y`` says."""
    y = x
    for i, (s, t) in enumerate(grid.steps()):
        a, own = t.alpha / s.alpha, s if published else t
        b = t.sigma - a * s.sigma
        if turns and i % 2:
            y = a * y + b * curved(x, s)
            x = a * x + b * curved(y, own)
        else:
            x = a * x + b * curved(y, s)
            y = a * y + b * curved(x, own)
        x = p * x + (1 - p) * y
        y = p * y + (1 - p) * x
    return x, y


@pytest.mark.parametrize("process", [VP, EDM(), RectifiedFlow()], ids=["vp", "edm", "flow"])
@pytest.mark.parametrize("turns", [True, False])
@pytest.mark.parametrize("published", [True, False])
def test_it_is_the_printed_recursion_but_for_the_level_of_the_second_question(
    process, turns, published
):
    grid = wavy_lam(process, -2.0, 2.0).grid(6)
    plan = get("edict")(
        process, grid, mixing=0.93, turns=turns, published=published, carry=True
    )  # fmt: skip
    found = interpret(
        plan,
        inputs={"x": 0.7},
        evaluate=lambda _row, op, x: curved(x, op.node),
        draw=lambda *_: 0.0,
    )
    want = by_hand(grid, 0.7, 0.93, turns=turns, published=published)
    assert (found["x"], found["twin"]) == pytest.approx(want, rel=1e-12)
    assert plan.nfe == 12


@pytest.mark.parametrize("published", [False, True])
@pytest.mark.parametrize("steps", [2, 10, 40])
def test_the_pair_goes_back_to_where_it_came_from(steps, published):
    grid, x = uniform_lam(VP, -4.0, 3.0).grid(steps), MIXTURE.starts(16)
    model, options = MIXTURE.model("noise"), {"mixing": 0.93, "published": published}
    found = round_trip(get("edict"), model, VP, grid, x, **options)
    assert found.error < 1e-11
    assert (found.away - x).abs().max() > 0.1
    edit = invert_and_regenerate(get("edict"), VP, grid, found.away, model, model, **options)
    assert edit.error < 1e-9  # on the way up a step divides by p^2


def test_the_way_back_spreads_rounding_by_the_mixing_squared_for_each_step():
    """``eps p^{-2 N}`` where the model is 0: nothing else spreads or contracts."""
    x = MIXTURE.starts(64)
    for p, steps in ((0.55, 10), (0.55, 20), (0.7, 40), (0.8, 60)):
        grid = uniform_lam(EDM(), -2.0, 2.0).grid(steps)
        found = round_trip(get("edict"), lambda x, _: 0 * x, EDM(), grid, x, mixing=p).error
        assert 1 / 30 < found / (1.1e-16 * p ** (-2 * steps)) < 30


@pytest.mark.parametrize(
    ("options", "order"),
    [({"mixing": 0.93}, 2), ({"turns": False}, 1), ({"published": True}, 1)],
)
def test_turns_and_the_own_level_are_what_makes_it_of_second_order(options, order):
    entry = dataclasses.replace(get("edict"), options=options)
    where = order_problem("product")
    grids = order_grid(where.process, "wavy-lam")
    assert observed_order(entry, where, grids, warm=False, claim=order).verdict(order) == "met"
    if order == 1:
        assert observed_order(entry, where, grids, warm=False, claim=2).verdict(2) == "not met"


def test_the_mixing_is_what_keeps_the_pair_together_as_the_flow_contracts():
    """On ``eps = k x``: the difference of the pair at the end, of one at the start."""
    process, apart = EDM(), []
    grid = uniform_lam(process, -3.0, 2.0).grid(40)
    for p in (1.0, 0.93, 0.8):
        plan = get("edict")(process, grid, mixing=p, carry=True, resume=grid[0])
        found = interpret(
            plan,
            inputs={"x": 0.5, "twin": -0.5},
            evaluate=lambda _row, op, x: x * op.node.sigma / (0.25 + op.node.sigma**2),
            draw=lambda *_: 0.0,
        )
        apart.append(abs(found["x"] - found["twin"]))
    contracted = math.sqrt((0.25 + grid[-1].sigma ** 2) / (0.25 + grid[0].sigma ** 2))
    assert apart[0] > 5 > 0.05 > contracted  # it grows where everything else contracts
    assert apart[1] < 0.2
    assert apart[2] < 1e-6


def test_only_the_own_level_is_exact_on_constant_data():
    """From ``alpha D + sigma e``, D constant, every level should be ``alpha D + sigma e``."""
    grid = wavy_lam(VP, -2.0, 2.0).grid(6)
    d, e = 0.4, -1.3

    def end(**options: bool) -> float:
        return interpret(
            get("edict")(VP, grid, **options),
            inputs={"x": grid[0].alpha * d + grid[0].sigma * e},
            evaluate=lambda _row, op, x: (x - op.node.alpha * d) / op.node.sigma,
            draw=lambda *_: 0.0,
        )["x"]

    want = grid[-1].alpha * d + grid[-1].sigma * e
    assert end() == pytest.approx(want, rel=1e-12)
    assert abs(end(published=True) - want) > 1e-2


def test_a_step_to_the_data_ends_both_states_in_one_prediction():
    grid = uniform_lam(VP, -2.0, 3.0).grid(3, to_zero=True)
    plan = get("edict")(VP, grid, carry=True)
    assert plan.outputs["x"] == plan.outputs["twin"]
    assert torch.equal(torch.tensor(plan.marks[-1].node.sigma), torch.tensor(0.0))


@pytest.mark.parametrize("p", [0.0, -0.5, 1.1, math.nan])
def test_a_mixing_beyond_its_range_is_refused(p):
    with pytest.raises(InvalidPlanError, match=f"a mixing above 0 and at most 1, got {p}"):
        get("edict")(VP, uniform_lam(VP, -2.0, 2.0).grid(4), mixing=p)
