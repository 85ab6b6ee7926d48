"""How many iterations Sinkhorn takes: as theory says on Gaussians, and what overshooting saves.

Left, two normal laws on a line (quadrature nodes): iterations that shrink the marginal error
tenfold, against the prediction from the largest canonical correlation, ``rho^2`` an iteration, and
from Young's equation where every half step overshoots. Middle, two random clouds in the plane:
iterations until the marginals are met to 1e-6. Right, the same clouds: how far the entropic costs
are from the exact one.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from ..solvers.transport.discrete import discrete_transport
from ..solvers.transport.entropic import EntropicGaussian
from ..solvers.transport.sinkhorn import sinkhorn
from ..solvers.transport.sinkhorn_divergence import sinkhorn_divergence
from ..solvers.transport.sinkhorn_relaxation import best_omega, relaxed_rate
from ..solvers.transport.sinkhorn_result import NotConvergedWarning
from .cache import Data
from .figure import COLOURS, INK, SOFT, Claim, Measured, judge, progress

EPSILONS = (2.0, 1.0, 0.5, 0.25, 0.12, 0.06)
FRACTIONS = (0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)
OVERSHOOT = 0.9  # of the best omega - 1: at the best one modes coincide and the fall is not pure
LOOSE, TIGHT = 1e-4, 1e-11
KINDS = {"plain": "plain", "overshooting": "overshooting, from the rate"}
SMALL = {
    "epsilons": (2.0, 0.5, 0.25),
    "fractions": (0.5, 0.1, 0.02, 0.01),
    "points": 128,
    "most": 3000,
}


def data(
    *,
    epsilons: Sequence[float] = EPSILONS,
    fractions: Sequence[float] = FRACTIONS,
    points: int = 256,
    most: int = 10_000,
) -> Data:
    """Iterations on Gaussians with their predictions; iterations and costs of the clouds."""
    gaussians = [_gaussian(e) for e in progress(epsilons, "Gaussians")]
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(size=(points, 2)))
    y = torch.from_numpy(0.7 * rng.normal(size=(points, 2)) + 0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotConvergedWarning)  # drawn, and left out of claims
        clouds = [_cloud(x, y, f, most) for f in progress(fractions, "clouds")]
    return {
        "epsilons": list(epsilons), "fractions": list(fractions), "points": points,
        "gaussians": gaussians, "clouds": clouds, "exact": discrete_transport(x, y).value,
    }  # fmt: skip


def _normal(mean: float, var: float, nodes: int = 200) -> tuple[Tensor, Tensor]:
    z = torch.linspace(-7.5, 7.5, nodes, dtype=torch.float64)
    w = torch.exp(-0.5 * z * z)
    return (mean + math.sqrt(var) * z)[:, None], w / w.sum()


def _gaussian(epsilon: float) -> dict[str, Any]:
    """Iterations a decade, measured and predicted, without and with overshooting."""
    (x, a), (y, b) = _normal(0.0, 1.0), _normal(1.0, 0.5)
    eta = EntropicGaussian([0.0], [[1.0]], [1.0], [[0.5]], epsilon).sinkhorn_rates()[0]
    row: dict[str, Any] = {"rate": eta}
    for kind, omega in (("plain", 1.0), ("overshooting", 1 + OVERSHOOT * (best_omega(eta) - 1))):
        counts = [
            sinkhorn(x, y, a, b, epsilon=epsilon, tolerance=t, relaxation=omega).iterations
            for t in (LOOSE, TIGHT)
        ]
        decades = math.log10(LOOSE / TIGHT)
        predicted = -1.0 / math.log10(relaxed_rate(omega, eta))
        row[kind] = {"measured": (counts[1] - counts[0]) / decades, "predicted": predicted}
    return row


def _cloud(x: Tensor, y: Tensor, fraction: float, most: int) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for kind, omega in (("plain", 1.0), ("overshooting", None)):
        plan = sinkhorn(x, y, fraction=fraction, relaxation=omega, max_iterations=most)
        row[kind] = {"iterations": plan.iterations, "converged": plan.converged}
    found = sinkhorn_divergence(x, y, fraction=fraction, max_iterations=most)
    row["converged"] = found.converged
    row |= {"divergence": float(found.value), "transport": found.across.transport()}
    return row


# the picture


def draw(data: Data) -> Figure:
    """Three panels, against epsilon."""
    figure = Figure(figsize=(12.6, 4.7))
    sides = {"left": 0.06, "right": 0.98, "top": 0.76, "bottom": 0.13, "wspace": 0.28}
    places = figure.add_gridspec(1, 3, **sides)
    left, middle, right = (figure.add_subplot(places[k]) for k in range(3))
    for colour, (kind, name) in zip((INK, COLOURS[1]), KINDS.items(), strict=True):
        rows = [g[kind] for g in data["gaussians"]]
        left.loglog(data["epsilons"], [r["predicted"] for r in rows], color=colour, lw=1.2)
        left.loglog(data["epsilons"], [r["measured"] for r in rows], "o", color=colour)
        rows = [c[kind] for c in data["clouds"]]
        counts = [r["iterations"] for r in rows]
        middle.loglog(data["fractions"], counts, color=colour, label=name)
        for f, r in zip(data["fractions"], rows, strict=True):
            face = colour if r["converged"] else "white"
            middle.loglog([f], [r["iterations"]], "o", color=colour, mfc=face)
    left.set(xlabel="epsilon", title="Iterations a decade; lines: predicted")
    middle.set(xlabel="epsilon / mean cost", title="Iterations to 1e-6; hollow: not reached")
    middle.legend(frameon=False, fontsize=8.5)
    for colour, (kind, name) in zip(
        COLOURS, (("transport", "<c, P>"), ("divergence", "divergence")), strict=False
    ):
        bias = [abs(c[kind] / data["exact"] - 1.0) for c in data["clouds"]]
        right.loglog(data["fractions"], bias, "o-", color=colour, label=name)
    right.set(xlabel="epsilon / mean cost", title="Relative distance to the exact cost")
    right.legend(frameon=False, fontsize=8.5)
    figure.text(0.06, 0.92, "Sinkhorn's iterations can be counted beforehand", size=17,
                weight="bold")  # fmt: skip
    about = f"N(0, 1) to N(1, 1/2) on a line; two clouds of {data['points']} points in the plane"
    figure.text(0.06, 0.86, about, size=9.5, color=SOFT)
    return figure


# the claims


def _predicted(data: Data, kind: str) -> Measured:
    off = [abs(g[kind]["measured"] / g[kind]["predicted"] - 1.0) for g in data["gaussians"]]
    text = f"iterations a decade are at most {100 * max(off):.1f} % from the prediction"
    return Measured(text, judge(-max(off), -max(off), least=-0.1))


def _saving(data: Data) -> Measured:
    gains = [
        (f, c["plain"]["iterations"] / c["overshooting"]["iterations"])
        for f, c in zip(data["fractions"], data["clouds"], strict=True)
        if c["plain"]["converged"] and c["overshooting"]["converged"]
    ]
    rises = [b / a for (_, a), (_, b) in itertools.pairwise(gains)]
    text = ", ".join(f"{g:.1f} times fewer at {f:g}" for f, g in gains)
    least = min(rises, default=math.nan)
    return Measured(f"where both converge: {text}", judge(least, least, least=1.0))


def _debiased(data: Data) -> Measured:
    pairs = [
        (abs(c["divergence"] / data["exact"] - 1.0), abs(c["transport"] / data["exact"] - 1.0))
        for c in data["clouds"]
    ]
    wins = sum(s < t for s, t in pairs)
    text = f"the divergence is nearer for {wins} of {len(pairs)} epsilons"
    return Measured(text, "holds" if wins == len(pairs) else "does not hold")


_THIBAULT = "Thibault, Chizat, Dossal & Papadakis 2017, arXiv:1711.01851"
CLAIMS = (
    Claim(
        "on Gaussians Sinkhorn's error falls by the squared canonical correlation an iteration",
        "Gaussian Sinkhorn recursion",
        lambda data: _predicted(data, "plain"),
    ),
    Claim(
        "with overshooting the local rate is the one of Young's equation",
        _THIBAULT,
        lambda data: _predicted(data, "overshooting"),
    ),
    Claim("overshooting saves the more, the smaller epsilon is", _THIBAULT, _saving),
    Claim(
        "the divergence is nearer to the unregularised cost than the cost of the entropic plan",
        "Feydy et al. 2019, arXiv:1810.08278",
        _debiased,
    ),
)
