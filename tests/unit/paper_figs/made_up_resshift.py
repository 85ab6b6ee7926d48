"""Made-up data of the figure of ResShift: exact powers, and a curve in the plane."""

from __future__ import annotations

from typing import Any

from fokker.paper_figs import resshift as figure


def made_up() -> dict[str, Any]:
    """Perception and distortion of every sampler."""
    steps, kappas = figure.STEPS, figure.KAPPAS
    orders = {name: 1 + k % 3 for k, name in enumerate(figure.SHOWN)}
    return {
        "steps": list(steps),
        "kappas": list(kappas),
        "batch": 4,
        "by_steps": {name: [[n ** float(-p), 1.0] for n in steps] for name, p in orders.items()},
        "by_kappa": {
            name: [[0.4 / (p + k), 0.5 + 0.01 * p * k] for k in kappas]
            for name, p in orders.items()
        },
        "posterior": 0.4,
    }
