"""A small network trained on the objectives of an interpolant, seconds on a processor.

The network is that of :mod:`.learned`; what it minimises, and its exact minimiser, is in
:mod:`fokker.solvers.transport.objectives`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..solvers.errors import InvalidLawError
from ..solvers.transport.interpolant import Interpolant
from ..solvers.transport.objectives import Draws, Target, objective
from .learned import Direction


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
    if first.shape != last.shape or first.ndim != 2 or not len(first):
        msg = f"pairs must be two (N, d) tensors, got {tuple(first.shape)}, {tuple(last.shape)}"
        raise InvalidLawError(msg)
    first, last = first.float(), last.float()
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = Direction(first.shape[1], width)
    adam = torch.optim.Adam(net.parameters(), lr=rate, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
    for _ in range(steps):
        rows = torch.randint(len(first), (batch,), generator=generator)
        half = torch.rand((batch + 1) // 2, generator=generator)
        u = edge + (1.0 - 2.0 * edge) * torch.cat([half, 1.0 - half])[:batch]
        z = torch.randn(batch, first.shape[1], generator=generator)
        draws = Draws(first[rows], last[rows], z, u)
        loss = objective(net, interpolant, draws, target, antithetic=antithetic).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
        schedule.step()
    net.requires_grad_(False)

    def field(x: Tensor, u: float) -> Tensor:
        return net(x.float(), torch.full_like(x[:, :1], u, dtype=torch.float32)).to(x.dtype)

    return field
