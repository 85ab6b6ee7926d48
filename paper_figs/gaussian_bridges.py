"""Schrodinger bridges between two Gaussians: what the reference does, and what its noise does.

Three panels show the same two ends bridged for a Brownian reference, for one that pulls to the
origin and for one that rotates: ellipses of one standard deviation, and the path of the mean. The
fourth shows the coupling of the ends as the Brownian reference grows: from the optimal map to
independence.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ..solvers.transport.gaussian import GaussianMap
from ..solvers.transport.gaussian_bridge import GaussianBridge
from ..solvers.transport.reference import LinearReference, brownian, ornstein_uhlenbeck
from .cache import Data
from .figure import COLOURS, INK, SOFT, Claim, Measured, judge

MEANS = ((-2.0, 0.0), (2.0, 0.5))
COVS = (((0.8, 0.35), (0.35, 0.3)), ((0.25, -0.15), (-0.15, 0.9)))
TITLES = {"brownian": "Brownian", "ou": "pull to the origin", "rotating": "rotation"}
SIGMAS = tuple(np.geomspace(0.01, 100.0, 33).round(6).tolist())
_BUNNE = "Bunne, Hsieh, Cuturi & Krause 2023, arXiv:2202.05722"
_JANATI = "Janati, Muzellec, Peyre & Cuturi 2020, arXiv:2006.02572"


def references() -> dict[str, LinearReference]:
    """The three references of the picture, by name."""
    turn = torch.tensor([[0.0, 2.0], [-2.0, 0.0]], dtype=torch.float64)
    return {
        "brownian": brownian(2, 0.8),
        "ou": ornstein_uhlenbeck(2, 4.0, 0.8),
        "rotating": LinearReference(turn, 0.8 * torch.eye(2, dtype=torch.float64)),
    }


def data(*, sigmas: Sequence[float] = SIGMAS, times: int = 9) -> Data:
    """Laws along the three bridges, how far each drift is from a gradient, and the sweep."""
    out: Data = {"sigmas": list(sigmas), "laws": {}, "skew": {}, "beyond": {}}
    for name, reference in references().items():
        bridge = _bridge(reference)
        laws = [bridge.law(float(u)) for u in np.linspace(0, 1, times)]
        out["laws"][name] = [{"mean": m.tolist(), "cov": c.tolist()} for m, c in laws]
        out["skew"][name] = _skew(bridge.drift(_corners(), 0.4))
        out["beyond"][name] = _skew(bridge.drift(_corners(), 0.4) - reference.drift(_corners()))
    ends = _ends()
    best = ends[1] @ GaussianMap(*ends).matrix
    crosses = [_bridge(brownian(2, s)).cross for s in sigmas]
    out["from_map"] = [float((c - best).norm() / best.norm()) for c in crosses]
    out["from_none"] = [float(c.norm() / best.norm()) for c in crosses]
    out["middle"] = [float(torch.trace(_bridge(brownian(2, s)).law(0.5)[1])) for s in sigmas]
    return out


def _ends() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    m, n, a, b = (torch.tensor(v, dtype=torch.float64) for v in (*MEANS, *COVS))
    return m, a, n, b


def _bridge(reference: LinearReference) -> GaussianBridge:
    return GaussianBridge(*_ends(), reference)


def _corners() -> Tensor:
    return torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)


def _skew(values: Tensor) -> float:
    """The skew entry of the slope of an affine field, from its values at the corners."""
    slope = (values[1:] - values[0]).mT
    return abs(float(slope[0, 1] - slope[1, 0]))


# the picture


def draw(data: Data) -> Figure:
    """Four panels."""
    figure = Figure(figsize=(12.4, 4.3))
    places = figure.add_gridspec(
        1,
        4,
        left=0.045,
        right=0.985,
        top=0.75,
        bottom=0.14,
        wspace=0.26,
        width_ratios=(1, 1, 1, 1),
    )
    for k, (name, title) in enumerate(TITLES.items()):
        _draw_laws(figure.add_subplot(places[k]), data["laws"][name], title)
    _draw_sweep(figure.add_subplot(places[3]), data)
    figure.text(0.045, 0.915, "Two ends, three references", size=17, weight="bold")
    about = "Gaussian Schrödinger bridges in closed form; ellipses of one standard deviation"
    figure.text(0.045, 0.845, about, size=9.5, color=SOFT)
    return figure


def _draw_laws(axes: Axes, laws: Sequence[dict], title: str) -> None:
    angle = np.linspace(0, 2 * np.pi, 121)
    circle = np.stack([np.cos(angle), np.sin(angle)])
    for k, law in enumerate(laws):
        ring = np.array(law["mean"])[:, None] + np.linalg.cholesky(np.array(law["cov"])) @ circle
        share = k / (len(laws) - 1)
        mixed = (1 - share) * _rgb(COLOURS[0]) + share * _rgb(COLOURS[1])
        axes.plot(*ring, color=tuple(mixed), lw=2.0 if share in (0.0, 1.0) else 0.9)
    means = np.array([law["mean"] for law in laws])
    axes.plot(*means.T, color=INK, marker=".", ms=4, lw=0.9)
    axes.set(title=title, aspect="equal", xlim=(-3.6, 3.6), ylim=(-3.2, 3.2))


def _rgb(colour: str) -> np.ndarray:
    return np.array([int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)])


def _draw_sweep(axes: Axes, data: Data) -> None:
    labels = {"from_map": "from the optimal map", "from_none": "from independence"}
    for k, (key, words) in enumerate(labels.items()):
        axes.loglog(data["sigmas"], data[key], color=COLOURS[k], label=words)
    axes.set(title="Distance of the coupling", xlabel="σ of the reference")
    axes.legend(loc="lower center", fontsize=8)


# the claims


def _least_noise(data: Data) -> Measured:
    gap = data["from_map"][0]
    text = f"distance of the couplings {gap:.2g} at σ = {data['sigmas'][0]:g}, relative"
    return Measured(text, judge(-gap, -gap, least=-1e-3))


def _most_noise(data: Data) -> Measured:
    gap = data["from_none"][-1]
    text = f"norm of the coupling {gap:.2g} at σ = {data['sigmas'][-1]:g}, relative"
    return Measured(text, judge(-gap, -gap, least=-1e-3))


def _monotone(data: Data) -> Measured:
    step = float(np.diff(data["middle"]).min())
    return Measured(f"least change of the trace along σ: {step:.2g}", judge(step, step, least=0.0))


def _gradient(data: Data) -> Measured:
    worst, least = max(data["beyond"].values()), data["skew"]["rotating"]
    text = (
        f"skew part of the slope: {worst:.1g} at most; of the whole drift {least:.2g} (rotation)"
    )
    return Measured(text, judge(-worst, -worst, least=-1e-10))


CLAIMS = (
    Claim("with little noise the bridge is the optimal map", _JANATI, _least_noise),
    Claim("with much noise the ends become independent", _JANATI, _most_noise),
    Claim("half way the law is the wider the more noise the reference has", _BUNNE, _monotone),
    Claim(
        "what a bridge adds to its reference is a gradient, whatever the reference", _BUNNE,
        _gradient,
    ),
)  # fmt: skip
