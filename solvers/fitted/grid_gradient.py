"""Gradients of a sample with respect to the grid of a plan, and grids found by them.

The coefficients of a plan are float64 numbers made on the host by a pure builder; automatic
differentiation does not see inside. But a first derivative needs no more than the plan *linearised
in its grid*: with parameters p, ``W(p) = W + (dW/dp) (p - p0)`` for every weight, the Jacobian by
central differences of the builder (relative accuracy 1e-9), and for an evaluation at level lam
``D(x, lam) = D(x, lam_0) + (dD/dlam) (lam - lam_0)``, the partial derivative by a central
difference of the model. Values are those of the plan; gradients are exact to that accuracy, and go
through the states by automatic differentiation, so the model must be differentiable in x.

AutoDiffusion (Li et al. 2023, arXiv:2309.10438) searches time steps by evolution on FID; here the
error is the distance to the exact flow, which has a gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..errors import InvalidPlanError
from ..grids import Grid
from ..model import Model
from ..ops import Eval, Lin
from ..plan import Plan
from ..process import Array, Process
from ..registry import Sampler
from ..run import run
from .search import SearchError, Target
from .search_space import respaced, shares_of

_STEP = 1e-5
_LEVEL = 1e-4
"""Half-width in lam of the central difference of the model."""


def softmax(logits: Sequence[float] | Array) -> Array:
    """Positive shares of sum 1; a common shift of the logits changes nothing."""
    z = np.asarray(logits, dtype=np.float64)
    w = np.exp(z - z.max())
    return w / w.sum()


def _table(plan: Plan) -> Array:
    """All numbers of a plan that may depend on its grid: weights, then levels of evaluations."""
    weights = [w for op in plan.ops if isinstance(op, Lin) for _, w in op.terms]
    levels = [op.node.lam for op in plan.ops if isinstance(op, Eval)]
    return np.array([*weights, *levels], dtype=np.float64)


def _shape(plan: Plan) -> tuple:
    return tuple(
        tuple(j for j, _ in op.terms) if isinstance(op, Lin) else type(op).__name__
        for op in plan.ops
    )


def jacobian(build: Callable[[Array], Plan], p: Array) -> Array:
    """Derivatives of the numbers of ``build(p)``, by central differences: (numbers, parameters).

    Raises
    ------
    InvalidPlanError
        If the rows of the plan change with the parameters, so that there is nothing to follow.
    """
    shape, columns = _shape(build(p)), []
    for k in range(len(p)):
        step = _STEP * np.eye(len(p))[k]
        ahead, behind = build(p + step), build(p - step)
        if _shape(ahead) != shape or _shape(behind) != shape:
            msg = f"the rows of the plan change with parameter {k}; only weights may"
            raise InvalidPlanError(msg)
        columns.append((_table(ahead) - _table(behind)) / (2 * _STEP))
    return np.stack(columns, axis=1)


def linearised(
    build: Callable[[Array], Plan], p: Tensor, model: Model, process: Process
) -> tuple[Plan, Model]:
    """The plan at p with weights that carry gradients to p, and the model to run it with.

    ``run(plan, model, x, grad=True)`` then gives the sample of ``build(p)`` and its gradient.

    Parameters
    ----------
    build : callable
        ``build(array) -> Plan``, with the same rows for all parameters.
    p : Tensor
        float64 vector that requires gradients.
    """
    at = p.detach().numpy().astype(np.float64)
    plan, slopes = build(at), torch.from_numpy(jacobian(build, at))
    moved = slopes @ (p - p.detach())  # zero, with a gradient
    count = sum(len(op.terms) for op in plan.ops if isinstance(op, Lin))
    rest = iter(moved[:count])
    ops = tuple(
        Lin(tuple((j, w + next(rest)) for j, w in op.terms)) if isinstance(op, Lin) else op
        for op in plan.ops
    )
    nodes = [op.node for op in plan.ops if isinstance(op, Eval)]
    shift = {node.t: moved[count + i] for i, node in enumerate(nodes)}

    def asked(x: Tensor, t: float) -> Tensor:
        out, lam = model(x, t), float(process.lam(t))
        width = min(_LEVEL, process.lam_max - lam, lam - process.lam_min)
        if width <= 0:
            return out
        with torch.no_grad():
            ends = [float(process.t_of_lam(lam + side * width)) for side in (1, -1)]
            slope = (model(x.detach(), ends[0]) - model(x.detach(), ends[1])) / (2 * width)
        return out + slope * shift[t]

    return Plan(ops, plan.outputs, plan.marks), asked


@dataclass(frozen=True)
class Spaced:
    """A grid found by gradients.

    Attributes
    ----------
    shares : tuple of float
        Fractions of the length of the grid in lam.
    error : float
        Error on the training starts.
    errors : tuple of float
        Error at every evaluation of the objective.
    """

    shares: tuple[float, ...]
    error: float
    errors: tuple[float, ...]


def descend(
    sampler: Sampler, process: Process, grid: Grid, error: Target, *, budget: int = 60
) -> Spaced:
    """Shares of the grid by L-BFGS on their logits, from the grid as it is.

    Parameters
    ----------
    sampler : Sampler
        A registered plan.
    budget : int
        Most evaluations of the error with its gradient.

    Raises
    ------
    SearchError
        For a budget less than 1.
    """
    from scipy.optimize import minimize

    if budget < 1:
        msg = f"a search needs a budget of at least 1, got {budget}"
        raise SearchError(msg)
    seen: list[tuple[float, Array]] = []

    def build(p: Array) -> Plan:
        return sampler(process, respaced(process, grid, softmax(p).tolist()))

    def value(p: Array) -> tuple[float, Array]:
        if len(seen) >= budget:  # L-BFGS counts its own way
            return seen[-1][0] ** 2, np.zeros_like(p)
        q = torch.tensor(p, requires_grad=True)
        plan, model = linearised(build, q, error.model, process)
        out = run(plan, model, error.starts, grad=True).x
        loss = (out - error.truth).square().mean()
        loss.backward()
        seen.append((float(loss.detach().sqrt()), p.copy()))
        gradient = q.grad
        return float(loss.detach()), np.zeros_like(p) if gradient is None else gradient.numpy()

    start = np.log(np.array(shares_of(grid)))
    minimize(value, start, jac=True, method="L-BFGS-B", options={"maxfun": budget})
    best, p = min(seen, key=lambda pair: pair[0])
    return Spaced(tuple(softmax(p).tolist()), best, tuple(e for e, _ in seen))
