"""The claim of a solver that chooses its steps: its error follows the tolerance it is given.

No order can be declared for a method whose steps depend on the state. What it promises is an error
in proportion to ``tol`` (``rtol = atol = tol``), each sample being a system of its own:

    median over samples of  max_k |x_k - x*_k| / (1 + |x*_k|)   <=   factor * tol

for tol from 1e-3 down to 1e-10, on the reference problems (Gaussians and mixtures on a grid from
lam = -4 to 3, where the flow's condition number is a few tens at most). The factor belongs to the
method and to such problems; it is declared as ``tolerance`` beside the method. It bounds the
*median*: an error estimate can vanish by accident on a step that crosses from one mode to another,
and one sample in some dozens is then off by a hundred or, with eighth-order pairs in time, by a
few thousand tolerances. The worst sample is reported beside it and is no claim.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import AnalysisError
from ..grids import Grid
from ..model import Model
from ..process import Process
from ..registry import Sampler
from .blackbox import run_blackbox

TOLERANCES = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10)


@dataclass(frozen=True)
class ToleranceRow:
    """One tolerance: the scaled error's median and worst over samples, and the largest count.

    Attributes
    ----------
    tol : float
        ``rtol = atol``.
    median, worst : float
        Of ``max_k |x_k - x*_k| / (1 + |x*_k|)`` over the samples.
    nfe : int
        Model evaluations of the sample that needed most.
    """

    tol: float
    median: float
    worst: float
    nfe: int

    def met(self, factor: float) -> bool:
        """Whether the claim ``median <= factor * tol`` holds here."""
        return self.median <= factor * self.tol


def tolerance_sweep(
    sampler: Sampler,
    model: Model,
    process: Process,
    grid: Grid,
    x: Tensor,
    truth: Tensor,
    tols: Sequence[float] = TOLERANCES,
    **options: Any,
) -> tuple[ToleranceRow, ...]:
    """Error of an adaptive black box against the exact flow, tolerance by tolerance.

    Parameters
    ----------
    sampler : Sampler
        A black box or a stepper that takes ``tol``.
    model, process, grid, x
        As for :func:`~fokker.solvers.adapters.blackbox.run_blackbox`; only the ends of the grid
        matter. ``x`` must be float64.
    truth : Tensor
        The exact flow of x to the end of the grid, same shape.
    tols : sequence of float
        Each in [1e-13, 1).

    Raises
    ------
    AnalysisError
        If truth has another shape or dtype than the float64 start.
    """
    if truth.shape != x.shape or x.dtype != torch.float64 or truth.dtype != torch.float64:
        msg = f"truth and start must be float64 of one shape, got {truth.shape} and {x.shape}"
        raise AnalysisError(msg)
    rows = []
    for tol in tols:
        run = run_blackbox(sampler, model, process, grid, x, tol=tol, **options)
        error = ((run.x - truth).abs() / (1 + truth.abs())).flatten(1).amax(1)
        rows.append(ToleranceRow(tol, float(error.median()), float(error.max()), run.nfe))
    return tuple(rows)
