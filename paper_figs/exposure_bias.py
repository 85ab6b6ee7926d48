"""Exposure bias: the variance that a sampler loses, and what a shifted time label gives back.

On N(0, 1/4) in 256 dimensions the variance of every state is known. Left its ratio to that of the
level along a run of ten steps, middle at the end against the number of steps. Right the error on
an image mixture, Time-Shift's over DDIM's, for five laws and two windows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..analysis.paired import rms
from ..solvers.grids import Grid, uniform_lam
from ..solvers.model import Model
from ..solvers.registry import get
from ..solvers.run import run
from ..solvers.schedules import VPLinear
from ..solvers.wrappers.time_shift import (
    ddim_time_shift,
    ddim_time_shift_target,
    mean_square,
)
from ..toy_models.draws import normals
from ..toy_models.gaussian import Gaussian
from ..toy_models.images import image_mixture
from ..toy_models.law import exact_model
from .cache import Data
from .figure import COLOURS, INK, MARKERS, SOFT, Claim, Measured, judge, progress
from .labels import End, label_ends

DIM, VARIANCE = 256, 0.25
LAMS = (-4.0, 3.0)
KINDS = {
    "ddim": "DDIM", "whole": "(a) whole variance", "published": "(a) σ² alone",
    "target": "(b) shifted target",
}  # fmt: skip
WINDOW, STEPS = 1.0, (5, 8, 10, 15, 20, 30, 50)
PROCESS = VPLinear()
_LI = "Li et al. 2024, arXiv:2305.15583"


def data(*, steps: Sequence[int] = STEPS, shown: int = 10, seeds: int = 5) -> Data:
    """Variance ratios along a run and at its end, and errors on images."""
    zero = torch.zeros(DIM, dtype=torch.float64)
    eye = torch.eye(DIM, dtype=torch.float64)
    law = Gaussian.from_eigen(zero, eye, torch.full_like(zero, VARIANCE))
    model = exact_model(law, PROCESS, "noise")
    start = PROCESS.node_at_lam(LAMS[0])
    x = torch.from_numpy(normals(16, DIM, seed=0, label="exposure"))
    x = x * math.hypot(start.alpha * VARIANCE**0.5, start.sigma)
    along: dict[str, list[float]] = {name: [1.0] for name in KINDS}
    grids = uniform_lam(PROCESS, *LAMS)
    whole = grids.grid(shown)
    for k in range(1, shown + 1):
        for name, ratio in _ratios(model, whole.part(0, k), x).items():
            along[name].append(ratio)
    ends: dict[str, list[float]] = {name: [] for name in KINDS}
    for n in progress(list(steps), "exposure bias"):
        for name, ratio in _ratios(model, grids.grid(n), x).items():
            ends[name].append(ratio)
    return {
        "lams": [node.lam for node in whole.nodes], "along": along, "steps": list(steps),
        "ends": ends, "shown": shown, "images": [_images(seed, shown) for seed in range(seeds)],
    }  # fmt: skip


def _ratios(model: Model, grid: Grid, x: torch.Tensor) -> dict[str, float]:
    """Variance at the end over that of the last level, by method."""
    nominal = grid[-1].alpha ** 2 * VARIANCE + grid[-1].sigma ** 2
    args = (model, PROCESS, grid, x)
    outs = {
        "ddim": run(get("exp_ab1_noise")(PROCESS, grid), model, x).x,
        "whole": ddim_time_shift(*args, window=WINDOW, data_variance=VARIANCE).x,
        "published": ddim_time_shift(*args, window=WINDOW).x,
        "target": ddim_time_shift_target(*args, window=WINDOW).x,
    }
    return {name: round(float(mean_square(out).mean()) / nominal, 4) for name, out in outs.items()}


def _images(seed: int, steps: int) -> dict[str, float]:
    """Errors against a fine run on an image mixture, the law's own variance known."""
    law = image_mixture(size=8, channels=3, components=8, rank=4, seed=seed)
    model, grids = exact_model(law, PROCESS, "noise"), uniform_lam(PROCESS, *LAMS)
    start = PROCESS.node_at_lam(LAMS[0])
    noise = torch.from_numpy(normals(16, law.dim, seed=seed, label="images"))
    x = start.alpha * law.sample(16, seed=seed) + start.sigma * noise
    second = float(law.sample(2000, seed=99).square().mean())
    fine = get("dpmpp_3m")(PROCESS, grids.grid(400))
    truth = run(fine, exact_model(law, PROCESS, "data"), x).x
    grid = grids.grid(steps)
    found = {
        "ddim": run(get("exp_ab1_noise")(PROCESS, grid), model, x).x,
        "whole": ddim_time_shift(model, PROCESS, grid, x, window=WINDOW, data_variance=second).x,
        "published": ddim_time_shift(model, PROCESS, grid, x, window=WINDOW).x,
    }
    return {name: float(f"{rms(out - truth):.4g}") for name, out in found.items()}


def draw(data: Data) -> Figure:
    """Along a run, against steps, on images."""
    figure = Figure(figsize=(11.6, 4.7))
    sides = {"left": 0.065, "right": 0.985, "top": 0.77, "bottom": 0.13, "wspace": 0.75}
    places = figure.add_gridspec(1, 3, width_ratios=(1, 1, 0.7), **sides)
    left, middle = figure.add_subplot(places[0]), figure.add_subplot(places[1])
    for axes, x, rows in ((left, data["lams"], "along"), (middle, data["steps"], "ends")):
        axes.axhline(1.0, color=INK, lw=1.0, ls=(0, (4, 2)))
        axes.set_ylim(0.4, 2.1)
        for k, line in enumerate(data[rows].values()):
            axes.plot(x, line, color=COLOURS[k], marker=MARKERS[k], mec="white", mew=0.7)
    left.set(xlabel="λ", title=f"{data['shown']} steps", ylabel="variance over the exact one")
    middle.set(xlabel="steps", xscale="log", title="At the end")
    middle.set_xticks(data["steps"], [str(n) for n in data["steps"]])
    middle.set_xticks([], minor=True)
    words = enumerate(KINDS.items())
    ends = [End(data["steps"][-1], data["ends"][n][-1], t, COLOURS[k]) for k, (n, t) in words]
    middle.autoscale_view()  # labels need final limits
    label_ends(middle, ends, size=8)
    _draw_images(figure.add_subplot(places[2]), data)
    figure.text(0.065, 0.92, "Variance lost on the way", size=17, weight="bold")
    about = "Exact denoiser of N(0, 1/4), d = 256 (left, middle), and of image mixtures (right)"
    figure.text(0.065, 0.86, about, size=9.5, color=SOFT)
    return figure


def _draw_images(axes: Axes, data: Data) -> None:
    axes.axhline(1.0, color=INK, lw=1.0, ls=(0, (4, 2)))
    for k, name in ((1, "whole"), (2, "published")):
        ratios = [row[name] / row["ddim"] for row in data["images"]]
        axes.plot(range(1, len(ratios) + 1), ratios, MARKERS[k], color=COLOURS[k], ms=7)
    axes.set(xlabel="law", title="Images", ylabel="error over DDIM's")


def _closes(name: str) -> Callable[[Data], Measured]:
    def measure(data: Data) -> Measured:
        at = data["steps"].index(data["shown"])
        plain, shifted = data["ends"]["ddim"][at], data["ends"][name][at]
        share = 1 - abs(1 - shifted) / abs(1 - plain)
        words = f"ratio {plain:.2f} without, {shifted:.2f} with it: {share:.0%} of the gap closed"
        return Measured(words, judge(share, share, least=0.3))

    return measure


def _better(name: str) -> Callable[[Data], Measured]:
    def measure(data: Data) -> Measured:
        ratios = [row[name] / row["ddim"] for row in data["images"]]
        wins = sum(r < 1 for r in ratios)
        words = f"error {min(ratios):.2f} to {max(ratios):.2f} times DDIM's; "
        words += f"better in {wins} of {len(ratios)} laws"
        return Measured(words, judge(wins, wins, least=0.8 * len(ratios)))

    return measure


def _where(data: Data) -> Measured:
    line = data["along"]["ddim"]
    half = 1 - line[len(line) // 2]
    share = 1 - half / (1 - line[-1])
    words = f"ratio {line[len(line) // 2]:.3f} half way, {line[-1]:.2f} at the end"
    return Measured(words, judge(share, share, least=0.75))


CLAIMS = (
    Claim("DDIM loses variance, almost all of it in the second half", "exposure bias", _where),
    Claim("a shifted label with the whole variance closes the gap", _LI, _closes("whole")),
    Claim("a shifted label with σ² alone closes the gap", _LI, _closes("published")),
    Claim("a shifted target closes the gap", f"reference code of {_LI}", _closes("target")),
    Claim("on images the whole variance brings DDIM closer", _LI, _better("whole")),
    Claim("on images σ² alone brings DDIM closer", _LI, _better("published")),
)
