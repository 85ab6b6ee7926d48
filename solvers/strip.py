"""Interpolation by functions that are analytic in a strip of complex lam, instead of polynomials.

On every Gaussian law the data prediction is, along a trajectory and mode by mode,
``c (1 + e^{-2 lam}/c^2)^{-1/2}``: its singularities lie at ``lam = -log c + i pi/2 + i pi k``, so
it is analytic in the strip ``|Im lam| < pi/2`` *whatever the variances are*. A polynomial knows
nothing of that and grows outside its nodes; the functions

    ``l_j(lam) = prod_{i != j} sinh(f(lam - lam_i))/sinh(f(lam_j - lam_i))
                 prod_{i != 0} cosh(f(lam_j - lam_i))/cosh(f(lam - lam_i))``,  ``f = pi/(4 strip)``

are the cardinal functions of rational interpolation in ``w = tanh(f lam)``, which maps the strip
onto the unit disk, with poles at the mirror images of all nodes but the newest: the space in which
extrapolation of analytic functions is (but for reproducing constants) best possible. They stay
bounded far from the nodes, reproduce constants, and for small steps, or ``strip -> inf``, they
become the Lagrange polynomials, so every order statement of exponential Adams methods holds.

No law, statistic or fit enters. Sharp switches between modes have singularities nearer to the real
axis; ``strip = pi/3`` leaves room for them.

Optimal extrapolation in such spaces: Malmquist 1925, Takenaka 1925 (rational bases of the disk);
Fisher & Micchelli 1980, Duke Math. J. 47, 789-811 (interpolation at given nodes). Not to be
confused with Pade or barycentric rational interpolation, whose poles follow the data.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from .errors import InvalidPlanError
from .process import Array
from .quadrature import panel_rule, phi

GAUSSIAN_STRIP = math.pi / 2
"""Half width of the strip in which every Gaussian law's data prediction is analytic."""
WARY_STRIP = math.pi / 4
"""A narrower strip, for laws whose modes switch faster than a Gaussian relaxes."""


def check_strip(strip: float) -> float:
    """The half width, if it is a positive number.

    Raises
    ------
    InvalidPlanError
        Otherwise.
    """
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


def strip_weights(strip: float) -> Callable[[Sequence[float], float], Array]:
    """The weight rule ``(tau, z) -> int_0^1 e^{z(1-u)} l_j(u) du`` in place of ``exp_weights``.

    Of a probability-flow step of length h in lam: ``z = -h`` on data, ``z = +h`` on noise. The
    rule needs to know h, so it does not serve stochastic steps, where ``z = -(1 + eta) h``.
    """
    check_strip(strip)

    def weights(tau: Sequence[float], z: float) -> Array:
        if len(tau) == 1:
            return np.array([phi(1, z)])
        order = np.argsort(tau)[::-1]  # the newest node has no mirror image
        h = abs(z)
        u, w = panel_rule(h)
        basis = strip_basis(h * np.asarray(tau, dtype=np.float64)[order], h * u, strip)
        out = np.empty(len(tau))
        out[order] = basis @ (w * np.exp(z * (1.0 - u)))
        return out

    return weights


def prefix_weights(nodes: Array, start: Array, end: Array, strip: float) -> Array:
    """Weights of the 1, 2, ..., n newest nodes at once, for a batch of steps.

    ``W[b, k, j] = int_start^end e^{lam - end} l_j(lam) dlam`` on the nodes 0 .. k of row b, and 0
    for j > k: with them ``x_t/alpha_t = e^{-h} x_s/alpha_s + sum_j W_kj D_j``.

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
    eye = np.eye(n, dtype=bool)
    between = nodes[:, :, None] - nodes[:, None, :]  # lam_j - lam_i
    factor = (
        odd(at[:, None, :] - nodes[:, :, None])[:, None]
        / np.where(eye, 1.0, odd(between))[..., None]
    )
    factor = np.where(eye[..., None], 1.0, factor)  # (B, j, i, m)
    mirror = even(between)[..., None] / even(at[:, None, :] - nodes[:, :, None])[:, None]
    mirror[:, :, 0] = 1.0
    values = np.cumprod(factor * mirror, axis=2)  # over i: the prefixes
    weights = np.einsum("bjkm,bm->bkj", values, w * h * np.exp(at - end[:, None]))
    return np.where(np.tril(np.ones((n, n), dtype=bool)), weights, 0.0)
