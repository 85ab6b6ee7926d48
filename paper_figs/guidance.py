"""Strong guidance: which samplers survive it, on an exact conditional law.

The condition is two of the five components of a mixture, so conditional, unconditional and guided
model are exact, and so is the flow of the guided model. The error is the distance to that flow,
root mean square over starts, at equal evaluations.

Right: the flow itself does not end in the law ``p_c^w p_u^{1-w}`` whose score it follows. W2 of
samples to that law, by rounds of time travel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ..analysis.paired import rms
from ..analysis.two_samples import exact_w2
from ..solvers.grids import uniform_lam
from ..solvers.registry import get
from ..solvers.run import run
from ..solvers.wrappers.conditional import guided
from ..toy_models.guided import Guided, restricted
from ..toy_models.law import exact_model
from ..toy_models.mixture import GaussianMixture
from ..toy_models.problems import Problem, problem
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
TRAVELS, ROUNDS, STEPS = (1.0, 2.0, 4.0, 7.5), (0, 1, 3, 7), 40
_LU = "Lu et al. 2022, arXiv:2211.01095"
_MOU = "Mou et al. 2024, arXiv:2402.02583"
SMALL = {"weights": (1.0, 7.5), "travelled": (1.0, 7.5), "batch": 16, "samples": 192}


def data(
    *,
    weights: Sequence[float] = WEIGHTS,
    nfes: Sequence[int] = NFES,
    batch: int = 64,
    samples: int = 512,
    travelled: Sequence[float] = TRAVELS,
) -> Data:
    """Errors of each sampler at each weight and number of evaluations; W2 of time travels."""
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
    travels = {
        f"{w:g}": _travels(p, law, w, samples) for w in progress(list(travelled), "time travel")
    }
    return {
        "weights": list(weights), "nfes": list(nfes), "batch": batch, "errors": errors,
        "samples": samples, "rounds": list(ROUNDS), "travels": travels,
    }  # fmt: skip


def _travels(p: Problem, law: GaussianMixture, weight: float, n: int) -> list[float]:
    """W2 of n samples to n of the law that guidance aims at, for each number of rounds.

    And last, without a round, in as many small steps as the most rounds cost evaluations.
    """
    goal = _aimed_at(p, law, weight, n)
    model = exact_model(Guided(law, cast(GaussianMixture, p.law), weight), p.process)
    grids, x = uniform_lam(p.process, p.lam_start, p.lam_end), p.starts(n, seed=3)
    runs = [(STEPS, r) for r in ROUNDS] + [(STEPS * (1 + max(ROUNDS)), 0)]
    ends = [
        run(get("time_travel")(p.process, grids.grid(k), rounds=r), model, x, noise=1).x
        for k, r in runs
    ]
    return [float(f"{float(exact_w2(x, goal)):.3g}") for x in ends]


def _aimed_at(p: Problem, law: GaussianMixture, weight: float, n: int) -> Tensor:
    """Quantiles, along the cells of a fine lattice, of ``p_c^w p_u^{1-w}`` at the last level."""
    lines = torch.linspace(-2.2, 2.2, 661, dtype=torch.float64)
    plane, level = torch.cartesian_prod(lines, lines), (p.end.alpha, p.end.sigma)
    free = cast(GaussianMixture, p.law).log_density(plane, *level)
    log_p = weight * law.log_density(plane, *level) + (1 - weight) * free
    middles = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    return plane[torch.searchsorted(log_p.softmax(0).cumsum(0), middles)]


def draw(data: Data) -> Figure:
    """A panel for each number of evaluations, and one of what the rounds change."""
    figure = Figure(figsize=(14.2, 4.6))
    sides = {"left": 0.055, "right": 0.66, "top": 0.76, "bottom": 0.13, "wspace": 0.2}
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
    place = figure.add_gridspec(1, 1, left=0.8, right=0.935, top=0.76, bottom=0.13)
    _rounds(figure.add_subplot(place[0]), data)
    figure.text(0.055, 0.915, "What guidance does to samplers", size=17, weight="bold")
    about = (
        f"Exact guided model of a mixture in the plane; rms of {data['batch']} common starts, "
        f"W2 of {data['samples']}"
    )
    figure.text(0.055, 0.855, about, size=9.5, color=SOFT)
    return figure


def _rounds(axes: Axes, data: Data) -> None:
    axes.set(xlabel="rounds of time travel", title="Bias of guidance")
    axes.set_ylabel(r"W2 to $p_c^w\,p_u^{1-w}$")
    axes.set_xticks(data["rounds"])
    axes.set_ylim(0.0, 1.1 * max(max(line) for line in data["travels"].values()))
    ends = []
    for j, (w, line) in enumerate(data["travels"].items()):
        axes.plot(
            data["rounds"], line[:-1], color=COLOURS[j], marker=MARKERS[j], mec="white", mew=0.7
        )
        ends.append(End(data["rounds"][-1], line[-2], f"w = {w}", COLOURS[j]))
    label_ends(axes, ends, size=8)


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


def _taken_back(data: Data) -> Measured:
    """At the strongest weight, against the flow with as many evaluations."""
    line = data["travels"][STRONG]
    words = ", ".join(f"{v:.2g} at {r}" for r, v in zip(data["rounds"], line, strict=False))
    ratio = line[-1] / line[-2]
    text = f"W2 by rounds: {words}; {line[-1]:.2g} with as many evaluations in small steps"
    return Measured(text, judge(ratio, ratio, least=2))


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
    Claim(
        "time travel takes back the bias of guidance (here: half of it or more)", _MOU,
        _taken_back,
    ),
)  # fmt: skip
