"""The picture of the README: on an exact nonlinear law the order of a sampler is a slope.

The law is a rotated product of one-dimensional mixtures, whose probability-flow ODE is solved by
quantiles to rounding; so the error of a sampler is known down to 1e-15. Each sampler is drawn with
the order it declares. ``paper_figs/readme.png`` is the copy that the README shows.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from ..analysis.order import observe
from ..analysis.paired import FlowProblem, paired_error, rounding_floor
from ..solvers.grids import uniform_lam
from ..solvers.registry import get
from ..solvers.schedules import VPLinear
from ..toy_models.problems import problem
from .cache import Data
from .figure import COLOURS, INK, SOFT, Claim, Measured, progress
from .labels import End, label_ends

MOST = 1100
"""Largest number of evaluations."""

PENS = (INK, COLOURS[0], COLOURS[1], COLOURS[1], *COLOURS[2:])
"""A colour a curve; the two starts of 3M share theirs."""
SMALL = {"most": 400}


class Shown(NamedTuple):
    """A sampler of the picture: with exact history or not, its first number of steps, its name."""

    sampler: str
    warm: bool
    first: int
    title: str


SHOWN = (
    Shown("ddim", False, 8, "DDIM"),
    Shown("dpmpp_2m", False, 8, "DPM-Solver++(2M)"),
    Shown("dpmpp_3m", False, 8, "3M, its own start"),
    Shown("dpmpp_3m", True, 8, "3M, exact start"),
    Shown("rho_rk4", False, 2, "RK4 in σ/α"),
    Shown("exp_ab5_data", True, 8, "exponential AB5, exact start"),
    Shown("torchdiffeq_dopri5_lam", False, 2, "dopri5 of torchdiffeq"),
    Shown("scipy_dop853_lam", False, 1, "DOP853 of scipy"),
)


def data(
    *, law: str = "product", lam_start: float = -1.5, lam_end: float = 1.5, most: int = MOST
) -> Data:
    """Paired errors on doubling grids, and the rounding floor."""
    p = FlowProblem(law, problem(law).law, VPLinear(), lam_start, lam_end)
    grids = uniform_lam(p.process, lam_start, lam_end)
    curves = []
    for shown in progress(SHOWN, "readme"):
        sampler = get(shown.sampler)
        error = paired_error(sampler, p, grids, warm=shown.warm)
        steps = [shown.first * 2**k for k in range(12)]
        steps = [n for n in steps if sampler.nfe(n) <= most]
        curves.append({
            "title": shown.title,
            "order_of_formula": sampler.order,
            "order": sampler.order if shown.warm else sampler.order_cold,
            "steps": steps,
            "nfe": [sampler.nfe(n) for n in steps],
            "errors": [error(n) for n in steps],
        })  # fmt: skip
    return {"law": law, "curves": curves, "floor": rounding_floor(p)}


def draw(data: Data) -> Figure:
    """One line a sampler, its order in a badge on it."""
    figure = Figure(figsize=(9.2, 5.2))
    axes = figure.add_axes((0.085, 0.105, 0.64, 0.735))
    axes.set(xscale="log", yscale="log", xlim=(7, MOST), ylim=(2e-16, 0.6))
    ticks = [10, 30, 100, 300, 1000]
    axes.set_xticks(ticks, [str(n) for n in ticks])
    axes.set_yticks([10.0**k for k in range(-15, 1, 3)])
    axes.set_xlabel("evaluations of the model")
    axes.set_ylabel("distance to the exact solution")
    axes.axhspan(1e-17, data["floor"], color="#f0f1f3", zorder=0)
    axes.text(7.6, data["floor"] / 5, "rounding of float64", size=8.5, color=SOFT, va="top")
    ends = []
    for curve, colour in zip(data["curves"], PENS, strict=False):
        style = (0, (4, 2)) if curve["order"] != curve["order_of_formula"] else "-"
        x, y = np.array(curve["nfe"]), np.array(curve["errors"])
        axes.plot(x, y, color=colour, ls=style, marker="o", ms=3.6, mec="white", mew=0.5)
        seen = np.flatnonzero(y > data["floor"])[-2:]
        at = np.exp(np.log(x[seen]).mean()), np.exp(np.log(y[seen]).mean())
        axes.text(
            *at, f"{curve['order']}", size=8.5, color="white", weight="bold", ha="center",
            va="center", bbox={"boxstyle": "circle,pad=0.22", "fc": colour, "ec": "white"},
        )  # fmt: skip
        ends.append(End(float(x[-1]), float(y[-1]), curve["title"], colour))
    label_ends(axes, ends, size=9)
    figure.text(0.085, 0.94, "The order of a sampler is a slope", size=15, weight="bold")
    words = (
        "One nonlinear law with an exact flow; in circles the order that each sampler declares."
    )
    figure.text(0.085, 0.887, words, size=9.5, color=SOFT)
    return figure


def _every_order(data: Data) -> Measured:
    """Each curve judged by its local slopes, as in the certificate."""
    words, verdicts = [], set()
    for curve in data["curves"]:
        found = observe(curve["steps"], curve["errors"], floor=data["floor"])
        verdicts.add(found.verdict(curve["order"]))
        shown = "not settled" if found.order is None else f"{found.order:.2f}"
        words.append(f"{curve['title']} {shown} (declared {curve['order']})")
    verdict = "holds" if verdicts == {"met"} else "not resolved"
    return Measured("; ".join(words), "does not hold" if "not met" in verdicts else verdict)


CLAIMS = (Claim("every sampler has the order it declares", "the registry", _every_order),)
