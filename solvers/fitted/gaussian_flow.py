r"""The probability flow of a Gaussian in closed form, and skipping noise with it (teleportation).

With data N(m, C), ``C = U diag(c_k^2) U^T + r (I - U U^T)`` and ``v = alpha^2 c^2 + sigma^2``::

    x_t = alpha_t m + sum_k u_k sqrt(v_k(t)/v_k(s)) <u_k, x_s - alpha_s m> + (rest, with c^2 = r)
    D   = m + sum_k u_k (alpha c_k^2/v_k) <u_k, x - alpha m> + ...

The rest, orthogonal to U, rotates: with r = 0 it is ``sigma_t/sigma_s`` times what it was. Along
u_k the data prediction grows from 0 to its final value like ``1/sqrt(1 + e^{-2 lam}/c_k^2)``, a
sigmoid in lam: mode k emerges at ``lam = -log c_k``, those of large variance first.

At high noise the denoiser of *any* data is that of their mean and covariance, up to terms of order
``alpha^3`` (third cumulants), so the first steps of a run may be replaced by this flow at no
evaluation. The covariance is that of the data, not of x_t; the level of arrival must be a node of
the grid; a multistep sampler starts afresh there.

Source: Wang & Vastola 2023, arXiv:2303.02490; Wang & Vastola 2024, arXiv:2412.09726.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import InvalidPlanError
from ..given import real_number
from ..grids import Grid
from ..model import Model
from ..noise import NoiseSource
from ..plan_algebra import to_prediction
from ..process import Array, Node, Process
from ..registry import get, sampler
from ..run import run
from ..stepper import StepperRun
from .moments import GaussianStatistics as GaussianStatistics
from .moments import checked


def teleport(x: Tensor, statistics: GaussianStatistics, start: Node, end: Node) -> Tensor:
    """Carry x (B, *D) from ``start`` to ``end`` along the flow of the Gaussian, exactly.

    Computed in float64, returned like x. The end may be the data (``sigma = 0``); a start where
    some variance vanishes has no flow.

    Raises
    ------
    ShapeError
        If x does not flatten to the dimension of the statistics.
    InvalidPlanError
        If the variance at the start is 0 in some direction.
    """
    s = checked(statistics, x)
    flat = x.reshape(len(x), -1).double()
    (before, before_rest), (after, after_rest) = s.spread(start), s.spread(end)
    if min(float(before.min()), before_rest) <= 0.0:
        msg = f"the Gaussian has no width in some direction at lam = {start.lam}: no flow from it"
        raise InvalidPlanError(msg)
    moved = s.scaled(
        flat - start.alpha * s.mean,
        (after / before).sqrt(),
        math.sqrt(after_rest / before_rest),
    )
    return (end.alpha * s.mean + moved).reshape(x.shape).to(x.dtype)


def gaussian_denoiser(x: Tensor, statistics: GaussianStatistics, node: Node) -> Tensor:
    """``E[x_0 | x_t = x]`` of the Gaussian, for x (B, *D).

    Raises
    ------
    ShapeError, InvalidPlanError
        If statistics and x do not fit, or x_t has no width in some direction (at ``sigma = 0``
        nothing is left to predict).
    """
    s = checked(statistics, x)
    v, rest = s.spread(node)
    if min(float(v.min()), rest) <= 0.0:
        msg = f"the Gaussian has no width in some direction at lam = {node.lam}: no denoiser there"
        raise InvalidPlanError(msg)
    flat = x.reshape(len(x), -1).double() - node.alpha * s.mean
    outside = node.alpha * s.rest / rest
    out = s.mean + s.scaled(flat, node.alpha * s.variances / v, outside)
    return out.reshape(x.shape).to(x.dtype)


# -- what a trajectory shows ----------------------------------------------------------------------


def emergence(lams: Array, amplitudes: Array) -> Array:
    """Where each mode has emerged: first lam at which its power is half of its final power.

    Parameters
    ----------
    lams : array
        Increasing, (K,); the last one late enough for the modes to have settled.
    amplitudes : array
        Root mean square over samples of ``<u_k, D - m>``, (K, modes).

    Returns
    -------
    array
        (modes,), by linear interpolation; on N(m, C) it is ``-log c_k`` for every mode whose
        ``c_k e^{lam}`` is large at the end.

    Raises
    ------
    InvalidPlanError
        If an amplitude is not finite, or a mode has no power at the end: it never emerges.
    """
    if not np.isfinite(amplitudes).all():
        msg = "amplitudes must be finite to say where a mode emerges"
        raise InvalidPlanError(msg)
    if not (amplitudes[-1] > 0.0).all():
        msg = f"mode {int(np.argmin(amplitudes[-1]))} has no power at the last lam: no emergence"
        raise InvalidPlanError(msg)
    share = amplitudes**2 / amplitudes[-1] ** 2
    found = []
    for column in share.T:
        k = int(np.argmax(column >= 0.5))
        a, b = (column[k - 1], column[k]) if k else (column[0], column[0])
        step = (0.5 - a) / (b - a) if b > a else 0.0
        found.append(lams[max(k - 1, 0)] + step * (lams[k] - lams[max(k - 1, 0)]))
    return np.array(found)


def plane_share(states: Sequence[Tensor], count: int = 2) -> Tensor:
    """Share of the variance of each trajectory in its first principal components, (B,).

    ``states`` are K states (B, *D) along the trajectories. A trajectory that stands still lies in
    any plane: its share is 1.
    """
    path = torch.stack([x.reshape(len(x), -1).double() for x in states], dim=1)
    singular = torch.linalg.svdvals(path - path.mean(1, keepdim=True))
    power = singular**2
    total = power.sum(1)
    share = power[:, :count].sum(1) / total.clamp_min(torch.finfo(total.dtype).tiny)
    return torch.where(total > 0, share, 1.0)


# -- the sampler ----------------------------------------------------------------------------------


def fit(
    model: Model,  # noqa: ARG001
    process: Process,  # noqa: ARG001
    grid: Grid,  # noqa: ARG001
    starts: Tensor,  # noqa: ARG001
    *,
    data: Tensor,
    lam: float,
    rank: int | None = None,
) -> Mapping[str, Any]:
    """Statistics from ``data`` (n, *D), and the lam up to which the Gaussian flow is taken."""
    return {"statistics": GaussianStatistics.from_samples(data, rank), "lam": lam}


@sampler(
    kind="stepper",
    order=2,
    order_cold=2,
    nfe=lambda n: n,
    prediction="data",
    family="Gaussian theory",
    source="Wang & Vastola 2024, arXiv:2412.09726, sec. 5",
    fit=fit,
    note="Teleportation: the noisiest steps replaced by the closed flow of a Gaussian, then "
    "DPM-Solver++(2M). Unfitted it is that sampler; fitted, its error does not vanish with h.",
)
def teleport_2m(
    model: Model,
    process: Process,
    grid: Grid,
    x: Tensor,
    *,
    noise: NoiseSource | int | None = None,
    statistics: GaussianStatistics | None = None,
    lam: float = -math.inf,
    base: str = "dpmpp_2m",
) -> StepperRun:
    """Jump to the last node at or below ``lam`` by the Gaussian flow, then sample with ``base``.

    Without statistics nothing is skipped. Evaluations are saved: as many as steps are skipped.
    ``base`` is the name of a plan; the model is a data prediction whatever it asks for.

    Raises
    ------
    InvalidPlanError
        If ``base`` is no plan, or ``lam`` not a number.
    ShapeError
        As of :func:`teleport`.
    """
    entry, lam = get(base), real_number(lam, "lam")
    if entry.kind != "plan" or math.isnan(lam):
        msg = f"a teleported run needs a plan and a lam, got the {entry.kind} {base} and {lam}"
        raise InvalidPlanError(msg)
    skipped = 0
    if statistics is not None:
        skipped = sum(node.lam <= lam for node in grid.nodes[1:-1])
        x = teleport(x, statistics, grid[0], grid[skipped]) if skipped else x
    rest = grid.part(skipped, len(grid))
    plan = to_prediction(entry(process, rest), "data")
    return StepperRun(run(plan, model, x, noise=noise).x, plan.nfe, len(rest), 0)
