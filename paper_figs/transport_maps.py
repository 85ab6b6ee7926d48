"""Optimal maps learned from samples, against a map that is optimal by design.

Points of N(0, I) in the plane and, apart from them, images of other points under the gradient of a
convex function: what does a solver that sees n of each know of the map? Left the true map and the
entropic one learned from 128 points; middle the mean squared error at new points against n; right
what an entropic plan proves about the cost of the sample, from below and from above. The rate is
proved for laws of compact support; a normal law is not one.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ..solvers.transport.cloud_transport import transport_clouds
from ..solvers.transport.clouds import Cloud
from ..solvers.transport.discrete import discrete_transport
from ..solvers.transport.gaussian import GaussianMap
from ..solvers.transport.sinkhorn import sinkhorn
from ..toy_models.brenier import DesignedMap
from .cache import Data
from .figure import COLOURS, INK, MARKERS, SOFT, Claim, Measured, judge, progress

DIRECTIONS = ((1.0, 0.5), (-0.6, 1.2), (0.2, -1.0))
SIZES = (32, 64, 128, 256, 512, 1024)
FRACTIONS = (0.3, 0.1, 0.03, 0.01, 0.003)
SHOWN = 128
FIRST = 0.1  # epsilon in units of the mean cost at the first size; it falls as n^(-1/6)
KINDS = {
    "nearest": "exact plan, nearest point",
    "entropic": "entropic map",
    "gaussian": "Gaussian map",
}


def data(
    *, sizes: Sequence[int] = SIZES, trials: int = 6, fractions: Sequence[float] = FRACTIONS
) -> Data:
    """Mean squared errors of three maps by size; bounds by epsilon; arrows of two maps."""
    truth, new = _truth(), _normals(1000, 0)
    errors = {
        kind: [[0.0] * trials for _ in sizes] for kind in KINDS
    }  # kind, size, trial: errors at the new points
    for k, n in enumerate(progress(sizes, "sizes")):
        for trial in range(trials):
            maps = _learned(n, 10 * n + trial + 1, FIRST * (n / sizes[0]) ** (-1 / 6), new)
            for kind, images in maps.items():
                off = (images - truth(new)).square().sum(1).mean()
                errors[kind][k][trial] = float(off)
    x, y = _samples(256, 5)
    found = [transport_clouds(Cloud(x), Cloud(y), fraction=f) for f in fractions]
    tips = _normals(60, 7)
    shown = _learned(SHOWN, 11, FIRST * (SHOWN / sizes[0]) ** (-1 / 6), tips)["entropic"]
    return {
        "sizes": list(sizes), "fractions": list(fractions), "errors": errors,
        "variance": float((truth(new) - truth(new).mean(0)).square().sum(1).mean()),
        "bounds": [[row.lower, row.upper] for row in found],
        "iterations": [row.iterations for row in found],
        "exact": discrete_transport(x, y).value,
        "arrows": [v.tolist() for v in (tips, truth(tips), shown)],
    }  # fmt: skip


def _truth() -> DesignedMap:
    return DesignedMap(torch.tensor(DIRECTIONS, dtype=torch.float64), 0.6)


def _normals(n: int, seed: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((n, 2)))


def _samples(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Independent samples of both laws: nobody sees a point and its own image."""
    both = _normals(2 * n, seed)
    return both[:n], _truth()(both[n:])


def _learned(n: int, seed: int, fraction: float, new: Tensor) -> dict[str, Tensor]:
    """Images of new points under the maps learned from n points of each law."""
    x, y = _samples(n, seed)
    first, last = Cloud(x), Cloud(y)
    exact = transport_clouds(first, last, "exact").mapped
    line = GaussianMap(first.mean, first.cov, last.mean, last.cov)
    return {
        "nearest": exact[torch.cdist(new, x).argmin(1)],
        "entropic": sinkhorn(x, y, fraction=fraction).map(new),
        "gaussian": line(new),
    }


# the picture


def draw(data: Data) -> Figure:
    """Arrows, errors and bounds."""
    figure = Figure(figsize=(12.6, 4.7))
    sides = {"left": 0.05, "right": 0.98, "top": 0.76, "bottom": 0.13, "wspace": 0.26}
    places = figure.add_gridspec(1, 3, **sides)
    left, middle, right = (figure.add_subplot(places[k]) for k in range(3))
    _arrows(left, data)
    for colour, mark, (kind, name) in zip(COLOURS, MARKERS, KINDS.items(), strict=False):
        means = _means(data, kind)
        middle.loglog(data["sizes"], means, mark + "-", color=colour, label=name)
    middle.set(xlabel="points of each law", title="Mean squared error at new points")
    middle.legend(frameon=False, fontsize=8.5)
    low, high = np.array(data["bounds"]).T
    right.semilogx(data["fractions"], high, "v-", color=COLOURS[1], label="at most")
    right.semilogx(data["fractions"], low, "^-", color=COLOURS[0], label="at least")
    right.axhline(data["exact"], color=INK, lw=0.9)
    right.set(xlabel="epsilon / mean cost", title="Proved of the cost; line: exact")
    right.legend(frameon=False, fontsize=8.5)
    figure.text(0.05, 0.92, "What samples tell about an optimal map", size=17, weight="bold")
    about = "N(0, I) in the plane to its image under a gradient of a convex function"
    figure.text(0.05, 0.86, about, size=9.5, color=SOFT)
    return figure


def _arrows(axes: Axes, data: Data) -> None:
    start, truth, learned = (np.array(v) for v in data["arrows"])
    for ends, colour, label in ((truth, INK, "true"), (learned, COLOURS[1], "entropic")):
        way: Any = {"angles": "xy", "scale_units": "xy", "scale": 1.0, "width": 0.004}
        axes.quiver(*start.T, *(ends - start).T, color=colour, label=label, **way)
        axes.plot(*ends.T, ".", ms=1, color=colour)  # or the tips are cut off
    axes.plot(*start.T, "o", ms=2.5, color=SOFT)
    axes.set(title=f"The map, learned from {SHOWN} points")
    axes.set_aspect("equal", adjustable="datalim")
    axes.legend(frameon=False, fontsize=8.5)


def _means(data: Data, kind: str) -> list[float]:
    return [float(np.mean(row)) for row in data["errors"][kind]]


# the claims


def _slope(data: Data, kind: str) -> tuple[float, float]:
    """Power of n in the error, and its standard error over the trials."""
    logs = np.log(np.array(data["sizes"], dtype=float))
    trials = np.log(np.array(data["errors"][kind])).T
    slopes = [np.polyfit(logs, row, 1)[0] for row in trials]
    return float(np.mean(slopes)), float(np.std(slopes, ddof=1) / len(slopes) ** 0.5)


def _rate(data: Data) -> Measured:
    mean, error = _slope(data, "entropic")
    text = f"the squared error falls as n to the power {mean:.2f} (+- {2 * error:.2f})"
    return Measured(text, judge(-mean - 2 * error, -mean + 2 * error, least=1 / 3))


def _better(data: Data) -> Measured:
    ratios = np.array(_means(data, "nearest")) / _means(data, "entropic")
    text = "its error is " + ", ".join(f"{r:.1f}" for r in ratios) + " times smaller"
    return Measured(text, judge(float(ratios.min()), float(ratios.min()), least=1.0))


def _stays(data: Data) -> Measured:
    means = _means(data, "gaussian")
    share = means[-1] / data["variance"]
    text = f"its error stays at {share:.1%} of the variance of the target, n = {data['sizes'][-1]}"
    fall = means[-1] / means[len(means) // 2]
    return Measured(text, judge(fall, fall, least=0.8))


def _enclosed(data: Data) -> Measured:
    held = [low <= data["exact"] <= high for low, high in data["bounds"]]
    widths = [(high - low) / data["exact"] for low, high in data["bounds"]]
    text = f"they do for {sum(held)} of {len(held)} epsilons; the gap falls from {widths[0]:.0%} "
    text += f"to {widths[-1]:.1%} of the cost"
    narrows = all(a > b for a, b in pairwise(widths))
    return Measured(text, "holds" if all(held) and narrows else "does not hold")


_POOLADIAN = "Pooladian & Niles-Weed 2021, arXiv:2109.12004"
_OURS = "this project"
CLAIMS = (
    Claim("the entropic map, epsilon falling as n^(-1/6), converges as n^(-1/3) or faster",
          _POOLADIAN, _rate),
    Claim("it is nearer to the map than the exact plan, carried to the nearest point",
          _POOLADIAN, _better),
    Claim("a Gaussian map stops improving: what is left is not noise", _OURS, _stays),
    Claim("potentials and plan enclose the exact cost at every epsilon, and close in on it",
          _OURS, _enclosed),
)  # fmt: skip
