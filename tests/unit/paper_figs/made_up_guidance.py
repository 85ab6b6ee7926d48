"""Made-up data of the figure on guidance: powers of the weight."""

from __future__ import annotations

from typing import Any

NAMES = ("ddim", "dpm_solver_2", "dpmpp_2s", "dpmpp_2m", "exp_ab2_noise")


def made_up() -> dict[str, Any]:
    """Errors that grow like a power of the weight, another one for each sampler."""
    weights, nfes = [1.0, 2.0, 4.0, 7.5, 12.0], [10, 16, 20]
    errors = {
        f"{w:g}": {str(n): {s: w ** (k / 2) / n for k, s in enumerate(NAMES)} for n in nfes}
        for w in weights
    }
    travels = {
        f"{w:g}": [0.1 * w / (1 + r) for r in (0, 1, 3, 7)] + [0.1 * w] for w in weights[:4]
    }
    return {
        "weights": weights, "nfes": nfes, "batch": 4, "errors": errors,
        "samples": 8, "rounds": [0, 1, 3, 7], "travels": travels,
    }  # fmt: skip
