"""Made-up data of the figure of slight corruption: parabolas whose valley moves to 0."""

from __future__ import annotations

from typing import Any

from fokker.paper_figs import slight_corruption as figure


def made_up() -> dict[str, Any]:
    """Least at ``gamma^2 = law(n)``."""
    gammas = list(figure.GAMMAS)
    curves = {
        str(n): [0.4 / n + (g * g - figure.law(n)) ** 2 for g in gammas] for n in figure.SHOWN
    }
    marks = {n: [[row[k], 0.01 * row[k]] for k in figure.MARKED] for n, row in curves.items()}
    return {
        "gammas": gammas, "curves": curves, "marks": marks, "draws": 8,
        "entropy": [1 + g for g in gammas],
        "sizes": list(figure.SIZES), "best": [figure.law(n) for n in figure.SIZES],
    }  # fmt: skip
