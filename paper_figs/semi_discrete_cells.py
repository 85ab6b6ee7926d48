"""A map with jumps from noise to data: its cells, and what few steps leave between modes.

Left the power diagram of N(0, I) over training points of a ring of eight modes, noised to a middle
level, coloured by the mode of the training point that each cell is sent to. Middle samples after
five evaluations: DDIM from noise, and DPM-OT. Right the share of samples that lie between modes
against the number of evaluations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from torch import Tensor

from ..analysis.paired import sample
from ..solvers.grids import uniform_lam
from ..solvers.registry import get
from ..solvers.schedules import VPLinear
from ..solvers.transport.semi_discrete_sampling import DpmOt, fit_dpm_ot, memorisation
from ..toy_models.draws import normals
from ..toy_models.law import exact_model
from ..toy_models.mixture import GaussianMixture
from .cache import Data
from .figure import COLOURS, INK, SOFT, Claim, Measured, judge, progress

NFES = (3, 4, 5, 6, 8, 10, 14, 20)
SAMPLERS = {"ddim": "DDIM", "dpmpp_2m": "DPM-Solver++(2M)"}
MODES, RADIUS, WIDTH = 8, 2.0, 0.1
FAR = 4.0  # widths from every centre: between modes
LAM_START, LAM, LAM_END = -4.0, 0.5, 4.0
SHOWN = 5
EXTENT, PIXELS = 3.0, 260
_LI = "Li et al. 2023, arXiv:2307.11308"
_OWN = f"asked of {_LI}, not said there"
_PALETTE = (*COLOURS, "#7bb4d9", "#f0a878")


def centres() -> Tensor:
    """Centres of the modes, (8, 2)."""
    angle = torch.arange(MODES, dtype=torch.float64) * (2 * math.pi / MODES)
    return RADIUS * torch.stack([angle.cos(), angle.sin()], dim=1)


def ring() -> GaussianMixture:
    """The law of the data."""
    weights = torch.full((MODES,), 1 / MODES, dtype=torch.float64)
    variances = torch.full((MODES, 2), WIDTH**2, dtype=torch.float64)
    return GaussianMixture(weights, centres(), variances)


def between(x: Tensor) -> int:
    """How many samples are farther than four widths from every centre."""
    return int((torch.cdist(x, centres()).amin(1) > FAR * WIDTH).sum())


def data(*, training: int = 256, batch: int = 2000, nfes: Sequence[int] = NFES) -> Data:
    """Counts between modes, samples to show, cells and distances to the training data."""
    law, process = ring(), VPLinear()
    known = law.sample(training, seed=0)
    fit = fit_dpm_ot(process, known, LAM, samples=1024)
    z = torch.from_numpy(normals(batch, 2, seed=1, label="start"))
    exact = law.sample(batch, seed=2)
    out: Data = {"batch": batch, "training": training, "nfes": list(nfes)}
    out["fit"] = {"marginal_error": fit.map.marginal_error, "iterations": fit.map.iterations}
    out["counts"] = {"exact": between(exact)}
    out["nearest"] = {"exact": list(memorisation(exact, known))}
    out["shown"] = {}
    for name in progress(list(SAMPLERS), "samplers"):
        _run(out, name, fit, law, z, known)
    out["cells"] = _cells(fit, known)
    return out


def _run(out: Data, name: str, fit: DpmOt, law: GaussianMixture, z: Tensor, known: Tensor) -> None:
    entry = get(name)
    model = exact_model(law, fit.process, entry.prediction)
    paths: dict[str, list[int]] = {"whole": [], "short": []}
    for nfe in out["nfes"]:
        grid = uniform_lam(fit.process, LAM_START, LAM_END).grid(nfe)
        whole = sample(entry, model, fit.process, grid, z)
        short = fit.sample(model, entry, z, steps=nfe, lam_end=LAM_END)
        for key, x in (("whole", whole), ("short", short)):
            paths[key].append(between(x))
            if nfe == SHOWN:
                out["nearest"][f"{name} {key}"] = list(memorisation(x, known))
                out["shown"][f"{name} {key}"] = x[:500].numpy().round(3).tolist()
    out["counts"][name] = paths


def _cells(fit: DpmOt, known: Tensor) -> dict[str, Any]:
    """The mode of the training point that each pixel of noise is sent to, and each cell's."""
    line = np.linspace(-EXTENT, EXTENT, PIXELS)
    x = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    cell = fit.map.assign(torch.from_numpy(x))
    mode = torch.cdist(known, centres()).argmin(1)
    return {
        "cell": cell.reshape(PIXELS, PIXELS).tolist(),
        "mode": mode.tolist(),
        "atoms": fit.map.atoms.numpy().round(4).tolist(),
    }


# the picture


def draw(data: Data) -> Figure:
    """Cells, samples, shares."""
    figure = Figure(figsize=(11.0, 4.7))
    places = figure.add_gridspec(
        2, 3, left=0.05, right=0.975, top=0.77, bottom=0.13, wspace=0.3, hspace=0.3,
        width_ratios=(1.25, 0.62, 1.25),
    )  # fmt: skip
    _draw_cells(figure.add_subplot(places[:, 0]), data)
    for k, (key, words) in enumerate({"whole": "DDIM", "short": "DPM-OT, DDIM"}.items()):
        _draw_samples(figure.add_subplot(places[k, 1]), data["shown"][f"ddim {key}"], words)
    _draw_shares(figure.add_subplot(places[:, 2]), data)
    figure.text(0.05, 0.925, "A map that jumps leaves less in between", size=17, weight="bold")
    about = (
        f"Ring of eight modes; optimal map from N(0, I) to {data['training']} noised training "
        f"points at λ = {LAM:g}, then steps with the exact denoiser"
    )
    figure.text(0.05, 0.865, about, size=9.5, color=SOFT)
    return figure


def _draw_cells(axes: Axes, data: Data) -> None:
    cells = data["cells"]
    cell, mode = np.array(cells["cell"]), np.array(cells["mode"])
    edge = np.zeros(cell.shape, dtype=bool)
    edge[:, 1:] |= cell[:, 1:] != cell[:, :-1]
    edge[1:] |= cell[1:] != cell[:-1]
    image = ListedColormap(_PALETTE)(mode[cell])
    image[..., :3] = 0.45 + 0.55 * image[..., :3]
    image[edge] = (1.0, 1.0, 1.0, 1.0)
    ends = (-EXTENT, EXTENT, -EXTENT, EXTENT)
    axes.imshow(image, origin="lower", extent=ends, interpolation="nearest")
    atoms = np.array(cells["atoms"])
    axes.scatter(*atoms.T, s=7, c=[_PALETTE[k] for k in mode], edgecolors=INK, linewidths=0.4)
    axes.set(xlim=ends[:2], ylim=ends[2:])
    axes.grid(visible=False)
    axes.set_title("Cells of noise, by the mode they go to")


def _draw_samples(axes: Axes, x: list[list[float]], words: str) -> None:
    points = np.array(x)
    far = np.linalg.norm(points[:, None] - centres().numpy(), axis=2).min(1) > FAR * WIDTH
    axes.plot(*points[~far].T, ".", color=COLOURS[0], ms=2)
    axes.plot(*points[far].T, ".", color=COLOURS[1], ms=2.5)
    axes.set(xlim=(-2.7, 2.7), ylim=(-2.7, 2.7), xticks=[], yticks=[], aspect="equal")
    axes.grid(visible=False)
    axes.set_title(f"{words}: {SHOWN} NFE", size=9)


def _draw_shares(axes: Axes, data: Data) -> None:
    batch = data["batch"]
    for k, (name, words) in enumerate(SAMPLERS.items()):
        for key, style, more in (("whole", "--", ""), ("short", "-", " after the map")):
            shares = np.maximum(np.array(data["counts"][name][key]) / batch, 0.3 / batch)
            axes.plot(
                data["nfes"], shares, ls=style, color=COLOURS[k], marker="o", mec="white", mew=0.6,
                label=words + more,
            )  # fmt: skip
    axes.axhline(math.exp(-0.5 * FAR**2), color=SOFT, lw=0.9)
    axes.text(data["nfes"][-1], math.exp(-0.5 * FAR**2) * 1.15, "exact", color=SOFT, ha="right")
    axes.text(data["nfes"][0], 0.3 / batch, "none", color=SOFT, va="center")
    axes.set(xscale="log", yscale="log", xlabel="evaluations", ylim=(None, 12.0))
    axes.set_xticks(data["nfes"], [str(n) for n in data["nfes"]])
    axes.legend(loc="upper right", fontsize=8)
    axes.set_title("Share of samples between modes")


# the claims


def _interval(p: float, n: int) -> tuple[float, float]:
    """Wilson's interval of a share at two standard errors.

    After the map there are as many different samples as atoms, whatever the batch: n is theirs.
    """
    z = 2.0
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n**2)) / (1 + z * z / n)
    return max(middle - half, 0.0), middle + half


def _fewer(data: Data, name: str) -> Measured:
    at, batch = data["nfes"].index(SHOWN), data["batch"]
    whole, short = (data["counts"][name][key][at] for key in ("whole", "short"))
    all_low, all_high = _interval(whole / batch, batch)
    low, high = _interval(short / batch, data["training"])
    text = f"{100 * whole / batch:.2g} % from noise, {100 * short / batch:.2g} % after the map"
    return Measured(text, judge(all_low - high, all_high - low, least=0.0))


def _none(data: Data) -> Measured:
    at, batch = data["nfes"].index(10), data["batch"]
    shares = [data["counts"][name]["short"][at] / batch for name in SAMPLERS]
    low, high = _interval(max(shares), data["training"])
    words = ", ".join(f"{100 * p:.2g} %" for p in shares)
    exact = math.exp(-0.5 * FAR**2)
    text = f"{words} at ten evaluations (at most {100 * high:.2g} %), {100 * exact:.2g} % exact"
    return Measured(text, judge(-high, -low, least=-0.02))


def _own(data: Data) -> Measured:
    distinct = data["nearest"]["ddim short"][3]
    text = f"{distinct} different samples from {data['training']} training points"
    return Measured(text, judge(distinct, distinct, least=0.5 * data["batch"]))


def _apart(data: Data) -> Measured:
    ratios = {k: data["nearest"][k][2] for k in ("ddim short", "dpmpp_2m short", "exact")}
    least = min(ratios["ddim short"], ratios["dpmpp_2m short"])
    words = ", ".join(f"{r:.2f} ({k})" for k, r in ratios.items())
    text = f"median distance to training data over that among them: {words}"
    return Measured(text, judge(least, least, least=0.5 * ratios["exact"]))


CLAIMS = (
    Claim(
        "fewer samples between modes at five evaluations (DDIM)", _LI,
        lambda data: _fewer(data, "ddim"),
    ),
    Claim(
        "the same with DPM-Solver++(2M)", _LI, lambda data: _fewer(data, "dpmpp_2m"),
    ),
    Claim("about ten evaluations are enough: at most 2 % between modes", _LI, _none),
    Claim("samples are no copies: at least half as far from the data as fresh ones", _OWN, _apart),
    Claim("as many different samples as draws (at least half)", _OWN, _own),
)  # fmt: skip
