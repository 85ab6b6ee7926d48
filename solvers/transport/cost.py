r"""Costs between two weighted point clouds, handed out in blocks of rows.

A solver never sees the whole matrix unless it asks for it: it asks for rows of the exponents
``p_i + q_j - scale c_ij``, in float64, and so may keep O(n) numbers only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, cast

import torch
from torch import Tensor

from ..errors import InvalidLawError, ShapeError
from ..parameters import parameter, weights

CostFunction = Callable[[Tensor, Tensor], Tensor]
CPU_ENTRIES, DEVICE_ENTRIES = 2**17, 2**26  # of a block: of a cache, of a device's memory


class Cost(Protocol):
    """What a solver needs to know of a cost."""

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of points (n, m)."""
        ...

    @property
    def device(self) -> torch.device:
        """Where the numbers are."""
        ...

    @property
    def turned(self) -> Cost:
        """The cost from the second law to the first."""
        ...

    def rows(self, rows: slice) -> Tensor:
        """Costs ``c_ij`` of some rows, (k, m) float64, the caller's to overwrite."""
        ...

    def exponents(self, rows: slice, scale: float, p: Tensor, q: Tensor) -> Tensor:
        """``p_i + q_j - scale c_ij`` of some rows, (k, m) float64."""
        ...


@dataclass(frozen=True, eq=False)
class MatrixCost:
    """A matrix of costs, (n, m)."""

    matrix: Tensor

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of points (n, m)."""
        return self.matrix.shape[0], self.matrix.shape[1]

    @property
    def device(self) -> torch.device:
        """Where the numbers are."""
        return self.matrix.device

    @property
    def turned(self) -> MatrixCost:
        """The transposed matrix."""
        return MatrixCost(self.matrix.mT)

    def rows(self, rows: slice) -> Tensor:
        """A copy of some rows in float64."""
        return self.matrix[rows].to(torch.float64, copy=True)

    def exponents(self, rows: slice, scale: float, p: Tensor, q: Tensor) -> Tensor:
        """``p_i + q_j - scale c_ij``."""
        return self.rows(rows).mul_(-scale).add_(p[rows, None]).add_(q)


@dataclass(frozen=True, eq=False)
class CloudCost:
    """A cost of pairs of points, ``function(x (k, d), y (m, d)) -> (k, m)``."""

    x: Tensor
    y: Tensor
    function: CostFunction
    flipped: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of points (n, m)."""
        return len(self.x), len(self.y)

    @property
    def device(self) -> torch.device:
        """Where the points are."""
        return self.x.device

    @property
    def turned(self) -> CloudCost:
        """The cost from y to x: the arguments of the function keep their order."""
        return CloudCost(self.y, self.x, self.function, not self.flipped)

    def rows(self, rows: slice) -> Tensor:
        """Costs of some points x to all points y."""
        x = self.x[rows]
        found = self.function(self.y, x).mT if self.flipped else self.function(x, self.y)
        if found.shape != (len(x), len(self.y)):
            msg = (
                f"a cost function must return ({len(x)}, {len(self.y)}) numbers for as many "
                f"points, got {tuple(found.shape)}"
            )
            raise ShapeError(msg)
        return found.detach().to(torch.float64, copy=True)

    def exponents(self, rows: slice, scale: float, p: Tensor, q: Tensor) -> Tensor:
        """``p_i + q_j - scale c_ij``."""
        return self.rows(rows).mul_(-scale).add_(p[rows, None]).add_(q)

    def pull(self, rows: slice, plan: Tensor) -> tuple[Tensor, Tensor]:
        """Gradients of ``sum plan_ij c_ij`` over some rows in x (k, d) and in y (m, d)."""
        with torch.enable_grad():
            x, y = self.x[rows].detach().requires_grad_(), self.y.detach().requires_grad_()
            total = (self.function(x, y) * plan.to(x.dtype)).sum()
            forth, back = torch.autograd.grad(total, (x, y))
        return forth, back

    def moved(self, x: Tensor) -> CloudCost:
        """The same cost from other points x."""
        return CloudCost(x, self.y, self.function)


class SquaredDistance(CloudCost):
    """``|x - y|^2``; exponents are one product of matrices with d + 2 columns."""

    def __init__(self, x: Tensor, y: Tensor) -> None:
        super().__init__(x.to(torch.float64), y.to(torch.float64), squared_distance)

    @property
    def turned(self) -> SquaredDistance:
        """The same cost, from y to x."""
        return SquaredDistance(self.y, self.x)

    def exponents(self, rows: slice, scale: float, p: Tensor, q: Tensor) -> Tensor:
        """``[2 scale x, p - scale |x|^2, 1] . [y, 1, q - scale |y|^2]``, about the mean of y."""
        centre = self.y.mean(0)
        x, y = self.x[rows] - centre, self.y - centre
        p = p[rows] - scale * x.square().sum(1)
        q = q - scale * y.square().sum(1)
        left = torch.cat([2 * scale * x, p[:, None], torch.ones_like(p)[:, None]], 1)
        right = torch.cat([y, torch.ones_like(q)[:, None], q[:, None]], 1)
        return left @ right.mT

    def pull(self, rows: slice, plan: Tensor) -> tuple[Tensor, Tensor]:
        """``2 (P1 x - P y)`` and ``2 (P'1 y - P' x)``."""
        x = self.x[rows]
        forth = 2 * (plan.sum(1)[:, None] * x - plan @ self.y)
        return forth, 2 * (plan.sum(0)[:, None] * self.y - plan.mT @ x)

    def moved(self, x: Tensor) -> SquaredDistance:
        """The same cost from other points x."""
        return SquaredDistance(x, self.y)


def squared_distance(x: Tensor, y: Tensor) -> Tensor:
    """``|x - y|^2`` of all pairs, (k, m), never negative; about the mean of y for accuracy."""
    centre = y.detach().mean(0)
    x, y = x - centre, y - centre
    norms = x.square().sum(1)[:, None] + y.square().sum(1)
    return (norms - 2 * x @ y.mT).clamp_min(0.0)


def blocks_of(cost: Cost, entries: int | None = None) -> Iterator[slice]:
    """Slices of rows, of so many entries that a block stays in a processor's cache."""
    n, m = cost.shape
    entries = entries or (CPU_ENTRIES if cost.device.type == "cpu" else DEVICE_ENTRIES)
    size = max(1, min(n, entries // m))
    for begin in range(0, n, size):
        yield slice(begin, min(begin + size, n))


def mean_cost(cost: Cost, a: Tensor, b: Tensor) -> float:
    """``sum a_i b_j c_ij``, after a look at every entry where it is not a squared distance.

    Raises
    ------
    InvalidLawError
        If an entry is negative or not finite.
    """
    if isinstance(cost, SquaredDistance):  # nothing to look at, and the mean is one of moments
        middle = a @ cost.x
        x, y = (cost.x - middle).square().sum(1), (cost.y - middle).square().sum(1)
        return float(a @ x + b @ y)
    total, low = 0.0, math.inf
    for rows in blocks_of(cost):
        c = cost.rows(rows)
        low = min(low, float(c.min()))
        total += float(a[rows] @ (c @ b))
        if not (low >= 0.0 and math.isfinite(total)):
            bad = c[~(torch.isfinite(c) & (c >= 0))].flatten()
            found = bad[0].item() if len(bad) else total
            msg = f"costs must be finite and not negative, got {found}"
            raise InvalidLawError(msg)
    return total


def cost_between(x: Any, y: Any, cost: Any) -> Cost:
    """The cost of two clouds, of two clouds and a function, or of a matrix; checked.

    Raises
    ------
    InvalidLawError
        If points or costs are not finite, not of the same dimension, or both or neither of
        points and a matrix are given.
    """
    if isinstance(cost, Tensor) or (cost is not None and not callable(cost)):
        if x is not None or y is not None:
            msg = "give points, or a matrix of costs, not both; with points a cost is a function"
            raise InvalidLawError(msg)
        return MatrixCost(parameter(cost, "cost", (None, None)))
    if x is None or y is None:
        msg = "give two clouds of points x and y, or a matrix of costs"
        raise InvalidLawError(msg)
    function = cast(CostFunction | None, cost)
    x, y = (parameter(v, n, (None, None)) for v, n in ((x, "x"), (y, "y")))
    if x.shape[1] != y.shape[1] or x.device != y.device:
        msg = (
            f"x and y must have one dimension and device, got {x.shape[1]} and {y.shape[1]} "
            f"on {x.device} and {y.device}"
        )
        raise InvalidLawError(msg)
    return SquaredDistance(x, y) if function is None else CloudCost(x, y, function)


def weights_of(value: Any, count: int, device: torch.device) -> Tensor:
    """Positive weights (count,) that sum to one, float64; None means equal ones."""
    if value is None:
        return torch.full((count,), 1.0 / count, dtype=torch.float64, device=device)
    return weights(value, count).to(device, torch.float64)
