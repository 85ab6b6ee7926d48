"""Made-up data of the figure of snapshots: exact powers, a spiral and its chords."""

from __future__ import annotations

from typing import Any

import numpy as np


def made_up() -> dict[str, Any]:
    """Rates that converge, one error that does not, a spiral."""
    rounds = np.arange(12)
    t = np.linspace(0.0, 2.1, 64)
    spiral = (2 * np.exp(-0.6 * t) * np.stack([np.cos(2 * t), -np.sin(2 * t)])).T
    fallen = (0.1**rounds).clip(1e-10).tolist()
    plane = {
        "off centre": {"error": fallen, "unseen": 0, "verdict": "recovered"},
        "stationary": {"error": [2.8] * 12, "unseen": 1, "verdict": "not unique"},
    }
    for row in plane.values():
        row |= {"entropy": (0.05**rounds).tolist(), "drift": [[-0.6, 2.0], [-2.0, -0.6]]}
    return {
        "rates": {n: (1 - r**rounds).tolist() for n, r in (("2", 0.6), ("3", 0.2), ("5", 0.05))},
        "plane": plane,
        "wrong": 1.5,
        "entropy_of_wrong_noise": (0.1 + 0.5**rounds).tolist(),
        "paths": {
            "true": spiral.tolist(),
            "given": spiral[::21].tolist(),
            "brownian": (0.9 * spiral).tolist(),
            "refined": spiral.tolist(),
        },
    }
