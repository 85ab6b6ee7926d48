"""DualFast: two errors, and one coefficient that is asked to repair both.

Left the error of DDIM with an imperfect network, split into the network's and the solver's,
against the number of steps. Middle and right the mixing c that is best at the end of the run, with
an exact network and with an imperfect one, next to the last evaluation and next to the first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ..analysis.paired import rms
from ..solvers.grids import uniform_lam
from ..solvers.model import Model
from ..solvers.registry import get
from ..solvers.run import run
from ..solvers.wrappers.dualfast import dualfast, split_error
from ..toy_models.law import exact_model
from ..toy_models.perturbed import FourierField, Perturbed
from ..toy_models.problems import Problem, problem
from ..toy_models.reference import reference_flow
from .cache import Data
from .figure import COLOURS, INK, MARKERS, SOFT, Claim, Measured, judge, progress
from .labels import End, label_ends

STEPS = (5, 8, 10, 15, 20, 40, 80)
MIXINGS = tuple(round(-0.5 + 0.1 * k, 1) for k in range(17))
CASES = {
    "ddim-last": "DDIM, last", "ddim-first": "DDIM, first", "dpmpp_2m-last": "++(2M), last",
    "dpmpp_2m-first": "++(2M), first",
}  # fmt: skip
_YU = "Yu et al. 2025, arXiv:2506.13058"


def _amplitude(lam: float | Tensor) -> Tensor:
    """Error of the network: less where there is more noise, 0.1 at the end."""
    return 0.1 * torch.sigmoid(2 * torch.as_tensor(lam, dtype=torch.float64))


def data(
    *, steps: Sequence[int] = STEPS, mixings: Sequence[float] = MIXINGS, batch: int = 24
) -> Data:
    """The split of the error, and the best mixing of each case."""
    p = problem("mixture")
    law = Perturbed(p.law, FourierField.random(2, length=0.5, seed=1), _amplitude)
    x, ends = p.starts(batch), ((p.start.alpha, p.start.sigma), (p.end.alpha, p.end.sigma))
    truth, fine = p.endpoint(x), reference_flow(law, x, *ends).x
    models = {"exact": p.model(), "imperfect": exact_model(law, p.process, "data")}
    grids = uniform_lam(p.process, p.lam_start, p.lam_end)
    split = []
    for n in steps:
        out = run(get("ddim")(p.process, grids.grid(n)), models["imperfect"], x).x
        split.append({k: round(v, 6) for k, v in split_error(out, fine, truth).items()})
    best = {
        kind: {
            case: [_best(p, case, n, mixings, model, x, truth) for n in steps]
            for case in progress(list(CASES), "dualfast")
        }
        for kind, model in models.items()
    }
    return {"steps": list(steps), "batch": batch, "split": split, "best": best}


def _best(
    p: Problem, case: str, n: int, mixings: Sequence[float], model: Model, x: Tensor, truth: Tensor
) -> list[float]:
    """``[best c, its error, the error at c = 0]``: the vertex of the parabola at the least one."""
    name, anchor = case.split("-")
    plan = get(name)(p.process, uniform_lam(p.process, p.lam_start, p.lam_end).grid(n))
    errors = [rms(run(dualfast(plan, c, anchor=anchor), model, x).x - truth) for c in mixings]
    k = int(np.clip(np.argmin(errors), 1, len(errors) - 2))
    a, b, _ = np.polyfit(mixings[k - 1 : k + 2], np.square(errors[k - 1 : k + 2]), 2)
    c = float(np.clip(-b / (2 * a), mixings[0], mixings[-1])) if a > 0 else mixings[k]
    end = rms(run(dualfast(plan, c, anchor=anchor), model, x).x - truth)
    zero = rms(run(plan, model, x).x - truth)
    return [round(c, 3), float(f"{end:.4g}"), float(f"{zero:.4g}")]


def draw(data: Data) -> Figure:
    """The split, and two panels of best mixings."""
    figure = Figure(figsize=(11.6, 4.7))
    sides = {"left": 0.065, "right": 0.91, "top": 0.77, "bottom": 0.13, "wspace": 0.55}
    places = figure.add_gridspec(1, 3, **sides)
    _draw_split(figure.add_subplot(places[0]), data)
    for k, kind in enumerate(data["best"], 1):
        _draw_best(figure.add_subplot(places[k]), data, kind, last=k == 2)
    figure.text(0.065, 0.92, "Two errors and one coefficient", size=17, weight="bold")
    about = f"Mixture in the plane; rms of {data['batch']} starts; the network errs less in noise"
    figure.text(0.065, 0.86, about, size=9.5, color=SOFT)
    return figure


def _draw_split(axes: Axes, data: Data) -> None:
    axes.set(xscale="log", yscale="log", xlabel="steps of DDIM", title="Imperfect network")
    axes.set_ylabel("rms error")
    _ticks(axes, data)
    axes.set_yticks([0.002, 0.01, 0.05, 0.2], ["0.002", "0.01", "0.05", "0.2"])
    axes.set_yticks([], minor=True)
    ends = []
    for k, name in enumerate(("total", "approximation", "discretization")):
        line = [row[name] for row in data["split"]]
        axes.plot(data["steps"], line, color=COLOURS[k], marker=MARKERS[k], mec="white")
        words = {"total": "both", "approximation": "network", "discretization": "solver"}[name]
        ends.append(End(data["steps"][-1], line[-1], words, COLOURS[k]))
    axes.autoscale_view()  # labels need final limits
    label_ends(axes, ends, size=8)


def _ticks(axes: Axes, data: Data) -> None:
    axes.set_xticks(data["steps"], [str(n) for n in data["steps"]])
    axes.set_xticks([], minor=True)


def _draw_best(axes: Axes, data: Data, kind: str, *, last: bool) -> None:
    axes.set(
        xscale="log", xlabel="steps", title=f"{kind.capitalize()} network", ylim=(-0.55, 1.15)
    )
    axes.set_ylabel("best mixing c")
    _ticks(axes, data)
    axes.axhline(0, color=INK, lw=0.8)
    axes.axhline(0.5, color=SOFT, lw=0.8, ls=(0, (4, 2)))
    ends = []
    for k, (case, words) in enumerate(CASES.items()):
        line = [c for c, _, _ in data["best"][kind][case]]
        axes.plot(data["steps"], line, color=COLOURS[k], marker=MARKERS[k], mec="white")
        ends.append(End(data["steps"][-1], line[-1], words, COLOURS[k]))
    if last:
        axes.autoscale_view()  # labels need final limits
        label_ends(axes, ends, size=8)


def _at(data: Data, kind: str, case: str) -> dict[int, list[float]]:
    return dict(zip(data["steps"], data["best"][kind][case], strict=True))


def _vanishes(case: str) -> Callable[[Data], Measured]:
    def measure(data: Data) -> Measured:
        found = _at(data, "exact", case)
        words = ", ".join(f"{found[n][0]:.2f} at {n}" for n in data["steps"][2::2])
        last = abs(found[data["steps"][-1]][0])
        return Measured(f"best c {words} steps", judge(-last, -last, least=-0.1))

    return measure


def _positive(data: Data) -> Measured:
    few = data["steps"][:3]
    found = {case: [_at(data, "imperfect", case)[n] for n in few] for case in CASES}
    words = "; ".join(
        f"{CASES[case]} {min(r[0] for r in rows):.2f} to {max(r[0] for r in rows):.2f}, "
        f"error {max(r[1] / r[2] for r in rows):.2f} times at most"
        for case, rows in found.items()
    )
    least = min(r[0] for rows in found.values() for r in rows)
    return Measured(
        f"best c at {few[0]} to {few[-1]} steps: {words}", judge(least, least, least=0.0)
    )


def _crosses(data: Data) -> Measured:
    more = [n for n, r in zip(data["steps"], data["split"], strict=True)
            if r["discretization"] > r["approximation"]]  # fmt: skip
    words = f"the solver's error is the larger one up to {max(more, default=0)} steps"
    verdict = "holds" if more and len(more) < len(data["steps"]) else "does not hold"
    return Measured(words, verdict)


CLAIMS = (
    Claim("both errors matter: they cross as steps are added", _YU, _crosses),
    Claim("mixing away from a noisier level (c > 0) pays at few steps", _YU, _positive),
    *(
        Claim(
            f"without an error of the network the best c vanishes ({words})", "its motivation",
            _vanishes(case),
        )
        for case, words in CASES.items()
    ),
)  # fmt: skip
