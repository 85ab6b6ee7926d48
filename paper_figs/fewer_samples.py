"""Fewer samples for the same certainty: coupling, controls, points that repel.

Left, the weak error of Euler's method on an Ornstein-Uhlenbeck process, ``E x^2`` at t = 1, from
as many paths alone and beside an exact partner on the same noise; the truth is a recursion.
Middle, relative deviations of two rare means of a normal law, exact integrals. Right, the mean
square error of least-squares fits of ``e^{2 x}`` on [-1, 1] by five Legendre polynomials, in units
of the least one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ..analysis.fokker_planck import OrnsteinUhlenbeck, mean
from ..analysis.fokker_planck.collocation import quantile
from ..analysis.variance import (
    Legendre,
    coupled_paths,
    coupled_weak_error,
    fit,
    independent,
    volume_sampled,
    weighted,
)
from ..analysis.variance.adapt import fitted
from ..solvers.sde.basic import euler_maruyama
from ..toy_models.gaussian import Gaussian
from .cache import Data
from .figure import COLOURS, MARKERS, SOFT, Claim, Measured, judge
from .labels import End, label_ends

STEPS = (4, 8, 16, 32, 64)
COUNTS = (5, 7, 10, 14, 20, 28, 40)
SMALL = {"steps": (8, 32), "paths": 4000, "counts": (5, 10, 20), "repeats": 2000}
KINDS = ("plain", "mixture", "mixture, controls")


def data(
    *,
    steps: Sequence[int] = STEPS,
    paths: int = 20_000,
    counts: Sequence[int] = COUNTS,
    repeats: int = 4000,
) -> Data:
    """Weak errors with their deviations, exact deviations, errors of fits."""
    return {
        "steps": list(steps),
        "weak": [_weak(n, paths) for n in steps],
        "paths": paths,
        "rare": _rare(),
        "counts": list(counts),
        "fits": _fits(counts, repeats),
        "functions": 5,
    }


def _weak(steps: int, paths: int) -> dict[str, float]:
    process = OrnsteinUhlenbeck(1.0, 0.0, math.sqrt(2.0))
    found = coupled_paths(
        euler_maruyama, process, 2.0, [k / steps for k in range(steps + 1)], paths, seed=steps
    )
    square, h = 4.0, 1 / steps
    for _ in range(steps):
        square = (1 - h) ** 2 * square + 2 * h
    known = found.mean**2 + found.variance
    plain, coupled = mean(found.numerical.square()), coupled_weak_error(torch.square, found)
    z = quantile(plain.certainty)
    return {
        "truth": square - known,
        "plain": plain.value - known,
        "plain_deviation": plain.bar / z,
        "coupled": coupled.value,
        "coupled_deviation": coupled.bar / z,
    }


def _rare() -> dict[str, list[float]]:
    """Relative deviations of one point for ``P(x > 3)`` and ``E (x - 4)_+``, by integrals."""
    x = torch.linspace(-9, 14, 200_001, dtype=torch.float64)[:, None]
    law = Gaussian(torch.zeros(1, dtype=x.dtype), torch.eye(1, dtype=x.dtype))

    def rare(y: Tensor) -> Tensor:
        return torch.cat([(y > 3).to(y), (y - 4).clamp_min(0)], 1)

    f = law.log_density(x).exp()
    proposal = fitted(x, rare(x) * f[:, None], law)
    g = proposal.log_density(x).exp()
    out = {name: [] for name in KINDS}
    table, controls = weighted(rare, law, proposal, x), proposal.controls(x)
    for values, plain in zip(table.unbind(1), rare(x).unbind(1), strict=True):
        exact = float(f @ plain / f.sum())
        left = values - exact
        gram, cross = controls.mT @ (g[:, None] * controls), controls.mT @ (g * left)
        whole = float(g @ left**2 / g.sum())
        kept = whole - float(cross @ torch.linalg.solve(gram, cross) / g.sum())
        squares = (float(f @ plain**2 / f.sum()) - exact**2, whole, kept)
        for name, value in zip(KINDS, squares, strict=True):
            out[name].append(math.sqrt(value) / exact)
    return out


def _fits(counts: Sequence[int], repeats: int) -> dict[str, list[float]]:
    """Mean square errors in units of the least, with uniform, Christoffel and volume points."""
    basis, rng = Legendre(5), np.random.default_rng(0)
    nodes, weights = np.polynomial.legendre.leggauss(30)
    phi, y = basis.values(nodes[:, None]), np.exp(2 * nodes)
    best = phi.T @ (weights / 2 * y)
    least = float(weights / 2 @ (y - phi @ best) ** 2)
    out: dict[str, list[float]] = {"uniform": [], "independent, k/m": [], "volume-sampled": []}
    for n in counts:
        uniform = rng.uniform(-1, 1, (repeats, n, 1))
        table = basis.values(uniform.reshape(-1, 1)).reshape(repeats, n, 5)
        found = {
            "uniform": np.einsum("rmn,rn->rm", np.linalg.pinv(table), np.exp(2 * uniform[..., 0]))
        }
        for name, draw in (("independent, k/m", independent), ("volume-sampled", volume_sampled)):
            x = draw(basis, n, repeats, seed=n)
            found[name] = fit(basis, x, np.exp(2 * x[..., 0]))
        for name, c in found.items():
            out[name].append(float(np.square(c - best).sum(1).mean()) / least + 1)
    return out


# the picture


def draw(data: Data) -> Figure:
    """Weak errors, deviations, fits."""
    figure = Figure(figsize=(12.8, 4.7))
    sides = {"left": 0.055, "right": 0.9, "top": 0.76, "bottom": 0.14, "wspace": 0.32}
    places = figure.add_gridspec(1, 3, **sides)
    left, middle, right = (figure.add_subplot(places[k]) for k in range(3))
    _weak_errors(left, data)
    _deviations(middle, data)
    ends = []
    for k, (name, row) in enumerate(data["fits"].items()):
        right.loglog(data["counts"], row, "-" + MARKERS[k], color=COLOURS[k], ms=4, mec="white")
        ends.append(End(data["counts"][-1], row[-1], name, COLOURS[k]))
    right.axhline(1 + data["functions"], color=SOFT, lw=0.7, ls=(0, (2, 2)))
    right.set_xticks(data["counts"], [str(n) for n in data["counts"]])
    right.minorticks_off()
    right.set(xlabel="values", title="Mean square error of a fit / the least")
    label_ends(right, ends)
    figure.text(0.055, 0.925, "Fewer samples for the same certainty", size=17, weight="bold")
    about = f"Left: {data['paths']} paths, bars of two deviations. Right: five functions"
    figure.text(0.055, 0.865, about, size=9.5, color=SOFT)
    return figure


def _weak_errors(axes: Axes, data: Data) -> None:
    h = np.array([1 / n for n in data["steps"]])
    axes.plot(h, [row["truth"] for row in data["weak"]], color="black", lw=0.9, label="exact")
    for k, name in enumerate(("plain", "coupled")):
        value, bar = (
            np.array([row[key] for row in data["weak"]]) for key in (name, f"{name}_deviation")
        )
        axes.errorbar(
            h * (1 + 0.05 * (0.5 - k)), value, 2 * bar, fmt=MARKERS[k], color=COLOURS[k], ms=4,
            capsize=2, label=name,
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_xticks(h, [f"1/{n}" for n in data["steps"]])
    axes.minorticks_off()
    axes.legend(frameon=False, fontsize=8.5)
    axes.set(xlabel="h", title="Weak error of Euler's method")


def _deviations(axes: Axes, data: Data) -> None:
    for j, label in enumerate(("P(x > 3)", "E(x - 4)₊")):
        heights = [data["rare"][name][j] / math.sqrt(2000) for name in KINDS]
        axes.bar(np.arange(3) + 0.38 * (j - 0.5), heights, 0.36, color=COLOURS[j], label=label)
    axes.set_yscale("log")
    axes.set_xticks(range(3), ["plain", "mixture", "and controls"])
    axes.legend(frameon=False, fontsize=8.5)
    axes.set(title="Relative deviation, 2000 points for both")


# the claims


def _coupling(data: Data) -> Measured:
    rows = [row for n, row in zip(data["steps"], data["weak"], strict=True) if n >= 8]
    gains = [row["plain_deviation"] / row["coupled_deviation"] for row in rows]
    off = max(abs(r["coupled"] - r["truth"]) / r["coupled_deviation"] for r in data["weak"])
    text = f"{min(gains):.3g} to {max(gains):.3g} times less; at most {off:.2g} deviations off"
    if off > 4.9:
        return Measured(text, "does not hold")
    return Measured(text, judge(min(gains), min(gains), least=10.0))


def _controls(data: Data) -> Measured:
    rare = data["rare"]
    pairs = [(rare["mixture"][j], rare["mixture, controls"][j], rare["plain"][j]) for j in (0, 1)]
    gains = [mixed / kept for mixed, kept, _ in pairs]
    whole = ", ".join(f"{(plain / kept) ** 2:.0f}" for _, kept, plain in pairs)
    text = f"controls: {gains[0]:.2f} and {gains[1]:.2f} times less; {whole} times fewer points"
    return Measured(text, judge(min(gains), min(gains), least=1.2))


def _repelling(data: Data) -> Measured:
    least = data["fits"]["volume-sampled"][0]
    off = abs(least / (1 + data["functions"]) - 1)
    text = f"{least:.2f} with as many values as functions, m = {data['functions']}"
    return Measured(text, judge(-off, -off, least=-0.1))


def _fewest(data: Data) -> Measured:
    shares = [
        other / volume
        for name in ("uniform", "independent, k/m")
        for other, volume in zip(data["fits"][name], data["fits"]["volume-sampled"], strict=True)
    ]
    text = f"errors of other points are {min(shares):.2f} to {max(shares):.3g} times as large"
    return Measured(text, judge(min(shares), min(shares), least=1.0))


_DEMANGE = "Demange-Chryst, Bachoc & Morio 2022, arXiv:2212.00568"
_NOUY = "Nouy & Michel 2023, arXiv:2312.14057"
CLAIMS = (
    Claim("a partner on the same noise resolves weak errors that paths alone do not",
          "Kloeden & Platen 1992, chapter 16", _coupling),
    Claim("parts of a mixture are controls for every mean at once", _DEMANGE, _controls),
    Claim("interpolation at determinantal points is off by 1 + m times the least error",
          _NOUY, _repelling),
    Claim("volume-sampled points need the fewest values", _NOUY, _fewest),
)  # fmt: skip
