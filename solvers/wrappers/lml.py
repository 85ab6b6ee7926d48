"""LML: the noise direction turned by a Levenberg-Marquardt step, then given its length back.

Wang et al. 2025, arXiv:2505.24222. The Hessian of the log density is replaced by an outer product
plus damping, ``(lam I + e e^T)``, with ``e = (1 - kappa) g + kappa g'`` of the present direction g
and the last one g'. By Sherman & Morrison ::

    lam (lam I + e e^T)^{-1} g = g - e <e, g>/(lam + |e|^2)

and the result is rescaled to ``|g|``; inner products over all coordinates of a sample. Here the
damping is called ``damping``: lam is the half log-SNR.

What that is: with ``d = g - g'`` and its part ``d_perp`` orthogonal to e, exactly ::

    g  ->  |g| normalised(g + c d_perp),      c = kappa |e|^2/damping

a norm-preserving tangential extrapolation, and the identity at ``kappa = 0``, which is the default
of the public code. The two terms of the Sherman-Morrison line agree to ``damping/|e|^2``: in
float32 with 3072 coordinates and the code's damping of 1e-3 they cancel to rounding noise, which
rescaling then blows up. :func:`lml_direction` has the cancellation removed by hand;
:func:`lml_direction_published` is the line as coded.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from ..batch import inner
from ..checks import check_finite, check_state
from ..errors import InvalidGridError, InvalidPlanError
from ..given import real_number
from ..grids import Grid
from ..model import Model
from ..process import Process
from ..registry import Sampler, register
from ..stepper import StepperRun
from .wrapping import ask

Turn = Callable[[Tensor, Tensor | None], Tensor]
"""``(direction, last direction) -> turned direction``."""


def lml_direction(
    direction: Tensor, last: Tensor | None, *, kappa: float = 0.0, damping: float = 1.0
) -> Tensor:
    """The turned direction, (B, *D), without cancellation; the identity at ``kappa = 0``.

    ``damping g + kappa (|e|^2 d - e <e, d>)`` with ``d = g - g'``, rescaled to ``|g|``.

    Raises
    ------
    InvalidPlanError
        If the damping is not positive, or kappa not in [0, 1).
    """
    _check(kappa, damping)
    if last is None or kappa == 0.0:
        return direction
    d = direction - last
    e = direction - kappa * d
    # divided by |e|^2 + damping, so that nothing overflows in float32
    size = inner(e, e)
    total = size + damping
    turned = damping / total * direction + kappa * (size / total * d - e * (inner(e, d) / total))
    return _rescaled(turned, direction)


def lml_direction_published(
    direction: Tensor, last: Tensor | None, *, kappa: float = 0.0, damping: float = 1.0
) -> Tensor:
    """The same in the order of operations of the public code: ``g - e <g, e>/(damping + |e|^2)``.

    Equal to :func:`lml_direction` in exact arithmetic; its relative rounding error is about the
    unit of the dtype times ``|g|^2/damping``.
    """
    _check(kappa, damping)
    e = direction if last is None else kappa * last + (1 - kappa) * direction
    return _rescaled(direction - e * inner(direction, e) / (damping + inner(e, e)), direction)


def _rescaled(turned: Tensor, direction: Tensor) -> Tensor:
    """``turned`` with the norm of ``direction``; a direction that vanished stays as it was."""
    size = inner(turned, turned).sqrt()
    safe = torch.where(size > 0, size, torch.ones_like(size))
    return torch.where(size > 0, turned * (inner(direction, direction).sqrt() / safe), direction)


def tangential(direction: Tensor, last: Tensor, c: float) -> Tensor:
    """``|g| normalised(g + c d_perp)``, d_perp the part of ``g - g'`` orthogonal to g.

    What :func:`lml_direction` is for small kappa, with ``c = kappa |g|^2/damping``.
    """
    d = direction - last
    size = inner(direction, direction)
    safe = torch.where(size > 0, size, torch.ones_like(size))
    return _rescaled(direction + c * (d - direction * (inner(direction, d) / safe)), direction)


def _check(kappa: float, damping: float) -> None:
    kappa, damping = real_number(kappa, "kappa"), real_number(damping, "the damping")
    if not 0 <= kappa < 1 or not 0 < damping < math.inf:
        msg = f"LML needs 0 <= kappa < 1 and damping > 0, got {kappa} and {damping}"
        raise InvalidPlanError(msg)


def _turn(kappa: float, damping: float) -> Turn:
    _check(kappa, damping)
    return partial(lml_direction, kappa=kappa, damping=damping)


def ddim_turned(model: Model, grid: Grid, x: Tensor, turn: Turn) -> StepperRun:
    """DDIM with its noise turned: ``x_t = alpha_t D + sigma_t turn(eps, last eps)``.

    ``model`` is a noise prediction, asked once a step. As published, D is made of the noise as it
    was, so a turn that does not vanish with h is an error O(1) in all and not O(h).
    """
    check_state(x, "x")
    if grid[0].alpha == 0:
        msg = f"LML asks for the noise prediction and cannot start at alpha = 0, t = {grid[0].t}"
        raise InvalidGridError(msg)
    last: Tensor | None = None
    with torch.no_grad():
        for i, (s, t) in enumerate(grid.steps(), 1):
            eps = ask(model, x, s, i)
            ratio = math.exp(t.log_alpha - s.log_alpha)
            x = ratio * (x - s.sigma * eps) + t.sigma * turn(eps, last)
            last = eps
    check_finite(x, "the sample", range(len(x)))
    return StepperRun(x, len(grid), len(grid), 0)


def dpmpp_2m_turned(model: Model, grid: Grid, x: Tensor, turn: Turn) -> StepperRun:
    """DPM-Solver++(2M) with its increment turned against the last one, as in the public code.

    ``x_t = (sigma_t/sigma_s) x + turn(i, last i)``, ``i = alpha_t (1 - e^{-h}) [D_0 + (D_0 -
    D_1)/(2r)]``; ``model`` is a data prediction. A step to ``sigma = 0`` is D, not turned.
    """
    check_state(x, "x")
    nodes, last, old = grid.nodes, None, None
    with torch.no_grad():
        for i, (s, t) in enumerate(grid.steps(), 1):
            data = ask(model, x, s, i)
            if t.sigma == 0:
                x = t.alpha * data
                break
            aim = data
            if old is not None and nodes[i - 2].alpha > 0:
                r = (s.lam - nodes[i - 2].lam) / (t.lam - s.lam)
                aim = data + (data - old) / (2 * r)
            step = t.alpha * -math.expm1(s.lam - t.lam) * aim
            x = math.exp(t.log_sigma - s.log_sigma) * x + turn(step, last)
            last, old = step, data
    check_finite(x, "the sample", range(len(x)))
    return StepperRun(x, len(grid), len(grid), 0)


def ddim_lml(
    model: Model,
    process: Process,
    grid: Grid,
    x: Tensor,
    *,
    noise: object = None,
    kappa: float = 0.0,
    damping: float = 1.0,
) -> StepperRun:
    """DDIM with LML; DDIM itself at the published default ``kappa = 0``."""
    del process, noise
    return ddim_turned(model, grid, x, _turn(kappa, damping))


def dpmpp_2m_lml(
    model: Model,
    process: Process,
    grid: Grid,
    x: Tensor,
    *,
    noise: object = None,
    kappa: float = 0.05,
    damping: float = 1.0,
) -> StepperRun:
    """DPM-Solver++(2M) with LML on its increments."""
    del process, noise
    return dpmpp_2m_turned(model, grid, x, _turn(kappa, damping))


_SOURCE = "Wang et al. 2025, arXiv:2505.24222"
for _build, _order, _prediction, _note in (
    (
        ddim_lml, 1, "noise",
        "DDIM with a Levenberg-Marquardt direction; DDIM itself at kappa = 0, no order beyond.",
    ),
    (
        dpmpp_2m_lml, 2, "data",
        "DPM-Solver++(2M) with a Levenberg-Marquardt turn of its increments, kappa = 0.05.",
    ),
):  # fmt: skip
    register(
        Sampler(
            name=_build.__name__, build=_build, kind="stepper", prediction=_prediction,
            nfe=lambda n: n, order=_order, order_cold=_order, family="LML", source=_SOURCE,
            note=_note,
        )
    )  # fmt: skip
