"""Made-up data of the figure of interpolants: moving bumps and two curves with a minimum."""

from __future__ import annotations

from typing import Any

import numpy as np

from fokker.paper_figs import interpolants as figure


def made_up() -> dict[str, Any]:
    """A bump that moves from left to right, U-shapes below."""
    x, epsilons = np.linspace(-figure.SIDE, figure.SIDE, 21), np.geomspace(0.02, 20, 5)
    table = [np.exp(-((x - 3 * u) ** 2)).round(4).tolist() for u in np.linspace(-1, 1, 11)]
    shape = epsilons + 1 / epsilons
    return {
        "side": figure.SIDE,
        "densities": {
            name: table
            for name in ("linear", "trigonometric", "smooth", "encoder-decoder", "mirror")
        },
        "epsilons": epsilons.tolist(),
        "costs": {
            "kl": (0.01 * shape).tolist(),
            "bound": (0.04 * shape).tolist(),
        },
        "right": [0.0] * 3,
        "ode": 0.07,
        "steps": 32,
        "errors": {name: (0.01 * shape).tolist() for name in figure.METHODS},
        "errors_ode": dict.fromkeys(figure.METHODS, 0.05),
    }
