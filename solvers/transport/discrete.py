"""Exact optimal transport between weighted point clouds: the truth of entropic and of map solvers.

By POT's network simplex, O(n^3) time and O(n m) memory: for some thousands of points.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import InvalidLawError, NonFiniteError
from .cost import CostFunction, cost_between, mean_cost, weights_of


@dataclass(frozen=True, eq=False)
class ExactPlan:
    """A plan of least ``<c, P>`` and its dual certificate.

    Attributes
    ----------
    plan : Tensor
        P, (n, m) float64, with at most n + m - 1 entries that are not 0.
    value : float
        ``<c, P>``.
    f, g : Tensor
        Potentials (n,), (m,): ``f_i + g_j <= c_ij``, with equality where ``P_ij > 0``.
    """

    plan: Tensor
    value: float
    f: Tensor
    g: Tensor


def discrete_transport(
    x: Any = None,
    y: Any = None,
    a: Any = None,
    b: Any = None,
    *,
    cost: Tensor | CostFunction | None = None,
    most: int = 10_000_000,
) -> ExactPlan:
    """The plan of least cost ``sum c_ij P_ij`` with marginals a and b; arguments as `sinkhorn`.

    Parameters
    ----------
    x, y, a, b, cost
        Two clouds and their weights, or weights and a matrix of costs, on the processor.
    most : int
        Pivots of the simplex at most.

    Raises
    ------
    InvalidLawError
        If weights, points or costs are not as `sinkhorn.sinkhorn` wants them.
    NonFiniteError
        If the simplex stops before the optimum.
    """
    import ot  # it takes seconds to import

    between = cost_between(x, y, cost)
    if between.device.type != "cpu":
        msg = f"exact transport runs on the processor, got points on {between.device}"
        raise InvalidLawError(msg)
    n, m = between.shape
    a, b = weights_of(a, n, between.device), weights_of(b, m, between.device)
    # what the simplex takes for 0 is a number, whatever the unit of the costs
    unit = mean_cost(between, a, b) or 1.0
    matrix = between.rows(slice(0, n)).div_(unit)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # what it warns of is in the log
        plan, log = ot.emd(a.numpy(), b.numpy(), matrix.numpy(), numItermax=most, log=True)
    if log["result_code"] != 1:
        msg = f"the network simplex did not reach the optimum in {most} pivots: {log['warning']}"
        raise NonFiniteError(msg)
    f, g = (unit * torch.from_numpy(log[name]) for name in "uv")
    return ExactPlan(torch.from_numpy(plan), unit * float(log["cost"]), f, g)
