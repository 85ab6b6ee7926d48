"""Made-up data of the figure of DC-Solver: gains and ratios by formula."""

from __future__ import annotations

from typing import Any

from fokker.paper_figs import dc_solver as figure


def made_up() -> dict[str, Any]:
    """Few starts: half the error on its own starts, twice on others; many: 0.8 on both."""
    gains = {
        str(n): {
            str(figure.FEW): [0.5 / n**2, 1 / n**2, 2 / n**2, 1 / n**2],
            str(figure.MANY): [0.8 / n**2, 1 / n**2, 0.8 / n**2, 1 / n**2],
        }
        for n in figure.STEPS
    }
    ratios = {
        f"{n} {w:g}": [1.0, 1.0, *(1 + 0.02 * w * (k / n) ** 2 for k in range(2, n))]
        for n in figure.STEPS
        for w in figure.SCALES
    }
    errors = {"UniPC-2": 0.3, "surface": 0.11, "search": 0.105}
    steps, scale = figure.UNSEEN
    unseen = {"steps": steps, "scale": scale, "errors": errors}
    return {
        "steps": list(figure.STEPS),
        "batch": 8,
        "gains": gains,
        "ratios": ratios,
        "unseen": unseen,
    }
