"""Information through denoising: areas under the error of the best denoiser.

All is exact, in dimension one. Left, half of snr times the mmse over log snr, so that the area is
the information. Middle, that area up to each snr, against the entropy of the observation, which
knows nothing of denoisers. Right, the logarithm of p(x|c)/p(x) of a mixture from the difference of
two denoising errors, against the densities.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..analysis.information import (
    direct_information,
    information_curve,
    mmse,
    pointwise_information,
)
from ..toy_models.empirical import Empirical
from ..toy_models.gaussian import Gaussian
from ..toy_models.guided import restricted
from ..toy_models.mixture import GaussianMixture
from .cache import Data
from .figure import COLOURS, MARKERS, SOFT, Claim, Measured, judge
from .labels import End, label_ends

LOGS = tuple(float(v) for v in np.round(np.linspace(-6.0, 5.5, 24), 6))
POINTS = tuple(float(v) for v in np.round(np.linspace(-2.2, 2.6, 13), 6))


def _tensor(value: object) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64)


def _laws() -> dict[str, tuple[Any, tuple[float, float]]]:
    """Laws of variance 1, and intervals that hold them."""
    four = _tensor([-3.0, -1.0, 1.0, 3.0])[:, None] / math.sqrt(5.0)
    return {
        "normal": (Gaussian(_tensor([0.0]), _tensor([[1.0]])), (-9.0, 9.0)),
        "4 points": (Empirical(four), (-1.4, 1.4)),
        "2 points": (Empirical(_tensor([[-1.0], [1.0]])), (-1.0, 1.0)),
    }


def _mixture() -> GaussianMixture:
    return GaussianMixture(_tensor([0.3, 0.7]), _tensor([[-1.0], [1.2]]), _tensor([[0.2], [0.5]]))


def data(*, logs: Sequence[float] = LOGS, points: Sequence[float] = POINTS) -> Data:
    """Errors, areas and ratios; quadrature to rounding."""
    curves = {}
    for name, (law, ends) in _laws().items():
        snrs = [math.exp(v) for v in logs]
        curves[name] = {
            "mmse": [mmse(law, r, ends) for r in snrs],
            "area": information_curve(law, snrs, ends),
            "direct": [direct_information(law, r, ends) for r in snrs],
        }
    law = _mixture()
    x = _tensor(list(points))[:, None]
    ratios = {}
    for k in range(2):
        told = restricted(law, [k])
        ratios[str(k)] = {
            "denoisers": pointwise_information(law, told, x).tolist(),
            "densities": (told.log_density(x) - law.log_density(x)).tolist(),
        }
    return {"logs": list(logs), "curves": curves, "points": list(points), "ratios": ratios}


# the picture


def draw(data: Data) -> Figure:
    """Errors, areas, ratios."""
    figure = Figure(figsize=(12.8, 4.7))
    sides = {"left": 0.055, "right": 0.93, "top": 0.76, "bottom": 0.14, "wspace": 0.36}
    places = figure.add_gridspec(1, 3, **sides)
    left, middle, right = (figure.add_subplot(places[k]) for k in range(3))
    _errors(left, data)
    _areas(middle, data)
    for k, (name, row) in enumerate(data["ratios"].items()):
        right.plot(data["points"], row["densities"], color=COLOURS[k], label=f"component {name}")
        right.plot(
            data["points"], row["denoisers"], MARKERS[k], color=COLOURS[k], ms=4, mec="white"
        )
    right.legend(frameon=False, fontsize=8.5)
    right.set(xlabel="x", title="log p(x|c)/p(x): lines exact, marks denoised")
    figure.text(0.055, 0.925, "Information is denoising, added up", size=17, weight="bold")
    about = "Laws of variance 1 seen through x₀ √snr + ε; nats"
    figure.text(0.055, 0.865, about, size=9.5, color=SOFT)
    return figure


def _errors(axes: Axes, data: Data) -> None:
    for k, (name, row) in enumerate(data["curves"].items()):
        height = [0.5 * math.exp(v) * m for v, m in zip(data["logs"], row["mmse"], strict=True)]
        axes.plot(data["logs"], height, color=COLOURS[k], label=name)
        axes.fill_between(data["logs"], height, color=COLOURS[k], alpha=0.1, lw=0)
    axes.legend(frameon=False, fontsize=8.5)
    axes.set(xlabel="log snr = 2 lam", title="½ snr · mmse: the area is information")


def _areas(axes: Axes, data: Data) -> None:
    ends = []
    for k, (name, row) in enumerate(data["curves"].items()):
        axes.plot(data["logs"], row["direct"], color=COLOURS[k])
        axes.plot(data["logs"], row["area"], MARKERS[k], color=COLOURS[k], ms=4, mec="white")
        ends.append(End(data["logs"][-1], row["direct"][-1], name, COLOURS[k]))
    for count in (2, 4):
        axes.axhline(math.log(count), color=SOFT, lw=0.7, ls=(0, (2, 2)))
    axes.set(xlabel="log snr", title="Information: marks areas, lines entropies")
    axes.autoscale_view()
    label_ends(axes, ends)


# the claims


def _identity(data: Data) -> Measured:
    gaps = [
        abs(a - b)
        for row in data["curves"].values()
        for a, b in zip(row["area"], row["direct"], strict=True)
    ]
    text = f"area and entropy differ by at most {max(gaps):.1g}, {len(gaps)} cases"
    return Measured(text, judge(-max(gaps), -max(gaps), least=-1e-8))


def _atoms(data: Data) -> Measured:
    off = {n: data["curves"][f"{n} points"]["area"][-1] - math.log(n) for n in (2, 4)}
    text = "area minus log K: " + ", ".join(f"{v:.1g} for K = {n}" for n, v in off.items())
    worst = max(abs(v) for v in off.values())
    return Measured(text, judge(-worst, -worst, least=-1e-8))


def _hardest(data: Data) -> Measured:
    normal = data["curves"]["normal"]["mmse"]
    others = [row["mmse"] for name, row in data["curves"].items() if name != "normal"]
    worst = max(o / n for row in others for o, n in zip(row, normal, strict=True))
    text = f"other laws have at most {worst:.6f} of its error"
    return Measured(text, judge(-worst, -worst, least=-1.0 - 1e-9))


def _ratio(data: Data) -> Measured:
    gaps = [
        abs(a - b)
        for row in data["ratios"].values()
        for a, b in zip(row["denoisers"], row["densities"], strict=True)
    ]
    text = f"at most {max(gaps):.1g} apart at {len(gaps)} points"
    return Measured(text, judge(-max(gaps), -max(gaps), least=-1e-5))


_GUO = "Guo, Shamai & Verdú 2005, arXiv:cs/0412108"
_KONG = "Kong, Brekelmans & Ver Steeg 2023, arXiv:2302.03792; Dewan et al. 2024, arXiv:2406.05191"
CLAIMS = (
    Claim("information is half the integral of the mmse over the snr", _GUO, _identity),
    Claim("K equal atoms hold log K in all", _GUO, _atoms),
    Claim("of one variance the normal law is the hardest to denoise", _GUO, _hardest),
    Claim("a ratio of densities is a difference of denoising errors", _KONG, _ratio),
)
