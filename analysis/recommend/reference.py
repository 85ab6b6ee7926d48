"""A fine solution of the probability-flow ODE of a network, and its own error."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ...solvers.errors import AnalysisError
from ...solvers.grids import uniform_lam
from ...solvers.process import Array
from ...solvers.registry import get
from ...solvers.run import run
from ..evaluation.paired import errors_of
from .starts import Starts

SAMPLER = "unipc_3_rkstart"
"""Order 4 with its own start, one evaluation a step."""
ORDER = 4


@dataclass(frozen=True, eq=False)
class Reference:
    """Ends of the fine solution.

    Attributes
    ----------
    ends : Tensor
        (n, *shape), float64.
    each : Array
        Estimated error of each end, (n,).
    error : float
        Their root mean square.
    order : float
        Observed order, from three step counts; at most that of the method.
    steps : int
        Steps of the finest solution.
    """

    ends: Tensor
    each: Array
    error: float
    order: float
    steps: int


def reference(starts: Starts, *, steps: int = 128, to_zero: bool = True) -> Reference:
    """Solve with N, N/2 and N/4 steps, uniform in lam.

    With ``to_zero`` the solution stops at the cleanest level and ends at its data prediction: the
    network knows no flow beyond. Richardson: the errors of order p obey ``x_{N/2} - x_N =
    (2^p - 1)`` times that of ``x_N``; p is what ``|x_{N/4} - x_{N/2}|/|x_{N/2} - x_N|`` shows, at
    most the order of the method; where it is below 1 the difference itself is the estimate. Where
    the differences are rounding, so is the estimate: they are larger than it then.

    Raises
    ------
    AnalysisError
        If the number of steps is not a multiple of 4, or below 32.
    """
    if steps < 32 or steps % 4:
        msg = f"the steps of the reference must be a multiple of 4, at least 32, got {steps}"
        raise AnalysisError(msg)
    ends = [_solve(starts, n, to_zero) for n in (steps // 4, steps // 2, steps)]
    coarse, fine = errors_of(ends[0], ends[1]), errors_of(ends[1], ends[2])
    sizes = [math.sqrt(float((e**2).mean())) for e in (coarse, fine)]
    order = float(ORDER)
    if sizes[1] > 0:
        ratio = sizes[0] / sizes[1]
        order = min(order, math.log2(ratio)) if ratio > 0 else 0.0
    share = 1.0 / (2.0**order - 1.0) if order > 1.0 else 1.0
    each = share * fine
    error = math.sqrt(float((each**2).mean()))
    return Reference(ends[2], each, error, order, steps)


def _solve(starts: Starts, steps: int, to_zero: bool) -> Tensor:
    process = starts.network.process
    sampler = get(SAMPLER)
    grid = uniform_lam(process, *starts.network.lam_range).grid(steps)
    model = starts.model(sampler.prediction, 0, starts.count)
    x = run(sampler(process, grid), model, starts.x).x
    if to_zero:
        with torch.no_grad():
            x = starts.model("data", 0, starts.count)(x, grid[-1].t)
    return x.to(torch.float64)
