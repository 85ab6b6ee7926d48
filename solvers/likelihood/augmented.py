"""The log-density as one more coordinate of the state, so that every sampler integrates it.

Along the probability-flow ODE the density of x changes by the divergence of the velocity
(Chen et al. 2018, arXiv:1806.07366; Song et al. 2021, arXiv:2011.13456, eq. 39). In lam,

    d log p/dlam = -d (dlog alpha/dlam) + sigma div eps
                 = -d dlog S/dlam - r,
    r = alpha div D - d alpha^2/S^2 = d sigma^2/S^2 - sigma div eps,     S^2 = alpha^2 + sigma^2.

The first term is that of standard normal data and is integrated in closed form; r vanishes at both
ends of the noise. ``l = S int r dlam`` is one more coordinate of the state, with the predictions

    D_l = alpha/S^2 l + S r/alpha,          eps_l = sigma/S^2 l - S r/sigma,

which are consistent, ``alpha D_l + sigma eps_l = l``, and obey ``dl = D_l dalpha + eps_l dsigma``
like any other coordinate. So a plan of any order is a rule of that order for the log-density, and
the error control of an adaptive sampler covers it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..errors import ShapeError
from ..model import Model, conversion
from ..process import Node, Process
from .divergence import Divergence

Numbers = Callable[[Callable[[Node], float]], Any]


@dataclass
class Augmented:
    """A model of ``(x, l)``, flat of shape (B, d + 1); ``count`` counts what it asks.

    Parameters
    ----------
    model : callable
        ``model(x, t)``, x of shape (B, *shape) and of the dtype ``dtype``.
    process : Process
        Its process.
    source : str
        What it predicts.
    target : str
        What is answered for x and for l: ``"data"`` or ``"noise"``.
    divergence : Divergence
        How the divergence is found.
    shape, dtype
        Of a sample as the model knows it; the state is float64.
    """

    model: Model
    process: Process
    source: str
    target: str
    divergence: Divergence
    shape: tuple[int, ...]
    dtype: torch.dtype
    count: int = field(default=0)

    def __call__(self, z: Tensor, t: Any) -> Tensor:
        """The prediction of all coordinates."""
        self.count += 1
        x, level = z[:, :-1], z[:, -1]
        asked = x.reshape(-1, *self.shape).to(self.dtype)
        out, div = self.divergence(self.model, asked, t)
        _check_answer(out, div, asked)
        out, div = out.flatten(1).to(z), div.to(z)
        number = _numbers(self.process, t, z)
        a, b = (number(lambda n, k=k: conversion(self.source, self.target, n)[k]) for k in (0, 1))
        size = number(lambda n: (n.alpha**2 + n.sigma**2) ** 0.5)
        near = number(lambda n: n.alpha if self.target == "data" else n.sigma)
        div = a * x.shape[1] + b * div
        rate = near * div - x.shape[1] * (near / size) ** 2  # r from D, and -r from eps
        own = near / size**2 * level + size / near * rate
        a, b = (v[:, None] if isinstance(v, Tensor) else v for v in (a, b))
        return torch.cat([a * x + b * out, own[:, None]], 1)


def _check_answer(out: Any, div: Any, x: Tensor) -> None:
    """Refuse what would be broadcast in silence: a divergence may be the user's own function."""
    for value, what, shape in ((out, "output", x.shape), (div, "divergence", x.shape[:1])):
        if not isinstance(value, Tensor) or value.shape != shape:
            got = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            msg = f"the model's {what} must have shape {tuple(shape)}, got {got}"
            raise ShapeError(msg)


def _numbers(process: Process, t: Any, like: Tensor) -> Numbers:
    """``number(f)``: one of the level of each row, (B,), or a float if all have one level."""
    values = t.detach().cpu().reshape(-1).tolist() if isinstance(t, Tensor) else [float(t)]
    nodes = [process.node(v) for v in values]
    if len(nodes) == 1:
        return lambda f: f(nodes[0])
    return lambda f: like.new_tensor([f(n) for n in nodes])
