"""Made-up data of the figure of iterations: exact powers, and learned ones beside them."""

from __future__ import annotations

from typing import Any

from fokker.paper_figs.imf_iterates import GOLDEN, A


def made_up() -> dict[str, Any]:
    """Errors that shrink tenfold, and by the squared correlation with alternating sign."""
    rho2 = GOLDEN**2
    exact = {
        "imf": [GOLDEN - GOLDEN * 0.1**k for k in range(9)],
        "ipf": [GOLDEN + (1 - GOLDEN) * (-rho2) ** k for k in range(9)],
    }
    learned = {
        name: {
            "cross": [[v - 0.01, v, v + 0.02] for v in row],
            "mean": [[A - 0.01, A, A + 0.01]] * 9,
            "var": [[0.99, 1.0, 1.02]] * 9,
        }
        for name, row in exact.items()
    }
    rates = [rho2, rho2**2]
    return {"exact": exact, "rates": rates, "learned": learned, "dim": 3, "steps": 40}
