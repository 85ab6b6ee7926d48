"""Strong and weak orders of the methods for general equations, for each kind of noise declared.

* strong, nonlinear: one path, ends exact or finely solved (:mod:`.equations`), jackknife;
* strong and weak on linear equations: exact (:mod:`.linear_equations`);
* weak, nonlinear: quadrature backwards in one coordinate (:mod:`.backward`).
"""

from __future__ import annotations

import importlib
import math
import pkgutil
from collections.abc import Sequence
from functools import cache, partial
from itertools import pairwise

import numpy as np
import torch

from ...solvers import sde as package
from ...solvers.process import Array
from ...solvers.sde.method import Cell, Method, State
from ...solvers.sde.problem import SDE
from ...solvers.sde.solve import solve
from .backward import Resolution, Slot, Step, expectations
from .barred import Barred, from_squares
from .equations import (
    WELL_NOISE,
    A,
    B,
    OnPath,
    double_well,
    for_method,
    noise_shape,
    on_path,
    same_law,
)
from .path import OnePath

FINEST = 1024
"""Cells of the path."""


@cache
def methods() -> tuple[Method, ...]:
    """Every method of the package for general equations, by name."""
    found = {}
    for info in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        module = importlib.import_module(info.name)
        found |= {m.name: m for m in vars(module).values() if isinstance(m, Method)}
    return tuple(found[name] for name in sorted(found))


def times(steps: int) -> list[float]:
    """Nested times on [0, 1], denser at the beginning: a uniform grid would hide ratios."""
    return [u * (0.7 + 0.3 * u) for u in (np.arange(steps + 1) / steps).tolist()]


@cache
def _ends(kind: str, rows: int) -> tuple[OnePath, list[OnPath]]:
    path = OnePath(times(FINEST), noise_shape(kind, rows), 23)
    found = on_path(kind, path, times(FINEST), rows)
    path.forget()
    return path, found


def strong_on_paths(
    method: Method, kind: str, *, rows: int = 2000, levels: int = 5, first: int = 8
) -> list[tuple[str, Barred]]:
    """Strong order on each equation of a kind of noise, by name."""
    path, problems = _ends(kind, rows)
    counts, out = [first * 2**k for k in range(levels)], []
    for p in problems:
        sde, squares = for_method(p.sde, method), []
        for n in counts:
            end = solve(sde, method, times(n), p.start, noise=path).x
            squares.append((end - p.end).square().mean(1).numpy())
        out.append((p.name, from_squares(counts, np.stack(squares))))
    return out


def _law_slots(kind: str, t: float, nodes: int = 2001) -> tuple[Slot, Array, Array]:
    """Interval, points and exact weights of the law at a time, in the coordinate of the chain."""
    if kind == "additive":
        slot = Slot(-6.0, 6.0)
        x = np.linspace(slot.low, slot.high, nodes)
        well = 0.4 * x * x + 0.75 * np.cos(2 * x) + 0.1 * x
        weights = np.exp(-2 * well / WELL_NOISE**2)
    else:
        mean, std = _START[0] + A * t, math.sqrt(_START[1] ** 2 + B * B * t)
        slot = Slot(mean - 7.5 * std, mean + 7.5 * std)
        x = np.linspace(slot.low, slot.high, nodes)
        weights = np.exp(-0.5 * ((x - mean) / std) ** 2)
    return slot, x, weights / weights.sum()


_START = 0.3, 0.3
"""Mean and standard deviation of ``asinh X`` at the start."""


def _functions(x: Array) -> list[Array]:
    return [x, x * x, np.sin(2 * x), np.cos(3 * x)]


def _chain_step(
    method: Method,
    sde: SDE,
    t: float,
    h: float,
    kind: str,
    ins: Sequence[Array],
    noises: Sequence[Array],
) -> list[Array]:
    """One step in the chain's coordinate: asinh x, or x itself for additive noise."""
    shape = np.broadcast_shapes(*(np.shape(a) for a in (*ins, *noises)))
    flat = [
        torch.from_numpy(np.broadcast_to(a, shape).reshape(-1, 1).copy()) for a in (*ins, *noises)
    ]
    x, kicks = flat[0], flat[1:]
    x = x if kind == "additive" else torch.sinh(x)
    count = len(kicks) // (2 if method.needs_area else 1)
    zeta = torch.cat(kicks[count:], 1) if method.needs_area else None
    state: State = method.start(sde, t, x)
    out = method.step(sde, Cell(t, h, torch.cat(kicks[:count], 1), zeta), state)[0]
    out = out if kind == "additive" else torch.asinh(out)
    return [out.numpy().reshape(shape)]


def weak_nonlinear(method: Method, kind: str, steps: int) -> tuple[float, float]:
    """Weak error on a nonlinear equation with an exact law, by quadrature, and its bar."""
    sde, grid = for_method(same_law(kind), method), times(steps)
    count = (sde.noises or 1) * (2 if method.needs_area else 1)
    chain = []
    for a, b in pairwise(grid):
        ends = (_law_slots(kind, a)[0],), (_law_slots(kind, b)[0],)
        chain.append(Step(*ends, count, partial(_chain_step, method, sde, a, b - a, kind)))
    _, x, weights = _law_slots(kind, 1.0)
    truth = weights @ np.stack(_functions(x), 1)

    def seen(size: Resolution) -> Array:
        values = expectations(chain, _functions, size)
        return _law_slots(kind, 0.0, size.state)[2] @ values

    fine = Resolution(160, noise=(1, 8, 6, 5, 4))
    value = seen(fine)
    bar = float(np.linalg.norm(value - seen(fine.coarser())))
    return float(np.linalg.norm(value - truth)), bar


def carries_state_alone(method: Method) -> bool:
    """Whether nothing but the state goes from step to step."""
    return len(method.start(double_well(), 0.0, torch.zeros(1, 1, dtype=torch.float64))) == 1
