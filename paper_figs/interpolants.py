"""Stochastic interpolants: the way between two laws is a choice, and so is the noise.

Above, the density of x_u for five choices of coefficients between the same two mixtures: the ends
agree, the way does not. Below left, what a wrong drift costs on Gaussians, KL against epsilon,
with Girsanov's bound: exact, no samples; velocity and score are wrong by fixed constants. Below
right, what a step size costs with exact fields: W2 of the exact law of a solver after ``steps``
steps, against epsilon.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..analysis.affine_law import affine_law
from ..analysis.distances import gaussian_w2
from ..analysis.interpolant_error import drift_cost, same_error
from ..solvers.sde.basic import euler_maruyama
from ..solvers.sde.rungekutta import shark, sra1
from ..solvers.transport.interpolant import (
    Interpolant,
    encoder_decoder,
    linear,
    mirror,
    smooth,
    trigonometric,
)
from ..solvers.transport.interpolant_sde import forward_sde
from ..toy_models.interpolated import MixtureInterpolant, between
from ..toy_models.mixture import GaussianMixture
from .cache import Data
from .figure import COLOURS, MARKERS, SOFT, Claim, Measured, judge, progress

SIDE = 4.5
METHODS = {"Euler-Maruyama": euler_maruyama, "SRA1": sra1, "ShARK": shark}
WRONG_B, WRONG_S = np.array([0.4, 0.0]), np.array([0.0, 0.4])
"""By how much b and s are wrong, everywhere: the bound is least at epsilon 1."""

_ALBERGO = "Albergo, Boffi & Vanden-Eijnden 2023, arXiv:2303.08797"
_OURS = "exact laws of the solvers"


def _law(w: list[float], means: list[float], stds: list[float]) -> GaussianMixture:
    covs = torch.tensor(stds, dtype=torch.float64).square()[:, None, None]
    m = torch.tensor(means, dtype=torch.float64)[:, None]
    return GaussianMixture(torch.tensor(w, dtype=torch.float64), m, covs)


def slices(interpolant: Interpolant) -> MixtureInterpolant:
    """Two modes to three, on a line."""
    first = _law([0.6, 0.4], [-1.4, 1.2], [0.3, 0.4])
    return between(interpolant, first, _law([0.3, 0.4, 0.3], [-2.4, 0.2, 2.5], [0.25, 0.3, 0.25]))


def plane() -> MixtureInterpolant:
    """Two Gaussians of the plane whose axes differ, on the linear interpolant."""
    one = torch.ones(1, dtype=torch.float64)
    covs = torch.tensor([[[1.0, 0.5], [0.5, 0.6]], [[0.4, -0.2], [-0.2, 0.7]]]).double()
    means = torch.tensor([[0.3, -1.0], [2.0, 0.4]]).double()
    first, last = (GaussianMixture(one, means[k : k + 1], covs[k : k + 1]) for k in (0, 1))
    return between(linear(), first, last)


def data(*, rows: int = 61, columns: int = 121, sizes: int = 9, steps: int = 32) -> Data:
    """Densities, costs of a wrong drift, and errors of a step size."""
    x = torch.linspace(-SIDE, SIDE, columns, dtype=torch.float64)[:, None]
    densities: dict[str, Any] = {}
    for make in (linear, trigonometric, smooth, encoder_decoder, mirror):
        path = slices(make())
        table = [path.law(float(u)).log_density(x).exp() for u in np.linspace(0, 1, rows)]
        densities[path.interpolant.name] = torch.stack(table).numpy().round(4).tolist()
    epsilons = np.geomspace(0.02, 8.0, sizes)
    costs = {"kl": [], "bound": []}
    right = [drift_cost(plane(), same_error(0.0, 0.0, 2), e).kl for e in (0.0, 0.5, 8.0)]
    errors: dict[str, list[float]] = {name: [] for name in METHODS}
    for e in progress(epsilons.tolist(), "epsilon"):
        cost = drift_cost(plane(), same_error(0.0, WRONG_B + e * WRONG_S, 2), e)
        costs["kl"].append(cost.kl)
        costs["bound"].append(cost.bound)
        for name in METHODS:
            errors[name].append(_w2(name, e, steps))
    return {
        "side": SIDE, "densities": densities, "epsilons": epsilons.tolist(), "costs": costs,
        "ode": drift_cost(plane(), same_error(0.0, WRONG_B, 2), 0.0).kl, "right": right,
        "steps": steps,
        "errors": errors, "errors_ode": {name: _w2(name, 0.0, steps) for name in METHODS},
    }  # fmt: skip


def _w2(name: str, epsilon: float, steps: int) -> float:
    path = plane()
    first, last = path.law(0.0), path.law(1.0)
    sde = forward_sde(path.velocity, path.score, epsilon)
    times = np.linspace(0.0, 1.0, steps + 1).tolist()
    law = affine_law(sde, METHODS[name], times, first.means[0], first.covs[0])
    return min(float(gaussian_w2(*law, last.means[0], last.covs[0])), 1e6)


# the picture


def draw(data: Data) -> Figure:
    """Five slices above, two curves below."""
    figure = Figure(figsize=(11.0, 7.6))
    above = figure.add_gridspec(1, 5, left=0.06, right=0.98, top=0.82, bottom=0.53, wspace=0.14)
    for k, (name, table) in enumerate(data["densities"].items()):
        axes = figure.add_subplot(above[k])
        extent = (0.0, 1.0, -data["side"], data["side"])
        seen = np.sqrt(np.array(table).T)
        axes.imshow(seen, origin="lower", extent=extent, aspect="auto", cmap="Blues", vmax=0.9)
        axes.set(xticks=[0, 0.5, 1], xticklabels=["0", "1/2", "1"], xlabel="u")
        axes.grid(visible=False)
        axes.set_title(name, size=9.5)
        if k:
            axes.set_yticklabels([])
        else:
            axes.set_ylabel("x")
    below = figure.add_gridspec(1, 2, left=0.08, right=0.98, top=0.42, bottom=0.08, wspace=0.25)
    _costs(figure.add_subplot(below[0]), data)
    _errors(figure.add_subplot(below[1]), data)
    figure.text(0.06, 0.94, "One pair of laws, many ways between them", size=17, weight="bold")
    about = "Above, roots of densities; below, between two Gaussians of the plane, exact numbers"
    figure.text(0.06, 0.895, about, size=9.5, color=SOFT)
    return figure


def _costs(axes: Axes, data: Data) -> None:
    x, costs = data["epsilons"], data["costs"]
    axes.loglog(x, costs["bound"], color=COLOURS[1], label="bound for the SDE")
    axes.loglog(
        x, costs["kl"], MARKERS[0], ls="-", color=COLOURS[0], ms=4.5, label="KL of the SDE"
    )
    axes.axhline(data["ode"], color=COLOURS[2], ls="--", label="KL of the ODE")
    axes.set(xlabel="epsilon", ylabel="KL at u = 1")
    axes.set_title("Wrong velocity and score", size=10)
    axes.legend()


def _errors(axes: Axes, data: Data) -> None:
    for colour, mark, (name, row) in zip(COLOURS, MARKERS, data["errors"].items(), strict=False):
        axes.loglog(data["epsilons"], row, mark, ls="-", color=colour, ms=4.5, label=name)
        axes.axhline(data["errors_ode"][name], color=colour, ls=":", lw=1)
    axes.set(xlabel="epsilon", ylabel="W2 at u = 1")
    axes.set_title(f"Exact fields, {data['steps']} steps (dotted: epsilon 0)", size=10)
    axes.legend()


# the claims


def _bounded(data: Data) -> Measured:
    rows = zip(data["costs"]["kl"], data["costs"]["bound"], strict=True)
    worst = max(kl / bound for kl, bound in rows)
    return Measured(f"KL at most {worst:.2g} of the bound", judge(-worst, -worst, least=-1.0))


def _same(data: Data) -> Measured:
    worst = max(map(abs, data["right"]))
    return Measured(f"KL at most {worst:.1g} without an error", judge(-worst, -worst, least=-1e-9))


def _inside(data: Data) -> Measured:
    """Whether an interior epsilon has a lower KL than the ODE, and than the largest."""
    row = data["costs"]["kl"]
    best = int(np.argmin(row))
    text = (
        f"KL {row[best]:.2g} at epsilon {data['epsilons'][best]:.2g}, {data['ode']:.2g} for the "
        f"ODE, {row[-1]:.2g} at epsilon {data['epsilons'][-1]:.2g}"
    )
    gain = math.log(min(data["ode"], row[-1]) / row[best])
    return Measured(text, judge(gain, gain, least=math.log(1.1)))


def _balance(data: Data) -> Measured:
    """Where the bound is least, and how it rises to both sides."""
    row = data["costs"]["bound"]
    best = int(np.argmin(row))
    text = f"bound {row[best]:.2g} at epsilon {data['epsilons'][best]:.2g}, "
    text += f"{row[0]:.2g} and {row[-1]:.2g} at the smallest and the largest"
    gain = math.log(min(row[0], row[-1]) / row[best])
    return Measured(text, judge(gain, gain, least=math.log(1.1)))


def _steps(data: Data) -> Measured:
    """The same for the error of Euler-Maruyama's steps."""
    row, none = data["errors"]["Euler-Maruyama"], data["errors_ode"]["Euler-Maruyama"]
    best = int(np.argmin(row))
    text = f"W2 {row[best]:.2g} at epsilon {data['epsilons'][best]:.2g}, {none:.2g} at 0"
    gain = math.log(min(none, row[-1]) / row[best])
    return Measured(text, judge(gain, gain, least=math.log(1.1)))


CLAIMS = (
    Claim("the law at the end does not depend on epsilon", _ALBERGO, _same),
    Claim("the KL of the SDE is bounded by int E|error of the drift|^2 / (4 epsilon)", _ALBERGO,
          _bounded),
    Claim("with errors of velocity and score the bound is least at an epsilon in between",
          _ALBERGO, _balance),
    Claim("... and so is the KL itself (by a tenth, against none and against the largest)",
          _ALBERGO, _inside),
    Claim("with exact fields, too, Euler-Maruyama has its best epsilon in between", _OURS, _steps),
)  # fmt: skip
