"""Real-time iteration: a moving target is followed by few steps from the last answer.

A policy that samples a plan of actions at every control cycle need not start from noise each time.
The last plan, shifted by the action that was carried out, is a good guess: noise is put back up to
a moderate level, ``x = alpha guess + sigma xi``, and a few steps of any sampler bring it down
again (Duan, Yin & Kragic 2025, arXiv:2508.05396). It is the start of SDEdit, once a cycle.

On a Gaussian target ``N(m, c^2)`` that moves by d a cycle, with the exact flow after renoising,
the error e of the mean obeys

    e' = kappa (e + d),    kappa = alpha c/sqrt(alpha^2 c^2 + sigma^2) < 1,

and settles at ``kappa d/(1 - kappa)``: the noisier the level, the less is left of the past, and
the more steps are needed. The variance settles at ``c^2``, its error falling by kappa^2 a cycle.
With several modes the same forgetting is what lets the answer change its mode at all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

from ..checks import check_like, check_state
from ..errors import InvalidPlanError
from ..given import whole_number
from ..grids import Grid
from ..model import Model
from ..noise import CellNoise
from ..ops import Noise
from ..plan import Plan
from ..process import Node
from ..run import run


def shift_plan(actions: Tensor, steps: int = 1) -> Tensor:
    """A plan of actions, (B, horizon, ...), moved on by ``steps``; the last action is repeated.

    Raises
    ------
    InvalidPlanError
        If ``steps`` is no whole number, negative or beyond the horizon.

    Examples
    --------
    >>> shift_plan(torch.tensor([[1.0, 2.0, 3.0]]))
    tensor([[2., 3., 3.]])
    """
    steps = whole_number(steps, "a number of actions")
    if actions.ndim < 2 or not 0 <= steps <= actions.shape[1]:
        msg = f"a plan of shape {tuple(actions.shape)} cannot be moved on by {steps} actions"
        raise InvalidPlanError(msg)
    last = actions[:, -1:].expand(-1, steps, *actions.shape[2:])
    return torch.cat([actions[:, steps:], last], dim=1)


def renoise(x: Tensor, node: Node, noise: Tensor) -> Tensor:
    """``alpha x + sigma noise``: data put back to a level, as the forward process does it.

    Raises
    ------
    ShapeError
        If the noise is not like x: one noise for a whole batch is not broadcast over it.
    """
    check_like(noise, x, "the noise put back")
    return node.alpha * x + node.sigma * noise


def real_time(
    plan: Plan,
    grid: Grid,
    models: Iterable[Model],
    x: Tensor,
    *,
    seed: int = 0,
    shift: Callable[[Tensor], Tensor] = shift_plan,
) -> Iterator[Tensor]:
    """The answers of all cycles, one for each model: shift, renoise to ``grid[0]``, run the plan.

    Parameters
    ----------
    plan : Plan
        A sampler on ``grid``, which goes from the moderate level to the data.
    grid : Grid
        Its grid; the level of its first node is that of the noise put back.
    models : iterable of callables
        The model of each cycle, conditioned on what is seen then.
    x : Tensor
        The first answer, (B, *D), sampled from noise in full.
    seed : int
        Noise of cycle n is a function of (seed, sample, n). The plan of cycle n has the seed
        ``2^32 (seed + 1) + n``, so that runs of neighbouring seeds share no noise.
    shift : callable
        How an answer becomes the guess of the next cycle; ``lambda x: x`` for none.

    Raises
    ------
    InvalidPlanError
        For a seed that is no whole number.
    ShapeError, NonFiniteError
        As of :func:`.run.run`.
    """
    check_state(x, "x")
    seed = whole_number(seed, "a seed")
    source = CellNoise(seed)
    for cycle, model in enumerate(models):
        guess = shift(x)
        fresh = source.draw(Noise("t", float(cycle), float(cycle + 1)), guess)
        x = run(plan, model, renoise(guess, grid[0], fresh), noise=((seed + 1) << 32) + cycle).x
        yield x


def contraction(node: Node, std: float) -> float:
    """``kappa``, what is left of an error after renoising to ``node`` and the exact flow back.

    ``std`` is the target's standard deviation c in that direction. 1 at the data, 0 where alpha
    vanishes; a point (c = 0) forgets all at any level.

    Raises
    ------
    InvalidPlanError
        For a standard deviation that is negative or not finite.
    """
    if not 0.0 <= std < math.inf:
        msg = f"a standard deviation must be finite and at least 0, got {std}"
        raise InvalidPlanError(msg)
    if node.sigma == 0.0:
        return 1.0
    spread = node.alpha * std
    return spread / math.hypot(spread, node.sigma)


def steady_error(kappa: float, drift: float) -> float:
    """``kappa drift/(1 - kappa)``: where the tracking error of a steadily moving target settles.

    Raises
    ------
    InvalidPlanError
        Unless ``0 <= kappa < 1``: without a contraction nothing settles; and for a drift that is
        not finite.
    """
    if not (0.0 <= kappa < 1.0 and math.isfinite(drift)):
        msg = f"need a contraction factor in [0, 1) and a finite drift, got {kappa} and {drift}"
        raise InvalidPlanError(msg)
    return kappa * drift / (1.0 - kappa)


def level_for(kappa: float, std: float) -> float:
    """The half log-SNR at which the contraction is ``kappa``: ``log(kappa/(c sqrt(1-kappa^2)))``.

    The inverse of :func:`contraction`: it needs lam alone, so it is the same on every process.

    Raises
    ------
    InvalidPlanError
        Unless ``0 < kappa < 1`` and the standard deviation is positive.
    """
    if not (0.0 < kappa < 1.0 and 0.0 < std < math.inf):
        msg = f"no level has the contraction {kappa} for a standard deviation {std}"
        raise InvalidPlanError(msg)
    return math.log(kappa / std) - 0.5 * math.log1p(-kappa * kappa)
