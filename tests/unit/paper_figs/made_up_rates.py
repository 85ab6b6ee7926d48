"""Made-up data of the figure of rates: exact powers, and a valley."""

from __future__ import annotations

from typing import Any

from fokker.paper_figs import rates as figure


def made_up() -> dict[str, Any]:
    """Powers of n, means one standard error off."""
    n = figure.SIZES
    fits = {}
    for k in figure.RANKS:
        line = [k * (k + 3) / (4 * m) for m in n]
        fits[str(k)] = {
            "mean": [1.01 * v for v in line], "error": [0.01 * v for v in line], "exact": line
        }  # fmt: skip
    stops = {}
    for d in figure.DIMS:
        slope = -4 / (4 + d)
        drawn = [m**slope for m in figure.DRAWN]
        stops[str(d)] = {
            "mean": drawn, "error": [0.02 * v for v in drawn], "drawn": drawn,
            "exact": [m**slope for m in n], "slope": slope,
        }  # fmt: skip
    levels = [0.02 * 1.3**k for k in range(20)]
    curves = {str(m): [1 / (m * s * s) + s**4 for s in levels] for m in figure.STOPPED}
    best = {str(m): [m ** (-1 / 6), 2 * m ** (-2 / 3)] for m in figure.STOPPED}
    return {
        "sizes": list(n), "fits": fits, "stops": stops, "levels": levels, "curves": curves,
        "best": best, "draws": 8,
    }  # fmt: skip
