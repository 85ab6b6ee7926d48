"""Optimal transport between weighted clouds on a line: sort both and match mass in order."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import InvalidLawError
from ..parameters import numbers, parameter
from .cost import weights_of


@dataclass(frozen=True, eq=False)
class LinePlan:
    r"""The monotone plan between clouds x (n,) and y (m,), a list of at most n + m - 1 pieces.

    It is optimal for every cost ``|x - y|^p``, p >= 1, and
    ``W_p^p = sum_k mass_k |x_first(k) - y_last(k)|^p`` exactly (Villani 2003, th. 2.18).

    Attributes
    ----------
    first, last : Tensor
        Which points of x and of y a piece joins, (k,) each, in the order given by the caller.
    mass : Tensor
        Its mass, (k,) float64, not negative.
    image : Tensor
        ``E[y | x_i]``, (n,): where the mass of a point goes on average. Points of x with one
        place keep an image each.
    """

    x: Tensor
    y: Tensor
    first: Tensor
    last: Tensor
    mass: Tensor
    image: Tensor

    def cost(self, power: float = 2.0) -> float:
        """``W_p^p`` for a power of at least 1.

        Raises
        ------
        InvalidLawError
            If the power is below 1: then matching in order need not be optimal.
        """
        if not 1.0 <= power < math.inf:
            msg = f"power must be at least 1, got {power}"
            raise InvalidLawError(msg)
        return float(self.mass @ (self.x[self.first] - self.y[self.last]).abs() ** power)


def line_transport(x: Any, y: Any, a: Any = None, b: Any = None) -> LinePlan:
    """The monotone plan, in O((n + m) log(n + m)).

    Between two neighbouring levels of the union of both cumulative weights, one point of x and
    one of y hold the mass: that is one piece.

    Parameters
    ----------
    x, y : Tensor
        Clouds (n,) and (m,), or (n, 1) and (m, 1).
    a, b : Tensor, optional
        Positive weights that sum to one; equal ones if not given.

    Raises
    ------
    InvalidLawError
        If a cloud is not on a line or not finite, or weights are not as said.

    Not to be confused with :class:`.quantile_map.QuantileMap`, between continuous laws.

    Examples
    --------
    >>> plan = line_transport(torch.tensor([2.0, 0.0]), torch.tensor([1.0, 5.0]))
    >>> plan.image.tolist(), plan.cost()
    ([5.0, 1.0], 5.0)
    """
    x, y = _line(x, "x"), _line(y, "y")
    a, b = weights_of(a, len(x), x.device), weights_of(b, len(y), y.device)
    by_x, by_y = x.argsort(stable=True), y.argsort(stable=True)
    up_x, up_y = a[by_x].cumsum(0), b[by_y].cumsum(0)
    levels = torch.cat([up_x[:-1], up_y[:-1]]).clamp(0.0, 1.0)
    levels = torch.cat([torch.zeros(1).to(x), levels.sort().values, torch.ones(1).to(x)])
    middle = 0.5 * (levels[1:] + levels[:-1])
    first = by_x[torch.searchsorted(up_x, middle).clamp_max(len(x) - 1)]
    last = by_y[torch.searchsorted(up_y, middle).clamp_max(len(y) - 1)]
    mass = levels.diff()
    kept = mass > 0
    first, last, mass = first[kept], last[kept], mass[kept]
    image = torch.zeros_like(x).index_add(0, first, mass * y[last]) / a
    return LinePlan(x, y, first, last, mass, image)


def _line(value: Any, name: str) -> Tensor:
    given = numbers(value, name)
    if given.ndim == 2 and given.shape[1] == 1:
        given = given[:, 0]
    return parameter(given, name, (None,)).to(torch.float64)
