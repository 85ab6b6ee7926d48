r"""Kinetic energy of Gaussian paths ``x_u = a x_1 + m x_0``, x_0 ~ N(0, I), and the least of it.

The marginal velocity is ``v = E[a' x_1 + m' x_0 | x_u]``. Of the data only one function enters,
the error of the best denoiser, ``mmse(rho) = E|x_1 - E[x_1|x_u]|^2 / E|x_1|^2`` at ``rho = a/m``.
Per dimension, for data with ``E|x_1|^2 = d``::

    E|v|^2/d = a'^2 + m'^2 - w(rho) (a' m - a m')^2/(a^2 + m^2),     w = (1 + rho^2) mmse(rho)

and w is in [0, 1], 1 for N(0, I) (a linear denoiser could not do better) and 0 for points so far
apart that they are always known. Written with w nothing divides by m, which vanishes at the end.

With ``a = r sin th, m = r cos th`` this is ``r'^2 + r^2 Psi'^2``, ``dPsi = (1 - w)^{1/2} dth``: a
flat plane, in which the path of least energy is a chord, and the least energy is
``4 sin^2(Psi/2)``, Psi the whole angle. Shaul, Chen, Nickel, Le & Lipman 2023, arXiv:2306.06626,
whose data separation function is ``1 - mmse``; the reduction to a chord is ours.

Not to be confused with the conditional energy ``int E|a' x_1 + m' x_0|^2``, which the straight
line minimises for any data.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.polynomial import Chebyshev
from numpy.typing import ArrayLike
from scipy.optimize import brentq

from ..errors import InvalidLawError

Mmse = Callable[[float], float]
"""``rho -> mmse`` relative to ``E|x_1|^2``, from 1 or less at 0 to 0."""


class Moment(NamedTuple):
    """A path at one time: ``a, m`` and their derivatives in u."""

    a: float
    m: float
    da: float
    dm: float


Path = Callable[[float], Moment]


def straight(u: float) -> Moment:
    """``a = u, m = 1 - u``: the path of rectified flow (Cond-OT)."""
    return Moment(u, 1.0 - u, 1.0, -1.0)


def trigonometric(u: float) -> Moment:
    """``a = sin(pi u/2), m = cos(pi u/2)``: variance preserving."""
    angle, rate = 0.5 * math.pi * u, 0.5 * math.pi
    sin, cos = math.sin(angle), math.cos(angle)
    return Moment(sin, cos, rate * cos, -rate * sin)


def gaussian_mmse(variances: ArrayLike) -> tuple[Mmse, float]:
    """``mmse(rho)`` of centred Gaussian data with these variances (K,), and ``E|x_1|^2/d``.

    Raises
    ------
    InvalidLawError
        If a variance is negative or not finite, or all are zero.
    """
    v = np.atleast_1d(np.asarray(variances, float))
    if v.ndim != 1 or not np.isfinite(v).all() or v.min() < 0 or v.max() == 0:
        msg = f"variances must be finite, not negative and not all zero, got {v.tolist()}"
        raise InvalidLawError(msg)
    return lambda rho: float((v / (1 + rho * rho * v)).sum() / v.sum()), float(v.mean())


def marginal_energy(path: Path, mmse: Mmse, moment: float = 1.0, nodes: int = 200) -> float:
    """``int_0^1 E|v|^2 du / d`` of a path: the energy of its marginal velocity.

    Parameters
    ----------
    path : callable
        ``u -> Moment``, for instance :func:`straight`.
    mmse : callable
        Of the data, see :data:`Mmse`; rho is a/m in the data's own units.
    moment : float
        ``E|x_1|^2/d`` of the data.
    nodes : int
        Points of Gauss and Legendre in u.

    Raises
    ------
    InvalidLawError
        If the mmse is not in [0, linear bound]: it belongs to other data, or to another moment.
    """
    size = _scale(moment)
    points, weights = np.polynomial.legendre.leggauss(nodes)
    total = 0.0
    for u, weight in zip(0.5 * (points + 1), 0.5 * weights, strict=True):
        a, m, da, dm = path(float(u))
        lost = _share(mmse, a / m, moment) * size**2 * (da * m - a * dm) ** 2
        total += weight * (size**2 * da * da + dm * dm - lost / (size**2 * a * a + m * m))
    return float(total)


def conditional_energy(path: Path, moment: float = 1.0, nodes: int = 200) -> float:
    """``int_0^1 E|a' x_1 + m' x_0|^2 du / d``: what training regresses on."""
    points, weights = np.polynomial.legendre.leggauss(nodes)
    moments = [path(float(u)) for u in 0.5 * (points + 1)]
    rates = [moment * p.da**2 + p.dm**2 for p in moments]
    return float(0.5 * weights @ rates)


def _scale(moment: float) -> float:
    if not 0.0 < moment < math.inf:
        msg = f"the second moment of the data must be positive and finite, got {moment}"
        raise InvalidLawError(msg)
    return math.sqrt(moment)


def _share(mmse: Mmse, rho: float, moment: float) -> float:
    """W at rho, checked against the bound of linear denoisers."""
    w = (1.0 + moment * rho * rho) * mmse(rho)
    if not -1e-9 <= w <= 1.0 + 1e-9:
        msg = (
            f"mmse({rho:.6g}) = {mmse(rho):.6g} is not between 0 and that of the best linear "
            f"denoiser, {1 / (1 + moment * rho * rho):.6g}; "
            f"check the second moment of the data, {moment:.6g}"
        )
        raise InvalidLawError(msg)
    return min(max(w, 0.0), 1.0)


@dataclass(frozen=True)
class KineticOptimal:
    """The path of least marginal energy for data with this mmse; a :data:`Path`.

    Parameters
    ----------
    mmse : callable
        Of the data, see :data:`Mmse`.
    moment : float
        ``E|x_1|^2/d`` of the data.
    degree : int
        Degree of the Chebyshev polynomial that holds ``dPsi/dth``.

    Attributes
    ----------
    angle : float
        Psi of the whole path: 0 for data N(0, I), pi/2 for points far apart.

    Raises
    ------
    InvalidLawError
        As :func:`marginal_energy`; and where the data are N(0, moment I), when every path that is
        variance preserving costs the least and none is chosen.
    """

    mmse: Mmse
    moment: float = 1.0
    degree: int = 200
    angle: float = field(init=False)
    _psi: Chebyshev = field(init=False, repr=False)
    _speed: Chebyshev = field(init=False, repr=False)

    def __post_init__(self) -> None:
        size = _scale(self.moment)

        def speed(th: float) -> float:
            rho = math.tan(min(th, 0.5 * math.pi - 1e-9)) / size
            return math.sqrt(1.0 - _share(self.mmse, rho, self.moment))

        fit = Chebyshev.interpolate(np.vectorize(speed), self.degree, (0.0, 0.5 * math.pi))
        psi = fit.integ(lbnd=0.0)
        self.__dict__.update(_psi=psi, _speed=fit, angle=float(psi(0.5 * math.pi)))

    @property
    def energy(self) -> float:
        """``(1 - s)^2 + 4 s sin^2(angle/2)`` per dimension, ``s^2`` the moment."""
        s = math.sqrt(self.moment)
        return (1.0 - s) ** 2 + 4.0 * s * math.sin(0.5 * self.angle) ** 2

    def __call__(self, u: float) -> Moment:
        """The path at u in [0, 1]: the point of a chord, seen in the plane (a, m)."""
        if not 0.0 <= u <= 1.0:
            msg = f"the time u of a path must be in [0, 1], got {u}"
            raise InvalidLawError(msg)
        if self.angle < 1e-6:
            msg = "data like N(0, I) choose no path: every variance-preserving one costs the least"
            raise InvalidLawError(msg)
        s = math.sqrt(self.moment)
        end = np.array([s * math.cos(self.angle), s * math.sin(self.angle)])
        way = end - np.array([1.0, 0.0])
        x, y = np.array([1.0, 0.0]) + u * way
        r, psi = math.hypot(x, y), math.atan2(y, x)
        th = self._theta(psi)
        dr = (x * way[0] + y * way[1]) / r
        dpsi = (x * way[1] - y * way[0]) / (r * r)
        rate = float(self._speed(th))
        dth = dpsi / rate if rate > 0 else math.inf
        sin, cos = math.sin(th), math.cos(th)
        return Moment(
            r * sin / s, r * cos, (dr * sin + r * cos * dth) / s, dr * cos - r * sin * dth
        )

    def _theta(self, psi: float) -> float:
        if psi <= 0.0:
            return 0.0
        if psi >= self.angle:
            return 0.5 * math.pi
        found = brentq(lambda th: self._psi(th) - psi, 0.0, 0.5 * math.pi, xtol=1e-14)
        return float(np.asarray(found))
