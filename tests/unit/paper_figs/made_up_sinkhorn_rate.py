"""Made-up data of the figure of Sinkhorn's rate: predictions that are met to 2 %."""

from __future__ import annotations

from typing import Any

from fokker.paper_figs import sinkhorn_rate as figure


def made_up() -> dict[str, Any]:
    """Iterations grow as 1/epsilon, with overshooting as its root; costs are biased by epsilon."""
    gaussians = [
        {
            "rate": 1 / (1 + e),
            "plain": {"measured": 1.02 * 3 / e, "predicted": 3 / e},
            "overshooting": {"measured": 0.98 * 2 / e**0.5, "predicted": 2 / e**0.5},
        }
        for e in figure.EPSILONS
    ]
    clouds = [
        {
            "plain": {"iterations": int(10 / f), "converged": f > 2e-3},
            "overshooting": {"iterations": int(12 / f**0.5), "converged": True},
            "converged": True,
            "transport": 1 + f,
            "divergence": 1 - 0.1 * f,
        }
        for f in figure.FRACTIONS
    ]
    return {
        "epsilons": list(figure.EPSILONS),
        "fractions": list(figure.FRACTIONS),
        "points": 256,
        "gaussians": gaussians,
        "clouds": clouds,
        "exact": 1.0,
    }
