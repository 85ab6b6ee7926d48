"""What Sinkhorn's iteration leaves: potentials, how well they fit, and what follows from them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import InvalidLawError
from ..parameters import DTYPES, points
from .cost import CloudCost, Cost, blocks_of


class NotConvergedWarning(RuntimeWarning):
    """An iteration stopped at its limit, above its tolerance; the result says by how much."""


@dataclass(frozen=True)
class Level:
    """One epsilon on the way: how many iterations it took, and the L1 error it was left with."""

    epsilon: float
    iterations: int
    error: float


@dataclass(frozen=True, eq=False)
class EntropicPlan:
    r"""The plan ``P_ij = a_i b_j exp((f_i + g_j - c_ij)/epsilon)`` between two weighted clouds.

    At small epsilon clouds fall into groups between which hardly any mass can flow. The marginals
    and the plan are then met long before the potentials, which may be off by more than epsilon,
    each group by a number of its own.

    Attributes
    ----------
    f, g : Tensor
        Potentials (n,), (m,), float64, in units of the cost, with ``<f, a> = <g, b>``.
    a, b : Tensor
        Weights (n,), (m,), float64.
    cost : Cost
        The cost.
    epsilon : float
        Weight of the entropy, in units of the cost.
    value : Tensor
        ``<f, a> + <g, b> - epsilon (sum P - 1)``, 0-d: the dual value, below the least
        ``<c, P> + epsilon KL(P | a x b)`` and of second order in the marginal error. It can be
        differentiated in points, weights (up to a constant) and costs; epsilon is a constant in
        that, also where it was given as a fraction of the mean cost.
    marginal_error : float
        ``|P 1 - a|_1 + |P' 1 - b|_1``, measured in float64 from the potentials above.
    tolerance : float
        What was asked for.
    converged : bool
        Whether ``marginal_error <= tolerance``.
    iterations : int
        Sweeps over the matrix, all levels together.
    path : tuple of Level
        Epsilons in their order, the last is ``epsilon``.
    """

    f: Tensor
    g: Tensor
    a: Tensor
    b: Tensor
    cost: Cost
    epsilon: float
    value: Tensor
    marginal_error: float
    tolerance: float
    path: tuple[Level, ...]

    @property
    def converged(self) -> bool:
        """Whether the marginals are met to the tolerance."""
        return self.marginal_error <= self.tolerance

    @property
    def iterations(self) -> int:
        """Sweeps of all levels."""
        return sum(level.iterations for level in self.path)

    def plan(self) -> Tensor:
        """P, (n, m) float64."""
        return torch.cat([p for _, p in plan_blocks(self)])

    def transport(self) -> float:
        """``<c, P>``, the cost without the entropy."""
        parts = [(self.cost.rows(rows) * p).sum() for rows, p in plan_blocks(self)]
        return float(torch.stack(parts).sum())

    def barycentric(self) -> Tensor:
        """``E[y | x_i]`` at the points themselves, (n, d)."""
        return self.map(self._clouds().x)

    def map(self, x: Tensor) -> Tensor:
        """``E[y | x]`` at any points x (k, d), also new ones: a softmax over the points y.

        Raises
        ------
        InvalidLawError
            If the cost was given as a matrix: there is no y to go to.
        ShapeError
            If x is not (k, d), float64 or float32, on the device of the clouds.
        """
        return torch.cat([e.softmax(1) @ y for e, y in self._scores(x)])

    def potential(self, x: Tensor) -> Tensor:
        """``f(x) = -epsilon log sum_j b_j exp((g_j - c(x, y_j))/epsilon)`` at points (k, d)."""
        return torch.cat([-self.epsilon * e.logsumexp(1) for e, _ in self._scores(x)])

    def _scores(self, x: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        clouds = self._clouds()
        if isinstance(x, Tensor) and x.dtype in DTYPES:
            x = x.to(clouds.x.dtype)
        new = clouds.moved(points(x, clouds.x))
        p = torch.zeros(len(x), dtype=torch.float64, device=x.device)
        q = self.g / self.epsilon + self.b.log()
        for rows in blocks_of(new):
            yield new.exponents(rows, 1.0 / self.epsilon, p, q), clouds.y.to(torch.float64)

    def _clouds(self) -> CloudCost:
        if isinstance(self.cost, CloudCost):
            return self.cost
        msg = "a map needs points, and this plan was made from a matrix of costs"
        raise InvalidLawError(msg)


def plan_blocks(plan: Any) -> Iterator[tuple[slice, Tensor]]:
    """Slices of rows, and the rows of P; of anything with f, g, a, b, cost, epsilon."""
    p = plan.f / plan.epsilon + plan.a.log()
    q = plan.g / plan.epsilon + plan.b.log()
    for rows in blocks_of(plan.cost):
        yield rows, plan.cost.exponents(rows, 1.0 / plan.epsilon, p, q).exp_()


@dataclass(frozen=True, eq=False)
class Potentials:
    """A plan in the making: potentials and what they belong to."""

    f: Tensor
    g: Tensor
    a: Tensor
    b: Tensor
    cost: Cost
    epsilon: float

    def centred(self) -> Potentials:
        """The same plan with ``<f, a> = <g, b>``."""
        shift = 0.5 * ((self.f * self.a).sum() - (self.g * self.b).sum())
        return Potentials(self.f - shift, self.g + shift, self.a, self.b, self.cost, self.epsilon)

    def measured(self) -> tuple[float, float]:
        """L1 error of both marginals, and the dual value."""
        missed, columns = torch.zeros_like(self.a), torch.zeros_like(self.b)
        for rows, p in plan_blocks(self):
            missed[rows] = p.sum(1) - self.a[rows]
            columns += p.sum(0)
        error = missed.abs().sum() + (columns - self.b).abs().sum()
        dual = (self.f * self.a).sum() + (self.g * self.b).sum()
        return float(error), float(dual - self.epsilon * missed.sum())


class _Envelope(torch.autograd.Function):
    """The value, with the derivatives that hold at the optimum: f, g and those of ``<c, P>``."""

    @staticmethod
    def forward(ctx: Any, held: Potentials, value: float, *inputs: Tensor | None) -> Tensor:
        ctx.held, ctx.inputs = held, inputs
        return torch.tensor(value, dtype=torch.float64, device=held.f.device)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        held, (x, y, a, b, matrix), scale = ctx.held, ctx.inputs, grads[0]
        out: list[Tensor | None] = [None, None]
        if _wanted(x) or _wanted(y):
            out[:2] = _in_points(held)
        out += [held.f if _wanted(a) else None, held.g if _wanted(b) else None]
        out.append(torch.cat([p for _, p in plan_blocks(held)]) if _wanted(matrix) else None)
        kept = [
            (scale * d).to(v.dtype) if d is not None and v is not None and _wanted(v) else None
            for d, v in zip(out, (x, y, a, b, matrix), strict=True)
        ]
        return None, None, *kept


def _wanted(value: Tensor | None) -> bool:
    return isinstance(value, Tensor) and value.requires_grad


def _in_points(held: Potentials) -> tuple[Tensor, Tensor]:
    cost = held.cost
    if not isinstance(cost, CloudCost):
        msg = "there are no points to differentiate in"
        raise InvalidLawError(msg)
    forth, back = [], torch.zeros_like(cost.y)
    for rows, p in plan_blocks(held):
        here, there = cost.pull(rows, p)
        forth.append(here)
        back += there
    return torch.cat(forth), back


def finished(
    held: Potentials, inputs: tuple[Any, ...], tolerance: float, path: tuple[Level, ...]
) -> EntropicPlan:
    """The result: measured, and its value tied to those inputs (x, y, a, b, matrix)."""
    held = held.centred()
    error, value = held.measured()
    tensors = tuple(v if isinstance(v, Tensor) else None for v in inputs)
    return EntropicPlan(
        held.f, held.g, held.a, held.b, held.cost, held.epsilon,
        _Envelope.apply(held, value, *tensors), error, tolerance, path,
    )  # fmt: skip
