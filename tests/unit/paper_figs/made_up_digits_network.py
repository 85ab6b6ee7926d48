"""Made-up data of the figure of the trained digits: exact powers on both models."""

from __future__ import annotations

from typing import Any

import numpy as np

from fokker.paper_figs import digits_network as figure


def made_up(*, starts: int = 16) -> dict[str, Any]:
    """Errors of orders 1, 2, 2, 3, 3, twice as large on the network."""
    rng = np.random.default_rng(0)
    scale = np.exp(0.3 * rng.standard_normal(starts))
    orders = dict(zip(figure.TITLES, (1, 2, 2, 3, 3), strict=True))
    curves = {
        name: {
            sampler: {
                "nfe": list(figure.NFES),
                "steps": list(figure.NFES),
                "errors": [((k + 1) * scale * n ** float(-p)).tolist() for n in figure.NFES],
            }
            for sampler, p in orders.items()
        }
        for k, name in enumerate(figure.NETWORKS)
    }
    digits = rng.uniform(-1, 1, (10, 64)).round(2).tolist()
    return {"starts": starts, "weights": "none", "curves": curves, "digits": digits}
