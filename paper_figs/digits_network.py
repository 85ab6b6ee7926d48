"""Five samplers on a trained network, and on the exact law that it imitates.

Left the error on the mixture of ten Gaussians, one for each class of the digits, whose denoiser is
exact. Middle the same on the small network that was trained on the digits. Both without a class,
from the same starts, on the same grids; the truth is a fine run of the same model. Right digits
of the trained network.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..solvers.fitted.own_statistics import fresh_starts
from ..solvers.networks.network import Network
from ..solvers.registry import get
from ..solvers.run import run
from ..toy_models.networks import named_network, weights_digest
from .cache import Data
from .compare import Curve, Interval, everywhere, ratio, slope
from .figure import COLOURS, INK, MARKERS, SOFT, Claim, Measured, judge, progress
from .labels import End, label_ends

TITLES = {
    "ddim": "DDIM",
    "dpmpp_2s": "DPM-Solver++(2S)",
    "dpmpp_2m": "DPM-Solver++(2M)",
    "deis_rhoab3": "DEIS, ρAB3",
    "unipc_2": "UniPC-2",
}
NETWORKS = {"digits-mixture": "Exact mixture", "digits": "Trained network"}
NFES = (6, 12, 24, 48, 96)
FIRST, LAST = 24, 96
"""Evaluations between which slopes are measured."""
FINE = 384
WEIGHTS = weights_digest("digits")
SMALL = {"starts": 32, "fine": 192}
_KARRAS = "Karras, Aittala, Aila & Laine 2022, arXiv:2206.00364"
_LU = "Lu et al. 2022, arXiv:2211.01095"
_ZHAO = "Zhao et al. 2023, arXiv:2302.04867"


def data(
    *, nfes: Sequence[int] = NFES, starts: int = 256, fine: int = FINE, weights: str = WEIGHTS
) -> Data:
    """Errors of every start, and ten digits; ``weights`` only tells the cache which they are."""
    out: Data = {"starts": starts, "weights": weights}
    out["curves"] = {
        name: _curves(named_network(name), nfes, starts, fine)
        for name in progress(list(NETWORKS), "networks")
    }
    out["digits"] = _digits(named_network("digits"))
    return out


def _curves(network: Network, nfes: Sequence[int], starts: int, fine: int) -> dict[str, Any]:
    x = fresh_starts(network, starts, 0)

    def sample(name: str, steps: int) -> torch.Tensor:
        entry = get(name)
        grid = network.grid(steps, to_zero=False)
        return run(entry(network.process, grid), network.model(prediction=entry.prediction), x).x

    truth, curves = sample("unipc_3", fine), {}
    for name in progress(list(TITLES), network.name):
        entry, rows = get(name), []
        steps = [n // entry.nfe(1) for n in nfes]
        for n in steps:
            error = (sample(name, n) - truth).flatten(1).double().square().mean(1).sqrt()
            rows.append([float(f"{e:.3g}") for e in error])
        curves[name] = {"nfe": list(nfes), "steps": steps, "errors": rows}
    return curves


def _digits(network: Network) -> list[list[float]]:
    """A digit of each class, guidance 1.5, 20 steps."""
    entry, x = get("dpmpp_2m"), fresh_starts(network, 10, 1)
    model = network.model(range(10), prediction=entry.prediction, guidance=1.5)
    made = run(entry(network.process, network.grid(20)), model, x).x.flatten(1)
    return [[round(v, 2) for v in row] for row in made.tolist()]


# the picture


def draw(data: Data) -> Figure:
    """Errors on both, and digits."""
    figure = Figure(figsize=(12.8, 5.0))
    places = figure.add_gridspec(
        1, 3, left=0.06, right=0.975, top=0.76, bottom=0.13, wspace=0.62, width_ratios=(5, 5, 1.9)
    )
    panels = [figure.add_subplot(places[k]) for k in range(2)]
    for axes, name in zip(panels, NETWORKS, strict=True):
        _panel(axes, data["curves"][name], NETWORKS[name])
    low = min(axes.get_ylim()[0] for axes in panels)
    high = max(axes.get_ylim()[1] for axes in panels)
    for axes, name in zip(panels, NETWORKS, strict=True):
        axes.set_ylim(low, high)
        _names(axes, data["curves"][name])
    inner = places[2].subgridspec(5, 2, wspace=0.08, hspace=0.08)
    for k, image in enumerate(data["digits"]):
        axes = figure.add_subplot(inner[k % 5, k // 5])
        axes.imshow(np.reshape(image, (8, 8)), cmap="gray_r", vmin=-1, vmax=1)
        axes.set(xticks=[], yticks=[])
        axes.grid(visible=False)
    figure.text(0.06, 0.925, "What a toy says of a network", size=17, weight="bold", color=INK)
    about = (
        f"Median over {data['starts']} starts of the distance to a fine run of the same model; "
        "right: made by the network"
    )
    figure.text(0.06, 0.865, about, size=9.5, color=SOFT)
    return figure


def _panel(axes: Axes, curves: dict[str, Any], title: str) -> None:
    axes.set(xscale="log", yscale="log", title=title, xlabel="evaluations of the model")
    for k, name in enumerate(TITLES):
        curve = Curve.of(curves[name])
        axes.plot(
            curve.nfe,
            curve.typical,
            color=COLOURS[k],
            marker=MARKERS[k],
            mec="white",
            mew=0.6,
            ms=5,
        )
    ticks = curves["ddim"]["nfe"]
    axes.set_xticks(ticks, [str(n) for n in ticks])
    axes.minorticks_off()


def _names(axes: Axes, curves: dict[str, Any]) -> None:
    ends = []
    for k, name in enumerate(TITLES):
        curve = Curve.of(curves[name])
        ends.append(End(curve.nfe[-1], curve.typical[-1], TITLES[name], COLOURS[k]))
    label_ends(axes, ends)


# the claims


def _both(data: Data, name: str) -> tuple[Curve, Curve]:
    exact, trained = (Curve.of(data["curves"][one][name]) for one in NETWORKS)
    return exact, trained


def _slopes(data: Data) -> Measured:
    """Slopes on the two laws, and the largest difference with its interval."""
    words, worst = [], Interval(0.0, 0.0, 0.0)
    for name, title in TITLES.items():
        a, b = (slope(curve, FIRST, LAST) for curve in _both(data, name))
        gap = abs(a.value - b.value)
        spread = max(a.high - a.low, b.high - b.low) / 2
        if gap >= worst.value:
            worst = Interval(gap, max(gap - spread, 0.0), gap + spread)
        words.append(f"{title} {a.value:.2f} and {b.value:.2f}")
    text = f"slopes on law and network: {'; '.join(words)}"
    return Measured(text, judge(-worst.high, -worst.low, least=-0.4))


def _ranking(data: Data) -> Measured:
    """Rank correlation of the five errors on the two laws, at every number of evaluations."""
    found = {}
    for k, nfe in enumerate(Curve.of(data["curves"]["digits"]["ddim"]).nfe):
        errors = [[curve.typical[k] for curve in _both(data, name)] for name in TITLES]
        exact, trained = np.argsort(np.argsort(np.array(errors), axis=0), axis=0).T
        found[int(nfe)] = float(np.cov(exact, trained)[0, 1] / np.var(exact, ddof=1))
    text = ", ".join(f"{v:.2g} at {n}" for n, v in found.items())
    least = min(found.values())
    return Measured(f"rank correlation {text} evaluations", judge(least, least, least=0.7))


def _beats(data: Data, better: str, worse: str) -> Measured:
    """Ratio of the median errors on the trained network."""
    a, b = (Curve.of(data["curves"]["digits"][name]) for name in (worse, better))
    found = {int(n): ratio(a, b, int(n)) for n in a.nfe if n > a.nfe[0]}
    words = ", ".join(f"{one.value:.2g} at {n}" for n, one in found.items())
    return Measured(
        f"{TITLES[worse]} is off by {words} evaluations, times {TITLES[better]}",
        everywhere(found.values(), least=1.0),
    )


CLAIMS = (
    Claim(
        "a sampler and a network are two things: orders are the same on both, within 0.4",
        _KARRAS, _slopes,
    ),
    Claim("which sampler is better on an exact law is better on a network", _KARRAS, _ranking),
    Claim(
        "the multistep DPM-Solver++(2M) beats the singlestep 2S on a network", _LU,
        lambda data: _beats(data, "dpmpp_2m", "dpmpp_2s"),
    ),
    Claim(
        "UniPC is nearer than DPM-Solver++ on a network, from 12 evaluations on", _ZHAO,
        lambda data: _beats(data, "unipc_2", "dpmpp_2m"),
    ),
)  # fmt: skip
