"""What a Langevin corrector gains: predictor, corrector and both at equal evaluations.

On the exploding process of Score-SDE with exact models. Left the exact W2 error on a Gaussian, no
sampling involved: the predictor takes all evaluations, half of them beside one corrector step a
level, or none. Middle the sliced W2 distance on a mixture in the plane, where the published step
size of each sample by itself and of the batch differ. Right inpainting by overwriting a known
coordinate: the exact distance from the conditional law against the corrector steps a level.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ..analysis.boxes import response_of
from ..analysis.distances import diagonal_w2, gaussian_w2
from ..analysis.gaussian_path import eigenbasis, marginal
from ..analysis.impulses import FullNormal, affine_law
from ..analysis.two_samples import sliced_w2
from ..solvers.adapters.affine import affine_map
from ..solvers.grids import uniform_lam
from ..solvers.langevin.conditional import Known, inpaint
from ..solvers.langevin.correctors import Langevin
from ..solvers.langevin.predictor_corrector import predictor_corrector
from ..solvers.langevin.score_sde import annealed_langevin
from ..solvers.langevin.steps import LevelRule, SnrPublished, SnrRule, StepRule
from ..solvers.schedules import EDM
from ..toy_models.conditioned import conditioned
from ..toy_models.gaussian import Gaussian
from ..toy_models.law import exact_model
from ..toy_models.problems import problem as reference_problem
from .cache import Data
from .figure import COLOURS, INK, MARKERS, SOFT, Claim, Measured, judge, progress
from .labels import End, label_ends

PROCESS, LAMS = EDM(), (-4.0, 3.0)
NFES = (10, 20, 40, 80, 160)
SNRS = (0.05, 0.1, 0.16, 0.25, 0.35, 0.5, 0.7)
CORRECTIONS = (0, 1, 2, 5, 10, 20)
SMALL = {"nfes": (10, 20, 40, 80), "batch": 2000, "seeds": 2}
WORDS = {
    "predictor": "predictor", "published": "both, r = 0.16", "best": "both, best r",
    "corrector": "corrector", "sample": "both, |·| of a sample", "batch": "both, |·| of the batch",
    "fewer": "predictor, half the steps",
}  # fmt: skip
_SONG = "Song et al. 2021, arXiv:2011.13456"


def data(
    *, nfes: Sequence[int] = NFES, batch: int = 4000, seeds: int = 4, levels: int = 25
) -> Data:
    """Exact errors on a Gaussian, sliced ones on a mixture, exact ones of inpainting."""
    gaussian: dict[str, list[float]] = {k: [] for k in ("predictor", "published", "corrector")}
    gaussian |= {"best": [], "snr": [], "fewer": []}
    for nfe in progress(list(nfes), "predictor and corrector"):
        gaussian["predictor"].append(_exact(nfe, None))
        gaussian["fewer"].append(_exact(nfe // 2, None))
        errors = [_exact(nfe // 2, LevelRule(snr)) for snr in SNRS]
        gaussian["published"].append(errors[SNRS.index(0.16)])
        gaussian["best"].append(min(errors))
        gaussian["snr"].append(SNRS[int(np.argmin(errors))])
        gaussian["corrector"].append(_alone(nfe))
    return {
        "nfes": list(nfes), "gaussian": gaussian, "mixture": _mixture(nfes, batch, seeds),
        "inpainting": _inpainting(levels), "batch": batch,
    }  # fmt: skip


def _w2(box: Callable[..., Any], steps: int) -> float:
    law = reference_problem("gaussian").law
    data_, grid = eigenbasis(law), uniform_lam(PROCESS, *LAMS).grid(steps)
    found = response_of(affine_map(box, PROCESS, grid, data_.mean, data_.var))
    got, want = found.law(marginal(data_, grid[0])), marginal(data_, grid[-1])
    return float(f"{diagonal_w2(*got, *want):.5g}")


def _exact(steps: int, rule: StepRule | None) -> float:
    def box(model: Any, process: Any, grid: Any, x: Tensor, *, noise: Any) -> Any:
        corrector = None if rule is None else Langevin(rule)
        return predictor_corrector(model, process, grid, x, noise=noise, corrector=corrector)

    return _w2(box, steps)


def _alone(nfe: int) -> float:
    """Annealed dynamics of five steps a level, the best step of five."""

    def error(step: float) -> float:
        def box(model: Any, process: Any, grid: Any, x: Tensor, *, noise: Any) -> Any:
            size = step * grid[-2].sigma ** 2
            return annealed_langevin(
                model, process, grid, x, noise=noise, step=size, steps=min(5, nfe // 2)
            )

        return _w2(box, nfe // min(5, nfe // 2))

    return min(error(step) for step in (0.1, 0.2, 0.4, 0.8, 1.5))


def _mixture(nfes: Sequence[int], batch: int, seeds: int) -> dict[str, Any]:
    """Sliced W2 to fresh samples of the law at the last level, by seed."""
    p = reference_problem("mixture").on(PROCESS)
    model, grids = p.model("noise"), uniform_lam(PROCESS, *LAMS)
    rules = {
        "predictor": None, "fewer": None, "published": LevelRule(0.16),
        "sample": SnrRule(0.16), "batch": SnrPublished(0.16),
    }  # fmt: skip
    out: dict[str, list[list[float]]] = {name: [] for name in rules}
    floor = []
    for seed in progress(list(range(seeds)), "predictor and corrector, mixture"):
        fresh = _law_at_end(p, 2 * batch, 1000 + seed)
        floor.append(_sliced(_law_at_end(p, batch, 2000 + seed), fresh, seed))
        x = p.starts(batch, seed=seed)
        for name, rule in rules.items():
            row = []
            for nfe in nfes:
                grid = grids.grid(nfe if name == "predictor" else nfe // 2)
                corrector = None if rule is None else Langevin(rule)
                got = predictor_corrector(
                    model, PROCESS, grid, x, noise=seed, corrector=corrector
                ).x
                row.append(_sliced(got, fresh, seed))
            out[name].append(row)

    return {"errors": out, "floor": floor}


def _law_at_end(p: Any, count: int, seed: int) -> Tensor:
    rng = np.random.default_rng(seed)
    noise = torch.from_numpy(rng.standard_normal((count, p.law.dim)))
    return p.end.alpha * p.law.sample(count, seed=seed) + p.end.sigma * noise


def _sliced(x: Tensor, y: Tensor, seed: int) -> float:
    return float(f"{float(sliced_w2(x, y, seed=seed, projections=64)):.4g}")


def _inpainting(levels: int) -> dict[str, list[float]]:
    """Exact W2 from the conditional law of a correlated pair, by corrector steps a level."""
    cov = torch.tensor([[1.0, 0.9], [0.9, 1.0]], dtype=torch.float64)
    law = Gaussian(torch.zeros(2, dtype=torch.float64), cov)
    truth = conditioned(law, [[1.0, 0.0]], [1.5])
    known = Known(torch.tensor([True, False]), torch.tensor([1.5, 0.0], dtype=torch.float64))
    grid = uniform_lam(PROCESS, *LAMS).grid(levels, to_zero=True)
    model, eye = exact_model(law, PROCESS, "noise"), torch.eye(2, dtype=torch.float64)
    start = FullNormal(law.mean, law.cov + grid[0].sigma ** 2 * eye)

    def error(count: int, *, lag: bool) -> float:
        corrector = Langevin(LevelRule(0.3), count) if count else None

        def execute(x: Tensor, noise: Any) -> Tensor:
            return inpaint(
                model, PROCESS, grid, x, known, noise=noise, corrector=corrector, lag=lag
            ).x

        found = affine_law(execute, start)
        return float(f"{float(gaussian_w2(*found, truth.mean, truth.cov)):.4g}")

    return {
        "steps": list(CORRECTIONS),
        "level": [error(m, lag=False) for m in CORRECTIONS],
        "lag": [error(m, lag=True) for m in CORRECTIONS],
    }


def draw(data: Data) -> Figure:
    """Gaussian, mixture, inpainting."""
    figure = Figure(figsize=(11.6, 4.7))
    sides = {"left": 0.065, "right": 0.985, "top": 0.77, "bottom": 0.13, "wspace": 0.85}
    places = figure.add_gridspec(1, 3, width_ratios=(1, 1, 0.65), **sides)
    _draw_gaussian(figure.add_subplot(places[0]), data)
    _draw_mixture(figure.add_subplot(places[1]), data)
    axes, found = figure.add_subplot(places[2]), data["inpainting"]
    for k, (name, label) in enumerate((("level", "same level"), ("lag", "a level late"))):
        axes.plot(
            found["steps"], found[name], color=COLOURS[k], marker=MARKERS[k], mec="white",
            mew=0.7, label=label,
        )  # fmt: skip
    axes.set(xlabel="corrector steps a level", title="Inpainting", ylabel="W2")
    axes.set_ylim(bottom=0.0)
    axes.legend(frameon=False, fontsize=8)
    figure.text(0.065, 0.92, "What a corrector gains", size=17, weight="bold")
    about = "Exact denoisers on the exploding process: exact W2 (left, right), sliced W2 (middle)"
    figure.text(0.065, 0.86, about, size=9.5, color=SOFT)
    return figure


def _curves(axes: Axes, nfes: Sequence[int], rows: dict[str, list[float]], title: str) -> None:
    ends = []
    for k, (name, row) in enumerate(rows.items()):
        axes.plot(nfes, row, color=COLOURS[k], marker=MARKERS[k], mec="white", mew=0.7)
        ends.append(End(nfes[-1], row[-1], WORDS[name], COLOURS[k]))
    axes.set(xscale="log", yscale="log", xlabel="evaluations", title=title, ylabel="W2")
    axes.set_xticks(nfes, [str(n) for n in nfes])
    axes.set_xticks([], minor=True)
    axes.autoscale_view()  # labels need final limits
    label_ends(axes, ends, size=8)


def _draw_gaussian(axes: Axes, data: Data) -> None:
    names = ("predictor", "published", "best", "corrector")
    _curves(axes, data["nfes"], {n: data["gaussian"][n] for n in names}, "Gaussian")


def _draw_mixture(axes: Axes, data: Data) -> None:
    errors = data["mixture"]["errors"]
    rows = {
        n: np.mean(errors[n], 0).tolist() for n in ("predictor", "published", "sample", "batch")
    }
    floor = float(np.mean(data["mixture"]["floor"]))
    axes.axhline(floor, color=INK, lw=1.0, ls=(0, (4, 2)))
    _curves(axes, data["nfes"], rows, "Mixture")


# -- claims


def _ratio(rows: Sequence[float], against: Sequence[float]) -> list[float]:
    return [a / b for a, b in zip(rows, against, strict=True)]


def _gaussian(name: str, against: str, *, first: int = 0) -> Callable[[Data], Measured]:
    def measure(data: Data) -> Measured:
        ratios = _ratio(data["gaussian"][name], data["gaussian"][against])
        words = f"exact error on the Gaussian {', '.join(f'{r:.2f}' for r in ratios)} times that "
        words += f"of the {WORDS[against]}, at {', '.join(map(str, data['nfes']))} evaluations"
        gain = 1.0 - max(ratios[first:])
        return Measured(words, judge(gain, gain, least=0.0))

    return measure


def _mixture_wins(name: str, against: str) -> Callable[[Data], Measured]:
    def measure(data: Data) -> Measured:
        errors = data["mixture"]["errors"]
        pairs = [
            a / b
            for one, two in zip(errors[name], errors[against], strict=True)
            for a, b in zip(one, two, strict=True)
        ]
        share = sum(r < 1 for r in pairs) / len(pairs)
        words = f"error {math.exp(float(np.mean(np.log(pairs)))):.2f} times that of the "
        words += f"{WORDS[against]} (geometric mean); better in {share:.0%} of seeds and budgets"
        return Measured(words, judge(share, share, least=0.9))

    return measure


def _batch_matters(data: Data) -> Measured:
    errors = data["mixture"]["errors"]
    one, two = (np.mean(errors[n], 0) for n in ("sample", "batch"))
    gap = float(np.max(np.abs(np.log(one / two))))
    words = f"in the plane the two differ by up to a factor {math.exp(gap):.2f}"
    return Measured(words, judge(0.1 - gap, 0.1 - gap, least=0.0))


def _falls(data: Data) -> Measured:
    row = data["inpainting"]["level"]
    falls = all(b < a for a, b in itertools.pairwise(row))
    words = f"W2 from the conditional law {row[0]:.2f} without, {row[-1]:.2f} with "
    words += f"{data['inpainting']['steps'][-1]} corrector steps a level"
    return Measured(words, "holds" if falls else "does not hold")


def _late(data: Data) -> Measured:
    ratios = _ratio(data["inpainting"]["lag"], data["inpainting"]["level"])
    words = f"W2 {min(ratios):.2f} to {max(ratios):.2f} times that of the same level"
    return Measured(words, judge(min(ratios) - 1.0, min(ratios) - 1.0, least=0.0))


CLAIMS = (
    Claim("a corrector improves a predictor of as many steps", f"{_SONG}, Table 1",
          _gaussian("published", "fewer")),
    Claim("a corrector improves a predictor of as many steps, on a mixture", f"{_SONG}, Table 1",
          _mixture_wins("published", "fewer")),
    Claim("at equal evaluations predictor and corrector beat the predictor", f"{_SONG}, Table 1",
          _gaussian("published", "predictor")),
    Claim("at equal evaluations they do so with the best ratio r, from 20 evaluations on",
          f"{_SONG}, Table 1", _gaussian("best", "predictor", first=1)),
    Claim("at equal evaluations they do so on a mixture", f"{_SONG}, Table 1",
          _mixture_wins("published", "predictor")),
    Claim("at equal evaluations the predictor beats the corrector alone", f"{_SONG}, Table 1",
          _gaussian("predictor", "corrector")),
    Claim("it makes no difference whether norms are of a sample or of the batch",
          f"reference code of {_SONG}", _batch_matters),
    Claim("corrector steps bring inpainting nearer to conditioning", f"{_SONG}, sec. 5", _falls),
    Claim("known coordinates put back a level late make it worse", f"reference code of {_SONG}",
          _late),
)  # fmt: skip
