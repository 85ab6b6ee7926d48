r"""Weak errors of a method beside an exact path on the same noise.

``E f(X_N) - E f(Y)``, with X the path of a method and Y the Ornstein-Uhlenbeck process itself, is
O(h^p), while the noise of ``f(X_N)`` is O(1): below some h a plain mean measures nothing. On a
cell of length h the stochastic integral of Y is normal::

    int e^{-kappa (b - s)} dW_s = w xi + v zeta + r chi

with xi the increment and zeta the space-time area of the cell, both normalised, and chi
independent. Of Y nothing but the law counts here, so the part on the noises that X used (xi
alone, or xi and zeta) is scaled up to the whole variance: nearer to X than the solution on the
same path, and no more noise is drawn. Then ``f(X_N) - E f(Y)`` has the control ``f(Y) - E f(Y)``,
correlated with it up to O(h). Its coefficient is fitted.

Source: coupling as a control variate is of Kloeden and Platen 1992; the scaling is ours. For plans
``analysis/stochastic/weak_expansion.py`` has the weak error without paths.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from ...solvers.errors import AnalysisError
from ...solvers.ops import Noise
from ...solvers.sde.method import Method
from ...solvers.sde.problem import SDE
from ...solvers.sde.solve import solve
from ..fokker_planck.collocation import Estimate
from ..fokker_planck.hermite import OrnsteinUhlenbeck
from ..stochastic.path import OnePath
from .controls import controlled

_X, _W = np.polynomial.legendre.leggauss(16)


@dataclass(frozen=True, eq=False)
class CoupledPaths:
    """Ends of a method's paths and of the exact ones on the same noises.

    Attributes
    ----------
    numerical, exact : Tensor
        X_N and Y at the end, (n,).
    mean, variance : float
        Of Y, which is normal.
    """

    numerical: Tensor
    exact: Tensor
    mean: float
    variance: float


def integral_weights(kappa: float, h: float, *, area: bool) -> tuple[float, float]:
    """``w, v`` of ``int_0^h e^{-kappa (h - s)} dW_s``, scaled to its variance; v = 0 without area.

    xi is ``int dW_s/sqrt(h)`` and zeta is ``int sqrt(12) (1/2 - s/h) dW_s/sqrt(h)``.
    """
    u = 0.5 * (1 + _X)
    kernel = 0.5 * _W * np.exp(-kappa * h * (1 - u)) * math.sqrt(h)
    w, v = float(kernel.sum()), float((kernel * math.sqrt(12) * (0.5 - u)).sum()) * area
    scale = math.sqrt(-math.expm1(-2 * kappa * h) / (2 * kappa) / (w * w + v * v))
    return scale * w, scale * v


def coupled_paths(
    method: Method,
    process: OrnsteinUhlenbeck,
    start: float,
    times: Sequence[float],
    n: int,
    *,
    seed: int = 0,
) -> CoupledPaths:
    """Paths of a method from one point, and the exact ones beside them.

    Parameters
    ----------
    method : Method
        Of ``solvers/sde``.
    process : OrnsteinUhlenbeck
        ``dx = -kappa (x - mu) dt + sigma dW``.
    start : float
        x at ``times[0]``.
    times : sequence of float
        Increasing.
    n, seed : int
        Paths and their seed.

    Raises
    ------
    AnalysisError
        Unless the times increase and there are paths.
    """
    if n < 1 or len(times) < 2 or not all(a < b for a, b in pairwise(times)):
        msg = f"coupled paths need n >= 1 and increasing times, got n = {n} and {list(times)[:4]}"
        raise AnalysisError(msg)
    kappa, mu, sigma = process.kappa, process.mu, process.sigma
    sde = SDE(lambda _, x: -kappa * (x - mu), lambda *_: sigma, "additive")
    path, x = OnePath(times, (n, 1), seed), torch.full((n, 1), start, dtype=torch.float64)
    end = solve(sde, method, list(times), x, noise=path).x
    y = x
    for a, b in pairwise(times):
        w, v = integral_weights(kappa, b - a, area=method.needs_area)
        xi, zeta = (path.draw(Noise("t", a, b, kind), x) for kind in ("W", "H"))
        y = mu + math.exp(-kappa * (b - a)) * (y - mu) + sigma * (w * xi + v * zeta)
    kept = math.exp(-kappa * (times[-1] - times[0]))
    law = mu + kept * (start - mu), process.variance * (1 - kept**2)
    return CoupledPaths(end[:, 0], y[:, 0], *law)


def coupled_weak_error(
    function: Callable[[Tensor], Tensor],
    paths: CoupledPaths,
    *,
    certainty: float = 0.999,
    within: float = math.inf,
    nodes: int = 64,
) -> Estimate:
    """``E f(X_N) - E f(Y)`` with the exact path as control variate.

    Parameters
    ----------
    function : callable
        f on points (n,), smooth: ``E f(Y)`` is quadrature with ``nodes`` of Gauss and Hermite.
    paths : CoupledPaths
        From :func:`coupled_paths`.
    certainty, within : float
        As in :func:`~fokker.analysis.fokker_planck.mean`.

    Raises
    ------
    TooFewSamplesError
        If the paths are too few for the regression or the certainty.
    """
    z, weights = np.polynomial.hermite_e.hermegauss(nodes)
    at = torch.from_numpy(paths.mean + math.sqrt(paths.variance) * z)
    known = float(torch.from_numpy(weights / weights.sum()) @ function(at))
    values, partner = function(paths.numerical) - known, function(paths.exact) - known
    found = controlled(values[:, None], partner[:, None], certainty=certainty, within=within)
    return found[0]
