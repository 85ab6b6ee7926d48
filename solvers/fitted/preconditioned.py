r"""Gaussian-preconditioned exponential Adams: the flow of a Gaussian exactly, the rest by Adams.

Along a direction u_k of the data covariance with variance c^2 the probability-flow ODE is ::

    z_t = sqrt(v_t/v_s) z_s + sqrt(v_t) int_s^t alpha/sqrt(v) R dlam,   v = alpha^2 c^2 + sigma^2

with ``z = <u_k, x - alpha m>`` and the *residual* ``R = <u_k, D - D_Gauss>``, D minus the data
prediction of N(m, C). R is what is interpolated through older nodes. With c = 0 this is the data
prediction, ``R = D - m``; with c -> inf the weight is flat, plain Adams in lam. It is the free
linear part of the exact solution chosen as a matrix, the denoiser's own slope at the mean.

For the Gaussian of the statistics R = 0: one step of any length is exact. Any statistics give a
consistent method, so the order is that of the number of nodes.

Not DPM-Solver-v3, whose l is diagonal in pixels and an average over x; here it is diagonal in the
eigenbasis of the data and needs no model to be fitted, only data.

Source: exponential integrators with a free linear part, Hochbruck & Ostermann 2010, Acta Numerica
19, sec. 2.5; the Gaussian part as in Wang & Vastola 2024, arXiv:2412.09726.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..asking import asked
from ..errors import InvalidPlanError
from ..given import whole_number
from ..grids import Grid
from ..model import Model
from ..noise import NoiseSource
from ..plan import Plan, Tape
from ..process import Array, Node, Process
from ..quadrature import lagrange, panel_rule
from ..registry import sampler
from ..run import run
from ..stepper import StepperRun
from .moments import GaussianStatistics, checked

Output = tuple[int, int, Node]
"""State, model output, node."""


def _spread(variances: Array, node: Node) -> Array:
    return node.alpha**2 * variances + node.sigma**2


def residual_weights(variances: Array, s: Node, t: Node, nodes: Sequence[Node]) -> Array:
    """``sqrt(v_t) int_s^t alpha/sqrt(v) l_j(lam) dlam``, shape (nodes, *variances.shape).

    ``alpha/sqrt(v) = e^lam/sqrt(1 + c^2 e^{2 lam})``: nothing overflows that is used.
    """
    h = t.lam - s.lam
    u, w = panel_rule(4.0 * h)  # the kernel bends over a unit of lam, where c e^lam is about 1
    lam = s.lam + h * u
    up = np.exp(lam - t.lam).reshape(-1, *([1] * variances.ndim))  # e^{lam - lam_t} <= 1
    scale = variances * math.exp(2 * t.lam)
    kernel = up * np.sqrt((1.0 + scale) / (1.0 + scale * up**2))
    basis = lagrange([(node.lam - s.lam) / h for node in nodes], u)
    # sqrt(v_t) alpha/sqrt(v) = alpha_t kernel, since sqrt(v) = sigma sqrt(1 + c^2 e^{2 lam})
    return t.alpha * h * np.einsum("jn,n,n...->j...", basis, w, kernel)


def _weight(a: Array) -> Any:
    return float(a) if np.ndim(a) == 0 else np.asarray(a)


def preconditioned_adams(
    process: Process,
    grid: Grid,
    *,
    order: int,
    variances: Any = 0.0,
    history: Sequence[Node] = (),
) -> Plan:
    """The plan in the frame of the statistics: mean 0, coordinates along eigenvectors.

    Parameters
    ----------
    order : int
        Largest number of residuals in a row, k. A start by the orders 1, 2, ... would cap the
        order at 2: steps with fewer than k - 1 residuals are therefore corrected, as in UniPC,
        with the output at their predicted end, which the next step needs anyway.
    variances : float or array
        c^2 of each coordinate, broadcastable to a state; 0 is exponential Adams on the data
        prediction.
    history : sequence of Node
        Nodes of exact history, newest first: inputs ``m-1``, ... and the states ``x-1``, ...

    Raises
    ------
    InvalidPlanError
        For an order below 1 or a variance that is negative or not finite.
    """
    del process  # the nodes of the grid carry all coefficients
    c2 = np.asarray(variances, dtype=np.float64)
    if whole_number(order, "the order") < 1 or not (np.isfinite(c2).all() and (c2 >= 0).all()):
        msg = f"need order >= 1 and finite variances >= 0, got {order} and {variances}"
        raise InvalidPlanError(msg)
    tape = Tape()
    x = tape.input("x", grid[0])
    past: list[Output] = [
        (tape.input(f"x-{j}", node), tape.input(f"m-{j}", node, "data"), node)
        for j, node in enumerate(history[: order - 1], 1)
    ]
    asked = x  # where the model is asked for the output at s
    for i, (s, t) in enumerate(grid.steps()):
        past = [(asked, tape.eval(asked, s, "data"), s), *past][:order]
        asked = end = _row(tape, c2, s, t, x, past)
        inner = i < len(grid) - 1 and s.alpha > 0.0 and t.sigma > 0.0
        if inner and order > len(past) + 1:
            new = (end, tape.eval(end, t, "data"), t)
            end = _row(tape, c2, s, t, x, [new, *past])
        x = tape.mark(end, t)
    handed: dict[str, int] = {}
    for j, (state, m, _) in enumerate(past[: max(1, order - 1)], 1):
        handed |= {f"m-{j}": m, f"x-{j}": state}
    return tape.plan(x=x, **handed)


def _row(tape: Tape, c2: Array, s: Node, t: Node, x: int, past: Sequence[Output]) -> int:
    """``x_t = sqrt(v_t/v_s) x + sum_j w_j R_j``, ``R = D - (alpha c^2/v) x``.

    A step to ``sigma = 0`` is ``x = D``; one from ``alpha = 0`` uses the newest output alone.
    """
    if t.sigma == 0.0:
        return tape.lin((past[0][1], t.alpha))
    if s.alpha == 0.0:  # no older output, and R = D there
        return tape.lin(
            (x, _weight(np.sqrt(_spread(c2, t)) / s.sigma)), (past[0][1], _first(c2, t))
        )
    past = [one for one in past if one[2].alpha > 0.0]
    weights = residual_weights(c2, s, t, [node for _, _, node in past])
    terms: list[tuple[int, Any]] = [(x, _weight(np.sqrt(_spread(c2, t) / _spread(c2, s))))]
    for (state, m, node), w in zip(past, weights, strict=True):
        terms.append((m, _weight(w)))
        gain = node.alpha * c2 / _spread(c2, node)
        if np.any(gain):
            terms.append((state, _weight(-w * gain)))
    return tape.lin(*terms)


def _first(c2: Array, t: Node) -> Any:
    """``sqrt(v_t) int_{-inf}^{lam_t} alpha/sqrt(v) dlam = alpha_t asinh(q)/q sqrt(1 + q^2)``."""
    q = np.sqrt(c2) * math.exp(t.lam)
    safe = np.where(q > 0, q, 1.0)
    return _weight(t.alpha * np.where(q > 0, np.arcsinh(safe) / safe, 1.0) * np.sqrt(1 + q * q))


class Frame:
    """Coordinates in which a Gaussian is centred and its covariance diagonal.

    ``z = (U^T (x - alpha m), (I - U U^T)(x - alpha m))``: r coordinates, and d more if U does not
    span the whole space. Linear, so plans commute with it; data become ``x_0 - m``.
    """

    def __init__(self, statistics: GaussianStatistics, like: Tensor) -> None:
        moved = checked(statistics, like)
        self.mean, self.basis = moved.mean.to(like.dtype), moved.basis.to(like.dtype)
        self.shape, self.whole = like.shape[1:], self.basis.shape[0] == self.basis.shape[1]
        along = moved.variances.cpu().numpy()
        rest = np.full(0 if self.whole else self.basis.shape[0], moved.rest)
        self.variances = np.concatenate([along, rest])

    def enter(self, x: Tensor, alpha: float) -> Tensor:
        """A state (B, *D) at signal coefficient ``alpha``, in the frame."""
        flat = x.reshape(len(x), -1) - alpha * self.mean
        inner = flat @ self.basis
        return inner if self.whole else torch.cat([inner, flat - inner @ self.basis.mT], dim=1)

    def leave(self, z: Tensor, alpha: float) -> Tensor:
        """Back to (B, *D)."""
        rank = self.basis.shape[1]
        flat = z[:, :rank] @ self.basis.mT + alpha * self.mean
        flat = flat if self.whole else flat + z[:, rank:]
        return flat.reshape(len(z), *self.shape)

    def model(self, model: Model, process: Process) -> Model:
        """A model of the data prediction, seen in the frame."""

        def seen(z: Tensor, t: Any) -> Tensor:
            x = self.leave(z, process.node(float(t)).alpha)
            return self.enter(asked(model, x, t), 1.0)

        return seen


def fit(
    model: Model,  # noqa: ARG001
    process: Process,  # noqa: ARG001
    grid: Grid,  # noqa: ARG001
    starts: Tensor,  # noqa: ARG001
    *,
    data: Tensor,
    rank: int | None = None,
) -> Mapping[str, Any]:
    """Mean and covariance of ``data`` (n, *D): no evaluation of the model."""
    return {"statistics": GaussianStatistics.from_samples(data, rank)}


def _declare(order: int) -> None:
    @sampler(
        name=f"gauss_ab{order}",
        kind="stepper",
        order=order,
        order_cold=order,
        nfe=lambda n: n,
        prediction="data",
        family="Gaussian theory",
        source="Hochbruck & Ostermann 2010, Acta Numerica 19, with the Gaussian part of "
        "Wang & Vastola 2024, arXiv:2412.09726",
        fit=fit,
        note=f"Gaussian-preconditioned exponential Adams {order}: D minus a Gaussian's D is "
        "interpolated. Unfitted it is exponential Adams on the data prediction.",
    )
    def build(
        model: Model,
        process: Process,
        grid: Grid,
        x: Tensor,
        *,
        noise: NoiseSource | int | None = None,
        statistics: GaussianStatistics | None = None,
    ) -> StepperRun:
        if statistics is None:
            plan = preconditioned_adams(process, grid, order=order)
            return StepperRun(run(plan, model, x, noise=noise).x, plan.nfe, len(grid), 0)
        frame = Frame(statistics, x)
        plan = preconditioned_adams(process, grid, order=order, variances=frame.variances)
        z = run(plan, frame.model(model, process), frame.enter(x, grid[0].alpha), noise=noise).x
        return StepperRun(frame.leave(z, grid[-1].alpha), plan.nfe, len(grid), 0)


for _k in (1, 2, 3):
    _declare(_k)
