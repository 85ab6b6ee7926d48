"""One Brownian path between any two times: exact law, one answer whatever is asked before.

The law is checked without chance, in the weights of the independent normals that a query is made
of; and once more in drawn numbers, with a false-alarm rate of at most 1e-6 for each test (4.9
standard deviations). Each check is shown to fail on a wrong bridge.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from fokker.solvers.adapters.blackbox import run_blackbox
from fokker.solvers.brownian import descent
from fokker.solvers.brownian.bridge import divided
from fokker.solvers.brownian.query import summed
from fokker.solvers.brownian.tree import TreePath
from fokker.solvers.errors import InvalidGridError, InvalidPlanError, ShapeError
from fokker.solvers.grids import uniform_lam
from fokker.solvers.noise import GridPath, joined
from fokker.solvers.normals import normal_field
from fokker.solvers.ops import clock_measure
from fokker.solvers.plan import Noise
from fokker.solvers.plan_algebra import to_prediction
from fokker.solvers.registry import get
from fokker.solvers.run import run
from fokker.solvers.schedules import VPLinear

SIGMAS, EPS = 4.9, 2.0**-52
ENDS = {"lam": (-2.0, 3.0), "t": (1.0, 0.002), "snr^1.0": (-10.0, 10.0), "rho2": (-10.0, 10.0)}
PLACES = [0.0, 0.013, 0.1, 0.25, 0.3, 0.5, 0.61803, 0.75, 0.76, 0.9, 1.0]  # of the way
TOLERANCE = 2.0**-9  # of the way

on_clocks = pytest.mark.parametrize("clock", ENDS)


def path(clock: str, seed: int = 5, ids: list[int] | None = None, **options) -> TreePath:
    a, b = ENDS[clock]
    return TreePath([a, b], seed, ids, tolerance=TOLERANCE * abs(b - a), **options)


def at(clock: str, place: float) -> float:
    a, b = ENDS[clock]
    return b if place == 1.0 else a + (b - a) * place


def cell(clock: str, s: float, t: float, kind: str = "W") -> Noise:
    return Noise(clock, at(clock, s), at(clock, t), kind)


class Units:
    """In place of drawn normals: each a unit vector, so that sums show their weights."""

    SIZE = 1024

    def __init__(self) -> None:
        self.places: dict[tuple[bytes, int], int] = {}

    def field(self, key: bytes, ids: list[int], count: int) -> np.ndarray:
        out = np.zeros((len(ids), count // self.SIZE, self.SIZE), np.float32)
        for j in range(out.shape[1]):
            out[:, j, self.places.setdefault((key, j), len(self.places))] = 1.0
        return out.reshape(len(ids), count)

    def weights(self, tree: TreePath, asked: Noise) -> list[np.ndarray]:
        """Of the increment, and of the area if it is asked."""
        sign = 1.0 if tree.edges[0] < tree.edges[-1] else -1.0
        query = tree.query(asked, 0, sign * asked.a, sign * asked.b)
        root, block = query.root(), descent.Block(0, [0], (1, self.SIZE))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(descent, "normal_field", self.field)
            (values,) = vars(tree)["_descent"].values(query, root, [block])
        return [summed(root, values, kind)[0] for kind in "WH"[: 1 + (asked.kind == "H")]]


def misfits(clock: str, *, areas: bool = True) -> list[float]:
    """How far variances and covariances of many queries are from those of Brownian motion.

    Relative to the geometric mean of the two variances. For cells [s, t] and [u, v]:
    ``Cov(W, W)`` is the measure of what they share, and ``Cov(H, W_part)`` of an area and a part
    of its cell is ``m_part (after - before) / (2 m)``.
    """
    tree, found, units = path(clock, areas=areas), [], Units()

    def measure(s: float, t: float) -> float:
        return clock_measure(clock, at(clock, s), at(clock, t)) if s < t else 0.0

    cells = list(itertools.combinations(PLACES, 2))
    increments = {c: units.weights(tree, cell(clock, *c))[0] for c in cells}
    for (s, t), (u, v) in itertools.product(cells[::3], cells[1::2]):
        size = math.sqrt(measure(s, t) * measure(u, v))
        exact = measure(max(s, u), min(t, v))
        found.append(abs(increments[s, t] @ increments[u, v] - exact) / size)
    for s, t in cells[::4] if areas else []:
        w, h = units.weights(tree, cell(clock, s, t, "H"))
        m = measure(s, t)
        found += [abs(h @ h * 12 / m - 1), abs(w @ w / m - 1), abs(h @ w / m)]
        for u, v in cells[1::2]:
            lo, hi = max(s, u), min(t, v)
            exact = measure(lo, hi) * (measure(hi, t) - measure(s, lo)) / (2 * m) if lo < hi else 0
            found.append(abs(h @ increments[u, v] - exact) / math.sqrt(m / 12 * measure(u, v)))
    return found


@on_clocks
@pytest.mark.parametrize("areas", [True, False])
def test_increments_and_areas_have_the_exact_law_of_brownian_motion(clock: str, areas: bool):
    assert max(misfits(clock, areas=areas)) < 3e-12


def wrong_middle(whole, left, right, z):
    """The bridge of two equal halves, wherever the middle is."""
    return divided(whole, 0.5 * (left + right), 0.5 * (left + right), z)


def wrong_area(whole, left, right, z):
    """The increments divided without a look at the area."""
    plain = divided(whole[:1], left, right, [z[0].copy()])
    return tuple(
        [w, h] for (w,), (_, h) in zip(plain, divided(whole, left, right, z), strict=True)
    )


@pytest.mark.parametrize(
    ("clock", "wrong"), [("snr^1.0", wrong_middle), ("rho2", wrong_middle), ("lam", wrong_area)]
)
def test_a_wrong_bridge_would_be_seen(clock: str, wrong, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(descent, "divided", wrong)
    assert max(misfits(clock)) > 0.01


@pytest.mark.parametrize("p", [0.5, 0.3, 0.7, 0.999, 1e-9, 2e-13])
def test_the_bridge_is_the_inverse_of_joining_two_cells(p: float):
    """In standard normals it is an orthogonal matrix, and its cells join to the whole."""
    m1, m2 = 7.0 * p, 7.0 * (1 - p)
    sizes = [math.sqrt(m1 + m2), math.sqrt((m1 + m2) / 12), 1.0, 1.0]
    w, h, z1, z2 = (np.eye(4) * sizes)[:, None]
    (w1, h1), (w2, h2) = divided([w, h], m1, m2, [z1.copy(), z2.copy()])
    parts = [w1 / math.sqrt(m1), w2 / math.sqrt(m2)]
    parts += [h1 / math.sqrt(m1 / 12), h2 / math.sqrt(m2 / 12)]
    rows = np.concatenate(parts)
    np.testing.assert_allclose(rows @ rows.T, np.eye(4), atol=2e-15)
    np.testing.assert_allclose(rows.T @ rows, np.eye(4), atol=2e-15)
    first, second = ((torch.tensor(u), torch.tensor(v)) for u, v in ((w1, h1), (w2, h2)))
    again, area, _ = joined((*first, m1), (*second, m2))
    assert area is not None
    np.testing.assert_allclose(again.numpy(), w, atol=3e-15)
    np.testing.assert_allclose(area.numpy(), h, atol=3e-15)


def alarms(tree: TreePath, clock: str, *, spoil: float = 0.0) -> dict[str, float]:
    """Each statistic of drawn numbers over its limit; above 1 is an alarm."""
    like = torch.empty(40_000, 1, dtype=torch.float64)
    cells = [cell(clock, *c) for c in ((0.013, 0.25), (0.25, 0.3), (0.3, 0.76), (0.76, 1.0))]
    kinds = "WH" if tree.areas else "W"
    fields = {
        (i, kind): tree.draw(Noise(clock, c.a, c.b, kind), like)
        for i, c in enumerate(cells)
        for kind in kinds
    }
    fields[0, "W"] = fields[0, "W"] + spoil * fields[1, "W"]
    n = math.sqrt(len(like)) / SIGMAS
    found = {f"mean {k}": abs(float(v.mean())) * n for k, v in fields.items()}
    for (i, u), (j, v) in itertools.combinations(fields.items(), 2):
        found[f"product {i} {j}"] = abs(float((u * v).mean())) * n
    for k, v in fields.items():
        found[f"variance {k}"] = abs(float((v * v).mean()) - 1) * n / math.sqrt(2)
    return found


@on_clocks
@pytest.mark.parametrize("areas", [True, False])
def test_drawn_cells_are_independent_standard_normals(clock: str, areas: bool):
    found = alarms(path(clock, areas=areas), clock)
    assert max(found.values()) < 1, found


def test_cells_that_share_a_little_raise_the_alarm():
    found = alarms(path("lam"), "lam", spoil=0.04)
    assert found["product (0, 'W') (1, 'W')"] > 1


@pytest.mark.parametrize("areas", [True, False])
def test_drawn_numbers_are_the_weights_of_drawn_normals(areas: bool):
    tree, asked = path("lam", areas=areas), cell("lam", 0.1, 0.61803, "H" if areas else "W")
    units, like = Units(), torch.empty(4, 3, dtype=torch.float64)
    weights = units.weights(path("lam", areas=areas), asked)
    w, h, m = tree.increment(asked, like)
    for value, row in zip((w, h), weights, strict=False):
        total = np.zeros((4, 3))
        for (key, j), k in units.places.items():
            width = 2 if (key, 1) in units.places else 1
            field = normal_field(key, range(4), 3 * width).reshape(4, width, 3)
            total += row[k] * field[:, j].astype(np.float64)
        torch.testing.assert_close(value.numpy(), total, rtol=1e-13, atol=1e-13 * math.sqrt(m))


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


def test_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch):
    like, asked = torch.empty(6, 50), cell("lam", 0.1, 0.61803, "H")
    whole = path("lam").draw(asked, like)
    monkeypatch.setattr("fokker.solvers.brownian.tree.BLOCK", 120)
    assert torch.equal(path("lam").draw(asked, like), whole)


@pytest.mark.parametrize("keep", [1, 7, 60, None])
def test_what_is_kept_changes_no_number(keep: int | None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("fokker.solvers.brownian.tree.BLOCK", 12)
    cells = [*itertools.combinations(PLACES, 2)][::6]
    plain, keeping = path("lam", keep=0), path("lam", keep=keep)
    for like in (torch.empty(7, 3), torch.empty(4, 5), torch.empty(7, 3)):
        for c, kind in itertools.product(cells, "WH"):
            asked = cell("lam", *c, kind)
            assert torch.equal(plain.draw(asked, like), keeping.draw(asked, like))
            assert len(vars(vars(keeping)["_descent"])["_kept"]) <= (keep or 44)
    assert not vars(vars(plain)["_descent"])["_kept"]


def test_what_is_kept_has_bounded_room(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("fokker.solvers.brownian.tree.KEPT_BYTES", 8 * 2 * 21 * 5)
    tree, like = path("lam"), torch.empty(7, 3)
    for s, t in itertools.pairwise(PLACES):
        tree.draw(cell("lam", s, t), like)
        assert len(vars(vars(tree)["_descent"])["_kept"]) <= 5


def test_points_of_one_piece_are_on_a_continuous_path():
    tree, like = TreePath([0.0, 1.0], 0, tolerance=2.0**-4), torch.empty(200, 1)
    value, near, far = (
        tree.increment(Noise("lam", 0.0, t), like)[0] for t in (0.51, 0.51 + 1e-9, 0.53)
    )
    assert float((value - near).abs().amax()) < 1e-3
    assert 0.05 < float((value - far).std()) < 0.2  # sqrt(0.02) = 0.14, if no piece were shared


def test_a_dtype_is_a_cast_and_a_shape_a_view():
    asked = cell("t", 0.1, 0.61803)
    double = path("t").draw(asked, torch.empty(3, 2, 2, dtype=torch.float64))
    assert torch.equal(path("t").draw(asked, torch.empty(3, 4)), double.float().flatten(1))


def test_seeds_clocks_and_kinds_of_path_have_nothing_in_common():
    like = torch.empty(20_000, 1, dtype=torch.float64)
    asked = {clock: Noise(clock, 0.1, 0.7) for clock in ("lam", "snr^1.0", "rho2")}
    draws = [TreePath([0.0, 1.0], 0, tolerance=0.01).draw(c, like) for c in asked.values()]
    draws.append(TreePath([0.0, 1.0], 1, tolerance=0.01).draw(asked["lam"], like))
    for a, b in itertools.combinations(draws, 2):
        assert abs(float((a * b).mean())) * math.sqrt(len(like)) < SIGMAS


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


class Counted:
    """Calls of a function."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.calls = 0
        self.real = descent.divided
        patch.setattr(descent, "divided", self)

    def __call__(self, *args):
        self.calls += 1
        return self.real(*args)


def test_a_query_costs_two_divisions_a_level_at_most(monkeypatch: pytest.MonkeyPatch):
    like, counted = torch.empty(1, 1), Counted(monkeypatch)
    for depth in (4, 10, 20):
        tree = TreePath([0.0, 1.0], 0, tolerance=2.0**-depth, keep=0)
        counted.calls = 0
        tree.draw(Noise("lam", 0.1234567, 0.7654321), like)
        assert depth - 2 < counted.calls <= 2 * depth + 2
        for level in range(1, depth):  # a dyadic piece costs its level
            counted.calls = 0
            tree.draw(Noise("lam", 0.0, 2.0**-level), like)
            assert counted.calls == level


@pytest.mark.parametrize("down", [False, True])
def test_cells_asked_in_order_cost_one_division_each(down: bool, monkeypatch: pytest.MonkeyPatch):
    """On the nodes; elsewhere what is new at each end. Asking for the area, too, costs nothing."""
    like, counted = torch.empty(70, 1000), Counted(monkeypatch)  # blocks: 65 samples, and 5
    for grid, most in ((np.arange(33) / 32, 1.0), (np.arange(24) / 24.3, 5.5)):
        tree = TreePath([0.0, 1.0], 0, tolerance=2.0**-8)
        cells = list(itertools.pairwise(map(float, grid)))
        counted.calls = 0
        for (s, t), kind in itertools.product(cells[::-1] if down else cells, "WH"):
            tree.draw(Noise("lam", s, t, kind), like)
        assert counted.calls / 2 <= most * len(cells)
        assert len(vars(vars(tree)["_descent"])["_kept"]) <= 24


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
    with pytest.raises(InvalidGridError, match=r"the measure 0\.0; a path needs one above 0"):
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
