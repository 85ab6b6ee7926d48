"""Made-up data of the figure of a wrong start: exponentials in eta, powers in the steps."""

from __future__ import annotations

import math
from typing import Any

from fokker.paper_figs import prior_mismatch as figure


def made_up() -> dict[str, Any]:
    """Each direction forgets at the rate 1; steps cost ``(1 + eta)^2/n^2``."""
    along, etas = [-1.5, 0.0, 2.0, 4.0], list(figure.ETAS)
    return {
        "problem": {"law": "made up"},
        "etas": etas,
        "levels": list(figure.LEVELS),
        "along": along,
        "steps": list(figure.STEPS),
        "begun": -1.5,
        "way": [[math.exp(-2 * e * k / 3) for k in range(4)] for e in etas],
        "last": [[math.exp(b * (1 + e)) for b in figure.LEVELS] for e in etas],
        "budget": {
            f"{e:g}": [0.1 * math.exp(-e) + (1 + e) ** 2 / n**2 for n in figure.STEPS]
            for e in figure.METHODS
        },
        "exact": {f"{e:g}": 0.1 * math.exp(-e) for e in etas},
        "slowest": 1.0,
    }
