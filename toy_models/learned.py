"""A small network trained on pairs of noise and data: what reflow does, seconds on a processor.

On a straight mixture ``z = (1 - u) x_0 + u eps`` of a pair the network learns its direction
``v = eps - x_0`` from z and u, by the quadratic objective. Its minimiser is ``E[eps - x_0 | z]``,
and of any ``x = alpha x_0 + sigma eps`` it tells the data prediction::

    z = x/(alpha + sigma),   u = sigma/(alpha + sigma),   D = z - u v(z, u)

so that one training serves every schedule; a schedule only weighs the levels. On independent pairs
the minimiser is the denoiser of the law. Pairs that a flow made (:func:`flowed`) are those of
reflow: then it is ``rectified.Rectified``, as far as the network can be it, and noise to data is
one step. Liu et al. 2022, arXiv:2209.03003; Wang et al. 2025, arXiv:2410.07303.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from ..solvers.errors import InvalidLawError
from ..solvers.grids import uniform_lam
from ..solvers.process import Process
from ..solvers.registry import get
from ..solvers.run import run
from .checks import Coefficient, coefficients, points
from .law import Denoiser, exact_model


class Direction(nn.Module):
    """``v(z, u)``: a perceptron of three hidden layers; z (B, d), u (B, 1)."""

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        sizes = (dim + 2, width, width, width, dim)
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))

    def forward(self, z: Tensor, u: Tensor) -> Tensor:
        """The direction at (z, u)."""
        x = torch.cat([z, u, u.square()], dim=1)
        *hidden, last = self.layers
        for layer in hidden:
            x = nn.functional.silu(layer(x))
        return last(x)


@dataclass(frozen=True, eq=False)
class Learned:
    """A trained direction as a denoiser, for ``exact_model`` on any process (exact it is not)."""

    direction: Direction

    name: ClassVar[str] = "learned"

    @property
    def _like(self) -> Tensor:
        return self.direction.layers[-1].bias  # pyright: ignore

    @property
    def dim(self) -> int:
        """Dimension d."""
        return len(self._like)

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the parameters."""
        return self._like.dtype

    @property
    def device(self) -> torch.device:
        """Device of the parameters."""
        return self._like.device

    def to(self, device: Any = None, dtype: torch.dtype | None = None) -> Self:
        """A copy on another device or in another dtype."""
        return type(self)(copy.deepcopy(self.direction).to(device, dtype))

    def denoiser(self, x: Tensor, alpha: Coefficient, sigma: Coefficient) -> Tensor:
        """``z - u v(z, u)``, (B, d)."""
        points(x, self._like)
        a, s = coefficients(alpha, sigma, x)
        z, u = x / (a + s), s / (a + s)
        return z - u * self.direction(z, torch.ones_like(x[:, :1]) * u)

    def score(self, x: Tensor, alpha: Coefficient, sigma: Coefficient) -> Tensor:
        """``(alpha D - x)/sigma^2``, (B, d)."""
        data = self.denoiser(x, alpha, sigma)
        a, s = coefficients(alpha, sigma, x, zero_sigma=False)
        return (a * data - x) / s**2


def learn(
    eps: Tensor,
    data: Tensor,
    *,
    steps: int = 1000,
    batch: int = 512,
    width: int = 64,
    rate: float = 5e-3,
    seed: int = 0,
) -> Learned:
    """Train a direction on pairs, (N, d) each, for the mean of ``|v(z, u) - (eps - x_0)|^2``.

    u is uniform on [0, 1]; Adam, its rate falling to 0 as a cosine. A function of its arguments:
    the state of the global generator is neither used nor changed.

    Raises
    ------
    InvalidLawError
        For pairs of different shapes, or none.
    """
    eps, data = checked_pairs(eps, data)

    def loss(net: Direction, generator: torch.Generator) -> Tensor:
        rows = torch.randint(len(eps), (batch,), generator=generator)
        u = torch.rand(batch, 1, generator=generator)
        e, x0 = eps[rows], data[rows]
        return (net((1 - u) * x0 + u * e, u) - (e - x0)).square().mean()

    return Learned(trained(loss, eps.shape[1], width=width, steps=steps, rate=rate, seed=seed))


def checked_pairs(first: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
    """Two tensors (N, d) in float32, as the network takes them.

    Raises
    ------
    InvalidLawError
        For pairs of different shapes, or none.
    """
    if first.shape != last.shape or first.ndim != 2 or not len(first):
        msg = f"pairs must be two (N, d) tensors, got {tuple(first.shape)}, {tuple(last.shape)}"
        raise InvalidLawError(msg)
    return first.float(), last.float()


def trained(
    loss: Callable[[Direction, torch.Generator], Tensor],
    dim: int,
    *,
    width: int,
    steps: int,
    rate: float,
    seed: int,
    generator: torch.Generator | None = None,
) -> Direction:
    """A network that has taken ``steps`` of Adam on a loss, the rate falling to 0 as a cosine.

    All that the loss draws comes from the generator it is given, a new one with this seed if none
    is handed over; the weights start from the seed. The global generator is not touched.
    """
    if generator is None:
        generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = Direction(dim, width)
    adam = torch.optim.Adam(net.parameters(), lr=rate, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
    for _ in range(steps):
        value = loss(net, generator)
        adam.zero_grad()
        value.backward()
        adam.step()
        schedule.step()
    return net.requires_grad_(False)


def flowed(model: Denoiser, process: Process, eps: Tensor, *, steps: int = 32) -> Tensor:
    """Where the probability-flow ODE of a model takes noise, (B, d): the pairs of a reflow."""
    span = uniform_lam(process, -4.0, 4.0).grid(steps, to_zero=True)
    start = span[0].sigma * eps
    return run(get("dpmpp_2m")(process, span), exact_model(model, process), start).x
