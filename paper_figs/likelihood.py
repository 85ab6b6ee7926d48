"""Likelihoods by the probability-flow ODE: what the integrator, the probes and the prior cost.

Left, the error of log p against evaluations of the model, root mean square over points of a
mixture in the plane, with an exact divergence. Middle, the standard deviation of Hutchinson's
estimate for one image, in bits per dimension, against the number of probes: measured over many
seeds, and by the law. Right, what it costs to take N(0, I) for the law at the noise end: on
average its KL, the same for every integrator. Middle and right on the Gaussian fitted to digits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ..analysis.distances import diagonal_kl
from ..analysis.gaussian_path import eigenbasis, marginal, prior
from ..solvers.grids import uniform_lam
from ..solvers.likelihood.density import log_density
from ..solvers.likelihood.divergence import PROBES, Hutchinson, probe_variance
from ..toy_models.draws import normals
from ..toy_models.gaussian import Gaussian
from ..toy_models.problems import Problem
from ..toy_models.problems import problem as reference_problem
from .cache import Data
from .figure import COLOURS, INK, MARKERS, SOFT, Claim, Measured, judge, progress
from .labels import End, label_ends

BUDGETS = (16, 32, 64, 128, 256)
STAGES = {
    "ddim": ("DDIM", 1, 1), "exp_ab2_data": ("exponential AB2", 1, 2),
    "dpm_solver_3": ("DPM-Solver-3", 3, 3), "exp_rk4_data": ("exponential RK4", 4, 4),
}  # fmt: skip
"""What is shown by a fixed grid: name, evaluations a step, order."""
TOLS = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7)
ADAPTIVE = {"scipy_rk45_t": "RK45 in t", "scipy_dop853_lam": "DOP853 in lam"}
PUBLISHED = ("scipy_rk45_t", 1e-5)
LEVELS = (-5.0, -4.5, -4.0, -3.5, -3.0, -2.5, -2.0)
SOLVE = 12
"""Steps of the solves with probes: their variance hardly depends on it."""
SMALL = {"budgets": (16, 64, 128), "tols": (1e-3, 1e-5), "batch": 4, "seeds": 128}


def data(
    *,
    budgets: Sequence[int] = BUDGETS,
    tols: Sequence[float] = TOLS,
    levels: Sequence[float] = LEVELS,
    batch: int = 6,
    seeds: int = 512,
) -> Data:
    """Errors by integrator, deviations by probes, and the cost of the prior."""
    plane, digits = reference_problem("mixture"), reference_problem("digits-gaussian")
    x = _points(plane, batch)
    fixed, free = {}, {}
    for name, (_, each, _) in progress(list(STAGES.items()), "likelihood"):
        fixed[name] = [_error(plane, x, n // each, sampler=name) for n in budgets]
    for name in progress(list(ADAPTIVE), "likelihood, adaptive"):
        free[name] = [_error(plane, x, 1, sampler=name, tol=tol) for tol in tols]
    law = eigenbasis(digits.law)
    nodes = [digits.process.node_at_lam(lam) for lam in levels]
    cost = [float(diagonal_kl(*marginal(law, n), *prior(law, 1.0))) for n in nodes]
    return {
        "problem": plane.describe(), "digits": digits.describe(), "dim": digits.law.dim,
        "budgets": list(budgets), "tols": list(tols), "fixed": fixed, "free": free,
        "probes": _probes(digits, seeds), "levels": list(levels), "prior": cost, "batch": batch,
    }  # fmt: skip


def _points(p: Problem, n: int) -> Tensor:
    """Draws of the law at the last level."""
    eps = torch.from_numpy(normals(n, p.law.dim, seed=1, label="points"))
    return p.end.alpha * p.law.sample(n, seed=2) + p.end.sigma * eps


def _error(p: Problem, x: Tensor, steps: int, **options: Any) -> dict[str, float]:
    """Evaluations, and the error of log p, nats, root mean square."""
    grid = uniform_lam(p.process, p.lam_start, p.lam_end).grid(steps)
    found = log_density(
        p.model(), p.process, grid, x, **options,
        start_density=lambda z: p.law.log_density(z, p.start.alpha, p.start.sigma),
    )  # fmt: skip
    off = found.log_density - p.law.log_density(x, p.end.alpha, p.end.sigma)
    return {"nfe": found.nfe, "error": float(f"{float(off.square().mean().sqrt()):.6g}")}


def _probes(p: Problem, seeds: int) -> dict[str, Any]:
    """Errors of estimates of one image by a single probe, and their variances by the law."""
    grid = uniform_lam(p.process, p.lam_start, p.lam_end).grid(SOLVE)
    x, model = _points(p, 1), p.model()
    exact = log_density(model, p.process, grid, x).log_density
    off, law = {}, {}
    for kind in PROBES:
        ask = Hutchinson(3, law=kind)
        many = log_density(model, p.process, grid, x.expand(seeds, -1), divergence=ask)
        off[kind] = [float(f"{v:.6g}") for v in (many.log_density - exact).tolist()]
        law[kind] = {
            name: float(probe_variance(path_matrix(p, name), kind)) for name in ("data", "noise")
        }
    return {"off": off, "variance": law}


def path_matrix(p: Problem, prediction: str) -> Tensor:
    """M of the estimate ``constant + v^T M v`` over a solve without error, on Gaussian data.

    Probes of D give ``int alpha dD/dx dlam``, whose eigenvalues are the logarithms
    ``log((1 + c^2 e^{2 lam_e})/(1 + c^2 e^{2 lam_s}))/2``; those of eps the rest of ``lam_e -
    lam_s``.
    """
    law = p.law
    if not isinstance(law, Gaussian):
        msg = f"the matrix of a path is known for Gaussian data, not for {law.name}"
        raise TypeError(msg)
    low, high = (torch.log1p(law.eigenvalues * math.exp(2 * e)) for e in (p.lam_start, p.lam_end))
    values = 0.5 * (high - low)
    if prediction == "noise":
        values = p.lam_end - p.lam_start - values
    return (law.eigenvectors * values) @ law.eigenvectors.mT


# the picture


def draw(data: Data) -> Figure:
    """Three panels."""
    figure = Figure(figsize=(12.9, 4.9))
    sides = {"left": 0.06, "right": 0.98, "top": 0.76, "bottom": 0.13, "wspace": 0.5}
    places = figure.add_gridspec(1, 3, width_ratios=(1.05, 1.0, 0.9), **sides)
    left, middle, right = (figure.add_subplot(places[k]) for k in range(3))
    _integrators(left, data)
    _estimates(middle, data)
    bits = [v / (data["dim"] * math.log(2.0)) for v in data["prior"]]
    right.semilogy(data["levels"], bits, color=INK, marker="o", mec="white", mew=0.6)
    right.set(xlabel="lam where the prior is put", ylabel="bits per dimension")
    right.set_title("Cost of the prior N(0, I)")
    figure.text(0.06, 0.925, "What a likelihood is made of", size=17, weight="bold")
    about = f"left {data['problem']['law']}, exact divergence; then {data['digits']['law']}"
    figure.text(0.06, 0.865, about, size=9.5, color=SOFT)
    return figure


def _integrators(axes: Axes, data: Data) -> None:
    ends = []
    words = {name: shown for name, (shown, _, _) in STAGES.items()} | ADAPTIVE
    for k, (name, rows) in enumerate({**data["fixed"], **data["free"]}.items()):
        x, y = [row["nfe"] for row in rows], [row["error"] for row in rows]
        pen = {"color": COLOURS[k % 6], "marker": MARKERS[k % 6], "mec": "white", "mew": 0.6}
        axes.loglog(x, y, ls="--" if name in data["free"] else "-", **pen)
        ends.append(End(x[-1], y[-1], words[name], COLOURS[k % 6]))
    axes.set(xlabel="evaluations of the model", ylabel="error of log p, nats")
    axes.set_title("The integrator")
    axes.set_xticks(data["budgets"], [str(n) for n in data["budgets"]])
    axes.set_xticks([], minor=True)
    axes.autoscale_view()
    label_ends(axes, ends)


def _estimates(axes: Axes, data: Data) -> None:
    unit = data["dim"] * math.log(2.0)
    counts = [1, 2, 4, 8, 16, 32]
    for k, kind in enumerate(PROBES):
        off = np.array(data["probes"]["off"][kind])
        found = [np.sqrt((_means(off, n) ** 2).mean()) / unit for n in counts]
        law = [math.sqrt(data["probes"]["variance"][kind]["data"] / n) / unit for n in counts]
        axes.loglog(counts, law, color=COLOURS[k], lw=1.0)
        pen = {"color": COLOURS[k], "marker": MARKERS[k], "ls": "none", "mec": "white"}
        axes.loglog(counts, found, label=kind, **pen)
    axes.set_xticks(counts, [str(n) for n in counts])
    axes.set_xticks([], minor=True)
    axes.set_yticks([0.01, 0.03, 0.1, 0.3, 1.0], ["0.01", "0.03", "0.1", "0.3", "1"])
    axes.set_yticks([], minor=True)
    axes.set(xlabel="probes", ylabel="bits per dimension", title="The probes: one image")
    axes.legend(frameon=False, fontsize=9)


def _means(off: np.ndarray, probes: int) -> np.ndarray:
    """Estimates with several probes: the change is linear in the divergence."""
    return off[: len(off) // probes * probes].reshape(-1, probes).mean(1)


# the claims


def _orders(data: Data) -> Measured:
    short, words = [], []
    for name, (shown, _, order) in STAGES.items():
        a, b = data["fixed"][name][-2:]
        slope = math.log(a["error"] / b["error"]) / math.log(b["nfe"] / a["nfe"])
        short.append(slope - order)
        words.append(f"{shown} {slope:.2f}")
    worst = min(short)
    return Measured(f"last slopes: {', '.join(words)}", judge(worst, worst, least=-0.3))


def _published(data: Data) -> Measured:
    name, tol = PUBLISHED
    row = data["free"][name][data["tols"].index(tol)]
    bits = row["error"] / (2 * math.log(2.0))
    text = f"{row['error']:.2g} nats, {bits:.2g} bits per dimension, with {row['nfe']} evaluations"
    return Measured(text, judge(-bits, -bits, least=-0.005))


def _variances(data: Data) -> Measured:
    """Six standard errors; the fourth moment is that of the sample."""
    worst, words = 0.0, []
    for kind in PROBES:
        square = np.array(data["probes"]["off"][kind]) ** 2
        law = data["probes"]["variance"][kind]["data"]
        worst = max(worst, abs(square.mean() - law) / (square.std() / math.sqrt(len(square))))
        words.append(f"{kind} {square.mean():.4g} against {law:.4g}")
    text = f"{', '.join(words)} square nats: at most {worst:.1f} standard errors apart"
    return Measured(text, judge(-worst, -worst, least=-6.0))


def _signs(data: Data) -> Measured:
    law = data["probes"]["variance"]
    ratio = law["gaussian"]["data"] / law["rademacher"]["data"]
    text = f"Gaussian probes have {ratio:.2g} times the variance of signs"
    return Measured(text, judge(ratio, ratio, least=1.0))


def _whichever(data: Data) -> Measured:
    law, found = data["probes"]["variance"], {}
    for kind in PROBES:
        a, b = law[kind]["data"], law[kind]["noise"]
        found[kind] = max(a, b) / min(a, b)
    text = ", ".join(f"{kind} {ratio:.3g}" for kind, ratio in found.items())
    worst = max(found.values())
    text = f"ratio of the variances by noise and by data prediction: {text}"
    return Measured(text, judge(-worst, -worst, least=-1.01))


def _average(data: Data) -> Measured:
    one = math.sqrt(data["probes"]["variance"]["rademacher"]["data"])
    one /= data["dim"] * math.log(2.0)
    text = f"{one:.2g} bits per dimension for one image, {one / 100:.1g} for the mean of 10000"
    return Measured(text, judge(-one / 100, -one / 100, least=-0.005))


_SONG = "Song et al. 2021, arXiv:2011.13456"
_FFJORD = "Grathwohl et al. 2019, arXiv:1810.01367"
CLAIMS = (
    Claim("a log-density has the order of the sampler that integrates it", "theorem", _orders),
    Claim("RK45 with tolerance 1e-5 gives two decimals of bits per dimension", _SONG, _published),
    Claim(
        "the variance of a probe is that of one matrix, for a whole solve", "theorem", _variances
    ),
    Claim("signs have less variance than Gaussian probes", "Hutchinson 1990", _signs),
    Claim("it does not matter which prediction is probed", "what one might conclude", _whichever),
    Claim("one probe is enough for the average over a data set", _FFJORD, _average),
)
