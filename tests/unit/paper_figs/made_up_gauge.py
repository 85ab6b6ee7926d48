"""Made-up data of the figure of gauges: circles for paths, exponentials for singular values."""

from __future__ import annotations

import math
from typing import Any

from fokker.paper_figs import gauge as figure


def made_up() -> dict[str, Any]:
    """A bound that grows with c^2 while the laws agree."""
    lams = [-2.5 + 5.5 * k / 12 for k in range(13)]
    paths = {
        key: [
            [[math.cos(a + turn * k / 9), (1 + k / 9) * math.sin(a)] for k in range(10)]
            for a in range(5)
        ]
        for key, turn in (("0", 0.0), ("2", 1.5))
    }
    return {
        "shown": 2.0,
        "strengths": list(figure.STRENGTHS),
        "paths": paths,
        "plane": [
            {"girsanov": 3 * c * c, "kl": 1e-14, "w2": 1e-9, "ode_w2": 1e-9, "coupling": 0.2 * c}
            for c in figure.STRENGTHS
        ],
        "lams": lams,
        "circle": {
            "0": [[1.0, math.exp(-lam), 0.8 * math.exp(-lam)] for lam in lams[1:]],
            "0.5": [[1.1, 1.2 * math.exp(-lam), 0.9 * math.exp(-lam)] for lam in lams[1:]],
        },
        "tilt": {"plain": [20, 20, 1], "stirred": [22, 20, 1.1], "counts": [2, 2], "angle": 26.6},
    }
