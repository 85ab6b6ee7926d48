"""Claimed against measured order of the schedulers of diffusers, on exact levels.

Each scheduler is run by its own code in float64, on a smooth grid between lam = -1.5 and 1.5,
without a step to sigma 0: its start and its last steps are its own. Where it has less than it
claims, the cause is what restores the claim when it alone is changed. Without diffusers the
figure says so.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..analysis.stand.causes import SHORT, causes_on_exact_levels, explained_by, measured
from ..analysis.stand.claims import Entry, known
from ..analysis.stand.libraries import installed
from ..analysis.stand.trials import Trial, slope
from ..solvers.errors import FokkerError
from .cache import Data
from .figure import COLOURS, FAINT, INK, SOFT, Claim, Measured, judge, progress

VERSION = installed("diffusers") or ""
COUNTS = (24, 48, 96)
QUOTED = (
    "DDIM", "HeunDiscrete", "DPMSolverMultistep (solver_order=2)",
    "DPMSolverMultistep (solver_order=3)", "UniPCMultistep (solver_order=2)", "LMSDiscrete",
)  # fmt: skip
"""The schedulers that the claims are about."""
SMALL = {"labels": QUOTED}


def data(
    *, version: str = VERSION, counts: Sequence[int] = COUNTS, labels: Sequence[str] = ()
) -> Data:
    """Claim, order and causes of every scheduler on the stand, or of those with these labels.

    No row without diffusers.
    """
    entries = [e for e in known("diffusers") if not e.why] if version else []
    entries = [e for e in entries if not labels or e.label in labels]
    rows = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for e in progress(entries, "stand"):
            row = _row(e, counts)
            if row is not None:
                rows.append(row)
    return {"version": version, "counts": list(counts), "rows": rows}


def _row(e: Entry, counts: Sequence[int]) -> dict[str, Any] | None:
    claim = float(e.claim or 0.0)
    try:
        errors = measured(e, Trial(), counts, "product")
        order = slope(counts, errors, counts[-2])
        if order is None:
            return None
        short = order < claim - SHORT
        causes = causes_on_exact_levels(e, counts[:2], "product", claim) if short else []
    except FokkerError:
        return None
    return {
        "label": e.label, "claim": claim, "weak": e.weak is not None,
        "order": round(order, 4), "errors": [float(f"{v:.4g}") for v in errors],
        "causes": explained_by(causes),
    }  # fmt: skip


def draw(data: Data) -> Figure:
    """A line a scheduler: the claim as a ring, what was measured as a dot, the cause in words."""
    rows = sorted(data["rows"], key=lambda r: (r["weak"], r["claim"] - r["order"], r["label"]))
    figure = Figure(figsize=(10.5, max(4.0, 0.29 * len(rows) + 1.9)))
    axes = figure.add_axes((0.38, 0.07, 0.36, 0.83 if len(rows) > 12 else 0.7))
    figure.text(0.03, 0.965, "What a scheduler claims, and what it has", size=16, weight="bold",
                va="center")  # fmt: skip
    if not rows:
        axes.set_axis_off()
        words = "diffusers is not installed: nothing was measured"
        figure.text(0.5, 0.5, words, size=14, color=INK, ha="center")
        return figure
    about = (
        f"diffusers {data['version']}, its own code in float64 on exact levels, lam -1.5 to 1.5, "
        f"slope from {data['counts'][-2]} to {data['counts'][-1]} steps"
    )
    figure.text(0.03, 0.935, about, size=9, color=SOFT, va="center")
    _rows(axes, rows)
    return figure


def _rows(axes: Axes, rows: Sequence[dict[str, Any]]) -> None:
    for y, r in enumerate(reversed(rows)):
        short = r["order"] < r["claim"] - SHORT
        colour = COLOURS[1] if short else COLOURS[2]
        axes.plot([r["claim"], r["order"]], [y, y], color=colour if short else FAINT, lw=2)
        axes.plot(r["claim"], y, "o", mfc="white", mec=INK, ms=7)
        axes.plot(r["order"], y, "o", color=colour, ms=5)
        words = ", ".join(r["causes"]) if short else ""
        text = f"{r['order']:.2f}" + (f"  {words}" if words else "")
        axes.text(1.03, y, text, transform=axes.get_yaxis_transform(), size=8, va="center",
                  color=colour if short else SOFT)  # fmt: skip
    labels = [f"{r['label']}{' · weak' if r['weak'] else ''}" for r in reversed(rows)]
    axes.set_yticks(range(len(rows)), labels, size=8)
    top = math.ceil(max(max(r["claim"], r["order"]) for r in rows))
    axes.set(xlim=(0, top + 0.3), ylim=(-0.8, len(rows) - 0.2), xlabel="order")
    axes.set_xticks(range(top + 1))


def _has(label: str) -> Callable[[Data], Measured]:
    def measure(data: Data) -> Measured:
        found = [r for r in data["rows"] if r["label"] == label]
        if not found:
            return Measured("diffusers is not installed, or has no such scheduler", "not resolved")
        row = found[0]
        words = f"order {row['order']:.2f}"
        if row["causes"]:
            words += f"; restored without: {', '.join(row['causes'])}"
        return Measured(words, judge(row["order"], row["order"], least=row["claim"] - SHORT))

    return measure


_DOC = "documentation of diffusers, {}"
CLAIMS = (
    Claim("DDIM is of order 1", _DOC.format("DDIMScheduler"), _has("DDIM")),
    Claim("Heun's method is of order 2", _DOC.format("HeunDiscreteScheduler"),
          _has("HeunDiscrete")),
    Claim("DPM-Solver++ with solver_order=2 is of order 2",
          _DOC.format("DPMSolverMultistepScheduler"),
          _has("DPMSolverMultistep (solver_order=2)")),
    Claim("DPM-Solver++ with solver_order=3 is of order 3",
          _DOC.format("DPMSolverMultistepScheduler"),
          _has("DPMSolverMultistep (solver_order=3)")),
    Claim("UniPC with solver_order=2 is of order 3 by its corrector",
          _DOC.format("UniPCMultistepScheduler"), _has("UniPCMultistep (solver_order=2)")),
    Claim("the linear multistep scheduler is of order 4",
          _DOC.format("LMSDiscreteScheduler"), _has("LMSDiscrete")),
)  # fmt: skip
