"""Made-up data of the figure on the Fokker-Planck penalty: the shape that the paper reports."""

from __future__ import annotations

from typing import Any


def made_up() -> dict[str, Any]:
    """A gap that falls, an SDE that gets worse, an ODE that is best in the middle."""
    gaps, odes, sdes = (0.15, 0.09, 0.05, 0.03), (0.15, 0.11, 0.12, 0.18), (0.06, 0.08, 0.1, 0.17)
    rows = [
        {
            "weight": w, "gap": gaps[k], "ode": odes[k], "sde": sdes[k],
            "denoising": 0.15 + 0.01 * k, "penalty": 0.3 * 0.3**k,
        }
        for k, w in enumerate((0.0, 0.1, 1.0, 10.0))
    ]  # fmt: skip
    return {"floor": 0.02, "rows": rows, "steps": 2000}
