"""Strong guidance: which samplers survive it, on an exact conditional law.

The condition is two of the five components of a mixture, so conditional, unconditional and guided
model are exact, and so is the flow of the guided model. The error is the distance to that flow,
root mean square over starts, at equal evaluations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..analysis.paired import rms
from ..solvers.grids import uniform_lam
from ..solvers.registry import get
from ..solvers.run import run
from ..solvers.wrappers.conditional import guided
from ..toy_models.guided import Guided, restricted
from ..toy_models.law import exact_model
from ..toy_models.mixture import GaussianMixture
from ..toy_models.problems import problem
from ..toy_models.reference import reference_flow
from .cache import Data
from .figure import COLOURS, MARKERS, SOFT, Claim, Measured, judge, progress
from .labels import End, label_ends

SAMPLERS = {
    "ddim": "DDIM", "dpm_solver_2": "DPM-Solver-2 (ε)", "dpmpp_2s": "++(2S) (D)",
    "dpmpp_2m": "++(2M) (D)", "exp_ab2_noise": "Adams 2 (ε)",
}  # fmt: skip
WEIGHTS, NFES, CONDITION = (1.0, 2.0, 4.0, 7.5, 12.0), (10, 16, 20), (0, 3)
STRONG = "7.5"
_LU = "Lu et al. 2022, arXiv:2211.01095"


def data(
    *, weights: Sequence[float] = WEIGHTS, nfes: Sequence[int] = NFES, batch: int = 64
) -> Data:
    """Errors of each sampler at each weight and number of evaluations."""
    p = problem("mixture")
    law = restricted(cast(GaussianMixture, p.law), CONDITION)
    x, grids = p.starts(batch), uniform_lam(p.process, p.lam_start, p.lam_end)
    ends = (p.start.alpha, p.start.sigma), (p.end.alpha, p.end.sigma)
    errors: dict[str, dict[str, dict[str, float]]] = {}
    for w in progress(list(weights), "guidance"):
        truth = reference_flow(Guided(law, p.law, w), x, *ends).x
        found: dict[str, dict[str, float]] = {str(n): {} for n in nfes}
        for name in SAMPLERS:
            entry = get(name)
            condition = exact_model(law, p.process, entry.prediction)
            free = exact_model(p.law, p.process, entry.prediction)
            model = guided(condition, free, p.process, weight=w)
            for n in nfes:
                steps = n // (entry.nfe(2) // 2)
                out = run(entry(p.process, grids.grid(steps)), model, x).x
                found[str(n)][name] = float(f"{rms(out - truth):.4g}")
        errors[f"{w:g}"] = found
    return {"weights": list(weights), "nfes": list(nfes), "batch": batch, "errors": errors}


def draw(data: Data) -> Figure:
    """A panel for each number of evaluations."""
    figure = Figure(figsize=(11.6, 4.6))
    sides = {"left": 0.065, "right": 0.89, "top": 0.76, "bottom": 0.13, "wspace": 0.2}
    places = figure.add_gridspec(1, len(data["nfes"]), **sides)
    first: Axes | None = None
    for k, n in enumerate(data["nfes"]):
        axes = figure.add_subplot(places[k], sharey=first)
        first = first or axes
        axes.set(xscale="log", yscale="log", xlabel="guidance weight", title=f"{n} evaluations")
        axes.set_xticks(data["weights"], [f"{w:g}" for w in data["weights"]])
        axes.set_xticks([], minor=True)
        ends = []
        for j, (name, title) in enumerate(SAMPLERS.items()):
            line = [data["errors"][f"{w:g}"][str(n)][name] for w in data["weights"]]
            axes.plot(
                data["weights"], line, color=COLOURS[j], marker=MARKERS[j], mec="white", mew=0.7
            )
            ends.append(End(data["weights"][-1], line[-1], title, COLOURS[j]))
        if k == 0:
            axes.set_ylabel("distance to the guided flow")
        if k == len(data["nfes"]) - 1:
            axes.autoscale_view()  # labels need final limits
            label_ends(axes, ends, size=8)
    figure.text(0.065, 0.915, "What guidance does to samplers", size=17, weight="bold")
    about = f"Exact guided model of a mixture in the plane; rms of {data['batch']} common starts"
    figure.text(0.065, 0.855, about, size=9.5, color=SOFT)
    return figure


def _ratio(data: Data, worse: str, better: str) -> dict[int, float]:
    at = data["errors"][STRONG]
    return {n: at[str(n)][worse] / at[str(n)][better] for n in data["nfes"]}


def _words(found: dict[int, float]) -> str:
    return ", ".join(f"{r:.2g} at {n} evaluations" for n, r in found.items())


def _blow_up(data: Data) -> Measured:
    found = _ratio(data, "dpm_solver_2", "ddim")
    few = found[min(found)]
    return Measured(
        f"error of DPM-Solver-2 over DDIM's: {_words(found)}", judge(few, few, least=5)
    )


def _data_survive(data: Data) -> Measured:
    found = _ratio(data, "ddim", "dpmpp_2s")
    least = min(found.values())
    return Measured(f"error of DDIM over 2S's: {_words(found)}", judge(least, least, least=1))


def _multistep(data: Data) -> Measured:
    found = _ratio(data, "exp_ab2_noise", "dpmpp_2m")
    least = min(found.values())
    words = f"error on the noise over that on the data prediction: {_words(found)}"
    return Measured(words, judge(least, least, least=1))


CLAIMS = (
    Claim(
        "under strong guidance a second-order solver on the noise prediction is worse than DDIM "
        "(here: five times)", _LU, _blow_up,
    ),
    Claim("a second-order solver on the data prediction is better than DDIM", _LU, _data_survive),
    Claim(
        "multistep solvers, too, are better on the data than on the noise prediction", _LU,
        _multistep,
    ),
)  # fmt: skip
