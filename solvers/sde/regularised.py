"""Local regularisation of a learned equation: the error of one step, at one random time.

A drift that is easy to solve is one whose steps have small errors.  The sum of the estimated
errors of all steps is a penalty that has to be differentiated through the whole solve; here it is
estimated at a single step, whose state is taken as given (Pal, Edelman & Rackauckas 2023,
arXiv:2303.02262) ::

    R(u) = e(x_n, [t_n, t_{n+1}]) / p_n,    t_n <= t* < t_{n+1},    t* = t_0 + u (t_N - t_0)

with ``p_n = (t_{n+1} - t_n)/(t_N - t_0)``, so that the mean over u uniform in [0, 1) is exactly
``sum_n e_n``: unbiased on any grid.  Without the weight, and n uniform over the steps, it is the
paper's biased form.  Any pair of methods that read the same noise estimates the error of a step of
the lower one; an ordinary equation is an additive one with diffusion 0.

The gradient is through the one step: what x_n owes to the parameters is left out, which is what
makes it cheap, and makes it the gradient of no penalty: a direction, not a descent of the sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from ..errors import AnalysisError
from ..noise import NoiseSource
from .errors import InvalidEquationError
from .inputs import checked_times, prepared
from .method import Cell, Method
from .problem import SDE
from .solve import drawn, solve

Pair = tuple[Method, Method]
"""A lower and a higher method, say Euler-Maruyama and stochastic Heun for additive noise."""


def local_error(sde: SDE, pair: Pair, cell: Cell, x: Tensor) -> Tensor:
    """``(mean |high - low|^2)^(1/2)`` of one step from x, a number with a graph; 0 has slope 0.

    Raises
    ------
    InvalidEquationError
        If a method does not solve the equation, or carries more than x.
    """
    for method in pair:
        method.check(sde)
        if method.reverse is not None:
            msg = f"{method.name} carries a second state, so that one step of it is no step from x"
            raise InvalidEquationError(msg)
    low, high = (m.step(sde, cell, m.start(sde, cell.t, x))[0] for m in pair)
    square = (high - low).square().mean()
    tiny = torch.finfo(square.dtype).tiny
    return torch.where(square > 0, square, square + tiny).sqrt() * (square.detach() > 0)


def sampled_local_error(
    sde: SDE,
    pair: Pair,
    times: Sequence[float],
    x: Tensor,
    *,
    noise: NoiseSource | int,
    u: float,
) -> Tensor:
    """An unbiased estimate of the sum of the local errors of the lower method.

    Parameters
    ----------
    sde : SDE
        The equation, whose drift and diffusion read the parameters.
    pair : (Method, Method)
        What is compared; the states are those of the higher one.
    times, x, noise
        As of :func:`.solve.solve`.
    u : float
        Uniform in [0, 1): where the step is.

    Raises
    ------
    AnalysisError
        If u lies outside [0, 1).
    InvalidEquationError, InvalidGridError, NonFiniteError
        As of :func:`local_error` and :func:`.solve.solve`.
    """
    if not 0.0 <= u < 1.0:
        msg = f"u must lie in [0, 1), got {u}"
        raise AnalysisError(msg)
    times, source = checked_times(times), prepared(x, noise)
    star, length = times[0] + u * (times[-1] - times[0]), times[-1] - times[0]
    n = max(k for k, (a, _) in enumerate(pairwise(times)) if a <= star)
    if n:
        x = solve(sde, pair[1], times[: n + 1], x, noise=source).x
    a, b = times[n], times[n + 1]
    widest = pair[1] if pair[1].needs_area else pair[0]
    cell = drawn(sde, widest, source, a, b, x, step=n + 1)
    return local_error(sde, pair, cell, x.detach()) * (length / (b - a))
