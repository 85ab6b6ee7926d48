"""A wrong start: the ODE keeps its error to the end, the SDEs forget it, and pay in steps.

Samplers start from N(0, I), which is not the law of the noised data: the more so, the less noise
they start from. All is exact here, on the Gaussian that fits the digits (d = 64). Left, the
divergence KL between what one has and what one should have, along the way without any error of
steps; middle, what is left of it at the end, against the level of the start; right, distances W2
with a budget of steps, where the errors of the steps come on top.

In each eigendirection the error of the mean shrinks, in units of the true width ``S = sqrt(alpha^2
c^2 + sigma^2)``, by ``((S_e/alpha_e)/(S_s/alpha_s))^eta``: not at all for eta = 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..analysis.distances import diagonal_kl, diagonal_w2
from ..analysis.gaussian_path import Normal, eigenbasis, log_shrink, marginal, prior, transition
from ..analysis.law import output_law
from ..solvers.grids import uniform_lam
from ..solvers.process import Node
from ..solvers.registry import get
from ..toy_models.problems import problem as reference_problem
from .cache import Data
from .figure import COLOURS, INK, MARKERS, SOFT, Claim, Measured, judge, progress
from .labels import End, label_ends

ETAS = (0.0, 0.25, 1.0, 2.0, 4.0)
LEVELS = (-5.0, -4.5, -4.0, -3.5, -3.0, -2.5, -2.0, -1.5, -1.0, -0.5, 0.0)
STEPS = (4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
BEGUN, END = -2.5, 4.0
METHODS = {0.0: "exp_ab2_data", 0.25: "sde_dpmpp_2m", 1.0: "sde_dpmpp_2m", 4.0: "sde_dpmpp_2m"}
PENS = dict(zip(ETAS, (INK, *COLOURS), strict=False))


def data(
    *,
    etas: Sequence[float] = ETAS,
    levels: Sequence[float] = LEVELS,
    steps: Sequence[int] = STEPS,
    begun: float = BEGUN,
    points: int = 45,
) -> Data:
    """Divergences along the way and at the end, and distances within budgets; all exact."""
    p = reference_problem("digits-gaussian")
    law, process = eigenbasis(p.law), p.process
    end = process.node_at_lam(END)
    along = np.linspace(begun, END, points).tolist()
    start = process.node_at_lam(begun)
    way = [[_left(law, start, process.node_at_lam(b), eta) for b in along] for eta in etas]
    last = [[_left(law, process.node_at_lam(b), end, eta) for b in levels] for eta in etas]
    grids, budget = uniform_lam(process, begun, END), {}
    for eta in progress([e for e in etas if e in METHODS], "prior mismatch"):
        options = {"eta": eta} if eta else {}
        budget[f"{eta:g}"] = [
            _distance(get(METHODS[eta])(process, grids.grid(n), **options), law, end)
            for n in steps
        ]
    return {
        "problem": p.describe(), "etas": list(etas), "levels": list(levels), "along": along,
        "steps": list(steps), "begun": begun, "way": way, "last": last, "budget": budget,
        "exact": {f"{e:g}": _exact_distance(law, start, end, e) for e in etas},
        "slowest": float(-log_shrink(law, begun, END).max()),
    }  # fmt: skip


def _left(law: Normal, start: Node, end: Node, eta: float) -> float:
    """KL(what one has | what one should have) at ``end`` after a start from N(0, I)."""
    have = transition(law, start, end, eta).law(prior(law, 1.0))
    return float(diagonal_kl(*have, *marginal(law, end)))


def _exact_distance(law: Normal, start: Node, end: Node, eta: float) -> float:
    """W2 at the end, for each coordinate, without any error of steps."""
    have = transition(law, start, end, eta).law(prior(law, 1.0))
    return float(diagonal_w2(*have, *marginal(law, end))) / math.sqrt(len(law.var))


def _distance(plan: object, law: Normal, end: Node) -> float:
    found = output_law(plan, law, prior(law, 1.0))  # type: ignore[arg-type]
    away = diagonal_w2(found.mean, found.var, *marginal(law, end))
    return float(away) / math.sqrt(len(law.var))


# the picture


def draw(data: Data) -> Figure:
    """Three panels, one colour an eta."""
    figure = Figure(figsize=(12.6, 4.9))
    sides = {"left": 0.06, "right": 0.9, "top": 0.76, "bottom": 0.13, "wspace": 0.3}
    places = figure.add_gridspec(1, 3, **sides)
    left, middle, right = (figure.add_subplot(places[k]) for k in range(3))
    for eta, way, last in zip(data["etas"], data["way"], data["last"], strict=True):
        left.semilogy(data["along"], way, color=PENS[eta])
        middle.semilogy(data["levels"], last, color=PENS[eta], label=f"η = {eta:g}")
    left.set(xlabel="lam, noise to data", ylabel="KL to the true law", title="Along the way")
    middle.set(xlabel="lam where sampling starts", title="KL left at the end")
    middle.legend(frameon=False, fontsize=8.5)
    _budget(right, data)
    figure.text(0.06, 0.925, "An ODE remembers a wrong start", size=17, weight="bold")
    about = f"{data['problem']['law']}, starts from N(0, I); left and right from lam = "
    figure.text(0.06, 0.865, f"{about}{data['begun']:g}", size=9.5, color=SOFT)
    return figure


def _budget(axes: Axes, data: Data) -> None:
    ends, steps = [], data["steps"]
    for k, (eta, row) in enumerate(data["budget"].items()):
        pen = {"color": PENS[float(eta)], "marker": MARKERS[k], "mec": "white", "mew": 0.6}
        axes.loglog(steps, row, **pen)
        axes.axhline(data["exact"][eta], color=PENS[float(eta)], lw=0.8, ls=(0, (2, 2)))
        words = "ODE-2" if eta == "0" else f"SDE-2, η = {eta}"
        ends.append(End(steps[-1], row[-1], words, PENS[float(eta)]))
    ticks = [n for n in (4, 8, 16, 32, 64, 128, 256) if n in steps]
    axes.set_xticks(ticks, [str(n) for n in ticks])
    axes.set_xticks([], minor=True)
    axes.set(xlabel="evaluations of the model", title="W2 within a budget; dashed: no steps")
    label_ends(axes, ends)


# the claims


def _kept(data: Data) -> Measured:
    way = np.array(data["way"][data["etas"].index(0.0)])
    drift = float(np.abs(way / way[0] - 1.0).max())
    text = f"KL {way[0]:.4g} at the start and {way[-1]:.4g} at the end, at most {drift:.1g} off"
    return Measured(text, judge(-drift, -drift, least=-1e-9))


def _exponential(data: Data) -> Measured:
    etas = np.array(data["etas"])
    ends = np.log([way[-1] for way in data["way"]])
    rate = float((ends[-2] - ends[-1]) / (etas[-1] - etas[-2]))
    bound = 2.0 * data["slowest"]
    text = (
        f"from eta {etas[-2]:g} to {etas[-1]:g} KL falls as exp(-{rate:.3g} eta); the direction "
        f"that forgets slowest has the rate {bound:.3g}"
    )
    return Measured(text, judge(rate / bound, rate / bound, least=0.95))


def _few(data: Data) -> Measured:
    ode, sde = data["budget"]["0"], data["budget"]["1"]
    few = [k for k, n in enumerate(data["steps"]) if n <= 10]
    ahead = [data["steps"][k] for k in few if ode[k] < sde[k]]
    rows = ", ".join(f"{ode[k]:.2g} and {sde[k]:.2g} with {data['steps'][k]}" for k in few)
    text = f"ODE and SDE at {rows} evaluations"
    return Measured(text, "holds" if len(ahead) == len(few) else "does not hold")


def _plateau(data: Data) -> Measured:
    ode, sde = data["budget"]["0"], data["budget"]["1"]
    flat = data["exact"]["0"]
    text = (
        f"the ODE ends at {ode[-1]:.2g}, of which {flat:.2g} are the start's alone; the SDE at "
        f"{sde[-1]:.2g}"
    )
    over = ode[-1] / sde[-1]
    return Measured(text, judge(over, over, least=1.0))


def _strongest(data: Data) -> Measured:
    """Whether the largest eta is the best at every budget."""
    best = {
        n: min(data["budget"], key=lambda e: data["budget"][e][k])
        for k, n in enumerate(data["steps"])
    }
    changes = [n for n in data["steps"] if best[n] != best[data["steps"][0]]]
    text = f"best eta: {', '.join(f'{best[n]} with {n}' for n in data['steps'][::3])}"
    largest = max(data["budget"], key=float)
    always = not changes and best[data["steps"][0]] == largest
    return Measured(text, "holds" if always else "does not hold")


_CAO = "Cao, Chen, Luo & Zhou 2023, arXiv:2306.02063"
_XU = "Xu et al. 2023 (Restart), arXiv:2306.14878"
CLAIMS = (
    Claim("the probability-flow ODE keeps the KL of a wrong start", "change of variables", _kept),
    Claim(
        "an error at the beginning falls exponentially in the strength of the noise",
        _CAO,
        _exponential,
    ),
    Claim("with few steps (up to ten) ODE samplers are ahead of SDE samplers", _XU, _few),
    Claim(
        "with many steps ODE samplers reach a plateau, and SDE samplers end lower", _XU, _plateau
    ),
    Claim("so the more noise, the better, at any budget", "what one might conclude", _strongest),
)
