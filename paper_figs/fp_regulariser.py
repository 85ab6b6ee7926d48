"""The Fokker-Planck penalty: what it does to the laws of the ODE and the SDE of one network.

A potential of 1249 numbers is trained on three normal modes in the plane, with four weights of the
penalty from one start. Left sliced Wasserstein distances between samples of ODE, SDE and data at
the end of the range of training; right the two terms of the loss on fresh points.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn

from ..analysis.fokker_planck import denoising_loss, penalty
from ..solvers.schedules import VPLinear
from ..toy_models.mixture import GaussianMixture
from .cache import Data
from .figure import COLOURS, INK, MARKERS, SOFT, Claim, Measured, judge, progress
from .labels import End, label_ends

PROCESS = VPLinear()
T_MIN = 0.05
"""The network is trained, and sampled, from here up: the residual grows like sigma^-4 below."""
SMALL = {"weights": (0.0, 0.1, 10.0), "samples": 4000}
KINDS = {"gap": "ODE to SDE", "ode": "ODE to data", "sde": "SDE to data"}
_DEVENEY = "Deveney et al. 2023, arXiv:2311.15996"


def law() -> GaussianMixture:
    """Three round modes of deviation 0.2."""
    means = torch.tensor([[1.2, 0.0], [-0.7, 1.0], [-0.6, -1.0]], dtype=torch.float64)
    weights = torch.tensor([0.4, 0.35, 0.25], dtype=torch.float64)
    return GaussianMixture(weights, means, torch.full((3, 2), 0.04, dtype=torch.float64))


class Potential(nn.Module):
    """``phi = -|x|^2/2 + 3 MLP(x, t, sqrt t)``, two hidden layers of 32 with tanh."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(4, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1)
        )

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Phi at the rows, (B,)."""
        times = torch.stack([t, t.sqrt()], 1)
        return 3 * self.layers(torch.cat([x, times], 1))[:, 0] - 0.5 * x.square().sum(1)


def data(
    *, weights: Sequence[float] = (0.0, 0.1, 1.0, 10.0), steps: int = 1200, samples: int = 8000
) -> Data:
    """Train with each weight, sample both ways, and measure."""
    floor = distance(noised(samples, 1, T_MIN), noised(samples, 2, T_MIN))
    rows = []
    for weight in progress(list(weights), "Fokker-Planck penalty"):
        net = train(weight, steps)
        ode, sde = (generate(net, eta, samples) for eta in (0.0, 1.0))
        truth = noised(samples, 1, T_MIN)
        loss, left = terms(net)
        rows.append(
            {
                "weight": weight, "gap": distance(ode, sde), "ode": distance(ode, truth),
                "sde": distance(sde, truth), "denoising": loss, "penalty": left,
            }
        )  # fmt: skip
    return {"floor": floor, "rows": rows, "steps": steps}


def noised(n: int, seed: int, t: float) -> Tensor:
    """Samples of the exact law at time t, float32."""
    node, generator = PROCESS.node(t), torch.Generator().manual_seed(seed)
    noise = torch.randn(n, 2, generator=generator)
    return node.alpha * law().sample(n, seed=seed).float() + node.sigma * noise


def train(weight: float, steps: int, batch: int = 256) -> Potential:
    """Denoising score matching plus ``weight`` times the penalty; the same draws every time."""
    torch.manual_seed(0)
    net, clean = Potential(), law().sample(20000, seed=0).float()
    generator = torch.Generator().manual_seed(0)
    adam = torch.optim.Adam(net.parameters(), 3e-3)
    slower = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
    for _ in range(steps):
        rows = torch.randint(0, len(clean), (batch,), generator=generator)
        t = T_MIN + (1 - T_MIN) * torch.rand(batch, generator=generator)
        eps = torch.randn(batch, 2, generator=generator)
        loss, x = denoising_loss(net, PROCESS, clean[rows], eps, t)
        if weight:
            loss = loss + weight * penalty(net, PROCESS, x, t)
        adam.zero_grad()
        loss.backward()
        adam.step()
        slower.step()
    return net


def terms(net: Potential, n: int = 4000) -> tuple[float, float]:
    """Both terms of the loss on fresh points."""
    generator = torch.Generator().manual_seed(3)
    t = T_MIN + (1 - T_MIN) * torch.rand(n, generator=generator)
    eps = torch.randn(n, 2, generator=generator)
    loss, x = denoising_loss(net, PROCESS, law().sample(n, seed=3).float(), eps, t)
    return loss.item(), penalty(net, PROCESS, x, t).item()


def generate(net: Potential, eta: float, n: int, steps: int = 200) -> Tensor:
    """Samples from the exact law at t = 1 down to T_MIN: Heun's method, or Euler-Maruyama's."""
    x, generator = noised(n, 4, 1.0), torch.Generator().manual_seed(5)
    times = np.linspace(1.0, math.sqrt(T_MIN), steps + 1) ** 2
    for s, t in pairwise(times.tolist()):
        h, middle = s - t, 0.5 * (s + t)
        f, g2 = float(PROCESS.f(middle)), float(PROCESS.g2(middle))
        slope = -f * x + 0.5 * (1 + eta) * g2 * _score(net, x, s)
        if eta:
            noise = torch.randn(x.shape, generator=generator)
            x = x + h * slope + math.sqrt(eta * g2 * h) * noise
        else:
            y = x + h * slope
            x = x + 0.5 * h * (slope - f * y + 0.5 * g2 * _score(net, y, t))
    return x


def _score(net: Potential, x: Tensor, t: float) -> Tensor:
    y = x.detach().requires_grad_()
    return torch.autograd.grad(net(y, torch.full((len(y),), t, dtype=y.dtype)).sum(), y)[0]


def distance(a: Tensor, b: Tensor) -> float:
    """Sliced W2: root mean square over 32 directions, times sqrt 2, of equal numbers of points."""
    angle = torch.arange(32) * math.pi / 32
    ways = torch.stack([angle.cos(), angle.sin()])
    gap = (a @ ways).sort(0)[0] - (b @ ways).sort(0)[0]
    return float(f"{math.sqrt(2 * float(gap.square().mean())):.4g}")


def draw(data: Data) -> Figure:
    """Distances, and the terms of the loss."""
    figure = Figure(figsize=(10.4, 4.6))
    sides = {"left": 0.075, "right": 0.86, "top": 0.76, "bottom": 0.13, "wspace": 0.5}
    places = figure.add_gridspec(1, 2, **sides)
    left, right = figure.add_subplot(places[0]), figure.add_subplot(places[1])
    at = list(range(len(data["rows"])))
    _lines(left, at, data, KINDS)
    left.axhline(data["floor"], color=INK, lw=1.0, ls=(0, (4, 2)))
    left.text(0, data["floor"], "two draws of the data", va="bottom", size=8, color=SOFT)
    left.set(title="Laws at the end", ylabel="sliced W₂")
    _lines(right, at, data, {"denoising": "denoising loss", "penalty": "penalty"}, first=3)
    right.set(title="Terms of the loss", ylabel="on fresh points")
    figure.text(0.075, 0.92, "One law at a price", size=17, weight="bold")
    about = f"Potential network on three modes, {data['steps']} steps, weights of the penalty"
    figure.text(0.075, 0.855, about, size=9.5, color=SOFT)
    return figure


def _lines(axes: Axes, at: list[int], data: Data, names: dict[str, str], first: int = 0) -> None:
    ends = []
    for k, (name, words) in enumerate(names.items(), first):
        line = [row[name] for row in data["rows"]]
        axes.plot(at, line, color=COLOURS[k], marker=MARKERS[k], mec="white", mew=0.7)
        ends.append(End(at[-1], line[-1], words, COLOURS[k]))
    axes.set(xlabel="weight of the penalty", yscale="log")
    axes.set_xticks(at, [f"{row['weight']:g}" for row in data["rows"]])
    axes.autoscale_view()  # labels need final limits
    label_ends(axes, ends, size=8)


# the claims


def _gap(data: Data) -> Measured:
    first, last = (data["rows"][k]["gap"] for k in (0, -1))
    words = (
        f"distance {first:.3f} without, {last:.3f} with the largest weight; {data['floor']:.3f} "
    )
    spread = 0.5 * data["floor"]
    words += "between two draws of the data"
    return Measured(words, judge(first - last - spread, first - last + spread, least=0.0))


def _sde(data: Data) -> Measured:
    first, last = (data["rows"][k]["sde"] for k in (0, -1))
    spread = 0.5 * data["floor"]
    words = f"distance {first:.3f} without, {last:.3f} with the largest weight"
    return Measured(words, judge(last - first - spread, last - first + spread, least=0.0))


def _ode(data: Data) -> Measured:
    first, best = data["rows"][0]["ode"], min(row["ode"] for row in data["rows"][1:])
    spread = 0.5 * data["floor"]
    words = f"distance {first:.3f} without, {best:.3f} at the best weight"
    return Measured(words, judge(first - best - spread, first - best + spread, least=0.0))


def _not_truth(data: Data) -> Measured:
    last = data["rows"][-1]
    words = f"penalty {data['rows'][0]['penalty']:.2g} without, {last['penalty']:.2g} with it; "
    words += f"ODE to data {data['rows'][0]['ode']:.3f} and {last['ode']:.3f}"
    share = data["rows"][0]["penalty"] / last["penalty"]
    worse = min(share / 2, last["ode"] / data["rows"][0]["ode"])
    return Measured(words, judge(worse, worse, least=1.0))


CLAIMS = (
    Claim("the penalty closes the gap between ODE and SDE", _DEVENEY, _gap),
    Claim("it can be paid by the law of the SDE", _DEVENEY, _sde),
    Claim("a moderate weight improves the law of the ODE", _DEVENEY, _ode),
    Claim("a small residual certifies agreement, not truth", "its definition", _not_truth),
)
