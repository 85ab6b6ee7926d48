"""How two iterations reach a Schrodinger bridge: exact iterates, and the same learned.

N(-a, 1) to N(a, 1) with a = 0.1 and unit noise, d independent coordinates: the problem on which
DSBM was shown. Its answer has ``Cov(X_0, X_1) = (5^{1/2} - 1)/2`` in every coordinate. Left the
covariance after each half-step of iterative Markovian fitting (IMF) and proportional fitting
(IPF), exact and learned from samples by lines; right the exact errors and their rates.
"""

from __future__ import annotations

import math
from itertools import islice
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..solvers.transport.entropic import EntropicGaussian
from ..solvers.transport.gaussian_bridge import GaussianBridge
from ..solvers.transport.gaussian_iterations import imf, ipf
from ..solvers.transport.matching import LinearLearner, Source, dsbm
from .cache import Data
from .figure import COLOURS, MARKERS, SOFT, Claim, Measured, judge, progress

GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0
A = 0.1
TITLES = {"imf": "IMF", "ipf": "IPF"}
STARTS = {"imf": "independent", "ipf": "reference"}
_SHI = "Shi, De Bortoli, Campbell & Doucet 2023, arXiv:2303.16852"
_JANATI = "Janati, Muzellec, Peyre & Cuturi 2020, arXiv:2006.02572"


def data(*, halves: int = 9, dim: int = 5, samples: int = 4000, steps: int = 30) -> Data:
    """Exact iterates in one coordinate, learned ones in ``dim``, all coordinates kept."""
    bridge = GaussianBridge([-A], [[1.0]], [A], [[1.0]])
    exact = {
        "imf": [float(c[0, 0]) for c in islice(imf(bridge), halves)],
        "ipf": [float(c[1][0, 0]) for c in islice(ipf(bridge), halves)],
    }
    rates = EntropicGaussian([-A], [[1.0]], [A], [[1.0]], 2.0).sinkhorn_rates()
    learned: dict[str, Any] = {}
    for name in progress(list(TITLES), "iterations"):
        found = dsbm(
            _normal(-A, dim), _normal(A, dim), 1.0, LinearLearner(steps),
            samples=samples, steps=steps, start=STARTS[name], seed=0,
        )  # fmt: skip
        pairs = list(islice(found, halves))
        learned[name] = {
            "cross": [h.cross().diagonal().tolist() for h in pairs],
            "mean": [h.x1.mean(0).tolist() for h in pairs],
            "var": [h.x1.var(0).tolist() for h in pairs],
        }
    return {"exact": exact, "rates": list(rates), "learned": learned, "dim": dim, "steps": steps}


def _normal(mean: float, dim: int) -> Source:
    def draw(n: int, generator: torch.Generator) -> torch.Tensor:
        return mean + torch.randn(n, dim, generator=generator, dtype=torch.float64)

    return draw


# the picture


def draw(data: Data) -> Figure:
    """Two panels."""
    figure = Figure(figsize=(9.6, 4.6))
    places = figure.add_gridspec(1, 2, left=0.075, right=0.97, top=0.76, bottom=0.13, wspace=0.27)
    _draw_iterates(figure.add_subplot(places[0]), data)
    _draw_errors(figure.add_subplot(places[1]), data)
    figure.text(0.075, 0.92, "Two ways to one bridge", size=17, weight="bold")
    about = (
        f"Lines: exact.  Marks: learned in {data['dim']} coordinates with {data['steps']} steps, "
        "mean and spread"
    )
    figure.text(0.075, 0.855, about, size=9.5, color=SOFT)
    return figure


def _draw_iterates(axes: Axes, data: Data) -> None:
    axes.axhline(GOLDEN, color=SOFT, lw=0.8)
    for k, (name, words) in enumerate(TITLES.items()):
        exact, found = data["exact"][name], np.array(data["learned"][name]["cross"])
        axes.plot(exact, color=COLOURS[k], lw=1.2, label=words)
        axes.errorbar(
            range(len(found)), found.mean(1), found.std(1), color=COLOURS[k], ls="",
            marker=MARKERS[k], ms=5, mec="white", mew=0.5, capsize=2,
        )  # fmt: skip
    axes.set(title="Covariance of the ends", xlabel="half-steps", ylim=(-0.05, 1.1))
    axes.legend()


def _draw_errors(axes: Axes, data: Data) -> None:
    for k, (name, words) in enumerate(TITLES.items()):
        gaps = np.abs(np.array(data["exact"][name]) - GOLDEN)
        label = f"{words}: a factor {_rate(gaps):.3f}"
        axes.semilogy(gaps, color=COLOURS[k], marker=MARKERS[k], mec="white", label=label)
    axes.legend(loc="lower left")
    axes.set(title="Exact error of the covariance", xlabel="half-steps")


# the claims


def _rate(gaps: np.ndarray) -> float:
    """The factor of the error a half-step, over the later half of the iterates."""
    later = len(gaps) // 2
    return float((gaps[-1] / gaps[later]) ** (1 / (len(gaps) - 1 - later)))


def _limit(data: Data) -> Measured:
    gap = abs(data["exact"]["imf"][-1] - GOLDEN)
    return Measured(f"exact IMF: off by {gap:.1g}", judge(-gap, -gap, least=-1e-6))


def _one_end(data: Data) -> Measured:
    moments = data["learned"]["imf"]
    bias = [np.array(moments["mean"][k]) - A for k in (1, -1)]
    widths = [np.array(moments["var"][k]) - 1.0 for k in (1, -1)]
    worst = max(float(np.abs(v.mean())) for v in (*bias, *widths))
    text = f"second end, worst error of mean or variance, averaged over coordinates: {worst:.3f}"
    return Measured(text, judge(-worst - 0.01, -worst + 0.01, least=-0.05))


def _follows(data: Data) -> Measured:
    gaps = [
        float(np.abs(np.array(data["learned"][n]["cross"]).mean(1) - data["exact"][n]).max())
        for n in TITLES
    ]
    text = f"learned against exact covariance, worst half-step: {gaps[0]:.3f} and {gaps[1]:.3f}"
    return Measured(text, judge(-max(gaps), -max(gaps), least=-0.05))


def _ipf_rate(data: Data) -> Measured:
    gaps = np.abs(np.array(data["exact"]["ipf"]) - GOLDEN)
    found, wanted = _rate(gaps), data["rates"][0]
    text = f"{found:.4f} a half-step; squared correlation {wanted:.4f}"
    off = abs(found / wanted - 1)
    return Measured(text, judge(-off, -off, least=-0.02))


def _faster(data: Data) -> Measured:
    rates = [_rate(np.abs(np.array(data["exact"][n]) - GOLDEN)) for n in TITLES]
    text = f"factor of the error a half-step: IMF {rates[0]:.3f}, IPF {rates[1]:.3f}"
    return Measured(text, judge(rates[1] - rates[0], rates[1] - rates[0], least=0.0))


CLAIMS = (
    Claim("IMF converges to the Schrödinger bridge: its covariance is the golden ratio less 1",
          _SHI, _limit),
    Claim("each half-step keeps both ends, up to its steps", _SHI, _one_end),
    Claim("learned half-steps follow IMF and, started at the reference, IPF", _SHI, _follows),
    Claim("errors of IPF shrink by the squared correlation of the ends", _JANATI, _ipf_rate),
    Claim("IMF needs fewer iterations than IPF (here, at unit noise)", _SHI, _faster),
)  # fmt: skip
