"""Equations, and one remembered Brownian path, for the tests of ``solvers/sde``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from fokker.analysis.path_order import PathObservation, fit_order
from fokker.solvers.noise import GridPath
from fokker.solvers.ops import Noise
from fokker.solvers.sde.method import Method
from fokker.solvers.sde.problem import SDE, Calculus
from fokker.solvers.sde.solve import solve

MIX = torch.tensor([[-1.0, 0.6], [-0.4, -0.7]], dtype=torch.float64)
COUNTS = (8, 16, 32, 64, 128, 256)


class Remembered:
    """A path that draws each cell once, for solves on many grids."""

    def __init__(self, path: GridPath) -> None:
        self.path, self.fields = path, {}

    def draw(self, cell: Noise, like: Tensor) -> Tensor:
        key = cell, tuple(like.shape)
        if key not in self.fields:
            self.fields[key] = self.path.draw(cell, like)
        return self.fields[key]


def edges(cells: int, begin: float = 0.0, end: float = 1.0) -> list[float]:
    """Times whose halvings are nested exactly, denser at the beginning: ratios are not hidden."""
    u = np.arange(cells + 1) / cells
    return [float(begin + (end - begin) * v * (0.7 + 0.3 * v)) for v in u]


PATHS = {
    rows: Remembered(GridPath(edges(COUNTS[-1]), seed=5, sample_ids=range(rows)))
    for rows in (400, 2000, 8000)
}


def coupled(t: float, x: Tensor) -> Tensor:
    """A drift that is nonlinear, couples coordinates and moves in time."""
    return torch.sin(x @ MIX.T) + 0.5 * np.cos(2 * t) - 0.3 * x


def gbm(calculus: Calculus = "ito", mu: float = 0.7, sigma: float = 0.8) -> SDE:
    return SDE(lambda _, x: mu * x, lambda _, x: sigma * x, calculus=calculus, signed=True)


def diagonal(calculus: Calculus = "ito") -> SDE:
    """Coordinates coupled by the drift; g_i depends on t and x_i."""
    return SDE(coupled, lambda t, x: (0.4 + 0.3 * torch.sin(x)) * (1 + 0.5 * t), calculus=calculus)


def additive() -> SDE:
    return SDE(
        lambda t, x: 2 * coupled(t, x), lambda t, _: 0.9 + 0.5 * np.sin(3 * t), noise="additive"
    )


def scalar(calculus: Calculus = "ito") -> SDE:
    """One noise; its field rotates and bends."""
    return SDE(
        coupled,
        lambda _, x: 0.6 * torch.cos(x.flip(-1)) + 0.3 * x,
        noise="scalar",
        calculus=calculus,
        signed=True,
    )


def general(calculus: Calculus = "ito") -> SDE:
    """Two noises whose fields do not commute (Heisenberg-like)."""

    def g(t: float, x: Tensor) -> Tensor:
        one, two = x[:, :1], x[:, 1:]
        first = torch.cat([torch.ones_like(one), two], 1)
        second = torch.cat([0.5 * one, torch.sin(one) + 1.0], 1)
        return 0.7 * torch.stack([first, second], -1)

    return SDE(coupled, g, noise="general", noises=2, calculus=calculus)


def well(friction: float = 1.0) -> SDE:
    """Langevin motion (q, p) in the well ``(q^2 - 1)^2 / 4``: additive, degenerate noise."""

    def drift(t: float, x: Tensor) -> Tensor:
        q, p = x[:, :1], x[:, 1:]
        return torch.cat([p, q - q**3 - friction * p], 1)

    kick = torch.tensor([0.0, (2 * friction * 0.5) ** 0.5], dtype=torch.float64)
    return SDE(drift, lambda *_: kick, noise="additive")


EQUATIONS: dict[str, Callable[..., SDE]] = {
    "gbm": gbm,
    "diagonal": diagonal,
    "additive": additive,
    "scalar": scalar,
    "general": general,
    "well": well,
}


def equation(name: str, method: Method) -> SDE:
    """The equation in the calculus that the method solves."""
    make = EQUATIONS[name]
    if name in ("additive", "well"):
        return make()
    return make("stratonovich" if method.calculus == "stratonovich" else "ito")


def start(rows: int = 2000) -> Tensor:
    return torch.linspace(0.5, 1.5, 2 * rows, dtype=torch.float64).reshape(rows, 2)


def strong_order(
    sde: SDE, method: Method, rows: int = 400, counts: Sequence[int] = COUNTS
) -> PathObservation:
    """Differences of solves with N and 2N steps on one path, and the fitted order."""
    runs = []
    for n in counts:
        runs.append(solve(sde, method, edges(n), start(rows), noise=PATHS[rows]).x)
    errors, bars = [], []
    for coarse, fine in pairwise(runs):
        square = (coarse - fine).square().mean(1)
        size = float(square.mean().sqrt())
        errors.append(size)
        bars.append(float(square.std()) / len(square) ** 0.5 / (2 * size))
    return fit_order(counts[:-1], errors, bars)
