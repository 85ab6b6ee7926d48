"""Errors against candidates, with their intervals: a picture of one record."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

MOST = 24
_IN, _OUT, _FAINT = "#0072b2", "#8a8f98", "#d55e00"


def draw(data: dict[str, Any]) -> Figure:
    """Draw the record of a recommendation (:func:`.report.record`), the best at the top.

    Those who went before had few starts: a number in brackets.
    """
    rows = data["ranked"][:MOST]
    gone = [r for r in data["dropped"] if r["error"] is not None][: MOST - len(rows)]
    by = data["settings"]["by"]
    figure = Figure(figsize=(9.0, 1.6 + 0.24 * (len(rows) + len(gone))), layout="constrained")
    axes = figure.subplots()
    for k, r in enumerate(rows):
        value, low, high = r[by]
        colour = _IN if r["in_group"] else _OUT
        axes.plot([low, high], [k, k], color=colour, linewidth=1.7)
        axes.plot([value], [k], "o", color=colour, markersize=5)
        other = r["rms" if by == "typical" else "typical"][0]
        axes.plot([other], [k], "|", color=colour, markersize=9)
    for k, r in enumerate(gone, len(rows)):
        axes.plot([r["error"]], [k], "o", color=_OUT, markersize=4, fillstyle="none")
    for k, r in enumerate([*rows, *gone]):
        exact = (r["surrogate"] or {}).get("paired")
        if exact is not None:
            axes.plot([exact], [k], "D", color=_FAINT, markersize=3.5, fillstyle="none")
    _legend(axes, data, rows[0][by][0])
    names = [*(r["name"] for r in rows), *(f"{r['name']} ({r['starts']})" for r in gone)]
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlabel("error in units of the data, paired with the fine solution")
    s = data["settings"]
    axes.set_title(f"{data['network']['name']}: {s['nfe']} evaluations, {s['starts']} starts")
    return figure


def _legend(axes: Any, data: dict[str, Any], least: float) -> None:
    by = data["settings"]["by"]
    other = "RMS" if by == "typical" else "typical"
    level = f"{data['settings']['level']:.0%}"
    axes.plot([], [], "o-", color=_IN, label=f"{by}, {level} interval: may be the best")
    axes.plot([], [], "o-", color=_OUT, label=f"{by}: worse than the best")
    dropped = "dropped after so many starts"
    axes.plot([], [], "o", color=_OUT, fillstyle="none", markersize=4, label=dropped)
    axes.plot([], [], "|", color=_OUT, markersize=9, label=other)
    axes.plot([], [], "D", color=_FAINT, fillstyle="none", label="exact, on the Gaussian")
    floor = data["reference"]["error"]
    if floor > least / 30:  # otherwise it is far to the left of all
        axes.axvline(floor, color=_FAINT, linewidth=0.8, linestyle=":", label="fine solution")
    axes.legend(loc="best", fontsize=8)
