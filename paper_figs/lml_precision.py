"""LML at its published settings: an identity, and the rounding that it becomes.

Left how far the direction of 3072 coordinates moves at ``kappa = 0``, where it should not move at
all, against the damping, by dtype and by the order of operations. Right what a tangential
extrapolation of the noise does to DDIM with an imperfect network: the error against its size c.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ..analysis.paired import rms
from ..solvers.grids import uniform_lam
from ..solvers.wrappers.lml import (
    Turn,
    ddim_turned,
    lml_direction,
    lml_direction_published,
    tangential,
)
from ..toy_models.draws import normals
from ..toy_models.law import exact_model
from ..toy_models.perturbed import FourierField, Perturbed
from ..toy_models.problems import problem
from .cache import Data
from .figure import COLOURS, MARKERS, SOFT, Claim, Measured, judge
from .labels import End, label_ends

DAMPINGS = (1e-4, 3e-4, 8e-4, 3e-3, 1e-2, 0.1, 1.0, 10.0)
PUBLISHED = 8e-4
KINDS = {
    "float64": torch.float64, "float32": torch.float32, "bfloat16": torch.bfloat16,
}  # fmt: skip
SIZES = tuple(round(0.1 * k - 0.5, 1) for k in range(11))
AMPLITUDES = (0.0, 0.1, 0.2)
STEPS = (5, 10, 20)
_WANG = "Wang et al. 2025, arXiv:2505.24222"


def data(
    *, dampings: Sequence[float] = DAMPINGS, sizes: Sequence[float] = SIZES, batch: int = 64
) -> Data:
    """Relative changes of a direction, and errors of DDIM with a turned one."""
    g = torch.from_numpy(normals(8, 3072, seed=0, label="direction"))
    last = g + 0.3 * torch.from_numpy(normals(8, 3072, seed=0, label="last"))
    change = {
        name: [
            _change(lml_direction_published(g.to(kind), last.to(kind), damping=d), g.to(kind))
            for d in dampings
        ]
        for name, kind in KINDS.items()
    }
    low = g.to(torch.float32), last.to(torch.float32)
    tiny = [  # the same method with kappa = 1e-8, against float64
        _change(
            lml_direction(*low, kappa=1e-8, damping=d),
            lml_direction(low[0].double(), low[1].double(), kappa=1e-8, damping=d),
        )
        for d in dampings
    ]
    return {
        "dampings": list(dampings), "change": change, "tiny": tiny,
        "sizes": list(sizes), "errors": _sweep(sizes, batch), "batch": batch,
    }  # fmt: skip


def _change(a: Tensor, b: Tensor) -> float:
    value = float((a.double() - b.double()).norm() / b.double().norm())
    return float(f"{max(value, 1e-17):.3g}")


def _sweep(sizes: Sequence[float], batch: int) -> dict[str, dict[str, list[float]]]:
    """Errors by amplitude of the network's error, steps and size c."""
    p = problem("mixture")
    x, grids = p.starts(batch), uniform_lam(p.process, p.lam_start, p.lam_end)
    truth, field = p.endpoint(x), FourierField.random(2, length=0.5, seed=1)
    out: dict[str, dict[str, list[float]]] = {}
    for amplitude in AMPLITUDES:
        model = exact_model(Perturbed(p.law, field, amplitude), p.process, "noise")
        out[f"{amplitude:g}"] = {
            str(n): [
                float(f"{rms(ddim_turned(model, grids.grid(n), x, _turn(c)).x - truth):.4g}")
                for c in sizes
            ]
            for n in STEPS
        }
    return out


def _turn(c: float) -> Turn:
    turned = partial(tangential, c=c)
    return lambda g, last: g if last is None else turned(g, last)


def draw(data: Data) -> Figure:
    """Two panels."""
    figure = Figure(figsize=(11.0, 4.8))
    sides = {"left": 0.08, "right": 0.9, "top": 0.77, "bottom": 0.12, "wspace": 0.55}
    places = figure.add_gridspec(1, 2, **sides)
    _precision(figure.add_subplot(places[0]), data)
    _extrapolation(figure.add_subplot(places[1]), data)
    figure.text(0.08, 0.92, "An identity, rounded", size=17, weight="bold")
    about = (
        "A Levenberg-Marquardt direction that should be the noise itself (left); turned (right)"
    )
    figure.text(0.08, 0.86, about, size=9.5, color=SOFT)
    return figure


def _precision(axes: Axes, data: Data) -> None:
    axes.set(xscale="log", yscale="log", xlabel="damping", title="κ = 0, 3072 coordinates")
    axes.set_ylabel("relative change of the direction")
    ends = []
    for k, (name, line) in enumerate(
        [*data["change"].items(), ("float32, rewritten", data["tiny"])]
    ):
        axes.plot(data["dampings"], line, color=COLOURS[k], marker=MARKERS[k], mec="white")
        ends.append(End(data["dampings"][-1], line[-1], name, COLOURS[k]))
    axes.axvline(PUBLISHED, color=SOFT, lw=0.8, ls=(0, (4, 2)))
    axes.autoscale_view()  # labels need final limits
    label_ends(axes, ends, size=8)


def _extrapolation(axes: Axes, data: Data) -> None:
    axes.set(xlabel="size c of the extrapolation", title="DDIM, 10 steps")
    axes.set_ylabel("distance to the exact flow")
    ends = []
    for k, (amplitude, errors) in enumerate(data["errors"].items()):
        line = errors["10"]
        axes.plot(data["sizes"], line, color=COLOURS[k], marker=MARKERS[k], mec="white")
        words = "exact network" if float(amplitude) == 0 else f"network error {amplitude}"
        ends.append(End(data["sizes"][-1], line[-1], words, COLOURS[k]))
    axes.autoscale_view()  # labels need final limits
    label_ends(axes, ends, size=8)


def _identity(kind: str) -> Callable[[Data], Measured]:
    def measure(data: Data) -> Measured:
        at = data["dampings"].index(PUBLISHED)
        change = data["change"][kind][at]
        words = f"it moves by {change:.2g} of its length at damping {PUBLISHED:g}"
        return Measured(words, judge(-change, -change, least=-0.01))

    return measure


def _pays(data: Data) -> Measured:
    best = {
        (a, n): data["sizes"][int(np.argmin(line))]
        for a, errors in data["errors"].items()
        for n, line in errors.items()
    }
    words = ", ".join(f"{c:g} (error {a}, {n} steps)" for (a, n), c in best.items())
    least = min(best.values())
    return Measured(f"best c: {words}", judge(least, least, least=0.05))


CLAIMS = (
    Claim("at κ = 0 the direction is unchanged (float64)", "algebra", _identity("float64")),
    Claim("at κ = 0 the direction is unchanged (float32)", "algebra", _identity("float32")),
    Claim("turning the noise forward (c > 0) brings DDIM closer", _WANG, _pays),
)  # fmt: skip
