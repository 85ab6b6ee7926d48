"""The equation solved along a polygon through its Brownian path: an ordinary one on every step.

On a step the path is taken as the straight line between its values, ``dX/du = h f + g W`` for u
in [0, 1], and that ordinary equation is solved by one step of the classical Runge-Kutta method. As
the polygon is refined the solution becomes that of the Stratonovich equation (Wong & Zakai 1965).

What the line misses is the area between path and chord, which enters through the bracket of f and
g: strong order 1 for commuting columns of g. Where f and g commute too, as on geometric Brownian
motion or in linear equations with commuting matrices, nothing is missed and the order is that of
the Runge-Kutta method in ``W ~ sqrt(h)``: 2. The log-ODE method is the same idea with the areas.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .basic import add_kick
from .method import Cell, Method, State
from .problem import SDE


def _rate(sde: SDE, cell: Cell, u: float, x: Tensor) -> Tensor:
    """``h f + g W`` at the fraction u of the cell."""
    t = cell.t + u * cell.h
    return add_kick(sde, cell.h * sde.f(t, x), sde.g(t, x), cell.xi, math.sqrt(cell.h))


def _step(sde: SDE, cell: Cell, state: State) -> State:
    (x,) = state
    k1 = _rate(sde, cell, 0.0, x)
    k2 = _rate(sde, cell, 0.5, torch.add(x, k1, alpha=0.5))
    k3 = _rate(sde, cell, 0.5, torch.add(x, k2, alpha=0.5))
    k4 = _rate(sde, cell, 1.0, x + k3)
    return (torch.add(x, k1.add_(k4).add_(k2.add_(k3), alpha=2.0), alpha=1 / 6),)


polygon = Method(
    "polygon",
    _step,
    calculus="stratonovich",
    strong={"additive": 1.0, "diagonal": 1.0, "scalar": 1.0, "general": 0.5},
    weak={"additive": 1.0, "diagonal": 1.0, "scalar": 1.0, "general": 1.0},
    source="Wong & Zakai 1965, Ann. Math. Statist. 36; Kutta's method of order 4 on each side",
)
"""Four drifts and four diffusions a step, and one normal field."""
