"""Gradients through sampling: what an evaluation buys, and what a gradient is good for.

Left the relative error of the gradient of a linear loss of the sample by the start, on five
Gaussians, against all evaluations there and back: the adjoint ODE in x(t), in y(rho) with a
solver of second and of fourth order, and the reversal of a leapfrog, against the gradient of the
flow; and, dashed, the reversal against plain backpropagation through the same leapfrog. Right the
share of samples in one class while their starts are moved along the gradient of its likelihood.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ..solvers.gradients.adjoint import adjoint_sample
from ..solvers.gradients.reversible_gradient import reversible_sample
from ..solvers.grids import Grid, uniform_lam
from ..solvers.registry import get
from ..solvers.run import run
from ..toy_models.gaussian import Gaussian
from ..toy_models.mixture import GaussianMixture
from ..toy_models.problems import Problem
from ..toy_models.problems import problem as reference_problem
from .cache import Data
from .figure import COLOURS, INK, MARKERS, SOFT, Claim, Measured, judge, progress
from .labels import End, label_ends

BUDGETS = (24, 48, 96, 192)
WAYS = {
    "x2": ("adjoint in x(t), order 2", "rho_midpoint", "x"),
    "y2": ("adjoint in y(ρ), order 2", "rho_midpoint", "y"),
    "x4": ("adjoint in x(t), order 4", "rho_rk4", "x"),
    "y4": ("adjoint in y(ρ), order 4", "rho_rk4", "y"),
}
REVERSAL = "reversal of O-BELM"
CLASS, TURNS, RATE = 1, 30, 0.15
_PAN = "Pan, Liew, Tan, Feng & Yan 2024, arXiv:2307.10711"
_KIDGER = "Kidger 2022, arXiv:2202.02435, sec. 5.1"

Sampling = Callable[[Tensor], Tensor]


def data(*, budgets: Sequence[int] = BUDGETS, batch: int = 8, fine: int = 200) -> Data:
    """Errors of gradients within each budget, and the shares of a steered class."""
    p = reference_problem("mixture")
    x, weights = p.starts(batch), torch.tensor([1.0, -0.5], dtype=torch.float64)

    def gradient(sample: Sampling) -> Tensor:
        v = x.clone().requires_grad_()
        (sample(v) * weights).sum().backward()
        return cast(Tensor, v.grad)

    model, plan = p.model("noise"), get("rho_rk4")(p.process, _grid(p, fine))
    truth = gradient(lambda v: run(plan, model, v, grad=True).x)
    errors: dict[str, list[float]] = {name: [] for name in (*WAYS, "reversal", "discrete")}
    for budget in progress(budgets, "gradients"):
        for name, (_, solver, frame) in WAYS.items():
            grid = _grid(p, max(2, budget // (2 * get(solver).nfe(1))))
            found = gradient(
                lambda v, g=grid, s=solver, f=frame: adjoint_sample(
                    get(s), model, p.process, g, v, backward=s, frame=f
                )
            )
            errors[name].append(_relative(found, truth))
        leapfrog = get("o_belm")(p.process, _grid(p, budget // 2), carry=True)
        found = gradient(lambda v, q=leapfrog: reversible_sample(q, model, v)["x"])
        plain = gradient(lambda v, q=leapfrog: run(q, model, v, grad=True).x)
        errors["reversal"].append(_relative(found, truth))
        errors["discrete"].append(max(_relative(found, plain), 1e-17))
    return {"budgets": list(budgets), "batch": batch, "errors": errors, "steered": _steer(p)}


def _grid(p: Problem, steps: int) -> Grid:
    return uniform_lam(p.process, p.lam_start, p.lam_end).grid(steps)


def _relative(found: Tensor, truth: Tensor) -> float:
    """Median over starts: one start on the edge between two modes would decide a norm of all."""
    each = (found - truth).norm(dim=1) / truth.norm(dim=1)
    return float(each.median())


def _steer(p: Problem, batch: int = 32) -> list[float]:
    """Share of samples in the class, before and after each move of the starts (Adam)."""
    law, end = cast(GaussianMixture, p.law), (p.end.alpha, p.end.sigma)
    wanted = Gaussian(law.means[CLASS], law.covs[CLASS])
    plan, model = get("bdia")(p.process, _grid(p, 16), carry=True), p.model("noise")
    x = p.starts(batch).requires_grad_()
    optimiser, shares = torch.optim.Adam([x], lr=RATE), []
    for turn in range(TURNS + 1):
        sample = reversible_sample(plan, model, x)["x"]
        chosen = law.responsibilities(sample.detach(), *end).argmax(1)
        shares.append(float((chosen == CLASS).double().mean()))
        if turn < TURNS:
            optimiser.zero_grad()
            (law.log_density(sample, *end) - wanted.log_density(sample, *end)).sum().backward()
            optimiser.step()
    return shares


# the picture


def draw(data: Data) -> Figure:
    """Errors of gradients, and a class that is steered to."""
    figure = Figure(figsize=(11.0, 5.0))
    places = figure.add_gridspec(1, 2, width_ratios=(1.5, 1), wspace=0.78, left=0.07, right=0.97,
                                 top=0.78, bottom=0.12)  # fmt: skip
    _errors(figure.add_subplot(places[0, 0]), data)
    axes = figure.add_subplot(places[0, 1])
    axes.plot(data["steered"], color=COLOURS[2])
    axes.set(ylim=(0.0, 1.05), xlabel="moves of the start", ylabel="share of samples")
    axes.set_title("Steered to one of five classes")
    figure.text(0.07, 0.93, "The way back costs as much", size=17, weight="bold", va="center")
    words = "Exact denoiser of five Gaussians in the plane, λ from −4 to 3 in equal steps."
    figure.text(0.07, 0.87, words, size=9.5, color=SOFT, va="center")
    return figure


def _errors(axes: Axes, data: Data) -> None:
    budgets = data["budgets"]
    axes.set(xscale="log", yscale="log", ylim=(1e-17, 1e3), xlabel="evaluations, there and back")
    axes.set(ylabel="relative error of the gradient", title="Against the gradient of the flow")
    axes.set_xticks(budgets, [str(n) for n in budgets])
    axes.minorticks_off()
    ends = []
    for k, name in enumerate((*WAYS, "reversal")):
        errors = data["errors"][name]
        axes.plot(budgets, errors, color=COLOURS[k], marker=MARKERS[k], mec="white", mew=0.7)
        words = WAYS[name][0] if name in WAYS else REVERSAL
        ends.append(End(budgets[-1], errors[-1], words, COLOURS[k]))
    exact = data["errors"]["discrete"]
    axes.plot(budgets, exact, color=INK, lw=1.2, ls=(0, (4, 2)))
    ends.append(End(budgets[-1], exact[-1], "the same, against\nbackpropagation", INK))
    label_ends(axes, ends)


# the claims


def _frames(data: Data) -> Measured:
    """At second order, within every budget.

    At much noise ``eps = y/rho``: the state is quadrature in rho, but the adjoint, ``a ~ 1/rho``,
    is not; in x(t), where variance is preserved, it hardly moves.
    """
    ratios = [x / y for x, y in zip(data["errors"]["x2"], data["errors"]["y2"], strict=True)]
    text = f"error in x(t) over that in y(ρ): {min(ratios):.2g} to {max(ratios):.2g}"
    return Measured(text, judge(min(ratios), min(ratios), least=1.0))


def _accurate(data: Data) -> Measured:
    best = {name: data["errors"][name][-1] for name in WAYS}
    words = ", ".join(f"{error:.0e} ({WAYS[name][0]})" for name, error in best.items())
    least = min(best.values())
    text = f"{words} with {data['budgets'][-1]} evaluations"
    return Measured(text, judge(-least, -least, least=-1e-3))


def _exact(data: Data) -> Measured:
    worst = max(data["errors"]["discrete"])
    return Measured(f"at most {worst:.1g}", judge(-worst, -worst, least=-1e-10))


def _optimise(data: Data) -> Measured:
    """The discrete gradient is exact for its sampler, which is as far from the flow as it is."""
    pairs = zip(data["errors"]["reversal"], data["errors"]["y2"], strict=True)
    ratios = [adjoint / reversal for reversal, adjoint in pairs]
    text = f"error of the adjoint of order 2 over it: {min(ratios):.2g} to {max(ratios):.2g}"
    return Measured(text, judge(min(ratios), min(ratios), least=1.0))


def _steered(data: Data) -> Measured:
    first, last = data["steered"][0], data["steered"][-1]
    return Measured(f"share of the class {first:.2f} to {last:.2f}", judge(last, last, least=0.9))


CLAIMS = (
    Claim("the adjoint ODE is cheaper in y(ρ), without the stiff part of x(t)", _PAN, _frames),
    Claim(
        "with a solver of high order the adjoint is accurate at few evaluations (0.1 %)",
        _PAN,
        _accurate,
    ),
    Claim(
        "a reversible solver gives the gradient of its own numbers to rounding", _KIDGER, _exact
    ),
    Claim("discretise, then optimise, is the better of the two", _KIDGER, _optimise),
    Claim("starts can be optimised through all steps", _PAN, _steered),
)
