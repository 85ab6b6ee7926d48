"""Made-up data of the figure on caching: exact powers, no sampler."""

from __future__ import annotations

from typing import Any

RULES = {"reuse": 1, "line": 2, "taylorseer": 2, "parabola": 3}


def made_up() -> dict[str, Any]:
    """Errors that grow with the interval as the order says."""
    intervals = [2, 3, 4, 5, 6]
    return {
        "intervals": intervals,
        "steps": [50, 200],
        "batch": 4,
        "errors": {
            str(n): {"full": [1e-6]}
            | {name: [10.0 * (k / n) ** p / p for k in intervals] for name, p in RULES.items()}
            for n in (50, 200)
        },
        "slopes": {name: float(p) for name, p in RULES.items()},
        "sada": [
            {"skipped": [0.3, 0.7], "ratio": {"sada": 1.1, "published": 9.0, "periodic": 1.4}}
        ]
        * 5,
        "pattern": {
            "lam": [-4.0 + 0.5 * k for k in range(14)],
            "asked": [1.0, 1.0, 1.0, *[0.4, 0.9] * 5, 1.0],
            "curvature": [abs(6.0 - k) / 6.0 for k in range(12)],
        },
    }
