"""What the tests of black boxes share: two laws with exact flows, slopes, and quadrature noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fokker.analysis.boxes import response_of
from fokker.analysis.gaussian_path import normal
from fokker.analysis.strong import strong_error_of
from fokker.solvers.adapters.affine import AffineMap
from fokker.solvers.grids import Grid, GridMap, uniform_lam, wavy_lam
from fokker.solvers.registry import Sampler, samplers
from fokker.solvers.schedules import RectifiedFlow, VPLinear
from fokker.toy_models.law import exact_model
from fokker.toy_models.product import ProductMixture

BOXES = samplers("blackbox")
NAMES = tuple(s.name for s in BOXES if s.family in ("torchdiffeq", "scipy", "torchsde"))
RUNGE_KUTTA = tuple(n for n in NAMES if any(m in n for m in ("bosh3", "dopri", "rk45", "dop853")))
SDES = tuple(n for n in NAMES if n.startswith("torchsde"))

MEAN, VARIANCES = np.array([1.0, -0.5, 0.3]), np.array([0.5, 0.04, 1.6]) ** 2
VP, FLOW = VPLinear(), RectifiedFlow()
DATA = normal(MEAN, VARIANCES)
UNIFORM, WAVY = uniform_lam(VP, -1.5, 1.0), wavy_lam(VP, -1.5, 1.0)


def strong_error(found: AffineMap, grid: Grid, *, eta: float = 1.0) -> float:
    """Largest exact strong error over the directions of the Gaussian, from the exact marginal."""
    ends = grid[0], grid[-1]
    seen = strong_error_of(response_of(found), DATA, *ends, eta=eta, process=VP)
    return float(seen.per_direction.max())


def line() -> ProductMixture:
    """Three modes on a line: nonlinear, its flow exact by quantiles."""
    row = [[0.3, 0.5, 0.2]], [[-1.0, 0.4, 1.3]], [[0.25, 0.4, 0.2]]
    return ProductMixture(*(torch.tensor(v, dtype=torch.float64) for v in row))


def starts(count: int = 21) -> Tensor:
    """Points of a line that cover every mode and both tails."""
    return torch.linspace(-2.5, 2.5, count, dtype=torch.float64)[:, None]


def line_model(process: Any = VP) -> Any:
    """Noise prediction of the line."""
    return exact_model(line(), process, "noise")


def carried(x: Tensor, grid: Any) -> Tensor:
    """The exact flow of points of the line from the first to the last node of a grid."""
    first, last = grid[0], grid[-1]
    return line().flow(x, (first.alpha, first.sigma), (last.alpha, last.sigma))


def slopes(errors: Sequence[float]) -> np.ndarray:
    """Local orders between neighbours of errors at doubled numbers of steps."""
    e = np.asarray(errors)
    return np.log2(e[:-1] / e[1:])


def paired_errors(sampler: Sampler, grids: GridMap, counts: Sequence[int], **options: Any) -> list:
    """Root mean square distance to the exact flow of the line, for each number of steps."""
    from fokker.solvers.adapters.blackbox import run_blackbox

    model, x, found = line_model(grids.process), starts(), []
    for steps in counts:
        grid = grids.grid(steps)
        truth = carried(x, grid)
        out = run_blackbox(sampler, model, grids.process, grid, x, **options)
        found.append(float((out.x - truth).square().mean().sqrt()))
    return found


class Given:
    """Noise whose value in each row is prescribed: nodes of a quadrature instead of draws."""

    def __init__(self, w: np.ndarray, h: np.ndarray) -> None:
        self.values = {"W": torch.from_numpy(w), "H": torch.from_numpy(h)}

    def draw(self, cell: Any, like: Tensor) -> Tensor:
        return self.values[cell.kind].reshape(-1, 1).to(like)
