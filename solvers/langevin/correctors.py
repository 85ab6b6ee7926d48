r"""Correctors: some Langevin steps at one level of noise, plain, adjusted or preconditioned.

A corrector changes no level: it is given x at node s, the score there, and noise, and gives x
back. What it keeps:

* :class:`Langevin` (Score-SDE's): the law of the level up to the bias of ULA, see ``steps``.
* :class:`Mala`: exactly the law of the density that it is given, for any rule whose step is one
  number (Roberts & Tweedie 1996; Metropolis-adjusted Langevin). It needs the density, or its
  logarithm up to a constant: a score alone cannot be adjusted.
* :class:`DampedLangevin`: steps shortened along the score by the Levenberg-Marquardt matrix ``P =
  (I + e e^T/damping)^{-1}`` of LML (Wang et al. 2025, arXiv:2505.24222), here with the noise that
  belongs to it: ``x + h P score + sqrt(2 h) P^{1/2} z``. A P that does not depend on x keeps the
  law; this one does, through e, and keeps another, see :func:`damped_variance`. LML itself
  (``wrappers/lml.py``) turns the noise prediction of an ODE solver by the same matrix and has no
  noise.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from ..batch import column, inner
from ..errors import InvalidPlanError, NonFiniteError, ShapeError
from ..process import Node
from .steps import LevelRule, SnrPublished, SnrRule, StepRule, as_column, langevin_step, positive

Score = Callable[[Tensor], Tensor]
"""The score at the level in question, (B, *D) -> (B, *D)."""
Draw = Callable[[int], Tensor]
"""Standard normal field number j of this visit, (B, *D); fields are independent."""
LogDensity = Callable[[Tensor, float], Tensor]
"""``log p_t(x)`` up to a constant, (B, *D) and a time -> (B,)."""


class Corrector(Protocol):
    """Some steps that keep the level."""

    @property
    def fields(self) -> int:
        """How many noise fields a visit draws."""
        ...

    @property
    def evaluations(self) -> int:
        """How often a visit asks the model."""
        ...

    def __call__(self, x: Tensor, score: Score, draw: Draw, s: Node, t: Node) -> Tensor:
        """The state after this visit at s, before the step from s to t."""
        ...


def check_steps(steps: int) -> None:
    """Refuse a number of corrector steps that is no whole number >= 1.

    Raises
    ------
    InvalidPlanError
        Naming it.
    """
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        msg = f"a corrector needs a whole number of steps, at least 1, got {steps!r}"
        raise InvalidPlanError(msg)


@dataclass(frozen=True)
class Langevin:
    """``steps`` unadjusted steps, each of the size that ``rule`` says."""

    rule: StepRule = field(default_factory=LevelRule)
    steps: int = 1

    def __post_init__(self) -> None:
        check_steps(self.steps)

    @property
    def fields(self) -> int:
        """One a step."""
        return self.steps

    @property
    def evaluations(self) -> int:
        """One a step."""
        return self.steps

    def __call__(self, x: Tensor, score: Score, draw: Draw, s: Node, t: Node) -> Tensor:
        """See :class:`Corrector`."""
        for j in range(self.steps):
            g, z = score(x), draw(j)
            x = langevin_step(x, g, self.rule(g, z, s, t), z)
        return x


def mala_log_ratio(
    now: tuple[Tensor, Tensor, Tensor], new: tuple[Tensor, Tensor, Tensor], step: Tensor
) -> Tensor:
    """Log of the ratio that accepts a move, (B,); each state is ``(x, score, log density)``.

    ``log p(x') - log p(x) + (|x' - x - e s(x)|^2 - |x - x' - e s(x')|^2)/(4 e)``, before the
    minimum with 0.
    """
    (x, s, log_p), (y, s_new, log_q) = now, new
    forth, back = y - x - step * s, x - y - step * s_new
    drift = (inner(forth, forth) - inner(back, back)) / (4 * step)
    return log_q - log_p + drift.flatten()


@dataclass(frozen=True)
class Mala:
    """``steps`` Metropolis-adjusted steps; keeps ``log_density`` exactly at every step size.

    Each step draws two fields: of its proposal, and one whose first number decides. A visit asks
    the model once more than it has steps. A proposal of density 0 is refused.

    Raises
    ------
    InvalidPlanError
        Without a density, and for a rule whose step depends on score or noise: the proposal then
        has another density than is written here. A rule that is not of this package is asked again
        where the proposal is.
    ShapeError
        If the density is not one number for each sample.
    NonFiniteError
        If the density is NaN, or not positive where the chain is.
    """

    log_density: LogDensity | None = None
    rule: StepRule = field(default_factory=LevelRule)
    steps: int = 1

    def __post_init__(self) -> None:
        check_steps(self.steps)
        if not callable(self.log_density):
            msg = (
                f"MALA needs the log density as a function (x, t), got {self.log_density!r}; "
                "without one use Langevin"
            )
            raise InvalidPlanError(msg)
        if isinstance(self.rule, (SnrRule, SnrPublished)):
            raise InvalidPlanError(_own_step(self.rule))

    @property
    def fields(self) -> int:
        """Two a step."""
        return 2 * self.steps

    @property
    def evaluations(self) -> int:
        """One more than steps."""
        return self.steps + 1

    def __call__(self, x: Tensor, score: Score, draw: Draw, s: Node, t: Node) -> Tensor:
        """See :class:`Corrector`."""
        now = (x, score(x), self._log(x, s))
        if not bool(torch.isfinite(now[2]).all()):
            ids = (~torch.isfinite(now[2])).nonzero().flatten().tolist()
            msg = f"the density is not positive at t = {s.t} where samples {ids[:8]} are"
            raise NonFiniteError(msg, t=s.t, sample_ids=ids)
        for j in range(self.steps):
            z = draw(2 * j)
            step = as_column(self.rule(now[1], z, s, t), x)
            y = langevin_step(now[0], now[1], step, z)
            new, other = (y, score(y), self._log(y, s)), draw(2 * j + 1)
            if not torch.equal(as_column(self.rule(new[1], other, s, t), x), step):
                raise InvalidPlanError(_own_step(self.rule))
            a, b, c = accepted(now, new, mala_log_ratio(now, new, step), other)
            now = (a, b, c)
        return now[0]

    def _log(self, x: Tensor, s: Node) -> Tensor:
        value = self.log_density(x, s.t) if self.log_density else x.new_zeros(len(x))
        if value.shape != x.shape[:1]:
            msg = f"the log density must have shape ({len(x)},), got {tuple(value.shape)}"
            raise ShapeError(msg)
        if bool(torch.isnan(value).any()):
            ids = torch.isnan(value).nonzero().flatten().tolist()
            msg = f"the log density is NaN at t = {s.t} in samples {ids[:8]}"
            raise NonFiniteError(msg, t=s.t, sample_ids=ids)
        return value


def _own_step(rule: StepRule) -> str:
    return f"MALA needs a step that does not depend on the state, got {rule!r}"


def accepted(
    now: tuple[Tensor, ...], new: tuple[Tensor, ...], log_ratio: Tensor, field_: Tensor
) -> tuple[Tensor, ...]:
    """The new state of each sample where its ratio exceeds a uniform number, else the old one.

    The uniform number is the normal distribution function of the field's first number.
    """
    yes = torch.special.log_ndtr(field_.flatten(1)[:, 0]) < log_ratio
    return tuple(
        torch.where(column(yes, a).bool() if a.ndim > 1 else yes, b, a)
        for a, b in zip(now, new, strict=True)
    )


def damped(v: Tensor, e: Tensor, damping: float, power: float = 1.0) -> Tensor:
    """``P^power v`` with ``P = (I + e e^T/damping)^{-1}``; along e it is ``d/(d + |e|^2)``.

    Inner products are of each sample, (B, *D). ``power = 0.5`` is the symmetric root.

    Raises
    ------
    InvalidPlanError
        If the damping is not positive.
    """
    positive(damping, "the damping")
    size = inner(e, e)
    safe = torch.where(size > 0, size, torch.ones_like(size))
    # 1 - (d/(d + |e|^2))^power without cancellation where |e|^2 is small beside the damping
    less = -torch.expm1(-power * torch.log1p(size / damping))
    return v - e * (inner(e, v) / safe * less)


def damped_variance(dim: int, variance: float, sigma: float, damping: float) -> float:
    """Variance a coordinate that single steps of :class:`DampedLangevin` keep of N(0, v I).

    In the limit of small steps. The matrix depends on x, and the term ``div P`` that this calls
    for is left out, so the kept density is ``p (1 + k r^2) exp((d - 1) k r^2/2)``, ``k =
    sigma^2/(d damping v^2)``. With ``w = v/(1 - (d - 1) k v)`` its variance is ``(w + (d + 2) k
    w^2)/(1 + d k w)``; for many dimensions ``v/(1 - sigma^2/(damping v))``.

    Raises
    ------
    InvalidPlanError
        For sizes that are not positive, and if no law is kept, ``(d - 1) k v >= 1``: tangential
        noise drives the samples outwards.

    Examples
    --------
    >>> round(damped_variance(1, 1.0, 1.0, 1.0), 12)  # p (1 + x^2)
    2.0
    """
    for value, name in ((variance, "the variance"), (sigma, "sigma"), (damping, "the damping")):
        positive(value, name)
    if dim < 1:
        msg = f"a dimension must be at least 1, got {dim}"
        raise InvalidPlanError(msg)
    k = sigma**2 / (dim * damping * variance**2)
    left = 1.0 - (dim - 1) * k * variance
    if left <= 0:
        msg = f"no law is kept at damping {damping}: it must exceed {damping * (1 - left)} here"
        raise InvalidPlanError(msg)
    w = variance / left
    return (w + (dim + 2) * k * w * w) / (1 + dim * k * w)


@dataclass(frozen=True)
class DampedLangevin:
    """Langevin steps shortened along e, the score where the visit begins.

    ``e = sigma score/sqrt(d)``, minus the noise prediction over its usual length, so the damping
    has no unit and no dimension; it is frozen during a visit. The law is kept for long visits of
    small steps, or large damping, where it is :class:`Langevin`; what single steps keep instead is
    in :func:`damped_variance`.
    """

    rule: StepRule = field(default_factory=LevelRule)
    steps: int = 1
    damping: float = 10.0

    def __post_init__(self) -> None:
        check_steps(self.steps)
        positive(self.damping, "the damping")

    @property
    def fields(self) -> int:
        """One a step."""
        return self.steps

    @property
    def evaluations(self) -> int:
        """One a step."""
        return self.steps

    def __call__(self, x: Tensor, score: Score, draw: Draw, s: Node, t: Node) -> Tensor:
        """See :class:`Corrector`."""
        e: Tensor | None = None
        for j in range(self.steps):
            g, z = score(x), draw(j)
            e = s.sigma / math.sqrt(x[0].numel()) * g if e is None else e
            step = self.rule(g, z, s, t)
            x = langevin_step(x, damped(g, e, self.damping), step, damped(z, e, self.damping, 0.5))
        return x
