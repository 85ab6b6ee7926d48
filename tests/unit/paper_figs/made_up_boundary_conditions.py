"""Made-up data of the figure of boundary conditions: a line with noise, and powers."""

from __future__ import annotations

from typing import Any

import numpy as np

from fokker.paper_figs import boundary_conditions as figure


def made_up() -> dict[str, Any]:
    """Losses that go together, and the best of K as ``K^(-2/d)``."""
    x = 1.0 + np.random.default_rng(0).random(40)
    x[0] = 0.9
    rows = {str(d): [k ** (-2 / d) for k in figure.COUNTS] for d in figure.DIMENSIONS}
    return {
        "references": x.tolist(),
        "others": (x + 0.1).tolist(),
        "posterior": 0.8,
        "counts": list(figure.COUNTS),
        "best": {d: {"law": row, "seen": row} for d, row in rows.items()},
    }
