"""What a step of a general SDE costs beyond its drift, diffusion and noise, and beside torchsde.

Overhead is the time of a step less that of what it cannot avoid (the calls of drift and diffusion
and the drawing of its normals), in axpys ``y + a x`` on the same state. Bars: Euler at most 5, SRA1
at most 8. The second table is time to one accuracy: both libraries solve the same equation with
Brownian paths of their own, each by its best method, and the errors are measured against the exact
solution on that path: steps are doubled until the root mean square is at most the bar. The path of
torchsde is asked for one number at the end. Bar: at least 3 times cheaper.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torchsde
from timing import in_turns, seconds, table, write
from torch import Tensor

from fokker.solvers.noise import CellNoise
from fokker.solvers.ops import Noise
from fokker.solvers.sde.basic import euler_maruyama, milstein
from fokker.solvers.sde.method import Method
from fokker.solvers.sde.problem import SDE
from fokker.solvers.sde.rungekutta import sra1, srk15
from fokker.solvers.sde.solve import solve

SHAPE = (64, 3, 32, 32)
STEPS = 10
BARS = {"Euler-Maruyama": 5.0, "SRA1": 8.0}
CHEAPER = 3.0
SIZE, ACCURACY = (4096, 4), {"gbm": 2e-3, "ou": 2e-4}


class _Given:
    """Normals that are there already: drawing costs nothing."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.field = torch.randn(shape)

    def draw(self, cell: Noise, like: Tensor) -> Tensor:  # noqa: ARG002
        return self.field


def overhead() -> list[dict[str, Any]]:
    """Axpys of one step besides drift, diffusion and noise; f and g return what they hold."""
    x, f, g = torch.randn(SHAPE), torch.randn(SHAPE), torch.rand(SHAPE)
    one = torch.tensor(0.7)
    cases = (
        (euler_maruyama, SDE(lambda *_: f, lambda *_: g)),
        (euler_maruyama, SDE(lambda *_: f, lambda *_: one, noise="additive")),
        (sra1, SDE(lambda *_: f, lambda *_: one, noise="additive")),
    )
    times, source = [k / STEPS for k in range(STEPS + 1)], _Given(SHAPE)
    rows = []
    for method, sde in cases:
        pair = in_turns(
            lambda: torch.add(x, f, alpha=0.1),
            lambda m=method, s=sde: solve(s, m, times, x, noise=source),
            base_count=20,
            rounds=40,
        )
        axpys = pair.target / STEPS / pair.base
        rows.append({"method": method.name, "noise": sde.noise, "axpys": axpys})
    return rows


class _Foreign(torch.nn.Module):
    """An equation as torchsde wants it."""

    def __init__(self, sde: SDE) -> None:
        super().__init__()
        self.sde, self.sde_type = sde, "ito"
        self.noise_type = sde.noise

    def f(self, t: Tensor, y: Tensor) -> Tensor:
        return self.sde.drift(float(t), y)

    def g(self, t: Tensor, y: Tensor) -> Tensor:
        g = self.sde.raw_g(float(t), y).expand(y.shape)
        return torch.diag_embed(g) if self.noise_type == "additive" else g


def problems() -> dict[str, SDE]:
    """Geometric Brownian motion and an Ornstein-Uhlenbeck process."""
    return {
        "gbm": SDE(lambda _, x: 0.3 * x, lambda _, x: 0.5 * x, signed=True),
        "ou": SDE(lambda _, x: -1.5 * x, lambda *_: 0.8, noise="additive"),
    }


def ours(sde: SDE, method: Method, n: int, x: Tensor) -> Callable[[], Tensor]:
    times = [k / n for k in range(n + 1)]
    return lambda: solve(sde, method, times, x, noise=0).x


def theirs(sde: SDE, method: str, n: int, x: Tensor) -> Callable[[], Tensor]:
    foreign = _Foreign(sde)
    levy = "space-time" if method == "srk" else "none"

    def call() -> Tensor:
        path = torchsde.BrownianInterval(
            0.0, 1.0, size=tuple(x.shape), dtype=x.dtype, entropy=1, levy_area_approximation=levy
        )
        ts = torch.tensor([0.0, 1.0])
        with torch.no_grad():
            return torchsde.sdeint(foreign, x, ts, bm=path, method=method, dt=1 / n)[-1]

    return call
