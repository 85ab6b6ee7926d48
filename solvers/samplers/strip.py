"""Interpolation by functions analytic in a strip, in a clock where every Gaussian law is that.

On a Gaussian law the data prediction is, along a trajectory and mode by mode,
``c nu (nu^2 + 1/c^2)^{-1/2}`` with ``nu = e^lam = alpha/sigma``, c the standard deviation of the
mode. Its singularities lie at ``nu = +-i/c``. If no c exceeds ``size``, then in the clock

    ``zeta = asinh(size nu)``

it is analytic in the strip ``|Im zeta| < pi/2``, *whatever the variances are*: the clock is
``size e^lam`` in the noise, where everything is linear in nu, and ``lam`` near the data. A
polynomial knows nothing of that and grows outside its nodes; the functions

    ``l_j = prod_{i != j} sinh(f(zeta - zeta_i))/sinh(f(zeta_j - zeta_i))
            prod_{i != 0} cosh(f(zeta_j - zeta_i))/cosh(f(zeta - zeta_i))``,  ``f = pi/(4 strip)``

are the cardinal functions of rational interpolation in ``w = tanh(f zeta)``, which maps the strip
onto the unit disk, with poles at the mirror images of all nodes but the newest: the space in which
extrapolation of analytic functions is (but for reproducing constants) best possible. They stay
bounded far from the nodes, reproduce constants, and for small steps, or ``strip = inf``, they
become the Lagrange polynomials, so every order statement of exponential Adams methods holds.

No statistic of the law enters but the unit of the data. Sharp switches between modes have
singularities nearer to the real axis; ``strip = pi/4`` leaves room for them.

Optimal extrapolation in such spaces: Malmquist 1925, Takenaka 1925 (rational bases of the disk);
Fisher & Micchelli 1980, Duke Math. J. 47, 789-811 (interpolation at given nodes). Not to be
confused with Pade or barycentric rational interpolation, whose poles follow the data.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ..errors import InvalidPlanError
from ..given import real_number
from ..process import Array
from ..quadrature import panel_rule

GAUSSIAN_STRIP = math.pi / 2
"""Half width of the strip in which every Gaussian law's data prediction is analytic."""
WARY_STRIP = math.pi / 4
"""A narrower strip, for laws whose modes switch faster than a Gaussian relaxes."""
MAIN_MODES = 2.0
"""Standard deviation of the leading modes of data whose coordinates have unit size or so."""


def clock(lam: Array, size: float) -> Array:
    """``zeta = asinh(size e^lam)``; for ``size = inf`` it is lam, up to a constant."""
    if math.isinf(size):
        return lam
    return np.arcsinh(size * np.exp(lam))


def check_size(size: float) -> float:
    """The size of the leading modes, if it is a positive number.

    Raises
    ------
    InvalidPlanError
        Otherwise.
    """
    size = real_number(size, "the size of the leading modes")
    if not size > 0:
        msg = f"the size of the leading modes must be positive (inf for the clock lam), got {size}"
        raise InvalidPlanError(msg)
    return float(size)


def check_strip(strip: float) -> float:
    """The half width, if it is a positive number.

    Raises
    ------
    InvalidPlanError
        Otherwise.
    """
    strip = real_number(strip, "the half width of the strip")
    if not strip > 0:
        msg = f"the half width of the strip must be positive (inf for polynomials), got {strip}"
        raise InvalidPlanError(msg)
    return float(strip)


def strip_basis(nodes: Array, at: Array, strip: float) -> Array:
    """Cardinal functions of distinct ``nodes`` (..., n), newest first, at ``at`` (..., m).

    Returns
    -------
    Array
        Shape (..., n, m): entry (j, q) is ``l_j(at_q)``; the sum over j is 1.
    """
    n = nodes.shape[-1]
    odd, even = _maps(strip)
    values = np.ones((*np.broadcast_shapes(nodes.shape[:-1], at.shape[:-1]), n, at.shape[-1]))
    for j in range(n):
        for i in range(n):
            if i != j:
                gap = nodes[..., j] - nodes[..., i]
                values[..., j, :] *= odd(at - nodes[..., i, None]) / odd(gap)[..., None]
    for i in range(1, n):
        image = even(at - nodes[..., i, None])
        for j in range(n):
            values[..., j, :] *= even(nodes[..., j] - nodes[..., i])[..., None] / image
    return values


def _maps(strip: float) -> tuple[Callable[[Array], Array], Callable[[Array], Array]]:
    """``(sinh, cosh)`` in units of the strip; identity and 1 where it is the whole plane."""
    if math.isinf(strip):
        return (lambda z: z), np.ones_like
    f = math.pi / (4 * strip)
    return (lambda z: np.sinh(f * z)), (lambda z: np.cosh(f * z))


def strip_weights(nodes: Array, start: float, end: float, *, strip: float, size: float) -> Array:
    """Weights ``w_j = int_start^end e^{lam - end} l_j(zeta(lam)) dlam`` of nodes, newest first.

    With them ``x_t/alpha_t = e^{-h} x_s/alpha_s + sum_j w_j D_j`` on the probability-flow ODE.
    """
    check_strip(strip)
    u, w = panel_rule(end - start)
    at = start + (end - start) * u
    basis = strip_basis(clock(np.asarray(nodes), size), clock(at, size), strip)
    return basis @ (w * (end - start) * np.exp(at - end))


def prefix_weights(nodes: Array, start: Array, end: Array, *, strip: float, size: float) -> Array:
    """:func:`strip_weights` of the 1, 2, ..., n newest nodes at once, for a batch of steps.

    ``W[b, k, j]`` is weight j of the nodes 0 .. k of row b, and 0 for j > k.

    Parameters
    ----------
    nodes : Array
        Levels (B, n), distinct in each row, newest first.
    start, end : Array
        The steps, (B,); none longer than 6.
    """
    n = nodes.shape[1]
    u, w = panel_rule(1.0)
    h = (end - start)[:, None]
    at = start[:, None] + h * u
    odd, even = _maps(strip)
    zeta = clock(nodes, size)
    off = clock(at, size)[:, None, :] - zeta[:, :, None]  # (B, i, m)
    between = zeta[:, :, None] - zeta[:, None, :]  # zeta_j - zeta_i
    eye = np.eye(n, dtype=bool)
    factor = odd(off)[:, None] / np.where(eye, 1.0, odd(between))[..., None]
    factor = np.where(eye[..., None], 1.0, factor)  # (B, j, i, m)
    mirror = even(between)[..., None] / even(off)[:, None]
    mirror[:, :, 0] = 1.0
    values = np.cumprod(factor * mirror, axis=2)  # over i: the prefixes
    weights = np.einsum("bjkm,bm->bkj", values, w * h * np.exp(at - end[:, None]))
    return np.where(np.tril(np.ones((n, n), dtype=bool)), weights, 0.0)
