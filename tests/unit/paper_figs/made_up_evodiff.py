"""Made-up data of the figure on EVODiff: exact powers."""

from __future__ import annotations

from typing import Any

ORDERS = {
    "ddim": 1, "dpmpp_2m": 2, "unipc_2": 3, "evodiff": 1, "evodiff_theory": 2,
    "evodiff_published": 0,
}  # fmt: skip


def made_up() -> dict[str, Any]:
    """Errors that fall as the order says."""
    nfes = [5, 8, 10, 15, 20, 40, 80, 160]
    errors = {
        s: {kind: [float(n) ** -p for n in nfes] for kind in ("rms", "median")}
        for s, p in ORDERS.items()
    }
    return {"nfes": nfes, "batch": 4, "errors": {"mixture": errors, "images": errors}}
