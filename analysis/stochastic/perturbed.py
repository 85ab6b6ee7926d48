r"""A Gaussian with a small Hermite part: a nonlinear law whose diffusion is known term by term.

The data have density ``N(0, C) (1 + e he_n(a . x))``, with ``a . C a = 1`` and the orthonormal
Hermite polynomial ``he_n = He_n/sqrt(n!)``. Hermite polynomials are eigenfunctions of noising:
with ``E[a . x_0 | x_t] = rho u . x_t``, scaled so that ``u . x_t`` has variance 1, the marginal is

    p_t = N(0, V_t) (1 + e rho^n he_n(u . x)),        V_t = alpha^2 C + sigma^2,

for every e, and the data prediction ``(x + sigma^2 grad log p_t)/alpha`` is

    D = alpha C V^{-1} x + e (sigma^2/alpha) rho^n sqrt(n) he_{n-1}(u . x) u + O(e^2).

The density is negative somewhere when n is odd or e < 0; a coefficient of a power of e does not
mind. Everything is NumPy float64 in the eigenbasis of C. The direction a is no eigenvector, so
that the linear part and the bent one do not commute.

Not to be confused with :mod:`fokker.analysis.fokker_planck.hermite`, an expansion of a density in
many Hermite polynomials at once.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ...solvers.process import Array, Node
from ..gaussian_path import Normal, marginal, normal

DATA = normal(0.0, [0.15, 0.6])
"""The Gaussian part."""

_AXIS = np.array([1.0, 0.6])
DIRECTION: Array = _AXIS / math.sqrt(float(_AXIS**2 @ DATA.var))
"""The direction a in which the law is bent."""

DEGREES = (3, 4, 5)
"""Degrees n: the drift is bent by polynomials of degree 2, 3 and 4."""


class Bend(NamedTuple):
    """At a level: ``E[a . x_0 | x] = rho u . x`` with ``u . x`` of variance 1; u of shape (K,)."""

    rho: float
    u: Array


def bend(node: Node, data: Normal = DATA, direction: Array = DIRECTION) -> Bend:
    """What is left of the direction a at a level."""
    var = marginal(data, node).var
    gain = direction * node.alpha * data.var / var
    rho = math.sqrt(float(gain**2 @ var))
    return Bend(rho, gain / rho)


def drift_factor(node: Node, degree: int, rho: float) -> float:
    """``(sigma^2/alpha) rho^n sqrt(n)``: what multiplies ``he_{n-1}(u . x) u`` in the data."""
    return node.sigma**2 / node.alpha * rho**degree * math.sqrt(degree)


def wave_moment(degree: int, cov: Array, excess: Array, wave: float, var: float) -> Array:
    r"""``E he_n(q) exp(i k y)`` for jointly normal q, y of mean 0; complex, shaped like ``cov``.

    With ``Var q = 1 + excess``, ``Cov(q, y) = cov`` and ``Var y = var``, from the generating
    function ``E exp(s q - s^2/2 + i k y)``::

        e^{-k^2 var/2} sqrt(n!) sum_j (excess/2)^j/j! (i k cov)^{n-2j}/(n-2j)!
    """
    turn = 1j * wave * np.asarray(cov, float)
    total = np.zeros(turn.shape, complex)
    for j in range(degree // 2 + 1):
        rest = degree - 2 * j
        size = math.factorial(j) * math.factorial(rest)
        total += (0.5 * np.asarray(excess, float)) ** j * turn**rest / size
    return math.sqrt(math.factorial(degree)) * math.exp(-0.5 * wave**2 * var) * total
