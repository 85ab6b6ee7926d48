"""Fields drawn ahead are those drawn alone, in any order, for any batch, and given away once."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from fokker.solvers import ahead
from fokker.solvers.ahead import Ahead
from fokker.solvers.noise import CellNoise, GridPath
from fokker.solvers.normals import normal_field, normal_fields
from fokker.solvers.plan import Noise

EDGES = [k / 10 for k in range(31)]
CELLS = [Noise("t", a, b, kind) for (a, b) in itertools.pairwise(EDGES) for kind in "WH"]


@pytest.mark.parametrize("count", [1, 2, 7, 301])
@pytest.mark.parametrize("ids", [range(3), [5, -2, 1 << 40, 7]], ids=str)
def test_fields_drawn_together_are_those_drawn_alone(count: int, ids, monkeypatch):
    monkeypatch.setattr("fokker.solvers.normals.BLOCK", 100)
    keys = [b"key%d" % k for k in range(9)]
    together = normal_fields(keys, ids, count)
    for key, field in zip(keys, together, strict=True):
        np.testing.assert_array_equal(field, normal_field(key, ids, count))
    assert len(np.unique(together[:, 0, 0])) == len(keys)


ORDERS = {
    "up": CELLS,
    "down": CELLS[::-1],
    "shuffled": np.random.default_rng(0).permutation(np.array(CELLS, object)).tolist(),
    "twice": [c for c in CELLS for _ in range(2)],
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("most", [1, 40, 10**6])
def test_a_path_has_one_noise_in_any_order_of_asking(order: str, most: int, monkeypatch):
    monkeypatch.setattr(ahead, "AHEAD", most)
    path, alone = GridPath(EDGES, 3), CellNoise(3)
    for k, asked in enumerate(ORDERS[order]):
        like = torch.empty(4 if k < 25 else 6, 3)  # the batch changes on the way
        drawn = path.draw(asked, like)
        assert torch.equal(drawn, alone.draw(asked, like))
        drawn.zero_()  # it belongs to whom it was given to
        assert bool(path.draw(asked, like).all())


class Counted:
    """Draws zeros, and notes which cells were asked together."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []

    def __call__(self, _name, cells, like: torch.Tensor) -> np.ndarray:
        self.calls.append(list(cells))
        return np.zeros((len(cells), *like.shape), np.float32)


def asked(order: list[int], size: int, cells: int = 10) -> list[list[int]]:
    draw = Counted()
    source = Ahead(cells, draw)
    for i in order:
        assert source.take(("t", "W"), i, torch.empty(size)).shape == (size,)
    return draw.calls


def test_cells_asked_in_steps_of_one_are_drawn_together(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ahead, "AHEAD", 12)
    assert asked(list(range(10)), 3) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert asked(list(range(9, -1, -1)), 3) == [[9, 8, 7, 6], [5, 4, 3, 2], [1, 0]]
    assert asked([0, 1, 2], 20) == [[0], [1], [2]]  # too large to wait


def test_cells_asked_here_and_there_are_drawn_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ahead, "AHEAD", 12)
    assert asked([3, 7, 5, 2], 3) == [[3], [7], [5], [2]]
    assert asked([4, 4, 4], 3) == [[4], [4], [4]]
    assert asked([4, 5, 6], 3) == [[4], [5, 6, 7, 8]]


def test_kinds_of_fields_do_not_disturb_each_other(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ahead, "AHEAD", 12)
    draw = Counted()
    source = Ahead(4, draw)
    for i, kind in itertools.product(range(4), "WH"):
        source.take(("t", kind), i, torch.empty(3))
    assert draw.calls == [[0, 1, 2, 3], [0, 1, 2, 3]]
