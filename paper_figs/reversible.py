"""What reversible samplers keep: the error of a round trip, and which way rounding grows.

Left, from noise to data and back by the exact inverse, on five Gaussians in the plane: the largest
error of a start against the number of steps, for BDIA with four weights of the oldest state, and
the prediction (one rounding error at the end, times prod 1/G, over what the flow contracts). The
controls are DDIM inversion and three other reversible samplers. Right, what becomes of an error in
the second state alone, on the way there and on the way back: one is about one over the other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..solvers.grids import Grid, uniform_lam
from ..solvers.inversion import ddim_inversion, pair_plan, round_trip
from ..solvers.plan import Plan, interpret
from ..solvers.plan_algebra import invert
from ..solvers.registry import get
from ..solvers.reversible import FRAMES, inverse_growth, leapfrog_weights
from ..solvers.run import run
from ..toy_models.problems import Problem
from ..toy_models.problems import problem as reference_problem
from .cache import Data
from .figure import COLOURS, INK, MARKERS, SOFT, Claim, Measured, judge, progress
from .labels import End, label_ends

WEIGHTS = (0.5, 0.8, 0.9, 1.0)
STEPS = (5, 8, 10, 14, 20, 28, 40, 56, 80)
OTHERS = {
    "o_belm": "O-BELM", "reversible_heun": "reversible Heun", "two_stream": "two streams",
}  # fmt: skip
CONTROL = "DDIM inversion"
WIDTH = 0.7  # of the data, as a Gaussian sees them: what the flow contracts to
_ZHANG = "Zhang, Lewis & Kleijn 2024, arXiv:2307.10829"
_WANG = "Wang et al. 2024, arXiv:2410.07273"


def data(*, steps: Sequence[int] = STEPS, batch: int = 32) -> Data:
    """Errors of round trips, their prediction, and the spread of an error both ways."""
    p = reference_problem("mixture")
    x = p.starts(batch)
    out: Data = {"steps": list(steps), "bdia": {}, "predicted": {}, "others": {}, "spread": {}}
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
    for frame in FRAMES:
        out["spread"][frame] = [_spread(p, n, frame) for n in steps]
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


def _spread(p: Problem, steps: int, frame: str) -> list[float]:
    """An error of 1 in the second state, in units of y, there and back, on one Gaussian."""
    grid = _grid(p, steps)
    plan = pair_plan(get("bdia"), p.process, grid, frame=frame)
    there, back = _response(plan), _response(invert(plan))
    scale = grid[0].alpha / grid[-1].alpha
    return [there * scale, back / scale]


def _response(plan: Plan) -> float:
    def noise(_row: int, op: Any, x: float) -> float:
        node = op.node
        return x * node.sigma / (node.alpha**2 * WIDTH**2 + node.sigma**2)

    inputs = {"x": 0.0, "x-1": 1.0}
    out = interpret(plan, inputs=inputs, evaluate=noise, draw=lambda *_: 0.0)
    return max(abs(out["x"]), abs(out["x-1"]))


# the picture


def draw(data: Data) -> Figure:
    """Round trips, and the spread of an error of the second state."""
    figure = Figure(figsize=(11.0, 5.2))
    places = figure.add_gridspec(1, 2, width_ratios=(1.5, 1), wspace=0.62, left=0.07, right=0.89,
                                 top=0.8, bottom=0.12)  # fmt: skip
    _trips(figure.add_subplot(places[0, 0]), data)
    _both_ways(figure.add_subplot(places[0, 1]), data)
    figure.text(0.07, 0.93, "There and back again", size=17, weight="bold", va="center")
    words = "Five Gaussians in the plane, λ from −4 to 3 in equal steps, float64."
    figure.text(0.07, 0.875, words, size=9.5, color=SOFT, va="center")
    return figure


def _trips(axes: Axes, data: Data) -> None:
    steps = data["steps"]
    axes.set(xscale="log", yscale="log", ylim=(1e-17, 1e3), xlabel="steps")
    axes.set_ylabel("largest error of a round trip")
    axes.set_title("BDIA by the weight of the oldest state")
    axes.set_xticks(steps[::2], [str(n) for n in steps[::2]])
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
        ends.append(End(steps[-1], errors[-1], OTHERS.get(name, name), INK if control else SOFT))
    label_ends(axes, ends)


def _both_ways(axes: Axes, data: Data) -> None:
    steps = data["steps"]
    axes.set(xscale="log", yscale="log", xlabel="steps", ylabel="spread of an error in x₋₁, as y")
    axes.set_title("g₀ = 1 in three units")
    axes.set_xticks(steps[::2], [str(n) for n in steps[::2]])
    ends = []
    for k, frame in enumerate(FRAMES):
        there, back = zip(*data["spread"][frame], strict=True)
        axes.plot(steps, there, color=COLOURS[k], marker=MARKERS[k], mec="white", mew=0.7)
        axes.plot(steps, back, color=COLOURS[k], ls="--", lw=1.1)
        ends += [
            End(steps[-1], there[-1], f"{frame}, there", COLOURS[k]),
            End(steps[-1], back[-1], f"{frame}, back", COLOURS[k]),
        ]
    label_ends(axes, ends)


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


def _opposite(data: Data) -> Measured:
    products = [there * back for frame in FRAMES for there, back in data["spread"][frame]]
    farthest = max(max(products), 1 / min(products))
    text = f"there times back: {min(products):.2g} to {max(products):.2g}"
    return Measured(text, judge(-farthest, -farthest, least=-10.0))


CLAIMS = (
    Claim("BDIA is inverted exactly, without more evaluations", _ZHANG, _exact),
    Claim("for every weight g0 in (0, 1] the inversion is exact", _ZHANG, _any_weight),
    Claim("rounding grows in the inverse by prod 1/G, over what the flow contracts",
          "two-step recurrences", _growth),
    Claim("O-BELM is inverted exactly", _WANG, _belm),
    Claim("DDIM inversion is far from exact at usual numbers of steps", _ZHANG, _control),
    Claim("an error of the second state spreads there as it fades back, within ten",
          "two-step recurrences", _opposite),
)  # fmt: skip
