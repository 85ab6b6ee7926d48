"""What one noise field costs beside ``torch.randn``, whose numbers depend on batch and call order.

A field is drawn sample by sample, each from its own key: the price of noise that does not depend
on batch size, order or shards.
"""

from __future__ import annotations

from typing import Any

import torch
from timing import in_turns, table, write

from fokker.solvers.noise import CellNoise
from fokker.solvers.plan import Noise

CELL = Noise("lam", -1.0, 0.0)
SHAPES = ((64, 3, 32, 32), (8, 3, 256, 256), (4096, 2))


def main() -> list[dict[str, Any]]:
    """Measure, print the table, write the record."""
    torch.set_num_threads(1)
    rows = []
    for shape in SHAPES:
        like, source = torch.empty(shape), CellNoise(0)
        pair = in_turns(
            lambda s=shape: torch.randn(s),
            lambda n=source, x=like: n.draw(CELL, x),
            base_count=2,
            rounds=30,
        )
        ratio = pair.target / pair.base
        nanoseconds = pair.target / like.numel() * 1e9
        rows.append({"shape": shape, "ratio": ratio, "ns_per_number": nanoseconds})
    cells = [
        ["x".join(map(str, r["shape"])), f"{r['ns_per_number']:.1f}", f"{r['ratio']:.2f}"]
        for r in rows
    ]
    print(table(["one noise field", "ns a number", "over torch.randn"], cells))
    print(f"written to {write('noise', rows)}")
    return rows


if __name__ == "__main__":
    main()
