"""Graphs whose nodes and edges have processes of their own: what the S4 solver's shape is worth.

Left the largest error of a covariance at the end against all evaluations of the joint score, on a
Gaussian law of three nodes and three edges: exact, no sampling. S4 as published, the same with
Langevin steps of a fixed size (they share the score), and Strang's filling of the same shape with
two scores a step. Right the error that is left after a given number of steps, against the size of
the Langevin step: a little of it repairs, more of it settles in a law of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ..analysis.coupled_law import FullNormal, coupled_law
from ..solvers.grids import grid_from_times
from ..solvers.schedules import VE, VPLinear
from ..solvers.sde.graphs import graph_plan
from ..toy_models.graphs import GaussianGraphs
from .cache import Data
from .figure import COLOURS, MARKERS, SOFT, Claim, Measured, judge, progress
from .labels import End, label_ends

STEPS = (16, 32, 64, 128)
CORRECTIONS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4)
SHOWN = {
    "published": ("S4 as published", 0.0),
    "corrected": ("S4 with Langevin steps 0.1 σ²", 0.1),
    "strang": ("Strang's filling", 0.0),
}
SIZE, BEGIN, END = 3, 0.9, 0.2
_JO = "Jo, Lee & Hwang 2022, arXiv:2202.02514"


def data(*, steps: Sequence[int] = STEPS, corrections: Sequence[float] = CORRECTIONS) -> Data:
    """Errors of each form by steps, and of the published one by the size of its Langevin step."""
    curves = {
        name: [_error(n, name != "strang", size) for n in progress(steps, name)]
        for name, (_, size) in SHOWN.items()
    }
    by_size = {str(n): [_error(n, True, c) for c in corrections] for n in steps[1::2]}
    return {
        "steps": list(steps),
        "curves": curves,
        "corrections": list(corrections),
        "by_size": by_size,
    }


def _error(steps: int, published: bool, correction: float) -> float:
    law, nodes, edges = GaussianGraphs((1.0, -0.5)), VPLinear(), VE()
    times = grid_from_times(nodes, list(np.linspace(BEGIN, END, steps + 1)))
    plan = graph_plan(
        nodes,
        edges,
        times,
        features=law.features,
        size=SIZE,
        published=published,
        correction=correction,
    )
    found = coupled_law(
        plan,
        lambda t: law.affine_score(nodes, edges, t, SIZE),
        FullNormal(*law.marginal(nodes, edges, BEGIN, SIZE)),
        law.lift(SIZE),
    )
    return float(np.abs(found.cov - law.marginal(nodes, edges, END, SIZE)[1]).max())


# the picture


def draw(data: Data) -> Figure:
    """Errors by evaluations, and by the size of the Langevin step."""
    figure = Figure(figsize=(11.0, 5.0))
    places = figure.add_gridspec(1, 2, width_ratios=(1.4, 1), wspace=0.85, left=0.07, right=0.86,
                                 top=0.78, bottom=0.13)  # fmt: skip
    axes, ends = figure.add_subplot(places[0, 0]), []
    for k, (name, (words, _)) in enumerate(SHOWN.items()):
        calls = [n * (2 if name == "strang" else 1) for n in data["steps"]]
        errors = data["curves"][name]
        axes.plot(calls, errors, color=COLOURS[k], marker=MARKERS[k], mec="white", mew=0.7)
        ends.append(End(calls[-1], errors[-1], words, COLOURS[k]))
    axes.set(xscale="log", yscale="log", xlabel="joint scores", ylabel="error of a covariance")
    ticks = sorted({n * k for n in data["steps"] for k in (1, 2)})
    axes.set_xticks(ticks, [str(n) for n in ticks])
    axes.minorticks_off()
    axes.set_title("Exact error of the law")
    label_ends(axes, ends)
    axes, ends = figure.add_subplot(places[0, 1]), []
    for k, (n, errors) in enumerate(data["by_size"].items(), start=3):
        axes.plot(data["corrections"], errors, color=COLOURS[k], marker=MARKERS[k], mec="white")
        ends.append(End(data["corrections"][-1], errors[-1], f"{n} steps", COLOURS[k]))
    axes.set(yscale="log", xlabel="Langevin step / σ²", title="S4 by its Langevin step")
    label_ends(axes, ends)
    figure.text(0.07, 0.93, "The shape is not the order", size=17, weight="bold", va="center")
    words = "Gaussian graphs of three nodes; variance kept for nodes, exploding for edges."
    figure.text(0.07, 0.87, words, size=9.5, color=SOFT, va="center")
    return figure


# the claims


def _order(name: str, least: float) -> Any:
    def measure(data: Data) -> Measured:
        errors = data["curves"][name]
        slope = float(np.log2(errors[-2] / errors[-1]))
        text = f"order {slope:.2f} between {data['steps'][-2]} and {data['steps'][-1]} steps"
        return Measured(text, judge(slope, slope, least=least))

    return measure


def _saves(data: Data) -> Measured:
    """One score a step, for the same steps with and without Langevin."""
    plain, corrected = (np.array(data["curves"][k]) for k in ("published", "corrected"))
    better = float((plain / corrected).min())
    text = f"error {better:.2f} times smaller at least, at the same number of scores"
    return Measured(text, judge(better, better, least=1.0))


CLAIMS = (
    Claim(
        "The symmetric splitting errs by the third power of the step: second order.",
        _JO,
        _order("published", 1.8),
    ),
    Claim(
        "A symmetric splitting with exact factors has second order.",
        "Strang 1968, SIAM J. Numer. Anal. 5",
        _order("strang", 1.8),
    ),
    Claim("Correction steps that share the score improve the sample.", _JO, _saves),
)
