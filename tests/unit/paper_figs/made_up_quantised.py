"""Made-up data of the figure of fewer bits: errors that halve with every bit."""

from __future__ import annotations

from typing import Any

from fokker.paper_figs import quantised as figure


def made_up() -> dict[str, Any]:
    """Predictions that are right, but on the fine ODE."""

    def row(bits: int, factor: float) -> dict[str, float]:
        e = 2.0**-bits
        return {
            "measured": factor * e, "linear": e, "independent": e, "w2": e * e, "w2_white": e * e,
        }  # fmt: skip

    network = [
        {"bits": b, "per": per, "measured": k * 2.0**-b, "linear": k * 2.0**-b,
         "independent": 0.3 * k * 2.0**-b}
        for b in figure.WEIGHT_BITS
        for k, per in enumerate(("channel", "tensor"), 1)
    ]  # fmt: skip
    runs = {
        key: [row(b, 2.0 if key == "ddim_fine" else 1.0) for b in figure.BITS]
        for key in figure.RUNS
    }
    return {
        "bits": list(figure.BITS), "runs": runs, "network": network,
        "care": {"all": 0.2, "but_embedding": 0.19}, "weights": "none", "spread": 0.5,
    }  # fmt: skip
