"""Telling samples of another law apart: one norm of a score, or the mean of scores at all levels.

A mixture in the plane, and the same shifted. Each sample is judged alone: by the norm of one score
of one noised copy, and by the kernel discrepancy of its expected perturbation score (EPS) from
those of natural samples. Left and middle, rates of detection by rates of false alarm, for three
horizons T; right, the share of the pairs that are ordered rightly (AUC) by T, also of EPS from
one time and one noise, and of the points themselves without any model.
"""

from __future__ import annotations

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ..analysis.statistics import perturbation_score
from ..analysis.two_samples import median_distance
from ..solvers.schedules import VPLinear
from ..toy_models.law import Law
from ..toy_models.problems import problem
from .cache import Data
from .figure import COLOURS, MARKERS, SOFT, Claim, Measured, judge, progress

UNIT = VPLinear(6.0, 6.0)
"""``f = -1/2, g = 1`` up to T = 6; horizons below are in units in which g = 1."""
HORIZONS = (0.05, 0.2, 0.5, 1.5, 3.0, 6.0)
SHOWN = (0.05, 0.5, 3.0)
SHIFT = (0.6, -0.6)
_ZHANG = "Zhang et al. 2023, arXiv:2305.16035"


def data(*, natural: int = 400, judged: int = 400, seed: int = 0) -> Data:
    """Statistics of natural and of shifted samples, by horizon and method."""
    law = problem("mixture").law
    one, two, ref = (law.sample(n, seed=seed + k) for k, n in enumerate((judged, judged, natural)))
    other = two + torch.tensor(SHIFT).to(two)
    rows = {}
    for t in progress(HORIZONS, "horizons"):
        rows[f"{t:g}"] = {
            "EPS": _judged(law, t, ref, one, other, 16),
            "EPS, one draw": _judged(law, t, ref, one, other, 1),
            "one score": _norms(law, t, one, other, seed),
        }
    return {
        "rows": rows, "points": _auc(*(_distance(ref, x) for x in (one, other))),
        "judged": judged,
    }  # fmt: skip


def _judged(law: Law, t: float, ref: Tensor, one: Tensor, other: Tensor, draws: int) -> dict:
    """Discrepancy of each sample's EPS from those of the reference; different noises for all."""
    paired = draws > 1
    levels = 10 if paired else 1
    found = [
        perturbation_score(
            law, UNIT, x, t / 6, seed=7, levels=levels, draws=draws, paired=paired, first=k * 10**6
        )
        for k, x in enumerate((ref, one, other))
    ]
    return _curve(_distance(found[0], found[1]), _distance(found[0], found[2]))


def _distance(ref: Tensor, x: Tensor) -> np.ndarray:
    """MMD^2 of a point from the reference, up to a constant: minus the mean kernel."""
    half = len(ref) // 2
    width = median_distance(ref[:half], ref[half:])
    apart = torch.cdist(x, ref).square()
    return -torch.exp(-apart / (2 * width**2)).mean(1).numpy()


def _norms(law: Law, t: float, one: Tensor, other: Tensor, seed: int) -> dict:
    """Norm of the score of one noised copy at the level T."""
    node, values = UNIT.node(t / 6), []
    for k, x in enumerate((one, other)):
        draws = np.random.default_rng([seed, 9, k]).standard_normal(x.shape)
        moved = node.alpha * x + node.sigma * torch.from_numpy(draws).to(x)
        values.append(law.score(moved, node.alpha, node.sigma).norm(dim=1).numpy())
    return _curve(values[0], values[1])


def _auc(natural: np.ndarray, shifted: np.ndarray) -> float:
    """Share of pairs in which the shifted sample has the larger value."""
    return float(np.mean(shifted[:, None] > natural) + 0.5 * np.mean(shifted[:, None] == natural))


def _curve(natural: np.ndarray, shifted: np.ndarray, points: int = 41) -> dict:
    """Rates of detection at even rates of false alarm, and the AUC."""
    cuts = np.quantile(natural, 1 - np.linspace(0.0, 1.0, points))
    return {
        "roc": [float(np.mean(shifted >= c)) for c in cuts],
        "auc": _auc(natural, shifted),
    }


# the picture


def draw(data: Data) -> Figure:
    """Two families of curves, and their areas."""
    figure = Figure(figsize=(12.8, 4.8))
    sides = {"left": 0.055, "right": 0.97, "top": 0.76, "bottom": 0.14, "wspace": 0.28}
    places = figure.add_gridspec(1, 3, **sides)
    left, middle, right = (figure.add_subplot(places[k]) for k in range(3))
    _rocs(left, data, "one score", "Norm of one score at T")
    _rocs(middle, data, "EPS", "Expected perturbation score up to T")
    times = [float(t) for t in data["rows"]]
    for k, name in enumerate(("EPS", "EPS, one draw", "one score")):
        area = [row[name]["auc"] for row in data["rows"].values()]
        right.semilogx(times, area, marker=MARKERS[k], color=COLOURS[k], mec="white", label=name)
    right.axhline(data["points"], color=SOFT, lw=1, ls=(0, (3, 2)), label="points, no model")
    right.axhline(0.5, color=SOFT, lw=0.7)
    right.legend(frameon=False, fontsize=8.5)
    right.set(xlabel="T", title="Share of pairs ordered rightly", ylim=(0.35, 1.0))
    figure.text(0.055, 0.925, "Which samples are not natural?", size=17, weight="bold")
    about = f"{data['judged']} samples of a mixture and {data['judged']} shifted by {SHIFT}, "
    figure.text(0.055, 0.865, about + "each judged alone", size=9.5, color=SOFT)
    return figure


def _rocs(axes: Axes, data: Data, name: str, title: str) -> None:
    for k, t in enumerate(SHOWN):
        row = data["rows"][f"{t:g}"][name]["roc"]
        axes.plot(np.linspace(0.0, 1.0, len(row)), row, color=COLOURS[k], label=f"T = {t:g}")
    axes.plot([0, 1], [0, 1], color=SOFT, lw=0.7)
    axes.legend(frameon=False, fontsize=8.5, loc="lower right")
    axes.set(xlabel="false alarms", ylabel="detected", title=title)


# the claims


def _areas(data: Data, name: str) -> list[float]:
    return [row[name]["auc"] for row in data["rows"].values()]


def _error(data: Data) -> float:
    """Four standard errors of an area, at most."""
    return 4 * 0.5 / data["judged"] ** 0.5


def _unreliable(data: Data) -> Measured:
    areas = _areas(data, "one score")
    text = "areas " + ", ".join(f"{v:.2f}" for v in areas) + " by T"
    top = max(areas)
    return Measured(text, judge(-top - 0.0, -top, least=-0.7))


def _better(data: Data) -> Measured:
    gaps = [a - b for a, b in zip(_areas(data, "EPS"), _areas(data, "one score"), strict=True)]
    text = f"area of EPS less that of one score: {min(gaps):.2f} to {max(gaps):.2f} by T"
    e = _error(data) / 2
    return Measured(text, judge(min(gaps) - e, min(gaps) + e, least=0.0))


def _averaged(data: Data) -> Measured:
    gaps = [a - b for a, b in zip(_areas(data, "EPS"), _areas(data, "EPS, one draw"), strict=True)]
    text = f"areas fall by {min(gaps):.2f} to {max(gaps):.2f} from one time and one noise"
    e = _error(data) / 2
    return Measured(text, judge(max(gaps) - e, max(gaps) + e, least=0.05))


def _model(data: Data) -> Measured:
    best, plain = max(_areas(data, "EPS")), data["points"]
    text = f"best area {best:.3f} with the model, {plain:.3f} without"
    e = _error(data) / 2
    return Measured(text, judge(best - plain - e, best - plain + e, least=0.0))


CLAIMS = (
    Claim("the norm of a single score is an unreliable detector", _ZHANG, _unreliable),
    Claim("EPS with MMD separates better, at every T", _ZHANG, _better),
    Claim("it is the averaging of noise that does it", _ZHANG, _averaged),
    Claim("scores tell more than the points do", "what one might conclude", _model),
)
