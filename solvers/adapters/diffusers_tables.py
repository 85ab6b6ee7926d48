"""Putting a scheduler of diffusers on the levels of a grid of ours.

Schedulers have no argument for that, but they read their levels from a table,
``alphas_cumprod[i] = alpha_i^2``, and a table can hold anything: here the levels of the grid and
nothing else, in the places that ``set_timesteps`` visits. Whatever depends on the levels (lists of
interleaved sigmas, levels half-way) the scheduler then works out by itself. A step of a table of
``alphas_cumprod`` is two entries wide, with the level at half the time between them: Runge-Kutta
starts (PNDM) ask for it. Schedulers without a table get their list of sigmas replaced, value by
value.

All of them live on processes of unit variance, exploding variance or flows; a state of any other
process differs from theirs by the number :meth:`~.diffusers_levels.Levels.unit`.
"""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..grids import Grid
from ..process import Node, Process
from .diffusers_levels import Levels, levels_of
from .foreign_error import ForeignError
from .intercept import Intercept

LABEL_BOUND = {"LCM": "", "TCD": "", "SASolver": "tau_func"}
"""Schedulers whose coefficients depend on the time label itself, and the option that mends it."""


@dataclass(frozen=True)
class Placed:
    """A scheduler on a grid: ``reset`` sets its times, ``stop`` last evaluations are left out."""

    kind: type
    scheduler: Any
    reset: Callable[[], None]
    levels: Levels
    stop: int


def put_on_grid(
    make: Callable[[dict[str, Any]], tuple[type, Any]],
    config: dict[str, Any],
    grid: Grid,
    process: Process,
    exact: bool,
) -> Placed:
    """A scheduler made by ``make(config)``, with the table and the times of a grid.

    Raises
    ------
    ForeignError
        Of kind ``"not supported"`` if the scheduler cannot take its levels from outside.
    """
    kind, probe = make(config)
    name = kind.__name__
    with Intercept(None, float64=exact, modules=(kind.__module__,)):
        probe.set_timesteps(max(len(grid), 4))
        family = levels_of(probe).family
    for word, option in LABEL_BOUND.items():
        if name.startswith(word) and option not in config:
            mend = f", unless {option} is given" if option else ""
            msg = f"{name} has coefficients that depend on its time labels{mend}"
            raise ForeignError(msg, kind="not supported")
    if family in ("table", "vp", "ve") and grid[0].alpha == 0.0:
        msg = f"{name} cannot start at alpha = 0; start at a finite lam"
        raise ForeignError(msg, kind="not supported")
    rhos = [node.rho for node in grid.nodes]
    if family == "table":
        layout = _half_steps(grid, process, always_zero=name.startswith("DDPM"))
    elif family in ("vp", "ve"):
        layout = _levels_only(kind, family, grid.to_zero, rhos)
    else:
        layout = _listed(kind, grid.to_zero, len(grid), name)
    names = inspect.signature(kind.__init__).parameters
    scheduler = make({**{k: v for k, v in layout.config.items() if k in names}, **config})[1]
    _fill(scheduler, layout)
    reset = _reset(scheduler, layout, family, rhos)
    with Intercept(None, float64=exact, modules=(kind.__module__,)):
        reset()
        found = levels_of(scheduler)
        levels = replace(found, process=process, nodes=grid.nodes)
        _check(name, levels, grid, layout.stop)
    return Placed(kind, scheduler, reset, levels, layout.stop)


@dataclass(frozen=True)
class _Layout:
    """What is told to the constructor and to ``set_timesteps``, and the table."""

    config: dict[str, Any]
    steps: int
    rhos: tuple[float, ...] = ()
    stop: int = 0


def _half_steps(grid: Grid, process: Process, always_zero: bool) -> _Layout:
    """Table whose even entries are the grid from its clean end, odd ones half-way in time."""
    finite = [node for node in reversed(grid.nodes) if node.sigma > 0]
    table: list[Node] = []
    for clean, noisy in itertools.pairwise(finite):
        table += [clean, process.node(0.5 * (clean.t + noisy.t))]
    table.append(finite[-1])
    beyond = 1.01 * finite[-1].rho
    zero = grid.to_zero or always_zero
    steps = len(finite) if zero else len(grid)
    config = {
        "num_train_timesteps": 2 * steps,
        "timestep_spacing": "leading",
        "steps_offset": 0 if zero else 2,
        "set_alpha_to_one": zero,
    }
    rhos = (*(node.rho for node in table), beyond)
    return _Layout(config, steps, rhos, stop=0 if grid.to_zero or not zero else 1)


def _levels_only(kind: type, family: str, to_zero: bool, rhos: list[float]) -> _Layout:
    """Table of the levels of the grid."""
    steps, ascending = len(rhos) - 1, tuple(rho for rho in reversed(rhos) if rho > 0)
    choice = "final_sigmas_type" in inspect.signature(kind.__init__).parameters
    final = {"final_sigmas_type": "zero" if to_zero else "sigma_min"}
    if family == "vp":
        table = (0.5 * ascending[0], *ascending) if to_zero else ascending
        config = {"num_train_timesteps": steps + 1, "timestep_spacing": "linspace", **final}
        return _Layout(config, steps, table)
    if choice and not to_zero:
        config = {"timestep_spacing": "leading", "steps_offset": 1, **final}
        return _Layout({"num_train_timesteps": steps + 1, **config}, steps, ascending)
    count = len(ascending)  # one step more than the grid has, and not taken, if it ends above 0
    config = {"num_train_timesteps": count, "timestep_spacing": "linspace", **final}
    return _Layout(config, count, ascending, stop=0 if to_zero else 1)


def _listed(kind: type, to_zero: bool, steps: int, name: str) -> _Layout:
    choice = "final_sigmas_type" in inspect.signature(kind.__init__).parameters
    if to_zero or choice or "Heun" not in name:
        return _Layout({"final_sigmas_type": "zero" if to_zero else "sigma_min"}, steps)
    return _Layout({}, steps + 1, stop=1)


def _fill(scheduler: Any, layout: _Layout) -> None:
    if not layout.rhos:
        return
    table = torch.tensor([1.0 / (1.0 + rho**2) for rho in layout.rhos], dtype=torch.float64)
    scheduler.alphas_cumprod = table
    if hasattr(scheduler, "final_alpha_cumprod"):
        one = layout.config.get("set_alpha_to_one", False)
        scheduler.final_alpha_cumprod = torch.ones_like(table[0]) if one else table[0]


def _reset(scheduler: Any, layout: _Layout, family: str, rhos: list[float]) -> Callable[[], None]:
    wanted = sorted((v for v in rhos if v > 0), reverse=True)

    def reset() -> None:
        scheduler.set_timesteps(layout.steps)
        if family in ("vp", "ve"):
            scheduler.sigmas = _snap(scheduler.sigmas, wanted)
        elif family in ("edm", "flow"):
            _replace(scheduler, family, rhos)

    return reset


def _snap(sigmas: Tensor, wanted: list[float]) -> Tensor:
    """The sigmas, with what is a level of the grid to rounding made that very level."""
    out = sigmas.clone()
    for i, value in enumerate(sigmas.tolist()):
        near = min(wanted, key=lambda v: abs(v - value))
        if math.isclose(near, value, rel_tol=1e-5):
            out[i] = near
    return out


def _replace(scheduler: Any, family: str, rhos: list[float]) -> None:
    """The levels of the grid for a list of sigmas, each inner one twice where it was twice."""
    new = rhos if family == "edm" else [1.0 if math.isinf(r) else r / (1.0 + r) for r in rhos]
    count = len(scheduler.sigmas)
    if count > len(new):
        new = new if new[-1] == 0.0 else [*new, 0.0]
        new = [new[0], *(v for v in new[1:-1] for _ in range(2)), new[-1]]
    if count != len(new):
        msg = f"{type(scheduler).__name__} keeps {count} sigmas for a grid of {len(rhos)} nodes"
        raise ForeignError(msg, kind="not supported")
    sigmas = torch.tensor(new, dtype=torch.float64)
    scheduler.sigmas = sigmas
    if family == "flow":
        scheduler.timesteps = sigmas[:-1] * scheduler.config.num_train_timesteps
    else:
        scheduler.timesteps = scheduler.precondition_noise(sigmas[:-1])


def _check(name: str, levels: Levels, grid: Grid, stop: int) -> None:
    """See that the scheduler starts and, if it says where, ends where the grid does."""
    end = grid[-1] if stop else levels.end()
    wrong = not _same(levels.start(), grid[0]) or (end is not None and not _same(end, grid[-1]))
    if wrong:
        msg = (
            f"{name} goes from lam = {levels.start().lam:.6g} to "
            f"{end.lam if end else math.nan:.6g} and cannot be put on a grid from "
            f"{grid[0].lam:.6g} to {grid[-1].lam:.6g}"
        )
        raise ForeignError(msg, kind="not supported")


def _same(a: Node, b: Node) -> bool:
    return a.lam == b.lam or math.isclose(a.lam, b.lam, rel_tol=1e-6, abs_tol=1e-6)
