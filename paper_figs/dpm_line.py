"""The DPM-Solver line: what a budget of evaluations buys, with fixed and with adaptive steps.

Every method integrates the noise prediction. DDIM, DPM-Solver-2 and -3 take equal steps in lam,
"fast" spends the budget to the last evaluation in steps of orders 3, 2 and 1, the adaptive pairs
12 and 23 choose their steps by an error estimate of each sample, and RK45 is the usual adaptive
Runge-Kutta method on dx/dt, for the batch as one system. The error of a start is its distance to
the exact flow; shown is the median over starts. An adaptive method is counted by the sample that
needed most, its rejected steps included.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from ..analysis.budget import steps_within
from ..solvers.adapters.blackbox import run_blackbox
from ..solvers.grids import uniform_lam
from ..solvers.registry import get
from ..solvers.run import run
from ..solvers.samplers.fast import fast, fast_grid
from ..toy_models.problems import Problem
from ..toy_models.problems import problem as reference_problem
from .cache import Data
from .compare import Curve, beats, everywhere, faster, ratio, times
from .figure import COLOURS, MARKERS, SOFT, Claim, Measured, progress
from .labels import End, label_ends

NFES = (6, 8, 10, 12, 15, 20, 30, 50, 100, 200)
TOLERANCES = (0.3, 0.1, 0.03, 0.01, 1e-3, 1e-4)
FIXED = {"ddim": "DDIM", "dpm_solver_2": "DPM-Solver-2", "dpm_solver_3": "DPM-Solver-3"}
ADAPTIVE = {
    "dpm_solver_12_adaptive": "adaptive 12", "dpm_solver_23_adaptive": "adaptive 23",
    "scipy_rk45_t": "RK45 in t",
}  # fmt: skip
FAST = "fast"
TITLES = {**FIXED, FAST: "DPM-Solver-fast", **ADAPTIVE}
LOWEST = 1e-9


def data(
    *,
    problem: str = "product",
    nfes: Sequence[int] = NFES,
    tolerances: Sequence[float] = TOLERANCES,
    batch: int = 32,
) -> Data:
    """Errors of every start within every budget, and at every tolerance."""
    p = reference_problem(problem)
    x = p.starts(batch)
    truth = p.endpoint(x)
    curves: dict[str, dict[str, list[Any]]] = {
        name: {"nfe": [], "steps": [], "errors": []} for name in TITLES
    }

    def add(name: str, nfe: int, steps: int, out: Tensor) -> None:
        found = curves[name]
        if nfe not in found["nfe"]:
            found["nfe"].append(nfe)
            found["steps"].append(steps)
            found["errors"].append(_errors(out - truth, p))

    for n in progress(nfes, "DPM-Solver line"):
        for name in FIXED:
            steps = steps_within(get(name), n)
            if steps is not None:
                grid = uniform_lam(p.process, p.lam_start, p.lam_end).grid(steps)
                model = p.model(get(name).prediction)
                add(name, get(name).nfe(steps), steps, run(get(name)(p.process, grid), model, x).x)
        grid = fast_grid(p.process, p.lam_start, p.lam_end, n)
        add(FAST, n, n, run(fast(p.process, grid), p.model("noise"), x).x)
    ends = uniform_lam(p.process, p.lam_start, p.lam_end).grid(1)
    for tol in progress(tolerances, "adaptive"):
        for name in ADAPTIVE:
            options = {"together": True} if name == "scipy_rk45_t" else {}
            found = run_blackbox(name, p.model("noise"), p.process, ends, x, tol=tol, **options)
            add(name, found.nfe, found.nfe, found.x)
    return {"problem": p.describe(), "batch": batch, "nfes": list(nfes), "curves": curves}


def _errors(difference: Tensor, p: Problem) -> list[float]:
    each = torch.linalg.vector_norm(difference, dim=1) / difference.shape[1] ** 0.5
    return [float(f"{e:.4g}") for e in (each / p.end.alpha).tolist()]


def curve(data: Data, name: str) -> Curve:
    """The errors of a method."""
    return Curve.of(data["curves"][name])


# the picture


def draw(data: Data) -> Figure:
    """All of them in one picture, adaptive ones dashed."""
    figure = Figure(figsize=(9.6, 7.0))
    axes = figure.subplots(gridspec_kw={"left": 0.1, "right": 0.78, "top": 0.85, "bottom": 0.1})
    curves = {name: curve(data, name) for name in TITLES}
    least = min(float(c.typical.min()) for c in curves.values())
    most = max(float(c.typical.max()) for c in curves.values())
    budget = max(float(c.nfe.max()) for c in curves.values())
    axes.set(
        xscale="log", yscale="log", xlim=(5.0, 1.15 * budget),
        ylim=(max(LOWEST, least / 3), 3 * most), xlabel="evaluations of the model",
        ylabel="distance to the exact flow",
    )  # fmt: skip
    ends = []
    palette = [*COLOURS, "#7a5c3e"]
    for k, (name, c) in enumerate(curves.items()):
        axes.plot(
            c.nfe, c.typical, color=palette[k], marker=MARKERS[k % len(MARKERS)], mec="white",
            mew=0.7, ls=(0, (4, 2)) if name in ADAPTIVE else "-",
        )  # fmt: skip
        ends.append(End(c.nfe[-1], c.typical[-1], TITLES[name], palette[k]))
    label_ends(axes, ends)
    figure.text(0.1, 0.935, "The DPM-Solver line", size=16, weight="bold")
    about = f"{data['problem']['law']}, exact denoiser; median of {data['batch']} common starts"
    figure.text(0.1, 0.895, about, size=9.5, color=SOFT)
    return figure


# the claims


def _faster(data: Data) -> Measured:
    return faster(curve(data, "ddim"), curve(data, "dpm_solver_3"), (12, 15, 20), least=4.0)


def _fast_pays(data: Data) -> Measured:
    return beats(curve(data, "dpm_solver_3"), curve(data, FAST), (10, 20, 50))


def _beats_rk45(data: Data) -> Measured:
    """Within every budget that RK45 was seen to spend, up to 200 evaluations."""
    worse, better = curve(data, "scipy_rk45_t"), curve(data, "dpm_solver_3")
    budgets = [int(n) for n in worse.nfe if better.nfe[0] <= n <= 200]
    found = {n: ratio(worse, better, n) for n in budgets}
    return Measured(f"times closer: {times(found)}", everywhere(found.values(), least=1.0))


def _adaptive_pays(data: Data) -> Measured:
    worse, better = curve(data, "dpm_solver_3"), curve(data, "dpm_solver_23_adaptive")
    budgets = [int(n) for n in better.nfe if worse.nfe[0] <= n <= worse.nfe[-1]]
    found = {n: ratio(worse, better, n) for n in budgets}
    return Measured(f"times closer: {times(found)}", everywhere(found.values(), least=1.0))


_LU = "Lu et al. 2022, arXiv:2206.00927"
CLAIMS = (
    Claim("DPM-Solver is 4 to 16 times faster than DDIM", _LU, _faster),
    Claim("spending the whole budget pays: fast beats DPM-Solver-3", _LU, _fast_pays),
    Claim("at equal evaluations it beats RK45 on dx/dt", _LU, _beats_rk45),
    Claim(
        "choosing steps by an error estimate beats equal steps in lam", "what adaptivity promises",
        _adaptive_pays,
    ),
)  # fmt: skip
