"""What Sinkhorn's iteration holds, counted in bytes: one matrix, half of it, or none."""

from __future__ import annotations

import functools
import weakref
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from fokker.solvers.transport.cost import CPU_ENTRIES
from fokker.solvers.transport.sinkhorn import sinkhorn
from fokker.solvers.transport.sinkhorn_divergence import self_transport

pytestmark = pytest.mark.filterwarnings(
    "ignore::fokker.solvers.transport.sinkhorn_result.NotConvergedWarning"
)
BLOCK = 8 * CPU_ENTRIES
"""Bytes of a block of rows in float64."""


class Bytes(TorchDispatchMode):
    """Counts the bytes of all storages that operations make, and the most alive at once."""

    def __init__(self) -> None:
        super().__init__()
        self.alive: dict[int, int] = {}
        self.now = self.most = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, torch.Tensor):
                self.seen(leaf.untyped_storage())
        return out

    def seen(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key not in self.alive:
            self.alive[key] = storage.nbytes()
            self.now += storage.nbytes()
            self.most = max(self.most, self.now)
            weakref.finalize(storage, self.gone, key)

    def gone(self, key: int) -> None:
        self.now -= self.alive.pop(key, 0)


@functools.cache
def most(n: int, **options: Any) -> int:
    """Most bytes alive at once in two iterations between n and n points, inputs not counted."""
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(n, 2, generator=generator, dtype=torch.float64) for _ in range(2))
    with Bytes() as count:
        plan = sinkhorn(x, y, fraction=0.05, max_iterations=2, tolerance=1e-9, **options)
        assert plan.iterations == 2
        plan.barycentric()
    return count.most


def test_the_count_sees_what_is_kept_and_forgets_what_is_not():
    with Bytes() as count:
        kept = [torch.ones(1000, dtype=torch.float64) for _ in range(5)]
        del kept[2:]
        kept.append(torch.ones(100, dtype=torch.float64))
    assert count.most == 5 * 8000
    assert count.now == 2 * 8000 + 800


def test_a_stored_matrix_is_held_once_and_in_single_precision_is_half():
    n = 900
    assert 8 * n * n <= most(n) <= 8 * n * n + 6 * BLOCK
    assert 4 * n * n <= most(n, dtype=torch.float32) <= 4 * n * n + 6 * BLOCK


def test_without_a_matrix_memory_grows_with_the_points_and_not_with_their_pairs():
    small, large = most(600, stored=False), most(2400, stored=False)
    assert large <= 6 * BLOCK < 8 * 2400**2 / 7
    assert large - small <= 60 * 8 * 1800  # numbers a point; a matrix would add 43 MB
    assert most(900) > 2 * most(900, stored=False)


def test_a_gradient_and_a_law_with_itself_need_no_matrix_either():
    n = 1500
    x = torch.randn(n, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    moved = (0.5 * x + 1).requires_grad_()
    with Bytes() as count:
        plan = sinkhorn(x, moved, fraction=0.1, max_iterations=3, stored=False)
        torch.autograd.grad(plan.value, moved)
        self_transport(x, None, fraction=0.1, max_iterations=3, stored=False)
    assert count.most <= 6 * BLOCK < 8 * n * n / 2
