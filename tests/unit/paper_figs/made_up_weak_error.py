"""Made-up data of the figure of weak errors: exact powers of the evaluations."""

from __future__ import annotations

from fokker.paper_figs import weak_error


def made_up() -> dict:
    """Orders 1, 2 and 3 with constants that grow with eta, no sampler."""
    orders = {"1": 1, "2M": 2, "SA-2": 2, "2S": 2, "2S own": 1, "weak 3": 3}
    etas, nfes = list(weak_error.ETAS), list(weak_error.NFES)
    return {
        "problem": {"law": "none"},
        "etas": etas,
        "nfes": nfes,
        "curves": {
            key: [[(1 + eta) * float(n) ** -p for n in nfes] for eta in etas]
            for key, p in orders.items()
        },
    }
