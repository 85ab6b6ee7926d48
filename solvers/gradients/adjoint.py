"""Gradients through the probability-flow ODE by a second ODE, solved backwards (AdjointDPM).

Optimise, then discretise. With ``y = x/alpha`` the flow is ``dy/drho = eps(alpha y)``; the
gradient ``a = dL/dy`` of a loss of its end obeys ``da/drho = -alpha (deps/dx)^T a``, and that with
respect to parameters is a third quadrature, ``dg/drho = -(deps/dtheta)^T a``. All three run from
the sample back to the start: nothing of the way there is stored. The way back visits states that
are only *near* those of the way there, so the gradient has the order of the solver.

In rho the state has no linear part, but its adjoint has one: at much noise ``eps = y/rho`` and ``a
~ 1/rho``. Where variance is preserved the adjoint of x in the time t hardly moves there.

Any sampler of this project that is a plan solves it: with ``q = rho_start + rho_end - rho`` the
way back is an ODE in a ``sigma = q`` that decreases, ``eps`` standing for its right-hand side.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..errors import InvalidGridError, InvalidPlanError, NonFiniteError
from ..grids import Grid, grid_from_sigmas
from ..model import Model, conversion
from ..plan import Eval, Noise, Plan, interpret
from ..plan_algebra import to_prediction
from ..process import Node, Process
from ..registry import Sampler, get
from ..run import run
from ..schedules import EDM
from .parameters import wanted_parameters

FRAMES = ("y", "x")


@dataclass(frozen=True)
class Bundle:
    """State, its gradient, and the gradients of parameters, as one vector of a plan."""

    parts: tuple[Tensor, ...]

    def __mul__(self, w: float) -> Bundle:
        return Bundle(tuple(p * w for p in self.parts))

    def __add__(self, other: Bundle) -> Bundle:
        return Bundle(tuple(p + q for p, q in zip(self.parts, other.parts, strict=True)))


def adjoint_sample(
    sampler: Sampler,
    model: Model,
    process: Process,
    grid: Grid,
    x: Tensor,
    *,
    backward: str = "rho_rk4",
    back_grid: Grid | None = None,
    params: Sequence[Tensor] | None = None,
    frame: str = "y",
    **options: Any,
) -> Tensor:
    """Sample, with a gradient by the adjoint ODE; the memory is that of one evaluation.

    Parameters
    ----------
    sampler : Sampler
        How to sample: a plan without noise; ``options`` go to its builder.
    model : callable
        Of the prediction that the sampler asks for.
    grid : Grid
        Levels of the way there, ending before sigma = 0.
    x : Tensor
        Start, shape (B, *D).
    backward : str
        Name of the sampler that solves the adjoint ODE; its order is that of the gradient.
    back_grid : Grid, optional
        Levels of the way back, in sampling order, with the same ends; the same by default.
    params : sequence of Tensor, optional
        What else to differentiate by; the parameters of the model if it is a module.
    frame : str
        ``"y"``: the ODE of y in rho, that of the paper. ``"x"``: that of x in the time t,
        ``dx/dt = f x + g^2 eps/(2 sigma)``; with solvers of low order it was the better one on
        every grid that was tried.

    Returns
    -------
    Tensor
        The sample, shape (B, *D), with a graph to x and ``params``.

    Raises
    ------
    InvalidPlanError
        If one of the two samplers is no plan or draws noise, the frame is unknown, or one of
        ``params`` wants no gradient.
    InvalidGridError
        If the grid ends at sigma = 0 or starts at alpha = 0, or the two grids have other ends.

    Notes
    -----
    Once differentiable: a second derivative is refused by autograd.

    References
    ----------
    Pan, Liew, Tan, Feng & Yan 2024, arXiv:2307.10711.
    """
    if frame not in FRAMES:
        msg = f"the frame of an adjoint must be 'y' or 'x', got {frame!r}"
        raise InvalidPlanError(msg)
    for entry in (sampler, get(backward)):
        if entry.kind != "plan" or entry.stochastic:
            msg = f"an adjoint ODE needs plans without noise; {entry.name} is not one"
            raise InvalidPlanError(msg)
    back_grid = back_grid or grid
    _check_ends(grid, back_grid)
    params = wanted_parameters(model, params)
    job = _Job(
        sampler(process, grid, **options), model, process, sampler.prediction, back_grid,
        backward, frame,
    )  # fmt: skip
    return _Adjoint.apply(job, x, *params)


def _check_ends(grid: Grid, back: Grid) -> None:
    if grid.to_zero or grid[0].alpha == 0.0:
        msg = "the adjoint ODE needs a grid between a finite lam and another: no end at sigma = 0 "
        msg += "and no start at alpha = 0"
        raise InvalidGridError(msg)
    if (grid[0].lam, grid[-1].lam) != (back[0].lam, back[-1].lam):
        msg = (
            f"the way back goes from lam {back[-1].lam} to {back[0].lam}, "
            f"the way there from {grid[0].lam} to {grid[-1].lam}; they must have the same ends"
        )
        raise InvalidGridError(msg)


@dataclass(frozen=True)
class _Job:
    """What a backward pass needs besides tensors."""

    plan: Plan
    model: Model
    process: Process
    prediction: str
    grid: Grid
    backward: str
    frame: str


class _Adjoint(torch.autograd.Function):
    """The flow as one operation of autograd."""

    @staticmethod
    def forward(ctx: Any, job: _Job, x: Tensor, *params: Tensor) -> Tensor:
        end = run(job.plan, job.model, x).x
        ctx.job = job
        ctx.save_for_backward(end, *params)
        return end

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, bar: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        end, *params = ctx.saved_tensors
        found = solve_adjoint(ctx.job, end, bar, params)
        for grad in found:
            if not bool(torch.isfinite(grad).all()):
                msg = (
                    f"the adjoint ODE, solved by {ctx.job.backward} in {len(ctx.job.grid)} steps, "
                    "is not finite; take more steps or another solver"
                )
                raise NonFiniteError(msg)
        return None, *found


def solve_adjoint(job: _Job, end: Tensor, bar: Tensor, params: Sequence[Tensor]) -> list[Tensor]:
    """Gradients at the start, to x and to the parameters, from the gradient ``bar`` at the end."""
    start, last = job.grid[0], job.grid[-1]
    scale = (lambda node: node.alpha) if job.frame == "y" else (lambda _: 1.0)
    zeros = [torch.zeros_like(p) for p in params]
    bundle = Bundle((end / scale(last), bar * scale(last), *zeros))
    clock = (lambda node: node.rho) if job.frame == "y" else (lambda node: node.t)
    sum_ = clock(start) + clock(last)
    levels = [sum_ - clock(node) for node in reversed(job.grid.nodes)]
    levels[0], levels[-1] = clock(start), clock(last)  # exact ends
    line = EDM(sigma_max=levels[0])
    plan = get(job.backward)(line, grid_from_sigmas(line, levels))
    if get(job.backward).prediction != "noise":
        plan = to_prediction(plan, "noise")

    def field(_: int, op: Eval, value: Bundle) -> Bundle:
        return _field(job, _node(job, sum_ - op.node.sigma), value, params)

    out = interpret(plan, inputs={"x": bundle}, evaluate=field, draw=_no_noise)["x"]
    return [out.parts[1] / scale(start), *out.parts[2:]]


def _node(job: _Job, value: float) -> Node:
    """The level where the clock shows a value; rounding does not lead beyond the ends."""
    start, last = job.grid[0], job.grid[-1]
    if job.frame == "y":
        if not last.rho < value < start.rho:
            return last if value <= last.rho else start
        return job.process.node_at_lam(-math.log(value))
    if not last.t < value < start.t:
        return last if value <= last.t else start
    return job.process.node(value)


def _field(job: _Job, node: Node, value: Bundle, params: Sequence[Tensor]) -> Bundle:
    """``d(bundle)/dq``, minus its derivative in the clock: the flow, and both products with a."""
    state, a = value.parts[:2]
    x_of_state = node.alpha if job.frame == "y" else 1.0
    p, q = conversion(job.prediction, "noise", node)
    with torch.enable_grad():
        leaf = state.detach().requires_grad_()
        x = x_of_state * leaf
        eps = p * x + q * job.model(x, node.t).to(x.dtype)
        if job.frame == "x":
            f, g2 = float(job.process.f(node.t)), float(job.process.g2(node.t))
            eps = f * x + (0.5 * g2 / node.sigma) * eps
        grads = torch.autograd.grad(eps, [leaf, *params], a, allow_unused=True)
    filled = [
        torch.zeros_like(like) if g is None else g
        for g, like in zip(grads, (state, *params), strict=True)
    ]
    return Bundle((-eps.detach(), *filled))


def _no_noise(_row: int, op: Noise) -> Any:
    msg = f"the adjoint ODE has no noise, but its solver draws that of [{op.a}, {op.b}]"
    raise InvalidPlanError(msg)
