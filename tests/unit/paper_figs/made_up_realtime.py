"""Made-up data of the figure of real-time iteration: powers and exponentials."""

from __future__ import annotations

from typing import Any

import numpy as np

from fokker.paper_figs import realtime as figure


def made_up() -> dict[str, Any]:
    """Distances that fall with the steps, a share that falls with lam."""
    lams = np.asarray(figure.MODES)
    return {
        "steps": list(figure.STEPS),
        "cold": [1 / n for n in figure.STEPS],
        "rows": {f"{lam:g}": [[0.1 / n, 0.3, 0.3] for n in figure.STEPS] for lam in figure.LEVELS},
        "levels": lams.tolist(),
        "share": (0.5 / (1 + np.exp(2 * lams))).tolist(),
        "kappa": (1 / (1 + np.exp(-lams))).tolist(),
        "batch": 10,
    }
