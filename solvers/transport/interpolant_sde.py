r"""The SDEs of a stochastic interpolant: one law at every u, whatever the noise ``epsilon(u)``.

From the velocity b and the score s of the law of x_u, for every function ``epsilon(u) >= 0``::

    dX = (b + epsilon s) du + sqrt(2 epsilon) dW               from u = 0 to u = 1
    dX = (b - epsilon s) du + sqrt(2 epsilon) dW backward      from u = 1 to u = 0

both with the law of x_u at every u, if they start in it. They are equations for
:mod:`fokker.solvers.sde`; time increases there, so the second one runs in the clock ``r = 1 - u``
with the drift ``-(b - epsilon s)``. The noise is additive, and varies with u as epsilon does.

epsilon costs steps (the drift is as stiff as ``epsilon s``) and buys stability against a wrong b;
see ``analysis/interpolant_error.py``. Where the score is large at an end, a profile that vanishes
there helps. But the root of ``u (1 - u)`` has no derivative at the ends, which costs methods whose
laws converge as ``h^2`` a factor ``log(1/h)``; ``(u (1 - u))^2`` costs nothing.

Albergo, Boffi & Vanden-Eijnden 2023, arXiv:2303.08797, sec. 2.3. epsilon is half the squared
diffusion; it is not eta, which is relative to the noise of a diffusion process.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor

from ..errors import InvalidProcessError
from ..sde.problem import SDE
from .as_flow import Velocity

Profile = Callable[[float], float]
"""``epsilon(u)``, finite and not negative on [0, 1]."""


def constant(size: float) -> Profile:
    """The same epsilon at every u.

    Raises
    ------
    InvalidProcessError
        If it is negative or not finite.
    """
    _checked(size, "epsilon")
    return lambda _u: size


def bump(size: float, power: float = 1.0) -> Profile:
    """``size (4 u (1 - u))^power``: epsilon vanishes at both ends, is ``size`` in the middle.

    Raises
    ------
    InvalidProcessError
        If the size is negative or not finite, or the power is not positive.
    """
    _checked(size, "epsilon")
    if not 0.0 < power < math.inf:
        msg = f"the power of a profile must be positive and finite, got {power}"
        raise InvalidProcessError(msg)
    return lambda u: size * (4.0 * u * (1.0 - u)) ** power


def forward_sde(velocity: Velocity, score: Velocity, epsilon: float | Profile) -> SDE:
    """``dX = (b + epsilon s) du + sqrt(2 epsilon) dW`` on [0, 1].

    Parameters
    ----------
    velocity, score : callable
        ``b(x, u)`` and ``s(x, u)``, each of the shape of x.
    epsilon : float or callable
        A number, or a :data:`Profile`.

    Raises
    ------
    InvalidProcessError
        When solved: if epsilon is negative or not finite, or u leaves [0, 1].

    Examples
    --------
    >>> import torch
    >>> sde = forward_sde(lambda x, u: 0 * x, lambda x, u: -x, 0.5)  # N(0, 1) at rest
    >>> sde.f(0.3, torch.ones(1, 1)).item(), float(sde.g(0.3, torch.ones(1, 1)))
    (-0.5, 1.0)
    """
    return _sde(velocity, score, epsilon, ahead=True)


def backward_sde(velocity: Velocity, score: Velocity, epsilon: float | Profile) -> SDE:
    """``b - epsilon s`` run from u = 1 to 0, in the clock ``r = 1 - u``; see :func:`forward_sde`.

    The drift in r is ``-(b - epsilon s)``: the sign of b turns, that of the score does not.
    """
    return _sde(velocity, score, epsilon, ahead=False)


def _sde(velocity: Velocity, score: Velocity, epsilon: float | Profile, *, ahead: bool) -> SDE:
    profile = epsilon if callable(epsilon) else constant(epsilon)

    def clock(time: float) -> float:
        u = time if ahead else 1.0 - time
        if not -1e-9 <= u <= 1.0 + 1e-9:
            msg = f"an interpolant lives on [0, 1], got the time {time}"
            raise InvalidProcessError(msg)
        return min(max(u, 0.0), 1.0)  # t + h of the last step may round to above 1

    def drift(time: float, x: Tensor) -> Tensor:
        u = clock(time)
        noise = _checked(profile(u), f"epsilon({u:g})")
        b = velocity(x, u) if ahead else -velocity(x, u)
        return b + noise * score(x, u) if noise else b

    def diffusion(time: float, _x: Tensor) -> float:
        u = clock(time)
        return math.sqrt(2.0 * _checked(profile(u), f"epsilon({u:g})"))

    return SDE(drift, diffusion, noise="additive")


def _checked(value: float, name: str) -> float:
    if not 0.0 <= value < math.inf:
        msg = f"{name} must be finite and not negative, got {value}"
        raise InvalidProcessError(msg)
    return value
