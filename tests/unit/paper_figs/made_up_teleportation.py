"""Made-up data of the figure of teleportation: exponentials, a line, a quarter of a circle."""

from __future__ import annotations

from typing import Any

import numpy as np

from fokker.paper_figs import teleportation as figure


def made_up() -> dict[str, Any]:
    """Errors that grow tenfold every fifth of the run; modes that emerge where they should."""
    error = [1e-5 * 10 ** (5 * k / figure.STEPS) for k in figure.SKIPS]
    widths = np.geomspace(0.06, 2.0, 12)
    noise = 0.01 * np.random.default_rng(0).standard_normal(12)
    row = {"width": widths.tolist(), "lam": (-np.log(widths) + noise).tolist()}
    angle = np.linspace(0, np.pi / 2, 9)
    circle = np.stack([np.sin(angle), np.cos(angle)], axis=1).tolist()
    lams = np.linspace(-3.9, -1.0, 24)
    return {
        "skips": list(figure.SKIPS),
        "steps": figure.STEPS,
        "batch": 8,
        "errors": {
            name: {"to_whole": [0.0, *error[1:]], "to_truth": error, "unit": 1.0}
            for name in figure.LAWS
        },
        "emergence": {name: row for name in figure.EMERGING},
        "plane": {"path": circle, "levels": circle, "shares": [0.995, 0.999]},
        "deviation": {
            "lam": lams.tolist(),
            "gap": np.exp(3 * lams + 0.01 * np.sin(40 * lams)).tolist(),
        },
    }
