"""Made-up data of the figure of edits: tables and shares by formula."""

from __future__ import annotations

from typing import Any

import numpy as np

from fokker.paper_figs import edit_friendly as figure


def made_up() -> dict[str, Any]:
    """Neighbours correlate by -1/2 exactly; half of the rest of an edit with each level."""
    n = figure.STEPS
    eye = np.eye(n)
    maps = eye - 0.5 * (np.eye(n, k=1) + np.eye(n, k=-1))
    shares = [1 - 0.5**k for k in figure.LEVELS]
    return {
        "batch": 10,
        "skips": list(figure.SKIPS),
        "levels": list(figure.LEVELS),
        "native": eye.tolist(),
        "maps": maps.tolist(),
        "std": [3.5] * n,
        "reconstruction": 1e-15,
        "same": 0.0,
        "skipped": [1 - k / 100 for k in figure.SKIPS],
        "infedit": shares,
        "closed": shares,
    }
