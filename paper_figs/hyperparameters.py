"""Five steps and their choices: which of grid, first step, last order and corrector matters.

Every combination of the four choices is run at five evaluations on an image-sized mixture from the
same starts. Left the main effects, as factors of the error; right the share of the variance of its
logarithm that single choices and pairs explain, and the best combination beside samplers with more
steps.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..analysis.ablation import Ablation, ablate
from ..analysis.few_steps import FACTORS, few_steps_grid, few_steps_plan
from ..analysis.paired import rms
from ..solvers.grids import uniform_lam
from ..solvers.registry import get
from ..solvers.run import run
from ..solvers.schedules import VPLinear
from ..toy_models.draws import normals
from ..toy_models.images import image_mixture
from ..toy_models.law import exact_model
from .cache import Data
from .figure import COLOURS, INK, SOFT, Claim, Measured, judge

LAMS, FINE = (-4.0, 4.0), 800
WORDS = {
    "exponent": "grid exponent", "first": "first step", "last": "last order",
    "corrector": "corrector",
}  # fmt: skip
OTHERS = (5, 8, 20)
_LI = "Li 2025, arXiv:2510.02390"


def data(*, size: int = 16, steps: int = 5, batch: int = 16) -> Data:
    """Log errors of every combination, and errors of 2M with more steps on its usual grid."""
    law = image_mixture(size=size, channels=3, components=8, rank=4)
    process = VPLinear()
    model, start = exact_model(law, process), process.node_at_lam(LAMS[0])
    noise = normals(batch, law.dim, seed=0, label="start")
    x = start.alpha * law.sample(batch, seed=0) + start.sigma * law.mean.new_tensor(noise)
    grids = uniform_lam(process, *LAMS)
    truth = run(get("dpmpp_3m")(process, grids.grid(FINE)), model, x).x

    def log_error(*, exponent: float, first: str, last: int, corrector: bool) -> float:
        grid = few_steps_grid(process, *LAMS, steps, exponent=exponent, first=first)
        plan = few_steps_plan(grid, last=last, corrector=corrector)
        return round(math.log(rms(run(plan, model, x).x - truth)), 6)

    found = ablate(FACTORS, log_error)
    plain = {
        str(n): float(
            f"{rms(run(get('dpmpp_2m')(process, grids.grid(n)), model, x).x - truth):.4g}"
        )
        for n in OTHERS
    }
    return {
        "dim": law.dim, "batch": batch, "steps": steps, "plain": plain,
        "responses": found.responses.tolist(),
    }  # fmt: skip


def ablation(data: Data) -> Ablation:
    """The design behind the data."""
    return Ablation(FACTORS, np.asarray(data["responses"]))


def _level(value: Any) -> str:
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else f"{value}"


def draw(data: Data) -> Figure:
    """Main effects, shares, and the best against others."""
    figure = Figure(figsize=(11.6, 4.8))
    sides = {"left": 0.065, "right": 0.985, "top": 0.77, "bottom": 0.2, "wspace": 0.45}
    places = figure.add_gridspec(1, 3, width_ratios=(1.3, 1, 0.8), **sides)
    found = ablation(data)
    _draw_effects(figure.add_subplot(places[0]), found)
    _draw_shares(figure.add_subplot(places[1]), found)
    _draw_best(figure.add_subplot(places[2]), data, found)
    figure.text(0.065, 0.92, "What matters at five steps", size=17, weight="bold")
    about = f"Exact denoiser of images, d = {data['dim']}; rms error of {data['batch']} starts; "
    figure.text(0.065, 0.86, about + "all 24 combinations", size=9.5, color=SOFT)
    return figure


def _draw_effects(axes: Axes, found: Ablation) -> None:
    place, ticks, names = 0.0, [], []
    for k, name in enumerate(FACTORS):
        for level, effect in found.main_effect(name).items():
            axes.bar(place, math.exp(effect) - 1, bottom=1.0, color=COLOURS[k], width=0.8)
            ticks.append(place)
            names.append(_level(level))
            place += 1
        middle = place - 0.5 - len(FACTORS[name]) / 2
        axes.text(
            middle, -0.17, WORDS[name], color=COLOURS[k], size=8.5, ha="center",
            transform=axes.get_xaxis_transform(),
        )  # fmt: skip
        place += 0.7
    axes.axhline(1.0, color=INK, lw=1)
    axes.set_xticks(ticks, names)
    axes.set(title="Main effects", ylabel="factor of the error")


def _draw_shares(axes: Axes, found: Ablation) -> None:
    shares = found.shares(2)
    top = sorted(shares, key=lambda s: -shares[s])[:6][::-1]
    colours = [COLOURS[0] if len(s) == 1 else COLOURS[5] for s in top]
    axes.barh(range(len(top)), [shares[s] for s in top], color=colours)
    axes.set_yticks(range(len(top)), [" × ".join(s) for s in top], size=8)
    axes.set(title="Share of the variance", xlabel="of the logarithm of the error")


def _draw_best(axes: Axes, data: Data, found: Ablation) -> None:
    names = ["best", *(f"2M, {n}" for n in data["plain"])]
    values = [math.exp(found.responses.min()), *data["plain"].values()]
    axes.bar(names, values, color=[COLOURS[1], *[COLOURS[5]] * len(data["plain"])])
    axes.set(yscale="log", title=f"{data['steps']} steps, and more", ylabel="rms error")


def _explained(data: Data) -> Measured:
    found = ablation(data)
    one, two = found.explained(), found.explained(2)
    words = f"single choices explain {one:.0%} of the variance, with pairs {two:.0%}"
    return Measured(words, judge(one, one, least=0.5))


def _against(steps: int) -> Any:
    def measure(data: Data) -> Measured:
        found = ablation(data)
        best = math.exp(found.responses.min())
        ratio = data["plain"][str(steps)] / best
        chosen = ", ".join(f"{WORDS[n]} {_level(v)}" for n, v in found.best().items())
        words = f"error of 2M over that of the best ({chosen}): {ratio:.2g}"
        return Measured(words, judge(ratio, ratio, least=1.0))

    return measure


CLAIMS = (
    Claim("the choices explain the error, one by one", _LI, _explained),
    Claim("five steps with the best choices beat 2M with 8 steps", _LI, _against(8)),
    Claim("five steps with the best choices beat 2M with 20 steps", _LI, _against(20)),
)
