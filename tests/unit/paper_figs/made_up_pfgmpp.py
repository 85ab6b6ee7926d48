"""Made-up data of the figure of PFGM++: one over D, and lines."""

from __future__ import annotations

from typing import Any

from fokker.paper_figs import pfgmpp as figure


def made_up() -> dict[str, Any]:
    """Distances that fall as 1/D, samples that suffer the more the larger D."""
    names = ["1", "4", "16", "128", "∞"]
    return {
        "dimensions": list(figure.DIMENSIONS),
        "gaps": [[1 / (1 + d), 1 / d] for d in figure.DIMENSIONS],
        "injected": list(figure.INJECTED),
        "rows": {
            name: [[0.1 + a * (1 + 0.1 * k), 0.11 + a * (1 + 0.1 * k)] for a in figure.INJECTED]
            for k, name in enumerate(names)
        },
        "batch": 8,
        "steps": 18,
    }
