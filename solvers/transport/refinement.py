r"""Learning a linear drift from Gaussian snapshots: bridge, refit the reference, repeat.

Two half-steps, each of which lowers the same ``KL(Q | P_theta)``, theta = (F, a):

* Q becomes the bridge through all snapshots closest to ``P_theta``, ``dX = (F X + a) dt + L dW``;
* theta becomes the least-squares fit to the drift of Q along Q,
  ``(F, a) = (int E[drift (x, 1)^T] dt) (int E[(x, 1)(x, 1)^T] dt)^{-1}``.

L is known and stays: with another L the relative entropy of paths is infinite. Where the snapshots
are those of a linear process with this L its theta is a fixed point, with KL = 0. But KL = 0 says
only that theta has these snapshots. A stationary law, for one, says nothing of the rotation in it
(``F = -k 1 + w J`` has one stationary law for all w), and the iteration then rests at a drift
that is wrong and fits. :func:`unseen` finds such directions, :func:`refine` says so.

Shen, Berlinghieri & Broderick 2024, arXiv:2408.06277; the closed steps and the verdict are ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..errors import InvalidLawError
from .gaussian_bridge import GaussianBridge
from .multi_marginal import MultiMarginalBridge, Snapshot
from .reference import LinearReference

Verdict = Literal[
    "recovered", "KL is about 0 but the drift is not unique", "does not fit", "not settled"
]
NODES = 10
"""Gauss points of the refit in each stretch; fields are smooth there."""


class Round(NamedTuple):
    """A reference, and the KL of its bridge against it."""

    reference: LinearReference
    entropy: float


@dataclass(frozen=True, eq=False)
class Refinement:
    """What the iteration found.

    Attributes
    ----------
    rounds : list of Round
        The first is the start; entropies do not increase.
    unseen : Tensor
        (k, d, d + 1): orthonormal directions of (F | a) which no snapshot sees, to first order.
    verdict : str
        ``recovered``: KL about 0, and no other drift nearby has these snapshots. Drifts far away
        may: a full turn between two snapshots is never seen.
        ``KL is about 0 but the drift is not unique``: see ``unseen``.
        ``does not fit``: settled with KL > 0; no linear drift with this diffusion has these
        snapshots, so the diffusion is wrong or the process is not linear.
        ``not settled``: more rounds are wanted.
    """

    rounds: list[Round]
    unseen: Tensor
    verdict: Verdict

    @property
    def reference(self) -> LinearReference:
        """The last reference."""
        return self.rounds[-1].reference


def refit(bridge: MultiMarginalBridge, *, offset: bool = True) -> LinearReference:
    """The linear reference closest to a bridge: least squares of its drift along its paths.

    Parameters
    ----------
    bridge : MultiMarginalBridge
        Its reference's diffusion is kept.
    offset : bool
        Whether ``a`` is fitted; otherwise it is 0.
    """
    d = bridge.dim
    size = d + 1 if offset else d
    moment, seen = _zeros(d, size), _zeros(size, size)
    at, weights = np.polynomial.legendre.leggauss(NODES)
    for piece, (start, end) in zip(bridge.pieces, pairwise(bridge.times), strict=True):
        for v, w in zip(at, weights, strict=True):
            ux, xx = _moments(piece, 0.5 * (1.0 + float(v)))
            # a drift per u, not per t: its integral over u needs no factor of the length
            moment += 0.5 * float(w) * ux[:, :size]
            seen += 0.5 * float(w) * (end - start) * xx[:size, :size]
    theta = torch.linalg.solve(seen, moment.mT).mT
    return LinearReference(
        theta[:, :d], bridge.reference.diffusion, theta[:, d] if offset else None
    )


def _moments(piece: GaussianBridge, u: float) -> tuple[Tensor, Tensor]:
    """``E[drift (x, 1)^T]`` and ``E[(x, 1)(x, 1)^T]`` of an affine drift on a Gaussian."""
    mean, cov = piece.law(u)
    eye = torch.eye(piece.dim + 1, piece.dim, dtype=torch.float64)  # its last row is 0
    value = piece.drift(mean + eye, u)
    slope, value = (value[:-1] - value[-1]).mT, value[-1]
    one = torch.cat([mean, mean.new_ones(1)])
    xx = torch.outer(one, one)
    xx[:-1, :-1] += cov
    ux = torch.outer(value, one)
    ux[:, :-1] += slope @ cov
    return ux, xx


def unseen(
    reference: LinearReference,
    given: Sequence[Snapshot],
    *,
    offset: bool = True,
    relative: float = 1e-6,
) -> Tensor:
    """Directions of (F | a) that leave every snapshot as it is, to first order; (k, d, d + 1).

    The right singular vectors of the derivative of all means and covariances, each from the
    snapshot before, whose singular values are below ``relative`` times the largest. Without
    ``offset`` the last column is 0.
    """
    d = reference.dim
    theta = torch.cat([reference.drift_matrix, reference.offset[:, None]], 1)
    size = d + 1 if offset else d
    columns, step = [], 1e-5 * max(1.0, float(theta.abs().max()))
    for i in range(d):
        for j in range(size):
            sides = []
            for sign in (1.0, -1.0):
                moved = theta.clone()
                moved[i, j] += sign * step
                moved = LinearReference(moved[:, :d], reference.diffusion, moved[:, d])
                sides.append(_predicted(moved, given))
            columns.append((sides[0] - sides[1]) / (2 * step))
    _, values, right = torch.linalg.svd(torch.stack(columns, 1), full_matrices=True)
    small = torch.ones(len(right), dtype=torch.bool)
    small[: len(values)] = values < relative * values[0]
    out = torch.zeros(int(small.sum()), d, d + 1, dtype=torch.float64)
    out[:, :, :size] = right[small].reshape(-1, d, size)
    return out


def _predicted(reference: LinearReference, given: Sequence[Snapshot]) -> Tensor:
    """Means and covariances of all snapshots but the first, each from the one before."""
    out = []
    for one, two in pairwise(given):
        phi, shift, noise = reference.transition(two.time - one.time)
        mean, cov = (torch.as_tensor(v, dtype=torch.float64) for v in one[1:])
        out += [phi @ mean + shift, (phi @ cov @ phi.mT + noise).flatten()]
    return torch.cat(out)


def refine(
    given: Sequence[Snapshot],
    start: LinearReference,
    *,
    rounds: int = 50,
    offset: bool = True,
    tolerance: float = 1e-9,
) -> Refinement:
    """Alternate bridge and refit until KL is below ``tolerance`` or theta moves no more.

    Parameters
    ----------
    given : sequence of Snapshot
        Two or more Gaussian laws at increasing times.
    start : LinearReference
        The first reference; its diffusion L is taken for true. Brownian motion is usual.
    rounds : int
        Largest number of refits.
    offset : bool
        Whether the constant part of the drift is fitted too.
    tolerance : float
        KL in nats taken for 0. For snapshots estimated from n samples, about ``d^2/n``.

    Raises
    ------
    InvalidLawError
        If snapshots are no laws at increasing times, or ``rounds`` is not positive.
    """
    if rounds < 1:
        msg = f"rounds must be positive, got {rounds}"
        raise InvalidLawError(msg)
    bridge = MultiMarginalBridge(given, start)
    found, settled = [Round(start, bridge.relative_entropy())], False
    while len(found) <= rounds and found[-1].entropy > tolerance and not settled:
        fitted = refit(bridge, offset=offset)
        settled = _change(found[-1].reference, fitted) < 1e-8
        bridge = MultiMarginalBridge(given, fitted)
        found.append(Round(fitted, bridge.relative_entropy()))
    blind = unseen(found[-1].reference, given, offset=offset)
    return Refinement(found, blind, _verdict(found[-1].entropy <= tolerance, settled, len(blind)))


def _verdict(fits: bool, settled: bool, blind: int) -> Verdict:
    if fits:
        return "KL is about 0 but the drift is not unique" if blind else "recovered"
    return "does not fit" if settled else "not settled"


def _change(one: LinearReference, two: LinearReference) -> float:
    """Largest change of an entry of theta, against its largest entry."""
    a, b = (torch.cat([r.drift_matrix, r.offset[:, None]], 1) for r in (one, two))
    return float((a - b).abs().max() / max(1.0, float(b.abs().max())))


def _zeros(*shape: int) -> Tensor:
    return torch.zeros(*shape, dtype=torch.float64)
