"""Made-up data of the figure on LML: rounding as it is expected, parabolas."""

from __future__ import annotations

from typing import Any

UNITS = {"float64": 1e-16, "float32": 6e-8, "bfloat16": 4e-3}


def made_up() -> dict[str, Any]:
    """Changes of one unit times 3072 over the damping."""
    dampings = [1e-4, 3e-4, 8e-4, 3e-3, 1e-2, 0.1, 1.0, 10.0]
    sizes = [round(0.1 * k - 0.5, 1) for k in range(11)]
    return {
        "dampings": dampings,
        "change": {name: [min(1.0, u * 3072 / d) for d in dampings] for name, u in UNITS.items()},
        "tiny": [6e-8] * len(dampings),
        "sizes": sizes,
        "errors": {
            a: {n: [0.01 + (c - 0.2) ** 2 for c in sizes] for n in ("5", "10", "20")}
            for a in ("0", "0.1", "0.2")
        },
        "batch": 4,
    }
