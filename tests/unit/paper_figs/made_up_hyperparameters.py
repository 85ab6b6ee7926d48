"""Made-up data of the figure on hyperparameters: additive effects."""

from __future__ import annotations

from typing import Any


def made_up() -> dict[str, Any]:
    """Log errors of 3 x 2 x 2 x 2 combinations."""
    responses = [
        [[[-2.0 + 0.3 * a - 0.2 * b + 0.1 * c * d for d in range(2)] for c in range(2)]
         for b in range(2)]
        for a in range(3)
    ]  # fmt: skip
    plain = {"5": 0.4, "8": 0.2, "20": 0.01}
    return {"dim": 192, "batch": 4, "steps": 5, "plain": plain, "responses": responses}
