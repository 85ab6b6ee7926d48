"""What noise costs beside ``torch.randn``, whose numbers depend on batch and call order.

Three tables, all in units of one ``torch.randn`` of the same shape, float32: a field of a cell, by
shape; a field of a path that is asked between given edges; and the same asked of
``torchsde.BrownianInterval``, which stores its tree (and whose numbers depend on the batch).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from timing import in_turns, table, write

from fokker.solvers.brownian.tree import TreePath
from fokker.solvers.noise import CellNoise, GridPath, NoiseSource
from fokker.solvers.plan import Noise

CELL = Noise("lam", -1.0, 0.0)
SHAPES = (
    (64, 3, 32, 32),
    (8, 3, 32, 32),
    (1, 3, 32, 32),
    (4096, 2),
    (16, 1, 8, 8),
    (64, 2),
)
SHAPE = (64, 3, 32, 32)
DEPTH = 10
"""Levels of the trees: cells as short as 2^-10 of the path may be asked."""

DYADIC = np.arange(65) / 64
ANYWHERE = np.array([0.0, *np.sort(np.random.default_rng(0).uniform(0.01, 0.99, 63)), 1.0])
ANYWHERE = ANYWHERE[np.append(True, np.diff(ANYWHERE) > 2.0**-DEPTH)]


def main() -> list[dict[str, Any]]:
    """Measure, print the tables, write the record."""
    torch.set_num_threads(1)
    rows = [*fields(), *paths()]
    cells = [
        [
            r["what"],
            "x".join(map(str, r["shape"])),
            f"{r['ns_per_number']:.1f}",
            f"{r['ratio']:.2f}",
        ]
        for r in rows
    ]
    print(table(["one field", "shape", "ns a number", "over torch.randn"], cells))
    print(f"written to {write('noise', rows)}")
    return rows


def fields() -> list[dict[str, Any]]:
    """One cell, by shape."""
    rows = []
    for shape in SHAPES:
        like, source = torch.empty(shape), CellNoise(0)
        rows.append(row("cell", shape, lambda n=source, x=like: n.draw(CELL, x), 1, rounds=40))
        cells = list(pairwise(map(float, DYADIC)))
        target = sweep(lambda: GridPath(DYADIC.tolist(), 0), cells, "W", shape)
        rounds = 10 if np.prod(shape) < 1e5 else 2
        rows.append(row("grid path of 64", shape, target, len(cells), rounds=rounds))
    return rows


def paths() -> list[dict[str, Any]]:
    """A whole grid from left to right, and cells far from each other: the cost of one of them."""
    low, high = 0.0, 1.0
    tolerance = 2.0**-DEPTH
    grids = {"dyadic grid of 64": DYADIC.tolist(), f"any grid of {len(ANYWHERE) - 1}": ANYWHERE}
    rows = []
    for name, grid in grids.items():
        cells = list(pairwise(map(float, grid)))
        edges = [float(e) for e in grid]
        sources: dict[str, tuple[Callable[[], NoiseSource], str]] = {
            "grid path, W": (lambda e=edges: GridPath(e, 0), "W"),
            "tree on these edges, W": (lambda e=edges: TreePath(e, 0, tolerance=tolerance), "W"),
            "tree without areas, W": (
                lambda: TreePath([low, high], 0, tolerance=tolerance, areas=False),
                "W",
            ),
            "tree, W": (lambda: TreePath([low, high], 0, tolerance=tolerance), "W"),
            "tree, H": (lambda: TreePath([low, high], 0, tolerance=tolerance), "H"),
        }
        for what, (make, kind) in sources.items():
            target = sweep(make, cells, kind)
            rows.append(row(f"{name}: {what}", SHAPE, target, len(cells), rounds=2))
        for kind in "WH":
            for tree in (False, True):
                target = foreign_sweep(cells, areas=kind == "H", tree=tree)
                what = f"{name}: torchsde {'virtual tree' if tree else 'interval'}, {kind}"
                rows.append(row(what, SHAPE, target, len(cells), rounds=2))
    return rows


def sweep(
    make: Callable[[], NoiseSource],
    cells: Sequence[tuple[float, float]],
    kind: str,
    shape: tuple[int, ...] = SHAPE,
) -> Callable[[], object]:
    """All cells of a new path, in order."""
    like = torch.empty(shape)

    def target() -> None:
        source = make()
        for a, b in cells:
            source.draw(Noise("lam", a, b, kind), like)

    return target


def foreign_sweep(
    cells: Sequence[tuple[float, float]], *, areas: bool, tree: bool
) -> Callable[[], object]:
    """The same of torchsde's Brownian interval (for areas it gives increment and area).

    As a tree it is divided in halves, so that answers do not depend on the order of the questions.
    """
    import torchsde

    def target() -> None:
        interval = torchsde.BrownianInterval(
            t0=0.0,
            t1=1.0,
            size=(SHAPE[0], SHAPE[1] * SHAPE[2] * SHAPE[3]),
            dtype=torch.float32,
            entropy=0,
            halfway_tree=tree,
            tol=2.0**-DEPTH if tree else 0.0,
            levy_area_approximation="space-time" if areas else "none",
        )
        for a, b in cells:
            interval(a, b, return_U=areas)

    return target


def row(
    what: str, shape: tuple[int, ...], target: Callable[[], object], count: int, *, rounds: int
) -> dict[str, Any]:
    """Cost of one of the ``count`` fields that the target draws."""
    pair = in_turns(lambda: torch.randn(shape), target, base_count=8, rounds=rounds)
    numbers = count * int(np.prod(shape))
    return {
        "what": what,
        "shape": shape,
        "ratio": pair.target / pair.base / count,
        "ns_per_number": pair.target / numbers * 1e9,
    }


if __name__ == "__main__":
    main()
