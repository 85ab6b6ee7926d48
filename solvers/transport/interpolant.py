r"""Stochastic interpolants ``x_u = alpha x_0 + beta x_1 + gamma z``: coefficients and conversions.

u runs from 0 (``x_0``, alpha = 1) to 1 (``x_1``, beta = 1); z ~ N(0, I) is independent of the pair
of ends, which may be coupled. With ``D_0 = E[x_0|x]``, ``D_1 = E[x_1|x]`` and the score s::

    x = alpha D_0 + beta D_1 - gamma^2 s                      E[z|x] = -gamma s
    b = alpha' D_0 + beta' D_1 - gamma gamma' s               velocity of the ODE
    b + eps s, noise sqrt(2 eps) dW                           SDE run from 0 to 1
    b - eps s, noise sqrt(2 eps) dW, u decreasing             SDE run from 1 to 0

all three with the same marginals, for every ``eps(u) >= 0``. The coefficients are held as
``gamma^2`` and ``gamma gamma'``: for ``gamma = sqrt(2 u (1 - u))`` the derivative of gamma is
infinite at both ends, and ``gamma gamma' = 1 - 2u``.

Albergo, Boffi & Vanden-Eijnden 2023, arXiv:2303.08797. Not to be confused with the convention of
diffusion models here: there alpha belongs to the data and time runs from data to noise.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from ..errors import InvalidProcessError


class Coefficients(NamedTuple):
    """``alpha, beta, gamma^2``, derivatives of the first two, and ``gamma gamma'``, at one u."""

    alpha: float
    beta: float
    gamma2: float
    d_alpha: float
    d_beta: float
    gamma_d_gamma: float


@dataclass(frozen=True)
class Interpolant:
    """An interpolant: a name and its coefficients as a function of u in [0, 1].

    Parameters
    ----------
    name : str
        Shown in figures and messages.
    coefficients : callable
        ``u -> Coefficients``.
    mirrored : bool
        Whether x_1 stands at both ends, and x_0 nowhere.
    from_noise : bool
        Whether z stands at u = 0, and x_0 nowhere.

    Raises
    ------
    InvalidProcessError
        If at u = 0 or u = 1 the coefficients are not those of an end (alpha or beta 1, the others
        0), or are not finite.
    """

    name: str
    coefficients: Callable[[float], Coefficients]
    mirrored: bool = False
    from_noise: bool = False

    def __post_init__(self) -> None:
        wanted = {0.0: (1.0, 0.0, 0.0), 1.0: (0.0, 1.0, 0.0)}
        if self.mirrored:
            wanted[0.0] = (0.0, 1.0, 0.0)
        if self.from_noise:
            wanted[0.0] = (0.0, 0.0, 1.0)
        for u, ends in wanted.items():
            found = self.coefficients(u)
            gap = max(abs(a - b) for a, b in zip(found[:3], ends, strict=True))
            if not gap < 1e-12 or not all(map(math.isfinite, found)):
                msg = (
                    f"{self.name} at u = {u:g} must have (alpha, beta, gamma^2) = {ends}, "
                    f"got {tuple(found)}"
                )
                raise InvalidProcessError(msg)

    def at(self, u: float) -> Coefficients:
        """Coefficients at u.

        Raises
        ------
        InvalidProcessError
            If u is not in [0, 1].
        """
        if not 0.0 <= u <= 1.0:
            msg = f"the time u of an interpolant must be in [0, 1], got {u}"
            raise InvalidProcessError(msg)
        return self.coefficients(float(u))

    def state(self, first: Tensor, last: Tensor, z: Tensor, u: float) -> Tensor:
        """``alpha x_0 + beta x_1 + gamma z``, of the shape of its arguments."""
        c = self.at(u)
        return c.alpha * first + c.beta * last + math.sqrt(c.gamma2) * z

    def velocity(self, first: Tensor, last: Tensor, score: Tensor, u: float) -> Tensor:
        """``b`` from ``D_0``, ``D_1`` and the score at one point."""
        c = self.at(u)
        return c.d_alpha * first + c.d_beta * last - c.gamma_d_gamma * score


def linear(scale: float = math.sqrt(2.0)) -> Interpolant:
    """``1 - u``, ``u``, ``gamma = scale sqrt(u (1 - u))``: Brownian bridges of that strength."""
    q = scale**2

    def at(u: float) -> Coefficients:
        return Coefficients(1 - u, u, q * u * (1 - u), -1.0, 1.0, q * (0.5 - u))

    return Interpolant("linear", at)


def straight() -> Interpolant:
    """``1 - u``, ``u``, no noise: rectified flow, flow matching. It defines no score."""
    return Interpolant("straight", lambda u: Coefficients(1 - u, u, 0.0, -1.0, 1.0, 0.0))


def trigonometric(scale: float = math.sqrt(2.0)) -> Interpolant:
    """``cos(pi u/2)``, ``sin(pi u/2)``, ``gamma = scale sqrt(u (1 - u))``."""
    q = scale**2

    def at(u: float) -> Coefficients:
        cos, sin = _circle(u)
        half = 0.5 * math.pi
        return Coefficients(cos, sin, q * u * (1 - u), -half * sin, half * cos, q * (0.5 - u))

    return Interpolant("trigonometric", at)


def smooth() -> Interpolant:
    """``cos(pi u/2)``, ``sin(pi u/2)``, ``gamma = sin^2(pi u)``, smooth at both ends."""

    def at(u: float) -> Coefficients:
        cos, sin = _circle(u)
        half = 0.5 * math.pi
        g, dg = _bump(u)
        return Coefficients(cos, sin, g * g, -half * sin, half * cos, g * dg)

    return Interpolant("smooth", at)


def encoder_decoder() -> Interpolant:
    """``cos^2(pi u)`` on both sides of the middle, ``gamma = sin^2(pi u)``: noise at u = 1/2."""

    def at(u: float) -> Coefficients:
        cos2 = math.cos(math.pi * u) ** 2
        rate = -math.pi * math.sin(2 * math.pi * u)
        g, dg = _bump(u)
        before = u < 0.5
        a, b = (cos2, 0.0) if before else (0.0, cos2)
        da, db = (rate, 0.0) if before else (0.0, rate)
        return Coefficients(a, b, g * g, da, db, g * dg)

    return Interpolant("encoder-decoder", at)


def mirror(scale: float = math.sqrt(2.0)) -> Interpolant:
    """``x_1 + scale sqrt(u (1 - u)) z``: from a law to itself, through noise."""
    q = scale**2

    def at(u: float) -> Coefficients:
        return Coefficients(0.0, 1.0, q * u * (1 - u), 0.0, 0.0, q * (0.5 - u))

    return Interpolant("mirror", at, mirrored=True)


def one_sided() -> Interpolant:
    """``u x_1 + (1 - u^2)^{1/2} z``: noise is the first end, as in a diffusion; x_0 is not used.

    ``gamma gamma' = -u`` is finite at u = 1, where gamma' is not. It preserves the variance of a
    law of variance 1.
    """

    def at(u: float) -> Coefficients:
        return Coefficients(0.0, u, 1.0 - u * u, 0.0, 1.0, -u)

    return Interpolant("one-sided", at, from_noise=True)


def _circle(u: float) -> tuple[float, float]:
    """Cosine and sine of a quarter turn, exact at its ends."""
    if u == 1.0:
        return 0.0, 1.0
    return math.cos(0.5 * math.pi * u), math.sin(0.5 * math.pi * u)


def _bump(u: float) -> tuple[float, float]:
    """``sin^2(pi u)`` and its derivative."""
    if u in (0.0, 1.0):
        return 0.0, 0.0
    return math.sin(math.pi * u) ** 2, math.pi * math.sin(2 * math.pi * u)
