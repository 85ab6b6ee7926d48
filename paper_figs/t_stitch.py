"""T-Stitch: a small model where there is much noise, the big one after.

The big model is the exact denoiser of ten kinds of handwritten digits; a small one knows one or
two kinds of the same mean and covariance. Left how far the end moves when the first part of the
steps is given to the small model. Middle the same against cost, if a small call costs a tenth.
Right why it works: denoisers of two laws of equal moments differ by their third cumulants.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..solvers.grids import power_t
from ..solvers.heads import Heads, route
from ..solvers.registry import get
from ..solvers.run import run
from ..toy_models.draws import normals
from ..toy_models.law import exact_model
from ..toy_models.merged import merged
from ..toy_models.mixture import GaussianMixture
from ..toy_models.problems import problem as reference_problem
from .cache import Data
from .figure import COLOURS, INK, MARKERS, SOFT, Claim, Measured, judge, progress

STEPS, CHEAP = 40, 10.0
CURVES = {
    "ddim 1": "DDIM, one kind", "ddim 2": "DDIM, two kinds",
    "dpmpp_2m 1": "2M, one kind", "dpmpp_2m 2": "2M, two kinds",
}  # fmt: skip
_PAN = "Pan et al. 2025, arXiv:2402.14167"


def data(*, problem: str = "digits-mixture", steps: int = STEPS, batch: int = 64) -> Data:
    """Distance of the stitched end to the big model's, in units of the data's spread."""
    p = reference_problem(problem)
    law = cast(GaussianMixture, p.law)
    grid = power_t(p.process, 1.0, 1e-3).grid(steps)
    x = torch.from_numpy(normals(batch, law.dim, seed=1, label="stitch"))
    size = float(law.cov.diagonal().mean().sqrt())
    switches = list(range(0, steps + 1, max(1, steps // 20)))
    out: Data = {
        "steps": steps, "batch": batch, "law": p.describe()["law"],
        "fractions": [k / steps for k in switches],
        "lams": [round(grid[k].lam, 3) for k in switches], "gaps": {}, "theory": {},
    }  # fmt: skip
    for name in progress(list(CURVES), "t-stitch"):
        sampler, count = name.split()
        small = exact_model(merged(law, int(count)), p.process)
        heads = Heads({"": p.model(), "small": small})
        plan = get(sampler)(p.process, grid)
        full = run(plan, heads, x).x
        out["gaps"][name] = [
            _short((run(route(plan, "small", until=grid[k].lam), heads, x).x - full), size)
            for k in switches
        ]
    for count in (1, 2):
        out["theory"][str(count)] = _denoisers(law, count, batch)
    return out


def _short(x: torch.Tensor, size: float) -> float:
    return float(f"{float(x.square().mean().sqrt()) / size:.5g}")


def _denoisers(law: GaussianMixture, count: int, batch: int) -> dict[str, list[float]]:
    """Distance of the two denoisers at ``x = alpha x_0 + sigma eps`` against alpha/sigma."""
    small, data = merged(law, count), law.sample(batch, seed=3)
    eps = torch.from_numpy(normals(batch, law.dim, seed=4, label="stitch"))
    nus, size = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0], float(law.cov.diagonal().mean().sqrt())
    gaps = []
    for nu in nus:
        x = nu * data + eps
        gaps.append(_short(small.denoiser(x, nu, 1.0) - law.denoiser(x, nu, 1.0), size))
    return {"nu": nus, "gap": gaps}


# the picture


def draw(data: Data) -> Figure:
    """Three panels."""
    figure = Figure(figsize=(11.6, 4.7))
    sides = {"left": 0.065, "right": 0.985, "top": 0.77, "bottom": 0.13, "wspace": 0.32}
    places = figure.add_gridspec(1, 3, width_ratios=(1.25, 1, 1), **sides)
    _draw_gaps(figure.add_subplot(places[0]), data)
    _draw_costs(figure.add_subplot(places[1]), data)
    _draw_theory(figure.add_subplot(places[2]), data)
    figure.text(0.065, 0.925, "A small model first", size=17, weight="bold")
    about = (
        f"Exact denoisers of real digits ({data['law']}); {data['steps']} steps uniform in time, "
        f"{data['batch']} starts, rms"
    )
    figure.text(0.065, 0.865, about, size=9.5, color=SOFT)
    return figure


def _curves() -> list[tuple[str, str, int]]:
    return [(name, title, k) for k, (name, title) in enumerate(CURVES.items())]


def _draw_gaps(axes: Axes, data: Data) -> None:
    x = data["fractions"][1:]
    axes.set(yscale="log", xlabel="share of steps by the small model", xlim=(0, 1))
    axes.axhline(0.01, color=INK, lw=1.0, ls=(0, (4, 2)))
    axes.axvspan(0, 0.4, color="#f0f1f3", zorder=0)
    for name, title, k in _curves():
        y = data["gaps"][name][1:]
        pen = {"color": COLOURS[k], "marker": MARKERS[k], "ms": 4, "mec": "white", "mew": 0.5}
        axes.plot(x, y, label=title, **pen)
    axes.set_title("How far the end moves")
    axes.set_ylabel("distance / spread of the data")
    axes.text(0.02, 0.0125, "one percent", size=8, color=INK)
    axes.legend(frameon=False, fontsize=8, loc="lower right")


def _draw_costs(axes: Axes, data: Data) -> None:
    x = 1 / (1 - np.array(data["fractions"][1:]) * (1 - 1 / CHEAP))
    axes.set(yscale="log", xlabel="times cheaper", title="Against cost")
    for name, _, k in _curves():
        y = data["gaps"][name][1:]
        axes.plot(x, y, color=COLOURS[k], marker=MARKERS[k], ms=4, mec="white", mew=0.5)
    axes.axhline(0.01, color=INK, lw=1.0, ls=(0, (4, 2)))


def _draw_theory(axes: Axes, data: Data) -> None:
    axes.set(xscale="log", yscale="log", xlabel="α/σ", title="Laws of equal moments")
    for k, (count, found) in enumerate(data["theory"].items()):
        words = "one kind" if count == "1" else f"{count} kinds"
        nu, gap = np.array(found["nu"]), np.array(found["gap"])
        axes.plot(nu, gap, color=COLOURS[k], marker=MARKERS[k], mec="white", mew=0.7, label=words)
    axes.plot(nu, gap[0] * (nu / nu[0]) ** 2, color=SOFT, lw=1.0, ls=":", label="(α/σ)²")
    axes.set_ylabel("distance of two denoisers")
    axes.legend(frameon=False, fontsize=8)


# the claims


def _at(data: Data, name: str, fraction: float) -> float:
    return float(np.interp(fraction, data["fractions"], data["gaps"][name]))


def _forty(data: Data) -> Measured:
    worst = {name: _at(data, name, 0.4) for name in data["gaps"]}
    words = ", ".join(f"{CURVES[name]} {100 * gap:.2g} %" for name, gap in worst.items())
    most = max(worst.values())
    return Measured(f"moved by {words}", judge(-most, -most, least=-0.01))


def _monotone(data: Data) -> Measured:
    kept = [bool((np.diff(gaps[: _upto(data)]) >= 0).all()) for gaps in data["gaps"].values()]
    words = f"{sum(kept)} of {len(kept)} curves grow all the way to 80 %"
    return Measured(words, "holds" if all(kept) else "does not hold")


def _upto(data: Data) -> int:
    return sum(f <= 0.8 for f in data["fractions"])


def _cumulants(data: Data) -> Measured:
    slopes = {}
    for count, found in data["theory"].items():
        nu, gap = np.log(found["nu"][:4]), np.log(found["gap"][:4])
        slopes[count] = float(np.polyfit(nu, gap, 1)[0])
    words = ", ".join(f"{s:.2f} with {count}" for count, s in slopes.items())
    off = max(abs(s - 2) for s in slopes.values())
    return Measured(f"slopes {words}", judge(-off, -off, least=-0.1))


def _kinds(data: Data) -> Measured:
    gains: dict[str, Any] = {
        s: _at(data, f"{s} 1", 0.4) / _at(data, f"{s} 2", 0.4) for s in ("ddim", "dpmpp_2m")
    }
    words = ", ".join(f"{g:.2f} for {s}" for s, g in gains.items())
    least = min(gains.values())
    return Measured(f"one kind over two: {words}", judge(least, least, least=1.0))


CLAIMS = (
    Claim("the first 40 % of the steps may be a small model's: under 1 % change", _PAN, _forty),
    Claim("the later the switch, the larger the change", _PAN, _monotone),
    Claim("a better small model changes less", _PAN, _kinds),
    Claim(
        "denoisers of equal mean and covariance differ as the square of α/σ", "theory", _cumulants
    ),
)
