"""The exact law of anything affine in its start and its noises, coordinates mixing or not.

A stepper whose step sizes do not depend on the state is, with the exact model of a Gaussian, an
affine function of its start and its noise cells, also where it overwrites coordinates. One run on
a batch of unit impulses, a coordinate of a cell each, reads all of its coefficients, and the law
of its output follows without sampling. :mod:`.boxes` is the same where coordinates do not mix;
:mod:`.law` reads a plan without running it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ..solvers.errors import AnalysisError
from ..solvers.noise import NoiseSource
from ..solvers.plan import Noise


class FullNormal(NamedTuple):
    """``N(mean, cov)``, (d,) and (d, d)."""

    mean: Tensor
    cov: Tensor


class _Impulses:
    """Noise that is 1 in one coordinate of one cell, in its own row of the batch."""

    def __init__(self, before: int, rows: int) -> None:
        self.cells: dict[Noise, int] = {}
        self.before, self.rows = before, rows

    def draw(self, cell: Noise, like: Tensor) -> Tensor:
        """The impulses of the cell."""
        if like.ndim != 2 or like.shape[0] != self.rows:
            msg = f"states must keep their shape ({self.rows}, d), got {tuple(like.shape)}"
            raise AnalysisError(msg)
        k = self.cells.setdefault(cell, len(self.cells))
        out, d = torch.zeros_like(like), like.shape[1]
        first = self.before + k * d
        if first + d < self.rows:
            out[first : first + d] = torch.eye(d).to(like)
        out[-1] = _mixture(first, d).to(like)  # all at once: must be the sum of the others
        return out


def _mixture(first: int, count: int) -> Tensor:
    return 0.5 + 0.25 * torch.cos(torch.arange(first, first + count, dtype=torch.float64))


def affine_law(
    run: Callable[[Tensor, NoiseSource], Tensor], start: FullNormal, *, tol: float = 1e-9
) -> FullNormal:
    """Mean and covariance of ``run(x, noise)`` for ``x ~ N(mean, cov)`` and standard noises.

    Parameters
    ----------
    run : callable
        Takes states (B, d) and a source of noise, gives states (B, d); affine in both.
    start : FullNormal
        Law of the start.
    tol : float
        Relative gap that still counts as rounding when impulses are superposed.

    Raises
    ------
    AnalysisError
        If the run is not affine: a step chosen by a norm is not.
    """
    d = len(start.mean)
    record = _Impulses(0, 1)
    run(torch.zeros(1, d, dtype=torch.float64), record)
    size = 1 + d + d * len(record.cells)
    x = torch.zeros(size + 1, d, dtype=torch.float64)
    x[1 : 1 + d] = torch.eye(d, dtype=torch.float64)
    x[-1] = _mixture(1, d)
    out = run(x, _Impulses(1 + d, size + 1))
    parts = out[1:-1] - out[0]
    gap = float((out[-1] - out[0] - _mixture(1, size - 1) @ parts).abs().max())
    scale = float(out[0].abs().max() + parts.abs().sum(0).max())
    if not gap <= tol * scale:
        msg = f"the run is not affine in its start and noises (gap {gap:.1e})"
        raise AnalysisError(msg)
    matrix, noises = parts[:d].mT, parts[d:]
    cov = matrix @ start.cov @ matrix.mT + noises.mT @ noises
    return FullNormal(out[0] + matrix @ start.mean, 0.5 * (cov + cov.mT))
