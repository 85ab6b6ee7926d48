"""What noise costs beside ``torch.randn``, whose numbers depend on batch and call order.

All in units of one ``torch.randn`` of the same shape, float32, and for *one normal field*: a field
of a cell, by shape; a field of a path that is asked between given edges; and the same asked of
``torchsde.BrownianInterval``, which stores its tree (and whose numbers depend on the batch).

A path with areas gives two independent normal fields for a cell, of its increment (W) and of its
area (H), from the same divisions. Where both are asked (``W and H``) the cost of a cell is divided
by two; where one is asked of a path that has both, its row holds the cost of the whole cell.
torchsde gives both in one call, and is counted in the same way.

Who wants increments alone takes a path without areas. On one with areas they cannot be had for
half: the increment of a part of a piece leans on the piece's area, and so both are needed of every
piece on the way down. Off the nodes a cell of 62 takes 5.5 divisions at depth 10, each two fields
of normals (2 ``randn``) and 13 passes of arithmetic (0.8): 15.5 before anything is summed or
written. Only the areas of the last division are for nothing, half a ``randn``.

The cost of a cell is the smallest of some sweeps over all of them: the machine may be busy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from timing import in_turns, seconds, table, write

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

SWEEPS = 5
KINDS = {"W": "W", "WH": "W and H"}

Ask = Callable[[float, float], object]
"""Asks a path for the fields of a cell."""

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
    """A whole grid from left to right, and cells far from each other: the cost of one field."""
    grids = {"dyadic grid of 64": DYADIC, f"any grid of {len(ANYWHERE) - 1}": ANYWHERE}
    rows = []
    for name, grid in grids.items():
        edges = [float(e) for e in grid]
        cells = list(pairwise(edges))
        for what, (make, kinds) in sources(edges).items():
            rows.append(path_row(f"{name}: {what}", make, cells, kinds))
        for kinds in ("W", "WH"):
            for tree in (False, True):
                what = f"torchsde {'virtual tree' if tree else 'interval'}, {KINDS[kinds]}"
                make = partial(foreign, areas="H" in kinds, tree=tree)
                rows.append(path_row(f"{name}: {what}", make, cells, kinds))
    return rows


def sources(edges: list[float]) -> dict[str, tuple[Callable[[], Ask], str]]:
    """Our paths, and what is asked of them."""
    tree = partial(TreePath, [0.0, 1.0], 0, tolerance=2.0**-DEPTH)
    made = {
        "grid path, W": (lambda: GridPath(edges, 0), "W"),
        "tree on these edges, W": (lambda: TreePath(edges, 0, tolerance=2.0**-DEPTH), "W"),
        "tree without areas, W": (lambda: tree(areas=False), "W"),
        "tree, W": (tree, "W"),
        "tree, H": (tree, "H"),
        "tree, W and H": (tree, "WH"),
    }
    return {what: (partial(ours, make, kinds), kinds) for what, (make, kinds) in made.items()}


def ours(make: Callable[[], NoiseSource], kinds: str) -> Ask:
    """Ask a new path of ours."""
    source, like = make(), torch.empty(SHAPE)

    def ask(a: float, b: float) -> None:
        for kind in kinds:
            source.draw(Noise("lam", a, b, kind), like)

    return ask


def foreign(*, areas: bool, tree: bool) -> Ask:
    """Ask a new Brownian interval of torchsde (for areas it gives increment and area).

    As a tree it is divided in halves, so that answers do not depend on the order of the questions.
    """
    import torchsde

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
    return partial(interval, return_U=areas)


def path_row(
    what: str, make: Callable[[], Ask], cells: Sequence[tuple[float, float]], kinds: str
) -> dict[str, Any]:
    """Cost of one field of the cells, asked in order of a new path in each of some sweeps."""
    best, base = np.full(len(cells), math.inf), math.inf
    for _ in range(SWEEPS):
        ask = make()
        for k, (a, b) in enumerate(cells):
            base = min(base, seconds(lambda: torch.randn(SHAPE)))
            best[k] = min(best[k], seconds(partial(ask, a, b)))
    each = float(best.mean()) / len(kinds)
    return {
        "what": what,
        "shape": SHAPE,
        "ratio": each / base,
        "ns_per_number": each / math.prod(SHAPE) * 1e9,
    }


def sweep(
    make: Callable[[], NoiseSource],
    cells: Sequence[tuple[float, float]],
    kind: str,
    shape: tuple[int, ...],
) -> Callable[[], object]:
    """All cells of a new path, in order."""
    like = torch.empty(shape)

    def target() -> None:
        source = make()
        for a, b in cells:
            source.draw(Noise("lam", a, b, kind), like)

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
