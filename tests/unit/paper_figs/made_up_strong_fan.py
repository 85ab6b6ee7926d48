"""Made-up data of the figure of strong convergence: powers of the declared orders."""

from __future__ import annotations

import math
from typing import Any

from fokker.paper_figs import strong_fan as figure
from fokker.solvers.registry import get


def made_up() -> dict[str, Any]:
    """Errors by the declared orders; a wave that is refined; noise that stays."""
    steps = list(figure.STEPS)
    orders = {name: float(get(name).strong or 1.0) for name in figure.SHOWN}
    rows = {name: [n**-p for n in steps] for name, p in orders.items()}
    paths = {
        str(n): [[6 * k / n - 3, math.sin(6 * k / n) + 1 / n] for k in range(n + 1)]
        for n in (*figure.FAN, figure.FINEST)
    }
    return {
        "problem": {"law": "made up"},
        "gaussian": {"law": "made up"},
        "steps": steps,
        "fan": list(figure.FAN),
        "finest": figure.FINEST,
        "nonlinear": {name: row for name, row in rows.items() if get(name).clock != "t"},
        "exact": rows,
        "apart": [0.5] * len(steps),
        "paths": paths,
        "span": list(figure.SPAN),
    }
