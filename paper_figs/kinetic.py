"""The energy of a path: straight, trigonometric, and the least there is.

Left, data N(0, b^2), where all three are known in closed form and the least is W2 squared. Middle,
two points, antipodal, at distance sqrt(d) from the middle of d dimensions: ``n/sqrt(d)`` falls
from left to right. Right, the paths of least energy for them, from near the circle to the chord.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..solvers.transport.kinetic import (
    KineticOptimal,
    Mmse,
    conditional_energy,
    gaussian_mmse,
    marginal_energy,
    straight,
    trigonometric,
)
from .cache import Data
from .figure import COLOURS, MARKERS, SOFT, Claim, Measured, judge

PATHS = {"straight": straight, "trigonometric": trigonometric}
DIMS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
SHOWN = (1, 4, 16, 64)

_SHAUL = "Shaul et al. 2023, arXiv:2306.06626"
_OURS = "closed forms of Gaussian paths"


def pair_mmse(dim: int, nodes: int = 160) -> Mmse:
    """Mmse of two points at +-sqrt(dim) on a line: ``1 - E tanh(s^2 + s z)``, ``s^2 = dim rho^2``.

    z is standard normal; the trapezoidal rule on [-9, 9] is exact to rounding.
    """
    z = np.linspace(-9.0, 9.0, nodes)
    weights = np.exp(-0.5 * z * z)
    weights /= weights.sum()

    def mmse(rho: float) -> float:
        s = math.sqrt(dim) * rho
        return float(weights @ (1.0 - np.tanh(s * s + s * z)))

    return mmse


def data(*, widths: int = 33) -> Data:
    """Energies by width of the Gaussian, by dimension of the pair, and the optimal paths."""
    b = np.geomspace(0.05, 4.0, widths)
    gauss: dict[str, list[float]] = {name: [] for name in (*PATHS, "least")}
    for width in b:
        mmse, moment = gaussian_mmse([width**2])
        for name, path in PATHS.items():
            gauss[name].append(marginal_energy(path, mmse, moment))
        gauss["least"].append(KineticOptimal(mmse, moment).energy)
    pair: dict[str, list[float]] = {name: [] for name in (*PATHS, "least")}
    curves: dict[str, Any] = {}
    for dim in DIMS:
        mmse = pair_mmse(dim)
        for name, path in PATHS.items():
            pair[name].append(marginal_energy(path, mmse, nodes=400))
        best = KineticOptimal(mmse)
        pair["least"].append(best.energy)
        if dim in SHOWN:
            points = [best(float(u)) for u in np.linspace(0, 1, 61) ** 6]  # fast at first
            curves[str(dim)] = [[round(p.a, 6), round(p.m, 6)] for p in points]
    return {
        "b": b.tolist(), "gauss": gauss, "dims": list(DIMS), "pair": pair, "curves": curves,
        "conditional": {name: conditional_energy(path) for name, path in PATHS.items()},
    }  # fmt: skip


# the picture


def draw(data: Data) -> Figure:
    """Energies for Gaussians, energies for two points, the paths."""
    figure = Figure(figsize=(11.0, 4.6))
    cells = figure.add_gridspec(1, 3, left=0.07, right=0.98, top=0.76, bottom=0.13, wspace=0.3)
    _gauss(figure.add_subplot(cells[0]), data)
    _pair(figure.add_subplot(cells[1]), data)
    _curves(figure.add_subplot(cells[2]), data)
    figure.text(0.07, 0.93, "Which path costs least depends on the data", size=17, weight="bold")
    about = "Kinetic energy of the marginal velocity, per dimension; prior N(0, I)"
    figure.text(0.07, 0.87, about, size=9.5, color=SOFT)
    return figure


def _rows(axes: Axes, x: list[float], rows: dict[str, list[float]], marks: bool) -> None:
    for colour, mark, (name, values) in zip(COLOURS, MARKERS, rows.items(), strict=False):
        axes.plot(x, values, marker=mark if marks else "", color=colour, label=name, ms=4.5)


def _gauss(axes: Axes, data: Data) -> None:
    _rows(axes, data["b"], data["gauss"], marks=False)
    axes.set(xscale="log", ylim=(0, 3), xlabel="width b of the data", ylabel="energy")
    axes.set_title("Gaussian data", size=10)
    axes.legend(loc="upper left")


def _pair(axes: Axes, data: Data) -> None:
    _rows(axes, data["dims"], data["pair"], marks=True)
    axes.set_xscale("log", base=2)
    axes.set(ylim=(0, 2.6), xlabel="dimension d")
    axes.set_title("Two points, sqrt(d) from the middle", size=10)


def _curves(axes: Axes, data: Data) -> None:
    angle = np.linspace(0, 0.5 * np.pi, 60)
    axes.plot(np.sin(angle), np.cos(angle), color=SOFT, ls=":", lw=1)
    axes.plot([0, 1], [1, 0], color=SOFT, ls=":", lw=1)
    for colour, (dim, points) in zip(COLOURS, data["curves"].items(), strict=False):
        axes.plot(*np.array(points).T, color=colour, label=f"d = {dim}")
    axes.set(xlim=(0, 1.05), ylim=(0, 1.05), aspect="equal", xlabel="a (data)", ylabel="m (noise)")
    axes.set_title("Paths of least energy for them", size=10)
    axes.legend(loc="lower left")


# the claims


def _high(data: Data) -> Measured:
    """Energy of the straight path over the least, at the first and the last dimension."""
    ratio = [s / k for s, k in zip(data["pair"]["straight"], data["pair"]["least"], strict=True)]
    text = f"straight over least: {ratio[0]:.3g} at d = {data['dims'][0]}, "
    text += f"{ratio[-1]:.4g} at d = {data['dims'][-1]}"
    ok = min(ratio[0] - 1.5, 1.02 - ratio[-1])
    return Measured(text, judge(ok, ok, least=0.0))


def _not_everywhere(data: Data) -> Measured:
    """Where on the axis of b the trigonometric path is the cheaper one."""
    rows = zip(data["b"], data["gauss"]["straight"], data["gauss"]["trigonometric"], strict=True)
    better = [b for b, s, t in rows if t < s]
    if not better:
        return Measured("the straight path is cheaper at every b", "does not hold")
    text = f"trigonometric cheaper for b from {min(better):.2g} to {max(better):.2g}"
    return Measured(text, "holds")


def _least(data: Data) -> Measured:
    gap = max(
        abs(e - (1 - b) ** 2) for b, e in zip(data["b"], data["gauss"]["least"], strict=True)
    )
    return Measured(f"off by at most {gap:.1g}", judge(-gap, -gap, least=-1e-9))


def _conditional(data: Data) -> Measured:
    both = data["conditional"]
    text = ", ".join(f"{name} {value:.4g}" for name, value in both.items())
    gap = both["trigonometric"] - both["straight"]
    return Measured(text, judge(gap, gap, least=0.1))


CLAIMS = (
    Claim("straight paths cost the least as n/sqrt(d) goes to 0", _SHAUL, _high),
    Claim("straight paths minimise the conditional energy", _SHAUL, _conditional),
    Claim("for some data a variance-preserving path costs less than straight", _OURS,
          _not_everywhere),
    Claim("for Gaussian data the least energy is W2 squared", _OURS, _least),
)  # fmt: skip
