"""Noise that leads to a given sample, and edits with and without it.

Left two tables of correlations between the noises of 100 steps: of a run, and of edit-friendly
maps, which lead through states drawn independently for each level. Right how far an edit moves the
mean, as a share of the distance between two Gaussians of one covariance: with edit-friendly maps
against the level where resampling begins, and without any inversion (InfEdit) against the number
of levels, with the closed form.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ..solvers.editing.noise_maps import edit_friendly, independent_states, infedit, noise_maps
from ..solvers.grids import Grid, uniform_lam
from ..solvers.noise import CellNoise
from ..solvers.plan import Noise
from ..solvers.registry import get
from ..solvers.run import run
from ..toy_models.gaussian import Gaussian
from ..toy_models.law import exact_model
from ..toy_models.problems import Problem
from ..toy_models.problems import problem as reference_problem
from .cache import Data
from .figure import COLOURS, INK, MARKERS, SOFT, Claim, Measured, judge

STEPS = 100
SKIPS = (0, 20, 30, 40, 50, 60, 70, 80, 90)
LEVELS = (1, 2, 3, 5, 8, 12, 20, 40)
BEGIN = 0.0  # lam where InfEdit begins
SHOWN = 16  # steps of the tables, from the middle
_HUBERMAN = "Huberman-Spiegelglas, Kulikov & Michaeli 2024, arXiv:2304.06140"
_XU = "Xu et al. 2024, arXiv:2312.04965"


def data(
    *, batch: int = 500, skips: Sequence[int] = SKIPS, levels: Sequence[int] = LEVELS
) -> Data:
    """Correlations and sizes of the maps, errors of reconstruction, and shifts of the mean."""
    p = reference_problem("gaussian")
    grid, x0 = _grid(p, STEPS), p.law.sample(batch, seed=1)
    plan, model = get("ancestral")(p.process, grid), p.model("data")
    states = independent_states(grid, x0, seed=3)
    maps = noise_maps(plan, model, states)
    native = torch.stack([CellNoise(0).draw(op, x0) for op in plan.ops if isinstance(op, Noise)])
    again = run(plan, model, states[0], noise=maps).x
    target = Gaussian(p.law.mean + 1.0, p.law.cov)
    return {
        "batch": batch, "skips": list(skips), "levels": list(levels),
        "native": _table(native), "maps": _table(maps.stacked()),
        "std": maps.stacked().flatten(1).std(1).tolist(),
        "reconstruction": float((again - states[-1]).abs().max()),
        "same": max(_infedit(p, n, p.law, x0)[1] for n in levels),
        "skipped": [_edited(p, grid, target, x0, k) for k in skips],
        "infedit": [_infedit(p, n, target, x0)[0] for n in levels],
        "closed": [_closed_form(p, n) for n in levels],
    }  # fmt: skip


def _grid(p: Problem, steps: int) -> Grid:
    return uniform_lam(p.process, p.lam_start, p.lam_end).grid(steps)


def _levels(p: Problem, count: int) -> Grid:
    """From half of the noise on: from pure noise the first level would do all of the edit."""
    return uniform_lam(p.process, BEGIN, p.lam_end).grid(count)


def _table(z: Tensor) -> list[list[float]]:
    """Correlations between steps, over samples and coordinates, to three digits."""
    rows = z.flatten(1)
    rows = (rows - rows.mean(1, keepdim=True)) / rows.std(1, keepdim=True)
    return [[round(c, 3) for c in row] for row in (rows @ rows.T / rows.shape[1]).tolist()]


def _edited(p: Problem, grid: Grid, target: Gaussian, x0: Tensor, skip: int) -> float:
    models = [exact_model(law, p.process, "data") for law in (p.law, target)]
    x = edit_friendly(p.process, grid, x0[:16], *models, seed=4, skip=skip)
    return _share((x / grid[-1].alpha - x0[:16]).mean(0))


def _infedit(p: Problem, levels: int, target: Any, x0: Tensor) -> tuple[float, float]:
    """Share of the distance, and the largest change of a coordinate."""
    models = [exact_model(law, p.process, "noise") for law in (p.law, target)]
    change = infedit(_levels(p, levels), x0[:16], *models, seed=1) - x0[:16]
    return _share(change.mean(0)), float(change.abs().max())


def _closed_form(p: Problem, levels: int) -> float:
    law, left = cast(Gaussian, p.law), torch.ones(4, dtype=torch.float64)
    for node in _levels(p, levels).nodes[:-1]:
        signal = node.alpha**2 * law.eigenvalues
        left = left * signal / (signal + node.sigma**2)
    u = law.eigenvectors
    return _share(((torch.ones(4, dtype=torch.float64) @ u) * (1 - left)) @ u.T)


def _share(shift: Tensor) -> float:
    """Length along the distance of the means, which is (1, 1, 1, 1), over that distance."""
    return float(shift.mean())


# the picture


def draw(data: Data) -> Figure:
    """Two tables and two curves."""
    figure = Figure(figsize=(12.0, 4.6))
    places = figure.add_gridspec(1, 4, width_ratios=(1, 1, 1, 1), wspace=0.32, left=0.05,
                                 right=0.98, top=0.74, bottom=0.14)  # fmt: skip
    for k, (name, title) in enumerate((("native", "Noise of a run"), ("maps", "Noise maps"))):
        axes = figure.add_subplot(places[0, k])
        first = STEPS // 2
        part = np.array(data[name])[first : first + SHOWN, first : first + SHOWN]
        low, high = first - 0.5, first + SHOWN - 0.5
        axes.imshow(part, vmin=-1, vmax=1, cmap="RdBu_r", extent=(low, high, high, low))
        axes.set(title=title, xlabel="step", ylabel="step" if k == 0 else "")
        axes.grid(False)
        words = f"beside the diagonal {_lag(data[name]).mean():+.2f}"
        axes.text(0.97, 0.94, words, size=8, ha="right", transform=axes.transAxes, color=SOFT)
    _curve(figure.add_subplot(places[0, 2]), data["skips"], data["skipped"], None,
           ("Edit-friendly", "levels passed by"))  # fmt: skip
    _curve(figure.add_subplot(places[0, 3]), data["levels"], data["infedit"], data["closed"],
           ("InfEdit", "levels"))  # fmt: skip
    figure.text(0.05, 0.93, "Noise with a picture in it", size=17, weight="bold", va="center")
    words = "Exact denoiser of a Gaussian, d = 4; an edit is to move its mean by one in each "
    words += "coordinate. InfEdit begins at λ = 0; dashed its closed form."
    figure.text(0.05, 0.86, words, size=9.5, color=SOFT, va="center")
    return figure


def _curve(
    axes: Axes, x: list[int], y: list[float], truth: list[float] | None, words: tuple[str, str]
) -> None:
    axes.set(title=words[0], xlabel=words[1], ylabel="share of the edit", ylim=(0.0, 1.08))
    if truth:
        axes.plot(x, truth, color=INK, lw=1.0, ls=(0, (4, 2)))
        axes.set_xscale("log")
        axes.set_xticks(x[::2], [str(n) for n in x[::2]])
        axes.minorticks_off()
    axes.plot(x, y, color=COLOURS[0], marker=MARKERS[0], mec="white", ls="" if truth else "-")


# the claims


def _lag(table: list[list[float]]) -> np.ndarray:
    return np.diagonal(np.array(table), 1)[:-1]  # the last state carries no noise


def _negative(data: Data) -> Measured:
    mean, native = float(_lag(data["maps"]).mean()), float(_lag(data["native"]).mean())
    text = f"neighbours correlate by {mean:.3f}; those of a run by {native:.3f}"
    return Measured(text, judge(-mean - 0.02, -mean + 0.02, least=0.45))


def _larger(data: Data) -> Measured:
    low, high = min(data["std"]), max(data["std"])
    return Measured(f"standard deviation {low:.2g} to {high:.2g}", judge(low, low, least=1.0))


def _perfect(data: Data) -> Measured:
    error = data["reconstruction"]
    return Measured(f"largest error {error:.1g}", judge(-error, -error, least=-1e-13))


def _near(data: Data) -> Measured:
    falls = [a - b for a, b in zip(data["skipped"], data["skipped"][1:], strict=False)]
    text = f"from {data['skipped'][0]:.2f} of the edit to {data['skipped'][-1]:.2f}"
    return Measured(text, judge(min(falls), min(falls), least=0.0))


def _consistent(data: Data) -> Measured:
    error = data["same"]
    return Measured(f"largest change {error:.1g}", judge(-error, -error, least=-1e-12))


def _few(data: Data) -> Measured:
    reached = dict(zip(data["levels"], data["infedit"], strict=True))
    worst = max(abs(a - b) for a, b in zip(data["infedit"], data["closed"], strict=True))
    text = f"{reached[12]:.2f} of the edit with 12 levels; closed form met to {worst:.0e}"
    return Measured(text, judge(reached[12], reached[12], least=0.9))


CLAIMS = (
    Claim("edit-friendly noise maps are negatively correlated between steps",
          _HUBERMAN, _negative),
    Claim("they have a larger variance than the noise of a run", _HUBERMAN, _larger),
    Claim("sampling with them gives the image back", _HUBERMAN, _perfect),
    Claim("beginning later keeps the result nearer to the image", _HUBERMAN, _near),
    Claim("without a difference of prompts the image is kept, for any number of steps", _XU,
          _consistent),
    Claim("about a dozen steps suffice for an edit", _XU, _few),
)  # fmt: skip
