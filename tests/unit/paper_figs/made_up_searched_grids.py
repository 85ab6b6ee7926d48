"""Made-up data of the figure on searched grids: no sampler, no search."""

from __future__ import annotations

import math
from typing import Any


def made_up() -> dict[str, Any]:
    """A smooth entropy, grids around its fall, errors that fall with trials."""
    lams = [-4.0 + 0.125 * k for k in range(57)]
    grids = {
        f"{name} {n}": {
            "lams": [-4.0, *(-1.0 + 2.5 * k / n for k in range(1, n)), 3.0],
            "uniform": 1.0 / n,
            "searched": 0.6 / n,
            "runs": 20,
        }
        for name in ("ddim", "dpmpp_2m")
        for n in (4, 6, 8)
    }
    speeds = {"random": 0.1, "evolution": 0.3, "predictor": 0.3}
    return {
        "train": 8,
        "others": 8,
        "entropy": {"lam": lams, "nats": [1.5 / (1 + math.exp(3 * v)) for v in lams]},
        "grids": grids,
        "bases": {"dpmpp_2m logSNR": 0.1, "unipc_2 EDM": 0.12},
        "tau": [0.5, 0.6, 0.7],
        "searches": {
            strategy: [
                {
                    "best": [0.1 * k**-speed for k in range(1, 41)],
                    "unseen": 0.1 * 40**-speed,
                }
                for _ in range(3)
            ]
            for strategy, speed in speeds.items()
        },
    }
