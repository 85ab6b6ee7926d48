"""Made-up data of the figure of digits: squares that fade into stripes."""

from __future__ import annotations

from typing import Any

import numpy as np

from fokker.paper_figs.digits_bridge import CLASSES, SHOWN, SIGMA


def made_up() -> dict[str, Any]:
    """Distances that halve once, images between two patterns."""
    square, stripes = -np.ones((8, 8)), -np.ones((8, 8))
    square[2:6, 2:6] = 1.0
    stripes[:, ::2] = 1.0
    path = [((1 - u) * square + u * stripes).flatten().tolist() for u in SHOWN]
    return {
        "sigma": SIGMA,
        "steps": 20,
        "classes": list(CLASSES),
        "apart": {"network": [24.0, 15.0, 13.0, 12.5], "lines": [24.0, 14.0, 13.5, 13.0]},
        "right": {"network": [1.0, 0.95, 0.96, 0.95], "lines": [1.0, 0.9, 0.8, 0.8]},
        "paths": [path] * 4,
        "gaussian": 13.0,
    }
