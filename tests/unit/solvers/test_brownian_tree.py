"""One Brownian path between any two times: one answer, whatever is asked before, in any batch."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from brownian_paths import ENDS, PLACES, cell, path
from fokker.solvers.adapters.blackbox import run_blackbox
from fokker.solvers.brownian.tree import TreePath
from fokker.solvers.errors import InvalidGridError, InvalidPlanError, ShapeError
from fokker.solvers.grids import uniform_lam
from fokker.solvers.noise import GridPath, joined
from fokker.solvers.plan import Noise
from fokker.solvers.plan_algebra import to_prediction
from fokker.solvers.registry import get
from fokker.solvers.run import run
from fokker.solvers.schedules import VPLinear

EPS = 2.0**-52

on_clocks = pytest.mark.parametrize("clock", ENDS)


@on_clocks
@pytest.mark.parametrize("areas", [True, False])
def test_increments_add_up_to_four_units_of_rounding(clock: str, areas: bool):
    tree, like = path(clock, areas=areas), torch.empty(50, 4, dtype=torch.float64)
    for s, t, u in [*itertools.combinations(PLACES, 3)][::3]:
        parts = [tree.increment(cell(clock, *c), like)[0] for c in ((s, t), (t, u), (s, u))]
        size = float(torch.stack(parts).abs().amax())
        assert (parts[0] + parts[1] - parts[2]).abs().amax() <= 4 * EPS * size


@on_clocks
def test_areas_of_two_cells_join_to_that_of_their_union(clock: str):
    tree, like = path(clock), torch.empty(5, 4, dtype=torch.float64)
    for s, t, u in [*itertools.combinations(PLACES, 3)][::5]:
        first, second, whole = (
            tree.increment(cell(clock, *c, "H"), like) for c in ((s, t), (t, u), (s, u))
        )
        w, h, m = joined(first, second)
        assert h is not None
        torch.testing.assert_close(w, whole[0], rtol=0, atol=1e-14 * math.sqrt(m))
        torch.testing.assert_close(h, whole[1], rtol=0, atol=1e-14 * math.sqrt(m))
        assert whole[2] == pytest.approx(m, rel=1e-13)


@pytest.mark.parametrize("areas", [True, False])
def test_an_answer_does_not_depend_on_batch_order_shard_or_earlier_questions(areas: bool):
    kinds = "WH" if areas else "W"
    asked = [
        cell("snr^1.0", s, t, kind)
        for (s, t) in [*itertools.combinations(PLACES, 2)][::4]
        for kind in kinds
    ]
    like, tree = torch.empty(7, 3), path("snr^1.0", areas=areas)
    whole = [tree.draw(c, like) for c in asked]
    again = [tree.draw(c, like) for c in reversed(asked)][::-1]
    for ids in ([4], [6, 0, 3], [2, 2]):
        shard = path("snr^1.0", ids=ids, areas=areas)
        for c, a, b in zip(asked, whole, again, strict=True):
            assert torch.equal(a, b)
            assert torch.equal(shard.draw(c, like[: len(ids)]), a[ids])


def test_a_dtype_is_a_cast_and_a_shape_a_view():
    asked = cell("t", 0.1, 0.61803)
    double = path("t").draw(asked, torch.empty(3, 2, 2, dtype=torch.float64))
    assert torch.equal(path("t").draw(asked, torch.empty(3, 4)), double.float().flatten(1))


EDGES = {
    "lam": [-2.0, -1.7, -1.2, -1.0, 0.1, 0.3, 1.1, 2.0],
    "snr^1.0": [-math.inf, -1.7, -1.2, -1.0, 0.1, 0.3, 1.1, 2.0],
    "rho2": [-2.0, -1.7, -1.2, -1.0, 0.1, 0.3, 1.1, math.inf],
    "t": [1.0, 0.9, 0.75, 0.7, 0.4, 0.35, 0.2, 0.05],
}


@on_clocks
@pytest.mark.parametrize("kind", ["W", "H"])
def test_at_its_edges_it_is_the_grid_path_bit_for_bit(clock: str, kind: str):
    edges, like = EDGES[clock], torch.empty(3, 2)
    tree, grid = TreePath(edges, 3, tolerance=0.01), GridPath(edges, 3)
    for a, b in itertools.combinations(edges, 2):
        asked = Noise(clock, a, b, kind)
        assert torch.equal(tree.draw(asked, like), grid.draw(asked, like))


@on_clocks
def test_between_its_edges_it_goes_on(clock: str):
    """A cell that begins and ends inside others is the rest of one, whole ones, the rest."""
    edges, like = EDGES[clock], torch.empty(3, 2, dtype=torch.float64)
    tree, inner = TreePath(edges, 3, tolerance=0.01), edges[1:-1]
    s, t = 0.7 * inner[0] + 0.3 * inner[1], 0.4 * inner[-2] + 0.6 * inner[-1]
    stops = [inner[0], s, *inner[1:-1], t, inner[-1]]
    parts = [tree.increment(Noise(clock, a, b, "H"), like) for a, b in itertools.pairwise(stops)]
    w, h, m = parts[0]
    for part in parts[1:]:
        w, h, m = joined((w, h, m), part)
        assert h is not None
    whole = tree.increment(Noise(clock, inner[0], inner[-1], "H"), like)
    torch.testing.assert_close((w, h), whole[:2], rtol=0, atol=1e-13 * math.sqrt(m))
    inside = tree.increment(Noise(clock, s, t, "H"), like)
    rest = joined(tree.increment(Noise(clock, inner[0], s, "H"), like), inside)
    rest = joined(rest, tree.increment(Noise(clock, t, inner[-1], "H"), like))
    torch.testing.assert_close(rest[:2], whole[:2], rtol=0, atol=1e-13 * math.sqrt(m))


def test_a_computed_node_is_the_edge_or_middle_that_it_rounds_to():
    tree, like = TreePath([0.0, 0.3, 1.0], 0, tolerance=1e-3), torch.empty(2, 3)
    for t in (0.3, 0.15):
        exact = tree.draw(Noise("lam", 0.0, t), like)
        for near in (math.nextafter(t, 0.0), math.nextafter(t, 1.0)):
            assert torch.equal(tree.draw(Noise("lam", 0.0, near), like), exact)


@pytest.mark.parametrize("name", ["sde_dpmpp_2m", "euler_maruyama", "torchsde_srk_lam"])
def test_any_grid_runs_on_one_path_and_approaches_one_limit(name: str):
    """Grids of 12, 25 and 53 steps share no inner node; another path stays where it was."""
    process, x, entry = VPLinear(), torch.zeros(100, 2, dtype=torch.float64), get(name)

    def model(x: torch.Tensor, _t: float) -> torch.Tensor:
        return 0.5 * x

    def sample(steps: int, seed: int = 0) -> torch.Tensor:
        grid = uniform_lam(process, -2.0, 1.0).grid(steps)
        ends = [(n.t if name == "euler_maruyama" else n.lam) for n in (grid[0], grid[-1])]
        noise = TreePath(ends, seed, tolerance=0.004 * abs(ends[1] - ends[0]))
        if entry.kind == "blackbox":
            return run_blackbox(entry, model, process, grid, x, noise=noise).x
        plan = to_prediction(entry.build(process, grid), "noise")
        return run(plan, model, x, noise=noise).x

    fine = sample(79)
    errors = [float((sample(n) - fine).square().mean().sqrt()) for n in (12, 25, 53)]
    assert errors[0] > 1.5 * errors[1] > 2 * errors[2]
    other = float((sample(53, 1) - fine).square().mean().sqrt())
    assert other > 10 * errors[2]


LIKE = torch.empty(2, 3)


@pytest.mark.parametrize(
    ("a", "b", "says"),
    [
        (1.0, 0.5, r"runs in its sampling order, got \[1.0, 0.5\]"),
        (0.5, 0.5, "runs in its sampling order"),
        (math.nan, 0.5, "runs in its sampling order, got .nan, 0.5."),
        (0.5, math.nan, "runs in its sampling order"),
        (-0.5, 0.5, r"\[-0.5, 0.5\] is outside the path \[0.0, 1.0\]"),
        (0.5, 1.1, "is outside the path"),
        (0.5, math.inf, "is outside the path"),
        (0.5, 0.505, r"\[0.5, 0.505\] is shorter than the tolerance 0.01 of the path"),
    ],
)
def test_cells_that_are_none_are_refused(a: float, b: float, says: str):
    with pytest.raises(InvalidGridError, match=says):
        TreePath([0.0, 1.0], 0, tolerance=0.01).draw(Noise("lam", a, b), LIKE)


def test_questions_that_a_path_cannot_answer_are_refused():
    tree = TreePath([-math.inf, 0.0, 1.0], 0, [4, 5, 6], tolerance=0.01, areas=False)
    with pytest.raises(ShapeError, match="3 sample ids were given for a batch of 2"):
        tree.draw(Noise("lam", 0.0, 0.5), LIKE)
    with pytest.raises(InvalidGridError, match="ends inside an infinite cell of the path"):
        tree.draw(Noise("snr^1.0", -1.0, 0.5), LIKE)
    with pytest.raises(InvalidPlanError, match="asked of a path made with areas=False"):
        tree.draw(Noise("lam", 0.0, 0.5, "H"), LIKE)
    with pytest.raises(InvalidPlanError, match="the clock 'churn' has no path"):
        tree.draw(Noise("churn", 0.0, 1.0), LIKE)
    with pytest.raises(InvalidPlanError, match="unknown noise clock 'sigma'"):
        tree.draw(Noise("sigma", 0.0, 1.0), LIKE)
    far = TreePath([-900.0, 0.0], 0, tolerance=1.0)
    with pytest.raises(InvalidGridError, match=r"the measure 0\.0; a path needs one from"):
        far.draw(Noise("snr^1.0", -900.0, -800.0), LIKE)


@pytest.mark.parametrize("tolerance", [0.0, -1.0, math.nan, 1e-12, 1.5, math.inf])
def test_a_tolerance_out_of_range_is_refused(tolerance: float):
    with pytest.raises(InvalidGridError, match=r"from 1e-09 \(rounding\) to 1 \(the length"):
        TreePath([0.0, 1.0], 0, tolerance=tolerance)


@pytest.mark.parametrize("edges", [[], [0.0], [0.0, 2.0, 1.0], [0.0, math.nan]])
def test_edges_that_are_no_grid_are_refused(edges: list[float]):
    with pytest.raises(InvalidGridError, match="strictly monotone, at least two"):
        TreePath(edges, 0, tolerance=0.1)


def test_a_path_without_two_finite_edges_is_refused():
    with pytest.raises(InvalidGridError, match="a path needs two finite edges"):
        TreePath([0.0, math.inf], 0, tolerance=0.1)
