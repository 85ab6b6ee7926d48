"""DC-Solver: what compensation gains on starts it saw and on others, and how far ratios carry.

Left the error of UniPC-2 and of DC-Solver-2 fitted to few and to many starts, on those starts and
on others. Middle the fitted ratios by guidance scale. Right the error at a number of steps and a
guidance scale that no ratio was fitted to: no ratios, ratios from the surface, a search.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ..solvers.fitted.dc_ratios import RatioSurface, fit_ratios, reference_states
from ..solvers.fitted.dc_solver import dc_solver
from ..solvers.grids import Grid, GridMap, power_t, uniform_lam
from ..solvers.model import Model
from ..solvers.run import run
from ..toy_models.law import exact_model
from ..toy_models.mixture import GaussianMixture
from ..toy_models.problems import problem as reference_problem
from .cache import Data
from .figure import COLOURS, INK, MARKERS, SOFT, Claim, Measured, Verdict, judge, progress
from .labels import End, label_ends

STEPS = (5, 6, 8, 10)
SCALES = (1.0, 3.0, 5.0, 7.5)
UNSEEN = (7, 4.0)
FEW, MANY = 16, 256
_ZHAO = "Zhao, Wang, Zhou & Lu 2024, arXiv:2409.03755"


def data(
    *,
    steps: Sequence[int] = STEPS,
    scales: Sequence[float] = SCALES,
    unseen: tuple[int, float] = UNSEEN,
    batch: int = 512,
) -> Data:
    """Errors with ratios fitted to few and many starts; ratios by guidance; the surface."""
    out: Data = {"steps": list(steps), "batch": batch, "gains": {}, "ratios": {}}
    p = reference_problem("mixture")
    other = p.starts(batch, seed=2)
    for n in progress(list(steps), "dc-solver"):
        grid = uniform_lam(p.process, p.lam_start, p.lam_end).grid(n)
        out["gains"][str(n)] = _gains(p.model(), grid, other)
    times = _in_time()
    seen, found = p.starts(MANY, seed=1), {}
    for n in progress(list(steps), "dc-solver, guidance"):
        for scale in scales:
            ratios = fit_ratios(_guided(scale), p.process, times.grid(n), seen, sweeps=0)
            found[n, scale] = ratios
            out["ratios"][f"{n} {scale:g}"] = [round(r, 4) for r in ratios]
    out["unseen"] = _unseen(RatioSurface.fit(found), times, unseen, seen, other)
    return out


def _in_time() -> GridMap:
    process = reference_problem("mixture").process
    return power_t(process, *(float(process.t_of_lam(lam)) for lam in (-4.0, 3.0)))


def _guided(scale: float) -> Model:
    """Guidance ``(1 - w) D + w D_two``: the mixture and its first two components."""
    p = reference_problem("mixture")
    law: Any = p.law
    weights = torch.tensor([0.6, 0.4], dtype=torch.float64)
    two = GaussianMixture(weights, law.means[:2], law.covs[:2])
    everything, chosen = exact_model(law, p.process), exact_model(two, p.process)
    return lambda x, t: (1 - scale) * everything(x, t) + scale * chosen(x, t)


def _error(model: Model, grid: Grid, ratios: Any, x: Tensor, truth: Tensor) -> float:
    plan = dc_solver(reference_problem("mixture").process, grid, order=2, ratios=ratios)
    return float((run(plan, model, x).x - truth).square().mean().sqrt())


def _gains(model: Model, grid: Grid, other: Tensor) -> dict[str, list[float]]:
    """``fit -> [error on its starts, the same of UniPC, error on others, the same of UniPC]``."""
    p = reference_problem("mixture")
    far, found = reference_states(model, p.process, grid, other)[-1], {}
    for count in (FEW, MANY):
        mine = p.starts(count, seed=1)
        near = reference_states(model, p.process, grid, mine)[-1]
        ratios = fit_ratios(model, p.process, grid, mine, fewest=count)
        found[str(count)] = [
            _error(model, grid, r, x, truth)
            for x, truth in ((mine, near), (other, far))
            for r in (ratios, None)
        ]
    return found


def _unseen(
    surface: RatioSurface, times: GridMap, where: tuple[int, float], seen: Tensor, other: Tensor
) -> dict[str, Any]:
    p, (n, scale) = reference_problem("mixture"), where
    grid, model = times.grid(n), _guided(scale)
    truth = reference_states(model, p.process, grid, other)[-1]
    searched = fit_ratios(model, p.process, grid, seen, sweeps=0)
    ways = {"UniPC-2": None, "surface": surface(n, scale), "search": searched}
    errors = {name: _error(model, grid, ratios, other, truth) for name, ratios in ways.items()}
    return {"steps": n, "scale": scale, "errors": errors}


# the picture


def draw(data: Data) -> Figure:
    """Three panels."""
    figure = Figure(figsize=(11.0, 4.9))
    places = figure.add_gridspec(
        1,
        3,
        left=0.065,
        right=0.97,
        top=0.77,
        bottom=0.13,
        wspace=0.55,
        width_ratios=(1.2, 1.2, 0.8),
    )
    _draw_gains(figure.add_subplot(places[0]), data)
    _draw_ratios(figure.add_subplot(places[1]), data)
    _draw_unseen(figure.add_subplot(places[2]), data)
    figure.text(0.065, 0.925, "Ratios that are fitted", size=17, weight="bold")
    about = f"Exact denoiser of five Gaussians, d = 2; errors on {data['batch']} starts, rms"
    figure.text(0.065, 0.865, about, size=9.5, color=SOFT)
    return figure


def _draw_gains(axes: Axes, data: Data) -> None:
    steps, ends = data["steps"], []
    rows = {
        "UniPC-2": (str(MANY), 3, INK, (0, (4, 2))),
        f"{FEW}, other starts": (str(FEW), 2, COLOURS[1], "-"),
        f"{FEW}, its own": (str(FEW), 0, COLOURS[1], ":"),
        f"{MANY}, other starts": (str(MANY), 2, COLOURS[0], "-"),
        f"{MANY}, its own": (str(MANY), 0, COLOURS[0], ":"),
    }
    axes.set(yscale="log", xlim=(min(steps), max(steps)))
    for words, (fit, which, colour, style) in rows.items():
        heights = [data["gains"][str(n)][fit][which] for n in steps]
        axes.plot(steps, heights, color=colour, ls=style, marker="o", mec="white", mew=0.6)
        ends.append(End(steps[-1], heights[-1], words, colour))
    axes.set_xticks(steps)
    axes.set_title("Fitted to few starts or to many")
    axes.set_xlabel("evaluations of the model")
    axes.set_ylabel("distance to the exact flow")
    label_ends(axes, ends, size=7.5)


def _draw_ratios(axes: Axes, data: Data) -> None:
    last = str(max(data["steps"]))
    ends = []
    shown = [key for key in data["ratios"] if key.split()[0] == last]
    for k, key in enumerate(shown):
        ratios = data["ratios"][key]
        place = np.arange(len(ratios))
        marker = MARKERS[k % len(MARKERS)]
        axes.plot(place, ratios, color=COLOURS[k], marker=marker, mec="white", mew=0.6)
        ends.append(End(place[-1], ratios[-1], f"w = {key.split()[1]}", COLOURS[k]))
    axes.axhline(1.0, color=SOFT, lw=0.8)
    axes.set_title(f"Ratios of {last} steps by guidance")
    axes.set_xlabel("step")
    label_ends(axes, ends)


def _draw_unseen(axes: Axes, data: Data) -> None:
    found = data["unseen"]
    errors = found["errors"]
    colours = (SOFT, COLOURS[2], COLOURS[0])
    axes.bar(list(errors), list(errors.values()), color=colours, width=0.62)
    for k, value in enumerate(errors.values()):
        axes.annotate(f"{value:.2g}", (k, value), (0, 3), textcoords="offset points", ha="center")
    axes.set_title(f"{found['steps']} steps, w = {found['scale']:g}, unseen")
    axes.grid(axis="x", visible=False)


# the claims


def _gain(data: Data, fit: int, steps: Sequence[int]) -> Measured:
    ratios = {n: data["gains"][str(n)][str(fit)] for n in steps if str(n) in data["gains"]}
    gains = {n: row[3] / row[2] for n, row in ratios.items()}
    words = ", ".join(f"{g:.2g} at {n}" for n, g in gains.items())
    return Measured(f"times closer on other starts: {words}", _at_least(min(gains.values()), 1.0))


def _at_least(value: float, least: float) -> Verdict:
    return judge(value, value, least=least)


def _carries(data: Data) -> Measured:
    errors = data["unseen"]["errors"]
    loss = errors["surface"] / errors["search"] - 1
    text = f"error {errors['surface']:.3g}, of a search {errors['search']:.3g} ({loss:+.0%})"
    return Measured(text, _at_least(-loss, -0.1))


CLAIMS = (
    Claim("compensation is closer than UniPC at 5 and 6 evaluations", _ZHAO,
          lambda data: _gain(data, MANY, (5, 6))),
    Claim("ratios from a handful of starts serve all others", _ZHAO,
          lambda data: _gain(data, FEW, STEPS)),
    Claim(
        "a polynomial surface gives ratios for steps and guidance it was not fitted to", _ZHAO,
        _carries,
    ),
)  # fmt: skip
