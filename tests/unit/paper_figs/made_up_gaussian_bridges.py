"""Made-up data of the figure of Gaussian bridges: circles on a line, two powers."""

from __future__ import annotations

from typing import Any

from fokker.paper_figs import gaussian_bridges as figure


def made_up() -> dict[str, Any]:
    """Circles that move from left to right; couplings that leave one limit for the other."""
    unit = [[0.5, 0.0], [0.0, 0.5]]
    laws = [{"mean": [-2.0 + k, 0.1 * k], "cov": unit} for k in range(5)]
    return {
        "sigmas": list(figure.SIGMAS),
        "laws": {name: laws for name in figure.TITLES},
        "skew": {name: 1.0 for name in figure.TITLES},
        "beyond": {name: 1e-14 for name in figure.TITLES},
        "from_map": [s * s / (1 + s * s) for s in figure.SIGMAS],
        "from_none": [1 / (1 + s * s) for s in figure.SIGMAS],
        "middle": [1 + s * s for s in figure.SIGMAS],
    }
