"""Looks fourth order, is second: the pseudo methods of PNDM on a grid uniform in time.

They average noise predictions by Adams-Bashforth weights of equal steps and then take one DDIM
step. On steps that are not equal in rho = sigma/alpha the average belongs to another point than
the step does, and the difference is O(h^3) a step: second order, whatever the weights. The
coefficient is small, so that the curve of four outputs first falls as if it were of fourth order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..analysis.paired import rms
from ..solvers.grids import power_t
from ..solvers.registry import get
from ..solvers.run import run
from ..toy_models.problems import problem as reference_problem
from .cache import Data
from .figure import COLOURS, MARKERS, SOFT, Claim, Measured, Verdict, judge, progress
from .labels import End, label_ends

SHOWN = {
    "ddim": "DDIM", "spndm": "S-PNDM", "pndm": "F-PNDM", "ipndm": "iPNDM",
    "deis_rhoab4": "Adams-Bashforth 4 in ρ",
}  # fmt: skip
STEPS = (10, 20, 40, 80, 160, 320, 640, 1280, 2560)
PNDM = "pndm"
SMALL = {"batch": 8, "steps": (10, 20, 40, 80, 160, 320, 640, 1280)}


def data(*, problem: str = "mixture", steps: Sequence[int] = STEPS, batch: int = 64) -> Data:
    """Paired errors on grids uniform in time, root mean square over starts."""
    p = reference_problem(problem)
    maps = power_t(p.process, p.start.t, p.end.t)
    x = p.starts(batch)
    truth = p.endpoint(x)
    curves: dict[str, list[float]] = {}
    for name in progress(list(SHOWN), "pndm order"):
        sampler = get(name)
        model = p.model(sampler.prediction)
        errors = [rms(run(sampler(p.process, maps.grid(n)), model, x).x - truth) for n in steps]
        curves[name] = [float(f"{e:.6g}") for e in errors]
    return {"problem": p.describe(), "batch": batch, "steps": list(steps), "errors": curves}


def slopes(data: Data, name: str) -> list[float]:
    """Local order between consecutive numbers of steps."""
    cost = [math.log(n) for n in data["steps"]]
    size = [math.log(e) for e in data["errors"][name]]
    pairs = zip(pairwise(cost), pairwise(size), strict=True)
    return [(e - f) / (m - n) for (n, m), (e, f) in pairs]


def draw(data: Data) -> Figure:
    """Errors, and the local order under them."""
    figure = Figure(figsize=(9.4, 8.2))
    sides = {"left": 0.1, "right": 0.78, "hspace": 0.28, "top": 0.86, "bottom": 0.09}
    top, low = figure.subplots(2, 1, sharex=True, height_ratios=(1.5, 1.0), gridspec_kw=sides)
    n = data["steps"]
    top.set(xscale="log", yscale="log", ylabel="distance to the exact flow")
    low.set(xscale="log", ylabel="local order", xlabel="steps, uniform in time", ylim=(0.0, 5.2))
    every = [e for errors in data["errors"].values() for e in errors]
    top.set(xlim=(0.85 * n[0], 1.15 * n[-1]), ylim=(min(every) / 3, 3 * max(every)))
    ends = []
    for k, (name, title) in enumerate(SHOWN.items()):
        style = {"color": COLOURS[k], "marker": MARKERS[k], "mec": "white", "mew": 0.7}
        top.plot(n, data["errors"][name], **style)
        middle = [math.sqrt(a * b) for a, b in pairwise(n)]
        low.plot(middle, slopes(data, name), **style)
        ends.append(End(n[-1], data["errors"][name][-1], title, COLOURS[k]))
    _slopes_to_compare(top, n, data["errors"][PNDM])
    for order in (2, 4):
        low.axhline(order, color=SOFT, lw=1.0, ls=(0, (4, 3)), zorder=1)
    label_ends(top, ends)
    figure.text(0.1, 0.945, "Looks fourth order, is second", size=16, weight="bold")
    about = f"{data['problem']['law']}, exact denoiser, {data['batch']} common starts"
    figure.text(0.1, 0.91, about, size=9.5, color=SOFT)
    return figure


def _slopes_to_compare(axes: Axes, n: Sequence[int], errors: Sequence[float]) -> None:
    """Lines of order 4 beside the steep part of the curve and of order 2 beside its end."""
    for order, at, span in ((4, 3, slice(2, 5)), (2, len(n) - 2, slice(-4, None))):
        anchor = 0.35 * errors[at] if order == 4 else 0.25 * errors[at]
        line = [anchor * (n[at] / m) ** order for m in n[span]]
        axes.plot(n[span], line, color=SOFT, lw=1.0, ls=(0, (4, 3)), zorder=1)
        axes.annotate(
            f"order {order}", (n[span][0], line[0]), (-4, -10), textcoords="offset points",
            size=8, color=SOFT, ha="right",
        )  # fmt: skip


# the claims


def _ends_second(data: Data) -> Measured:
    found = slopes(data, PNDM)
    inside: Verdict = "holds" if 1.85 < found[-1] < 2.2 else "does not hold"
    text = f"local order {found[-1]:.2f} at {data['steps'][-1]} steps"
    return Measured(text, inside)


def _looks_fourth(data: Data) -> Measured:
    found = slopes(data, PNDM)
    best = max(found)
    return Measured(f"local orders up to {best:.1f}", judge(best, best, least=3.0))


def _is_fourth(data: Data) -> Measured:
    found = slopes(data, PNDM)[-1]
    return Measured(f"local order {found:.2f} in the end", judge(found, found, least=3.75))


def _at_ten(data: Data) -> Measured:
    j = data["steps"].index(20) if 20 in data["steps"] else 0
    ratio = data["errors"]["ddim"][j] / data["errors"][PNDM][j]
    text = f"{ratio:.2g} times closer at {data['steps'][j]} steps, for 9 evaluations more"
    return Measured(text, judge(ratio, ratio, least=1.0))


_LIU = "Liu et al. 2022, arXiv:2202.09778"
CLAIMS = (
    Claim("F-PNDM is second-order convergent", _LIU, _ends_second),
    Claim(
        "F-PNDM shows third order and more before that", "what few steps suggest", _looks_fourth
    ),
    Claim("a method of four outputs is of fourth order", "its name", _is_fourth),
    Claim("F-PNDM beats DDIM at equal steps", _LIU, _at_ten),
)
