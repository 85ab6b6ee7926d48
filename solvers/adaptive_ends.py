"""What adaptive samplers share: the ends of their walk, and one number a sample."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .checks import check_state
from .errors import InvalidGridError, InvalidPlanError
from .grids import Grid
from .model import Model
from .process import Process
from .stepper import Stepper, StepperRun, march


def per_sample(values: np.ndarray, like: Tensor) -> Tensor:
    """One number a sample, to be broadcast over its coordinates."""
    column = torch.from_numpy(np.ascontiguousarray(values)).to(like)
    return column.reshape(-1, *[1] * (like.ndim - 1))


def check_tolerance(tol: float) -> None:
    """Refuse a tolerance outside (0, 1)."""
    if not 0 < tol < 1:
        msg = f"tol must lie in (0, 1), got {tol}"
        raise InvalidPlanError(msg)


def run_adaptive(
    stepper: Callable[[float, float], Stepper[Any]],
    model: Model,
    process: Process,
    grid: Grid,
    x: Tensor,
    tol: float,
) -> StepperRun:
    """March from the first to the last finite level of a grid, then to ``sigma = 0`` if it has it.

    Parameters
    ----------
    stepper : callable
        ``stepper(lam_start, lam_end)``; its state has ``x``, ``nfe``, ``steps`` and ``rejected``.

    Raises
    ------
    InvalidPlanError, InvalidGridError
        For a tolerance outside (0, 1), and a start at ``alpha = 0``.
    """
    check_tolerance(tol)
    if not math.isfinite(grid[0].lam):
        msg = "an adaptive sampler needs a finite lam to start from, got alpha = 0"
        raise InvalidGridError(msg)
    check_state(x, "x")
    nodes = [n for n in grid.nodes if n.sigma > 0]
    with torch.no_grad():
        state = march(stepper(nodes[0].lam, nodes[-1].lam), model, x)
        nfe, out = int(state.nfe.max()), state.x
        if grid.to_zero:
            times = torch.full((len(x),), float(process.t_of_lam(np.array(nodes[-1].lam))))
            out = model(out, times.double()).to(x.dtype) * grid[-1].alpha
            nfe += 1
    return StepperRun(out, nfe, int(state.steps.max()), int(state.rejected.max()))
