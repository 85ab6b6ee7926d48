"""A small network as the predictor of a bridge: what DSBM learns where no line will do.

The network is that of :mod:`.learned`, ``v(x, u)`` with ``E[x_1 | x_u] = x + (1 - u) v``: its
target ``(x_1 - x_u)/(1 - u)`` is weighed by ``(1 - u)^2``, so that the noise of the target near
the end does not drown the rest. Seconds on a processor.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..solvers.transport.matching import Predictor, bridge_state
from .learned import Direction, checked_pairs, trained


@dataclass(frozen=True)
class NetworkLearner:
    """Trains a fresh network on pairs, by Adam with a falling rate; in float32.

    Parameters
    ----------
    steps, batch, width, rate
        Of the training and of the network.

    Raises
    ------
    InvalidLawError
        At the call, for pairs of different shapes or none.
    """

    steps: int = 600
    batch: int = 512
    width: int = 64
    rate: float = 5e-3

    def __call__(
        self, x0: Tensor, x1: Tensor, sigma: float, generator: torch.Generator
    ) -> Predictor:
        """The predictor, ``x + (1 - u) v(x, u)``; answers in the dtype of x."""
        x0, x1 = checked_pairs(x0, x1)

        def loss(net: Direction, generator: torch.Generator) -> Tensor:
            rows = torch.randint(len(x0), (self.batch,), generator=generator)
            u = torch.rand(self.batch, 1, generator=generator)
            a, b = x0[rows], x1[rows]
            x = bridge_state(a, b, u, sigma, torch.randn(a.shape, generator=generator))
            return (x + (1 - u) * net(x, u) - b).square().mean()

        seed = int(torch.randint(2**31, (), generator=generator))
        net = trained(
            loss, x0.shape[1], width=self.width, steps=self.steps, rate=self.rate, seed=seed,
            generator=generator,
        )  # fmt: skip

        def predict(x: Tensor, u: float) -> Tensor:
            moved = net(x.float(), torch.full((len(x), 1), u))
            return x + (1.0 - u) * moved.to(x.dtype)

        return predict
