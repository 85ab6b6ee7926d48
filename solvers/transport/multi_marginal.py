r"""Schrodinger bridges through several Gaussian snapshots, with a linear reference.

Among all processes with the given laws at times ``t_0 < ... < t_K``, the one closest in relative
entropy to a Markov reference is the concatenation of the bridges between neighbours: constraints
are on single times, so past and future stay independent given the present. In particular
``Cov(X_0, X_2) = C_01 S_1^{-1} C_12``.

A stretch of length h is a bridge in ``u = (t - t_k)/h`` for the reference sped up by h.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..errors import InvalidLawError
from .gaussian_bridge import GaussianBridge
from .reference import LinearReference


class Snapshot(NamedTuple):
    """The Gaussian law of a process at one time; mean (d,), cov (d, d)."""

    time: float
    mean: Any
    cov: Any


def snapshots(
    reference: LinearReference, start: Snapshot, times: Sequence[float]
) -> list[Snapshot]:
    """The laws of a linear process at ``times``, not before ``start.time``, from its start."""
    mean, cov = (torch.as_tensor(v, dtype=torch.float64) for v in start[1:])
    out = []
    for t in times:
        phi, shift, noise = reference.transition(t - start.time)
        out.append(Snapshot(float(t), phi @ mean + shift, phi @ cov @ phi.mT + noise))
    return out


@dataclass(frozen=True, eq=False)
class MultiMarginalBridge:
    """The process through all snapshots that is closest to a linear reference.

    Its drift jumps at the snapshots, where it is that of the stretch to come. Not to be confused
    with an interpolation of means and covariances: between snapshots the reference decides.

    Parameters
    ----------
    snapshots : sequence of Snapshot
        Two or more, in order of time, covariances positive definite.
    reference : LinearReference
        Drift and diffusion per unit of the snapshots' time.

    Raises
    ------
    InvalidLawError
        If there are fewer than two snapshots, times do not increase, or a law is none.

    Examples
    --------
    >>> from .reference import brownian
    >>> normal = [Snapshot(t, [0.0], [[1.0]]) for t in (0.0, 1.0, 2.0)]
    >>> bridge = MultiMarginalBridge(normal, brownian(1))
    >>> round(float(bridge.cross(0, 2)[0, 0]), 12)  # the square of 0.618...
    0.38196601125
    """

    snapshots: Sequence[Snapshot]
    reference: LinearReference
    pieces: tuple[GaussianBridge, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        times = [float(s.time) for s in self.snapshots]
        rises = all(a < b for a, b in pairwise(times))
        if len(times) < 2 or not rises or not all(map(math.isfinite, times)):
            msg = f"snapshots must be two or more at increasing finite times, got {times}"
            raise InvalidLawError(msg)
        f, lower, a = (getattr(self.reference, n) for n in ("drift_matrix", "diffusion", "offset"))
        pieces = []
        for one, two in pairwise(self.snapshots):
            h = two.time - one.time
            sped = LinearReference(h * f, math.sqrt(h) * lower, h * a)
            pieces.append(GaussianBridge(one.mean, one.cov, two.mean, two.cov, sped))
        self.__dict__["pieces"] = tuple(pieces)

    @property
    def dim(self) -> int:
        """Dimension d."""
        return self.reference.dim

    @property
    def times(self) -> list[float]:
        """Times of the snapshots."""
        return [float(s.time) for s in self.snapshots]

    def _piece(self, t: float) -> tuple[GaussianBridge, float, float]:
        """The stretch of t, the time u in it, and its length."""
        times = self.times
        if not times[0] <= t <= times[-1]:
            msg = f"the time t must be in [{times[0]:g}, {times[-1]:g}], got {t}"
            raise InvalidLawError(msg)
        k = min(bisect_right(times, t) - 1, len(self.pieces) - 1)
        h = times[k + 1] - times[k]
        return self.pieces[k], min(max((t - times[k]) / h, 0.0), 1.0), h

    def law(self, t: float) -> tuple[Tensor, Tensor]:
        """Mean (d,) and covariance (d, d) at time t."""
        piece, u, _ = self._piece(t)
        return piece.law(u)

    def drift(self, x: Tensor, t: float) -> Tensor:
        """Drift per unit of time at points x of shape (B, d)."""
        piece, u, h = self._piece(t)
        return piece.drift(x, u) / h

    def velocity(self, x: Tensor, t: float) -> Tensor:
        """Velocity of the probability-flow ODE, (B, d)."""
        piece, u, h = self._piece(t)
        return piece.velocity(x, u) / h

    def cross(self, j: int, k: int) -> Tensor:
        """``Cov(X_{t_j}, X_{t_k})`` of two snapshots, (d, d): regressions multiplied."""
        if j > k:
            return self.cross(k, j).mT
        found = torch.as_tensor(self.snapshots[j].cov, dtype=torch.float64)
        for piece in self.pieces[j:k]:
            found = found @ torch.linalg.solve(piece.cov_a, piece.cross)
        return found

    def joint(self) -> tuple[Tensor, Tensor]:
        """Mean (K d,) and covariance (K d, K d) of all K snapshots together."""
        count = range(len(self.snapshots))
        rows = [torch.cat([self.cross(j, k) for k in count], 1) for j in count]
        means = [torch.as_tensor(s.mean, dtype=torch.float64) for s in self.snapshots]
        return torch.cat(means), torch.cat(rows)

    def relative_entropy(self) -> float:
        """KL of this process against the reference started in the first snapshot; in nats."""
        return sum(piece.relative_entropy() for piece in self.pieces)
