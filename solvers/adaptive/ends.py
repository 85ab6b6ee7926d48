"""What adaptive samplers share: the ends of their walk, each sample at a level of its own."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..checks import check_state
from ..errors import InvalidGridError, InvalidPlanError, NonFiniteError
from ..grids import Grid
from ..model import Model, convert, for_rows
from ..process import Array, Process
from ..stepper import Stepper, StepperRun, march


def ask_rows(process: Process, model: Model, x: Tensor, lam: Array, rows: np.ndarray) -> Tensor:
    """Model outputs at the states x, each at its own lam; ``rows`` are their places in the batch.

    Raises
    ------
    NonFiniteError
        If an output is not finite, with the time and the samples.
    """
    times = torch.from_numpy(process.t_of_lam(lam))
    out = for_rows(model, rows)(x, times)
    bad = ~torch.isfinite(out).flatten(1).all(1)
    if bool(bad.any()):
        ids = rows[bad.cpu().numpy()].tolist()
        t = float(times[int(bad.nonzero()[0])])
        msg = f"the model's output is not finite at t = {t}, samples {ids}"
        raise NonFiniteError(msg, step=None, t=t, sample_ids=ids)
    return out.to(x.dtype)


def ask_some(
    process: Process, model: Model, x: Tensor, old: Tensor, lam: Array, which: np.ndarray
) -> Tensor:
    """New model outputs for the samples ``which``, each at its own lam; old ones elsewhere.

    Raises
    ------
    NonFiniteError
        If an output is not finite, with the time and the samples.
    """
    if not which.any():
        return old
    rows = np.flatnonzero(which)
    new = old.clone()
    new[rows] = ask_rows(process, model, x[rows], lam[rows], rows).to(old.dtype)
    return new


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
            asked = ask_some(process, model, out, out, np.full(len(x), last.lam), rows)
            out = grid[-1].alpha * convert(asked, out, last, source=prediction, target="data")
            nfe += 1
    return StepperRun(out, nfe, int(state.steps.max()), int(state.rejected.max()))
