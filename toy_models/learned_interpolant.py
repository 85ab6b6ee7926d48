"""A small network trained on the objectives of an interpolant, seconds on a processor.

The network is that of :mod:`.learned`; what it minimises, and its exact minimiser, is in
:mod:`fokker.solvers.transport.objectives`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..solvers.transport.interpolant import Interpolant
from ..solvers.transport.objectives import Draws, Target, objective
from .learned import Direction, checked_pairs, trained


def learn_field(
    interpolant: Interpolant,
    first: Tensor,
    last: Tensor,
    *,
    target: Target = "velocity",
    antithetic: bool = True,
    steps: int = 800,
    batch: int = 256,
    width: int = 64,
    rate: float = 5e-3,
    edge: float = 1e-3,
    seed: int = 0,
) -> Callable[[Tensor, float], Tensor]:
    """A field ``f(x, u)`` learned from pairs of ends, (N, d) each.

    u is uniform on ``[edge, 1 - edge]``, each half of a batch's times being the mirror image of
    the other; Adam, its rate falling to 0 as a cosine. A function of its arguments: the state of
    the global generator is neither used nor changed.

    Returns
    -------
    callable
        ``f(x, u)``, x of shape (B, d) and any float dtype, u a float.

    Raises
    ------
    InvalidLawError
        For pairs of different shapes, or none.
    """
    first, last = checked_pairs(first, last)

    def loss(net: Direction, generator: torch.Generator) -> Tensor:
        rows = torch.randint(len(first), (batch,), generator=generator)
        half = torch.rand((batch + 1) // 2, generator=generator)
        u = edge + (1.0 - 2.0 * edge) * torch.cat([half, 1.0 - half])[:batch]
        z = torch.randn(batch, first.shape[1], generator=generator)
        draws = Draws(first[rows], last[rows], z, u)
        return objective(net, interpolant, draws, target, antithetic=antithetic).mean()

    net = trained(loss, first.shape[1], width=width, steps=steps, rate=rate, seed=seed)

    def field(x: Tensor, u: float) -> Tensor:
        return net(x.float(), torch.full_like(x[:, :1], u, dtype=torch.float32)).to(x.dtype)

    return field
