"""How fast samples teach a law: rates measured against theory, all at Gaussian data.

Left, KL of Gaussians fitted to n points of a subspace of k in 64 dimensions, the subspace found
from the same points: marks are means over draws, lines the exact mean, which knows nothing of 64.
Middle, the squared L2 error of a diffusion of n points that is stopped at its best level, marks
from draws, lines exact; it is a kernel estimate, with the rate of two derivatives. Right, that
error by the level at which it stops, in two dimensions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..analysis.distances import gaussian_kl
from ..analysis.statistics import best_stop, fit_divergence, stopped_error
from ..analysis.subspaces import principal_basis
from .cache import Data
from .figure import COLOURS, MARKERS, SOFT, Claim, Measured, judge, progress
from .labels import End, label_ends

RANKS = (2, 4, 8)
SIZES = (32, 64, 128, 256, 512, 1024)
DIMS = (1, 2, 4, 8)
DRAWN = (32, 128, 512)
STOPPED = (100, 1000, 10_000)
AMBIENT = 64


def data(
    *, ranks: Sequence[int] = RANKS, sizes: Sequence[int] = SIZES, draws: int = 48, seed: int = 0
) -> Data:
    """Means over draws with their standard errors, and exact means."""
    fits = {}
    for k in progress(ranks, "fits"):
        rng = np.random.default_rng([seed, k])
        runs = [[_fit(k, n, rng) for _ in range(draws)] for n in sizes]
        exact = [fit_divergence(n, k) for n in sizes]
        fits[str(k)] = {**_summary(runs), "exact": exact}
    stops = {}
    for d in progress(DIMS, "stopped diffusions"):
        rng = np.random.default_rng([seed, 100 + d])
        runs = [[_stopped(d, n, rng) for _ in range(draws)] for n in DRAWN]
        best = [best_stop(n, d) for n in sizes]
        stops[str(d)] = {
            **_summary(runs),
            "exact": [b.error for b in best],
            "drawn": [best_stop(n, d).error for n in DRAWN],
            "slope": _slope(d),
        }
    levels = np.geomspace(0.02, 5.0, 61).tolist()
    curves = {str(n): [stopped_error(n, 2, s) for s in levels] for n in STOPPED}
    best = {str(n): list(best_stop(n, 2)) for n in STOPPED}
    return {
        "sizes": list(sizes), "fits": fits, "stops": stops, "levels": levels, "curves": curves,
        "best": best, "draws": draws,
    }  # fmt: skip


def _summary(runs: list[list[float]]) -> dict[str, list[float]]:
    values = np.array(runs)
    error = values.std(1, ddof=1) / math.sqrt(values.shape[1])
    return {"mean": values.mean(1).tolist(), "error": error.tolist()}


def _fit(rank: int, n: int, rng: np.random.Generator) -> float:
    """KL of the truth to the fit, in the subspace that the points themselves tell."""
    basis = np.linalg.qr(rng.standard_normal((AMBIENT, rank)))[0]
    x = rng.standard_normal((n, rank)) @ basis.T
    found = principal_basis(x, rank)
    z = x @ found
    turn = found.T @ basis
    left = z - z.mean(0)
    return float(gaussian_kl(np.zeros(rank), turn @ turn.T, z.mean(0), left.T @ left / n))


def _stopped(dim: int, n: int, rng: np.random.Generator) -> float:
    """Squared error of one draw, relative to the norm of the density, in closed form."""
    s2 = best_stop(n, dim).sigma ** 2
    x = rng.standard_normal((n, dim))
    squares = np.sum(x**2, 1)
    pairs = np.maximum(squares[:, None] + squares - 2 * x @ x.T, 0.0)
    half = 0.5 * dim
    own = float(np.mean(np.exp(-pairs / (4 * s2)))) * s2**-half
    crossed = float(np.mean(np.exp(-squares / (2 * (1 + s2))))) * (2 / (1 + s2)) ** half
    return own - 2 * crossed + 1


def _slope(dim: int) -> float:
    """Of the exact least error, far out."""
    n = 10 ** (6 + dim)
    return math.log(best_stop(100 * n, dim).error / best_stop(n, dim).error) / math.log(100)


# the picture


def draw(data: Data) -> Figure:
    """Fits; stopped diffusions; the level at which to stop."""
    figure = Figure(figsize=(13.0, 4.8))
    sides = {"left": 0.055, "right": 0.94, "top": 0.76, "bottom": 0.14, "wspace": 0.42}
    places = figure.add_gridspec(1, 3, **sides)
    left, middle, right = (figure.add_subplot(places[k]) for k in range(3))
    _lines(left, data, data["fits"], data["sizes"], "k = {}")
    left.set(title="KL of a Gaussian fit, D = 64", xlabel="samples n")
    _lines(middle, data, data["stops"], list(DRAWN), "d = {}")
    middle.set(title="Squared error, stopped diffusion", xlabel="points n")
    ends = []
    for k, (n, line) in enumerate(data["curves"].items()):
        right.loglog(data["levels"], line, color=COLOURS[k])
        right.loglog(*data["best"][n], MARKERS[k], color=COLOURS[k], mec="white")
        ends.append(End(data["levels"][0], line[0], f"n = {n}", COLOURS[k]))
    right.set(title="The same by its last level, d = 2", xlabel="σ at which it stops")
    right.set_ylim(1e-3, 30.0)
    for k, end in enumerate(ends):
        right.plot([], [], color=COLOURS[k], label=end.text)
    right.legend(frameon=False, fontsize=8.5)
    figure.text(0.055, 0.925, "Rates: what n samples teach", size=17, weight="bold")
    about = f"Marks: means of {data['draws']} draws; lines: exact means; dots: the limiting law"
    figure.text(0.055, 0.865, about, size=9.5, color=SOFT)
    return figure


def _lines(axes: Axes, data: Data, rows: dict, drawn: list[int], words: str) -> None:
    ends = []
    n = np.array(data["sizes"], float)
    for k, (name, row) in enumerate(rows.items()):
        axes.loglog(n, row["exact"], color=COLOURS[k])
        axes.errorbar(
            drawn, row["mean"], row["error"], fmt=MARKERS[k], color=COLOURS[k], ms=4, mec="white"
        )
        slope = row.get("slope", -1.0)
        far = row["exact"][-1] if "slope" in row else int(name) * (int(name) + 3) / (4 * n[-1])
        axes.loglog(n, far * (n / n[-1]) ** slope, color=COLOURS[k], lw=0.8, ls=(0, (1, 2)))
        ends.append(End(float(n[-1]), row["exact"][-1], words.format(name), COLOURS[k]))
    axes.autoscale_view()
    label_ends(axes, ends)


# the claims


def _worst(rows: dict, exact: str) -> float:
    """Largest distance from the exact mean in standard errors."""
    gaps = [
        abs(a - b) / e
        for row in rows.values()
        for a, b, e in zip(row["mean"], row[exact], row["error"], strict=True)
    ]
    return max(gaps)


def _parametric(data: Data) -> Measured:
    n = np.log(data["sizes"])
    found = {
        k: float(np.polyfit(n[1:], np.log(row["mean"][1:]), 1)[0])
        for k, row in data["fits"].items()
    }
    text = "slopes " + ", ".join(f"{v:.2f} (k = {k})" for k, v in found.items())
    off = max(abs(v + 1) for v in found.values())
    return Measured(text, judge(-off, -off, least=-0.15))


def _subspace(data: Data) -> Measured:
    worst = _worst(data["fits"], "exact")
    last = data["sizes"][-1]
    limits = {k: row["mean"][-1] * last for k, row in data["fits"].items()}
    text = f"n KL at n = {last}: " + ", ".join(
        f"{v:.1f} (k(k + 3)/4 = {int(k) * (int(k) + 3) / 4:.1f})" for k, v in limits.items()
    )
    text += f"; at most {worst:.1f} standard errors from the mean without the 64"
    return Measured(text, judge(-worst, -worst, least=-5.0))


def _minimax(data: Data) -> Measured:
    slopes = {d: row["slope"] / 2 for d, row in data["stops"].items()}
    text = "slopes of the error " + ", ".join(
        f"{v:.3f} (-2/(4 + {d}) = {-2 / (4 + int(d)):.3f})" for d, v in slopes.items()
    )
    worst = _worst(data["stops"], "drawn")
    text += f"; draws at most {worst:.1f} standard errors off"
    off = max(abs(v * (4 + int(d)) / 2 + 1) for d, v in slopes.items())
    return Measured(text, judge(-off, -off, least=-0.05))


def _early(data: Data) -> Measured:
    rows = {n: line[0] / data["best"][n][1] for n, line in data["curves"].items()}
    text = f"stopped at {data['levels'][0]:g} the squared error is " + ", ".join(
        f"{v:.0f} (n = {n})" for n, v in rows.items()
    )
    return Measured(text + " times its least", judge(*[min(rows.values())] * 2, least=10.0))


_SURVEY = "Chen, Mei, Fan & Wang 2024, arXiv:2404.07771"
CLAIMS = (
    Claim("a parametric law is learned at the rate 1/n in KL", _SURVEY, _parametric),
    Claim("data on a subspace are learned at the rate of its dimension", _SURVEY, _subspace),
    Claim(
        "densities with beta derivatives are learned at n^(-beta/(2 beta + d)); here beta = 2",
        _SURVEY,
        _minimax,
    ),
    Claim("a learned diffusion must stop before the data", _SURVEY, _early),
)
