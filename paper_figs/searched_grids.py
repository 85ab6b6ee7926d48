"""Where searched grids put their nodes, and what a search costs.

Left grids that gradients through the sampler find for few steps, under the rate at which the
posterior over the components of the data loses entropy. Middle what they gain on starts that the
search did not see. Right the best schedule of five evaluations after so many trials: grids,
history, prediction, rule and corrector at every step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..solvers.fitted.grid_gradient import descend
from ..solvers.fitted.search import STRATEGIES, Target, ranking_quality, search
from ..solvers.fitted.search_space import GridSpace, UnifiedSpace
from ..solvers.grids import GridMap, karras, power_t, uniform_lam
from ..solvers.registry import get
from ..toy_models.draws import normals
from ..toy_models.mixture import GaussianMixture
from ..toy_models.problems import Problem
from ..toy_models.problems import problem as reference_problem
from .cache import Data
from .figure import COLOURS, INK, MARKERS, SOFT, Claim, Measured, judge, progress

GRIDS = {"ddim": "DDIM", "dpmpp_2m": "2M"}
STEPS, FIVE = (4, 6, 8), 5
SMALL = {"steps": (4, 8), "train": 128, "others": 1024, "seeds": 2}
BASES = ("dpmpp_2m", "unipc_2", "unipc_3")
PENS = {"random": COLOURS[5], "evolution": COLOURS[0], "predictor": COLOURS[1]}
_LI = "Li et al. 2023, arXiv:2309.10438"
_LIU = "Liu et al. 2024, arXiv:2312.07243"


def data(
    *,
    steps: Sequence[int] = STEPS,
    train: int = 256,
    others: int = 2048,
    budget: int = 144,
    seeds: int = 3,
) -> Data:
    """Searched grids and schedules on the mixture, judged on starts of their own."""
    p = reference_problem("mixture")
    x = p.starts(train + others)
    whole = Target(p.model(), x, p.endpoint(x))
    seen, unseen = whole.part(slice(0, train)), whole.part(slice(train, None))
    out: Data = {"train": train, "others": others, "entropy": _entropy(p), "grids": {}}
    for name in GRIDS:
        for n in progress(list(steps), f"grids of {name}"):
            out["grids"][f"{name} {n}"] = _spaced(p, name, n, seen, unseen)
    grid = uniform_lam(p.process, p.lam_start, p.lam_end).grid(FIVE)
    out["bases"] = {
        f"{name} {kind}": unseen(get(name)(p.process, maps.grid(FIVE)))
        for name in BASES
        for kind, maps in _maps(p).items()
    }
    space = UnifiedSpace(p.process, grid)
    out["searches"] = {strategy: [] for strategy in STRATEGIES}
    for seed in progress(range(seeds), "schedules"):
        for strategy in STRATEGIES:
            found = search(space, seen, budget=budget, seed=seed, strategy=strategy)
            out["searches"][strategy].append({
                "best": [round(v, 6) for v in found.best_so_far.tolist()],
                "unseen": unseen(space.plan(found.genome)),
            })  # fmt: skip
    out["tau"] = [round(_tau(space, seen.part(slice(0, 64)), seed), 4) for seed in range(seeds)]
    return out


def _tau(space: UnifiedSpace, error: Target, seed: int) -> float:
    """Kendall's tau of a predictor fitted to 200 random schedules on 100 others."""
    drawn = search(space, error, budget=300, seed=100 + seed, strategy="random")
    return ranking_quality(space, drawn, train=200, seed=seed)


def _maps(p: Problem) -> dict[str, GridMap]:
    times = (float(p.process.t_of_lam(lam)) for lam in (p.lam_start, p.lam_end))
    return {
        "logSNR": uniform_lam(p.process, p.lam_start, p.lam_end),
        "EDM": karras(p.process, math.exp(-p.lam_start), math.exp(-p.lam_end)),
        "time": power_t(p.process, *times),
    }


def _spaced(p: Problem, name: str, n: int, seen: Target, unseen: Target) -> dict[str, Any]:
    sampler, grid = get(name), uniform_lam(p.process, p.lam_start, p.lam_end).grid(n)
    space = GridSpace(sampler, p.process, grid)
    found = descend(sampler, p.process, grid, seen, budget=40)
    lams = p.lam_start + (p.lam_end - p.lam_start) * np.cumsum([0.0, *found.shares])
    return {
        "lams": [round(v, 4) for v in lams.tolist()],
        "uniform": unseen(sampler(p.process, grid)),
        "searched": unseen(space.plan(found.shares)),
        "runs": len(found.errors),
    }


def _entropy(p: Problem, count: int = 2000) -> dict[str, list[float]]:
    """``E[H(component | x_t)]`` in nats by lam, from exact responsibilities."""
    law = cast(GaussianMixture, p.law)
    x0, lams = law.sample(count, seed=5), np.linspace(p.lam_start, p.lam_end, 57)
    eps = torch.from_numpy(normals(count, law.dim, seed=6, label="entropy"))
    mean = []
    for lam in lams:
        node = p.process.node_at_lam(float(lam))
        r = law.responsibilities(node.alpha * x0 + node.sigma * eps, node.alpha, node.sigma)
        mean.append(float(-torch.special.xlogy(r, r).sum(1).mean()))
    return {"lam": lams.tolist(), "nats": [round(v, 6) for v in mean]}


# the picture


def draw(data: Data) -> Figure:
    """Three panels."""
    figure = Figure(figsize=(11.6, 4.7))
    sides = {"left": 0.075, "right": 0.985, "top": 0.77, "bottom": 0.13, "wspace": 0.3}
    places = figure.add_gridspec(1, 3, width_ratios=(1.25, 0.9, 1.1), **sides)
    _draw_grids(figure.add_subplot(places[0]), data)
    _draw_gains(figure.add_subplot(places[1]), data)
    _draw_searches(figure.add_subplot(places[2]), data)
    figure.text(0.075, 0.925, "Searched for, and judged elsewhere", size=17, weight="bold")
    about = (
        f"Exact denoiser of five Gaussians, d = 2; searched on {data['train']} starts, "
        f"judged on {data['others']} others, rms"
    )
    figure.text(0.075, 0.865, about, size=9.5, color=SOFT)
    return figure


def _rate(data: Data) -> tuple[np.ndarray, np.ndarray]:
    lam, nats = np.array(data["entropy"]["lam"]), np.array(data["entropy"]["nats"])
    return lam, -np.gradient(nats, lam)


def _draw_grids(axes: Axes, data: Data) -> None:
    lam, rate = _rate(data)
    rows = len(data["grids"])
    axes.fill_between(lam, rows + 2.2 * rate / rate.max(), rows, color="#f3e4ae", lw=0)
    for k, (name, found) in enumerate(reversed(data["grids"].items())):
        sampler, n = name.split()
        colour = COLOURS[list(GRIDS).index(sampler)]
        axes.plot(found["lams"], [k] * len(found["lams"]), color=colour, marker="o", ms=5)
        axes.text(-4.35, k, f"{GRIDS[sampler]} {n}", size=8, ha="right", va="center", color=colour)
    axes.set(yticks=[], xlabel="λ", title="Nodes, and where entropy is lost", xlim=(-4.3, 3.3))
    axes.text(-3.9, rows + 0.6, "entropy of the\ncomponent lost per λ", size=8, color="#8f7416")
    axes.spines["left"].set_visible(False)


def _draw_gains(axes: Axes, data: Data) -> None:
    axes.set(yscale="log", xlabel="steps", title="Uniform and searched")
    for k, name in enumerate(GRIDS):
        rows = {
            int(key.split()[1]): v for key, v in data["grids"].items() if key.split()[0] == name
        }
        for which, style in (("uniform", (0, (4, 2))), ("searched", "-")):
            axes.plot(
                list(rows), [row[which] for row in rows.values()], color=COLOURS[k], ls=style,
                marker=MARKERS[k], mec="white", mew=0.7, label=f"{GRIDS[name]}, {which}",
            )  # fmt: skip
        axes.set_xticks(list(rows))
    axes.set_ylabel("distance to the exact flow")
    _plain_ticks(axes)
    axes.legend(frameon=False, fontsize=7.5)


def _draw_searches(axes: Axes, data: Data) -> None:
    axes.set(yscale="log", xlabel="trials", title="Five evaluations, best so far")
    for strategy, runs in data["searches"].items():
        best = np.array([row["best"] for row in runs])
        trials = np.arange(1, best.shape[1] + 1)
        axes.plot(trials, np.median(best, axis=0), color=PENS[strategy], label=strategy)
        axes.fill_between(trials, best.min(0), best.max(0), color=PENS[strategy], alpha=0.15, lw=0)
    axes.axhline(min(data["bases"].values()), color=INK, lw=1.0, ls=(0, (4, 2)))
    axes.text(
        best.shape[1], 1.04 * min(data["bases"].values()), "best known sampler", size=8, ha="right"
    )
    _plain_ticks(axes)
    axes.legend(frameon=False, fontsize=8, loc="lower left")


def _plain_ticks(axes: Axes) -> None:
    """Less than a decade: 1, 2, 3 and 5 in it."""
    low, high = axes.get_ylim()
    ticks = [m * 10.0**k for k in range(-4, 1) for m in (1, 2, 3, 5)]
    axes.minorticks_off()
    axes.set_yticks([t for t in ticks if low < t < high], None)
    axes.set_yticklabels([f"{t:g}" for t in ticks if low < t < high])
    axes.set_ylim(low, high)


# the claims


def _grids_gain(data: Data) -> Measured:
    gains = {k: 1 - v["searched"] / v["uniform"] for k, v in data["grids"].items()}
    words = ", ".join(f"{100 * g:.0f} % for {k}" for k, g in gains.items())
    least = min(gains.values())
    return Measured(f"error on other starts less by {words}", judge(least, least, least=0.0))


def _where_decided(data: Data) -> Measured:
    lam, rate = _rate(data)
    lost = np.cumsum(np.maximum(rate, 0))
    low, high = (float(np.interp(q, lost / lost[-1], lam)) for q in (0.05, 0.95))
    inner = np.concatenate([v["lams"][1:-1] for v in data["grids"].values()])
    share = float(((inner >= low) & (inner <= high)).mean())
    even = (high - low) / (lam[-1] - lam[0])
    words = f"{100 * share:.0f} % of the inner nodes lie in [{low:.2f}, {high:.2f}], "
    words += f"where 90 % of the entropy is lost and {100 * even:.0f} % of a uniform grid lies"
    return Measured(words, judge(share, share, least=max(0.8, 1.2 * even)))


def _schedules(data: Data) -> Measured:
    base = min(data["bases"].values())
    gains = [1 - row["unseen"] / base for row in data["searches"]["evolution"]]
    words = ", ".join(f"{100 * g:.0f} %" for g in gains)
    least = min(gains)
    return Measured(f"error on other starts less by {words}", judge(least, least, least=0.15))


def _ranking(data: Data) -> Measured:
    taus = data["tau"]
    words = ", ".join(f"{t:.2f}" for t in taus)
    return Measured(f"Kendall's tau {words}", judge(min(taus), min(taus), least=0.5))


def _cheaper(data: Data) -> Measured:
    ends = {s: np.array([row["best"][-1] for row in data["searches"][s]]) for s in PENS}
    ratio = ends["evolution"] / ends["predictor"]
    words = f"error without over with a predictor {ratio.min():.2f} to {ratio.max():.2f}"
    return Measured(words, judge(float(ratio.min()), float(ratio.max()), least=1.0))


CLAIMS = (
    Claim("searched time steps beat equal ones at 4, 6 and 8 steps", _LI, _grids_gain),
    Claim("searched nodes lie where the posterior loses its entropy", "theory", _where_decided),
    Claim(
        "a schedule searched for five evaluations is 15 % better than any known sampler on any "
        "known grid",
        _LIU,
        _schedules,
    ),
    Claim("a predictor ranks schedules that it has not seen", _LIU, _ranking),
    Claim("with the predictor a search of equal length finds better ones", _LIU, _cheaper),
)
