"""phi-functions and weights of polynomial interpolation under an exponential: one home for both.

This is the only place where exponentials of a step appear. Nodes are always *centred and scaled*,
``tau_j = (lam_j - lam_s)/h``, so that the current node is 0 and the end of the step is 1;
uncentred Vandermonde systems in ``log(sigma/alpha)`` lose six digits at a thousand steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from .errors import InvalidGridError
from .process import Array

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(20)
_NODES, _WEIGHTS = (_NODES + 1) / 2, _WEIGHTS / 2
_PANEL = 6.0  # one 20-point panel integrates e^{z u} u^4 to rounding for |z| <= 6
_SERIES = 2.0  # below this |z| the recursion for phi cancels; the Taylor series does not
_LARGEST = 709.0  # e^z overflows above


def phi(k: int, z: float) -> float:
    """Exponential-integrator function ``phi_k(z)``.

    ``phi_0 = e^z``, ``phi_{k+1}(z) = (phi_k(z) - 1/k!)/z``, ``phi_k(0) = 1/k!``; equivalently
    ``phi_k(z) = int_0^1 e^{(1-u) z} u^{k-1}/(k-1)! du``. Relative accuracy 2e-14 for k <= 6 and
    ``-700 < z < 700`` (Taylor series for ``|z| < 2``, recursion elsewhere).

    Raises
    ------
    InvalidGridError
        For k < 0, and for z that is NaN or so large that ``e^z`` overflows: no step is that long.
    """
    if k < 0:
        msg = f"phi_k needs k >= 0, got {k}"
        raise InvalidGridError(msg)
    if not z <= _LARGEST:
        msg = f"phi_k(z) needs z <= {_LARGEST}, got {z}: the step is too long"
        raise InvalidGridError(msg)
    if k == 0:
        return math.exp(z)
    if abs(z) < _SERIES:
        term = total = 1.0 / math.factorial(k)
        for n in range(1, 25):
            term *= z / (n + k)
            total += term
        return total
    value = math.expm1(z) / z
    for j in range(1, k):
        value = (value - 1.0 / math.factorial(j)) / z
    return value


def lagrange(nodes: ArrayLike, u: ArrayLike) -> Array:
    """Lagrange basis ``l_j(u)`` on distinct ``nodes``: shape ``(len(nodes), *u.shape)``."""
    nodes, u = np.asarray(nodes, dtype=np.float64), np.asarray(u, dtype=np.float64)
    basis = np.ones((nodes.size, *u.shape))
    for j, a in enumerate(nodes):
        for i, b in enumerate(nodes):
            if i != j:
                if a == b:
                    msg = f"interpolation nodes must be distinct, got {a} twice"
                    raise InvalidGridError(msg)
                basis[j] *= (u - b) / (a - b)
    return basis


def panel_rule(length: float) -> tuple[Array, Array]:
    """Gauss-Legendre rule on [0, 1] in enough equal panels for an exponential e^{+-length u}."""
    count = max(1, math.ceil(length / _PANEL))
    nodes = ((np.arange(count)[:, None] + _NODES) / count).ravel()
    return nodes, np.tile(_WEIGHTS / count, count)


def exp_weights(tau: Sequence[float], z: float) -> Array:
    """Weights ``w_j = int_0^1 e^{z (1 - u)} l_j(u) du`` of exponential Adams methods.

    They satisfy the moment conditions ``sum_j w_j tau_j^k = k! phi_{k+1}(z)`` for
    ``k < len(tau)``. One node gives ``phi_1(z)``. For z -> 0 they are the variable-step
    Adams-Bashforth (or, with a node at 1, Adams-Moulton) weights.

    Parameters
    ----------
    tau : sequence of float
        Distinct centred nodes ``(lam_j - lam_s)/h``.
    z : float
        ``-(1 + eta) h`` for the data prediction, ``+h`` for the noise prediction.
    """
    if len(tau) == 1:
        return np.array([phi(1, z)])
    u, w = panel_rule(abs(z))
    return lagrange(tau, u) @ (w * np.exp(z * (1.0 - u)))


def integral_weights(
    nodes: Sequence[float], clock: Callable[[Array], Array], a: float, b: float
) -> Array:
    """Weights ``int_a^b l_j(clock(r)) dr``: polynomials in one clock, integrated in another.

    ``clock`` must be smooth on [a, b]: one that bends as a logarithm does over many octaves is
    not, see :func:`rho_weights`. With ``clock`` the identity these are the classical variable-step
    Adams-Bashforth weights.
    """
    u, w = panel_rule(2 * _PANEL)  # three panels: the clock is smooth, not exponential
    return (b - a) * (lagrange(nodes, clock(a + (b - a) * u)) @ w)


def rho_weights(
    nodes: Sequence[float], clock: Callable[[Array], Array], s: float, t: float
) -> Array:
    """Weights ``int l_j(clock(lam)) drho`` from lam = s to t, ``rho = e^{-lam}``.

    Polynomials in a clock such as the time, of which every level of a process is a smooth function
    of lam. One panel for each unit of lam: in rho a long step would be nearly all at its start.
    """
    u, w = panel_rule(_PANEL * (t - s))
    lam = s + (t - s) * u
    return (s - t) * (lagrange(nodes, clock(lam)) @ (w * np.exp(-lam)))
