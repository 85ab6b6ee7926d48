"""EVODiff: few steps and many, as coded and as in its theorem.

Left a mixture in the plane, right an image-sized one; root mean square distance to the exact flow
against the number of evaluations, which is the number of steps for all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ..analysis.paired import sample
from ..solvers.grids import uniform_lam
from ..solvers.registry import get
from ..solvers.schedules import VPLinear
from ..toy_models.images import image_mixture
from ..toy_models.problems import Problem, problem
from .cache import Data
from .figure import COLOURS, MARKERS, SOFT, Claim, Measured, judge, progress
from .labels import End, label_ends

SAMPLERS = {
    "ddim": "DDIM", "dpmpp_2m": "++(2M)", "unipc_2": "UniPC-2", "evodiff": "EVODiff",
    "evodiff_theory": "its theorem", "evodiff_published": "with its last step",
}  # fmt: skip
NFES, FEW = (5, 8, 10, 15, 20, 40, 80, 160), (5, 8, 10)
LAWS = {"mixture": "Mixture in the plane", "images": "Image mixture, d = 192"}
_LI = "Li, Chen & Zeng 2025, arXiv:2509.26096"


def _problem(name: str) -> Problem:
    if name != "images":
        return problem(name)
    law = image_mixture(size=8, channels=3, components=8, rank=4)
    return Problem("images", law, VPLinear(), -4.0, 3.0, "reference 1e-10")


def data(*, nfes: Sequence[int] = NFES, batch: int = 64) -> Data:
    """Errors of each sampler on each law: root mean square and median over starts."""
    errors: dict[str, dict[str, dict[str, list[float]]]] = {}
    for name in progress(list(LAWS), "evodiff"):
        p = _problem(name)
        x = p.starts(batch)
        truth, grids = p.endpoint(x), uniform_lam(p.process, p.lam_start, p.lam_end)
        errors[name] = {}
        for s in SAMPLERS:
            outs = [sample(get(s), p.model(), p.process, grids.grid(n), x) for n in nfes]
            each = [(out - truth).square().mean(1) for out in outs]
            errors[name][s] = {
                "rms": [_round(e.mean().sqrt()) for e in each],
                "median": [_round(e.sqrt().median()) for e in each],
            }
    return {"nfes": list(nfes), "batch": batch, "errors": errors}


def _round(value: Tensor) -> float:
    return float(f"{float(value):.4g}")


def draw(data: Data) -> Figure:
    """A panel for each law."""
    figure = Figure(figsize=(11.0, 4.8))
    sides = {"left": 0.07, "right": 0.87, "top": 0.77, "bottom": 0.12, "wspace": 0.5}
    places = figure.add_gridspec(1, 2, **sides)
    for k, (law, title) in enumerate(LAWS.items()):
        _panel(figure.add_subplot(places[k]), data, law, title)
    figure.text(0.07, 0.92, "Good at few steps, first order at many", size=17, weight="bold")
    about = f"Exact denoisers; root mean square of {data['batch']} common starts; equal steps in λ"
    figure.text(0.07, 0.86, about, size=9.5, color=SOFT)
    return figure


def _panel(axes: Axes, data: Data, law: str, title: str) -> None:
    axes.set(xscale="log", yscale="log", xlabel="evaluations of the model", title=title)
    axes.set_xticks([5, 10, 20, 40, 80, 160], ["5", "10", "20", "40", "80", "160"])
    axes.set_ylabel("distance to the exact flow")
    ends = []
    for j, (name, words) in enumerate(SAMPLERS.items()):
        line = data["errors"][law][name]["rms"]
        axes.plot(data["nfes"], line, color=COLOURS[j], marker=MARKERS[j], mec="white", mew=0.7)
        ends.append(End(data["nfes"][-1], line[-1], words, COLOURS[j]))
    axes.autoscale_view()  # labels need final limits
    label_ends(axes, ends, size=8)


def _few(law: str) -> Callable[[Data], Measured]:
    def measure(data: Data) -> Measured:
        errors, words, least = data["errors"][law], [], math.inf
        for kind, of in (("rms", "rms error"), ("median", "median error")):
            a, b = errors["dpmpp_2m"][kind], errors["evodiff"][kind]
            ratios = {n: a[k] / b[k] for k, n in enumerate(data["nfes"]) if n in FEW}
            least = min(least, *ratios.values())
            found = ", ".join(f"{r:.2g} at {n}" for n, r in ratios.items())
            words.append(f"{of} of 2M over EVODiff's {found}")
        return Measured("; ".join(words), judge(least, least, least=1.0))

    return measure


def _order(name: str, least: float) -> Callable[[Data], Measured]:
    def measure(data: Data) -> Measured:
        n = data["nfes"]
        slopes = [
            math.log(e[name]["rms"][-2] / e[name]["rms"][-1]) / math.log(n[-1] / n[-2])
            for e in data["errors"].values()
        ]
        words = f"slope between {n[-2]} and {n[-1]} steps: "
        words += ", ".join(f"{s:.2f}" for s in slopes)
        return Measured(words, judge(min(slopes), min(slopes), least=least))

    return measure


CLAIMS = (
    Claim("EVODiff is closer than 2M at 5 to 10 steps (in the plane)", _LI, _few("mixture")),
    Claim("EVODiff is closer than 2M at 5 to 10 steps (images)", _LI, _few("images")),
    Claim("EVODiff, as coded but for its last step, is of order 2", _LI, _order("evodiff", 1.75)),
    Claim(
        "with zeta = 1 and eta between 0 and 1 it is of order 2", "its theorem",
        _order("evodiff_theory", 1.75),
    ),
)  # fmt: skip
