"""Made-up data of the figure on correctors: powers of the evaluations."""

from __future__ import annotations

from typing import Any

NFES = [10, 20, 40, 80, 160]


def power(factor: float) -> list[float]:
    """Errors of order 1."""
    return [factor * 5.0 / n for n in NFES]


def made_up() -> dict[str, Any]:
    """Two seeds, a factor for each method."""
    gaussian = {"predictor": 1.0, "fewer": 2.0, "published": 1.5, "best": 0.8, "corrector": 3.0}
    mixture = {"predictor": 1.0, "fewer": 2.0, "published": 1.4, "sample": 6.0, "batch": 1.3}
    return {
        "nfes": NFES,
        "gaussian": {name: power(f) for name, f in gaussian.items()} | {"snr": [0.5] * len(NFES)},
        "mixture": {
            "errors": {name: [power(f), power(1.1 * f)] for name, f in mixture.items()},
            "floor": [0.02, 0.03],
        },
        "inpainting": {
            "steps": [0, 1, 2, 5, 10, 20],
            "level": [0.5, 0.4, 0.3, 0.2, 0.15, 0.1],
            "lag": [0.55, 0.45, 0.35, 0.25, 0.2, 0.15],
        },
        "batch": 4000,
    }
