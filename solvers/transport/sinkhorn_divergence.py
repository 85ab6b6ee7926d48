r"""The Sinkhorn divergence: entropic transport without its bias.

``S(a, b) = OT(a, b) - OT(a, a)/2 - OT(b, b)/2`` with one epsilon is zero for equal laws, positive
otherwise, and convex in each law, where ``OT(a, a) > 0``. The two problems of a law with itself
have equal potentials, and the averaged iteration ``f <- (f + T f)/2`` shrinks errors at least by
half each time for ``|x - y|^2``. Feydy et al. 2019, arXiv:1810.08278; Genevay, Peyre & Cuturi
2018, arXiv:1706.00292.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import InvalidLawError, NonFiniteError
from .cost import CostFunction, cost_between, mean_cost, weights_of
from .sinkhorn import Effort, epsilon_of, sinkhorn, warn_if_missed
from .sinkhorn_kernel import Kernel
from .sinkhorn_result import EntropicPlan, Level, Potentials, finished


@dataclass(frozen=True, eq=False)
class Divergence:
    """The divergence and the three plans that it is made of.

    ``value`` is a 0-d float64 tensor that can be differentiated in points and weights; its error
    is of second order in the marginal errors of the plans.
    """

    value: Tensor
    across: EntropicPlan
    first: EntropicPlan
    second: EntropicPlan

    @property
    def converged(self) -> bool:
        """Whether all three plans meet their tolerance."""
        return all(p.converged for p in (self.across, self.first, self.second))


def sinkhorn_divergence(
    x: Any,
    y: Any,
    a: Any = None,
    b: Any = None,
    *,
    cost: CostFunction | None = None,
    epsilon: float | None = None,
    fraction: float | None = None,
    **effort: Any,
) -> Divergence:
    """``OT(a, b) - OT(a, a)/2 - OT(b, b)/2`` between weighted clouds; arguments as `sinkhorn`.

    A fraction is one of the mean cost between the two clouds. The cost must be symmetric.

    Raises
    ------
    InvalidLawError
        As `sinkhorn`, or if a matrix is given for the cost, or a cost that is not symmetric.
    """
    if cost is not None and not callable(cost):
        msg = "a divergence needs costs within each cloud too: give points and a function"
        raise InvalidLawError(msg)
    across = sinkhorn(x, y, a, b, cost=cost, epsilon=epsilon, fraction=fraction, **effort)
    first = self_transport(x, a, cost=cost, epsilon=across.epsilon, **effort)
    second = self_transport(y, b, cost=cost, epsilon=across.epsilon, **effort)
    value = across.value - 0.5 * first.value - 0.5 * second.value
    return Divergence(value, across, first, second)


def self_transport(
    x: Any,
    a: Any = None,
    *,
    cost: CostFunction | None = None,
    epsilon: float | None = None,
    fraction: float | None = None,
    **effort: Any,
) -> EntropicPlan:
    """The entropic plan of a cloud with itself; ``f = g``. Arguments as `sinkhorn`."""
    how = Effort(**effort)
    between = cost_between(x, x, cost)
    n = between.shape[0]
    weights = weights_of(a, n, between.device)
    part = between.rows(slice(0, min(n, 64)))[:, : min(n, 64)]
    skew = float((part - part.mT).abs().max())
    if skew > 1e-6 * float(part.abs().max()):
        msg = f"a cost within a cloud must be symmetric, got entries that differ by {skew}"
        raise InvalidLawError(msg)
    eps = epsilon_of(epsilon, fraction, mean_cost(between, weights, weights))
    kernel = how.kernel(between, weights, weights, x)
    f, level = _iterate(kernel, eps, how)
    held = Potentials(f, f, weights, weights, between, eps)
    plan = finished(held, (x, x, a, a, None), how.tolerance, (level,))
    warn_if_missed(plan)
    return plan


def _iterate(kernel: Kernel, epsilon: float, how: Effort) -> tuple[Tensor, Level]:
    """``u <- sqrt(u a/(M u))`` until both marginals, which are one, are met."""
    f = 0.5 * kernel.softmin(torch.zeros_like(kernel.a), epsilon)
    kernel.absorb_equal(f, epsilon)
    u, every, done = torch.ones_like(f), how.every(f.device), 0
    tolerance = how.tolerance * (0.5 if kernel.dtype == torch.float32 else 1.0)
    while True:
        held, error = u, torch.zeros(())
        for _ in range(min(every, how.max_iterations - done)):
            held, s = u, kernel.times(u)
            error = 2 * (held * s - kernel.a).abs().sum()
            u = (u * kernel.a / s).sqrt()
            done += 1
        reached, size = torch.stack([error, u.log().abs().max()]).tolist()
        if not math.isfinite(reached + size):
            msg = f"the scalings of a cloud with itself are not finite at epsilon = {epsilon:g}"
            raise NonFiniteError(msg)
        if reached <= tolerance or done >= how.max_iterations:
            return kernel.potentials(held, held)[0], Level(epsilon, done, reached)
        if size > kernel.limit:
            kernel.absorb_equal(kernel.potentials(u, u)[0], epsilon)
            u = torch.ones_like(u)
