"""Named neural equations of the three stable classes, with constants proven from their weights.

================  ===================================================  ========================
name              drift, diffusion                                     contraction k
================  ===================================================  ========================
``langevin``      ``-a z + W2 tanh(W1 z + V u)``, sigma                m = a - |W2| |W1|
``linear-noise``  the same, ``sigma z``                                m - sigma^2/2
``geometric``     ``(V u - a z^2/(1 + z^2)) z``, ``sigma z``           0, of ``log|z|``
``naive``         ``z |z|^2 + W2 tanh(W1 z + V u)``, sigma             none: it explodes
================  ===================================================  ========================

u is a control, the data that a neural equation reads; what a shift of it can do is bounded by
``shift_bound`` with the constants of the problem.  Oh, Lim & Kim 2024, arXiv:2402.14989.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..solvers.errors import InvalidLawError
from ..solvers.sde.problem import SDE
from ..solvers.sde.stable import geometric, langevin, linear_noise

DECAY, SIGMA, DIM, UNITS = 1.5, 0.6, 2, 5


@dataclass(frozen=True, eq=False)
class NeuralProblem:
    """An equation for each control, and what is known of it.

    Attributes
    ----------
    name : str
        Its name.
    sde : callable
        ``sde(u)``: the equation with a constant control u, shape (2,).
    contraction, lipschitz : float
        k and L of :func:`~fokker.solvers.sde.stable.shift_bound`; in the Euclidean norm, but for
        ``geometric`` in the largest coordinate.
    push : float
        Bound of the part of the drift beside ``-a z``.
    """

    name: str
    sde: Callable[[Tensor], SDE]
    contraction: float
    lipschitz: float
    push: float

    @property
    def moment_bound(self) -> float:
        """Bound of ``(E |z|^2)^(1/2)`` for all times, from starts inside it; Langevin only.

        ``d E|z|^2/dt <= -2 a r^2 + 2 B r + sigma^2 d`` with ``r^2 = E |z|^2``: its positive root.
        """
        root = (self.push**2 + 2 * DECAY * SIGMA**2 * DIM) ** 0.5
        return (self.push + root) / (2 * DECAY)


def _weights() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(12)

    def field(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    return 0.4 * field(UNITS, DIM), 0.4 * field(DIM, UNITS), 0.5 * field(UNITS, DIM)


def _norm(matrix: Tensor) -> float:
    return float(torch.linalg.matrix_norm(matrix, ord=2))


def neural_problem(name: str) -> NeuralProblem:
    """The problem of that name.

    Raises
    ------
    InvalidLawError
        For an unknown name; the sentence lists the accepted ones.
    """
    inner, outer, reads = _weights()
    direct = reads[:DIM]

    def net(z: Tensor, u: Tensor) -> Tensor:
        return torch.tanh(z @ inner.T + reads @ u) @ outer.T

    def drift(z: Tensor, u: Tensor) -> Tensor:
        return net(z, u) - DECAY * z

    def rate(z: Tensor, u: Tensor) -> Tensor:
        square = z.square()
        return direct @ u - DECAY * square / (1 + square)

    def exploding(z: Tensor, u: Tensor) -> Tensor:
        return net(z, u) + z * z.square().sum(-1, keepdim=True)

    mean, lipschitz = DECAY - _norm(outer) * _norm(inner), _norm(outer) * _norm(reads)
    push, row = _norm(outer) * UNITS**0.5, float(direct.abs().sum(1).max())
    made = {
        "langevin": NeuralProblem(
            name, lambda u: langevin(lambda z: drift(z, u), _still), mean, lipschitz, push
        ),
        "linear-noise": NeuralProblem(
            name,
            lambda u: linear_noise(lambda _, z: drift(z, u), _still),
            mean - SIGMA**2 / 2,
            lipschitz,
            push,
        ),
        "geometric": NeuralProblem(
            name, lambda u: geometric(lambda _, z: rate(z, u), _still), 0.0, row, DECAY
        ),
        "naive": NeuralProblem(
            name,
            lambda u: langevin(lambda z: exploding(z, u), _still),
            -math.inf,
            lipschitz,
            push,
        ),
    }
    if name not in made:
        msg = f"unknown neural equation {name!r}; accepted: {', '.join(NEURAL_PROBLEMS)}"
        raise InvalidLawError(msg)
    return made[name]


def _still(_: float) -> float:
    return SIGMA


NEURAL_PROBLEMS = ("langevin", "linear-noise", "geometric", "naive")
"""The accepted names."""
