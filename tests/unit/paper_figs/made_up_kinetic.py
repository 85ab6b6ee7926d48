"""Made-up data of the figure of energies: smooth curves with a crossing."""

from __future__ import annotations

from typing import Any

import numpy as np

from fokker.paper_figs import kinetic as figure


def made_up() -> dict[str, Any]:
    """Straight and trigonometric cross; the pair's ratio falls to 1; paths are the chord."""
    b = np.geomspace(0.05, 4.0, 9)
    dims = list(figure.DIMS)
    line = [[u, 1 - u] for u in np.linspace(0, 1, 5).tolist()]
    return {
        "b": b.tolist(),
        "gauss": {
            "straight": (1 + b**2 - np.pi * b / 2).tolist(),
            "trigonometric": (np.pi**2 / 8 * (1 - b) ** 2).tolist(),
            "least": ((1 - b) ** 2).tolist(),
        },
        "dims": dims,
        "pair": {
            "straight": [2 - 1 / d for d in dims],
            "trigonometric": [2.4 - 1.5 / d for d in dims],
            "least": [2 - 1.5 / d for d in dims],
        },
        "curves": {str(d): line for d in figure.SHOWN},
        "conditional": {"straight": 2.0, "trigonometric": 2.467},
    }
