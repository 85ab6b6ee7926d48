"""Made-up data of the figure of mean reversion: exact powers."""

from __future__ import annotations

from typing import Any

from fokker.paper_figs import mean_reverting as figure


def made_up() -> dict[str, Any]:
    """Errors of every sampler are powers of the number of steps."""
    orders = {name: 1 + k % 3 for k, name in enumerate(figure.SHOWN)}
    return {
        "steps": list(figure.STEPS),
        "fine": list(figure.FINE),
        "curves": {
            name: [1e-3 + n ** float(-p) for n in figure.STEPS] for name, p in orders.items()
        },
        "slopes": {
            name: [n ** float(-orders[name]) for n in figure.FINE] for name in figure.SLOPED
        },
        "start_error": 1e-3,
        "scale": 0.1,
        "batch": 4,
    }
