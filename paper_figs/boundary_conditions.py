"""One start for all conditions: what is chosen on a few references, and what it is worth.

Denoising of mixtures in three dimensions, exact flows of the posteriors. Left the mean squared
error of 200 random starts on 16 reference pairs and on 64 others. Right, for linear-Gaussian
super-resolution, the excess of the best of K starts over the posterior mean: its median by the
closed law, and of simulated choices.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ..analysis.best_of import best_of_quantile
from ..toy_models.product import ProductMixture
from .cache import Data
from .figure import COLOURS, INK, MARKERS, SOFT, Claim, Measured, judge
from .labels import End, label_ends

COUNTS = (1, 3, 10, 30, 100, 300, 1000)
DIMENSIONS = (2, 8, 32)
NOISE = 0.8
_MA = "Ma et al. 2024, arXiv:2305.15357"


def _rows(*values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


WEIGHTS = _rows([0.5, 0.5], [0.4, 0.6], [0.7, 0.3])
MEANS = _rows([-1.0, 1.0], [-0.6, 0.9], [-0.8, 0.7])
STDS = _rows([0.3, 0.3], [0.2, 0.3], [0.3, 0.2])


def posterior(y: Tensor) -> ProductMixture:
    """Of the product of mixtures given its coordinates with noise: Bayes for each component."""
    var = STDS**2 + NOISE**2
    logits = WEIGHTS.log() - 0.5 * ((y[:, None] - MEANS) ** 2 / var + var.log())
    means = MEANS + STDS**2 / var * (y[:, None] - MEANS)
    return ProductMixture(logits.softmax(1), means, STDS * NOISE / var.sqrt())


def data(*, candidates: int = 200, references: int = 16, others: int = 64) -> Data:
    """Losses of every candidate on both sets, and the best of K by law and by simulation."""
    x0 = ProductMixture(WEIGHTS, MEANS, STDS).sample(references + others, seed=11)
    generator = torch.Generator().manual_seed(12)
    noise = torch.randn(x0.shape, generator=generator, dtype=torch.float64)
    x = torch.randn(candidates, 3, generator=generator, dtype=torch.float64)
    x[0] = 0.0  # the middle of the noise, for comparison; not a candidate
    losses, spreads = [], []
    for truth, y in zip(x0, x0 + NOISE * noise, strict=True):
        law = posterior(y)
        ends = law.flow(x, (0.0, 1.0), (1.0, 0.0))
        losses.append((ends - truth).square().sum(1))
        spreads.append(torch.trace(law.cov))
    table = torch.stack(losses)
    return {
        "references": table[:references].mean(0).tolist(),
        "others": table[references:].mean(0).tolist(),
        "posterior": float(torch.stack(spreads)[references:].mean()),
        "counts": list(COUNTS), "best": {str(d): _best(d) for d in DIMENSIONS},
    }  # fmt: skip


def _best(d: int, repeats: int = 1500) -> dict[str, list[float]]:
    """Median over choices of the least excess, in units of a random start's mean."""
    a = np.linspace(0.5, 1.5, d) / d
    generator, law, seen = np.random.default_rng(d), [], []
    for count in COUNTS:
        least = [
            float((generator.standard_normal((count, d)) ** 2 @ a).min()) for _ in range(repeats)
        ]
        law.append(best_of_quantile(a.tolist(), count))
        seen.append(float(np.median(least)))
    return {"law": law, "seen": seen}


# the picture


def draw(data: Data) -> Figure:
    """Two panels."""
    figure = Figure(figsize=(11.0, 4.9))
    places = figure.add_gridspec(1, 2, left=0.075, right=0.9, top=0.77, bottom=0.13, wspace=0.35)
    _scatter(figure.add_subplot(places[0]), data)
    _curves(figure.add_subplot(places[1]), data)
    figure.text(0.075, 0.925, "One start for all conditions", size=17, weight="bold")
    about = "Exact flows of posteriors: the deterministic sampler's start, chosen once"
    figure.text(0.075, 0.865, about, size=9.5, color=SOFT)
    return figure


def _scatter(axes: Axes, data: Data) -> None:
    x, y = np.array(data["references"]), np.array(data["others"])
    best = 1 + int(x[1:].argmin())
    axes.plot(x[1:], y[1:], ".", color=COLOURS[0], ms=5, mec="white", mew=0.3)
    for k, words, colour in ((best, "chosen", COLOURS[1]), (0, "the start 0", INK)):
        axes.plot(x[k], y[k], "*", color=colour, ms=12, mec="white", mew=0.6)
        axes.annotate(words, (x[k], y[k]), (9, -4), textcoords="offset points", color=colour)
    axes.axhline(float(y[1:].mean()), color=SOFT, lw=0.9, ls=(0, (4, 2)))  # a random start
    axes.axhline(data["posterior"], color=SOFT, lw=0.9)
    axes.set_title("Squared error (line: posterior variance)")
    axes.set_xlabel("on 16 reference pairs")
    axes.set_ylabel("on 64 others")


def _curves(axes: Axes, data: Data) -> None:
    axes.set(xscale="log", yscale="log")
    ends = []
    for k, (d, row) in enumerate(data["best"].items()):
        axes.plot(data["counts"], row["law"], color=COLOURS[k])
        pen = {"color": COLOURS[k], "marker": MARKERS[k], "mec": "white", "mew": 0.6, "ls": "none"}
        axes.plot(data["counts"], row["seen"], **pen)
        ends.append(End(data["counts"][-1], row["law"][-1], f"d = {d}", COLOURS[k]))
    axes.autoscale_view()
    axes.set_title("Excess of the best of K (lines: closed law)")
    axes.set_xlabel("candidates K")
    axes.set_ylabel("over that of a random start")
    label_ends(axes, ends)


# the claims


def _held_out(data: Data) -> Measured:
    x, y = np.array(data["references"])[1:], np.array(data["others"])[1:]
    gain = float(1 - y[x.argmin()] / y.mean())
    text = f"error of the chosen start {100 * gain:.0f} % below that of a random one, on others"
    return Measured(text, judge(gain, gain, least=0.2))


def _ranks(data: Data) -> Measured:
    a, b = (np.argsort(np.argsort(data[key][1:])) for key in ("references", "others"))
    found = float(np.mean((a - a.mean()) * (b - b.mean())) / (a.std() * b.std()))
    return Measured(f"rank correlation {found:.2f}", judge(found, found, least=0.5))


def _law(data: Data) -> Measured:
    pairs = [(a, b) for row in data["best"].values() for a, b in zip(*row.values(), strict=True)]
    worst = max(abs(b / a - 1) for a, b in pairs)
    text = f"largest relative difference of medians {100 * worst:.2g} %"
    return Measured(text, judge(-worst, -worst, least=-0.1))


def _mean(data: Data) -> Measured:
    """Whether the chosen start makes samples (twice the variance) or means (once)."""
    y = np.array(data["others"])
    chosen = float(y[1 + int(np.argmin(data["references"][1:]))] / data["posterior"])
    text = f"error over the posterior variance: {chosen:.2f}; of samples it would be 2"
    return Measured(text, judge(chosen, chosen, least=1.8))


CLAIMS = (
    Claim("a start chosen on a few references is better on others (by 20 %)", _MA, _held_out),
    Claim("a start that is good for some conditions is good for others", _MA, _ranks),
    Claim("the best of K follows the law of a weighted chi-square", "Ruben 1962", _law),
    Claim("what is chosen so still samples the posterior", "what one may hope", _mean),
)
