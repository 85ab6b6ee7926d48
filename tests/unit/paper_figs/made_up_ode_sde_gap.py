"""Made-up data of the figure of the gap: straight lines, bounds three times too wide."""

from __future__ import annotations

from typing import Any

from fokker.paper_figs import ode_sde_gap as figure


def _row(size: float, eta: float) -> dict[str, float | None]:
    return {
        "w2": size, "w2_bound": 3 * size, "gap": size / 2, "gap_bound": 2 * size if eta else 0.0,
        "kl": size**2 / (1 + eta),
        "girsanov": (1 + eta) ** 2 / (2 * eta) * size**2 if eta else None,
    }  # fmt: skip


def made_up() -> dict[str, Any]:
    """Widths of first order in delta, divergences that fall with eta."""
    return {
        "deltas": list(figure.DELTAS),
        "etas": list(figure.ETAS),
        "widths": [[0.3 * 2.0 ** (-4 * d / (1 + e)) for d in figure.DELTAS] for e in figure.ETAS],
        "sizes": list(figure.SIZES),
        "growth": [_row(s, 1.0) for s in figure.SIZES],
        "strengths": list(figure.STRENGTHS),
        "kinds": {
            name: [_row(size, e) for e in figure.STRENGTHS]
            for name, size in (("error of the score", 0.3), ("error of D", 0.5))
        },
    }
