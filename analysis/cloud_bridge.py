"""A Schrodinger bridge between two clouds of points, and paths of it with seeds of their own.

Two methods: ``gaussian`` bridges the Gaussians with the moments of the clouds in closed form;
``points`` bridges the clouds themselves, by Sinkhorn. Given its ends either is the reference
pinned, so paths are drawn exactly at all times together: no step size, no discretisation error.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..solvers.errors import AnalysisError, InvalidLawError
from ..solvers.transport.bures import covariance, roots
from ..solvers.transport.clouds import Cloud, mean_squared_distance, one_dimension
from ..solvers.transport.gaussian_bridge import GaussianBridge
from ..solvers.transport.pinned import checked_times, noise_of, pinned_paths
from ..solvers.transport.point_bridge import PointBridge, point_bridge
from ..solvers.transport.reference import LinearReference, brownian, ornstein_uhlenbeck
from ..solvers.transport.sinkhorn_result import EntropicPlan, NotConvergedWarning
from ..toy_models.draws import normals, uniforms

METHODS = ("gaussian", "points")
FRACTION = 0.05
TIMES = tuple(k / 10 for k in range(11))


class Marginal(NamedTuple):
    """The law of the bridge at a time: mean (d,), covariance (d, d), and those of its paths."""

    u: float
    mean: Tensor
    cov: Tensor
    seen_mean: Tensor
    seen_cov: Tensor


@dataclass(frozen=True, eq=False)
class CloudBridge:
    """A bridge between two clouds, and paths of it.

    Attributes
    ----------
    method : str
        One of :data:`METHODS`.
    bridge : GaussianBridge or PointBridge
        The bridge, with its drift.
    reference : LinearReference
        What it is closest to.
    sigma : float
        Strength of the noise of the reference.
    times : tuple of float
        Times of the paths.
    paths : Tensor
        (count, T, d): path k is a function of (seed, k) and of all else but the count.
    marginals : tuple of Marginal
        At each time.
    """

    method: str
    bridge: GaussianBridge | PointBridge
    reference: LinearReference
    sigma: float
    times: tuple[float, ...]
    paths: Tensor
    marginals: tuple[Marginal, ...]

    @property
    def plan(self) -> EntropicPlan | None:
        """The coupling found by Sinkhorn; None for a closed form."""
        return self.bridge.plan if isinstance(self.bridge, PointBridge) else None

    @property
    def transport(self) -> float:
        """``E |X_1 - X_0|^2``: what the coupling of the ends moves."""
        (m, a), (n, b) = self.bridge.law(0.0), self.bridge.law(1.0)
        spread = torch.trace(a) + torch.trace(b) - 2 * torch.trace(self.bridge.cross)
        return float((n - m).square().sum() + spread)


def linear_reference(
    a: Cloud,
    b: Cloud,
    *,
    sigma: float | None = None,
    fraction: float | None = None,
    kappa: float = 0.0,
    centre: float = 0.0,
) -> tuple[LinearReference, float]:
    """``dX = kappa (centre - X) du + sigma dW`` on [0, 1], and its sigma.

    Parameters
    ----------
    a, b : Cloud
        The ends: they set the unit of ``fraction``.
    sigma, fraction : float, optional
        One of them at most: sigma itself, or ``2 sigma^2`` in units of the mean squared distance
        of the clouds, 0.05 if neither is given.
    kappa, centre : float
        Rate and centre of the pull; kappa = 0 is Brownian motion.

    Raises
    ------
    InvalidLawError
        If the dimensions differ, or a number is not as said.
    """
    dim = one_dimension(a, b)
    if sigma is not None and fraction is not None:
        msg = f"give sigma or epsilon, one of them, got {sigma} and {fraction}"
        raise InvalidLawError(msg)
    if not (0.0 <= kappa < math.inf and math.isfinite(centre)):
        msg = f"kappa must be finite and not negative, its centre finite, got {kappa} and {centre}"
        raise InvalidLawError(msg)
    if sigma is None:
        fraction = FRACTION if fraction is None else fraction
        if not 0.0 < fraction < math.inf:
            msg = f"epsilon must be positive and finite, got {fraction}"
            raise InvalidLawError(msg)
        sigma = noise_of(fraction * mean_squared_distance(a, b))
    if not 0.0 < sigma < math.inf:
        msg = f"sigma must be positive and finite, got {sigma}"
        raise InvalidLawError(msg)
    made = ornstein_uhlenbeck(dim, kappa, sigma, centre) if kappa else brownian(dim, sigma)
    return made, sigma


def bridge_clouds(
    a: Cloud,
    b: Cloud,
    method: str = "points",
    *,
    times: Sequence[float] = TIMES,
    count: int = 200,
    seed: int = 0,
    effort: dict[str, Any] | None = None,
    **reference: Any,
) -> CloudBridge:
    """Bridge the first cloud to the second, and draw paths.

    Parameters
    ----------
    a, b : Cloud
        Of one dimension.
    method : {"points", "gaussian"}
        See the module. The ends of ``gaussian`` are Gaussians, not the clouds.
    times : sequence of float
        Increasing, in [0, 1].
    count, seed : int
        Paths, and the seed they share.
    effort : dict, optional
        Options of Sinkhorn: tolerance, max_iterations, progress, ...
    **reference
        As for :func:`linear_reference`.

    Raises
    ------
    InvalidLawError
        If an input is not as said; for ``gaussian`` if a covariance is singular.
    AnalysisError
        If the count is below 1, or the method is unknown.
    """
    if count < 1:
        msg = f"the number of paths must be at least 1, got {count}"
        raise AnalysisError(msg)
    times = checked_times(times)
    made, sigma = linear_reference(a, b, **reference)
    if method == "gaussian":
        bridge, (x0, x1) = _gaussian(a, b, made, count, seed)
    elif method == "points":
        bridge, (x0, x1) = _points(a, b, made, count, seed, effort or {})
    else:
        msg = f"unknown method {method!r}; accepted: {', '.join(METHODS)}"
        raise AnalysisError(msg)
    z = torch.from_numpy(normals(count, len(times) * a.dim, seed=seed, label="path"))
    paths = pinned_paths(made, x0, x1, times, z.reshape(count, len(times), a.dim))
    laws = []
    for k, u in enumerate(times):
        seen = Cloud(paths[:, k])
        laws.append(Marginal(u, *bridge.law(u), seen.mean, seen.cov))
    return CloudBridge(method, bridge, made, sigma, times, paths, tuple(laws))


def _gaussian(
    a: Cloud, b: Cloud, reference: LinearReference, count: int, seed: int
) -> tuple[GaussianBridge, tuple[Tensor, Tensor]]:
    """The bridge of the moments, and pairs of its ends: ``X_1`` given X_0 is a regression."""
    for cloud in (a, b):
        covariance(cloud.cov, f"the covariance of {cloud.name}", cloud.dim, definite=True)
    bridge = GaussianBridge(a.mean, a.cov, b.mean, b.cov, reference)
    numbers = normals(count, 2 * a.dim, seed=seed, label="ends")
    first, second = torch.from_numpy(numbers).split(a.dim, 1)
    slope = torch.linalg.solve(bridge.cov_a, bridge.cross).mT
    rest = bridge.cov_b - slope @ bridge.cross
    x0 = bridge.mean_a + first @ torch.linalg.cholesky(bridge.cov_a).mT
    noise = second @ roots((rest + rest.mT) / 2)[0]  # little noise is lost in rounding: then 0
    return bridge, (x0, bridge.mean_b + (x0 - bridge.mean_a) @ slope.mT + noise)


def _points(
    a: Cloud,
    b: Cloud,
    reference: LinearReference,
    count: int,
    seed: int,
    effort: dict[str, Any],
) -> tuple[PointBridge, tuple[Tensor, Tensor]]:
    """The bridge of the clouds, and pairs drawn from its plan."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotConvergedWarning)  # the result says it
        bridge = point_bridge(
            a.points, b.points, a.weights, b.weights, reference=reference, **effort
        )
    first, last = bridge.pairs(torch.from_numpy(uniforms(count, 2, seed=seed, label="pair")))
    return bridge, (bridge.x[first], bridge.y[last])
