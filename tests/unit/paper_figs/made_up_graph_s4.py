"""Made-up data of the figure of graphs: exact powers of the steps."""

from __future__ import annotations

from typing import Any

from fokker.paper_figs import graph_s4 as figure


def made_up() -> dict[str, Any]:
    """First order, first order with a floor, and second order."""
    steps = list(figure.STEPS)
    curves = {
        "published": [4.0 / n for n in steps],
        "corrected": [2.0 / n + 0.01 for n in steps],
        "strang": [30.0 / n**2 for n in steps],
    }
    by_size = {
        str(n): [abs(4.0 / n - c / 4) + 0.01 for c in figure.CORRECTIONS] for n in steps[1::2]
    }
    return {
        "steps": steps,
        "curves": curves,
        "corrections": list(figure.CORRECTIONS),
        "by_size": by_size,
    }
