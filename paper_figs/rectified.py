"""Rectification: what it makes exact is one step, and what it makes straight depends.

A product of mixtures in the plane; before, the exact denoiser of the law; after one reflow, that
of the pairs of noise and the exact flow's end. Both on a variance-preserving process and on a
flow. Above paths; below, for each of 48 paths, its curvature (length over chord, less 1) against
the error of one step of DDIM over all of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ..analysis.straightness import Path, curvature, noise_variation, one_step_error, path_of
from ..solvers.grids import uniform_lam
from ..solvers.process import Node, Process
from ..solvers.schedules import RectifiedFlow, VPLinear
from ..toy_models.law import exact_model
from ..toy_models.product import ProductMixture
from ..toy_models.rectified import FlowCoupling, Rectified
from .cache import Data
from .figure import COLOURS, MARKERS, SOFT, Claim, Measured, judge

LAMS = (-4.0, 4.0)
NODES = 31
SMALL = {"batch": 16}
PROCESSES: dict[str, Process] = {"vp": VPLinear(), "flow": RectifiedFlow()}
WORDS = {"vp": "variance-preserving", "flow": "flow"}
FLOOR = 1e-14
"""Errors are drawn from here up."""
_WANG, _LIU = "Wang et al. 2025, arXiv:2410.07303", "Liu et al. 2022, arXiv:2209.03003"


def plane() -> ProductMixture:
    """Two modes in each of two turned coordinates."""

    def rows(*values: Sequence[float]) -> Tensor:
        return torch.tensor(values, dtype=torch.float64)

    turn = rows([0.8, -0.6], [0.6, 0.8])
    return ProductMixture(
        rows([0.4, 0.6], [0.5, 0.5]), rows([-1.0, 0.8], [-0.9, 1.0]),
        rows([0.15, 0.2], [0.2, 0.15]), turn,
    )  # fmt: skip


def data(*, batch: int = 48, shown: int = 14) -> Data:
    """Paths, curvatures, variations of the noise and errors of one step, before and after."""
    law, eps = plane(), torch.randn(batch, 2, generator=torch.Generator().manual_seed(4)).double()
    coupling = FlowCoupling(law)
    pairs, ends = Rectified(coupling), coupling.transport(eps)
    out: Data = {"batch": batch, "shown": shown}
    for name, process in PROCESSES.items():
        nodes = uniform_lam(process, *LAMS).grid(NODES - 1).nodes
        first = nodes[0].alpha * ends + nodes[0].sigma * eps
        level = (nodes[0].alpha, nodes[0].sigma)

        def flowing(node: Node, x: Tensor = first, start: tuple[float, float] = level) -> Tensor:
            return law.flow(x, start, (node.alpha, node.sigma))

        def mixing(node: Node) -> Tensor:
            return node.alpha * ends + node.sigma * eps

        out[f"{name} before"] = _record(path_of(flowing, nodes), law, process, shown)
        out[f"{name} after"] = _record(path_of(mixing, nodes), pairs, process, shown)
    return out


def _record(path: Path, law: Any, process: Process, shown: int) -> dict[str, Any]:
    """Numbers of every path, and the first ones themselves."""
    found = {
        "curvature": curvature(path),
        "variation": noise_variation(path, exact_model(law, process, "noise")),
        "error": one_step_error(path, exact_model(law, process)),
    }
    rows: dict[str, Any] = {
        key: [float(f"{v:.4g}") for v in value.tolist()] for key, value in found.items()
    }
    rows["paths"] = path.states[:, :shown].transpose(0, 1).numpy().round(4).tolist()
    return rows


# the picture


def draw(data: Data) -> Figure:
    """Four panels of paths above one of numbers."""
    figure = Figure(figsize=(11.0, 8.2))
    above = figure.add_gridspec(1, 4, left=0.05, right=0.98, top=0.84, bottom=0.53, wspace=0.25)
    for k, name in enumerate(PROCESSES):
        for j, when in enumerate(("before", "after")):
            _paths(figure.add_subplot(above[2 * k + j]), data, name, when)
    below = figure.add_gridspec(1, 1, left=0.09, right=0.75, top=0.45, bottom=0.075)
    _numbers(figure.add_subplot(below[0]), data)
    figure.text(0.05, 0.95, "Straight is not what counts", size=17, weight="bold")
    about = "Exact flow of a mixture before, exact model of its own pairs after one reflow"
    figure.text(0.05, 0.91, about, size=9.5, color=SOFT)
    return figure


def _paths(axes: Axes, data: Data, name: str, when: str) -> None:
    colour = COLOURS[0] if when == "before" else COLOURS[1]
    for path in np.array(data[f"{name} {when}"]["paths"]):
        axes.plot(path[:, 0], path[:, 1], color=colour, lw=1.1)
        axes.plot(*path[-1], ".", color=colour, ms=5)
    axes.set(
        xlim=(-3.1, 3.1), ylim=(-3.1, 3.1), aspect="equal", xticks=[-2, 0, 2], yticks=[-2, 0, 2]
    )
    axes.set_title(f"{WORDS[name]}, {when}", size=9.5)


def _numbers(axes: Axes, data: Data) -> None:
    axes.set(xscale="symlog", yscale="log", ylim=(FLOOR / 3, 3.0))
    axes.set_xscale("symlog", linthresh=1e-3)
    pens = {"before": COLOURS[0], "after": COLOURS[1]}
    for k, name in enumerate(PROCESSES):
        for when, colour in pens.items():
            row = data[f"{name} {when}"]
            error = np.maximum(row["error"], FLOOR)
            axes.plot(
                np.maximum(row["curvature"], 0.0), error, MARKERS[3 * k], color=colour, ls="none",
                mec="white", mew=0.4, ms=5.5, label=f"{WORDS[name]}, {when}",
            )  # fmt: skip
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    axes.set_title("Every path: its curvature, and what one step makes of it")
    axes.set_xlabel("length over chord, less 1")
    axes.set_ylabel("error of one step of DDIM")


# the claims


def _exact(data: Data) -> Measured:
    worst = {name: max(data[f"{name} after"]["error"]) for name in PROCESSES}
    before = {name: float(np.median(data[f"{name} before"]["error"])) for name in PROCESSES}
    text = "; ".join(
        f"{WORDS[name]}: {before[name]:.2g} before (median), at most {worst[name]:.1g} after"
        for name in PROCESSES
    )
    return Measured(text, judge(-max(worst.values()), -max(worst.values()), least=-1e-10))


def _constant(data: Data) -> Measured:
    worst = max(max(data[f"{name} after"]["variation"]) for name in PROCESSES)
    least = min(min(data[f"{name} before"]["variation"]) for name in PROCESSES)
    text = f"variation of the noise at least {least:.2g} before, at most {worst:.1g} after"
    return Measured(text, judge(-worst, -worst, least=-1e-10))


def _not_straight(data: Data) -> Measured:
    """On the variance-preserving process: typical curvature after, against that before."""
    before, after = (
        float(np.median(data[f"vp {when}"]["curvature"])) for when in ("before", "after")
    )
    text = f"median curvature {before:.2g} before and {after:.2g} after, one step exact"
    return Measured(text, judge(after, after, least=1e-3))


def _straight(data: Data) -> Measured:
    worst = max(data["flow after"]["curvature"])
    text = (
        f"curvature at most {worst:.1g} after, {max(data['flow before']['curvature']):.2g} before"
    )
    return Measured(text, judge(-worst, -worst, least=-1e-10))


CLAIMS = (
    Claim("after rectification one step is exact, on any schedule", _WANG, _exact),
    Claim("rectification makes paths of first order (constant noise)", _WANG, _constant),
    Claim("paths need not become straight for that", _WANG, _not_straight),
    Claim("reflow straightens the paths of a flow", _LIU, _straight),
)
