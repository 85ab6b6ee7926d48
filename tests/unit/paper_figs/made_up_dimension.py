"""Made-up data of the figure of dimension: tangents stay, normals are sigma."""

from __future__ import annotations

import math
from typing import Any

from fokker.paper_figs import dimension as figure


def made_up() -> dict[str, Any]:
    """Counts that are right below one half."""
    sigmas = list(figure.SIGMAS)
    rows = {}
    for rank in figure.RANKS:
        tangents = [[1 / figure.NOISE] * rank for _ in sigmas]
        normals = [[s / figure.NOISE] * (figure.DIM - rank) for s in sigmas]
        count = [rank if s < 0.5 else figure.DIM for s in sigmas]
        rows[str(rank)] = {
            "values": [a + b for a, b in zip(tangents, normals, strict=True)],
            "flow": count, "scores": count, "fixed": [figure.DIM for _ in sigmas],
        }  # fmt: skip
    gauged = [
        {"dimension": 1 if c < 9 else 0, "angle": math.degrees(math.atan(c)), "tangent": 1 + c}
        for c in figure.STRENGTHS
    ]
    circle = {"scores": 1, "flow": 1, "values": [1.0, 0.1, 0.1], "spectrum": [1.0, 1.0, 0.1]}
    return {
        "sigmas": sigmas, "rows": rows, "strengths": list(figure.STRENGTHS), "gauged": gauged,
        "circle": circle,
    }  # fmt: skip
