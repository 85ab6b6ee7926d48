"""Made-up data of the figure of perturbation scores: curves that are powers."""

from __future__ import annotations

from typing import Any

from fokker.paper_figs import perturbation_score as figure


def made_up() -> dict[str, Any]:
    """``r^p`` has the area ``1/(p + 1)``."""
    powers = {"EPS": 0.2, "EPS, one draw": 0.5, "one score": 0.9}
    row = {
        name: {"roc": [(k / 20) ** p for k in range(21)], "auc": 1 / (1 + p)}
        for name, p in powers.items()
    }
    rows = {f"{t:g}": row for t in figure.HORIZONS}
    return {"rows": rows, "points": 0.8, "judged": 400}
