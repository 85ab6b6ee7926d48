"""Made-up data of the figure of rectification: arcs and lines."""

from __future__ import annotations

from typing import Any

import numpy as np

from fokker.paper_figs import rectified as figure


def made_up() -> dict[str, Any]:
    """Arcs before and on the variance-preserving process, lines on the flow after."""
    angle = np.linspace(0, np.pi / 2, 9)
    arc = np.stack([2 * np.sin(angle), 2 * np.cos(angle)], axis=1).tolist()
    line = np.stack([angle, 1 - angle], axis=1).tolist()
    out: dict[str, Any] = {"batch": 3, "shown": 2}
    for name in figure.PROCESSES:
        for when in ("before", "after"):
            bent = when == "before" or name == "vp"
            out[f"{name} {when}"] = {
                "curvature": [0.1, 0.11, 0.12] if bent else [0.0, 1e-16, 0.0],
                "variation": [0.5, 0.6, 0.7] if when == "before" else [1e-15, 0.0, 1e-15],
                "error": [0.8, 0.9, 1.0] if when == "before" else [1e-15, 0.0, 1e-15],
                "paths": [arc, arc] if bent else [line, line],
            }
    return out
