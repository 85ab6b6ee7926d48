"""The coefficients of a black box on Gaussian data: no Monte Carlo, no access to its formula.

On N(m, C) the model is affine in x, and a black box that takes the steps it is told is then an
affine function of its start and its noises. In the eigenbasis of C coordinates do not mix. So one
run on a batch of unit impulses, one for the start and one for each noise cell, reads all of its
coefficients. Its exact law and its exact strong error follow from them as they do for a plan.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from ..batch import column
from ..errors import AnalysisError, InvalidLawError
from ..grids import Grid
from ..model import Model
from ..plan import Noise
from ..process import Array, Process
from ..registry import Sampler
from .blackbox import BlackBoxRun, run_blackbox

_X, _W = np.polynomial.legendre.leggauss(20)
BlackBox = Callable[..., BlackBoxRun]


@dataclass(frozen=True)
class AffineMap:
    """``x_end = offset + start x_start + sum_k noise_k xi_k``, coordinate by coordinate.

    Attributes
    ----------
    offset, start : (d,) array
        Constant and coefficient of the start.
    cells : tuple of Noise
        The noise cells that were drawn, in order.
    noise : (cells, d) array
        Coefficient of each cell's standard normal.
    nfe : int
        Model evaluations of one run.
    """

    offset: Array
    start: Array
    cells: tuple[Noise, ...]
    noise: Array
    nfe: int

    def law(self, mean: ArrayLike, variance: ArrayLike) -> tuple[Array, Array]:
        """Mean and variance of the output for a start N(mean, variance), each of shape (d,)."""
        mean, variance = np.asarray(mean, float), np.asarray(variance, float)
        spread = self.start**2 * variance + np.sum(self.noise**2, axis=0)
        return self.offset + self.start * mean, spread


class _Impulses:
    """Noise that is 1 in one row for each cell, in the order in which cells are asked for."""

    def __init__(self, rows: Array | None = None) -> None:
        self.cells: dict[Noise, int] = {}
        self.rows = rows  # (cells, batch); None gives zeros and only records

    def draw(self, cell: Noise, like: Tensor) -> Tensor:
        k = self.cells.setdefault(cell, len(self.cells))
        if self.rows is None:
            return torch.zeros_like(like)
        return column(self.rows[k], like).expand_as(like).clone()


def gaussian_noise_model(process: Process, mean: ArrayLike, variances: ArrayLike) -> Model:
    """Noise prediction ``sigma (x - alpha m)/(alpha^2 c + sigma^2)`` of N(m, diag(c)).

    ``mean`` is m and ``variances`` c, both of shape (d,); the model takes x of shape (B, d).
    """
    m, c = _check_law(mean, variances)

    def model(x: Tensor, t: Any) -> Tensor:
        node = process.node(float(t))
        gain = node.sigma / (node.alpha**2 * c + node.sigma**2)
        return (x - torch.from_numpy(node.alpha * m).to(x)) * torch.from_numpy(gain).to(x)

    return model


def affine_map(
    box: Sampler | BlackBox,
    process: Process,
    grid: Grid,
    mean: ArrayLike,
    variances: ArrayLike,
    **options: Any,
) -> AffineMap:
    """Read the coefficients of a black box on N(mean, diag(variances)), exactly.

    Parameters
    ----------
    box : Sampler or callable
        A registered black box, or any callable that keeps its protocol.
    process, grid
        What it runs on.
    mean, variances : (d,) array
        The Gaussian in its eigenbasis; variances >= 0.
    **options
        Options of the box (``eta``, ...).

    Raises
    ------
    AnalysisError
        If the box is not affine in its start and noises: adaptive solvers are not, because their
        steps depend on the state. Checked on one combination of all impulses.
    """
    m, c = _check_law(mean, variances)
    model = gaussian_noise_model(process, m, c)

    def execute(starts: Array, noise: _Impulses) -> tuple[Array, int]:
        x = torch.from_numpy(np.repeat(starts[:, None], m.size, axis=1))
        if isinstance(box, Sampler):
            run = run_blackbox(box, model, process, grid, x, noise=noise, **options)
        else:
            run = box(model, process, grid, x, noise=noise, **options)
        return run.x.numpy(), run.nfe

    record = _Impulses()
    execute(np.zeros(1), record)
    cells = tuple(record.cells)
    mixture = 0.5 + 0.25 * np.cos(np.arange(1 + len(cells)))
    # rows: nothing; start; each cell; and one combination that must be the sum of the others
    units = np.vstack([0.0 * mixture, np.eye(1 + len(cells)), mixture])
    out, nfe = execute(units[:, 0].copy(), _Impulses(units[:, 1:].T.copy()))
    parts = out[1:-1] - out[0]
    _check_affine(out[-1] - out[0] - mixture @ parts, out[0], parts)
    return AffineMap(out[0], parts[0], cells, parts[1:], nfe)


def _check_affine(gap: Array, offset: Array, parts: Array) -> None:
    scale = np.abs(offset).max() + np.abs(parts).sum(axis=0).max()
    worst = np.abs(gap).max()
    if not worst <= 1e-9 * scale:
        msg = (
            f"the box is not affine on a Gaussian (gap {worst:.1e}): does it choose its steps, or "
            "draw noise that it was not given?"
        )
        raise AnalysisError(msg)


def _check_law(mean: ArrayLike, variances: ArrayLike) -> tuple[Array, Array]:
    m, c = np.asarray(mean, dtype=np.float64), np.asarray(variances, dtype=np.float64)
    if m.ndim != 1 or m.shape != c.shape or not m.size:
        msg = f"mean and variances must be vectors of one length, got {m.shape} and {c.shape}"
        raise InvalidLawError(msg)
    if not (np.isfinite(m).all() and np.isfinite(c).all() and (c >= 0).all()):
        msg = f"the mean must be finite and variances finite and >= 0, got variances {c}"
        raise InvalidLawError(msg)
    return m, c
