"""Made-up data of the figure on DualFast: powers of the number of steps."""

from __future__ import annotations

from typing import Any

CASES = ("ddim-last", "ddim-first", "dpmpp_2m-last", "dpmpp_2m-first")


def made_up() -> dict[str, Any]:
    """A solver's error that falls below a network's, and mixings that fall."""
    steps = [5, 8, 10, 15, 20, 40, 80]
    rows = [
        {"total": 0.1 + 1 / n, "approximation": 0.1, "discretization": 1 / n, "cross": 0.0,
         "cosine": 0.0}
        for n in steps
    ]  # fmt: skip
    best = {case: [[k / n, 0.1, 0.2] for n in steps] for k, case in enumerate(CASES)}
    return {
        "steps": steps, "batch": 4, "split": rows, "best": {"exact": best, "imperfect": best},
    }  # fmt: skip
