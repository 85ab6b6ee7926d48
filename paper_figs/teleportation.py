"""How Gaussian a diffusion is: what may be skipped, when features appear, where paths lie.

Left the error of DPM-Solver++(2M), 40 steps, after its first steps are replaced by the closed flow
of the Gaussian with mean and covariance of the data. Middle the lam at which each principal
component of the digits appears in the data prediction, against its width. Right one trajectory
seen in the plane of its end and its start.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..analysis.paired import sample
from ..solvers.fitted.gaussian_flow import GaussianStatistics, emergence, plane_share, teleport
from ..solvers.fitted.statistics_v3 import flow_states
from ..solvers.grids import uniform_lam
from ..solvers.registry import get
from ..toy_models.problems import Problem
from ..toy_models.problems import problem as reference_problem
from .cache import Data
from .figure import COLOURS, INK, SOFT, Claim, Measured, judge, progress

SKIPS = (0, 4, 8, 10, 12, 14, 16, 18, 20, 24, 28, 32)
STEPS = 40
LAWS = {"digits-mixture": "digits, ten Gaussians", "mixture": "five Gaussians, d = 2"}
EMERGING = {"digits-gaussian": "one Gaussian", "digits-mixture": "ten Gaussians"}
NARROWEST = 0.05
_WANG = "Wang & Vastola 2024, arXiv:2412.09726"
_PAINTERS = "Wang & Vastola 2023, arXiv:2303.02490"


def data(*, skips: Sequence[int] = SKIPS, batch: int = 64) -> Data:
    """Errors after skips, times of emergence, deviation of states, and one trajectory."""
    out: Data = {"skips": list(skips), "steps": STEPS, "batch": batch}
    out["errors"] = {name: _skipped(reference_problem(name), skips, batch) for name in LAWS}
    out["emergence"] = {name: _emerging(name) for name in progress(list(EMERGING), "emergence")}
    out["plane"] = _plane(reference_problem("digits-mixture"))
    out["deviation"] = _deviation(reference_problem("mixture"))
    return out


def _statistics(p: Problem) -> GaussianStatistics:
    return GaussianStatistics.from_moments(p.law.mean, p.law.cov)


def _skipped(p: Problem, skips: Sequence[int], batch: int) -> dict[str, Any]:
    """Root mean square over starts and coordinates, in standard deviations of the data."""
    found, x = _statistics(p), p.starts(batch, seed=2)
    grid = uniform_lam(p.process, p.lam_start, p.lam_end).grid(STEPS)
    unit, truth = float(p.law.cov.diagonal().mean().sqrt()), p.endpoint(x)
    whole = sample(get("dpmpp_2m"), p.model(), p.process, grid, x)
    errors: dict[str, list[float]] = {"to_whole": [], "to_truth": []}
    for k in skips:
        options = {"statistics": found, "lam": grid[k].lam}
        got = sample(get("teleport_2m"), p.model(), p.process, grid, x, **options)
        for key, other in (("to_whole", whole), ("to_truth", truth)):
            errors[key].append(float((got - other).square().mean().sqrt()) / unit)
    return errors | {"unit": unit}


def _emerging(name: str) -> dict[str, list[float]]:
    p = reference_problem(name)
    found, lams = _statistics(p), np.linspace(-4.0, 5.0, 91)
    states = flow_states(p.model(), p.process, lams, p.starts(64, seed=3))
    rows = []
    for lam, x in zip(lams, states, strict=True):
        d = p.model()(x, p.process.node_at_lam(lam).t) - found.mean
        rows.append((d @ found.basis).square().mean(0).sqrt().numpy())
    times, widths = emergence(lams, np.stack(rows)), found.variances.sqrt().numpy()
    wide = widths > NARROWEST
    return {"width": widths[wide].round(5).tolist(), "lam": times[wide].round(4).tolist()}


def _plane(p: Problem) -> dict[str, Any]:
    """Coordinates of one trajectory along its end and the part of its start orthogonal to it."""
    lams = np.linspace(p.lam_start, p.lam_end, 41)
    states = flow_states(p.model(), p.process, lams, p.starts(16, seed=3))
    share = plane_share(states)
    path = np.stack([x[0].numpy() for x in states])
    end = path[-1] / np.linalg.norm(path[-1])
    noise = path[0] - (path[0] @ end) * end
    noise /= np.linalg.norm(noise)
    coordinates = [[float(v @ end), float(v @ noise)] for v in path]
    nodes = [p.process.node_at_lam(lam) for lam in lams]
    mixed = [[n.alpha, n.sigma] for n in nodes]
    return {"path": coordinates, "levels": mixed, "shares": [round(float(s), 6) for s in share]}


def _deviation(p: Problem) -> dict[str, list[float]]:
    """How far the Gaussian flow has left the flow of the mixture, by lam."""
    lams, x = np.linspace(-4.0, -1.0, 25), p.starts(256, seed=3)
    exact = flow_states(p.model(), p.process, np.linspace(-4.0, -1.0, 193), x)[::8]
    found, gaps = _statistics(p), []
    for lam, state in zip(lams[1:], exact[1:], strict=True):
        moved = teleport(x, found, p.start, p.process.node_at_lam(lam))
        gaps.append(float((moved - state).square().mean().sqrt()))
    return {"lam": lams[1:].tolist(), "gap": gaps}


# the picture


def draw(data: Data) -> Figure:
    """Three panels."""
    figure = Figure(figsize=(11.0, 4.9))
    places = figure.add_gridspec(1, 3, left=0.065, right=0.96, top=0.77, bottom=0.13, wspace=0.42)
    _draw_skips(figure.add_subplot(places[0]), data)
    _draw_emergence(figure.add_subplot(places[1]), data)
    _draw_plane(figure.add_subplot(places[2]), data)
    figure.text(0.065, 0.925, "The first third is Gaussian", size=17, weight="bold")
    about = "Exact denoisers; the flow of a Gaussian with the data's mean and covariance is closed"
    figure.text(0.065, 0.865, about, size=9.5, color=SOFT)
    return figure


def _draw_skips(axes: Axes, data: Data) -> None:
    fraction = 100 * np.array(data["skips"]) / data["steps"]
    axes.set(yscale="log", xlim=(0, float(fraction.max())))
    for k, (name, words) in enumerate(LAWS.items()):
        row = data["errors"][name]
        shown = fraction > 0
        heights = np.array(row["to_whole"])[shown]
        axes.plot(fraction[shown], heights, color=COLOURS[k], marker="o", mec="white", mew=0.6)
        axes.plot(fraction, row["to_truth"], color=COLOURS[k], ls=(0, (4, 2)), lw=1.0)
        axes.plot([], [], color=COLOURS[k], label=words)
    axes.axhline(0.01, color=SOFT, lw=0.8)
    axes.legend(loc="lower right")
    axes.set_title("Error after skipping (dashed: in all)")
    axes.set_xlabel("steps skipped, %")
    axes.set_ylabel("rms, in standard deviations of the data")


def _draw_emergence(axes: Axes, data: Data) -> None:
    for k, (name, words) in enumerate(EMERGING.items()):
        row = data["emergence"][name]
        axes.plot(-np.log(row["width"]), row["lam"], ".", color=COLOURS[k], ms=5, label=words)
    ends = axes.get_xlim()
    axes.plot(ends, ends, color=SOFT, lw=0.9, zorder=0)
    axes.legend(loc="upper left")
    axes.set_title("When a principal component appears")
    axes.set_xlabel("−log of its width")
    axes.set_ylabel("λ at half of its power")


def _draw_plane(axes: Axes, data: Data) -> None:
    path = np.array(data["plane"]["path"])
    axes.plot(path[:, 0], path[:, 1], color=COLOURS[0], marker="o", mec="white", mew=0.5, ms=4)
    levels = np.array(data["plane"]["levels"])
    turned = levels @ np.stack([path[-1], path[0]])  # alpha x_0 + sigma x_T
    axes.plot(turned[:, 0], turned[:, 1], color=SOFT, ls=(0, (4, 2)), lw=1.0)
    axes.annotate("noise", path[0], (6, 4), textcoords="offset points", color=INK)
    axes.annotate("data", path[-1], (-4, 8), textcoords="offset points", color=INK, ha="right")
    axes.set_title("A path (dashed: $αx_0+σx_T$)")
    axes.set_xlabel("along its end")
    axes.set_ylabel("along its start")


# the claims


def _skip(data: Data) -> Measured:
    found = {}
    for name in data["errors"]:
        for k, error in zip(data["skips"], data["errors"][name]["to_whole"], strict=True):
            if k == 0.3 * data["steps"]:
                found[name] = error
    words = ", ".join(f"{100 * e:.2g} % on {LAWS[name]}" for name, e in found.items())
    worst = max(found.values())
    return Measured(f"change after skipping 30 %: {words}", judge(-worst, -worst, least=-0.01))


def _slope(x: Sequence[float], y: Sequence[float]) -> tuple[float, float]:
    """Slope of y in x, and its standard error."""
    a, b = np.asarray(x), np.asarray(y)
    (slope, _), cov = np.polyfit(a, b, 1, cov=True)
    return float(slope), float(np.sqrt(cov[0, 0]))


def _emerge(data: Data, name: str) -> Measured:
    row = data["emergence"][name]
    slope, error = _slope([-np.log(w) for w in row["width"]], row["lam"])
    gap = abs(slope - 1)
    text = f"slope {slope:.3f} ± {error:.3f} over {len(row['lam'])} components"
    return Measured(text, judge(-gap - error, -gap + error, least=-0.05))


def _two_planes(data: Data) -> Measured:
    least = min(data["plane"]["shares"])
    text = f"share of two components, least of {len(data['plane']['shares'])}: {least:.4f}"
    return Measured(text, judge(least, least, least=0.99))


def _cubic(data: Data) -> Measured:
    row = data["deviation"]
    # not from the very start, where the two flows are still together by construction
    both = zip(row["lam"], row["gap"], strict=True)
    chosen = [(lam, gap) for lam, gap in both if -3.0 <= lam <= -1.5 and gap > 0]
    slope, error = _slope([lam for lam, _ in chosen], [float(np.log(g)) for _, g in chosen])
    text = f"the deviation grows like e^({slope:.2f} λ) (± {error:.2f})"
    return Measured(text, judge(slope - error, slope + error, least=2.75))


CLAIMS = (
    Claim("15 to 30 % of the steps can be skipped unharmed: below 1 % of the data", _WANG, _skip),
    Claim(
        "components of a Gaussian appear at λ = −log c: slope 1 within 0.05", _PAINTERS,
        lambda data: _emerge(data, "digits-gaussian"),
    ),
    Claim(
        "and so they do where the data are no Gaussian", _PAINTERS,
        lambda data: _emerge(data, "digits-mixture"),
    ),
    Claim(
        "a trajectory is a rotation in a plane: two components hold 99 %", _PAINTERS, _two_planes,
    ),
    Claim(
        "at high noise the state leaves the Gaussian flow like the cube of α/σ", _WANG, _cubic,
    ),
)  # fmt: skip
