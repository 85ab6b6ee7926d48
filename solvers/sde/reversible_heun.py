"""Reversible Heun: a step that can be undone, with one new evaluation of drift and diffusion.

A shadow y walks beside the state z (Kidger, Foster, Li & Lyons 2021, arXiv:2105.13493, Alg. 1) ::

    y' = 2 z - y + f(t, y) h + g(t, y) W
    z' = z + (f(t, y) + f(t', y')) h/2 + (g(t, y) + g(t', y')) W/2

Both are linear in what is known backwards: the step with (-h, -W) from (z', y') is (z, y).  Order
2 without noise.  Linear stability for y' = k y only where k h is on the segment [-i, i]: a stiff
drift makes the shadow swing away from the state, so it is no method for long contracting runs.

The gap ``d = y - z`` obeys ``d' = -d - (g(y') - g(y)) W/2 + ...``: it is a walk of size sqrt h,
but z sees ``d + d' = O(h)`` only. So the strong order is 1 for diagonal and scalar noise, where
the paper proves 1/2.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .method import Cell, Method, State
from .problem import SDE


def _start(sde: SDE, t: float, x: Tensor) -> State:
    return (x, x, sde.f(t, x), sde.g(t, x))


def advance(sde: SDE, state: State, t: float, h: float, w: Tensor) -> State:
    """From (z, y, f(y), g(y)) to the same after the step; h and W negative: before it."""
    z, y, f, g = state
    shadow = torch.add(2 * z - y, f, alpha=h) + sde.kick(g, w)
    f_new, g_new = sde.f(t, shadow), sde.g(t, shadow)
    out = torch.add(z, f + f_new, alpha=h / 2) + 0.5 * sde.kick(g + g_new, w)
    return out, shadow, f_new, g_new


def _step(sde: SDE, cell: Cell, state: State) -> State:
    return advance(sde, state, cell.t + cell.h, cell.h, cell.xi * math.sqrt(cell.h))


def _reverse(sde: SDE, cell: Cell, state: State) -> State:
    return advance(sde, state, cell.t, -cell.h, cell.xi * -math.sqrt(cell.h))


reversible_heun = Method(
    "reversible Heun",
    _step,
    calculus="stratonovich",
    strong={"additive": 1.0, "diagonal": 1.0, "scalar": 1.0, "general": 0.5},
    weak={"additive": 1.0, "diagonal": 1.0, "scalar": 1.0, "general": 1.0},
    source="Kidger, Foster, Li & Lyons 2021, arXiv:2105.13493, Alg. 1",
    start=_start,
    reverse=_reverse,
)
