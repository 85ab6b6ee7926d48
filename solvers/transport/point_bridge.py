r"""Schrodinger bridges between two weighted clouds of points, for any linear reference.

Seen through the reference's transition ``(Phi, b, Q)`` over [0, 1], as ``Q^{-1/2} (Phi x + b)``
and ``Q^{-1/2} y``, the static bridge is the entropic plan of cost ``|.|^2`` and epsilon = 2::

    P_ij = F_i exp(-|Q^{-1/2} (y_j - Phi x_i - b)|^2 / 2) G_j,   F = a e^{f/2},  G = b e^{g/2}

Given its ends the process is the reference, pinned. So at 0 < u < 1 it has a density, a mixture of
n m Gaussians that is a *product* of a mixture of n and one of m, and the drift is closed::

    phi(x)  = sum_j G_j N(y_j; Phi' x + b', Q')         (transition over [u, 1])
    phi_(x) = sum_i F_i N(x; Phi_u x_i + b_u, Q_u)      (transition over [0, u])
    drift   = F x + a + L L^T grad log phi,     density  proportional to  phi phi_

No density exists at u = 0 and u = 1, where the law is the cloud; there the fields have no limit.

Leonard 2014, arXiv:1308.0215 (static and dynamic problem); Pooladian & Niles-Weed 2024,
arXiv:2408.11686 (drift from the potentials of Sinkhorn).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..errors import InvalidLawError
from ..parameters import parameter, points
from .bures import roots
from .cost import squared_distance
from .pinned import pin
from .reference import LinearReference, Transition
from .sinkhorn import sinkhorn
from .sinkhorn_result import EntropicPlan, plan_blocks


@dataclass(frozen=True, eq=False)
class PointBridge:
    """The Schrodinger bridge between two clouds; made by :func:`point_bridge`, formulae above.

    Not to be confused with :class:`.gaussian_bridge.GaussianBridge` between the Gaussians of the
    same moments, nor with a smoothed version of the clouds: its ends are the points themselves.

    Attributes
    ----------
    x, y : Tensor
        The clouds (n, d), (m, d), float64.
    reference : LinearReference
        The reference.
    plan : EntropicPlan
        The coupling of the ends, with its weights, its marginal error and what it was asked for.
    mean, cov : tuple of Tensor
        Means (d,) and covariances (d, d) of both ends, *under the plan*.
    cross : Tensor
        ``Cov(X_0, X_1)``, (d, d).
    """

    x: Tensor
    y: Tensor
    reference: LinearReference
    plan: EntropicPlan
    mean: tuple[Tensor, Tensor] = field(init=False)
    cov: tuple[Tensor, Tensor] = field(init=False)
    cross: Tensor = field(init=False)

    def __post_init__(self) -> None:
        cross = torch.zeros(self.dim, self.dim).to(self.x)
        rows, columns = torch.zeros_like(self.plan.a), torch.zeros_like(self.plan.b)
        x, y = self.x - self.x.mean(0), self.y - self.y.mean(0)  # or digits cancel
        for part, p in plan_blocks(self.plan):
            rows[part] = p.sum(1)
            columns += p.sum(0)
            cross += x[part].mT @ (p @ y)
        total = rows.sum()
        r, c = rows / total, columns / total
        first, last = r @ x, c @ y
        covs = (x.mT * r) @ x - first[:, None] * first, (y.mT * c) @ y - last[:, None] * last
        mean = first + self.x.mean(0), last + self.y.mean(0)
        self.__dict__.update(mean=mean, cov=covs, cross=cross / total - first[:, None] * last)

    @property
    def dim(self) -> int:
        """Dimension d."""
        return self.x.shape[1]

    def law(self, u: float) -> tuple[Tensor, Tensor]:
        """Mean (d,) and covariance (d, d) of X_u, u in [0, 1]."""
        if u in (0.0, 1.0):
            return self.mean[int(u)], self.cov[int(u)]
        law = pin(self.reference, u)
        mean = law.start @ self.mean[0] + law.end @ self.mean[1] + law.shift
        mixed = law.start @ self.cross @ law.end.mT
        ends = law.start @ self.cov[0] @ law.start.mT + law.end @ self.cov[1] @ law.end.mT
        return mean, ends + mixed + mixed.mT + law.cov

    def pairs(self, uniforms: Tensor) -> tuple[Tensor, Tensor]:
        """Indices (i, j) of pairs drawn from the plan, from uniforms (k, 2) in (0, 1).

        i from the weights of the first cloud, j from the plan's row, by inverted cumulative sums.
        """
        first = _choose(self.plan.a.expand(1, -1), uniforms[:, :1].mT.contiguous())[0]
        move = self.reference.transition(1.0)
        moved, last = self.x[first] @ move.phi.mT + move.shift, []
        for part in _parts(len(first), len(self.y)):
            rows = self._to_last(moved[part], move.cov).softmax(1)
            last.append(_choose(rows, uniforms[part, 1:])[:, 0])
        return first, torch.cat(last)

    def _to_last(self, moved: Tensor, cov: Tensor) -> Tensor:
        """``log G_j - |cov^{-1/2} (y_j - moved)|^2/2``, (k, m)."""
        inverse = roots(cov)[1]
        apart = squared_distance(moved @ inverse, self.y @ inverse)
        return self.plan.b.log() + 0.5 * self.plan.g - 0.5 * apart

    def _to_first(self, x: Tensor, step: Transition) -> Tensor:
        """``log F_i - |cov^{-1/2} (x - Phi x_i - b)|^2/2``, (k, n)."""
        inverse = roots(step.cov)[1]
        moved = self.x @ step.phi.mT + step.shift
        apart = squared_distance(x @ inverse, moved @ inverse)
        return self.plan.a.log() + 0.5 * self.plan.f - 0.5 * apart

    def last_given(self, x: Tensor, u: float) -> Tensor:
        """``E[X_1 | X_u = x]``, (B, d), for u in [0, 1)."""
        step = self._rest(u)
        moved = points(x, self.x) @ step.phi.mT + step.shift
        return torch.cat(
            [self._to_last(moved[k], step.cov).softmax(1) @ self.y for k in self._few(x)]
        )

    def first_given(self, x: Tensor, u: float) -> Tensor:
        """``E[X_0 | X_u = x]``, (B, d), for u in (0, 1]."""
        step = self._past(u)
        parts = self._few(points(x, self.x))
        return torch.cat([self._to_first(x[k], step).softmax(1) @ self.x for k in parts])

    def to_come(self, x: Tensor, u: float) -> Tensor:
        """``grad log phi``, (B, d), for u in [0, 1)."""
        step = self._rest(u)
        missing = self.last_given(x, u) - x @ step.phi.mT - step.shift
        return torch.linalg.solve(step.cov, missing.mT).mT @ step.phi

    def has_been(self, x: Tensor, u: float) -> Tensor:
        """``grad log phi_``, the same for the process run backwards; (B, d), for u in (0, 1]."""
        step = self._past(u)
        gone = x - self.first_given(x, u) @ step.phi.mT - step.shift
        return -torch.linalg.solve(step.cov, gone.mT).mT

    def log_density(self, x: Tensor, u: float) -> Tensor:
        """``log rho_u(x)``, (B,), for 0 < u < 1."""
        rest, step = self._rest(u), self._past(u)
        moved = points(x, self.x) @ rest.phi.mT + rest.shift
        logs = []
        for k in self._few(x):
            to_come, has_been = self._to_last(moved[k], rest.cov), self._to_first(x[k], step)
            logs.append(to_come.logsumexp(1) + has_been.logsumexp(1))
        whole = self.reference.transition(1.0)
        dets = torch.logdet(whole.cov) - torch.logdet(rest.cov) - torch.logdet(step.cov)
        return torch.cat(logs) + 0.5 * (dets - self.dim * math.log(2 * math.pi))

    def score(self, x: Tensor, u: float) -> Tensor:
        """``grad log rho_u``, (B, d), for 0 < u < 1."""
        return self.to_come(x, u) + self.has_been(x, u)

    def drift(self, x: Tensor, u: float) -> Tensor:
        """Drift of the bridge run forward, (B, d), for u in [0, 1)."""
        return self.reference.drift(x) + self.to_come(x, u) @ self.reference.covariance_rate

    def velocity(self, x: Tensor, u: float) -> Tensor:
        """``drift - (1/2) L L^T score``: velocity of the probability-flow ODE, for 0 < u < 1."""
        return self.drift(x, u) - 0.5 * self.score(x, u) @ self.reference.covariance_rate

    def _few(self, x: Tensor) -> list[slice]:
        return _parts(len(x), max(len(self.x), len(self.y)))

    def _rest(self, u: float) -> Transition:
        if not 0.0 <= u < 1.0:
            msg = f"this bridge ends in points, so this is asked for u in [0, 1), got {u}"
            raise InvalidLawError(msg)
        return self.reference.transition(1.0 - u)

    def _past(self, u: float) -> Transition:
        if not 0.0 < u <= 1.0:
            msg = f"this bridge starts in points, so this is asked for u in (0, 1], got {u}"
            raise InvalidLawError(msg)
        return self.reference.transition(u)


def point_bridge(
    x: Any,
    y: Any,
    a: Any = None,
    b: Any = None,
    *,
    reference: LinearReference,
    **effort: Any,
) -> PointBridge:
    """Find the bridge between clouds x (n, d) and y (m, d) with weights a and b, by Sinkhorn.

    Parameters
    ----------
    x, y, a, b
        Clouds and positive weights that sum to one; equal weights if not given.
    reference : LinearReference
        Of dimension d.
    **effort
        Options of :func:`.sinkhorn.sinkhorn`: tolerance, max_iterations, ...

    Raises
    ------
    InvalidLawError
        If clouds, weights or the dimension of the reference are not as said.

    Warns
    -----
    NotConvergedWarning
        If the tolerance is missed.

    Examples
    --------
    >>> from fokker.solvers.transport.reference import brownian
    >>> bridge = point_bridge([[0.0]], [[2.0], [4.0]], reference=brownian(1))
    >>> [round(float(v), 12) for v in bridge.law(0.5)]
    [1.5, 0.5]
    """
    x, y = (parameter(v, n, (None, None)).to(torch.float64) for v, n in ((x, "x"), (y, "y")))
    if not x.shape[1] == y.shape[1] == reference.dim:
        msg = (
            f"clouds and reference must have one dimension, got {x.shape[1]}, {y.shape[1]} and "
            f"{reference.dim}"
        )
        raise InvalidLawError(msg)
    move = reference.transition(1.0)
    inverse = roots(move.cov)[1]
    seen = (x @ move.phi.mT + move.shift) @ inverse
    return PointBridge(x, y, reference, sinkhorn(seen, y @ inverse, a, b, epsilon=2.0, **effort))


def _parts(rows: int, columns: int) -> list[slice]:
    size = max(1, 2**20 // columns)
    return [slice(k, k + size) for k in range(0, max(rows, 1), size)]


def _choose(rows: Tensor, uniforms: Tensor) -> Tensor:
    """Index of the cell of each uniform (k, r) in the cumulative sums of rows (k, m), (k, r)."""
    up = rows.cumsum(1)
    return torch.searchsorted(up, uniforms * up[:, -1:]).clamp_max(rows.shape[1] - 1)
