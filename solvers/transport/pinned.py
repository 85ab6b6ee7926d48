r"""A linear reference pinned at both ends: its law at a time, and exact paths.

Between s and 1 let the reference have the transition ``(Phi, b, Q)`` over [s, t] and
``(Phi', b', Q')`` over [t, 1]. Given ``X_s = x`` and ``X_1 = z``, the law of X_t is Gaussian with

    precision  Lambda = Q^{-1} + Phi'^T Q'^{-1} Phi'
    mean       Lambda^{-1} (Q^{-1} (Phi x + b) + Phi'^T Q'^{-1} (z - b'))

a sum of positive matrices, so that nothing cancels near either end. A path at several times is
drawn step by step: its law is exact at all of them together, whatever the times.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import InvalidLawError, ShapeError
from .reference import LinearReference


class Pin(NamedTuple):
    """``X_t = start X_s + end X_1 + shift + N(0, cov)``; shapes (d, d), (d, d), (d,), (d, d)."""

    start: Tensor
    end: Tensor
    shift: Tensor
    cov: Tensor


def pin(reference: LinearReference, t: float, s: float = 0.0) -> Pin:
    """The law of X_t given X_s and X_1, for ``s < t < 1``.

    Raises
    ------
    InvalidLawError
        If ``0 <= s < t < 1`` fails.

    Examples
    --------
    >>> from fokker.solvers.transport.reference import brownian
    >>> law = pin(brownian(1), 0.25)
    >>> [round(float(v), 12) for v in (law.start, law.end, law.cov)]
    [0.75, 0.25, 0.1875]
    """
    if not 0.0 <= s < t < 1.0:
        msg = f"a pinned motion is asked for 0 <= s < t < 1, got s = {s} and t = {t}"
        raise InvalidLawError(msg)
    step, rest = reference.transition(t - s), reference.transition(1.0 - t)
    back = torch.linalg.inv(step.cov)
    pull = torch.linalg.solve(rest.cov, rest.phi).mT
    cov = torch.linalg.inv(back + pull @ rest.phi)
    cov = (cov + cov.mT) / 2
    shift = cov @ (back @ step.shift - pull @ rest.shift)
    return Pin(cov @ back @ step.phi, cov @ pull, shift, cov)


def checked_times(times: Sequence[float]) -> tuple[float, ...]:
    """Increasing times in [0, 1].

    Raises
    ------
    InvalidLawError
        If there are none, they do not increase, or one is outside.
    """
    out = tuple(float(u) for u in times)
    inside = all(0.0 <= u <= 1.0 for u in out)  # false for NaN too
    if not out or not inside or any(v <= u for u, v in pairwise(out)):
        words = ", ".join(f"{u:g}" for u in out) or "none"
        msg = f"times must increase and lie in [0, 1], got {words}"
        raise InvalidLawError(msg)
    return out


def pinned_paths(
    reference: LinearReference, x0: Tensor, x1: Tensor, times: Sequence[float], z: Tensor
) -> Tensor:
    """Paths of the reference from x0 to x1 at the given times, (n, T, d); exact in law.

    Parameters
    ----------
    reference : LinearReference
        Of dimension d.
    x0, x1 : Tensor
        Ends, (n, d) float64 each.
    times : sequence of float
        T increasing times in [0, 1]; at 0 and 1 the paths are at their ends.
    z : Tensor
        Standard normal numbers (n, T, d): one row of them makes one path.

    Raises
    ------
    InvalidLawError
        If the times do not increase in [0, 1].
    ShapeError
        If shapes do not fit.
    """
    times = checked_times(times)
    wanted = (len(x0), len(times), reference.dim)
    if not x0.shape == x1.shape == (wanted[0], wanted[2]) or z.shape != wanted:
        shapes = ", ".join(str(tuple(v.shape)) for v in (x0, x1, z))
        msg = f"x0 and x1 must be (n, {wanted[2]}), z (n, {wanted[1]}, {wanted[2]}), got {shapes}"
        raise ShapeError(msg)
    out, x, s = [], x0, 0.0
    for k, u in enumerate(times):
        if 0.0 < u < 1.0:
            law = pin(reference, u, s)
            noise = z[:, k] @ torch.linalg.cholesky(law.cov).mT
            x = x @ law.start.mT + x1 @ law.end.mT + law.shift + noise
            s = u
        out.append(x1 if u == 1.0 else x)
    return torch.stack(out, 1)


def noise_of(epsilon: float) -> float:
    """``sigma`` with ``epsilon = 2 sigma^2``: Brownian noise whose static bridge is entropic.

    Raises
    ------
    InvalidLawError
        If epsilon is not positive and finite.
    """
    if not 0.0 < epsilon < math.inf:
        msg = f"epsilon must be positive and finite, got {epsilon}"
        raise InvalidLawError(msg)
    return math.sqrt(0.5 * epsilon)
