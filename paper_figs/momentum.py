"""Momentum: what smoothing the noise prediction buys, and what it costs.

Left: regions of stability on ``y' = z y`` with equal steps in rho, for Adams-Bashforth of four
outputs with heavy ball (HB) and with generalised heavy ball (GHVB). Right: on a mixture under
strong guidance with few steps, how many samples leave the data behind, and without guidance how
far the samples are from the exact flow, both against beta; beta = 1 is no momentum.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..analysis.paired import rms
from ..analysis.stability import symbol
from ..analysis.stability_region import growths, real_limit
from ..solvers.grids import uniform_lam
from ..solvers.model import Model
from ..solvers.registry import get
from ..solvers.run import run
from ..toy_models.law import exact_model
from ..toy_models.mixture import GaussianMixture
from ..toy_models.problems import Problem
from ..toy_models.problems import problem as reference_problem
from .cache import Data
from .figure import COLOURS, INK, MARKERS, SOFT, Claim, Measured, judge, progress

BETAS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
REGIONS = (1.0, 0.8, 0.5)
SHOWN = {"hb_4": "HB-4", "ghvb_4": "GHVB-4", "ghvb_2": "GHVB-2"}
BOX = (-1.15, 0.35, -1.1, 1.1)


def data(
    *,
    betas: Sequence[float] = BETAS,
    regions: Sequence[float] = REGIONS,
    pixels: int = 81,
    guidance: float = 10.0,
    component: int = 2,
    steps: int = 10,
    batch: int = 128,
) -> Data:
    """Growth on a grid of z, real limits, outliers under guidance and errors without."""
    p = reference_problem("mixture")
    left, right, low, high = BOX
    real, imaginary = np.linspace(left, right, pixels), np.linspace(low, high, pixels)
    fields, limits, outliers, errors = {}, {}, {}, {}
    for name in progress(list(SHOWN), "momentum"):
        sampler = get(name)
        symbols = {b: symbol(sampler, "rho", beta=b) for b in sorted({*betas, *regions})}
        limits[name] = [round(real_limit(symbols[b]), 9) for b in betas]
        if name != "ghvb_2":
            fields[name] = [
                np.round(growths(symbols[b], real, imaginary), 4).tolist() for b in regions
            ]
        outliers[name], errors[name] = _runs(p, name, betas, guidance, component, steps, batch)
    return {
        "problem": p.describe(), "betas": list(betas), "regions": list(regions), "fields": fields,
        "real": real.tolist(), "imaginary": imaginary.tolist(), "limits": limits, "batch": batch,
        "outliers": outliers, "errors": errors, "steps": steps, "guidance": guidance,
    }  # fmt: skip


def _runs(
    p: Problem,
    name: str,
    betas: Sequence[float],
    weight: float,
    component: int,
    steps: int,
    n: int,
) -> tuple[list[float], list[float]]:
    """Fraction of outliers with guidance; error without, on four times as many steps."""
    maps, x = uniform_lam(p.process, p.lam_start, p.lam_end), p.starts(n)
    truth, model = p.endpoint(x), p.model("noise")
    pushed = _guided(p, model, weight, component)
    radius = float(p.law.sample(2000, seed=3).norm(dim=1).max())
    gone, errors = [], []
    for b in betas:
        out = run(get(name)(p.process, maps.grid(steps), beta=b), pushed, x).x / p.end.alpha
        gone.append(float((out.norm(dim=1) > 3 * radius).double().mean()))
        plan = get(name)(p.process, maps.grid(4 * steps), beta=b)
        errors.append(float(f"{rms(run(plan, model, x).x - truth):.6g}"))
    return gone, errors


def _guided(p: Problem, free: Model, weight: float, component: int) -> Model:
    """Noise prediction pushed ``weight`` times away from the free one, towards a component."""
    law, only = cast(GaussianMixture, p.law), slice(component, component + 1)
    one = GaussianMixture(torch.ones(1, dtype=torch.float64), law.means[only], law.covs[only])
    bound = exact_model(one, p.process, "noise")
    return lambda x, t: free(x, t) + weight * (bound(x, t) - free(x, t))


# the picture


def draw(data: Data) -> Figure:
    """Two regions, and two curves over beta."""
    figure = Figure(figsize=(11.0, 8.4))
    sides = {"left": 0.08, "right": 0.97, "top": 0.85, "bottom": 0.08}
    grid = figure.add_gridspec(2, 2, wspace=0.28, hspace=0.38, **sides)
    for k, name in enumerate(("hb_4", "ghvb_4")):
        _region(figure.add_subplot(grid[k, 0]), data, name)
    top, low = figure.add_subplot(grid[0, 1]), figure.add_subplot(grid[1, 1])
    for k, (name, title) in enumerate(SHOWN.items()):
        style = {"color": COLOURS[k], "marker": MARKERS[k], "mec": "white", "mew": 0.7}
        percent = [100 * v for v in data["outliers"][name]]
        top.plot(data["betas"], percent, label=title, **style)
        low.plot(data["betas"], data["errors"][name], label=title, **style)
    top.set(
        ylabel="samples gone, %", title=f"Guidance {data['guidance']:g}, {data['steps']} steps"
    )
    low.set(ylabel="distance to the exact flow", xlabel="β, where 1 is no momentum", yscale="log")
    low.set_title(f"No guidance, {4 * data['steps']} steps")
    top.legend(frameon=False, fontsize=9)
    figure.text(0.08, 0.945, "Momentum trades order for stability", size=16, weight="bold")
    about = f"{data['problem']['law']}; gone: beyond three times the radius of the data"
    figure.text(0.08, 0.91, about, size=9.5, color=SOFT)
    return figure


def _region(axes: Axes, data: Data, name: str) -> None:
    for k, (beta, field) in enumerate(zip(data["regions"], data["fields"][name], strict=True)):
        axes.contour(
            data["real"], data["imaginary"], field, levels=[1.0], colors=[COLOURS[k]],
            linewidths=1.6,
        )  # fmt: skip
        axes.plot([], [], color=COLOURS[k], label=f"β = {beta:g}")
    axes.axhline(0.0, color=INK, lw=0.6)
    axes.axvline(0.0, color=INK, lw=0.6)
    axes.set_title(f"{SHOWN[name]}: stable inside")
    axes.legend(frameon=False, fontsize=9, loc="upper left")


# the claims


def _pairs(data: Data, key: str, name: str) -> dict[float, float]:
    return dict(zip(data["betas"], data[key][name], strict=True))


def _larger(data: Data) -> Measured:
    words, gains = [], []
    for name in ("hb_4", "ghvb_4"):
        found = _pairs(data, "limits", name)
        gains.append(found[0.8] / found[1.0])
        words.append(f"{SHOWN[name]} {found[1.0]:.3f} to {found[0.8]:.3f}")
    text = "real end from beta = 1 to 0.8: " + ", ".join(words)
    return Measured(text, judge(min(gains), min(gains), least=1.0 + 1e-9))


def _fewer(data: Data) -> Measured:
    found = _pairs(data, "outliers", "ghvb_4")
    text = f"{100 * found[1.0]:.1f} % without, {100 * found[0.8]:.1f} % at 0.8, " + (
        f"{100 * found[0.5]:.1f} % at 0.5"
    )
    worse = found[1.0] > 0.0 and found[0.8] < found[1.0] and found[0.5] < found[0.8]
    return Measured(text, "holds" if worse else "does not hold")


def _second_order_artifacts(data: Data) -> Measured:
    found = _pairs(data, "outliers", "ghvb_2")
    text = f"{100 * found[1.0]:.1f} % of the samples of Adams-Bashforth 2 leave"
    return Measured(text, "holds" if found[1.0] > 0 else "does not hold")


def _better_than_hb(data: Data) -> Measured:
    a, b = _pairs(data, "errors", "hb_4")[0.8], _pairs(data, "errors", "ghvb_4")[0.8]
    text = f"error {a:.2g} with HB-4, {b:.2g} with GHVB-4 at beta = 0.8"
    return Measured(text, judge(a / b, a / b, least=1.0))


_PAPER = "Wizadwongsa et al. 2024, arXiv:2307.11118"
CLAIMS = (
    Claim("momentum enlarges the region of stability", _PAPER, _larger),
    Claim("GHVB with smaller beta leaves fewer divergence artifacts", _PAPER, _fewer),
    Claim(
        "second-order Adams-Bashforth shows artifacts at ten steps",
        _PAPER,
        _second_order_artifacts,
    ),
    Claim("at equal beta GHVB is closer to the exact flow than HB", _PAPER, _better_than_hb),
)
