r"""Entropic optimal transport between weighted point clouds, by an accelerated Sinkhorn iteration.

The plan minimises ``<c, P> + epsilon KL(P | a x b)`` over plans with marginals a and b. What makes
it fast and safe, each in a module of its own: potentials absorbed into a matrix that is read once
an iteration (`sinkhorn_kernel`), overshooting by a factor taken from the observed rate
(`sinkhorn_relaxation`), and, for small epsilon, a path of larger ones first. Where a plain
iteration is asked for (``relaxation=1``), errors fall by the factor ``rho^2`` an iteration on
Gaussians (`entropic.EntropicGaussian.sinkhorn_rates`).

Cuturi 2013, arXiv:1306.0895; Schmitzer 2019, arXiv:1610.06519; Feydy et al. 2019,
arXiv:1810.08278.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import InvalidLawError, NonFiniteError
from ..parameters import DTYPES
from .cost import Cost, CostFunction, cost_between, mean_cost, weights_of
from .sinkhorn_kernel import Kernel
from .sinkhorn_relaxation import Relaxation
from .sinkhorn_result import (
    EntropicPlan,
    Level,
    NotConvergedWarning,
    Potentials,
    finished,
)

DIRECT = 0.003  # of the mean cost: from here on no path of epsilons is needed
FIRST, FACTOR = 0.1, 0.25  # the path
LOOSE, PATIENCE = 1e-2, 100  # error and iterations of a level on the way
LANDING = 20  # last sweeps before the limit, without overshooting


@dataclass(frozen=True)
class Effort:
    """When to stop and how to run; see `sinkhorn`."""

    tolerance: float = 1e-6
    max_iterations: int = 10_000
    relaxation: float | None = None
    scaling: bool | None = None
    stored: bool = True
    dtype: torch.dtype | None = None
    check_every: int | None = None
    progress: Callable[[int, float, float], None] | None = None

    def __post_init__(self) -> None:
        if not 0.0 < self.tolerance < 2.0:
            msg = f"tolerance is an L1 error of masses and must be in (0, 2), got {self.tolerance}"
            raise InvalidLawError(msg)
        for name, value in (
            ("max_iterations", self.max_iterations),
            ("check_every", self.check_every),
        ):
            if value is not None and value < 1:
                msg = f"{name} must be at least 1, got {value}"
                raise InvalidLawError(msg)
        if self.relaxation is not None and not 0.0 < self.relaxation < 2.0:
            msg = f"relaxation must be in (0, 2), or None to be chosen, got {self.relaxation}"
            raise InvalidLawError(msg)
        if self.dtype is not None and self.dtype not in DTYPES:
            msg = f"dtype of the matrix must be float64 or float32, got {self.dtype}"
            raise InvalidLawError(msg)

    def kernel(self, cost: Cost, a: Tensor, b: Tensor, like: Any) -> Kernel:
        """The matrix, in the dtype of the input where none is asked for."""
        own = like.dtype if isinstance(like, Tensor) and like.dtype in DTYPES else torch.float64
        return Kernel(cost, a, b, self.dtype or own, self.stored)

    def every(self, device: torch.device) -> int:
        """Iterations between two looks at the error; a look stalls a device."""
        return self.check_every or (1 if device.type == "cpu" else 10)


def sinkhorn(
    x: Any = None,
    y: Any = None,
    a: Any = None,
    b: Any = None,
    *,
    cost: Tensor | CostFunction | None = None,
    epsilon: float | None = None,
    fraction: float | None = None,
    **effort: Any,
) -> EntropicPlan:
    r"""The entropic plan between two weighted clouds, or for a matrix of costs.

    ``min <c, P> + epsilon KL(P | a x b)`` over ``P 1 = a``, ``P' 1 = b``.

    Not to be confused with other scalings: for ``|x - y|^2/2`` the same plan belongs to
    epsilon/2; with ``-epsilon H(P)`` in place of KL the plan is the same and the value another.

    Parameters
    ----------
    x, y : Tensor, optional
        Points (n, d), (m, d), float64 or float32.
    a, b : Tensor, optional
        Positive weights (n,), (m,) that sum to one; equal ones if not given.
    cost : Tensor or callable, optional
        A matrix (n, m) in place of points, or a function of (k, d) and (m, d) points that returns
        (k, m) numbers; ``|x - y|^2`` if not given. Costs must be finite and not negative.
    epsilon, fraction : float
        One of them: the weight of the entropy in units of the cost, or of the mean cost
        ``sum a_i b_j c_ij``.
    tolerance : float
        L1 error of both marginals at which to stop, default 1e-6.
    max_iterations : int
        Default 10000, all levels together. A plan that is stopped by it warns, and says
        ``converged = False`` and its ``marginal_error``.
    relaxation : float, optional
        A fixed factor in (0, 2), 1 for the plain iteration; chosen from the rate if not given.
    scaling : bool, optional
        Whether to come down a path of epsilons; by default below 0.003 of the mean cost.
    stored : bool
        False: O(n + m) memory; exponentials are computed anew in every iteration.
    dtype : torch.dtype, optional
        Of the matrix; that of the input by default. Potentials and the error are float64 always.
    check_every : int, optional
        Iterations between two looks at the error; 1 on the processor, 10 on a device.
    progress : callable, optional
        Called as ``progress(iterations, error, epsilon)`` at each look, with the iterations so far
        at this epsilon.

    Raises
    ------
    InvalidLawError
        If weights, points, costs, epsilon or an option are not as said above.
    NonFiniteError
        If the iteration overflows in spite of all.

    Warns
    -----
    NotConvergedWarning
        If the tolerance is missed.

    Examples
    --------
    >>> c = torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=torch.float64)
    >>> plan = sinkhorn(cost=c, epsilon=0.5)
    >>> round(float(plan.plan()[0, 0]), 9), round(0.5 / (1 + math.exp(-2)), 9)
    (0.440398539, 0.440398539)
    """
    how = Effort(**effort)
    between = cost_between(x, y, cost)
    n, m = between.shape
    weights = weights_of(a, n, between.device), weights_of(b, m, between.device)
    mean = mean_cost(between, *weights)
    eps = epsilon_of(epsilon, fraction, mean)
    kernel = how.kernel(between, *weights, cost if x is None else x)
    f, g, path = _descend(kernel, eps, mean, how)
    held = Potentials(f, g, *weights, between, eps)
    plan = finished(held, (x, y, a, b, cost), how.tolerance, path)
    warn_if_missed(plan)
    return plan


def epsilon_of(epsilon: float | None, fraction: float | None, mean: float) -> float:
    """Epsilon in units of the cost.

    Raises
    ------
    InvalidLawError
        If it is not positive and finite, the mean cost is 0 or infinite, or both or none are
        given.
    """
    if (epsilon is None) == (fraction is None):
        msg = f"give epsilon or fraction, one of them, got {epsilon} and {fraction}"
        raise InvalidLawError(msg)
    name, value = ("epsilon", epsilon) if epsilon is not None else ("fraction", fraction)
    if value is None or not 0.0 < value < math.inf:
        msg = f"{name} must be positive and finite, got {value}"
        raise InvalidLawError(msg)
    eps = float(value) if epsilon is not None else float(value) * mean
    if eps == math.inf:
        msg = f"the mean cost is {mean}, beyond float64: choose a larger unit of the points"
        raise InvalidLawError(msg)
    if eps <= 0.0:
        msg = f"the mean cost is {mean}: give epsilon itself, not a fraction of it"
        raise InvalidLawError(msg)
    return eps


def warn_if_missed(plan: EntropicPlan) -> None:
    """Say aloud that a tolerance was missed."""
    if not plan.converged:
        msg = (
            f"after {plan.iterations} iterations the marginals are missed by "
            f"{plan.marginal_error:.3g}, above the tolerance {plan.tolerance:g}"
        )
        warnings.warn(msg, NotConvergedWarning, stacklevel=3)


def epsilon_path(epsilon: float, mean: float, scaling: bool | None) -> list[float]:
    """Epsilons from a tenth of the mean cost down by factors of about 4, the last is the one."""
    if scaling is None:
        scaling = epsilon < DIRECT * mean
    above = FIRST * mean / epsilon
    if not scaling or above <= 1.0:
        return [epsilon]
    steps = math.ceil(math.log(above) / -math.log(FACTOR))
    return [epsilon * above ** (1.0 - k / steps) for k in range(steps)] + [epsilon]


def _descend(
    kernel: Kernel, epsilon: float, mean: float, how: Effort
) -> tuple[Tensor, Tensor, tuple[Level, ...]]:
    """All levels of the path, each from the potentials of the one above."""
    f, g = torch.zeros_like(kernel.a), torch.zeros_like(kernel.b)
    left, path = how.max_iterations, []
    levels = epsilon_path(epsilon, mean, how.scaling)
    for eps in levels[:-1]:
        share = min(PATIENCE, left // 2)
        if share < 1:
            break
        f, g, level = _level(kernel, f, g, eps, max(LOOSE, how.tolerance), share, how)
        left -= level.iterations
        path.append(level)
    f, g, level = _level(kernel, f, g, epsilon, how.tolerance, left, how)
    return f, g, (*path, level)


def _level(
    kernel: Kernel, f: Tensor, g: Tensor, epsilon: float, tolerance: float, most: int, how: Effort
) -> tuple[Tensor, Tensor, Level]:
    """Iterate at one epsilon to a tolerance, ``most`` sweeps at most."""
    kernel.absorb(f, g, epsilon)
    u, v = torch.ones_like(kernel.a), torch.ones_like(kernel.b)
    if kernel.dtype == torch.float32:
        tolerance *= 0.5  # rounding of the matrix, which the result's own measure sees
    relaxation, every = Relaxation(how.relaxation, tolerance), how.every(kernel.a.device)
    done = 0
    while True:
        count = min(every, most - done)
        for _ in range(count):
            swept = kernel.sweep(u, v, relaxation.omega)
            u, v = swept.u, swept.next_v
        done += count
        error, size = torch.stack([swept.error, _size(u, v)]).tolist()
        if not math.isfinite(error + size):
            raise NonFiniteError(_overflow(epsilon, done))
        if how.progress is not None:
            how.progress(done, error, epsilon)
        if error <= tolerance or done >= most:
            return *kernel.potentials(u, swept.v), Level(epsilon, done, error)
        relaxation.see(error, count)
        if most - done <= LANDING:
            relaxation.land()
        if size > kernel.limit:
            kernel.absorb(*kernel.potentials(u, v), epsilon)
            u, v = torch.ones_like(u), torch.ones_like(v)


def _size(u: Tensor, v: Tensor) -> Tensor:
    """Largest ``|log|`` of the scalings."""
    return torch.maximum(u.log().abs().max(), v.log().abs().max())


def _overflow(epsilon: float, sweeps: int) -> str:
    return (
        f"Sinkhorn's scalings are not finite after {sweeps} iterations at epsilon = {epsilon:g}; "
        "use relaxation=1, a smaller check_every, or float64"
    )
