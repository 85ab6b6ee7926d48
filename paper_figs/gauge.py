"""A score that is wrong everywhere and samples exactly: what a gauge changes, and what not.

The score ``s + c A s`` with A antisymmetric has the marginals of s. Left, trajectories of the flow
from the same starts, of a mixture, without and with a gauge: other ways, other ends, one density.
Middle, on a Gaussian by c: Girsanov's bound, the distance of the two couplings, and the distance
of the laws, which stays 0. Right, data on a circle in three dimensions: the singular values of the
Jacobian of the flow along the way; tangents keep their size, normals shrink like sigma.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..analysis.gauge import Gauged, gauged_denoiser, stirred_flow, turning
from ..analysis.intrinsic import flow_jacobian, gaussian_score_spectrum
from ..analysis.score_error import Moments, noised, score_budget
from ..solvers.grids import uniform_lam
from ..solvers.registry import get
from ..solvers.run import run
from ..solvers.schedules import VPLinear
from ..toy_models.law import exact_model
from ..toy_models.mixture import GaussianMixture
from ..toy_models.problems import problem as reference_problem
from .cache import Data
from .figure import COLOURS, INK, SOFT, Claim, Measured, judge
from .labels import End, label_ends

STRENGTHS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)
SHOWN = 2.0
SPAN = (-2.5, 2.5)
QUARTER = np.array([[0.0, -1.0], [1.0, 0.0]])
PLANE = Moments(np.array([0.5, -1.0]), np.array([[1.3, 0.4], [0.4, 0.3]]))
ATOMS, WIDTH = 30, 0.11
CLEAN = 2.5


def data(
    *,
    strengths: Sequence[float] = STRENGTHS,
    shown: float = SHOWN,
    paths: int = 14,
    steps: int = 80,
    levels: int = 8,
) -> Data:
    """Trajectories, bounds and distances by c, and singular values along the way."""
    lams = np.linspace(SPAN[0], CLEAN, levels).tolist()
    return {
        "shown": shown,
        "strengths": list(strengths),
        "paths": {f"{c:g}": _paths(c, paths, steps) for c in (0.0, shown)},
        "plane": [_plane(c) for c in strengths],
        "lams": lams,
        "circle": {f"{c:g}": [_circle(c, lam) for lam in lams[1:]] for c in (0.0, 0.5)},
        "tilt": _tilt(),
    }


def _paths(c: float, count: int, steps: int) -> list[list[list[float]]]:
    """Trajectories of ``x/alpha``-free states, (path, time, coordinate)."""
    process, law = VPLinear(), reference_problem("mixture").law
    model = exact_model(Gauged(law, torch.from_numpy(c * QUARTER)), process, "data")
    grid = uniform_lam(process, *SPAN).grid(steps)
    x = torch.from_numpy(np.random.default_rng(4).standard_normal((count, 2)))
    rows, every = [x], max(steps // 40, 1)
    for k in range(0, steps, every):
        part = grid.part(k, min(k + every, steps))
        rows.append(run(get("exp_rk4_data")(process, part), model, rows[-1]).x)
    return torch.stack(rows, 1).tolist()


def _plane(c: float) -> dict[str, float]:
    found = score_budget(PLANE, gauged_denoiser(PLANE, c * QUARTER), 1.0, SPAN)
    start = noised(PLANE, SPAN[0]).cov
    plain, stirred = (stirred_flow(PLANE, a * QUARTER, SPAN) for a in (0.0, c))
    apart = stirred - plain
    return {
        "girsanov": found.girsanov,
        "kl": found.kl,
        "w2": found.w2,
        "ode_w2": found.gap,
        "coupling": math.sqrt(float(np.sum((apart @ start) * apart))),
    }


def _circle(c: float, lam: float) -> list[float]:
    """Mean singular values of the flow's Jacobian from the noise to a level, largest first."""
    angle = 2 * math.pi * torch.arange(ATOMS, dtype=torch.float64) / ATOMS
    means = torch.stack([angle.cos(), angle.sin(), torch.zeros_like(angle)], 1)
    weights = torch.full((ATOMS,), 1 / ATOMS, dtype=torch.float64)
    law = GaussianMixture(weights, means, torch.full((ATOMS, 3), WIDTH**2, dtype=torch.float64))
    a = torch.zeros(3, 3, dtype=torch.float64)
    a[0, 1], a[1, 0], a[0, 2], a[2, 0] = -c, c, c, -c
    x = torch.from_numpy(np.random.default_rng(5).standard_normal((3, 3)))
    noisy = math.exp(-SPAN[0])
    ends = (1.0, noisy), (1.0, math.exp(-lam))
    jacobian = flow_jacobian(Gauged(law, a), noisy * x, *ends, rtol=1e-6)
    return torch.linalg.svdvals(jacobian).log().mean(0).exp().tolist()


def _tilt() -> dict[str, list[float] | float]:
    """A line in three dimensions at sigma 0.05: spectra of scores, the angle of the normals."""
    a = np.zeros((3, 3))
    a[0, 1], a[1, 0] = 0.5, -0.5
    cov = np.diag([1.0, 0.0, 0.0]) + 0.05**2 * np.eye(3)
    plain, stirred = gaussian_score_spectrum(cov), gaussian_score_spectrum(cov, a)
    return {
        "plain": plain.values.tolist(),
        "stirred": stirred.values.tolist(),
        "counts": [plain.codimension(0.05), stirred.codimension(0.05)],
        "angle": math.degrees(turning(plain.directions[:, :2], stirred.directions[:, :2])),
    }


# the picture


def draw(data: Data) -> Figure:
    """Trajectories; bounds by c; singular values."""
    figure = Figure(figsize=(13.2, 4.9))
    sides = {"left": 0.05, "right": 0.91, "top": 0.76, "bottom": 0.13, "wspace": 0.34}
    places = figure.add_gridspec(1, 3, **sides)
    left, middle, right = (figure.add_subplot(places[k]) for k in range(3))
    for k, (c, paths) in enumerate(data["paths"].items()):
        for path in np.array(paths):
            left.plot(*path.T, color=(INK, COLOURS[1])[k], lw=0.9, alpha=0.8)
            left.plot(*path[-1], "o", color=(INK, COLOURS[1])[k], ms=3.5)
        left.plot([], [], color=(INK, COLOURS[1])[k], label=f"c = {c}")
    left.legend(frameon=False, fontsize=8.5)
    left.set(title="Same starts, same law, other ways", aspect="equal", xlabel="x₁", ylabel="x₂")
    left.set_adjustable("datalim")
    _bounds(middle, data)
    _singular(right, data)
    figure.text(0.05, 0.925, "Wrong everywhere, and yet exact", size=17, weight="bold")
    about = "The score s + c A s with A antisymmetric: a gauge of every density"
    figure.text(0.05, 0.865, about, size=9.5, color=SOFT)
    return figure


def _bounds(axes: Axes, data: Data) -> None:
    names = {"girsanov": "Girsanov's bound", "coupling": "W₂ of couplings", "w2": "W₂ of laws"}
    ends = []
    for k, (name, words) in enumerate(names.items()):
        line = [row[name] for row in data["plane"]]
        axes.plot(data["strengths"], line, color=COLOURS[k])
        ends.append(End(data["strengths"][-1], line[-1], words, COLOURS[k]))
    axes.set_yscale("symlog", linthresh=0.1)
    axes.set(xlabel="strength c of the gauge", title="What sees it, and what does not")
    axes.set_ylim(bottom=-0.02)
    label_ends(axes, ends, size=8)


def _singular(axes: Axes, data: Data) -> None:
    ends = []
    for k, (c, rows) in enumerate(data["circle"].items()):
        style = "-" if k == 0 else (0, (3, 2))
        for j, line in enumerate(np.array(rows).T):
            axes.semilogy(data["lams"][1:], line, color=COLOURS[j], ls=style)
            if k == 0:
                words = ("tangent", "normal, in the plane", "normal")[j]
                ends.append(End(data["lams"][-1], line[-1], words, COLOURS[j]))
        axes.plot([], [], color=INK, ls=style, label=f"c = {c}")
    axes.legend(frameon=False, fontsize=8.5)
    axes.set(xlabel="lam, noise to data", title="Circle: singular values of the flow")
    axes.autoscale_view()
    label_ends(axes, ends, size=8)


# the claims


def _marginals(data: Data) -> Measured:
    worst = max(max(row["w2"], row["ode_w2"]) for row in data["plane"])
    text = f"distance of the laws at most {worst:.1g} for c up to {data['strengths'][-1]:g}"
    return Measured(text, judge(-worst, -worst, least=-1e-4))


def _vacuous(data: Data) -> Measured:
    row = data["plane"][-1]
    text = f"at c = {data['strengths'][-1]:g} the bound is {row['girsanov']:.3g}, "
    text += f"the divergence {row['kl']:.1g}"
    return Measured(text, judge(row["girsanov"], row["girsanov"], least=1e6 * row["kl"]))


def _coupling(data: Data) -> Measured:
    away = [row["coupling"] for row in data["plane"]]
    a, b = (np.array(data["paths"][k])[:, -1] for k in data["paths"])
    ends = float(np.median(np.linalg.norm(a - b, axis=1)))
    text = f"ends {away[-1]:.3f} apart on the Gaussian, median {ends:.2f} on the mixture"
    low = min(away[-1], ends)
    return Measured(text, judge(low, low, least=0.1))


def _count(data: Data) -> Measured:
    rows = {c: np.array(r)[-1] for c, r in data["circle"].items()}
    gaps = [float(row[0] / row[1]) for row in rows.values()]
    text = f"tangent over normal {gaps[0]:.2g} without, {gaps[1]:.2g} with it; "
    text += "codimensions of a line " + " and ".join(str(n) for n in data["tilt"]["counts"])
    good = data["tilt"]["counts"][0] == data["tilt"]["counts"][1] and min(gaps) > 3
    return Measured(text, "holds" if good else "does not hold")


def _turned(data: Data) -> Measured:
    angle = data["tilt"]["angle"]
    text = f"the normals of a line turn by {angle:.1f} degrees at c = 0.5"
    return Measured(text, judge(-angle, -angle, least=-1.0))


_HORVAT = "Horvat & Pfister 2024, arXiv:2402.03845"
CLAIMS = (
    Claim("a gauge changes no law, neither of the ODE nor of the SDE", _HORVAT, _marginals),
    Claim("an error of the score in L2 can be large and harmless", _HORVAT, _vacuous),
    Claim("it changes trajectories and the coupling of noise and data", _HORVAT, _coupling),
    Claim("the dimension read from the flow or from scores survives", _HORVAT, _count),
    Claim("and so does the subspace", "what one might conclude", _turned),
)
