"""Exact laws of what solves an SDE numerically, when drift is affine and noise additive.

Then one step of any method of :mod:`fokker.solvers.sde` that carries nothing but x is an affine
map of the state and of its own two noises, ``x' = M x + c + N xi + P zeta``, and a Gaussian stays
one. The map is read off by asking the step itself about unit vectors, so it is the method as it is
programmed, and no sampling error is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from ..solvers.errors import AnalysisError
from ..solvers.sde.inputs import checked_times
from ..solvers.sde.method import Cell, Method
from ..solvers.sde.problem import SDE

TOLERANCE = 1e-9
"""How far from affine a step may be, relative to its size."""


def affine_law(
    sde: SDE, method: Method, times: Sequence[float], mean: Tensor, cov: Tensor
) -> tuple[Tensor, Tensor]:
    """Mean (d,) and covariance (d, d) of the state at the last time, float64.

    Parameters
    ----------
    sde : SDE
        With additive noise and a drift that is affine in x of shape (B, d).
    method : Method
        Any that carries x alone.
    times : sequence of float
        Strictly increasing.
    mean, cov : Tensor
        Of the start, (d,) and (d, d).

    Raises
    ------
    AnalysisError
        If the noise is not additive, the method carries more than x, or a step is not affine.
    """
    method.check(sde)
    if sde.noise != "additive":
        msg = f"an exact law needs additive noise, got {sde.noise} noise"
        raise AnalysisError(msg)
    mean, cov = mean.to(torch.float64), cov.to(torch.float64)
    for a, b in pairwise(checked_times(times)):
        shift, gain, *kicks = _read(sde, method, a, b - a, len(mean))
        mean = gain @ mean + shift
        cov = gain @ cov @ gain.mT
        for kick in kicks:
            cov = cov + kick @ kick.mT
    return mean, (cov + cov.mT) / 2


def _read(sde: SDE, method: Method, t: float, h: float, d: int) -> list[Tensor]:
    """``c, M, N, P`` of one step; one batch of ``3 d + 2`` rows."""
    eye, none = torch.eye(d, dtype=torch.float64), torch.zeros(d, d, dtype=torch.float64)
    far = torch.full((1, d), -3.0, dtype=torch.float64)
    x = torch.cat([none[:1], eye, none, none, far])
    xi = torch.cat([none[:1], none, eye, none, 0 * far])
    zeta = torch.cat([none[:1], none, none, eye, 0 * far])
    state = method.start(sde, t, x)
    if len(state) != 1:
        msg = f"{method.name} carries {len(state)} tensors; exact laws are of methods that carry x"
        raise AnalysisError(msg)
    (out,) = method.step(sde, Cell(t, h, xi, zeta if method.needs_area else None), state)
    shift, rest = out[0], out[1:-1] - out[0]
    gain, kick, area = (part.mT for part in rest.split(d))
    gap = float((out[-1] - shift - far[0] @ gain.mT).abs().max())
    if not gap <= TOLERANCE * (1.0 + float(out.abs().max())):
        msg = f"the step from t = {t:.6g} is not affine in x (by {gap:.2g}): is the drift?"
        raise AnalysisError(msg)
    return [shift, gain, kick, area]
