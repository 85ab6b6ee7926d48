"""Mass-keeping maps between one-dimensional Gaussian mixtures, accurate in tails and in gaps.

The probability-flow ODE in one dimension keeps the distribution function: ``F_end(y_end) =
F_start(y_start)``. Solving that equation with F itself loses all digits in the upper tail and in a
gap between modes, where F is flat. But for any split of the components into left and right,

    G(y) = sum_right w_j Phi(z_j) - sum_left w_j Phi(-z_j),      z_j = (y - alpha m_j)/s_j

differs from F by the constant ``sum_left w_j``, so it is kept too. Splitting at y_start (a
component is left if its centre is) makes every term at most w_j/2: all-right is the distribution
function, all-left minus the survival function, and in a gap both sums are tails. Sums are held as
logarithms, so relative accuracy survives any depth; G_end(y) = G_start is solved as an equality
of logarithms by Newton's method, kept inside a bracket.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..solvers.errors import FokkerError

MAX_ITERATIONS = 200  # bisection alone needs about 80
_HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)


class Components(NamedTuple):
    """A mixture at one level of noise: log-weights, centres, widths, each (d, J)."""

    log_w: Tensor
    centre: Tensor
    width: Tensor

    def standard(self, y: Tensor) -> Tensor:
        """``z_j``, (..., d, J)."""
        return (y[..., None] - self.centre) / self.width

    def log_density(self, y: Tensor) -> Tensor:
        """Log density at y, (..., d)."""
        return self._terms(self.standard(y)).logsumexp(-1)

    def _terms(self, z: Tensor) -> Tensor:
        return self.log_w - self.width.log() - 0.5 * z * z - _HALF_LOG_2PI

    def masses(self, y: Tensor, left: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Logs of both sums of G and of their densities, for a split into left and right."""
        z, never = self.standard(y), y.new_full((), -math.inf)
        lower, upper = torch.special.log_ndtr(z), torch.special.log_ndtr(-z)
        terms = self._terms(z)
        return (
            (self.log_w + lower).where(~left, never).logsumexp(-1),
            (self.log_w + upper).where(left, never).logsumexp(-1),
            terms.where(~left, never).logsumexp(-1),
            terms.where(left, never).logsumexp(-1),
        )


class _Target(NamedTuple):
    """G_start: the split, and the sign and logarithm of its value."""

    left: Tensor
    positive: Tensor
    log_size: Tensor

    def residual(self, mix: Components, y: Tensor) -> tuple[Tensor, Tensor]:
        """``log(right + max(-g, 0)) - log(left + max(g, 0))``, increasing in y, and its slope."""
        right, left, d_right, d_left = mix.masses(y, self.left)
        right = right.where(self.positive, torch.logaddexp(right, self.log_size))
        left = left.where(~self.positive, torch.logaddexp(left, self.log_size))
        return right - left, (d_right - right).exp() + (d_left - left).exp()


def _target(mix: Components, y: Tensor) -> _Target:
    left = mix.standard(y) > 0
    right_mass, left_mass, _, _ = mix.masses(y, left)
    high, low = torch.maximum(right_mass, left_mass), torch.minimum(right_mass, left_mass)
    return _Target(left, right_mass >= left_mass, high + torch.log1p(-(low - high).exp()))


def _bracket(start: Components, y: Tensor, end: Components) -> tuple[Tensor, Tensor]:
    """An interval that holds the solution.

    A mixture's quantile lies between the extreme quantiles of its components, and the normal
    quantile of p <= 1/2 lies in ``[-sqrt(-2 log 2p), 0]`` because ``Phi(-z) <= exp(-z^2/2)/2``.
    """
    z = start.standard(y)
    lower = (start.log_w + torch.special.log_ndtr(z)).logsumexp(-1)
    upper = (start.log_w + torch.special.log_ndtr(-z)).logsumexp(-1)
    reach = (-2.0 * (torch.minimum(lower, upper) + math.log(2.0))).clamp_min(0.0).sqrt() + 1e-6
    reach = reach[..., None] * end.width
    below, above = (lower <= upper)[..., None], (lower >= upper)[..., None]
    low = torch.where(below, end.centre - reach, end.centre).amin(-1)
    high = torch.where(above, end.centre + reach, end.centre).amax(-1)
    pad = 1e-6 * end.width.amax(-1)  # components that coincide leave an interval of length 0
    return low - pad, high + pad


def transport(start: Components, y: Tensor, end: Components, guess: Tensor) -> Tensor:
    """``F_end^{-1}(F_start(y))``, (B, d); no gradient.

    Each step is Newton's if it stays in the bracket and halves the last one, else a bisection.

    Raises
    ------
    FokkerError
        If the iteration has not settled to rounding after 200 steps.
    """
    target = _target(start, y)
    low, high = _bracket(start, y, end)
    at = torch.maximum(torch.minimum(guess, high), low)
    last = high - low
    eps, floor = torch.finfo(y.dtype).eps, end.width.amin(-1)
    for _ in range(MAX_ITERATIONS):
        value, slope = target.residual(end, at)
        low, high = at.where(value <= 0, low), at.where(value >= 0, high)
        newton = -value / slope
        bad = ~((at + newton > low) & (at + newton < high) & (newton.abs() <= 0.5 * last.abs()))
        move = torch.where(bad, 0.5 * (low + high) - at, newton)
        move = move.where(value != 0, torch.zeros_like(move))
        at, last = at + move, move
        if bool((move.abs() <= 2 * eps * (at.abs() + floor)).all()):
            return at
    worst = float(last.abs().max())
    msg = f"the quantile map did not settle in {MAX_ITERATIONS} steps: last move {worst}"
    raise FokkerError(msg)


class QuantileMap(torch.autograd.Function):
    """:func:`transport` with its derivative, ``f_start(y_start)/f_end(y_end)``."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, guess: Tensor, start: Components, end: Components) -> Tensor:
        """Solve."""
        out = transport(start, y, end, guess)
        ctx.save_for_backward(y, out)
        ctx.levels = start, end
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:  # pyright: ignore
        """Ratio of densities, itself differentiable."""
        y, out = ctx.saved_tensors
        start, end = ctx.levels
        return grad * (start.log_density(y) - end.log_density(out)).exp(), None, None, None
