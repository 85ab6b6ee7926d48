"""Work-precision of the zoo on real digits: error against evaluations, no sampling noise.

The law is a mixture of ten Gaussians fitted to handwritten digits (d = 64); its denoiser is
exact, and every sampler starts from the same 32 states. The error of a start is its distance to
the exact probability-flow ODE, root mean square over pixels, in units of the data; shown is the
median over starts. Where the exact flow hesitates between two digits a sampler with few steps may
end at the other one: such a start is shown below.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpecBase
from torch import Tensor

from ..analysis.budget import steps_within
from ..analysis.paired import sample
from ..solvers.grids import uniform_lam
from ..solvers.registry import get
from ..toy_models.mixture import GaussianMixture
from ..toy_models.problems import Problem
from ..toy_models.problems import problem as reference_problem
from .cache import Data
from .compare import Curve, Interval, beats, envelope, everywhere, faster, ratio, slope, times
from .figure import COLOURS, FAINT, INK, MARKERS, SOFT, Claim, Measured, judge, progress
from .labels import End, label_ends

NFES = (4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 35, 40, 50, 70, 100, 140, 200)
MORE = (("ddim", 1000), ("pndm", 59))  # 1000 steps of DDIM and 50 of PNDM, of which a paper speaks
BASELINE = "ddim"
PANELS = {
    "One step at a time": {
        "dpmpp_2s": "DPM-Solver++(2S)", "dpm_solver_2": "DPM-Solver-2",
        "dpm_solver_3": "DPM-Solver-3", "edm_heun": "Heun (EDM)", "rho_rk4": "RK4 in ρ",
    },
    "Multistep, data prediction": {
        "dpmpp_2m": "DPM-Solver++(2M)", "dpmpp_3m_published": "3M as published",
        "dpmpp_3m": "3M corrected", "exp_ab4_data": "exponential AB4",
    },
    "Multistep, noise prediction": {
        "deis_rhoab3": "DEIS ρAB3", "deis_tab3": "DEIS tAB3",
        "exp_ab3_noise": "exponential AB3", "ipndm": "iPNDM", "pndm": "PNDM",
    },
    "Predictor and corrector": {
        "unipc_1": "UniPC-1", "unipc_2": "UniPC-2", "unipc_2_b1": "UniPC-2 (B1)",
        "unipc_3": "UniPC-3",
    },
}  # fmt: skip
STRIP = {
    "ddim": "DDIM", "edm_heun": "Heun", "dpm_solver_3": "DPM-Solver-3", "dpmpp_2s": "++(2S)",
    "dpmpp_2m": "++(2M)", "ipndm": "iPNDM", "unipc_2": "UniPC-2",
}  # fmt: skip
STARTS = {"typical": 14, "undecided": 0}
SMALL = {"nfes": (5, 6, 8, 10, 12, 15, 20, 30, 35, 40, 50, 100, 200)}


def data(
    *,
    problem: str = "digits-mixture",
    nfes: Sequence[int] = NFES,
    more: Sequence[tuple[str, int]] = MORE,
    batch: int = 32,
    shown: Sequence[int] = tuple(STARTS.values()),
    shown_nfe: int = 10,
) -> Data:
    """Errors of every sampler within every budget, start by start, and some samples."""
    p = reference_problem(problem)
    grids = uniform_lam(p.process, p.lam_start, p.lam_end)
    x = p.starts(batch)
    truth = p.endpoint(x)
    names = [BASELINE, *(name for names in PANELS.values() for name in names)]
    jobs = [(name, n) for name in names for n in nfes] + [(name, n) for name, n in more]
    curves: dict[str, dict[str, Any]] = {}
    images = {"exact": _images(truth, shown, p)}
    for name, budget in progress(jobs, "work-precision"):
        sampler = get(name)
        found = curves.setdefault(
            name, {"order": sampler.order, "nfe": [], "steps": [], "errors": []}
        )
        steps = steps_within(sampler, budget)
        if steps is None or steps in found["steps"]:
            continue
        model = p.model(sampler.prediction)
        out = sample(sampler, model, p.process, grids.grid(steps), x)
        found["nfe"].append(sampler.nfe(steps))
        found["steps"].append(steps)
        found["errors"].append(_errors(out - truth, p))
        if name in STRIP and budget <= shown_nfe:
            images[name] = _images(out, shown, p)
    return {
        "problem": p.describe(), "batch": batch, "shown_nfe": shown_nfe, "nfes": list(nfes),
        "curves": curves, "images": images,
    }  # fmt: skip


def _errors(difference: Tensor, p: Problem) -> list[float]:
    """Error of each start in units of ``x/alpha``, to four digits."""
    each = difference.square().mean(1).sqrt() / p.end.alpha
    return [float(f"{e:.4g}") for e in each.tolist()]


def _images(x: Tensor, which: Sequence[int], p: Problem) -> list[dict[str, Any]]:
    """Some samples, and the component of the mixture (here: the digit) that each belongs to."""
    chosen = x[list(which)]
    law = cast(GaussianMixture, p.law)
    modes = law.responsibilities(chosen, p.end.alpha, p.end.sigma).argmax(1).tolist()
    pixels = [[round(v, 4) for v in row] for row in (chosen / p.end.alpha).tolist()]
    return [{"mode": mode, "pixels": row} for mode, row in zip(modes, pixels, strict=True)]


def curve(data: Data, name: str) -> Curve:
    """The errors of a sampler."""
    return Curve.of(data["curves"][name])


# the picture


def draw(data: Data) -> Figure:
    """Four families against the same background, and two starts after a few evaluations."""
    figure = Figure(figsize=(11.0, 10.4))
    sides = {"left": 0.07, "right": 0.865}
    rows = figure.add_gridspec(2, 2, wspace=0.46, hspace=0.32, top=0.89, bottom=0.375, **sides)
    best = envelope([curve(data, name) for name in data["curves"]], data["nfes"])
    first: Axes | None = None
    for k, (name, titles) in enumerate(PANELS.items()):
        axes = figure.add_subplot(rows[k // 2, k % 2], sharex=first, sharey=first)
        first = first or axes
        _panel(axes, data, name, titles, best)
        if k % 2 == 0:
            axes.set_ylabel("distance to the exact flow")
        if k > 1:
            axes.set_xlabel("evaluations of the model")
    shape = len(data["images"]["exact"]), len(STRIP) + 1
    strip = figure.add_gridspec(*shape, wspace=0.3, hspace=0.4, top=0.265, bottom=0.03, **sides)
    _strip(figure, strip, data)
    figure.text(0.07, 0.964, "What an evaluation buys", size=17, weight="bold", va="center")
    about = (
        f"Exact denoiser of handwritten digits, d = 64; median of {data['batch']} common starts"
    )
    more = "equal steps in λ; after each name its order"
    figure.text(0.07, 0.932, f"{about}; {more}.", size=9.5, color=SOFT, va="center")
    return figure


def _shown(data: Data, name: str) -> tuple[np.ndarray, np.ndarray]:
    c = curve(data, name)
    keep = c.nfe <= max(data["nfes"])
    return c.nfe[keep], c.typical[keep]


def _panel(
    axes: Axes, data: Data, name: str, titles: dict[str, str], best: tuple[np.ndarray, np.ndarray]
) -> None:
    most = max(data["nfes"])
    axes.set(xscale="log", yscale="log", xlim=(3.8, 1.05 * most), ylim=(1.3e-7, 1.5))
    ticks = [n for n in (5, 10, 20, 50, 100, 200) if n <= most]
    axes.set_xticks(ticks, [str(n) for n in ticks])
    axes.set_yticks([10.0**k for k in range(-6, 1)])
    axes.set_title(name)
    axes.plot(*best, color="#f3e4ae", lw=7, zorder=1)
    for other in data["curves"]:
        if other not in titles:
            axes.plot(*_shown(data, other), color=FAINT, lw=0.8, zorder=1.5)
    x, y = _shown(data, BASELINE)
    axes.plot(x, y, color=INK, lw=1.2, ls=(0, (4, 2)), zorder=2)
    ends = [End(x[-1], y[-1], f"DDIM · {data['curves'][BASELINE]['order']}", INK)]
    for k, (key, words) in enumerate(titles.items()):
        x, y = _shown(data, key)
        axes.plot(x, y, color=COLOURS[k], marker=MARKERS[k], mec="white", mew=0.7, zorder=3)
        ends.append(End(x[-1], y[-1], f"{words} · {data['curves'][key]['order']}", COLOURS[k]))
    label_ends(axes, ends)
    k = len(best[0]) // 2
    axes.annotate(
        "best of all", (best[0][k], best[1][k]), (-46, -26), textcoords="offset points",
        size=8, color="#8f7416", ha="center",
        arrowprops={"arrowstyle": "-", "color": "#c9ae4f", "lw": 0.8},
    )  # fmt: skip


def _strip(figure: Figure, places: GridSpecBase, data: Data) -> None:
    """The same starts as some samplers finish them, a row a start, the exact end first."""
    exact = [np.array(image["pixels"]) for image in data["images"]["exact"]]
    titles = {"exact": "exact flow", **STRIP}
    for k, name in enumerate(name for name in titles if name in data["images"]):
        for row, image in enumerate(data["images"][name]):
            pixels, side = np.array(image["pixels"]), round(len(image["pixels"]) ** 0.5)
            axes = figure.add_subplot(places[row, k])
            axes.imshow(-pixels.reshape(side, side), vmin=-1.1, vmax=1.1)
            axes.set(xticks=[], yticks=[])
            axes.grid(False)
            axes.spines[:].set_visible(True)
            error = float(np.sqrt(((pixels - exact[row]) ** 2).mean()))
            words = "truth" if name == "exact" else f"{error:.2g}"
            axes.set_xlabel(f"{words} · a {image['mode']}", size=8.5, labelpad=4)
            if row == 0:
                axes.set_title(titles[name], size=9, weight="normal", pad=4, loc="center")
            if k == 0:
                axes.set_ylabel(list(STARTS)[row], size=8.5, labelpad=6)
    words = (
        f"Two starts after {data['shown_nfe']} evaluations: their errors, and the digit reached"
    )
    figure.text(0.07, 0.298, words, size=10.5, weight="bold")


# the claims

FEW = (5, 6, 8, 10)
LAST = (100, 200)  # where orders are read off


def title(name: str) -> str:
    """Name of a sampler in the figure."""
    return next((titles[name] for titles in PANELS.values() if name in titles), "DDIM")


def _beats(worse: str, better: str, budgets: Sequence[int]) -> Callable[[Data], Measured]:
    return lambda data: beats(curve(data, worse), curve(data, better), budgets)


def _order(data: Data, name: str) -> Interval:
    return slope(curve(data, name), *LAST)


def _speed(data: Data) -> Measured:
    return faster(curve(data, BASELINE), curve(data, "dpm_solver_3"), (10, 12, 15, 20), least=4.0)


def _third_order(data: Data) -> Measured:
    as_is, corrected = _order(data, "dpmpp_3m_published"), _order(data, "dpmpp_3m")
    text = f"order {as_is.value:.2f} as published, {corrected.value:.2f} corrected"
    return Measured(text, judge(as_is.low, as_is.high, least=2.75))


def _correction_pays(data: Data) -> Measured:
    worse, better = curve(data, "dpmpp_3m_published"), curve(data, "dpmpp_3m")
    found = ratio(worse, better, 20)
    rms = worse.rms[worse.within(20)] / better.rms[better.within(20)]
    text = f"times closer: {times({20: found})}; in root mean square {rms:.2g}, by one start"
    return Measured(text, judge(found.low, found.high, least=1.0))


def _one_order_more(data: Data) -> Measured:
    gains, words = [], []
    for predictor, whole in (("ddim", "unipc_1"), ("dpmpp_2m", "unipc_2")):
        a, b = _order(data, predictor), _order(data, whole)
        gains.append(Interval(b.value - a.value, b.low - a.high, b.high - a.low))
        words.append(f"{title(whole)} {b.value:.2f}, its predictor {a.value:.2f}")
    return Measured("order of " + "; of ".join(words), everywhere(gains, least=0.75))


def _best_at_few(data: Data) -> Measured:
    """The best UniPC against the best sampler of the other families, within each budget."""
    found, words = [], []
    for n in FEW:
        level = {
            name: c.typical[c.within(n)] for name in data["curves"] for c in [curve(data, name)]
        }
        ranking = sorted(level, key=lambda name: level[name])
        ours = next(name for name in ranking if name.startswith("unipc"))
        best = next(name for name in ranking if not name.startswith("unipc"))
        found.append(ratio(curve(data, best), curve(data, ours), n))
        words.append(f"{title(best)} at {n} ({found[-1].value:.2g})")
    text = "the best other sampler, and its error over that of the best UniPC: " + ", ".join(words)
    return Measured(text, everywhere(found, least=1.0))


def _pndm(data: Data) -> Measured:
    slow, fast = curve(data, BASELINE), curve(data, "pndm")
    found = ratio(slow, fast, 1000, 59)
    text = f"times closer: {times({59: found})} (50 steps)"
    return Measured(text, judge(found.low, found.high, least=1.0))


_LU, _LU_PLUS = "Lu et al. 2022, arXiv:2206.00927", "Lu et al. 2022, arXiv:2211.01095"
_ZHAO = "Zhao et al. 2023, arXiv:2302.04867"
CLAIMS = (
    Claim("DPM-Solver is 4 to 16 times faster than DDIM at 10 to 20 evaluations", _LU, _speed),
    Claim(
        "at equal evaluations the multistep DPM-Solver++(2M) beats the singlestep 2S", _LU_PLUS,
        _beats("dpmpp_2s", "dpmpp_2m", (*FEW, 12, 15, 20, 30, 40, 50)),
    ),
    Claim(
        "with few evaluations (and strong guidance; here without) DDIM beats DPM-Solver-2",
        _LU_PLUS, _beats("dpm_solver_2", "ddim", (6, 8, 10)),
    ),
    Claim("DPM-Solver++(3M) is of order 3", f"reference code of {_LU_PLUS}", _third_order),
    Claim(
        "the full second difference of 3M pays at 20 evaluations", "what its order suggests",
        _correction_pays,
    ),
    Claim("the corrector UniC adds one order at no evaluation", _ZHAO, _one_order_more),
    Claim(
        "UniPC-2 beats DPM-Solver++(2M) at 5 to 10 evaluations", _ZHAO,
        _beats("dpmpp_2m", "unipc_2", FEW),
    ),
    Claim("UniPC is the best sampler at 5 to 10 evaluations", _ZHAO, _best_at_few),
    Claim(
        "PNDM with 50 steps is closer than DDIM with 1000", "Liu et al. 2022, arXiv:2202.09778",
        _pndm,
    ),
    Claim(
        "extrapolation in t (tAB) beats that in ρ (ρAB) at 5 to 20 evaluations",
        "Zhang & Chen 2023, arXiv:2204.13902",
        _beats("deis_rhoab3", "deis_tab3", (*FEW, 12, 15, 20)),
    ),
    Claim(
        "Heun's method beats Euler's (DDIM) at 35 evaluations",
        "Karras et al. 2022, arXiv:2206.00364", _beats("ddim", "edm_heun", (35,)),
    ),
)  # fmt: skip
