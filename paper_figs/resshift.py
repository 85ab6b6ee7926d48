"""ResShift's own sampler and ordinary ones, on its schedule and on the same model.

Gaussian super-resolution (d = 24, averages of two neighbours); y is the coarse signal repeated.
All laws are exact: *perception* is the W2 distance of the output's law given y to the posterior,
*distortion* the root mean square distance to the truth, both for each coordinate and over
observations. Left the distance by steps, right the plane of both at four steps as kappa varies.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..analysis.distances import diagonal_w2
from ..analysis.gaussian_path import Normal
from ..analysis.law import response
from ..solvers.registry import get
from ..solvers.samplers.resshift import ResShift, resshift_grid
from ..toy_models.gaussian import Gaussian
from ..toy_models.super_resolution import SuperResolution
from .cache import Data
from .figure import COLOURS, MARKERS, SOFT, Claim, Measured, judge, progress
from .labels import End, label_ends

STEPS = (2, 3, 4, 6, 8, 10, 15, 20, 30, 50)
KAPPAS = (0.1, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0)
SHOWN = {
    "resshift_ancestral": "its own", "ancestral": "DDPM", "ddim": "DDIM",
    "dpmpp_2m": "DPM-Solver++(2M)", "unipc_2": "UniPC-2",
}  # fmt: skip
PUBLISHED = 2.0
_YUE, _YUE_PLUS = "Yue et al. 2023, arXiv:2307.12348", "Yue et al. 2024, arXiv:2403.07319"


class Task(NamedTuple):
    """Posterior means less y in the posterior's eigenbasis, (B, d), and its variances, (d,)."""

    means: Any
    var: Any


def coarse(count: int, d: int = 24) -> Task:
    """``count`` observations of smooth signals of variance 1."""
    at = torch.arange(d, dtype=torch.float64)
    cov = torch.exp(-0.5 * ((at[:, None] - at) / 1.2).square()) + 1e-2 * torch.eye(d).double()
    average = torch.kron(torch.eye(d // 2).double(), torch.full((1, 2), 0.5).double())
    task = SuperResolution(Gaussian(torch.zeros(d).double(), cov), average, 0.05)
    x0 = task.prior.sample(count, seed=1)
    noise = torch.randn(count, d // 2, generator=torch.Generator().manual_seed(2)).double()
    seen = task.observe(x0, noise)
    values, vectors = torch.linalg.eigh(task.cov)
    means = (task.posterior_mean(seen) - seen.repeat_interleave(2, dim=1)) @ vectors
    return Task(means.numpy(), values.clamp_min(0.0).numpy())


def data(
    *, steps: Sequence[int] = STEPS, kappas: Sequence[float] = KAPPAS, batch: int = 16
) -> Data:
    """Perception and distortion of every sampler, by steps and by kappa."""
    task, out = coarse(batch), {"steps": list(steps), "kappas": list(kappas), "batch": batch}
    names = progress(list(SHOWN), "resshift")
    rows = {name: [measured(name, PUBLISHED, n, task) for n in steps] for name in names}
    sweep = {name: [measured(name, k, 4, task) for k in kappas] for name in SHOWN}
    width = float(np.mean(task.var))
    return out | {"by_steps": rows, "by_kappa": sweep, "posterior": math.sqrt(width)}


def measured(name: str, kappa: float, steps: int, task: Task) -> list[float]:
    """``[perception, distortion]`` from the published start ``y + kappa sqrt(eta_T) noise``."""
    process = ResShift(kappa=kappa, min_noise=0.04 if steps > 4 else 0.2)
    plan = get(name)(process, resshift_grid(process, steps))
    far, off = 0.0, 0.0
    for mean in task.means:
        start = Normal(np.zeros_like(mean), np.full_like(mean, process.prior_std**2))
        law = response(plan, Normal(mean, task.var)).law(start)
        far += diagonal_w2(law.mean, law.var, mean, task.var) ** 2
        off += float(((law.mean - mean) ** 2 + law.var + task.var).sum())
    return [math.sqrt(v / task.means.size) for v in (far, off)]


# the picture


def draw(data: Data) -> Figure:
    """Two panels."""
    figure = Figure(figsize=(11.0, 4.9))
    places = figure.add_gridspec(1, 2, left=0.075, right=0.85, top=0.77, bottom=0.13, wspace=0.55)
    _by_steps(figure.add_subplot(places[0]), data)
    _plane(figure.add_subplot(places[1]), data)
    figure.text(0.075, 0.925, "What residual shifting needs", size=17, weight="bold")
    about = "Gaussian super-resolution, exact output laws on the published schedule"
    figure.text(0.075, 0.865, about, size=9.5, color=SOFT)
    return figure


def _by_steps(axes: Axes, data: Data) -> None:
    steps, ends = data["steps"], []
    axes.set(xscale="log", yscale="log", xlim=(0.9 * steps[0], 1.05 * steps[-1]))
    for k, (name, words) in enumerate(SHOWN.items()):
        y = [pair[0] for pair in data["by_steps"][name]]
        axes.plot(steps, y, color=COLOURS[k], marker=MARKERS[k], mec="white", mew=0.6)
        ends.append(End(steps[-1], y[-1], words, COLOURS[k]))
    axes.axhline(data["posterior"], color=SOFT, lw=0.9)
    axes.set_xticks([2, 4, 8, 15, 30, 50], ["2", "4", "8", "15", "30", "50"])
    axes.set_xticks([], minor=True)
    axes.set_title(f"Distance to the posterior, κ = {PUBLISHED:g}")
    axes.set_xlabel("steps")
    axes.set_ylabel("W2 for each coordinate")
    axes.autoscale_view(scalex=False)
    label_ends(axes, ends)


def _plane(axes: Axes, data: Data) -> None:
    ends = []
    for k, (name, words) in enumerate(SHOWN.items()):
        y, x = zip(*data["by_kappa"][name], strict=True)
        axes.plot(x, y, color=COLOURS[k], marker=MARKERS[k], mec="white", mew=0.6)
        ends.append(End(x[-1], y[-1], words, COLOURS[k]))
    width = data["posterior"]
    for x, y, words in (
        (width, width, "posterior mean"),
        (math.sqrt(2) * width, 0.0, "posterior"),
    ):
        axes.plot(x, y, "*", color=SOFT, ms=11, zorder=3)
        axes.annotate(words, (x, y), (8, 4), textcoords="offset points", size=8, color=SOFT)
    low, high = min(data["kappas"]), max(data["kappas"])
    axes.set_title(f"Four steps, κ from {low:g} to {high:g}")
    axes.set_xlabel("distortion: distance to the truth")
    axes.set_ylabel("perception: distance to the posterior")
    axes.autoscale_view(scalex=False)
    label_ends(axes, ends)


# the claims


def _perception(data: Data, name: str, steps: int) -> float:
    return data["by_steps"][name][data["steps"].index(steps)][0]


def _four(data: Data) -> Measured:
    four, fifteen = (_perception(data, "resshift_ancestral", n) for n in (4, 15))
    text = f"W2 {four:.3g} with 4 steps, {fifteen:.3g} with 15, posterior {data['posterior']:.3g}"
    return Measured(text, judge(fifteen / four, fifteen / four, least=0.8))


def _others(data: Data) -> Measured:
    ours = _perception(data, "resshift_ancestral", 4)
    found = {SHOWN[n]: ours / _perception(data, n, 4) for n in ("ddim", "dpmpp_2m", "unipc_2")}
    text = "times closer: " + ", ".join(f"{words} {v:.2g}" for words, v in found.items())
    return Measured(text, judge(min(found.values()), min(found.values()), least=1.0))


def _trade(data: Data) -> Measured:
    """Whether a smaller kappa is the more faithful one, along the whole sweep."""
    off = [pair[1] for pair in data["by_kappa"]["resshift_ancestral"]]
    gaps = [b - a for a, b in pairwise(off)]
    text = "distortion " + ", ".join(f"{v:.3g}" for v in off)
    return Measured(text, "holds" if min(gaps) >= 0 else "does not hold")


CLAIMS = (
    Claim("4 steps do as well as 15 (within 20 %)", _YUE_PLUS, _four),
    Claim("ordinary solvers of its ODE beat its own sampler at 4 steps", "this figure", _others),
    Claim("a smaller kappa is more faithful to the truth", _YUE, _trade),
)
