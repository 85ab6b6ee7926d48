"""The dimension of data read from a model: by the flow, by the scores, under a gauge.

Left, of a Gaussian of rank 5 in eight dimensions, variances from 1 to 1/4, singular values of the
flow's Jacobian from noise to each level; those of tangents stay. Middle, the dimension counted at
each level for ranks 1, 3 and 5, from the flow (values above half the least deviation of the data),
from the scores (values below half of 1/sigma), and from scores with a threshold that does not
scale. Right, a gauge of growing strength between a tangent and a normal of a line in three
dimensions: what is counted, and the angle by which its normals turn; dots are arc tangents.

Scores are spectra in the limit of many samples; a circle of 3 dimensions, from drawn scores near
one place and by integration of the flow, is counted too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..analysis.gauge import turning
from ..analysis.intrinsic import (
    flow_jacobian,
    gaussian_flow_values,
    gaussian_score_spectrum,
    score_spectrum,
)
from ..toy_models.mixture import GaussianMixture
from .cache import Data
from .figure import COLOURS, INK, SOFT, Claim, Measured, judge

DIM, RANKS, LEAST = 8, (1, 3, 5), 0.25
SIGMAS = tuple(float(v) for v in np.geomspace(3.0, 0.01, 26))
NOISE = 20.0
SHARE, FIXED = 0.5, 30.0
STRENGTHS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
NEAR = 0.05
_HORVAT = "Horvat & Pfister 2024, arXiv:2402.03845"
_STANCZUK = "Stanczuk et al. 2022, arXiv:2212.12611"


def variances(rank: int) -> np.ndarray:
    """From 1 down to :data:`LEAST`, then zeros."""
    return np.concatenate([np.geomspace(1.0, LEAST, rank), np.zeros(DIM - rank)])


def data(*, sigmas: Sequence[float] = SIGMAS, strengths: Sequence[float] = STRENGTHS) -> Data:
    """Singular values and counts by level; counts and angles by the strength of a gauge."""
    rows = {}
    for rank in RANKS:
        v = variances(rank)
        values = [gaussian_flow_values(v, (1.0, NOISE), (1.0, s)) for s in sigmas]
        spectra = [gaussian_score_spectrum(np.diag(v + s * s)) for s in sigmas]
        least = 0.5 * math.sqrt(LEAST) / NOISE
        rows[str(rank)] = {
            "values": [x.tolist() for x in values],
            "flow": [int(np.sum(x > least)) for x in values],
            "scores": [DIM - s.codimension(at) for s, at in zip(spectra, sigmas, strict=True)],
            "fixed": [DIM - int(np.sum(s.values > FIXED)) for s in spectra],
        }
    return {
        "sigmas": list(sigmas), "rows": rows, "strengths": list(strengths),
        "gauged": [_gauged(c) for c in strengths], "circle": _circle(),
    }  # fmt: skip


def _gauged(c: float) -> dict[str, float]:
    """A line along the first of three axes, the gauge between it and the second."""
    a = np.zeros((3, 3))
    a[0, 1], a[1, 0] = c, -c
    cov = np.diag([1.0, 0.0, 0.0]) + NEAR**2 * np.eye(3)
    plain, stirred = gaussian_score_spectrum(cov), gaussian_score_spectrum(cov, a)
    turned = turning(plain.directions[:, :2], stirred.directions[:, :2])
    return {
        "dimension": 3 - stirred.codimension(NEAR, SHARE),
        "angle": math.degrees(turned),
        "tangent": float(stirred.values[-1]),
    }


def _circle(atoms: int = 120, sigma: float = 0.1, seed: int = 0) -> dict[str, Any]:
    """A circle in space, as many narrow Gaussians: the two counts, from draws."""
    angle = 2 * math.pi * torch.arange(atoms, dtype=torch.float64) / atoms
    means = torch.stack([angle.cos(), angle.sin(), torch.zeros_like(angle)], 1)
    weights = torch.full((atoms,), 1 / atoms, dtype=torch.float64)
    law = GaussianMixture(weights, means, torch.full((atoms, 3), 1e-4, dtype=torch.float64))
    rng = np.random.default_rng(seed)
    x = means[:1] + sigma * torch.from_numpy(rng.standard_normal((2000, 3)))
    spectrum = score_spectrum(law.score(x, 1.0, sigma))
    start = NOISE * torch.from_numpy(rng.standard_normal((2, 3)))
    jacobian = flow_jacobian(law, start, (1.0, NOISE), (1.0, 0.02), rtol=1e-6)
    values = torch.linalg.svdvals(jacobian).log().mean(0).exp() * NOISE
    return {
        "scores": 3 - spectrum.codimension(sigma, SHARE),
        "flow": int((values > 0.2).sum()),
        "values": values.tolist(),
        "spectrum": (spectrum.values * sigma).tolist(),
    }


# the picture


def draw(data: Data) -> Figure:
    """Singular values; counts; gauges."""
    figure = Figure(figsize=(13.2, 4.8))
    sides = {"left": 0.055, "right": 0.94, "top": 0.76, "bottom": 0.14, "wspace": 0.36}
    places = figure.add_gridspec(1, 3, **sides)
    left, middle, right = (figure.add_subplot(places[k]) for k in range(3))
    for k, (rank, row) in enumerate(data["rows"].items()):
        middle.semilogx(data["sigmas"], row["flow"], color=COLOURS[k])
        middle.semilogx(data["sigmas"], row["scores"], "o", color=COLOURS[k], ms=4, mec="white")
        middle.semilogx(data["sigmas"], row["fixed"], color=COLOURS[k], lw=1, ls=(0, (2, 2)))
        middle.text(
            data["sigmas"][-1] * 0.9, int(rank), f"rank {rank}", color=COLOURS[k], va="center"
        )
    rank, row = list(data["rows"].items())[-1]
    for k, line in enumerate(np.array(row["values"]).T * NOISE):
        normal = k >= int(rank)
        left.loglog(data["sigmas"], line, color=COLOURS[3 if normal else 2])
    left.plot([], [], color=COLOURS[2], label="tangents")
    left.plot([], [], color=COLOURS[3], label="normals")
    left.axhline(0.5 * math.sqrt(LEAST), color=INK, lw=0.8, ls=(0, (2, 2)))
    left.legend(frameon=False, fontsize=8.5)
    left.set(xlabel="σ, falling along the flow", title="Singular values of the flow, rank 5")
    for k, (words, look) in enumerate((("flow", "-"), ("scores", "o"), ("fixed threshold", "--"))):
        middle.plot([], [], look, color=INK, lw=(1.8, 0, 1)[k], ms=4, label=words)
    middle.legend(frameon=False, fontsize=8.5, loc="center left")
    middle.set(xlabel="σ", title=f"Dimension counted, D = {DIM}", ylim=(-0.4, DIM + 0.6))
    for axes in (left, middle):
        axes.invert_xaxis()
    _gauges(right, data)
    figure.text(0.055, 0.925, "The dimension of data, read from a model", size=17, weight="bold")
    about = "Gaussians of rank 1, 3, 5 in eight dimensions; a line in three, stirred"
    figure.text(0.055, 0.865, about, size=9.5, color=SOFT)
    return figure


def _gauges(axes: Axes, data: Data) -> None:
    c = np.array(data["strengths"])
    angle = [row["angle"] for row in data["gauged"]]
    exact = np.degrees(np.arctan(c))
    axes.plot(c, exact, ".", color=SOFT, ms=9)
    axes.plot(c, angle, color=COLOURS[1])
    axes.set_xscale("symlog", linthresh=0.5)
    axes.set(xlabel="strength c of the gauge", title="Counted normals turn, in degrees")
    axes.set_ylim(-4, 110)
    for x, y, row in zip(c, angle, data["gauged"], strict=True):
        axes.annotate(
            str(row["dimension"]), (x, y), xytext=(0, 9), textcoords="offset points",
            ha="center", color=COLOURS[0], size=10, weight="bold",
        )  # fmt: skip
    axes.text(0.03, 0.93, "bold: dimension counted (true: 1)", transform=axes.transAxes, size=8.5)


# the claims


def _saturate(data: Data) -> Measured:
    found = {}
    for rank, row in data["rows"].items():
        last = np.array(row["values"][-1]) * NOISE / np.sqrt(1 + NOISE**-2)
        k = int(rank)
        found[rank] = last[k - 1] / last[k] if k < DIM else math.inf
    text = f"least tangent over normal at σ = {data['sigmas'][-1]:g}: "
    text += ", ".join(f"{v:.3g} (rank {r})" for r, v in found.items())
    low = min(found.values())
    return Measured(text, judge(low, low, least=10.0))


def _right(data: Data, kind: str, below: float) -> float:
    """Share of the levels below a sigma at which the count is the rank."""
    good = [
        count == int(rank)
        for rank, row in data["rows"].items()
        for s, count in zip(data["sigmas"], row[kind], strict=True)
        if s < below
    ]
    return float(np.mean(good))


def _counted(data: Data) -> Measured:
    bound = 0.5 * math.sqrt(LEAST)
    shares = {kind: _right(data, kind, 0.5 * bound) for kind in ("flow", "scores")}
    circle = data["circle"]
    text = ", ".join(f"{kind} right at {100 * v:.0f}%" for kind, v in shares.items())
    text += f" of the levels below σ = {0.5 * bound:g}; a circle has {circle['flow']} by the flow"
    text += f" and {circle['scores']} by its scores"
    good = min(shares.values()) == 1.0 and circle["flow"] == circle["scores"] == 1
    return Measured(text, "holds" if good else "does not hold")


def _thresholds(data: Data) -> Measured:
    fixed, scaled = (_right(data, kind, 1.0) for kind in ("fixed", "scores"))
    text = f"right at {100 * fixed:.0f}% of the levels below σ = 1, scaled at {100 * scaled:.0f}%"
    return Measured(text, "holds" if fixed > 0.9 else "does not hold")


def _survives(data: Data) -> Measured:
    kept = [c for c, row in zip(data["strengths"], data["gauged"], strict=True)
            if row["dimension"] == 1]  # fmt: skip
    lost = [c for c in data["strengths"] if c not in kept]
    text = f"right up to c = {max(kept):g}" + (f", lost from c = {min(lost):g}" if lost else "")
    text += f"; 1/(2 σ) = {SHARE / NEAR:g}"
    return Measured(text, "does not hold" if lost else "holds")


def _turn(data: Data) -> Measured:
    gaps = [
        abs(row["angle"] - math.degrees(math.atan(c)))
        for c, row in zip(data["strengths"], data["gauged"], strict=True)
    ]
    angle = data["gauged"][2]["angle"]
    text = f"{angle:.2f} degrees at c = {data['strengths'][2]:g}; arc tangents to {max(gaps):.2g}"
    return Measured(text, judge(-angle, -angle, least=-1.0))


CLAIMS = (
    Claim("along the flow tangents saturate and normals decay like sigma", _HORVAT, _saturate),
    Claim("flow and scores count the same dimension near the data", _STANCZUK, _counted),
    Claim("one threshold serves every level of noise", "what one might think", _thresholds),
    Claim("the count survives any gauge", "what one might conclude", _survives),
    Claim("the normal plane survives it", "what one might conclude", _turn),
)  # fmt: skip
