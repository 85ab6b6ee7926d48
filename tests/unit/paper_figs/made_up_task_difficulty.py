"""Made-up data of the figure of task difficulty: powers of t, exponentials of training."""

from __future__ import annotations

import math
from typing import Any

from fokker.paper_figs import task_difficulty as figure


def made_up() -> dict[str, Any]:
    """Small t is hard for noise; every level alike for data."""
    times = [0.005 * 1.4**k for k in range(20)]
    rows = {}
    for rank in figure.RANKS:
        kl = [1e-6 * (figure.DIM - rank) / (4 * t * t) for t in times]
        rows[str(rank)] = {"kl": kl, "limit": kl}
    steps = list(range(0, 301, 50))
    clusters = len(figure.EDGES) - 1
    curves = {
        "noise": [[math.exp(-s * (1 + k) / 60) for s in steps] for k in range(clusters)],
        "data": [[math.exp(-s / 60) for s in steps] for _ in range(clusters)],
    }
    return {
        "times": times, "rows": rows, "steps": steps, "curves": curves,
        "edges": list(figure.EDGES),
    }  # fmt: skip
