r"""Optimal transport between two clouds by four methods, each with what it proves about W2.

========== ====================================== =============================================
method     map                                    what is certain about W2^2 of the two clouds
========== ====================================== =============================================
gaussian   ``m_b + M (x - m_a)``                  at least the cost (Gelbrich 1990)
exact      mean image under the exact plan        between the dual value and the cost
sinkhorn   ``E[y | x]`` of the entropic plan      between the dual value of the potentials, made
                                                  feasible, and the cost of the plan, rounded
quantile   mean image under the monotone plan     it is the cost (points on a line only)
========== ====================================== =============================================
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..errors import InvalidLawError
from .clouds import Cloud, mean_squared_distance, one_dimension
from .cost import blocks_of
from .discrete import discrete_transport
from .gaussian import GaussianMap
from .line_clouds import line_transport
from .sinkhorn import sinkhorn
from .sinkhorn_result import EntropicPlan, NotConvergedWarning

METHODS = ("gaussian", "exact", "sinkhorn", "quantile")
FRACTION = 0.05
DENSE = 100_000_000
"""Entries of a matrix that exact transport still takes, and that Sinkhorn still stores."""


@dataclass(frozen=True, eq=False)
class CloudTransport:
    """What a method found between two clouds.

    Attributes
    ----------
    method : str
        One of :data:`METHODS`.
    cost : float
        ``E |x - y|^2`` under the map or plan; of the Gaussians for ``gaussian``.
    lower, upper : float, float or None
        Certain bounds of W2^2 of the clouds, up to rounding; ``gaussian`` has none from above.
    iterations : int or None
        Of Sinkhorn.
    marginal_error : float
        L1 error of both marginals; for ``gaussian`` the largest error of the covariance that the
        map arrives at, relative to its largest entry.
    tolerance : float or None
        What was asked of the marginal error.
    mapped : Tensor
        Where the points of the first cloud go, (n, d).
    arrays : dict of Tensor
        All that the map, plan or potentials are made of.
    formula : str
        How the arrays make the map.
    facts : dict
        Numbers of the method, such as epsilon in units of the cost.
    """

    method: str
    cost: float
    lower: float
    upper: float | None
    marginal_error: float
    mapped: Tensor
    arrays: dict[str, Tensor]
    formula: str
    iterations: int | None = None
    tolerance: float | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def distance(self) -> float:
        """The root of the cost."""
        return max(self.cost, 0.0) ** 0.5

    @property
    def converged(self) -> bool:
        """Whether the marginal error is within the tolerance."""
        return self.tolerance is None or self.marginal_error <= self.tolerance


def transport_clouds(
    a: Cloud, b: Cloud, method: str = "sinkhorn", *, fraction: float | None = None, **effort: Any
) -> CloudTransport:
    """Transport the first cloud to the second.

    Parameters
    ----------
    a, b : Cloud
        Of one dimension.
    method : {"gaussian", "exact", "sinkhorn", "quantile"}
        See the module.
    fraction : float, optional
        Epsilon of Sinkhorn in units of the mean cost, 0.05 if not given.
    **effort
        Further options of Sinkhorn: tolerance, max_iterations, progress, ...

    Raises
    ------
    InvalidLawError
        If dimensions differ, the method is unknown, has no such option or cannot take the clouds.
    """
    one_dimension(a, b)
    if method == "sinkhorn":
        return _sinkhorn(a, b, FRACTION if fraction is None else fraction, effort)
    methods: dict[str, Callable[[Cloud, Cloud], CloudTransport]]
    methods = {"gaussian": _gaussian, "exact": _exact, "quantile": _quantile}
    if method not in methods:
        msg = f"unknown method {method!r}; accepted: {', '.join(METHODS)}"
        raise InvalidLawError(msg)
    given = [*(["epsilon"] if fraction is not None else []), *effort]
    if given:
        msg = f"{given[0].replace('_', ' ')} is an option of sinkhorn, and the method is {method}"
        raise InvalidLawError(msg)
    return methods[method](a, b)


def _gaussian(a: Cloud, b: Cloud) -> CloudTransport:
    try:
        found = GaussianMap(a.mean, a.cov, b.mean, b.cov)
    except InvalidLawError as error:
        msg = f"from {a.name} to {b.name}: {error}"
        raise InvalidLawError(msg) from error
    arrived = found.matrix @ found.cov_a @ found.matrix
    size = float(found.cov_b.abs().max())
    missed = float((arrived - found.cov_b).abs().max()) / size if size > 0 else 0.0
    names = ("mean_a", "cov_a", "mean_b", "cov_b", "matrix")
    cost = float(found.cost)
    return CloudTransport(
        "gaussian", cost, cost, None, missed, found(a.points),
        {name: getattr(found, name) for name in names}, "mean_b + (x - mean_a) @ matrix",
    )  # fmt: skip


def _exact(a: Cloud, b: Cloud) -> CloudTransport:
    entries = len(a.points) * len(b.points)
    if entries > DENSE:
        msg = (
            f"exact transport keeps {entries:.2g} entries of costs and plan, more than the "
            f"{DENSE:.0e} that it takes: use sinkhorn"
        )
        raise InvalidLawError(msg)
    found = discrete_transport(a.points, b.points, a.weights, b.weights)
    first, last = found.plan.nonzero(as_tuple=True)
    missed = (found.plan.sum(1) - a.weights).abs().sum()
    missed = missed + (found.plan.sum(0) - b.weights).abs().sum()
    mass = found.plan[first, last]
    arrays = {"first": first, "last": last, "mass": mass}
    cost = float(mass @ (a.points[first] - b.points[last]).square().sum(1))
    dual = float(found.f @ a.weights + found.g @ b.weights)
    return CloudTransport(
        "exact", cost, max(dual, 0.0), cost, float(missed),
        found.plan @ b.points / found.plan.sum(1, keepdim=True),
        {**arrays, "f": found.f, "g": found.g},
        "the mean of b[last] over the pieces of each first, weighed by mass",
    )  # fmt: skip


def _quantile(a: Cloud, b: Cloud) -> CloudTransport:
    if a.dim != 1:
        msg = f"quantile maps are for points on a line, got {a.dim} coordinates in {a.name}"
        raise InvalidLawError(msg)
    plan = line_transport(a.points, b.points, a.weights, b.weights)
    ones = torch.zeros_like(a.weights).index_add(0, plan.first, plan.mass) - a.weights
    others = torch.zeros_like(b.weights).index_add(0, plan.last, plan.mass) - b.weights
    cost = plan.cost()
    return CloudTransport(
        "quantile", cost, cost, cost, float(ones.abs().sum() + others.abs().sum()),
        plan.image[:, None], {"first": plan.first, "last": plan.last, "mass": plan.mass},
        "the mean of b[last] over the pieces of each first, weighed by mass",
    )  # fmt: skip


def _sinkhorn(a: Cloud, b: Cloud, fraction: float, effort: dict[str, Any]) -> CloudTransport:
    if not 0.0 < fraction < float("inf"):
        msg = f"epsilon must be positive and finite, got {fraction}"
        raise InvalidLawError(msg)
    mean_squared_distance(a, b)
    effort = {"stored": len(a.points) * len(b.points) <= DENSE, **effort}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotConvergedWarning)  # the result says it
        plan = sinkhorn(a.points, b.points, a.weights, b.weights, fraction=fraction, **effort)
    lower, upper = bounds(plan)
    arrays = {"f": plan.f, "g": plan.g, "epsilon": torch.tensor(plan.epsilon, dtype=plan.f.dtype)}
    return CloudTransport(
        "sinkhorn", plan.transport(), lower, upper, plan.marginal_error, plan.barycentric(),
        arrays, "mean of b with weights_b exp((g - |x - b|^2)/epsilon), made to sum to one",
        plan.iterations, plan.tolerance,
        {"epsilon": plan.epsilon, "fraction": fraction, "entropic_value": float(plan.value)},
    )  # fmt: skip


def bounds(plan: EntropicPlan) -> tuple[float, float]:
    r"""Certain bounds of the least ``<c, P>`` from an entropic plan, converged or not.

    Below: g with ``f_i = min_j (c_ij - g_j)`` is feasible, so ``<f, a> + <g, b>`` is no more than
    the least cost, which is not negative. Above: a plan that misses its marginals by e in L1 can
    be made exact by moving a mass of at most e (Altschuler, Weed & Rigollet 2017,
    arXiv:1705.09634, alg. 2), which costs at most ``e max c``.
    """
    feasible, high = torch.empty_like(plan.f), 0.0
    for rows in blocks_of(plan.cost):
        costs = plan.cost.rows(rows)
        high = max(high, float(costs.max()))
        feasible[rows] = (costs - plan.g).min(1).values
    lower = float(feasible @ plan.a + plan.g @ plan.b)
    return max(lower, 0.0), plan.transport() + plan.marginal_error * high
