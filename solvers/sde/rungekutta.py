"""Stochastic Runge-Kutta methods as tableaus (Roessler 2010, SIAM J. Numer. Anal. 48, 922).

With I_1 = W, I_10 = int W ds, I_11 = (W^2 - h)/2, I_111 = (W^3 - 3 h W)/6 ::

    X_i = x + h sum_j A0_ij f(t + c0_j h, X_j) + I_10/h sum_j B0_ij g(t + c1_j h, Y_j)
    Y_i = x + h sum_j A1_ij f(t + c0_j h, X_j) + sqrt h sum_j B1_ij g(t + c1_j h, Y_j)
    x'  = x + h sum_i a_i f(X_i)
            + sum_i (b1_i I_1 + b2_i I_11/sqrt h + b3_i I_10/h + b4_i I_111/h) g(Y_i)

One noise is a formula on arrays, so diagonal noise is the same formula on each coordinate; the
drift may couple them.  Strong order 1.5 needs I_10, hence the space-time area.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor

from .basic import add_kick
from .errors import InvalidEquationError
from .method import Cell, Method, State
from .problem import SDE

Row = tuple[float, ...]


@dataclass(frozen=True)
class Tableau:
    """Coefficients of a scheme; empty rows are zero, trailing zeros may be left out."""

    c0: Row
    c1: Row
    a0: tuple[Row, ...]
    b0: tuple[Row, ...]
    a1: tuple[Row, ...]
    b1: tuple[Row, ...]
    drift: Row
    i1: Row
    i11: Row
    i10: Row
    i111: Row


def _add(base: Tensor, terms: Iterable[tuple[float, Tensor | None]]) -> Tensor:
    """``base + sum weight value`` in a fresh tensor, or ``base`` itself if nothing is added."""
    out = base
    for weight, value in terms:
        if weight != 0.0 and value is not None:
            fresh = out is not base
            out = out.add_(value, alpha=weight) if fresh else torch.add(out, value, alpha=weight)
    return out


def _add_products(
    base: Tensor, other: Tensor, terms: Iterable[tuple[float, Tensor | None]], *, fresh: bool
) -> Tensor:
    """``base + sum weight value other``, into base if it is fresh; no sum has a tensor of its own.

    New memory costs as much as the sums.
    """
    out = base
    for weight, value in terms:
        if weight != 0.0 and value is not None:
            if fresh:
                out = out.addcmul_(value, other, value=weight)
            else:
                out, fresh = torch.addcmul(out, value, other, value=weight), True
    return out


def _row(rows: tuple[Row, ...], i: int, values: list[Tensor | None]) -> Iterable:
    return zip(rows[i] if i < len(rows) else (), values, strict=False)


def _uses(table: Tableau, i: int) -> tuple[bool, bool]:
    """Whether f at X_i, and g at Y_i, is read by anything."""
    later = range(i + 1, len(table.c0))

    def at(row: Row) -> bool:
        return i < len(row) and row[i] != 0.0

    f = at(table.drift) or any(at(r[k]) for r in (table.a0, table.a1) for k in later if k < len(r))
    ends = (table.i1, table.i11, table.i10, table.i111)
    g = any(map(at, ends))
    g = g or any(at(r[k]) for r in (table.b0, table.b1) for k in later if k < len(r))
    return f, g


def tableau_step(table: Tableau, sde: SDE, cell: Cell, x: Tensor) -> Tensor:
    """One step of the scheme for noise that acts on each coordinate by itself."""
    h, root = cell.h, math.sqrt(cell.h)
    tilt = _tilt(cell) if any(map(any, table.b0)) or any(table.i10) else None
    fs: list[Tensor | None] = []
    gs: list[Tensor | None] = []
    for i in range(len(table.c0)):
        use_f, use_g = _uses(table, i)
        if use_f:
            at = _add(x, ((h * a, f) for a, f in _row(table.a0, i, fs)))
            point = at
            if tilt is not None and any(table.b0[i]):
                point = _add_products(at, tilt, _row(table.b0, i, gs), fresh=at is not x)
            fs.append(sde.f(cell.t + table.c0[i] * h, point))
        else:
            fs.append(None)
        if use_g:
            drifts = ((h * a, f) for a, f in _row(table.a1, i, fs))
            kicks = ((root * b, g) for b, g in _row(table.b1, i, gs))
            point = _add(x, chain(drifts, kicks))
            gs.append(sde.g(cell.t + table.c1[i] * h, point))
        else:
            gs.append(None)
    out = _add(x, ((h * a, f) for a, f in zip(table.drift, fs, strict=True)))
    return _add_integrals(table, cell, tilt, out, gs, fresh=out is not x)


def _tilt(cell: Cell) -> Tensor:
    """``I_10/h = W/2 + H``."""
    return (cell.xi * (math.sqrt(cell.h) / 2)).add_(area_of(cell), alpha=math.sqrt(cell.h / 12))


def _add_integrals(
    table: Tableau,
    cell: Cell,
    tilt: Tensor | None,
    out: Tensor,
    gs: list[Tensor | None],
    *,
    fresh: bool,
) -> Tensor:
    root, xi = math.sqrt(cell.h), cell.xi
    square = xi.square().sub_(1.0)
    cubic = (square - 2.0).mul_(xi) if any(table.i111) else None  # xi^3 - 3 xi
    integrals = (
        (table.i1, root, xi),
        (table.i11, root / 2, square),
        (table.i10, 1.0, tilt),
        (table.i111, root / 6, cubic),
    )
    for weights, scale, integral in integrals:
        if integral is not None and any(weights):
            terms = ((scale * w, g) for w, g in zip(weights, gs, strict=True))
            out = _add_products(out, integral, terms, fresh=fresh)
            fresh = True
    return out


SRI2 = Tableau(
    c0=(0.0, 0.0, 0.0),
    c1=(0.0, 0.0, 0.0),
    a0=(),
    b0=((), (), ()),
    a1=((), (1.0,), (1.0,)),
    b1=((), (1.0,), (-1.0,)),
    drift=(1.0, 0.0, 0.0),
    i1=(1.0, 0.0, 0.0),
    i11=(0.0, 0.5, -0.5),
    i10=(),
    i111=(),
)
"""Strong order 1: Milstein's term by a central difference ``(g(x + g s) - g(x - g s))/(2 s)``."""

SRIW1 = Tableau(
    c0=(0.0, 3 / 4, 0.0, 0.0),
    c1=(0.0, 1 / 4, 1.0, 1 / 4),
    a0=((), (3 / 4,), (), ()),
    b0=((), (3 / 2,), (), ()),
    a1=((), (1 / 4,), (1.0,), (1 / 4,)),
    b1=((), (1 / 2,), (-1.0,), (-5.0, 3.0, 1 / 2)),
    drift=(1 / 3, 2 / 3, 0.0, 0.0),
    i1=(-1.0, 4 / 3, 2 / 3, 0.0),
    i11=(-1.0, 4 / 3, -1 / 3, 0.0),
    i10=(2.0, -4 / 3, -2 / 3, 0.0),
    i111=(-2.0, 5 / 3, -2 / 3, 1.0),
)
"""Strong order 1.5; order 2 without noise.

The paper's table has the last 1/4 of A1 at X_3, which is x: read from X_1 it saves a drift.
"""


def _srk1(sde: SDE, cell: Cell, state: State) -> State:
    return (tableau_step(SRI2, sde, cell, state[0]),)


def _sriw1(sde: SDE, cell: Cell, state: State) -> State:
    return (tableau_step(SRIW1, sde, cell, state[0]),)


srk1 = Method(
    "SRK of strong order 1",
    _srk1,
    calculus="ito",
    strong={"diagonal": 1.0, "scalar": 1.0},
    weak={"diagonal": 1.0, "scalar": 1.0},
    source="Roessler 2010, eq. (6.2), commutative noise",
)
srk15 = Method(
    "SRIW1",
    _sriw1,
    calculus="ito",
    strong={"diagonal": 1.5, "scalar": 1.5},
    weak={"diagonal": 1.5, "scalar": 1.5},
    source="Roessler 2010, Table 5.2",
    needs_area=True,
)


def _sra1(sde: SDE, cell: Cell, state: State) -> State:
    (x,) = state
    h, root, end = cell.h, math.sqrt(cell.h), cell.t + cell.h
    f, g, after = sde.f(cell.t, x), sde.g(cell.t, x), sde.g(end, x)
    zeta, spread = area_of(cell), math.sqrt(h / 12)  # I_10/h = root xi/2 + spread zeta
    there = add_kick(sde, torch.add(x, f, alpha=0.75 * h), after, cell.xi, 0.75 * root)
    there = add_kick(sde, there, after, zeta, 1.5 * spread)
    out = torch.add(x, f, alpha=h / 3).add_(sde.f(cell.t + 0.75 * h, there), alpha=2 * h / 3)
    return (add_diffusion(sde, cell, out, g, after),)


def add_diffusion(sde: SDE, cell: Cell, out: Tensor, g: Tensor, after: Tensor) -> Tensor:
    """``int g dW`` of additive noise into out: ``g(t+h) W - (g(t+h) - g(t)) I_10/h``."""
    root, spread = math.sqrt(cell.h), math.sqrt(cell.h / 12)
    constant = not (g.requires_grad or after.requires_grad) and bool(torch.equal(after, g))
    if constant:  # learned diffusions keep both ends: equal values may differ in their slopes
        return add_kick(sde, out, g, cell.xi, root)
    out = add_kick(sde, out, after, cell.xi, root)
    out = add_kick(sde, out, g - after, cell.xi, 0.5 * root)
    return add_kick(sde, out, g - after, area_of(cell), spread)


def area_of(cell: Cell) -> Tensor:
    """The area of the cell, as standard normals.

    Raises
    ------
    InvalidEquationError
        If the cell was made without it.
    """
    if cell.zeta is None:
        msg = "this method needs the space-time area of the step; make the cell with zeta"
        raise InvalidEquationError(msg)
    return cell.zeta


sra1 = Method(
    "SRA1",
    _sra1,
    calculus="both",
    strong={"additive": 1.5},
    weak={"additive": 1.5},
    source="Roessler 2010, Table 6.1",
    needs_area=True,
)
"""``x + h (f_1 + 2 f_2)/3 + int g dW``, f_2 at ``x + (3/4) h f_1 + (3/2) g I_10/h``.

The integral of g is exact to the order: ``g(t+h) W - (g(t+h) - g(t)) I_10/h``.
"""


def _shark(sde: SDE, cell: Cell, state: State) -> State:
    (x,) = state
    h, root = cell.h, math.sqrt(cell.h)
    g, after = sde.g(cell.t, x), sde.g(cell.t + h, x)
    zeta, spread = area_of(cell), math.sqrt(h / 12)
    first = add_kick(sde, x.clone(), g, zeta, spread)
    f = sde.f(cell.t, first)
    second = add_kick(sde, torch.add(first, f, alpha=5 / 6 * h), g, cell.xi, 5 / 6 * root)
    out = torch.add(x, f, alpha=0.4 * h).add_(sde.f(cell.t + 5 / 6 * h, second), alpha=0.6 * h)
    out = add_kick(sde, out, 0.5 * (g + after), cell.xi, root)
    return (add_kick(sde, out, g - after, zeta, spread),)


shark = Method(
    "ShARK",
    _shark,
    calculus="both",
    strong={"additive": 1.5},
    weak={"additive": 1.5},
    source="Foster, dos Reis & Strange 2024, arXiv:2210.17543, eq. (6.1)",
    needs_area=True,
)
"""Shifted additive-noise Runge-Kutta: ``y = x + g H``, ``z = y + (5/6)(h f(y) + g W)``,
``x' = x + h (2 f(y) + 3 f(z))/5 + g W``.  Where g varies, its integral is
``(g(t) + g(t+h)) W/2 + (g(t) - g(t+h)) H``."""
