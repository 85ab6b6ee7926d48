"""What adaptive samplers share: the ends of their walk, each sample at a level of its own."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..asking import asked
from ..checks import check_finite, check_state
from ..errors import InvalidGridError, InvalidPlanError
from ..given import real_number
from ..grids import Grid
from ..model import Model, convert, for_rows
from ..process import Array, Process
from ..stepper import Stepper, StepperRun, march


def ask_rows(process: Process, model: Model, x: Tensor, lam: Array, rows: np.ndarray) -> Tensor:
    """Model outputs at the states x, each at its own lam; ``rows`` are their places in the batch.

    Raises
    ------
    ShapeError, NonFiniteError
        As of :func:`.asking.asked`.
    """
    times = torch.from_numpy(process.t_of_lam(lam))
    return asked(for_rows(model, rows), x, times, ids=rows.tolist())


def ask_some(
    process: Process, model: Model, x: Tensor, old: Tensor, lam: Array, which: np.ndarray
) -> Tensor:
    """New model outputs for the samples ``which``, each at its own lam; old ones elsewhere.

    Raises
    ------
    ShapeError, NonFiniteError
        As of :func:`.asking.asked`.
    """
    if not which.any():
        return old
    rows = np.flatnonzero(which)
    new = old.clone()
    new[rows] = ask_rows(process, model, x[rows], lam[rows], rows)
    return new


def check_tolerance(tol: float, name: str = "tol") -> float:
    """A tolerance as a float, if it is a number in (0, 1).

    Raises
    ------
    InvalidPlanError
        Otherwise.
    """
    tol = real_number(tol, name)
    if not 0 < tol < 1:
        msg = f"{name} must lie in (0, 1), got {tol}"
        raise InvalidPlanError(msg)
    return tol


def run_adaptive(
    stepper: Callable[[float, float], Stepper[Any]],
    model: Model,
    process: Process,
    grid: Grid,
    x: Tensor,
    prediction: str = "data",
) -> StepperRun:
    """March from the first to the last finite level of a grid, then to ``sigma = 0`` if it has it.

    Parameters
    ----------
    stepper : callable
        ``stepper(lam_start, lam_end)``; its state has ``x``, ``nfe``, ``steps`` and ``rejected``.
    prediction : str
        What the model predicts.

    Raises
    ------
    InvalidGridError
        For a start at ``alpha = 0``.
    ShapeError, NonFiniteError
        For a start or a model output that does not fit, and a sample that overflows.
    """
    if not math.isfinite(grid[0].lam):
        msg = "an adaptive sampler needs a finite lam to start from, got alpha = 0"
        raise InvalidGridError(msg)
    check_state(x, "x")
    nodes = [n for n in grid.nodes if n.sigma > 0]
    with torch.no_grad():
        state = march(stepper(nodes[0].lam, nodes[-1].lam), model, x)
        nfe, out = int(state.nfe.max()), state.x
        if grid.to_zero:  # x = alpha D, from what the model predicts at the last level
            last, rows = nodes[-1], np.ones(len(x), dtype=bool)
            said = ask_some(process, model, out, out, np.full(len(x), last.lam), rows)
            out = grid[-1].alpha * convert(said, out, last, source=prediction, target="data")
            nfe += 1
    check_finite(out, "the sample", range(len(x)))
    return StepperRun(out, nfe, int(state.steps.max()), int(state.rejected.max()))
