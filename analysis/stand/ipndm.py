"""The one scheduler of diffusers with levels of its own kind: iPNDM, by angles.

It keeps ``sigma`` under the name ``betas`` and ``alpha = sqrt(1 - sigma^2)``, takes a velocity,
and turns it into the noise, ``eps = sigma x + alpha v``. On a grid the two lists are replaced.
"""

from __future__ import annotations

import importlib.metadata
from typing import Any

import torch
from torch import Tensor

from ...solvers.adapters.diffusers_box import _make
from ...solvers.adapters.foreign import Foreign
from ...solvers.adapters.intercept import Intercept
from ...solvers.grids import Grid
from ...solvers.process import DATA, Node, Process
from ...solvers.schedules import Trigonometric


def native(name: str, steps: int, *, exact: bool = True, **config: Any) -> Foreign:
    """On its own levels: ``sigma = sin^2`` of equal angles, from pure noise to data."""
    kind, scheduler = _make(name, config, exact)
    process = Trigonometric()
    with Intercept(None, float64=exact, modules=(kind.__module__,)):
        scheduler.set_timesteps(steps)
    times = [float(t) for t in scheduler.timesteps]
    nodes = (*(process.node(min(t, 1.0)) for t in times), DATA)

    def reset() -> None:
        scheduler.set_timesteps(steps)

    return _foreign(kind, scheduler, process, nodes, reset, exact)


def on_grid(
    name: str, process: Process, grid: Grid, *, exact: bool = True, **config: Any
) -> Foreign:
    """On the levels of a grid of a variance-preserving process."""
    kind, scheduler = _make(name, config, exact)
    dtype = torch.float64 if exact else torch.float32

    def reset() -> None:
        scheduler.set_timesteps(len(grid))
        scheduler.betas = torch.tensor([n.sigma for n in grid.nodes], dtype=dtype)
        scheduler.alphas = torch.tensor([n.alpha for n in grid.nodes], dtype=dtype)
        scheduler.timesteps = torch.tensor([n.t for n in grid.nodes[:-1]], dtype=dtype)

    return _foreign(kind, scheduler, process, grid.nodes, reset, exact)


def _foreign(
    kind: type, scheduler: Any, process: Process, nodes: tuple[Node, ...], reset: Any, exact: bool
) -> Foreign:
    def loop(session: Any, x: Tensor) -> Tensor:
        reset()
        for s, t, time in zip(nodes[:-1], nodes[1:], scheduler.timesteps, strict=True):
            out = session.model(x, s, label=float(time))
            x = scheduler.step(out, time, x).prev_sample
            session.mark(x, t)
        return x

    return Foreign(
        name=kind.__name__.removesuffix("Scheduler"), library="diffusers",
        version=importlib.metadata.version("diffusers"), process=process, start=nodes[0],
        end=nodes[-1], prediction="velocity", loop=loop, exact=exact, modules=(kind.__module__,),
    )  # fmt: skip
