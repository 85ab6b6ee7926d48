"""Which level of noise is hard: by the divergence of neighbours, and by training on it.

Left, KL(p_{t-dt} | p_t) of Gaussian data in ten dimensions, of which fewer and fewer have variance
(dots: the limit of small steps). Middle and right, one small network for each cluster of levels,
all alike and trained alike on data of three dimensions of ten: the share of the error that is left
by the step of training, for networks that predict the noise and networks that predict the data.
The error is against the exact prediction, which on these data is linear.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ..analysis.gaussian_path import Normal, normal
from ..analysis.task_difficulty import divergence_rate, step_divergence
from ..solvers.schedules import VPLinear
from .cache import Data
from .figure import COLOURS, SOFT, Claim, Measured, judge, progress
from .labels import End, label_ends

UNIT = VPLinear(6.0, 6.0)
"""``f = -1/2, g = 1`` up to T = 6; times below are in units in which g = 1."""
DIM, RANKS, DT = 10, (10, 9, 7, 3, 1), 1e-3
EDGES = (0.01, 0.04, 0.16, 0.6, 1.6, 6.0)
HARD = 3
_KIM = "Kim, Go, Kwon & Kim 2024, arXiv:2403.10348"


def spectrum(rank: int) -> Normal:
    """Unit variance on ``rank`` axes, none on the others."""
    return normal(np.zeros(DIM), np.repeat([1.0, 0.0], [rank, DIM - rank]))


def data(
    *, times: int = 25, steps: int = 800, every: int = 25, width: int = 48, seed: int = 0
) -> Data:
    """Divergences by time and rank; curves of training by cluster and prediction."""
    ts = np.geomspace(0.005, 5.0, times).tolist()
    rows = {}
    for rank in RANKS:
        law = spectrum(rank)
        kl = [step_divergence(law, UNIT, t / 6, DT / 6) for t in ts]
        limit = [(DT / 6) ** 2 * divergence_rate(law, UNIT, t / 6) for t in ts]
        rows[str(rank)] = {"kl": kl, "limit": limit}
    curves = {
        kind: training(kind, steps, every, width, seed)
        for kind in progress(("noise", "data"), "training")
    }
    return {
        "times": ts, "rows": rows, "steps": list(range(0, steps + 1, every)), "curves": curves,
        "edges": list(EDGES),
    }  # fmt: skip


def training(kind: str, steps: int, every: int, width: int, seed: int) -> list[list[float]]:
    """Share of the error left, (cluster, record), of networks with one hidden layer each."""
    g = torch.Generator().manual_seed(seed)
    count = len(EDGES) - 1
    low, high = (torch.tensor(e).log()[:, None] for e in (EDGES[:-1], EDGES[1:]))
    net = [
        (torch.randn(DIM + 1, width, generator=g) / math.sqrt(DIM + 1)).repeat(count, 1, 1),
        torch.zeros(count, 1, width),
        torch.zeros(count, width, DIM),
        torch.zeros(count, 1, DIM),
    ]
    for p in net:
        p.requires_grad_()
    adam = torch.optim.Adam(net, lr=3e-3)
    test, rows = _batch(kind, low, high, 1024, g), []
    for k in range(steps + 1):
        if k % every == 0:
            with torch.no_grad():
                off = _output(net, test[0], test[1]) - test[3]
                rows.append((off.square().mean((1, 2)) / test[3].square().mean((1, 2))).tolist())
        x, label, target, _ = _batch(kind, low, high, 128, g)
        loss = (_output(net, x, label) - target).square().mean((1, 2)).sum()
        adam.zero_grad()
        loss.backward()
        adam.step()
    return np.array(rows).T.tolist()


def _batch(kind: str, low: Tensor, high: Tensor, size: int, g: torch.Generator) -> tuple:
    """States, levels, targets and exact predictions: ``x_0`` has variance 1 or 0 on each axis."""
    t = (low + (high - low) * torch.rand(len(low), size, generator=g)).exp()[..., None]
    alpha, sigma = (-t / 2).exp(), (-torch.expm1(-t)).sqrt()
    x0, eps = torch.randn(2, len(low), size, DIM, generator=g)
    var = (torch.arange(DIM) < HARD).float()
    x0 = x0 * var
    x = alpha * x0 + sigma * eps
    total = alpha**2 * var + sigma**2
    exact = x * (sigma if kind == "noise" else alpha * var) / total
    return x, t.log() / 4, eps if kind == "noise" else x0, exact


def _output(net: list[Tensor], x: Tensor, label: Tensor) -> Tensor:
    hidden = torch.nn.functional.silu(torch.cat([x, label], -1) @ net[0] + net[1])
    return hidden @ net[2] + net[3]


def left_over(data: Data, kind: str) -> list[float]:
    """Share of the error that each cluster has left, small t first: means of the last records."""
    return [float(np.mean(row[-5:])) for row in data["curves"][kind]]


# the picture


def draw(data: Data) -> Figure:
    """Divergences; two kinds of training."""
    figure = Figure(figsize=(13.0, 4.8))
    sides = {"left": 0.055, "right": 0.97, "top": 0.76, "bottom": 0.14, "wspace": 0.32}
    places = figure.add_gridspec(1, 3, **sides, width_ratios=(1.15, 1, 1))
    left, middle, right = (figure.add_subplot(places[k]) for k in range(3))
    ends = []
    for k, (rank, row) in enumerate(data["rows"].items()):
        kl = np.maximum(row["kl"], 1e-13)  # equal to 0 where no direction lacks variance
        left.loglog(data["times"], kl, color=COLOURS[k])
        if row["limit"][0] > 1e-12:
            left.loglog(data["times"], row["limit"], color=COLOURS[k], lw=0.8, ls=(0, (1, 2)))
        ends.append(End(data["times"][-1], float(kl[-1]), f"rank {rank}", COLOURS[k]))
    left.set(xlabel="t", title=f"KL of neighbours, dt = {DT:g}")
    left.set_ylim(5e-14, 3.0)
    label_ends(left, ends, size=8)
    _training(middle, data, "noise", "Networks that predict the noise")
    _training(right, data, "data", "Networks that predict the data")
    middle.legend(frameon=False, fontsize=8)
    figure.text(0.055, 0.925, "Which level is hard?", size=17, weight="bold")
    about = f"Ten dimensions, f = -1/2, g = 1; training on data of rank {HARD}"
    figure.text(0.055, 0.865, about, size=9.5, color=SOFT)
    return figure


def _training(axes: Axes, data: Data, kind: str, title: str) -> None:
    for k, row in enumerate(data["curves"][kind]):
        name = f"t in {data['edges'][k]:g} … {data['edges'][k + 1]:g}"
        axes.semilogy(data["steps"], row, color=COLOURS[k], label=name)
    axes.set(xlabel="steps of training", title=title, ylabel="share of the error left")


# the claims


def _small_is_hard(data: Data) -> Measured:
    rows = {rank: np.array(row["kl"]) for rank, row in data["rows"].items() if int(rank) < DIM}
    falls = min(float(np.min(row[:-1] / row[1:])) for row in rows.values())
    text = f"KL falls with t for every rank below {DIM}, by {falls:.3g} times a point at least"
    return Measured(text, judge(falls, falls, least=1.0))


def _schedule(data: Data) -> Measured:
    worst = max(data["rows"][str(DIM)]["kl"])
    return Measured(f"it is at most {worst:.1g}", judge(-worst, -worst, least=-1e-13))


def _missing(data: Data) -> Measured:
    t = data["times"][0]
    found = {r: row["limit"][0] * 4 * (t / DT) ** 2 for r, row in data["rows"].items()}
    text = f"4 t²/dt² KL at t = {t:g}: " + ", ".join(
        f"{v:.2f} (rank {r})" for r, v in found.items()
    )
    off = max(abs(v - (DIM - int(r))) for r, v in found.items())
    return Measured(text, judge(-off, -off, least=-0.1))


def _ordered(data: Data, kind: str) -> Measured:
    found = left_over(data, kind)
    text = f"left after {data['steps'][-1]} steps, small t first: "
    text += ", ".join(f"{v:.2g}" for v in found)
    falls = min(a / b for a, b in pairwise(found))
    return Measured(text, judge(falls, falls, least=1.0))


def _noise(data: Data) -> Measured:
    return _ordered(data, "noise")


def _data(data: Data) -> Measured:
    return _ordered(data, "data")


CLAIMS = (
    Claim("neighbouring marginals differ most at small t", _KIM, _small_is_hard),
    Claim("N(0, I) has no hard level where variance is preserved", "derived here", _schedule),
    Claim("each missing dimension adds 1/(4 t²) near the data", "derived here", _missing),
    Claim("networks that predict noise learn slowest at small t", _KIM, _noise),
    Claim(
        "and so do networks that predict data", "what one might think",
        _data,
    ),
)  # fmt: skip
