"""What a tree of bridges costs, and keeps: few divisions, bounded memory, and never a number."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from brownian_paths import PLACES, cell, path
from fokker.solvers.brownian import descent
from fokker.solvers.brownian.memory import Memory
from fokker.solvers.brownian.tree import TreePath
from fokker.solvers.plan import Noise


def memory(tree: TreePath) -> Memory:
    return vars(vars(tree)["_descent"])["_memory"]


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
            assert len(memory(keeping)) <= (keep or 44)
    assert len(memory(plain)) == 0


def test_what_is_kept_has_bounded_room(monkeypatch: pytest.MonkeyPatch):
    """Arrays that wait to be used again are counted, too."""
    monkeypatch.setattr("fokker.solvers.brownian.tree.KEPT_BYTES", 8 * 2 * 21 * 5)
    tree, like = path("lam"), torch.empty(7, 3)
    for s, t in itertools.pairwise(PLACES):
        tree.draw(cell("lam", s, t), like)
        kept, free = (vars(memory(tree))[name] for name in ("_kept", "_free"))
        arrays = [f for blocks in kept.values() for values in blocks for f in values]
        arrays += itertools.chain(*free.values())
        assert sum(f.nbytes for f in arrays) <= 8 * 2 * 21 * 5
        assert len(memory(tree)) <= 5


def test_memory_that_is_used_again_changes_no_answer():
    """Neither what was answered before, nor, if that is written to, what is answered next."""
    tree, like = path("lam"), torch.empty(7, 3, dtype=torch.float64)
    asked = [cell("lam", *c, kind) for c in itertools.pairwise(PLACES) for kind in "WH"]
    first = [tree.draw(c, like) for c in asked]
    copies = [field.clone() for field in first]
    for again in (asked, asked[::-1], asked[::3]):
        answers = dict(zip(again, [tree.draw(c, like).neg_() for c in again], strict=True))
        assert all(torch.equal(a, b) for a, b in zip(first, copies, strict=True))
        for c, field in zip(asked, copies, strict=True):
            assert c not in answers or torch.equal(answers[c], -field)


def test_a_question_that_was_broken_off_spoils_none_that_follows(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("fokker.solvers.brownian.tree.BLOCK", 4)
    like, plain = torch.empty(2, 3), path("lam", keep=0)
    for stop in range(1, 20, 3):
        tree = path("lam")
        tree.draw(cell("lam", 0.1, 0.3), like)
        with monkeypatch.context() as patch:
            Counted(patch, stop)
            with pytest.raises(KeyboardInterrupt):
                tree.draw(cell("lam", 0.25, 0.61803, "H"), like)
        for s, t in ((0.25, 0.61803), (0.1, 0.3), (0.61803, 0.75)):
            asked = cell("lam", s, t, "H")
            assert torch.equal(tree.draw(asked, like), plain.draw(asked, like))


class Counted:
    """Divisions; one may be the last."""

    def __init__(self, patch: pytest.MonkeyPatch, stop: int | None = None) -> None:
        self.calls, self.stop = 0, stop
        self.real = descent.divided
        patch.setattr(descent, "divided", self)

    def __call__(self, *args):
        self.calls += 1
        if self.calls == self.stop:
            raise KeyboardInterrupt
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
    monkeypatch.setattr("fokker.solvers.brownian.tree.BLOCK", 13)
    like, counted = torch.empty(7, 2), Counted(monkeypatch)  # blocks of 6 samples, and of 1
    for grid, most in ((np.arange(33) / 32, 1.0), (np.arange(24) / 24.3, 5.5)):
        tree = TreePath([0.0, 1.0], 0, tolerance=2.0**-8)
        cells = list(itertools.pairwise(map(float, grid)))
        counted.calls = 0
        for (s, t), kind in itertools.product(cells[::-1] if down else cells, "WH"):
            tree.draw(Noise("lam", s, t, kind), like)
        assert counted.calls / 2 <= most * len(cells)
        assert len(memory(tree)) <= 24
