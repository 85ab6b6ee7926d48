r"""Any ODE ``dx/du = b(x, u)`` on [0, 1] as a flow model: the registry's samplers solve it.

The probability-flow ODE of rectified flow is ``dx/dt = eps - D``, its "flow" prediction. With
``t = 1 - u`` a velocity b is the flow prediction ``-b(x, 1 - t)``, and *defines* the others::

    D = x + t b,        eps = x - (1 - t) b,        alpha = u,    sigma = 1 - u

whatever the law of x is. Every plan of the ODE rests on ``dx = D dalpha + eps dsigma`` alone, so
it keeps the order that it has, on grids inside (0, 1). From u = 0 itself only plans on the data
prediction start (there eps is x, whatever b is). One step of ``ddim`` is one of Euler in u.

*Only the ODE.* This eps is no score: ``-eps/sigma`` is the score of x if x_0 is N(0, I),
independent of x_1, and the interpolant is straight; else a sampler that draws noise ends in
another law. The SDEs of interpolants are in :mod:`.interpolant_sde`.

Stochastic interpolants: Albergo, Boffi & Vanden-Eijnden 2023, arXiv:2303.08797; the clock of
rectified flow: Liu et al. 2022, arXiv:2209.03003.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..checks import check_state
from ..errors import InvalidGridError, InvalidPlanError, ShapeError
from ..grids import Grid, grid_from_times, power_t
from ..model import Model, convert
from ..registry import Sampler, get
from ..run import run
from ..schedules import RectifiedFlow

Velocity = Callable[[Tensor, float], Tensor]
"""``b(x, u)``: x of shape (B, *D), u a float in [0, 1]; the shape of x."""

FLOW = RectifiedFlow()
"""The process whose grids an interpolant is sampled on: ``t = 1 - u``, ``lam = log(u/(1-u))``."""


def flow_model(velocity: Velocity, prediction: str = "flow") -> Model:
    """``(x, t) -> -b(x, 1 - t)``: the "flow" prediction of a velocity on :class:`RectifiedFlow`.

    t may be a number, or one time a row of x; rows of one time are asked together.

    Parameters
    ----------
    velocity : callable
        ``b(x, u)``.
    prediction : str
        Which prediction is answered, as the module defines them.

    Raises
    ------
    ShapeError
        When asked, if the velocity has not the shape of x.
    PredictionError
        When asked, for an unknown prediction, or a score at t = 0.

    Examples
    --------
    >>> model = flow_model(lambda x, u: u * x)
    >>> model(torch.ones(1, 1), 0.75).item()
    -0.25
    """

    def at(x: Tensor, t: float) -> Tensor:
        out = velocity(x, 1.0 - t)
        if not isinstance(out, Tensor) or out.shape != x.shape:
            got = tuple(getattr(out, "shape", ()))
            msg = f"a velocity must have the shape {tuple(x.shape)} of x, got {got}"
            raise ShapeError(msg)
        return convert(-out, x, FLOW.node(t), source="flow", target=prediction)

    def model(x: Tensor, t: Any) -> Tensor:
        if not isinstance(t, Tensor) or t.numel() == 1:
            return at(x, float(t))
        times, which = t.detach().reshape(-1).unique(return_inverse=True)
        rows = [(which == k).nonzero().flatten() for k in range(len(times))]
        out = [at(x[row], float(time)) for row, time in zip(rows, times, strict=True)]
        return torch.cat(out)[torch.cat(rows).argsort()]

    return model


def times_of(u: list[float]) -> Grid:
    """The grid of increasing times u in [0, 1]; the ends themselves are allowed.

    Raises
    ------
    InvalidGridError
        If they do not increase, or leave [0, 1].
    """
    return grid_from_times(FLOW, [1.0 - value for value in u])


def uniform_u(steps: int, first: float = 0.0, last: float = 1.0) -> Grid:
    """``steps`` equal steps in u from ``first`` to ``last``, both in [0, 1].

    Raises
    ------
    InvalidGridError
        If there is no step, or ``0 <= first < last <= 1`` fails.
    """
    if not 0.0 <= first < last <= 1.0:
        msg = f"need 0 <= first < last <= 1, got first={first}, last={last}"
        raise InvalidGridError(msg)
    return power_t(FLOW, 1.0 - first, 1.0 - last).grid(steps)


def transported(
    velocity: Velocity,
    x: Tensor,
    grid: Grid,
    *,
    sampler: str | Sampler = "exp_rk4_data",
    **options: Any,
) -> Tensor:
    """Where the ODE ``dx/du = b`` takes x, (B, *D), along a grid of :data:`FLOW`.

    Parameters
    ----------
    velocity : callable
        ``b(x, u)``.
    x : Tensor
        States at ``u = 1 - grid[0].t``, (B, *D), float32 or float64.
    grid : Grid
        Of :data:`FLOW`: :func:`uniform_u`, :func:`times_of`, or any grid of that process.
    sampler : str or Sampler
        A registered sampler of any kind that draws no noise; its options follow.

    Raises
    ------
    InvalidPlanError
        For a sampler that draws noise: see the module.
    ShapeError, NonFiniteError, PredictionError
        For bad states, and for a sampler that needs what does not exist at an end of the grid.

    Examples
    --------
    >>> shrunk = transported(lambda x, u: -x, torch.ones(1, 1).double(), uniform_u(20, 0.1, 0.6))
    >>> round(shrunk.item(), 5)  # e^{-1/2}
    0.60653
    """
    check_state(x, "x")
    entry = get(sampler) if isinstance(sampler, str) else sampler
    if entry.stochastic:
        msg = f"{entry.name} draws noise, and a velocity alone has no score; take its ODE sampler"
        raise InvalidPlanError(msg)
    model = flow_model(velocity, entry.prediction)
    if entry.kind == "plan":
        return run(entry(FLOW, grid, **options), model, x).x
    return entry.build(model, FLOW, grid, x, **{**entry.options, **options}).x
