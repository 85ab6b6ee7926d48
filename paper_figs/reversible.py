"""What reversible samplers keep: the error of a round trip, and which way rounding grows.

Left, from noise to data and back by the exact inverse, on five Gaussians in the plane: the largest
error of a start against the number of steps, for BDIA with four weights of the oldest state, and
the prediction (one rounding error at the end, times prod 1/G, over what the flow contracts). The
controls are DDIM inversion and three other reversible samplers. Right, the way there alone, on a
Gaussian and with a model of eight bits: how far its rounding carries a sample. The second root of
the recurrence is prod G over the contraction: what is steady one way is not the other way.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ..solvers.editing.inversion import ddim_inversion, round_trip
from ..solvers.grids import Grid, uniform_lam
from ..solvers.registry import get
from ..solvers.run import run
from ..solvers.samplers.reversible import FRAMES, inverse_growth, leapfrog_weights
from ..toy_models.problems import Problem
from ..toy_models.problems import problem as reference_problem
from .cache import Data
from .figure import COLOURS, INK, MARKERS, SOFT, Claim, Measured, judge, progress
from .labels import End, label_ends

WEIGHTS = (0.5, 0.8, 0.9, 1.0)
STEPS = (5, 8, 12, 20, 32, 50, 80)
OTHERS = {
    "o_belm": "O-BELM", "reversible_heun": "reversible Heun", "two_stream": "two streams",
}  # fmt: skip
CONTROL = "DDIM inversion"
BASELINE = "ddim"
WIDTH = 0.7  # of the data, as a Gaussian sees them: what the flow contracts to
_ZHANG = "Zhang, Lewis & Kleijn 2024, arXiv:2307.10829"
_WANG = "Wang et al. 2024, arXiv:2410.07273"


def data(*, steps: Sequence[int] = STEPS, batch: int = 32) -> Data:
    """Errors of round trips, their prediction, and the spread of an error both ways."""
    p = reference_problem("mixture")
    x = p.starts(batch)
    out: Data = {"steps": list(steps), "bdia": {}, "predicted": {}, "others": {}}
    for g0 in progress(WEIGHTS, "round trips"):
        rows = [_bdia(p, n, g0, x) for n in steps]
        out["bdia"][f"{g0:g}"], out["predicted"][f"{g0:g}"] = (
            list(r) for r in zip(*rows, strict=True)
        )
    for name in OTHERS:
        model = p.model(get(name).prediction)
        out["others"][name] = [
            round_trip(get(name), model, p.process, _grid(p, n), x).error for n in steps
        ]
    out["others"][CONTROL] = [_ddim(p, n, x) for n in steps]
    out["drift"] = {
        **{f"bdia {frame}": _drift("bdia", steps, frame=frame) for frame in FRAMES},
        **{name: _drift(name, steps) for name in (*OTHERS, BASELINE)},
    }
    return out


def _grid(p: Problem, steps: int) -> Grid:
    return uniform_lam(p.process, p.lam_start, p.lam_end).grid(steps)


def _bdia(p: Problem, steps: int, g0: float, x: Any) -> tuple[float, float]:
    """Error of the round trip, and its prediction."""
    grid = _grid(p, steps)
    found = round_trip(get("bdia"), p.model("noise"), p.process, grid, x, g0=g0, frame="x")
    contraction = math.hypot(WIDTH, grid[0].rho) / math.hypot(WIDTH, grid[-1].rho)
    growth = inverse_growth(leapfrog_weights(grid, "x", g0)) / contraction
    floor = 2.2e-16 * float(x.abs().max())
    return max(found.error, 1e-17), max(grid[0].alpha * 1.1e-16 * growth, floor)


def _ddim(p: Problem, steps: int, x: Any) -> float:
    grid, model = _grid(p, steps), p.model("noise")
    there = run(get("deis_rhoab1")(p.process, grid), model, x).x
    return float((run(ddim_inversion(p.process, grid), model, there).x - x).abs().max())


def _drift(name: str, steps: Sequence[int], **options: str) -> list[float]:
    """Ninth decile of the distance between a run with a model of eight bits and one with 53."""
    p = reference_problem("gaussian")
    x, model = p.starts(64), p.model(get(name).prediction)

    def low(x: Tensor, t: float) -> Tensor:
        return model(x.to(torch.bfloat16).to(x), t).to(torch.bfloat16).to(x)

    found = []
    for n in steps:
        plan = get(name)(p.process, _grid(p, n), **options)
        gap = run(plan, low, x).x - run(plan, model, x).x
        found.append(float(gap.abs().quantile(0.9)))
    return found


# the picture


def draw(data: Data) -> Figure:
    """Round trips, and what the rounding of a model does on the way there."""
    figure = Figure(figsize=(11.0, 5.2))
    places = figure.add_gridspec(1, 2, width_ratios=(1.5, 1), wspace=0.62, left=0.07, right=0.89,
                                 top=0.8, bottom=0.12)  # fmt: skip
    _trips(figure.add_subplot(places[0, 0]), data)
    _drifts(figure.add_subplot(places[0, 1]), data)
    figure.text(0.07, 0.93, "There and back again", size=17, weight="bold", va="center")
    words = "λ from −4 to 3 in equal steps. Left five Gaussians, d = 2, float64; right one, d = 4."
    figure.text(0.07, 0.875, words, size=9.5, color=SOFT, va="center")
    return figure


def _trips(axes: Axes, data: Data) -> None:
    steps = data["steps"]
    axes.set(xscale="log", yscale="log", ylim=(1e-17, 1e3), xlabel="steps")
    axes.set_ylabel("largest error of a round trip")
    axes.set_title("BDIA by the weight of the oldest state")
    _ticks(axes, steps)
    ends = []
    for k, (g0, errors) in enumerate(data["bdia"].items()):
        shown = np.clip(errors, 1e-17, 1e3)
        axes.plot(steps, shown, color=COLOURS[k], marker=MARKERS[k], mec="white", mew=0.7)
        axes.plot(
            steps, np.clip(data["predicted"][g0], 1e-17, 1e3), color=COLOURS[k], lw=1, ls=":"
        )
        ends.append(End(steps[-1], float(shown[-1]), f"g₀ = {g0}", COLOURS[k]))
    for name, errors in data["others"].items():
        control = name == CONTROL
        axes.plot(steps, errors, color=INK if control else SOFT, lw=1.2 if control else 0.9,
                  ls=(0, (4, 2)) if control else "-", zorder=1.5)  # fmt: skip
        ends.append(End(steps[-1], errors[-1], OTHERS.get(name) or name, INK if control else SOFT))
    label_ends(axes, ends)


def _drifts(axes: Axes, data: Data) -> None:
    steps = data["steps"]
    axes.set(xscale="log", yscale="log", xlabel="steps", ylim=(5e-4, 40.0))
    axes.set_ylabel("drift of the sample")
    axes.set_title("Model of eight bits, g₀ = 1")
    _ticks(axes, steps)
    ends = []
    for k, (name, drift) in enumerate(data["drift"].items()):
        mine = name.startswith("bdia")
        colour = COLOURS[k] if mine else INK if name == BASELINE else SOFT
        width, marker = (1.8, MARKERS[k]) if mine else (1.0, "")
        axes.plot(steps, drift, color=colour, lw=width, marker=marker, mec="white", mew=0.7)
        words = f"BDIA in {name[-1]}" if mine else OTHERS.get(name, "DDIM")
        ends.append(End(steps[-1], drift[-1], words, colour))
    label_ends(axes, ends)


def _ticks(axes: Axes, steps: Sequence[int]) -> None:
    axes.set_xticks(steps, [str(n) for n in steps])
    axes.minorticks_off()


# the claims


def _exact(data: Data) -> Measured:
    worst = max(data["bdia"]["1"])
    return Measured(f"g₀ = 1: at most {worst:.1g}", judge(-worst, -worst, least=-1e-12))


def _any_weight(data: Data) -> Measured:
    worst = {g0: max(errors) for g0, errors in data["bdia"].items()}
    words = ", ".join(f"{error:.0e} at g₀ = {g0}" for g0, error in worst.items())
    top = max(worst.values())
    return Measured(f"largest error over all steps: {words}", judge(-top, -top, least=-1e-6))


def _growth(data: Data) -> Measured:
    """Where the prediction is above the floor and the numbers are still numbers."""
    ratios = [
        error / predicted
        for g0, errors in data["bdia"].items()
        for error, predicted in zip(errors, data["predicted"][g0], strict=True)
        if 1e-14 < predicted < 1e6
    ]
    low, high = min(ratios, default=1.0), max(ratios, default=1.0)
    farthest = max(high, 1 / low)
    text = f"measured over predicted: {low:.2g} to {high:.2g}, {len(ratios)} runs"
    return Measured(text, judge(-farthest, -farthest, least=-30.0))


def _belm(data: Data) -> Measured:
    worst = max(data["others"]["o_belm"])
    return Measured(f"at most {worst:.1g}", judge(-worst, -worst, least=-1e-11))


def _control(data: Data) -> Measured:
    error, best = data["others"][CONTROL][-1], max(data["bdia"]["1"])
    text = f"{error:.2g} after {data['steps'][-1]} steps, BDIA {best:.0e}"
    return Measured(text, judge(error / best, error / best, least=1e9))


def _steady(data: Data) -> Measured:
    drift = data["drift"]["o_belm"]
    text = f"drift {drift[0]:.1e} with {data['steps'][0]} steps, {drift[-1]:.1e} with "
    ratio = drift[-1] / drift[0]
    return Measured(f"{text}{data['steps'][-1]}", judge(-ratio, -ratio, least=-1.0))


def _unsteady(data: Data) -> Measured:
    """From 20 steps on, where the runs themselves are of some use."""
    late = [k for k, n in enumerate(data["steps"]) if n >= 20]
    ratios = [data["drift"]["bdia y"][k] / data["drift"][BASELINE][k] for k in late]
    text = f"drift over that of DDIM: {min(ratios):.2g} to {max(ratios):.2g} from 20 steps on"
    return Measured(text, judge(min(ratios), min(ratios), least=10.0))


CLAIMS = (
    Claim("BDIA is inverted exactly, without more evaluations", _ZHANG, _exact),
    Claim("for every weight g0 in (0, 1] the inversion is exact", _ZHANG, _any_weight),
    Claim("rounding grows in the inverse by prod 1/G, over what the flow contracts",
          "two-step recurrences", _growth),
    Claim("O-BELM is inverted exactly", _WANG, _belm),
    Claim("DDIM inversion is far from exact at usual numbers of steps", _ZHANG, _control),
    Claim("O-BELM is zero-stable: errors of the model do not add up with more steps",
          _WANG, _steady),
    Claim("a leapfrog in x/alpha grows by what the flow contracts: ten times and more",
          "two-step recurrences", _unsteady),
)  # fmt: skip
