"""Made-up data of the figure of learned maps: errors are exact powers of the size."""

from __future__ import annotations

from typing import Any

from fokker.paper_figs import transport_maps as figure


def made_up() -> dict[str, Any]:
    """The entropic map falls as 1/sqrt(n), the nearest point as n^(-0.3), a line not at all."""
    powers = {"entropic": -0.5, "nearest": -0.3, "gaussian": 0.0}
    errors = {
        kind: [[(1 + 0.01 * k) * n**power for k in range(3)] for n in figure.SIZES]
        for kind, power in powers.items()
    }
    start = [[0.1 * k, -0.05 * k] for k in range(8)]
    return {
        "sizes": list(figure.SIZES),
        "fractions": list(figure.FRACTIONS),
        "errors": errors,
        "variance": 6.0,
        "bounds": [[1 - f, 1 + 2 * f] for f in figure.FRACTIONS],
        "iterations": [10] * len(figure.FRACTIONS),
        "exact": 1.0,
        "arrows": [start, start[::-1], start],
    }
