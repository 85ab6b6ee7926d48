"""One wrong score, two laws: what the ODE and the SDEs make of it, and what bounds promise.

All is exact, on Gaussians. Left, the score multiplied by ``1 + delta``: the width at the data by
eta, with the first order in delta; an exploding process from T = 25 to data of width 0.3. Middle,
a score with a linear error of growing size in two dimensions (variance preserving): the distance
of the laws of ODE and SDE, of the SDE to the truth, and their bounds. Right, by eta: divergences
of the truth for two kinds of error of one size, and Girsanov's bound.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..analysis.score_error import (
    Moments,
    evolve,
    exact_denoiser,
    noised,
    scaled_score,
    score_budget,
    with_error,
)
from .cache import Data
from .figure import COLOURS, INK, MARKERS, SOFT, Claim, Measured, judge
from .labels import End, label_ends

DELTAS = (-0.3, -0.2, -0.1, -0.05, 0.0, 0.05, 0.1, 0.2, 0.3)
ETAS = (0.0, 0.25, 1.0, 4.0)
SIZES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
STRENGTHS = (0.0, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
NARROW, WIDE = 0.09, 25.09
TRUTH = Moments(np.array([0.5, -1.0]), np.array([[1.3, 0.4], [0.4, 0.3]]))
SKEW = np.array([[0.1, 0.25], [-0.15, -0.2]])
SPAN = (-2.5, 2.5)


def data(
    *,
    deltas: Sequence[float] = DELTAS,
    etas: Sequence[float] = ETAS,
    sizes: Sequence[float] = SIZES,
    strengths: Sequence[float] = STRENGTHS,
) -> Data:
    """Widths, distances and bounds; no sampling."""
    narrow = Moments(np.zeros(1), np.full((1, 1), NARROW))
    ends = -0.5 * math.log(WIDE - NARROW), 9.0
    widths = [
        [
            math.sqrt(
                evolve(scaled_score(narrow, d), noised(narrow, ends[0]), eta, ends).cov[0, 0]
            )
            for d in deltas
        ]
        for eta in etas
    ]
    right = exact_denoiser(TRUTH)
    growth = [_row(with_error(right, s * SKEW, (0.3 * s, 0.0)), 1.0) for s in sizes]
    kinds = {
        "error of the score": with_error(right, SKEW, (0.3, 0.0)),
        "error of D": with_error(right, 0.0, (0.15, -0.2), amplitude=lambda _: 1.0),
    }
    rows = {name: [_row(model, e) for e in strengths] for name, model in kinds.items()}
    return {
        "deltas": list(deltas), "etas": list(etas), "widths": widths, "sizes": list(sizes),
        "growth": growth, "strengths": list(strengths), "kinds": rows,
    }  # fmt: skip


def _row(model: object, eta: float) -> dict[str, float | None]:
    found = score_budget(TRUTH, model, eta, SPAN)  # type: ignore[arg-type]
    names = ("w2", "w2_bound", "gap", "gap_bound", "kl", "girsanov")
    values = {name: float(getattr(found, name)) for name in names}
    return {name: v if math.isfinite(v) else None for name, v in values.items()}


# the picture


def draw(data: Data) -> Figure:
    """Widths by delta; distances by size; divergences by eta."""
    figure = Figure(figsize=(13.2, 4.9))
    sides = {"left": 0.055, "right": 0.9, "top": 0.76, "bottom": 0.13, "wspace": 0.42}
    places = figure.add_gridspec(1, 3, **sides)
    left, middle, right = (figure.add_subplot(places[k]) for k in range(3))
    _widths(left, data)
    _growth(middle, data)
    _strengths(right, data)
    figure.text(0.055, 0.925, "One wrong score, two laws", size=17, weight="bold")
    about = "Exact laws of the ODE and of η-SDEs under linear errors of the score"
    figure.text(0.055, 0.865, about, size=9.5, color=SOFT)
    return figure


def _first_order(eta: float, delta: float) -> float:
    """``s0 (1 + delta slope)``: the derivative of the closed form at delta = 0."""
    span = math.log(WIDE / NARROW)
    slope = -0.5 * span if eta == 0 else -0.5 * (1 + eta) / eta * -math.expm1(-eta * span)
    return math.sqrt(NARROW) * (1 + slope * delta)


def _widths(axes: Axes, data: Data) -> None:
    ends = []
    for k, (eta, row) in enumerate(zip(data["etas"], data["widths"], strict=True)):
        colour = (INK, *COLOURS)[k]
        axes.plot(data["deltas"], row, color=colour)
        near = [d for d in data["deltas"] if abs(d) <= 0.1]
        line = [_first_order(eta, d) for d in near]
        axes.plot(near, line, color=colour, lw=0.9, ls=(0, (2, 2)))
        ends.append(End(data["deltas"][-1], row[-1], f"η = {eta:g}", colour))
    axes.axhline(math.sqrt(NARROW), color=SOFT, lw=0.7)
    axes.set(xlabel="error δ of the score (1 + δ) s", yscale="log", title="Width at the data")
    axes.set_yticks([0.1, 0.2, 0.3, 0.5, 0.8], ["0.1", "0.2", "0.3", "0.5", "0.8"])
    axes.set_yticks([], minor=True)
    axes.autoscale_view()
    label_ends(axes, ends)


def _growth(axes: Axes, data: Data) -> None:
    ends = []
    names = {"gap": "ODE to SDE", "w2": "truth to SDE"}
    for k, (name, words) in enumerate(names.items()):
        for suffix, style in (("", "-"), ("_bound", (0, (2, 2)))):
            line = [row[name + suffix] for row in data["growth"]]
            mark = {"marker": MARKERS[k], "mec": "white", "mew": 0.6} if not suffix else {}
            axes.loglog(data["sizes"], line, color=COLOURS[k], ls=style, **mark)
            text = words if not suffix else "its bound"
            ends.append(End(data["sizes"][-1], line[-1], text, COLOURS[k]))
    axes.set(xlabel="size of the error of the score", title="W₂ and its bounds")
    axes.autoscale_view()
    label_ends(axes, ends, size=8)


def _strengths(axes: Axes, data: Data) -> None:
    at = list(range(len(data["strengths"])))
    ends = []
    for k, (name, rows) in enumerate(data["kinds"].items()):
        line = [row["kl"] for row in rows]
        axes.plot(at, line, color=COLOURS[k + 2], marker=MARKERS[k], mec="white", mew=0.6)
        bound = [row["girsanov"] for row in rows]
        there = [(a, b) for a, b in zip(at, bound, strict=True) if b is not None]
        axes.plot(*zip(*there, strict=True), color=COLOURS[k + 2], lw=0.9, ls=(0, (2, 2)))
        ends.append(End(at[-1], line[-1], name, COLOURS[k + 2]))
        ends.append(End(there[-1][0], there[-1][1], "Girsanov", COLOURS[k + 2]))
    axes.set(xlabel="η", yscale="log", title="KL(truth | sampled)")
    axes.set_xticks(at, [f"{e:g}" for e in data["strengths"]])
    axes.autoscale_view()
    label_ends(axes, ends, size=8)


# the claims


def _amplified(data: Data) -> Measured:
    k = data["deltas"].index(0.1)
    away = {
        eta: abs(row[k] - math.sqrt(NARROW))
        for eta, row in zip(data["etas"], data["widths"], strict=True)
    }
    ratio = away[0.0] / away[1.0]
    text = f"delta = 0.1: width off by {away[0.0]:.4f} (ODE), {away[1.0]:.4f} (SDE): {ratio:.2f} ×"
    return Measured(text, judge(ratio, ratio, least=1.0))


def _bounded(data: Data) -> Measured:
    rows = [*data["growth"], *(row for kind in data["kinds"].values() for row in kind)]
    worst = max(row["gap"] / row["gap_bound"] for row in rows if row["gap_bound"])
    loose = min(row["gap"] / row["gap_bound"] for row in rows if row["gap_bound"])
    text = f"distance over bound from {loose:.2g} to {worst:.2g}, {len(rows)} cases"
    return Measured(text, judge(-worst, -worst, least=-1.0))


def _girsanov(data: Data) -> Measured:
    rows = [row for kind in data["kinds"].values() for row in kind if row["girsanov"]]
    worst = max(row["kl"] / row["girsanov"] for row in rows)
    return Measured(f"at most {worst:.2g} of the bound", judge(-worst, -worst, least=-1.0))


def _best(data: Data) -> Measured:
    best = [
        min((r["girsanov"], e) for r, e in zip(rows, data["strengths"], strict=True)
            if r["girsanov"])[1]
        for rows in data["kinds"].values()
    ]  # fmt: skip
    text = "bound least at eta = " + ", ".join(f"{e:g}" for e in best)
    return Measured(text, "holds" if set(best) == {1.0} else "does not hold")


def _always(data: Data) -> Measured:
    ratios = {}
    for name, rows in data["kinds"].items():
        found = {e: row["kl"] for e, row in zip(data["strengths"], rows, strict=True)}
        ratios[name] = found[0.0] / found[1.0]
    text = "KL of the ODE over that of the SDE: " + ", ".join(
        f"{value:.2g} ({name})" for name, value in ratios.items()
    )
    return Measured(text, judge(*[min(ratios.values())] * 2, least=1.0))


_DEVENEY = "Deveney et al. 2023, arXiv:2311.15996"
_SONG = "Song, Durkan, Murray & Ermon 2021, arXiv:2101.09258"
CLAIMS = (
    Claim("the ODE amplifies a scaled score more than the SDE", "closed form", _amplified),
    Claim("the gap of ODE and SDE is bounded by the error of the score", _DEVENEY, _bounded),
    Claim("KL is at most the integral of the squared error of the score", _SONG, _girsanov),
    Claim("of all eta the bound is least at the reverse SDE", "its derivative in eta", _best),
    Claim("the SDE suffers less from an error than the ODE", "what one might conclude", _always),
)
