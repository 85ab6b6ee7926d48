"""Samplers of azula (Rozet et al.) as foreign samplers.

An azula sampler holds a denoiser, asked as ``denoiser(x, t).mean``, with a schedule that gives
``(alpha, sigma)`` at a time. Both are ours here; nothing else of the library takes part. On a grid
the sampler's ``timesteps`` are the times of the grid.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from typing import Any

import torch
from torch import Tensor

from ..grids import Grid, grid_from_times
from ..process import Process
from ..schedules_vp import VPLinear
from .foreign import Foreign
from .foreign_error import ForeignError
from .levels import node_near


def samplers() -> tuple[str, ...]:
    """Names of all sampler classes."""
    module = _module()
    return tuple(sorted(n for n in module.__all__ if n != "Sampler"))


def on_grid(
    name: str, process: Process, grid: Grid, *, exact: bool = True, **options: Any
) -> Foreign:
    """A sampler of azula on the times of a grid.

    Raises
    ------
    ForeignError
        If azula is not installed, has no such sampler, or its constructor refuses.
    """
    module = _module()
    kind = getattr(module, name, None) or getattr(module, f"{name}Sampler", None)
    if not isinstance(kind, type):
        msg = f"azula has no sampler {name!r}; accepted: {', '.join(samplers())}"
        raise ForeignError(msg, kind="unknown name")
    denoiser = _Denoiser(process, grid)
    own = type(kind.__name__, (kind,), {"timesteps": property(lambda _: denoiser.times)})
    try:
        sampler = own(denoiser, steps=len(grid), silent=True, dtype=torch.float64, **options)
    except Exception as error:  # anybody's code
        msg = f"azula {name} raised {type(error).__name__}: {error}"
        raise ForeignError(msg, kind="raised") from error

    def loop(session: Any, x: Tensor) -> Tensor:
        denoiser.session = session
        return sampler(x)

    return Foreign(
        name=kind.__name__,
        library="azula",
        version=importlib.metadata.version("azula"),
        process=process,
        start=grid[0],
        end=grid[-1],
        prediction="data",
        loop=loop,
        exact=exact,
    )


def native(name: str, steps: int, *, exact: bool = True, **options: Any) -> Foreign:
    """A sampler of azula with equal steps in time on the linear variance-preserving process."""
    process = VPLinear()
    grid = grid_from_times(process, [1 - 0.999 * i / steps for i in range(steps + 1)])
    return on_grid(name, process, grid, exact=exact, **options)


class _Posterior:
    def __init__(self, mean: Tensor) -> None:
        self.mean = mean


class _Denoiser:
    """What azula calls a denoiser, asking a session."""

    def __init__(self, process: Process, grid: Grid) -> None:
        self.process, self.grid, self.session = process, grid, None
        self.times = torch.tensor([node.t for node in grid.nodes], dtype=torch.float64)

    def _node(self, t: float) -> Any:
        for node in self.grid.nodes:
            if node.t == t:
                return node
        return node_near(self.process, self.grid.nodes, float(self.process.lam(t)))

    def schedule(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """``(alpha, sigma)``."""
        nodes = [self._node(float(v)) for v in t.reshape(-1)]
        out = torch.tensor([[n.alpha, n.sigma] for n in nodes], dtype=torch.float64)
        return out[:, 0].reshape(t.shape), out[:, 1].reshape(t.shape)

    def __call__(self, x: Tensor, t: Tensor, **_: Any) -> _Posterior:
        session: Any = self.session
        return _Posterior(session.model(x, self._node(float(t)), label=float(t)))


def _module() -> Any:
    try:
        return importlib.import_module("azula.sample")
    except ImportError as error:
        hint = "'pip install einops' and 'pip install --no-deps azula' bring it"
        msg = f"azula is not installed ({error}); {hint}"
        raise ForeignError(msg, kind="not installed") from error
