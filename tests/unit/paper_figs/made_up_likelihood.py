"""Made-up data of the figure of likelihoods: powers, normal estimates, a prior that fades."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fokker.paper_figs import likelihood as figure


def made_up() -> dict[str, Any]:
    """Errors by order; estimates with the variances that are written beside them."""
    fixed = {
        name: [{"nfe": n, "error": float(n) ** -order} for n in figure.BUDGETS]
        for name, (_, _, order) in figure.STAGES.items()
    }
    free = {
        name: [{"nfe": int(-20 * math.log10(tol)), "error": tol} for tol in figure.TOLS]
        for name in figure.ADAPTIVE
    }
    rng = np.random.default_rng(0)
    off = {kind: rng.standard_normal(256) * (1 + k) for k, kind in enumerate(figure.PROBES)}
    return {
        "problem": {"law": "made up"},
        "digits": {"law": "made up"},
        "dim": 64,
        "budgets": list(figure.BUDGETS),
        "tols": list(figure.TOLS),
        "fixed": fixed,
        "free": free,
        "probes": {
            "off": {kind: values.tolist() for kind, values in off.items()},
            "variance": {
                kind: {"data": (1.0 + k) ** 2, "noise": (1.0 + k) ** 2}
                for k, kind in enumerate(figure.PROBES)
            },
        },
        "levels": list(figure.LEVELS),
        "prior": [math.exp(2 * lam) for lam in figure.LEVELS],
        "batch": 4,
    }
