"""What DPM-Solver-v3 measures on a model, and what that buys: l, s and errors against evaluations.

Statistics of the data prediction of three laws, estimated from trajectories: l is the mean slope
of ``sigma eps`` in x, s the mean rate at which what is left of it grows. Beside them the fixed
choices of the usual parameterisations. Errors are those of starts that the fit did not see.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ..analysis.paired import sample
from ..solvers.fitted.statistics_v3 import Statistics, estimate
from ..solvers.grids import uniform_lam
from ..solvers.registry import get
from ..solvers.schedules import VPLinear
from ..toy_models.images import image_mixture
from ..toy_models.problems import Problem
from ..toy_models.problems import problem as reference_problem
from .cache import Data
from .compare import Curve, beats, everywhere, ratio, times
from .figure import COLOURS, INK, MARKERS, SOFT, Claim, Measured, progress
from .labels import End, label_ends

LAWS = {
    "mixture": "five Gaussians, d = 2",
    "digits-mixture": "digits, d = 64",
    "images": "smooth images, d = 64",
}
SAMPLERS = {
    "ddim": "DDIM", "dpmpp_2m": "DPM-Solver++(2M)", "unipc_2": "UniPC-2",
    "dpm_v3_1": "v3-1", "dpm_v3_2": "v3-2", "dpm_v3_2_corrected": "v3-2, corrected",
    "dpm_v3_3_pseudo": "v3-3, pseudo", "dpm_v3_3": "v3-3",
}  # fmt: skip
NFES = (4, 5, 6, 8, 10, 15, 20, 40, 80)
FEW = (5, 6, 8, 10)
SIGMA_DATA = 0.5
_ZHENG = "Zheng, Lu, Chen & Zhu 2023, arXiv:2310.13268"
SMALL = {"nfes": (5, 6, 8, 10), "nodes": 20}


def _law(name: str) -> Problem:
    if name != "images":
        return reference_problem(name)
    law = image_mixture(size=8, channels=1, components=8, rank=4)
    return Problem("images", law, VPLinear(), -4.0, 4.0, "no flow is asked for")


def data(
    *, nfes: Sequence[int] = NFES, fitted_on: int = 256, batch: int = 64, nodes: int = 40
) -> Data:
    """Statistics of three laws, and errors of fitted and fixed samplers on two of them."""
    out: Data = {"nfes": list(nfes), "batch": batch, "fitted_on": fitted_on}
    out["laws"], out["curves"] = {}, {}
    for name in progress(list(LAWS), "v3 statistics"):
        p = _law(name)
        grid = uniform_lam(p.process, p.lam_start, p.lam_end).grid(4)
        seen = p.starts(fitted_on, seed=1)
        found = estimate(p.model(), p.process, grid, seen, nodes=nodes, probes=2)
        out["laws"][name] = _tables(found, p)
        if name != "images":
            out["curves"][name] = _curves(p, found, nfes, p.starts(batch, seed=2))
    return out


def _tables(found: Statistics, p: Problem) -> dict[str, Any]:
    """Mean over coordinates of l and s, and their least and largest, at 81 levels."""
    lams = np.linspace(p.lam_start, p.lam_end, 81)
    alphas = np.exp(p.process.log_alpha_of_lam(lams))
    ell, s, _ = found.at(lams)
    rows = {"lam": lams, "alpha": alphas}
    for key, table in (("l", ell), ("s", s)):
        rows |= {key: table.mean(1), f"{key}_low": table.min(1), f"{key}_high": table.max(1)}
    return {key: [float(f"{v:.5g}") for v in row] for key, row in rows.items()}


def _curves(p: Problem, found: Statistics, nfes: Sequence[int], x: Tensor) -> dict[str, Any]:
    truth, maps = p.endpoint(x), uniform_lam(p.process, p.lam_start, p.lam_end)
    out: dict[str, Any] = {}
    for name in SAMPLERS:
        options = {"statistics": found} if name.startswith("dpm_v3") else {}
        errors = []
        for steps in nfes:
            got = sample(get(name), p.model(), p.process, maps.grid(steps), x, **options)
            each = (got - truth).square().mean(1).sqrt() / p.end.alpha
            errors.append([float(f"{e:.4g}") for e in each.tolist()])
        out[name] = {"nfe": list(nfes), "steps": list(nfes), "errors": errors}
    return out


def curve(data: Data, law: str, name: str) -> Curve:
    """The errors of a sampler on a law."""
    return Curve.of(data["curves"][law][name])


def overlays(lam: np.ndarray, alpha: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """``name -> (l, s)`` of the parameterisations of the field, on a variance-preserving process.

    EDM: ``l = 1 - c_skip`` and ``s = dlog c_out/dlam``, with sigma_data = 0.5.
    """
    one, a2, rho2 = np.ones_like(lam), alpha**2, np.exp(-2 * lam)
    share = rho2 / (rho2 + SIGMA_DATA**2)
    return {
        "data": (one, 0 * one), "noise": (0 * one, -one), "velocity": (1 - a2, -a2),
        "EDM": (share, share - 1),
    }  # fmt: skip


# the picture


def draw(data: Data) -> Figure:
    """The two statistics above, the errors below."""
    figure = Figure(figsize=(11.0, 8.6))
    places = figure.add_gridspec(
        2, 2, left=0.07, right=0.86, top=0.88, bottom=0.07, wspace=0.5, hspace=0.34
    )
    for k, (key, title) in enumerate((("l", "l: slope of σε in x"), ("s", "s: its own growth"))):
        axes = figure.add_subplot(places[0, k])
        _statistic(axes, data, key, k)
        axes.set_title(title)
        axes.set_xlabel("λ = log(α/σ)")
    for k, law in enumerate(data["curves"]):
        axes = figure.add_subplot(places[1, k])
        _errors(axes, data, law)
        axes.set_title(f"{LAWS[law]}: distance to the flow")
        axes.set_xlabel("evaluations of the model")
    figure.text(0.07, 0.955, "A parameterisation measured on the model", size=17, weight="bold")
    about = f"Statistics from {data['fitted_on']} starts; errors on {data['batch']} others, median"
    figure.text(0.07, 0.925, about, size=9.5, color=SOFT)
    return figure


def _statistic(axes: Axes, data: Data, key: str, which: int) -> None:
    ends: list[End] = []
    first = next(iter(data["laws"].values()))
    lam, alpha = np.array(first["lam"]), np.array(first["alpha"])
    for name, choice in overlays(lam, alpha).items():
        axes.plot(lam, choice[which], color=SOFT, lw=1.0, ls=(0, (4, 2)))
        ends.append(End(lam[-1], choice[which][-1], name, SOFT))
    for k, (name, table) in enumerate(data["laws"].items()):
        axes.plot(table["lam"], table[key], color=COLOURS[k], zorder=3)
        low, high = table[f"{key}_low"], table[f"{key}_high"]
        axes.fill_between(table["lam"], low, high, color=COLOURS[k], alpha=0.12, lw=0)
        at = float(np.interp(lam[-1], table["lam"], table[key]))
        ends.append(End(lam[-1], at, LAWS[name], COLOURS[k]))
    axes.set_xlim(lam[0], lam[-1])
    axes.set_ylim(*((-0.05, 1.05) if key == "l" else (-2.5, 2.0)))
    label_ends(axes, [end._replace(y=float(np.clip(end.y, -2.4, 1.9))) for end in ends])


def _errors(axes: Axes, data: Data, law: str) -> None:
    axes.set(xscale="log", yscale="log", xlim=(min(data["nfes"]), max(data["nfes"])))
    ticks = [n for n in (5, 10, 20, 40, 80) if n <= max(data["nfes"])]
    axes.minorticks_off()
    axes.set_xticks(ticks, [str(n) for n in ticks])
    ends = []
    for k, (name, words) in enumerate(SAMPLERS.items()):
        c = curve(data, law, name)
        colour = (INK, SOFT)[k] if k < 2 else COLOURS[k - 2]
        style = (0, (4, 2)) if not name.startswith("dpm_v3") else "-"
        marker = MARKERS[k % len(MARKERS)] if style == "-" else None
        axes.plot(c.nfe, c.typical, color=colour, ls=style, marker=marker, mec="white", mew=0.6)
        ends.append(End(c.nfe[-1], c.typical[-1], words, colour))
    axes.set_ylim(*axes.get_ylim())
    label_ends(axes, ends)


# the claims


def _first_order(data: Data) -> Measured:
    return beats(curve(data, "mixture", "ddim"), curve(data, "mixture", "dpm_v3_1"), (5, 10))


def _low_budgets(data: Data) -> Measured:
    """The best of v3 against the best of 2M and UniPC-2, on the digits."""
    found = {}
    for n in FEW:
        rivals = [curve(data, "digits-mixture", name) for name in ("dpmpp_2m", "unipc_2")]
        ours = [curve(data, "digits-mixture", s) for s in SAMPLERS if s.startswith("dpm_v3")]
        rival, mine = (min(g, key=lambda c: c.typical[c.within(n)]) for g in (rivals, ours))
        found[n] = ratio(rival, mine, n)
    return Measured(f"times closer: {times(found)}", everywhere(found.values(), least=1.0))


def _pseudo(data: Data) -> Measured:
    law = "digits-mixture"
    return beats(curve(data, law, "dpm_v3_3"), curve(data, law, "dpm_v3_3_pseudo"), (5,))


def _near(data: Data) -> Measured:
    """Which fixed l is nearest to the measured one on the digits, largest distance over lam."""
    table = data["laws"]["digits-mixture"]
    lam, alpha, ell = (np.array(table[key]) for key in ("lam", "alpha", "l"))
    gaps = {
        name: float(np.abs(choice[0] - ell).max()) for name, choice in overlays(lam, alpha).items()
    }
    nearest = min(gaps, key=lambda name: gaps[name])
    words = ", ".join(f"{name} {gap:.2f}" for name, gap in gaps.items())
    verdict = "holds" if nearest in ("velocity", "EDM") else "does not hold"
    return Measured(f"largest distance of l: {words}", verdict)


CLAIMS = (
    Claim(
        "with fitted statistics order 1 beats DDIM at 5 and 10 evaluations", _ZHENG, _first_order,
    ),
    Claim(
        "DPM-Solver-v3 beats DPM-Solver++(2M) and UniPC at 5 to 10 evaluations", _ZHENG,
        _low_budgets,
    ),
    Claim("with 5 evaluations pseudo-orders beat true ones", _ZHENG, _pseudo),
    Claim(
        "the measured l lies nearer to that of velocity or of EDM than to data or noise",
        "what the success of both parameterisations suggests", _near,
    ),
)  # fmt: skip
