"""One Brownian path for every grid: how stochastic samplers converge path by path.

Left, one sample of the reverse SDE of a law on the line with three modes: DDPM's ancestral step
with more and more steps on *one* Brownian path, closing like a fan on the path of the SDE. Middle,
the same for the end points: root mean square distance to the finest grid over many paths. Right,
the exact strong error on Gaussian data, where no path is drawn at all: Ito's isometry.

Grids that draw noise of their own do not converge to each other at all: the grey line.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..analysis.gaussian_path import eigenbasis
from ..analysis.paired import rms
from ..analysis.strong import strong_error
from ..solvers.grids import GridMap, uniform_lam
from ..solvers.noise import CellNoise, GridPath, NoiseSource
from ..solvers.registry import get
from ..solvers.run import run
from ..toy_models.problems import Problem
from ..toy_models.problems import problem as reference_problem
from .cache import Data
from .figure import COLOURS, INK, MARKERS, SOFT, Claim, Measured, judge, progress
from .labels import End, label_ends

SHOWN = {
    "euler_maruyama": "Euler–Maruyama", "ancestral": "DDPM",
    "sde_dpmpp_2m": "SDE-2M", "sde_dpmpp_3m": "SDE-3M", "sde_sra1": "SRA1",
    "sde_weak3": "weak 3",
}  # fmt: skip
PLAIN = "ancestral"
STEPS = (8, 16, 32, 64, 128, 256)
FAN = (4, 8, 16, 32, 64)
FINEST = 1024
REFERENCE = "sde_sra1"
SPAN = (-3.0, 3.0)


def data(
    *,
    steps: Sequence[int] = STEPS,
    fan: Sequence[int] = FAN,
    finest: int = FINEST,
    batch: int = 128,
    seed: int = 12,
) -> Data:
    """A fan of paths, distances of end points on common paths, exact strong errors."""
    line, flat = reference_problem("line"), reference_problem("gaussian")
    maps = uniform_lam(line.process, *SPAN)
    start = _starts(line, batch)
    path = GridPath([n.lam for n in maps.grid(finest).nodes], seed)
    truth = _end(line, maps, REFERENCE, finest, start, path)
    nonlinear, exact = {}, {}
    for name in progress(list(SHOWN), "strong fan"):
        if get(name).clock != "t":  # its cells are those of another clock than the path's
            ends = [_end(line, maps, name, n, start, path) for n in steps]
            nonlinear[name] = [float(f"{rms(x - truth):.6g}") for x in ends]
        exact[name] = [_strong(flat, name, n) for n in steps]
    apart = [rms(_end(line, maps, PLAIN, n, start, CellNoise(n)) - truth) for n in steps]
    one = {str(n): _path(line, maps, n, start[:1], path) for n in (*fan, finest)}
    return {
        "problem": line.describe(), "gaussian": flat.describe(), "steps": list(steps),
        "fan": list(fan), "finest": finest, "nonlinear": nonlinear, "exact": exact,
        "apart": [float(f"{v:.6g}") for v in apart], "paths": one, "span": list(SPAN),
    }  # fmt: skip


def _starts(p: Problem, n: int) -> torch.Tensor:
    return Problem(p.name, p.law, p.process, *SPAN, p.exact).starts(n)


def _end(
    p: Problem, maps: GridMap, name: str, n: int, start: torch.Tensor, noise: NoiseSource
) -> torch.Tensor:
    sampler = get(name)
    plan = sampler(p.process, maps.grid(n))
    return run(plan, p.model(sampler.prediction), start, noise=noise).x


def _path(
    p: Problem, maps: GridMap, n: int, start: torch.Tensor, path: GridPath
) -> list[list[float]]:
    """``(lam, x)`` after each step of the plain sampler."""
    grid, sampler = maps.grid(n), get(PLAIN)
    plan, wanted = sampler(p.process, grid), range(n + 1)
    saved = run(plan, p.model(sampler.prediction), start, noise=path, save_at=wanted).saved
    return [[round(grid[k].lam, 4), round(float(saved[k]), 4)] for k in wanted]


def _strong(p: Problem, name: str, n: int) -> float:
    grid = uniform_lam(p.process, *SPAN).grid(n)
    plan = get(name)(p.process, grid)
    found = strong_error(plan, eigenbasis(p.law), eta=1.0, process=p.process)
    return float(f"{found.rms:.6g}")


# the picture


def draw(data: Data) -> Figure:
    """Three panels."""
    figure = Figure(figsize=(12.9, 4.9))
    sides = {"left": 0.05, "right": 0.89, "top": 0.76, "bottom": 0.13, "wspace": 0.55}
    places = figure.add_gridspec(1, 3, width_ratios=(1.25, 1, 1), **sides)
    left, middle, right = (figure.add_subplot(places[k]) for k in range(3))
    for k, n in enumerate(data["fan"]):
        left.plot(*np.transpose(data["paths"][str(n)]), color=COLOURS[k], lw=1.1, label=str(n))
    finest = data["paths"][str(data["finest"])]
    left.plot(*np.transpose(finest), color=INK, lw=0.7, zorder=0, label=str(data["finest"]))
    left.set(xlabel="lam, noise to data", ylabel="x", title="One path, ancestral steps")
    left.legend(frameon=False, fontsize=8.5, title="steps")
    middle.loglog(data["steps"], data["apart"], color=SOFT, ls="--", lw=1.0)
    _errors(middle, data, data["nonlinear"], "End points, three modes")
    middle.set_ylabel("strong error, rms")
    words = {"size": 8, "color": SOFT, "va": "bottom"}
    middle.text(data["steps"][0], data["apart"][0] * 1.35, "another path for each grid", **words)
    _errors(right, data, data["exact"], "Exact, Gaussian data")
    figure.text(0.05, 0.925, "One path for every grid", size=17, weight="bold")
    about = f"Left and middle {data['problem']['law']}; right {data['gaussian']['law']}"
    figure.text(0.05, 0.865, f"{about}; η = 1", size=9.5, color=SOFT)
    return figure


def _errors(axes: Axes, data: Data, rows: dict[str, list[float]], title: str) -> None:
    steps, ends = data["steps"], []
    for k, (name, words) in enumerate(SHOWN.items()):
        if name in rows:
            pen = {"color": COLOURS[k], "marker": MARKERS[k], "mec": "white", "mew": 0.6}
            axes.loglog(steps, rows[name], **pen)
            ends.append(End(steps[-1], rows[name][-1], words, COLOURS[k]))
    axes.set_xticks(steps, [str(n) for n in steps])
    axes.set_xticks([], minor=True)
    axes.set(xlabel="steps", title=title)
    axes.autoscale_view()
    label_ends(axes, ends)


# the claims


def _slope(row: Sequence[float]) -> float:
    return math.log2(row[-2] / row[-1])


def _declared(data: Data) -> Measured:
    short, words = [], []
    for name, shown in SHOWN.items():
        claim = get(name).strong
        found = _slope(data["exact"][name])
        short.append(found - (claim or 0.0))
        words.append(f"{shown} {found:.2f} ({claim:g})")
    worst = min(short)
    return Measured(f"last slopes (declared): {', '.join(words)}", judge(worst, worst, least=-0.1))


def _nonlinear(data: Data) -> Measured:
    found = {name: _slope(row[:-1]) for name, row in data["nonlinear"].items()}
    worst = min(p - (get(name).strong or 0.0) for name, p in found.items())
    text = ", ".join(f"{SHOWN[name]} {p:.2f}" for name, p in found.items())
    return Measured(f"slopes on three modes: {text}", judge(worst, worst, least=-0.2))


def _third(data: Data) -> Measured:
    two, three = _slope(data["exact"]["sde_dpmpp_2m"]), _slope(data["exact"]["sde_dpmpp_3m"])
    text = f"strong slopes {two:.2f} with two outputs and {three:.2f} with three"
    return Measured(text, judge(three - two, three - two, least=0.25))


def _coupled(data: Data) -> Measured:
    row = data["apart"]
    text = f"distance {row[0]:.2g} with {data['steps'][0]} steps, {row[-1]:.2g} with the most"
    fell = row[0] / row[-1]
    return Measured(text, judge(fell, fell, least=2.0))


CLAIMS = (
    Claim("every stochastic sampler has the strong order it declares", "theorem", _declared),
    Claim("and has it on a law with three modes", "theorem", _nonlinear),
    Claim(
        "a third output raises the strong order of SDE-DPM-Solver++", "what its name suggests",
        _third,
    ),
    Claim("grids with noise of their own converge to each other", "a common mistake", _coupled),
)  # fmt: skip
