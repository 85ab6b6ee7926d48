"""Made-up data of the figure of fewer samples: errors of order one, fits that meet the theory."""

from __future__ import annotations

from typing import Any

from fokker.paper_figs import fewer_samples as figure


def made_up() -> dict[str, Any]:
    """Weak errors 0.05 h on both sides; deviations and fits in round numbers."""
    weak = [
        {"truth": 0.05 / n, "plain": 0.05 / n + 0.004, "plain_deviation": 0.013,
         "coupled": 0.05 / n, "coupled_deviation": 0.013 / n}
        for n in figure.STEPS
    ]  # fmt: skip
    fits = {
        name: [1 + size * 5 / (n - 4) for n in figure.COUNTS]
        for name, size in (("uniform", 50.0), ("independent, k/m", 10.0), ("volume-sampled", 1.0))
    }
    rare = dict(zip(figure.KINDS, ([27.0, 246.0], [1.7, 1.4], [1.3, 0.9]), strict=True))
    return {
        "steps": list(figure.STEPS), "weak": weak, "paths": 20_000, "rare": rare,
        "counts": list(figure.COUNTS), "fits": fits, "functions": 5,
    }  # fmt: skip
