"""Made-up data of the accuracy figure: exact powers, no sampler."""

from __future__ import annotations

from fokker.paper_figs import accuracy


def made_up() -> dict:
    """Errors that fall by a power of ten every ten evaluations, times one more for each peer."""
    names = list(accuracy.TITLES)
    curves = {
        name: {
            "nfe": [10 * (k + 1) * n for n in range(1, 9)],
            "errors": [10.0**-n for n in range(1, 9)],
        }
        for k, name in enumerate(names)
    }
    rows = [
        {"name": "strip_adams_4", "grid": "sinh", "own": True, "rms": 0.01, "median": 0.004},
        {"name": "ipndm", "grid": "equal in √t", "own": False, "rms": 0.02, "median": 0.009},
    ]
    return {
        "batch": 8,
        "starts": 4,
        "laws": {law: curves for law in accuracy.LAWS},
        "few": {str(b): rows for b in accuracy.BUDGETS},
        "budgets": list(accuracy.BUDGETS),
    }
