"""Runge-Kutta methods of strong order 1.5 whose drift has order 3: for small noise, long steps.

Three drifts a step, where the methods of ``rungekutta`` have two; where the drift does most of the
error they need about half as many steps. Where noise is large there is nothing to gain.
"""

from __future__ import annotations

import math

import torch

from .basic import add_kick
from .method import Cell, Method, State
from .problem import SDE
from .rungekutta import Tableau, add_diffusion, area_of, tableau_step

SRIW2 = Tableau(
    c0=(0.0, 1.0, 1 / 2, 0.0),
    c1=(0.0, 1 / 4, 1.0, 1 / 4),
    a0=((), (1.0,), (1 / 4, 1 / 4), ()),
    b0=((), (), (1.0, 1 / 2), ()),
    a1=((), (1 / 4,), (1.0,), (0.0, 0.0, 1 / 4)),
    b1=((), (-1 / 2,), (1.0,), (2.0, -1.0, 1 / 2)),
    drift=(1 / 6, 1 / 6, 2 / 3, 0.0),
    i1=(-1.0, 4 / 3, 2 / 3, 0.0),
    i11=(1.0, -4 / 3, 1 / 3, 0.0),
    i10=(2.0, -4 / 3, -2 / 3, 0.0),
    i111=(-2.0, 5 / 3, -2 / 3, 1.0),
)
"""Strong order 1.5; order 3 without noise."""


def _sriw2(sde: SDE, cell: Cell, state: State) -> State:
    return (tableau_step(SRIW2, sde, cell, state[0]),)


sriw2 = Method(
    "SRIW2",
    _sriw2,
    calculus="ito",
    strong={"diagonal": 1.5, "scalar": 1.5},
    weak={"diagonal": 1.5, "scalar": 1.5},
    source="Roessler 2010, SRIW2",
    needs_area=True,
)


def _sra3(sde: SDE, cell: Cell, state: State) -> State:
    (x,) = state
    h, root, end = cell.h, math.sqrt(cell.h), cell.t + cell.h
    f, g, after = sde.f(cell.t, x), sde.g(cell.t, x), sde.g(end, x)
    second = sde.f(end, torch.add(x, f, alpha=h))
    there = torch.add(x, f, alpha=h / 4).add_(second, alpha=h / 4)
    there = add_kick(sde, there, after, cell.xi, 0.75 * root)
    there = add_kick(sde, there, after, area_of(cell), 1.5 * math.sqrt(h / 12))
    third = sde.f(cell.t + h / 2, there)
    out = torch.add(x, f, alpha=h / 6).add_(second, alpha=h / 6).add_(third, alpha=2 * h / 3)
    return (add_diffusion(sde, cell, out, g, after),)


sra3 = Method(
    "SRA3",
    _sra3,
    calculus="both",
    strong={"additive": 1.5},
    weak={"additive": 1.5},
    source="Roessler 2010, after SRA3",
    needs_area=True,
)
"""``x + h (f_1 + f_2 + 4 f_3)/6 + int g dW``, f_2 at ``x + h f_1``, f_3 at
``x + h (f_1 + f_2)/4 + (3/2) g I_10/h``: ``(2/3) (3/2) = 1`` and ``(2/3) (3/2)^2 = 3/2`` are the
conditions of strong order 1.5, and the drift's weights are those of Simpson's rule.

All of g is taken at the end of the step, where the paper's third stage has a third of it at the
beginning; the order is the same.
"""
