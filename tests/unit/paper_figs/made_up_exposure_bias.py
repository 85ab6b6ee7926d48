"""Made-up data of the figure on exposure bias: straight lines."""

from __future__ import annotations

from typing import Any

NAMES = ("ddim", "whole", "published", "target")


def made_up() -> dict[str, Any]:
    """Ratios that leave 1 at another rate each."""
    steps = [5, 8, 10, 15, 20, 30, 50]
    return {
        "lams": [0.7 * k - 4 for k in range(11)],
        "along": {n: [1 - 0.02 * k * (j + 1) / 2 for k in range(11)] for j, n in enumerate(NAMES)},
        "steps": steps,
        "ends": {n: [1 - 2 / (k + j) for k in steps] for j, n in enumerate(NAMES)},
        "shown": 10,
        "images": [{"ddim": 0.2, "whole": 0.15, "published": 0.22}] * 5,
    }
