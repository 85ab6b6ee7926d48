"""Increments and areas of a tree of bridges have the exact law of Brownian motion.

The law is checked without chance, in the weights of the independent normals that a query is made
of; and once more in drawn numbers, with a false-alarm rate of at most 1e-6 for each test (4.9
standard deviations). Each check is shown to fail on a wrong bridge.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from brownian_paths import ENDS, PLACES, at, cell, path
from fokker.solvers.brownian import descent
from fokker.solvers.brownian.bridge import divided
from fokker.solvers.brownian.query import summed, terms
from fokker.solvers.brownian.tree import TreePath
from fokker.solvers.noise import joined
from fokker.solvers.normals import normal_field
from fokker.solvers.ops import clock_measure
from fokker.solvers.plan import Noise

SIGMAS = 4.9

on_clocks = pytest.mark.parametrize("clock", ENDS)


class Units:
    """In place of drawn normals: each a unit vector, so that sums show their weights."""

    SIZE = 1024

    def __init__(self) -> None:
        self.places: dict[tuple[bytes, int], int] = {}

    def __call__(self, _ids: Sequence[int], _count: int) -> Units:
        return self

    def fields(self, keys: Sequence[bytes], out: np.ndarray) -> None:
        out[:] = 0.0
        for k, key in enumerate(keys):
            for j in range(out.shape[-1] // self.SIZE):
                place = self.places.setdefault((key, j), len(self.places))
                out[k, :, j * self.SIZE + place] = 1.0

    def weights(self, tree: TreePath, asked: Noise) -> list[np.ndarray]:
        """Of the increment, and of the area if it is asked."""
        sign = 1.0 if tree.edges[0] < tree.edges[-1] else -1.0
        query = tree.query(asked, 0, sign * asked.a, sign * asked.b)
        root, block = query.root(), descent.Block(0, [0], (1, self.SIZE))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(descent, "Rows", self)
            (values,) = vars(tree)["_descent"].values(query, root, [block])
        work = np.empty((2, 1, self.SIZE))
        kinds = "WH"[: 1 + (asked.kind == "H")]
        return [summed(values, terms(root, kind), work)[0].copy() for kind in kinds]


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


def wrong_middle(whole, left, right, z, room):
    """The bridge of two equal halves, wherever the middle is."""
    return divided(whole, 0.5 * (left + right), 0.5 * (left + right), z, room)


def wrong_area(whole, left, right, z, room):
    """The increments divided without a look at the area."""
    (w1,), (w2,), _ = divided([whole[0].copy()], left, right, z[:1], room)
    (_, h1), (_, h2), free = divided(whole, left, right, z, room)
    return [w1, h1], [w2, h2], free


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
    whole = [w.copy(), h.copy()]
    (w1, h1), (w2, h2), _ = divided(whole, m1, m2, [z1, z2], lambda: np.empty((1, 4)))
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


def test_points_of_one_piece_are_on_a_continuous_path():
    tree, like = TreePath([0.0, 1.0], 0, tolerance=2.0**-4), torch.empty(200, 1)
    value, near, far = (
        tree.increment(Noise("lam", 0.0, t), like)[0] for t in (0.51, 0.51 + 1e-9, 0.53)
    )
    assert float((value - near).abs().amax()) < 1e-3
    assert 0.05 < float((value - far).std()) < 0.2  # sqrt(0.02) = 0.14, if no piece were shared


def test_seeds_clocks_and_kinds_of_path_have_nothing_in_common():
    like = torch.empty(20_000, 1, dtype=torch.float64)
    asked = {clock: Noise(clock, 0.1, 0.7) for clock in ("lam", "snr^1.0", "rho2")}
    draws = [TreePath([0.0, 1.0], 0, tolerance=0.01).draw(c, like) for c in asked.values()]
    draws.append(TreePath([0.0, 1.0], 1, tolerance=0.01).draw(asked["lam"], like))
    for a, b in itertools.combinations(draws, 2):
        assert abs(float((a * b).mean())) * math.sqrt(len(like)) < SIGMAS
