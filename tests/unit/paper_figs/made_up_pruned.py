"""Made-up data of the figure of pruned networks: errors that grow as powers of the share."""

from __future__ import annotations

from typing import Any

from fokker.paper_figs import pruned as figure


def made_up() -> dict[str, Any]:
    """The first order misses the square root of its size, and the second term says so."""

    def row(by: str, share: float, factor: float) -> dict[str, Any]:
        first = factor * share**2
        off = first**0.5
        return {
            "by": by, "share": share, "measured": first, "first": first,
             "second": first * (1 + off), "off": off, "off_second": off**2,
            "expected": off,
        }  # fmt: skip

    network = [row("weight", s, 0.5) for s in figure.SHARES]
    network += [row("channel", s, 2.0) for s in figure.CHANNELS]
    linear = [
        {"share": s, "channel": s**2, "channel_exact": s**2, "weight": 0.3 * s,
         "weight_exact": 0.3 * s}
        for s in figure.LINEAR
    ]  # fmt: skip
    seen = [
        {"share": s, "share_seen": 1.0 - s**4, "lost": int(200 * s**4), "gained": 0}
        for s in figure.SHARES
    ]
    return {
        "network": network, "seen": seen, "clean": 1.0, "judged": 200, "linear": linear,
        "weights": "none", "spread": 0.5,
    }  # fmt: skip
