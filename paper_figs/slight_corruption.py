"""Slight corruption of conditions in training: when it helps, how much, and how much is best.

A linear conditional model in dimension one, fitted to n samples while its conditions are
corrupted, asked with clean ones. Left, the root of the mean W2^2 to the truth by the size of the
corruption, exact lines and marks from draws; middle, the entropy of what is learned; right, the
best corruption by n, with the law of theory and the guess that matches the mean variance only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from scipy.optimize import minimize_scalar

from ..analysis.statistics import Conditional, corrupted_conditional, entropy, few_shot
from .cache import Data
from .figure import COLOURS, INK, MARKERS, SOFT, Claim, Measured, judge

SLOPE, VAR = 1.5, 0.4
GAMMAS = tuple(round(0.02 * k, 3) for k in range(31))
SHOWN = (10, 100, 1000)
SIZES = (6, 10, 18, 32, 56, 100, 320, 1000, 3200)
MARKED = (0, 5, 10, 15, 20, 25, 30)
_CHEN = "Chen et al. 2024, arXiv:2405.20494"


def data(*, gammas: Sequence[float] = GAMMAS, draws: int = 4000, seed: int = 0) -> Data:
    """Mean squares, entropies, and best corruptions."""
    curves = {str(n): [few_shot(n, g, slope=SLOPE, var=VAR) for g in gammas] for n in SHOWN}
    marks = {str(n): [_drawn(n, gammas[k], draws, seed) for k in MARKED] for n in SHOWN}
    truth = Conditional(np.array([[SLOPE]]), np.array([[VAR]]))
    return {
        "gammas": list(gammas), "curves": curves, "marks": marks, "draws": draws,
        "entropy": [entropy(corrupted_conditional(truth, 1.0, g).cov) for g in gammas],
        "sizes": list(SIZES), "best": [_best(n) for n in SIZES],
    }  # fmt: skip


def _drawn(n: int, gamma: float, draws: int, seed: int) -> list[float]:
    """Mean W2^2 of fits to drawn samples of conditions +-1, and its standard error."""
    rng = np.random.default_rng([seed, n])
    c = np.where(np.arange(n) % 2, 1.0, -1.0)
    values = []
    for _ in range(max(1, draws * n // 400_000)):
        x = SLOPE * c + math.sqrt(VAR) * rng.standard_normal((min(draws, 400_000 // n), n))
        slope = (x @ c / n) / (1 + gamma**2)
        left = np.mean((x - slope[:, None] * c) ** 2, 1) + gamma**2 * slope**2
        values.append((slope - SLOPE) ** 2 + (np.sqrt(left) - math.sqrt(VAR)) ** 2)
    found = np.concatenate(values)
    return [float(found.mean()), float(found.std() / math.sqrt(len(found)))]


def _best(n: int) -> float:
    """gamma^2 of the least mean distance."""
    unit = VAR / (n * SLOPE**2)
    found = minimize_scalar(
        lambda v: few_shot(n, math.sqrt(v * unit), slope=SLOPE, var=VAR),
        bounds=(0.05, 8.0), method="bounded", options={"xatol": 1e-6},
    )  # fmt: skip
    return float(found.x) * unit  # pyright: ignore[reportAttributeAccessIssue]


def law(n: float) -> float:
    """Best gamma^2 for large n: ``(S/(n E^2)) (5 + 8 R)/(2 + 8 R)``."""
    ratio = VAR / SLOPE**2
    return VAR / (n * SLOPE**2) * (5 + 8 * ratio) / (2 + 8 * ratio)


# the picture


def draw(data: Data) -> Figure:
    """Distances; entropy; the best corruption."""
    figure = Figure(figsize=(12.8, 4.7))
    sides = {"left": 0.06, "right": 0.97, "top": 0.76, "bottom": 0.14, "wspace": 0.3}
    places = figure.add_gridspec(1, 3, **sides)
    left, middle, right = (figure.add_subplot(places[k]) for k in range(3))
    for k, (n, line) in enumerate(data["curves"].items()):
        values = np.sqrt(line)
        left.semilogy(data["gammas"], values, color=COLOURS[k], label=f"n = {n}")
        places_of = [data["gammas"][j] for j in MARKED]
        marks = [math.sqrt(mean) for mean, _ in data["marks"][n]]
        left.plot(places_of, marks, MARKERS[k], color=COLOURS[k], ms=4, mec="white")
        low = int(np.argmin(values))
        left.plot(data["gammas"][low], values[low], "*", color=COLOURS[k], ms=11, mec="white")
    left.legend(frameon=False, fontsize=8.5)
    left.set(xlabel="corruption γ in training", title="W₂ to the truth, root of the mean square")
    middle.plot(data["gammas"], data["entropy"], color=COLOURS[3])
    middle.set(xlabel="corruption γ in training", title="Entropy of what is learned, nats")
    sizes = np.array(data["sizes"], float)
    right.loglog(sizes, np.sqrt(data["best"]), "o", color=INK, ms=5, label="best")
    right.loglog(sizes, np.sqrt([law(n) for n in sizes]), color=COLOURS[0], label="law, large n")
    naive = np.sqrt(VAR / (sizes * SLOPE**2))
    right.loglog(sizes, naive, color=COLOURS[1], ls=(0, (3, 2)), label="γ²E² = S/n")
    right.legend(frameon=False, fontsize=8.5)
    right.set(xlabel="samples n", title="Best corruption γ")
    figure.text(0.06, 0.925, "A little corruption is a ridge", size=17, weight="bold")
    about = f"x = {SLOPE} c + N(0, {VAR}); lines exact, marks means of {data['draws']} fits"
    figure.text(0.06, 0.865, about, size=9.5, color=SOFT)
    return figure


# the claims


def _entropy(data: Data) -> Measured:
    steps = np.diff(data["entropy"])
    text = f"every step rises, by {steps.min():.2g} at least"
    return Measured(text, judge(float(steps.min()), float(steps.min()), least=0.0))


def _helps(data: Data) -> Measured:
    gains = {n: 1 - math.sqrt(min(row) / row[0]) for n, row in data["curves"].items()}
    text = "W2 falls by " + ", ".join(f"{100 * v:.2g}% (n = {n})" for n, v in gains.items())
    worst = max(
        abs(m - line[k]) / e
        for n, line in data["curves"].items()
        for k, (m, e) in zip(MARKED, data["marks"][n], strict=True)
    )
    text += f"; draws at most {worst:.1f} standard errors off"
    return Measured(text, judge(*[min(gains.values())] * 2, least=0.0))


def _order(data: Data) -> Measured:
    first = {n: (row[0] - row[1]) / VAR for n, row in data["curves"].items()}
    unit = (SLOPE * data["gammas"][1]) ** 2 / VAR
    found = {n: v * int(n) / unit for n, v in first.items()}
    text = "gain over γ²E²/n: " + ", ".join(f"{v:.2f} (n = {n})" for n, v in found.items())
    return Measured(text, judge(*[min(list(found.values())[:2])] * 2, least=0.5))


def _root(data: Data) -> Measured:
    logs = np.log(data["sizes"]), 0.5 * np.log(data["best"])
    slope = float(np.polyfit(logs[0][3:], logs[1][3:], 1)[0])
    text = f"slope {slope:.3f} for n from {data['sizes'][3]}"
    return Measured(text, judge(-abs(slope + 0.5), -abs(slope + 0.5), least=-0.03))


def _constant(data: Data) -> Measured:
    found = [b * n * SLOPE**2 / VAR for b, n in zip(data["best"], data["sizes"], strict=True)]
    limit = law(1.0) * SLOPE**2 / VAR
    text = f"γ²E² n/S is {found[1]:.2f} at n = {data['sizes'][1]} and {found[-1]:.2f} at "
    text += f"n = {data['sizes'][-1]}; the limit is {limit:.2f}"
    off = abs(found[-1] - 1)
    return Measured(text, judge(-off, -off, least=-0.1))


CLAIMS = (
    Claim("corruption raises the entropy of what is generated", _CHEN, _entropy),
    Claim("slight corruption lowers W2 to the truth", _CHEN, _helps),
    Claim("by an amount of order γ²/n in each dimension", _CHEN, _order),
    Claim("the best corruption falls like the root of the samples", "derived here", _root),
    Claim("it is the one that makes the mean variance right", "what one might think", _constant),
)
