"""Error against evaluations: the picture of a sweep, one panel for each network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#aa3f8f", "#b8860b", "#4b5563")
_MARKERS = ("o", "s", "^", "D", "v", "P")
_FLOOR = "#8a8f98"


def curves(results: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, list[tuple[int, float]]]]:
    """``{network: {sampler: [(nfe, rms), ...]}}`` of what was measured, by nfe."""
    found: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for r in results:
        lines = found.setdefault(r["config"]["network"], {})
        line = lines.setdefault(r["config"]["sampler"], [])
        if "failed" not in r:
            line.append((r["nfe"], r["rms"]))
    return {
        network: {name: sorted(set(line)) for name, line in lines.items()}
        for network, lines in found.items()
    }


def draw(results: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw a sweep: RMS error against evaluations, both logarithmic.

    The dotted line is what the fine solution may be off; nothing below it is resolved.
    """
    panels = curves(results)
    figure = Figure(figsize=(4.6 * max(1, len(panels)), 4.0), layout="constrained")
    for k, (network, lines) in enumerate(panels.items()):
        axes = figure.add_subplot(1, len(panels), k + 1)
        for i, (name, line) in enumerate(lines.items()):
            marker = _MARKERS[(i + i // 6) % 6]
            style: dict[str, Any] = {"color": _COLOURS[i % 6], "marker": marker}
            axes.plot([n for n, _ in line], [e for _, e in line], label=name, **style)
        floors = [
            r["reference_error"]
            for r in results
            if r["config"]["network"] == network and "failed" not in r
        ]
        if floors:
            axes.axhline(max(floors), color=_FLOOR, linestyle=":", label="fine solution")
            budgets = sorted({n for line in lines.values() for n, _ in line})
            axes.set_xscale("log")
            axes.set_xticks(budgets, [str(n) for n in budgets], minor=False)
            axes.minorticks_off()
            axes.set_yscale("log")
            axes.legend(fontsize=8)
        axes.set_title(network[-48:])
        axes.set_xlabel("evaluations")
        axes.set_ylabel("RMS error, units of the data")
    return figure
