"""PFGM++ between Poisson flow and diffusion: how near D is to infinity, and what small D buys.

16 points in N = 16 dimensions, exact denoisers. Left the distance of the denoiser of dimension D
from that of diffusion, and the first order in 1/D. Right Heun's method with noise put into every
state, a share of its level: W2 (optimal assignment) of 256 samples to the points, by D. In print
D is 128 or 2048 for images of N = 3072 numbers; it is D/N that matters, so that D = 1 and D = 16
stand for them here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from ..solvers.grids import Grid, karras
from ..solvers.processes.pfgm import student_noise
from ..solvers.registry import get
from ..solvers.run import run
from ..solvers.schedules import EDM
from ..toy_models.law import exact_model
from ..toy_models.pfgm import PoissonFlow
from .cache import Data
from .figure import COLOURS, INK, MARKERS, SOFT, Claim, Measured, judge, progress
from .labels import End, label_ends

DIMENSIONS = (1.0, 4.0, 16.0, 128.0, 2048.0, 1e5, 1e7)
COMPARED = (1.0, 4.0, 16.0, 128.0, math.inf)
INJECTED = (0.0, 0.1, 0.2, 0.3, 0.4, 0.6)
N, POINTS, LEVEL = 16, 16, 1.0
_XU = "Xu et al. 2023, arXiv:2302.04265"


def points() -> Tensor:
    """The data: standard normal draws, deviation 1/2."""
    generator = torch.Generator().manual_seed(5)
    return 0.5 * torch.randn(POINTS, N, generator=generator, dtype=torch.float64)


def data(*, injected: Sequence[float] = INJECTED, batch: int = 256, steps: int = 18) -> Data:
    """Distances of denoisers by D, and of samples by D and injected noise."""
    gaps = [[gap(d), first_order(d)] for d in DIMENSIONS]
    rows = {}
    for d in progress(COMPARED, "pfgm++"):
        rows[_name(d)] = [
            [distance(d, a, batch, steps, seed) for seed in (0, 1)] for a in injected
        ]
    return {
        "dimensions": list(DIMENSIONS), "gaps": gaps, "injected": list(injected), "rows": rows,
        "batch": batch, "steps": steps,
    }  # fmt: skip


def _name(d: float) -> str:
    return "∞" if math.isinf(d) else f"{d:.0f}"


def states() -> Tensor:
    """Eight states at the level of comparison."""
    return points()[:8] + LEVEL * student_noise((8, N), math.inf, seed=9)


def gap(d: float) -> float:
    """Root mean square distance of the denoiser from that of diffusion."""
    ours, theirs = (PoissonFlow(points(), v).denoiser(states(), 1.0, LEVEL) for v in (d, math.inf))
    return float((ours - theirs).square().mean().sqrt())


def first_order(d: float) -> float:
    """The same to first order: ``Cov(x_i, q^2/4 - N q/2)/D`` under the Gaussian attention."""
    data, x = points(), states()
    q = ((x[:, None] - data) / LEVEL).square().sum(-1)
    p = torch.softmax(-0.5 * q, dim=1)
    change = q * q / 4 - 0.5 * N * q
    lean = (p * (change - (p * change).sum(1, keepdim=True))) @ data
    return float(lean.square().mean().sqrt()) / d


def distance(d: float, injected: float, batch: int, steps: int, seed: int) -> float:
    """W2 of samples to the points for each coordinate, noise in every state on the way."""
    process, law = EDM(), PoissonFlow(points(), d)
    grid, model = karras(process, 80.0, 0.002).grid(steps), exact_model(law, process, "noise")
    heun = get("edm_heun")
    x = student_noise((batch, N), d, scale=80.0, seed=seed)
    for i, (s, t) in enumerate(grid.steps()):
        x = run(heun(process, Grid((s, t))), model, x).x
        fresh = student_noise((batch, N), math.inf, seed=1000 * seed + i + 1)
        x = x + injected * t.sigma * fresh
    return _assignment(x)


def _assignment(x: Tensor) -> float:
    """W2 to the points, each of which is taken equally often."""
    cost = (x[:, None] - points().repeat(len(x) // POINTS, 1)).square().sum(-1).numpy()
    rows, columns = linear_sum_assignment(cost)
    return float(math.sqrt(cost[rows, columns].mean() / N))


# the picture


def draw(data: Data) -> Figure:
    """Two panels."""
    figure = Figure(figsize=(11.0, 4.9))
    places = figure.add_gridspec(1, 2, left=0.075, right=0.9, top=0.77, bottom=0.13, wspace=0.4)
    _gaps(figure.add_subplot(places[0]), data)
    _rows(figure.add_subplot(places[1]), data)
    figure.text(0.075, 0.925, "From Poisson flow to diffusion", size=17, weight="bold")
    about = (
        f"{POINTS} points in {N} dimensions, exact denoisers; the ODE and its solvers are EDM's"
    )
    figure.text(0.075, 0.865, about, size=9.5, color=SOFT)
    return figure


def _gaps(axes: Axes, data: Data) -> None:
    x, y = data["dimensions"], np.array(data["gaps"])
    axes.set(xscale="log", yscale="log")
    axes.plot(x, y[:, 1], color=SOFT, lw=1.0, ls=(0, (4, 2)), label="first order in 1/D")
    axes.plot(x, y[:, 0], color=COLOURS[0], marker="o", mec="white", mew=0.6, label="measured")
    axes.legend(loc="lower left")
    axes.set_title("Distance of the denoiser from diffusion's")
    axes.set_xlabel("augmented dimensions D")
    axes.set_ylabel("root mean square")


def _rows(axes: Axes, data: Data) -> None:
    ends = []
    for k, (name, row) in enumerate(data["rows"].items()):
        y, colour = np.mean(row, axis=1), (*COLOURS, INK)[k]
        axes.plot(data["injected"], y, color=colour, marker=MARKERS[k], mec="white", mew=0.6)
        ends.append(End(data["injected"][-1], float(y[-1]), f"D = {name}", colour))
    axes.autoscale_view()
    axes.set_title(f"Samples with noise put in, {data['steps']} steps")
    axes.set_xlabel("noise put into each state, over its level")
    axes.set_ylabel("W2 to the points, for each coordinate")
    label_ends(axes, ends)


# the claims


def _rate(data: Data) -> Measured:
    ratios = [a / b for d, (a, b) in zip(data["dimensions"], data["gaps"], strict=True) if d > 1e4]
    worst = max(abs(r - 1) for r in ratios)
    text = (
        f"over the first order, D from 1e5: within {worst:.1g}; at D = 1 {data['gaps'][0][0]:.2g}"
    )
    return Measured(text, judge(-worst, -worst, least=-0.02))


def _robust(data: Data) -> Measured:
    """What the most noise adds, at D = N/16 and at infinity, by seed."""
    added = {}
    for name in ("1", "∞"):
        row = np.array(data["rows"][name])
        added[name] = row[-1] - row[0]
    gain = added["∞"] - added["1"]
    text = ", ".join(f"D = {name} {v.mean():.3f}" for name, v in added.items())
    return Measured(
        f"W2 added by the most noise: {text}", judge(gain.min(), gain.max(), least=0.0)
    )


def _same(data: Data) -> Measured:
    """D = 8 N against infinity, without noise and with every amount of it."""
    ours, theirs = (np.mean(data["rows"][name], axis=1) for name in ("128", "∞"))
    worst = float(np.abs(ours - theirs).max() / theirs.mean())
    return Measured(f"largest change {100 * worst:.2g} %", judge(-worst, -worst, least=-0.05))


CLAIMS = (
    Claim("the denoiser tends to that of diffusion, as 1/D", _XU, _rate),
    Claim("a D well below N suffers less from errors than diffusion", _XU, _robust),
    Claim("D = 8 N samples as diffusion does (within 5 %)", "what 1/D suggests", _same),
)
