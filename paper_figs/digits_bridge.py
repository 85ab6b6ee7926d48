"""Turning twos into threes: a learned Schrodinger bridge between classes of handwritten digits.

The 8 x 8 images of scikit-learn, as points of 64 dimensions. From independent pairs of a two and a
three DSBM makes pairs that belong together, with a small network as the predictor of the end. Left
some paths of the last half-step run forward; right what the pairs are apart, by half-step, beside
what lines learn, and the value of the bridge between the two fitted Gaussians.
"""

from __future__ import annotations

from itertools import islice
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ..solvers.transport.entropic import EntropicGaussian
from ..solvers.transport.matching import Half, Learner, LinearLearner, Source, dsbm, motion
from ..toy_models.digits import digits_labels, digits_points
from ..toy_models.learned_bridge import NetworkLearner
from .cache import Data
from .figure import COLOURS, MARKERS, SOFT, Claim, Measured, judge, progress

CLASSES = (2, 3)
SIGMA = 0.3
SHOWN = (0.0, 0.25, 0.5, 0.75, 1.0)
TITLES = {"network": "network", "lines": "lines"}
RIDGE = 1e-3
_SHI = "Shi, De Bortoli, Campbell & Doucet 2023, arXiv:2303.16852"
_OURS = "this project"


def data(
    *, halves: int = 4, samples: int = 1000, steps: int = 20, training: int = 500, shown: int = 6
) -> Data:
    """Distances of pairs by half-step, how the ends are classified, and some paths."""
    sides = [_images(k) for k in CLASSES]
    out: Data = {
        "sigma": SIGMA,
        "steps": steps,
        "classes": list(CLASSES),
        "apart": {},
        "right": {},
    }
    learners: dict[str, Learner] = {
        "network": NetworkLearner(training, 128, 96, 3e-3),
        "lines": LinearLearner(steps),
    }
    for name in progress(list(TITLES), "half-steps"):
        first, last = (_source(images) for images in sides)
        found = list(islice(
            dsbm(first, last, SIGMA, learners[name], samples=samples, steps=steps), halves
        ))  # fmt: skip
        out["apart"][name] = [float((h.x1 - h.x0).square().sum(1).mean()) for h in found]
        out["right"][name] = [_classified(h) for h in found]
        if name == "network":
            out["paths"] = _paths(found, sides[0][:shown], steps)
    (m, a), (n, b) = ((images.mean(0), _cov(images)) for images in sides)
    out["gaussian"] = float(EntropicGaussian(m, a, n, b, 2 * SIGMA**2).transport)
    return out


def _images(label: int) -> Tensor:
    return digits_points()[digits_labels() == label]


def _cov(images: Tensor) -> Tensor:
    return torch.cov(images.mT) + RIDGE * torch.eye(images.shape[1], dtype=images.dtype)


def _source(images: Tensor) -> Source:
    def draw(n: int, generator: torch.Generator) -> Tensor:
        return images[torch.randint(len(images), (n,), generator=generator)]

    return draw


def _classified(half: Half) -> float:
    """Share of the learned ends whose nearest image, of all ten classes, is of the right one."""
    made, wanted = (half.x0, CLASSES[0]) if half.forward is False else (half.x1, CLASSES[1])
    nearest = torch.cdist(made, digits_points()).argmin(1)
    return float((digits_labels()[nearest] == wanted).double().mean())


def _paths(found: list[Half], x: Tensor, steps: int) -> list[list[list[float]]]:
    """States at ``SHOWN`` of the last motion that was learned forward."""
    predictor = [h.predictor for h in found if h.forward and h.predictor][-1]
    states = list(motion(predictor, x, SIGMA, steps, torch.Generator().manual_seed(7)))
    kept = [states[round(u * steps)] for u in SHOWN]
    return [[s[i].numpy().round(3).tolist() for s in kept] for i in range(len(x))]


# the picture


def draw(data: Data) -> Figure:
    """Paths as images, and a panel of distances."""
    figure = Figure(figsize=(10.4, 4.8))
    paths = data["paths"]
    grid = figure.add_gridspec(
        len(SHOWN),
        len(paths),
        left=0.075,
        right=0.5,
        top=0.78,
        bottom=0.05,
        wspace=0.08,
        hspace=0.08,
    )
    for i, row in enumerate(paths):
        for j, image in enumerate(row):
            axes = figure.add_subplot(grid[j, i])
            axes.imshow(np.array(image).reshape(8, 8), cmap="gray_r", vmin=-1.1, vmax=1.1)
            axes.set(xticks=[], yticks=[])
            axes.grid(visible=False)
            if i == 0:
                axes.set_ylabel(f"u = {SHOWN[j]:g}", rotation=0, ha="right", va="center")
    _draw_distances(figure.add_axes((0.62, 0.14, 0.35, 0.62)), data)
    one, two = data["classes"]
    title = f"From {one} to {two}, by the shortest noisy way"
    figure.text(0.03, 0.925, title, size=17, weight="bold")
    about = f"A bridge learned by matching, σ = {data['sigma']:g}, {data['steps']} steps"
    figure.text(0.03, 0.86, about, size=9.5, color=SOFT)
    return figure


def _draw_distances(axes: Axes, data: Data) -> None:
    for k, (name, words) in enumerate(TITLES.items()):
        axes.plot(
            data["apart"][name], color=COLOURS[k], marker=MARKERS[k], mec="white", label=words
        )
    axes.axhline(data["gaussian"], color=SOFT, lw=1.0, label="bridge of the Gaussians")
    axes.set(title="Mean squared distance of the pairs", xlabel="half-steps")
    axes.set_xticks(range(len(data["apart"]["network"])))
    axes.set_ylim(bottom=0.0)
    axes.legend()


# the claims


def _closer(data: Data) -> Measured:
    row: list[Any] = data["apart"]["network"]
    share = row[-1] / row[0]
    text = f"mean squared distance {row[0]:.1f} at the start, {row[-1]:.1f} in the end"
    return Measured(text, judge(-share, -share, least=-0.9))


def _first_counts(data: Data) -> Measured:
    row = data["apart"]["network"]
    share = (row[0] - row[1]) / (row[0] - min(row))
    text = f"the first half-step brings {100 * share:.0f} % of the gain"
    return Measured(text, judge(share, share, least=0.5))


def _arrives(data: Data) -> Measured:
    low, rows = min(data["right"]["network"][1:]), data["right"]
    words = ", ".join(f"{n} {100 * min(rows[n][1:]):.0f} %" for n in TITLES)
    error = 0.02
    text = f"ends whose nearest image is of the right class, worst half-step: {words}"
    return Measured(text, judge(low - error, low + error, least=0.9))


CLAIMS = (
    Claim("the learned pairs are closer than independent ones, by a tenth or more", _SHI, _closer),
    Claim("most of the gain is in the first half-step", _OURS, _first_counts),
    Claim("what is made looks like its class: nine of ten or more", _OURS, _arrives),
)  # fmt: skip
