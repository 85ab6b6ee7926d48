r"""What a wrong drift of an interpolant does to the law at the end, exactly and in a bound.

Let the law of x_u be ``rho = N(m, S)``, the wrong drift ``b + epsilon s + e`` with an affine error
e, and q the law that it makes from the exact start. Both are Gaussian at every u, and with
``g = grad log q - grad log rho``::

    KL(rho|q)' = E_rho[g . e] - epsilon E_rho|g|^2  <=  E_rho|e|^2/(4 epsilon)

The identity holds for every ``epsilon(u) >= 0``; its second term is how noise eats errors. At
epsilon = 0 it says what an ODE does: no size of e bounds its KL, gradients of the laws are needed.
The bound is Girsanov's. If b is wrong by ``e_b`` and s by ``e_s`` then ``e = e_b + epsilon e_s``,
and the bound is least at an epsilon in between, the ratio of their sizes.

Albergo, Boffi & Vanden-Eijnden 2023, arXiv:2303.08797, sec. 2.4, has the bound and the identity of
the ODE; the identity for every epsilon, from which both follow, is derived here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from scipy.integrate import solve_ivp

from ..solvers.errors import AnalysisError
from ..solvers.process import Array
from ..solvers.transport.interpolant_sde import Profile, constant
from ..toy_models.interpolated import MixtureInterpolant
from .distances import gaussian_kl
from .score_error.linear import Line, Moments

RTOL = 1e-11
DriftError = Callable[[float], Line]
"""``u -> Line(gain, shift)``: the error ``e(x) = gain x + shift`` of the drift."""


class DriftCost(NamedTuple):
    """What an error of the drift costs at u = 1.

    Attributes
    ----------
    law : Moments
        The law that the wrong equation makes, NumPy.
    kl : float
        ``KL(rho_1 | law)``, from the moments.
    identity : float
        The same number, as the integral of the identity along the way.
    bound : float
        ``int E|e|^2/(4 epsilon) du``; infinite where epsilon is 0 and e is not.
    """

    law: Moments
    kl: float
    identity: float
    bound: float


def same_error(gain: float | Array, shift: float | Array, dim: int) -> DriftError:
    """The same ``gain x + shift`` at every u; numbers stand for multiples of 1 and of ones."""
    matrix = np.asarray(gain, float) * np.eye(dim) if np.ndim(gain) == 0 else np.asarray(gain)
    line = Line(matrix, np.broadcast_to(np.asarray(shift, float), (dim,)).copy())
    if line.gain.shape != (dim, dim):
        msg = f"the gain of an error must be ({dim}, {dim}), got {line.gain.shape}"
        raise AnalysisError(msg)
    return lambda _u: line


def exact_line(path: MixtureInterpolant, u: float, epsilon: float = 0.0) -> Line:
    """The drift ``b + epsilon s`` of a Gaussian interpolant as a :class:`Line`."""
    d = path.dim
    at = torch.cat([torch.zeros(1, d), torch.eye(d)]).to(torch.float64)
    out = path.drift(at, u, epsilon).numpy()
    return Line((out[1:] - out[0]).T, out[0])


def drift_cost(path: MixtureInterpolant, error: DriftError, epsilon: float | Profile) -> DriftCost:
    """Law, KL and bound for a Gaussian interpolant whose drift ``b + epsilon s`` has an error.

    Parameters
    ----------
    path : MixtureInterpolant
        Of one component, whose ends have a density.
    error : callable
        The error of the whole drift at every u; see :func:`same_error`.
    epsilon : float or callable
        Half the squared diffusion, a number or a function of u; 0 is the ODE.

    Raises
    ------
    AnalysisError
        If the interpolant has more components than one, or the integration fails.

    Examples
    --------
    >>> from ..solvers.transport.interpolant import linear
    >>> from ..toy_models.interpolated import MixtureInterpolant
    >>> one, pair = torch.ones(1, dtype=torch.float64), torch.eye(2, dtype=torch.float64)
    >>> path = MixtureInterpolant(linear(), one, torch.zeros(1, 2).double(), pair[None])
    >>> cost = drift_cost(path, same_error(0.0, 0.3, 1), 0.5)
    >>> cost.kl < cost.bound, round(cost.bound, 6)
    (True, 0.045)
    """
    if len(path.weights) != 1:
        msg = f"exact laws are of one Gaussian component, got {len(path.weights)}"
        raise AnalysisError(msg)
    profile = epsilon if callable(epsilon) else constant(epsilon)
    d = path.dim

    def rate(u: float, flat: Array) -> Array:
        u = min(max(u, 0.0), 1.0)
        law = Moments(flat[:d], flat[d : d + d * d].reshape(d, d))
        parts = _rates(path, error(u), profile(u), law, u)
        return np.concatenate([np.ravel(part) for part in parts])

    first, last = _moments(path, 0.0), _moments(path, 1.0)
    start = np.concatenate([first.mean, first.cov.ravel(), [0.0, 0.0]])
    done = solve_ivp(rate, (0.0, 1.0), start, method="LSODA", rtol=RTOL, atol=1e-13)
    if not done.success:
        msg = f"the moments could not be integrated: {done.message}"
        raise AnalysisError(msg)
    end = done.y[:, -1]
    cov = end[d : d + d * d].reshape(d, d)
    law = Moments(end[:d], (cov + cov.T) / 2)
    infinite = _unbounded(profile, error)
    return DriftCost(
        law,
        float(gaussian_kl(last.mean, last.cov, *law)),
        float(end[-2]),
        math.inf if infinite else float(end[-1]),
    )


def _moments(path: MixtureInterpolant, u: float) -> Moments:
    law = path.law(u)
    return Moments(law.means[0].numpy(), law.covs[0].numpy())


def _rates(
    path: MixtureInterpolant, e: Line, epsilon: float, law: Moments, u: float
) -> tuple[Array, Array, float, float]:
    """Derivatives of the moments of q, of the identity and of the bound."""
    true, drift = _moments(path, u), exact_line(path, u, epsilon)
    gain, shift = drift.gain + e.gain, drift.shift + e.shift
    half = gain @ law.cov
    cov = half + half.T + 2.0 * epsilon * np.eye(len(law.mean))
    precisions = np.linalg.inv(true.cov), np.linalg.inv(law.cov)
    slope = precisions[0] - precisions[1]  # of g = grad log q - grad log rho
    at_mean = precisions[1] @ (law.mean - true.mean)
    e_mean = e.gain @ true.mean + e.shift
    fed = np.trace(slope.T @ e.gain @ true.cov) + at_mean @ e_mean
    eaten = np.trace(slope @ true.cov @ slope.T) + at_mean @ at_mean
    size = np.trace(e.gain @ true.cov @ e.gain.T) + e_mean @ e_mean
    bound = size / (4.0 * epsilon) if epsilon > 0.0 else 0.0
    return gain @ law.mean + shift, cov, fed - epsilon * eaten, bound


def _unbounded(profile: Profile, error: DriftError) -> bool:
    """Whether epsilon vanishes inside (0, 1) where the error does not."""
    for u in np.linspace(0.02, 0.98, 49):
        line = error(float(u))
        if profile(float(u)) == 0.0 and (line.gain.any() or line.shift.any()):
            return True
    return False
