"""A drift learned from snapshots: when it is found, how fast, and when it cannot be.

Left the rate of an Ornstein-Uhlenbeck process against rounds of refinement, for two, three and
five snapshots. Middle the mean path of a rotating process, bridged through four snapshots with a
Brownian and with the refined reference. Right the error of the drift of the rotating process
(solid) beside the relative entropy (dashed), when the snapshots show the rotation and when they
are stationary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..solvers.transport.multi_marginal import MultiMarginalBridge, Snapshot, snapshots
from ..solvers.transport.reference import LinearReference, brownian, ornstein_uhlenbeck
from ..solvers.transport.refinement import refine
from .cache import Data
from .figure import COLOURS, FAINT, INK, MARKERS, SOFT, Claim, Measured, judge, progress

TIMES = {"2": (0.0, 2.0), "3": (0.0, 1.0, 2.0), "5": (0.0, 0.5, 1.0, 1.5, 2.0)}
STARTS = {
    "off centre": ((2.0, 0.0), ((0.5, 0.0), (0.0, 0.25))),
    "stationary": ((0.0, 0.0), ((0.5, 0.0), (0.0, 0.5))),
}
FEW = (0.0, 0.7, 1.4, 2.1)
_SHEN = "Shen, Berlinghieri & Broderick 2024, arXiv:2408.06277"
_OURS = "this project"


def rotating() -> LinearReference:
    """A spiral into the origin, with unit noise."""
    turn = torch.tensor([[-0.6, 2.0], [-2.0, -0.6]], dtype=torch.float64)
    return LinearReference(turn, torch.eye(2, dtype=torch.float64))


def data(*, rounds: int = 15, rounds_plane: int = 15, wrong: float = 1.5) -> Data:
    """Rates, drifts and relative entropies by round; mean paths; a run with wrong noise."""
    out: Data = {"rates": {}, "plane": {}, "wrong": wrong}
    ou = ornstein_uhlenbeck(1, 1.0, 1.0)
    start = Snapshot(0.0, [2.0], [[0.25]])
    for name, times in progress(list(TIMES.items()), "snapshots"):
        found = refine(snapshots(ou, start, times), brownian(1), rounds=rounds, offset=False,
                       tolerance=1e-13)  # fmt: skip
        out["rates"][name] = [-float(r.reference.drift_matrix) for r in found.rounds]
    five = snapshots(ou, start, TIMES["5"])
    loud = refine(five, brownian(1, wrong), rounds=rounds, offset=False, tolerance=1e-9)
    out["entropy_of_wrong_noise"] = [r.entropy for r in loud.rounds]
    for name in progress(list(STARTS), "plane"):
        out["plane"][name] = _plane(name, rounds_plane)
    out["paths"] = _paths(out["plane"]["off centre"]["drift"])
    return out


def _given(name: str) -> list[Snapshot]:
    truth, (mean, cov) = rotating(), STARTS[name]
    if name == "stationary":  # of this drift: 2 * 0.6 * variance = 1
        cov = tuple(tuple(v / 0.6 for v in row) for row in cov)
    return snapshots(truth, Snapshot(0.0, mean, cov), FEW)


def _plane(name: str, rounds: int) -> dict[str, Any]:
    truth = rotating().drift_matrix
    found = refine(_given(name), brownian(2), rounds=rounds, tolerance=1e-10)
    return {
        "error": [float((r.reference.drift_matrix - truth).norm()) for r in found.rounds],
        "entropy": [max(r.entropy, 1e-16) for r in found.rounds],
        "unseen": len(found.unseen),
        "verdict": found.verdict,
        "drift": found.reference.drift_matrix.tolist(),
    }


def _paths(drift: Sequence[Sequence[float]]) -> dict[str, Any]:
    given, grid = _given("off centre"), np.linspace(0.0, FEW[-1], 64)
    start = given[0]
    eye = torch.eye(2, dtype=torch.float64)
    learned = LinearReference(torch.tensor(drift, dtype=torch.float64), eye)
    out: dict[str, Any] = {
        "true": [s.mean.tolist() for s in snapshots(rotating(), start, grid.tolist())],
        "given": [torch.as_tensor(s.mean).tolist() for s in given],
    }
    for name, reference in (("brownian", brownian(2)), ("refined", learned)):
        bridge = MultiMarginalBridge(given, reference)
        out[name] = [bridge.law(float(t))[0].tolist() for t in grid]
    return out


# the picture


def draw(data: Data) -> Figure:
    """Three panels."""
    figure = Figure(figsize=(12.0, 4.6))
    places = figure.add_gridspec(1, 3, left=0.055, right=0.985, top=0.76, bottom=0.13, wspace=0.27)
    _draw_rates(figure.add_subplot(places[0]), data)
    _draw_paths(figure.add_subplot(places[1]), data["paths"])
    _draw_plane(figure.add_subplot(places[2]), data)
    figure.text(0.055, 0.92, "What snapshots tell of a drift", size=17, weight="bold")
    about = "Bridge through all snapshots, fit the reference to it, repeat; exact, no samples"
    figure.text(0.055, 0.855, about, size=9.5, color=SOFT)
    return figure


def _draw_rates(axes: Axes, data: Data) -> None:
    for k, (name, row) in enumerate(data["rates"].items()):
        gaps = np.abs(np.array(row) - 1.0)
        axes.semilogy(gaps, color=COLOURS[k], marker=MARKERS[k], mec="white", mew=0.5, label=name)
    axes.set(title="Error of the rate of an OU process", xlabel="rounds", ylim=(1e-10, 3.0))
    axes.legend(title="snapshots")


def _draw_paths(axes: Axes, paths: dict[str, Any]) -> None:
    for name, colour, style, width in (
        ("true", FAINT, "-", 5.0), ("brownian", COLOURS[1], "-", 1.3),
        ("refined", COLOURS[0], (0, (3, 2)), 1.3),
    ):  # fmt: skip
        axes.plot(*np.array(paths[name]).T, color=colour, ls=style, lw=width, label=name)
    axes.plot(*np.array(paths["given"]).T, "o", color=INK, ms=5)
    axes.set(title="Mean path through the snapshots", aspect="equal", xlabel="x", ylabel="y")
    axes.legend()


def _draw_plane(axes: Axes, data: Data) -> None:
    for k, (name, row) in enumerate(data["plane"].items()):
        axes.semilogy(row["error"], color=COLOURS[k], marker=MARKERS[k], mec="white", label=name)
        axes.semilogy(row["entropy"], color=COLOURS[k], ls=(0, (4, 2)), lw=1.0)
    axes.set(title="Error of the drift (dashed: KL)", xlabel="rounds", ylim=(1e-10, 20.0))
    axes.legend(loc="upper right", bbox_to_anchor=(1.0, 0.82))


# the claims


def _recovers(data: Data) -> Measured:
    gaps = {name: abs(row[-1] - 1.0) for name, row in data["rates"].items()}
    worst = max(gap for name, gap in gaps.items() if name != "2")
    words = ", ".join(f"{name}: {gap:.1g}" for name, gap in gaps.items())
    return Measured(f"error of the rate by snapshots, {words}", judge(-worst, -worst, least=-1e-4))


def _more_is_faster(data: Data) -> Measured:
    at = {name: abs(row[min(5, len(row) - 1)] - 1.0) for name, row in data["rates"].items()}
    words = ", ".join(f"{name}: {gap:.1g}" for name, gap in at.items())
    good = at["2"] / max(at["3"], 1e-300), at["3"] / max(at["5"], 1e-300)
    return Measured(f"error after five rounds, {words}", judge(min(good), min(good), least=2.0))


def _falls(data: Data) -> Measured:
    rows = [row["entropy"] for row in data["plane"].values()] + [data["entropy_of_wrong_noise"]]
    steps = [np.diff(np.log(row)).max() for row in rows]
    worst = float(max(steps))
    text = f"largest change of log KL in a round: {worst:.1g}"
    return Measured(text, judge(-worst, -worst, least=-1e-6))


def _not_unique(data: Data) -> Measured:
    row = data["plane"]["stationary"]
    text = (
        f"KL {row['entropy'][-1]:.1g} with the drift off by {row['error'][-1]:.2g}; "
        f"verdict: {row['verdict']}"
    )
    seen = row["unseen"] == 1 and row["entropy"][-1] < 1e-8 and row["error"][-1] > 1.0
    return Measured(text, "holds" if seen else "does not hold")


def _wrong_noise(data: Data) -> Measured:
    left = data["entropy_of_wrong_noise"][-1]
    text = f"noise {data['wrong']:g} times too strong: KL stays at {left:.3g}"
    return Measured(text, judge(left, left, least=1e-3))


CLAIMS = (
    Claim("the true drift is recovered from three snapshots or more", _SHEN, _recovers),
    Claim("more snapshots make it converge faster", _SHEN, _more_is_faster),
    Claim("the relative entropy falls at every round", _SHEN, _falls),
    Claim(
        "KL = 0 does not mean that the drift is right: stationary snapshots hide a rotation",
        _OURS, _not_unique,
    ),
    Claim("with a wrong diffusion the relative entropy does not vanish", _OURS, _wrong_noise),
)  # fmt: skip
