"""Made-up data of the figure of subspaces: a step at N = d, blurred by noise."""

from __future__ import annotations

from typing import Any

from fokker.paper_figs import subspace_recovery as figure


def made_up() -> dict[str, Any]:
    """0 from N = d on, the missing share before."""
    step = [[max(d - n, 0) / d for n in figure.COUNTS] for d in figure.RANKS]
    row = [max(figure.SLICE - n, 0) / figure.SLICE for n in figure.COUNTS]
    noisy = {f"{v:g}": [r + v * v for r in row] for v in figure.DELTAS}
    return {
        "ranks": list(figure.RANKS), "counts": list(figure.COUNTS), "pca": step, "trained": step,
        "rows": {"24": row, "96": row}, "noisy": noisy, "draws": 4,
    }  # fmt: skip
