"""Samplers that their authors publish as one file, with the interface of DPM-Solver.

``dpm_solver_pytorch.py`` (Lu et al. 2022, 2206.00927) and ``uni_pc.py`` (Zhao et al. 2023,
2302.04867) hold a class with ``sample(x, steps, ...)`` that is made from a model of the noise and
a schedule. The user brings the file; here it is given a schedule that is a process of ours and the
times of a grid. Single-step methods take their inner times uniform in lam.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..grids import Grid
from ..process import Node, Process
from .callable_box import load
from .foreign import Foreign
from .foreign_error import ForeignError
from .levels import node_near

CLASSES = ("DPM_Solver", "UniPC")
CLOSE = 1e-12
"""Times closer than this are one."""


def on_grid(
    path: str | Path,
    process: Process,
    grid: Grid,
    *,
    exact: bool = True,
    sample_options: dict[str, Any] | None = None,
    **options: Any,
) -> Foreign:
    """The class of an authors' file on the times of a grid.

    Parameters
    ----------
    path : str or Path
        The file.
    process, grid
        Levels; the grid must not end at sigma = 0, where these methods are not defined (their
        ``denoise_to_zero`` is a further evaluation at the last node).
    exact : bool
        Float64 throughout, or as shipped.
    sample_options : dict, optional
        Further arguments of ``sample``: ``order``, ``method``, ``solver_type``, ...
    **options
        Arguments of the constructor: ``algorithm_type``, ``variant``, ...

    Raises
    ------
    ForeignError
        If the file does not load or holds no such class, or for a grid with a step to sigma = 0.
    """
    module = load(path)
    kind = next((getattr(module, name) for name in CLASSES if hasattr(module, name)), None)
    if kind is None:
        msg = f"{Path(path).name} has none of the classes {', '.join(CLASSES)}"
        raise ForeignError(msg, kind="unknown name")
    if grid.to_zero or grid[0].alpha == 0.0:
        msg = f"{kind.__name__} is defined between 0 < alpha and 0 < sigma only"
        raise ForeignError(msg, kind="not supported")
    told = {"method": "multistep", "order": 2, **(sample_options or {})}
    steps = len(grid) * (told["order"] if "singlestep" in told["method"] else 1)
    schedule = _Schedule(process, grid)

    def loop(session: Any, x: Tensor) -> Tensor:
        def model(y: Tensor, t: Tensor) -> Tensor:
            time = float(t.reshape(-1)[0])
            return session.model(y, schedule.node(time), label=time)

        solver = kind(model, schedule, **options)
        solver.get_time_steps = _times(solver.get_time_steps, grid, x.dtype)
        ends = {"t_start": grid[0].t, "t_end": grid[-1].t}
        with contextlib.redirect_stdout(io.StringIO()):  # some of them talk
            return solver.sample(x, steps=steps, **ends, **told)

    return Foreign(
        name=kind.__name__,
        library=Path(path).name,
        version="",
        process=process,
        start=grid[0],
        end=grid[-1],
        prediction="noise",
        loop=loop,
        exact=exact,
        modules=(module.__name__,),
    )


def _times(inner: Callable[..., Tensor], grid: Grid, dtype: torch.dtype) -> Callable[..., Tensor]:
    """The times of the grid for its two ends; for any others, equal steps in lam."""
    times = torch.tensor([node.t for node in grid.nodes], dtype=dtype)

    def get(skip_type: str, t_T: Any, t_0: Any, N: int, device: Any) -> Tensor:
        del skip_type
        ends = abs(float(t_T) - grid[0].t) < CLOSE and abs(float(t_0) - grid[-1].t) < CLOSE
        if ends and len(grid) == N:
            return times.to(device)
        return inner(skip_type="logSNR", t_T=float(t_T), t_0=float(t_0), N=N, device=device)

    return get


class _Schedule:
    """A process in the names of the authors' ``NoiseScheduleVP``."""

    schedule = "continuous"
    total_N = 1000

    def __init__(self, process: Process, grid: Grid) -> None:
        self.process, self.nodes = process, grid.nodes
        self.T = grid[0].t

    def node(self, t: float) -> Node:
        """The node of the grid at a time to rounding, else the process's own."""
        for node in self.nodes:
            if abs(node.t - t) < CLOSE:
                return node
        return node_near(self.process, self.nodes, float(self.process.lam(t)))

    def _each(self, t: Tensor, value: Callable[[Node], float]) -> Tensor:
        found = [value(self.node(v)) for v in t.double().reshape(-1).tolist()]
        return torch.tensor(found, dtype=t.dtype).reshape(t.shape)

    def marginal_log_mean_coeff(self, t: Tensor) -> Tensor:
        return self._each(t, lambda node: node.log_alpha)

    def marginal_alpha(self, t: Tensor) -> Tensor:
        return self._each(t, lambda node: node.alpha)

    def marginal_std(self, t: Tensor) -> Tensor:
        return self._each(t, lambda node: node.sigma)

    def marginal_lambda(self, t: Tensor) -> Tensor:
        return self._each(t, lambda node: node.lam)

    def inverse_lambda(self, lam: Tensor) -> Tensor:
        found = self.process.t_of_lam(lam.double().numpy())
        return torch.from_numpy(np.asarray(found)).to(lam.dtype)
