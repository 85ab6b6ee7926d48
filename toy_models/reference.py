"""Reference solutions of the probability-flow ODE for laws without a closed flow map."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from ..solvers.errors import FokkerError, InvalidLawError
from .checks import Level, level
from .law import Denoiser


class ReferenceFlow(NamedTuple):
    """A reference solution and the largest difference of two independent computations of it."""

    x: Tensor
    error: float


def reference_flow(
    law: Denoiser, x: Tensor, start: Level, end: Level, *, tolerance: float = 1e-10
) -> ReferenceFlow:
    r"""Carry x from level ``start`` to ``end`` by the probability-flow ODE, to high accuracy.

    x/alpha depends on the levels only through ``lam``, so no process is needed. Two clocks are
    used, each regular at its end of the noise: ``z = x/sigma`` with ``dz/dnu = D``, ``nu =
    alpha/sigma``, on the noisy side, and ``y = x/alpha`` with ``dy/dq = -score/2`` at ``alpha = 1,
    sigma^2 = q``, on the clean side. So ``alpha = 0`` at the start and, for a law with a density,
    ``sigma = 0`` at the end are allowed. Solved twice by DOP853 (Hairer, Norsett, Wanner 1993) in
    float64 on the host: with rtol 1e-12 and the clocks meeting at ``sigma = alpha``, and with rtol
    1e-11 and the clocks meeting at ``sigma = alpha/e``, which tests tolerance, D against the
    score, and clocks at once.

    Parameters
    ----------
    law : Denoiser
        Anything with a denoiser and a score, also a perturbed one.
    x : Tensor
        States at ``start``, (B, d).
    start, end : (float, float)
        ``(alpha, sigma)``.
    tolerance : float
        Largest accepted difference of the two solutions, times ``max(1, |x|)``.

    Returns
    -------
    ReferenceFlow
        The first solution, with dtype and device of x, and the difference (absolute, largest).

    Raises
    ------
    FokkerError
        If a solution fails, or the two differ by more than the tolerance.
    """
    (a0, s0), (a1, s1) = level(start, "start"), level(end, "end")
    for name, alpha, sigma in (("start", a0, s0), ("end", a1, s1)):
        if alpha > 0 and sigma / alpha < 1e-150 and sigma > 0:
            msg = f"{name} has sigma/alpha = {sigma / alpha}, below 1e-150"
            raise InvalidLawError(msg)
    exact = law.to(device="cpu", dtype=torch.float64)
    first, second = (
        _solve(exact, x.detach().to("cpu", torch.float64), (a0, s0), (a1, s1), rtol, meet)
        for rtol, meet in ((1e-12, 1.0), (1e-11, np.exp(1.0)))
    )
    error = float((first - second).abs().max()) if first.numel() else 0.0
    if not error <= tolerance * max(1.0, float(first.abs().max()) if first.numel() else 1.0):
        msg = f"two reference solutions differ by {error}, more than the tolerance {tolerance}"
        raise FokkerError(msg)
    return ReferenceFlow(first.to(x), error)


def _solve(law: Denoiser, x: Tensor, start: Level, end: Level, rtol: float, meet: float) -> Tensor:
    """One solution; the clocks meet at ``alpha/sigma = meet``."""
    (a0, s0), (a1, s1) = start, end
    noisy0, noisy1 = a0 <= meet * s0, a1 <= meet * s1
    nu0, nu1 = (a / s if near else meet for a, s, near in ((a0, s0, noisy0), (a1, s1, noisy1)))
    q0, q1 = (
        meet**-2 if near else (s / a) ** 2 for a, s, near in ((a0, s0, noisy0), (a1, s1, noisy1))
    )
    if noisy0:
        z = _integrate(_denoise(law), x / s0, nu0, nu1, rtol)
        return z * s1 if noisy1 else _integrate(_heat(law), z / meet, q0, q1, rtol) * a1
    y = _integrate(_heat(law), x / a0, q0, q1, rtol)
    return _integrate(_denoise(law), y * meet, nu0, nu1, rtol) * s1 if noisy1 else y * a1


def _denoise(law: Denoiser) -> Callable[[float, Tensor], Tensor]:
    """``dz/dnu = D`` at sigma = 1, alpha = nu."""
    return lambda nu, z: law.denoiser(z, nu, 1.0)


def _heat(law: Denoiser) -> Callable[[float, Tensor], Tensor]:
    """``dy/dq = -score/2`` at alpha = 1, sigma^2 = q."""
    return lambda q, y: -0.5 * law.score(y, 1.0, max(q, 0.0) ** 0.5)


def _integrate(
    rate: Callable[[float, Tensor], Tensor], x: Tensor, begin: float, end: float, rtol: float
) -> Tensor:
    if begin == end or x.numel() == 0:
        return x

    def field(clock: float, flat: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return rate(clock, torch.from_numpy(flat).reshape(x.shape)).reshape(-1).numpy()

    done = solve_ivp(
        field,
        (begin, end),
        x.reshape(-1).numpy(),
        method="DOP853",
        rtol=rtol,
        atol=0.1 * rtol,
        t_eval=[end],
    )
    if not done.success:
        msg = f"the reference solution failed between clocks {begin} and {end}: {done.message}"
        raise FokkerError(msg)
    return torch.from_numpy(done.y[:, -1].copy()).reshape(x.shape)
