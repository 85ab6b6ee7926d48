"""Likelihood of a law without a density: no bound, a remedy, and how much of it.

Left and middle, the mean NLL of N(0, diag(a, b)) on data (z, 0), without noise and with noise of
size 0.3: without, it falls for ever towards b = 0; with it the best is ``a = 1 + s^2, b = s^2``.
Right, a small network that learns a curve by likelihood from perturbed points, by the size of the
noise and for two steps of descent: too little noise is left unlearned by steps that are too long,
too much is blurred by an amount that is known.
"""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..analysis.statistics import curve_bias, curve_errors, mean_nll
from .cache import Data
from .figure import COLOURS, INK, MARKERS, SOFT, Claim, Measured, judge, progress

NOISE, OMEGA = 0.3, 2.0
SIZES = (0.01, 0.02, 0.04, 0.08, 0.12, 0.16, 0.24, 0.32, 0.64)
STEPS = (0.01, 0.003)
_CHAE = "Chae, Kim, Kim & Lin 2021, arXiv:2105.04046"


def data(*, points: int = 41, count: int = 2500, samples: int = 192) -> Data:
    """Surfaces of the NLL, and errors of learned curves."""
    a = np.geomspace(0.1, 10.0, points).tolist()
    b = np.geomspace(1e-6, 3.0, points).tolist()
    surfaces = {
        f"{s:g}": [[mean_nll([x, y], [1 + s * s, s * s]) for x in a] for y in b]
        for s in (0.0, NOISE)
    }
    learned = {
        f"{step:g}": curve_errors(
            SIZES, step=step, count=count, samples=samples, omega=OMEGA
        ).tolist()
        for step in progress(STEPS, "curves")
    }
    return {
        "a": a, "b": b, "surfaces": surfaces, "sizes": list(SIZES), "learned": learned,
        "bias": [curve_bias(s, OMEGA) for s in SIZES],
    }  # fmt: skip


# the picture


def draw(data: Data) -> Figure:
    """Two surfaces and a sweep."""
    figure = Figure(figsize=(13.0, 4.8))
    sides = {"left": 0.055, "right": 0.97, "top": 0.76, "bottom": 0.14, "wspace": 0.28}
    places = figure.add_gridspec(1, 3, **sides)
    left, middle, right = (figure.add_subplot(places[k]) for k in range(3))
    for axes, (s, values) in zip((left, middle), data["surfaces"].items(), strict=True):
        _surface(axes, data, s, np.array(values))
    for k, (step, line) in enumerate(data["learned"].items()):
        right.loglog(
            data["sizes"], line, marker=MARKERS[k], color=COLOURS[k], ms=5, mec="white",
            label=f"learned, step {step}",
        )  # fmt: skip
    right.loglog(data["sizes"], data["bias"], color=INK, lw=1, ls=(0, (3, 2)), label="blur, exact")
    right.set_ylim(5e-3, 1.0)
    right.legend(frameon=False, fontsize=8.5)
    right.set(xlabel="size s of the noise", title="Error of a learned curve")
    figure.text(0.055, 0.925, "Add noise, fit, take it away", size=17, weight="bold")
    about = "Data (z, 0): mean NLL by the two variances; data (z, sin 2z): a small network"
    figure.text(0.055, 0.865, about, size=9.5, color=SOFT)
    return figure


def _surface(axes: Axes, data: Data, s: str, values: np.ndarray) -> None:
    top = np.minimum(values, 6.0)
    axes.contourf(data["a"], data["b"], top, levels=np.linspace(-6.0, 6.0, 25), cmap="Blues_r")
    noise = float(s) ** 2
    if noise > 0:
        axes.plot(1 + noise, noise, "*", color=COLOURS[1], ms=13, mec="white")
    else:
        away = {"arrowstyle": "->", "color": COLOURS[1], "lw": 2}
        axes.annotate("", xy=(1.0, 1.5e-6), xytext=(1.0, 1e-2), arrowprops=away)
    axes.set(xscale="log", yscale="log", xlabel="variance a", ylabel="variance b")
    axes.set(title="NLL without noise" if noise == 0 else f"NLL with noise {s}")
    axes.grid(visible=False)


# the claims


def _unbounded(data: Data) -> Measured:
    values = np.array(data["surfaces"]["0"])
    k = int(np.argmin(np.abs(np.array(data["a"]) - 1.0)))
    column = values[:, k]
    per = float(np.diff(column).mean() / np.diff(np.log(data["b"])).mean())
    text = f"NLL {column[0]:.2f} at b = {data['b'][0]:g}, falling by {per:.4f} for each e in b"
    return Measured(text, "holds" if int(np.argmin(column)) == 0 else "does not hold")


def _bounded(data: Data) -> Measured:
    values = np.array(data["surfaces"][f"{NOISE:g}"])
    row, column = np.unravel_index(int(np.argmin(values)), values.shape)
    a, b = data["a"][column], data["b"][row]
    text = f"best of the grid a = {a:.3f}, b = {b:.3f}; theory {1 + NOISE**2:.3f}, {NOISE**2:.3f}"
    off = max(abs(math.log(a / (1 + NOISE**2))), abs(math.log(b / NOISE**2)))
    step = math.log(data["b"][1] / data["b"][0])
    return Measured(text, judge(-off, -off, least=-step))


def _between(data: Data) -> Measured:
    parts, good = [], True
    for step, line in data["learned"].items():
        k = int(np.argmin(line))
        parts.append(f"s = {data['sizes'][k]:g} ({line[k]:.3f}) at step {step}")
        if step == f"{STEPS[0]:g}":
            good = 0 < k < len(line) - 1 and line[0] > 2 * line[k] and line[-1] > 2 * line[k]
    text = "least at " + ", ".join(parts)
    return Measured(text, "holds" if good else "does not hold")


def _blur(data: Data) -> Measured:
    row = data["learned"][f"{STEPS[0]:g}"]
    ratio = row[-1] / data["bias"][-1]
    text = f"learned over exact {ratio:.2f} at s = {data['sizes'][-1]:g}"
    return Measured(text, judge(-abs(ratio - 1), -abs(ratio - 1), least=-0.25))


CLAIMS = (
    Claim("of singular data a likelihood has no bound", _CHAE, _unbounded),
    Claim("noise of size s gives it one, at the variances plus s²", _CHAE, _bounded),
    Claim("there is a best size of the noise, neither small nor large", _CHAE, _between),
    Claim("at large noise the error is the blur of the noise", "derived here", _blur),
)
