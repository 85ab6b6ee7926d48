"""Methods that read the increment only: Euler, Heun and Milstein.

No method that reads only the increments of N steps has a strong order above 1, and above 1/2 only
where the columns of the diffusion commute (Clark & Cameron 1980); diagonal and scalar noise do.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.func import jvp

from .method import Cell, Method, State
from .problem import SDE

_COMMUTING = {"additive": 1.0, "diagonal": 1.0, "scalar": 1.0}
_WEAK_ONE = {"additive": 1.0, "diagonal": 1.0, "scalar": 1.0, "general": 1.0}


def add_kick(sde: SDE, x: Tensor, g: Tensor, xi: Tensor, scale: float) -> Tensor:
    """``x + scale g xi`` into x, which must be a fresh tensor."""
    if sde.noises is not None:
        return x.add_(sde.kick(g, xi), alpha=scale)
    if g.dim() == 0 and g.is_cpu and not g.requires_grad:
        return x.add_(xi, alpha=scale * g.item())
    return x.addcmul_(g, xi, value=scale)


def _euler(sde: SDE, cell: Cell, state: State) -> State:
    (x,) = state
    out = torch.add(x, sde.f(cell.t, x), alpha=cell.h)
    return (add_kick(sde, out, sde.g(cell.t, x), cell.xi, math.sqrt(cell.h)),)


euler_maruyama = Method(
    "Euler-Maruyama",
    _euler,
    calculus="ito",
    strong={"additive": 1.0, "diagonal": 0.5, "scalar": 0.5, "general": 0.5},
    weak=_WEAK_ONE,
    source="Maruyama 1955",
)
"""``x + f h + g W``.  Strong order 1 for additive noise because Milstein's term vanishes there."""


def _heun(sde: SDE, cell: Cell, state: State) -> State:
    (x,) = state
    h, root, end = cell.h, math.sqrt(cell.h), cell.t + cell.h
    f, g = sde.f(cell.t, x), sde.g(cell.t, x)
    there = add_kick(sde, torch.add(x, f, alpha=h), g, cell.xi, root)
    out = torch.add(x, f, alpha=h / 2).add_(sde.f(end, there), alpha=h / 2)
    return (add_kick(sde, out, g + sde.g(end, there), cell.xi, root / 2),)


heun = Method(
    "stochastic Heun",
    _heun,
    calculus="stratonovich",
    strong=_COMMUTING | {"general": 0.5},
    weak=_WEAK_ONE,
    source="Ruemelin 1982, SIAM J. Numer. Anal. 19",
)
"""Trapezoid of drift and diffusion; order 2 without noise.  Not the churned Heun of EDM."""


def _euler_heun(sde: SDE, cell: Cell, state: State) -> State:
    (x,) = state
    root = math.sqrt(cell.h)
    g = sde.g(cell.t, x)
    there = x + root * sde.kick(g, cell.xi)
    out = torch.add(x, sde.f(cell.t, x), alpha=cell.h)
    return (add_kick(sde, out, g + sde.g(cell.t + cell.h, there), cell.xi, root / 2),)


euler_heun = Method(
    "Euler-Heun",
    _euler_heun,
    calculus="stratonovich",
    strong=_COMMUTING | {"general": 0.5},
    weak=_WEAK_ONE,
    source="Kloeden & Platen 1992, section 4.9",
)
"""Euler's step of the drift, the trapezoid of the diffusion."""


def _second(sde: SDE, cell: Cell) -> Tensor:
    """Twice the iterated integral I_(1,1): W^2 - h in Ito's calculus, W^2 in Stratonovich's."""
    return cell.h * (cell.xi.square() - (1.0 if sde.calculus == "ito" else 0.0))


def _milstein(sde: SDE, cell: Cell, state: State) -> State:
    (x,) = state
    out = torch.add(x, sde.f(cell.t, x), alpha=cell.h)
    if sde.noise == "additive":
        return (add_kick(sde, out, sde.g(cell.t, x), cell.xi, math.sqrt(cell.h)),)
    g = sde.g(cell.t, x)
    slope = jvp(lambda y: sde.raw_g(cell.t, y).expand(x.shape), (x,), (g.expand(x.shape),))[1]
    out = add_kick(sde, out, g, cell.xi, math.sqrt(cell.h))
    return (out.addcmul_(slope, _second(sde, cell), value=0.5),)


milstein = Method(
    "Milstein",
    _milstein,
    calculus="both",
    strong=_COMMUTING,
    weak={"additive": 1.0, "diagonal": 1.0, "scalar": 1.0},
    source="Milstein 1974, Theory Probab. Appl. 19",
)
"""``x + f h + g W + (1/2) g'g (W^2 - h)``, g'g by one forward derivative along g.

Nothing is claimed for general noise: there the step would need the Levy areas of pairs of noises.
"""


def _milstein_free(sde: SDE, cell: Cell, state: State) -> State:
    (x,) = state
    root = math.sqrt(cell.h)
    f, g = sde.f(cell.t, x), sde.g(cell.t, x)
    out = add_kick(sde, torch.add(x, f, alpha=cell.h), g, cell.xi, root)
    if sde.noise == "additive":
        return (out,)
    # a support without the drift keeps the second evaluation local to g
    there = torch.add(x, g, alpha=root)
    difference = sde.g(cell.t, there) - g
    return (out.addcmul_(difference, _second(sde, cell), value=0.5 / root),)


milstein_free = Method(
    "Milstein without derivatives",
    _milstein_free,
    calculus="both",
    strong=_COMMUTING,
    weak={"additive": 1.0, "diagonal": 1.0, "scalar": 1.0},
    source="Kloeden & Platen 1992, section 11.1",
)
"""Milstein's step with ``g'g sqrt h ~ g(x + g sqrt h) - g(x)``."""
