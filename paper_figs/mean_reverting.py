"""Fast samplers of a mean-reverting process are the ordinary ones in ``w = x - mu``.

Toy deblurring: smooth Gaussian signals (d = 24) are blurred and a little noise is added; mu is the
blurred signal, the process decays to it. Everything is exact: the law of each sampler's output
given mu, its W2 distance to the posterior, root mean square over observations. Left the distance
within a budget; right the slopes on the same posterior without the mismatch of the start.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..analysis.distances import diagonal_w2
from ..analysis.gaussian_path import Normal, marginal
from ..analysis.law import response
from ..solvers.grids import Grid, grid_from_times, uniform_lam
from ..solvers.processes.mean_reverting import MeanReverting
from ..solvers.registry import get
from ..toy_models.gaussian import Gaussian
from ..toy_models.super_resolution import SuperResolution
from .cache import Data
from .figure import COLOURS, INK, MARKERS, SOFT, Claim, Measured, judge, progress
from .labels import End, label_ends

STEPS = (3, 4, 5, 6, 8, 10, 15, 20, 30, 50, 100, 200)
FINE = (32, 64, 128, 256)
LAST = 6.5  # then a step to sigma 0
SLOPED_ON = (-2.5, 5.0)
SHOWN = {
    "euler_maruyama": "Euler–Maruyama", "ddim": "ODE-1", "exp_ab2_data": "ODE-2",
    "dpmpp_3m_published": "ODE-3 as published", "dpmpp_3m": "ODE-3 corrected",
    "sde_dpmpp_1": "SDE-1", "sde_dpmpp_2m": "SDE-2 (midpoint)",
}  # fmt: skip
SLOPED = ("ddim", "exp_ab2_data", "dpmpp_3m_published", "dpmpp_3m")
_LI, _LUO = "Li et al. 2025, arXiv:2502.07856", "Luo et al. 2023, arXiv:2301.11699"


def deblurring(d: int = 24) -> SuperResolution:
    """Smooth signals seen through a Gaussian blur and noise of 0.05."""
    at = torch.arange(d, dtype=torch.float64)
    gap = at[:, None] - at
    cov = 0.3**2 * torch.exp(-0.5 * (gap / 2.0).square()) + 1e-4 * torch.eye(d).double()
    blur = torch.exp(-0.5 * (gap / 1.5).square())
    blur = blur / blur.sum(1, keepdim=True)
    return SuperResolution(Gaussian(torch.full((d,), 0.5).double(), cov), blur, 0.05)


def observed(task: SuperResolution, count: int) -> Any:
    """``count`` posterior means less mu, in the eigenbasis of the posterior; its variances."""
    x0 = task.prior.sample(count, seed=1)
    noise = torch.randn(x0.shape, generator=torch.Generator().manual_seed(2), dtype=x0.dtype)
    mu = task.observe(x0, noise)
    values, vectors = torch.linalg.eigh(task.cov)
    return ((task.posterior_mean(mu) - mu) @ vectors).numpy(), values.clamp_min(0.0).numpy()


def data(*, steps: Sequence[int] = STEPS, fine: Sequence[int] = FINE, batch: int = 32) -> Data:
    """Distances within budgets from the published start, and slopes from the exact one."""
    process = MeanReverting()
    means, var = observed(deblurring(), batch)
    curves = {name: [] for name in SHOWN}
    for name in progress(list(SHOWN), "mean-reverting"):
        for n in steps:
            curves[name].append(_distance(name, process, grid_for(name, process, n), means, var))
    slopes = {name: [_truncation(name, process, n, means, var) for n in fine] for name in SLOPED}
    floor = _start_error(process, means, var)
    return {
        "steps": list(steps), "fine": list(fine), "curves": curves, "slopes": slopes,
        "start_error": floor, "scale": float(math.sqrt(np.mean(var))), "batch": batch,
    }  # fmt: skip


def grid_for(name: str, process: MeanReverting, steps: int) -> Grid:
    """Equal steps in time down to the data for Euler-Maruyama, in lam for the others."""
    if name == "euler_maruyama":
        return grid_from_times(process, np.linspace(1.0, 0.0, steps + 1).tolist())
    return uniform_lam(process, process.lam_min, LAST).grid(steps - 1, to_zero=True)


def _distance(name: str, process: MeanReverting, grid: Grid, means: Any, var: Any) -> float:
    """W2 to the posterior from ``N(mu, s^2)``, root mean square over mu, per coordinate."""
    plan = get(name)(process, grid)
    total = 0.0
    for mean in means:
        start = Normal(np.zeros_like(mean), np.full_like(mean, process.sigma_inf**2))
        law = response(plan, Normal(mean, var)).law(start)
        total += diagonal_w2(law.mean, law.var, mean, var) ** 2
    return math.sqrt(total / means.size)


def _truncation(name: str, process: MeanReverting, steps: int, means: Any, var: Any) -> float:
    """Error of the output's mean and deviation for an exact start, no step to sigma 0."""
    grid = uniform_lam(process, *SLOPED_ON).grid(steps)
    plan, total = get(name)(process, grid), 0.0
    for mean in means[:4]:
        data = Normal(mean, var)
        law, truth = response(plan, data).law(marginal(data, grid[0])), marginal(data, grid[-1])
        total += diagonal_w2(law.mean, law.var, truth.mean, truth.var) ** 2
    return math.sqrt(total / (4 * means.shape[1]))


def _start_error(process: MeanReverting, means: Any, var: Any) -> float:
    """W2 of the exact flow from the published start: what no sampler can undo."""
    a, s2 = process.node(1.0).alpha, process.node(1.0).sigma ** 2
    gain = np.sqrt(var / (a * a * var + s2))
    off = (gain * a * means) ** 2 + (gain * process.sigma_inf - np.sqrt(var)) ** 2
    return float(np.sqrt(off.mean()))


# the picture


def draw(data: Data) -> Figure:
    """Two panels."""
    figure = Figure(figsize=(11.0, 4.9))
    places = figure.add_gridspec(1, 2, left=0.07, right=0.83, top=0.77, bottom=0.13, wspace=0.5)
    left, right = (figure.add_subplot(places[k]) for k in range(2))
    _panel(left, data["steps"], data["curves"], "Distance to the posterior")
    left.axhline(data["start_error"], color=SOFT, lw=0.9, ls=(0, (4, 2)))
    left.axhline(data["scale"], color=SOFT, lw=0.9)
    words = {"size": 8, "color": SOFT, "va": "bottom"}
    left.text(200, data["scale"], "width of the posterior", ha="right", **words)
    left.text(3, data["start_error"], "the published start alone", **words)
    _panel(right, data["fine"], data["slopes"], "Error of the formula alone")
    figure.text(0.07, 0.925, "Mean reversion is a shift", size=17, weight="bold")
    about = "Toy deblurring, exact output laws; W2 for each coordinate, rms over observations"
    figure.text(0.07, 0.865, about, size=9.5, color=SOFT)
    return figure


def _panel(axes: Axes, steps: Sequence[int], curves: dict[str, list[float]], title: str) -> None:
    axes.set(xscale="log", yscale="log", xlim=(0.9 * steps[0], 1.05 * steps[-1]))
    pens = dict(zip(SHOWN, (INK, *COLOURS), strict=True))
    ends = []
    for k, (name, words) in enumerate(SHOWN.items()):
        if name in curves:
            pen = {"marker": MARKERS[k % 6], "mec": "white", "mew": 0.6}
            axes.plot(steps, curves[name], color=pens[name], **pen)
            ends.append(End(steps[-1], curves[name][-1], words, pens[name]))
    ticks = [n for n in (3, 5, 10, 20, 50, 100, 200, 32, 64, 128, 256) if n in steps]
    axes.set_xticks(ticks, [str(n) for n in ticks])
    axes.set_xticks([], minor=True)
    axes.set_title(title)
    axes.set_xlabel("evaluations of the model")
    axes.autoscale_view(scalex=False)
    label_ends(axes, ends)


# the claims


def _fewer(data: Data) -> Measured:
    """Evaluations of Euler-Maruyama for the error that the best sampler has at 10."""
    at = data["steps"].index(10)
    best = min((data["curves"][name][at], name) for name in SHOWN if name != "euler_maruyama")
    slow = np.log(data["curves"]["euler_maruyama"])  # a straight line in logarithms in between
    order = np.argsort(slow)
    wanted = np.interp(math.log(best[0]), slow[order], np.log(data["steps"])[order])
    times = float(np.exp(wanted)) / 10
    text = (
        f"{SHOWN[best[1]]} with 10 is at {best[0]:.2g}, where Euler–Maruyama comes with "
        f"{10 * times:.0f}: {times:.2g} times"
    )
    return Measured(text, judge(times, times, least=10.0))


def _order(data: Data, name: str) -> float:
    row, steps = data["slopes"][name], data["fine"]
    return math.log(row[-2] / row[-1]) / math.log(steps[-1] / steps[-2])


def _orders(data: Data) -> Measured:
    found = {name: _order(data, name) for name in SLOPED}
    text = ", ".join(f"{SHOWN[name]} {p:.2f}" for name, p in found.items())
    third = found["dpmpp_3m_published"]
    return Measured(f"last slopes: {text}", judge(third, third, least=2.75))


def _start(data: Data) -> Measured:
    share = data["start_error"] / data["scale"]
    text = f"W2 {data['start_error']:.2g}, {100 * share:.2g} % of the posterior's width"
    return Measured(text, judge(-share, -share, least=-0.05))


CLAIMS = (
    Claim("10 to 20 times fewer evaluations are needed (than Euler–Maruyama's)", _LI, _fewer),
    Claim("MRS-ODE-3 is of order 3", _LI, _orders),
    Claim("a start from mu plus noise is as good as the true one (within 5 %)", _LUO, _start),
)
