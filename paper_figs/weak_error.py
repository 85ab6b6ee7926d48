"""The law of a stochastic sampler against evaluations, for every amount of noise, without noise.

The law is a Gaussian in four dimensions, so mean and variance of every sampler's output are known
exactly, whatever eta: no sampling. The error is that of mean and variances together, from the
exact law at the start. Two stages that share the path of their step have weak order 2, with
noises of their own order 1; two stages with increment and area have strong order 1.5 too; four
stages of that kind reach weak order 3.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..analysis.gaussian_path import eigenbasis
from ..analysis.law import weak_error
from ..solvers.grids import uniform_lam
from ..solvers.registry import get
from ..toy_models.problems import problem as reference_problem
from .cache import Data
from .figure import COLOURS, MARKERS, SOFT, Claim, Measured, judge, progress
from .labels import End, label_ends

ETAS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)
NFES = (8, 16, 32, 64, 128, 256, 512)
SHOWN: dict[str, tuple[str, str, dict[str, Any]]] = {
    "1": ("SDE-DPM-Solver++(1)", "sde_dpmpp_1", {}),
    "2M": ("SDE-DPM-Solver++(2M)", "sde_dpmpp_2m", {}),
    "SA-2": ("SA-Solver-2", "sa_solver_2", {}),
    "2S": ("2S, noise shared", "sde_dpmpp_2s", {}),
    "2S own": ("2S, own noises", "sde_dpmpp_2s", {"noise": "independent"}),
    "weak 3": ("weak order 3", "sde_weak3", {}),
}


def data(*, etas: Sequence[float] = ETAS, nfes: Sequence[int] = NFES) -> Data:
    """Exact errors of every sampler within every budget, for every eta."""
    p = reference_problem("gaussian")
    law, maps = eigenbasis(p.law), uniform_lam(p.process, p.lam_start, p.lam_end)
    curves: dict[str, list[list[float]]] = {}
    for key, (_, name, options) in progress(SHOWN.items(), "weak error"):
        sampler = get(name)
        rows = []
        for eta in etas:
            steps = [n // round(sampler.nfe(8) / 8) for n in nfes]
            plans = [sampler(p.process, maps.grid(n), eta=eta, **options) for n in steps]
            found = [math.hypot(*weak_error(plan, law, eta=eta)) for plan in plans]
            rows.append([float(f"{e:.5g}") for e in found])
        curves[key] = rows
    return {"problem": p.describe(), "etas": list(etas), "nfes": list(nfes), "curves": curves}


# the picture


def draw(data: Data) -> Figure:
    """A panel for each eta."""
    figure = Figure(figsize=(11.0, 7.6))
    grid = figure.add_gridspec(
        2, 3, wspace=0.14, hspace=0.3, left=0.07, right=0.86, top=0.84, bottom=0.08
    )
    first: Axes | None = None
    for k, eta in enumerate(data["etas"]):
        axes = figure.add_subplot(grid[k // 3, k % 3], sharex=first, sharey=first)
        first = first or axes
        ends = []
        for j, (key, (title, _, _)) in enumerate(SHOWN.items()):
            y = data["curves"][key][k]
            axes.loglog(data["nfes"], y, color=COLOURS[j], marker=MARKERS[j], mec="white", mew=0.7)
            ends.append(End(data["nfes"][-1], y[-1], title, COLOURS[j]))
        axes.set_title(f"η = {eta:g}" + (", the ODE" if eta == 0 else ""))
        axes.tick_params(labelleft=k % 3 == 0)
        if k % 3 == 2:
            label_ends(axes, ends)
        if k % 3 == 0:
            axes.set_ylabel("error of mean and variances")
        if k > 2:
            axes.set_xlabel("evaluations of the model")
        axes.set_xticks([10, 100], ["10", "100"])
    figure.text(0.07, 0.945, "What a sampler's law is off by", size=16, weight="bold")
    about = f"{data['problem']['law']}, exact; equal steps in λ; more noise asks for more steps"
    figure.text(0.07, 0.905, about, size=9.5, color=SOFT)
    return figure


# the claims


def _slopes(data: Data, key: str) -> list[float]:
    """Local orders at the largest budgets, for each eta > 0."""
    rows = [row for eta, row in zip(data["etas"], data["curves"][key], strict=True) if eta > 0]
    return [math.log2(row[-2] / row[-1]) for row in rows]


def _order(key: str, least: float) -> Callable[[Data], Measured]:
    def measure(data: Data) -> Measured:
        found = _slopes(data, key)
        text = f"between {min(found):.2f} and {max(found):.2f}"
        return Measured(text, judge(min(found), max(found), least=least - 0.25))

    return measure


def _own(data: Data) -> Measured:
    """Whether sharing the path gains an order over noises of the stages' own."""
    gains = [a - b for a, b in zip(_slopes(data, "2S"), _slopes(data, "2S own"), strict=True)]
    text = f"orders gained: between {min(gains):.2f} and {max(gains):.2f}"
    return Measured(text, judge(min(gains), max(gains), least=0.75))


def _more_noise(data: Data) -> Measured:
    """Error at 64 evaluations, eta = 4 over eta = 1/4."""
    at = data["nfes"].index(64)
    etas = data["etas"]
    low, high = etas.index(0.25), etas.index(4.0)
    found = {key: rows[high][at] / rows[low][at] for key, rows in data["curves"].items()}
    text = "times larger: " + ", ".join(f"{SHOWN[k][0]} {v:.2g}" for k, v in found.items())
    return Measured(text, judge(min(found.values()), max(found.values()), least=1.0))


def _pays(data: Data) -> Measured:
    """Error of 2S over that of the scheme of weak order 3 at 64 evaluations."""
    at = data["nfes"].index(64)
    pairs = zip(data["curves"]["2S"], data["curves"]["weak 3"], strict=True)
    found = [two[at] / three[at] for two, three in pairs]
    text = f"times closer at 64 evaluations: between {min(found):.2g} and {max(found):.2g}"
    return Measured(text, judge(min(found), max(found), least=1.0))


CLAIMS = (
    Claim(
        "SDE-DPM-Solver++(2M) is of second order for every amount of noise",
        "Lu et al. 2022, arXiv:2211.01095", _order("2M", 2.0),
    ),
    Claim(
        "a stochastic Adams predictor and corrector is of second order for every amount of noise",
        "Xue et al. 2023, arXiv:2309.05019", _order("SA-2", 2.0),
    ),
    Claim(
        "stages that share the path of their step gain an order over noises of their own",
        "order conditions of weak order 2", _own,
    ),
    Claim(
        "increment and area of a path are enough for weak order 3",
        "order conditions for additive noise; Debrabant 2010, BIT 50, 541", _order("weak 3", 3.0),
    ),
    Claim("weak order 3 pays at 64 evaluations", "what its order suggests", _pays),
    Claim("more noise asks for more steps", "Xue et al. 2023, arXiv:2309.05019", _more_noise),
)  # fmt: skip
