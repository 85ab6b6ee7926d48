r"""One step of Langevin dynamics, the rules for its size, and what each of them keeps.

``x' = x + e score(x) + sqrt(2 e) z``,  z ~ N(0, I):  the unadjusted Langevin algorithm (ULA). Its
limit of small steps keeps the law whose score it is; a finite step keeps another one. On N(m, v)
that is N(m, v/(1 - e/(2 v))), see :func:`ula_variance`. Papers write ``e/2`` for our e as often.

Rules of Score-SDE (Song et al. 2021, arXiv:2011.13456, Alg. 4 and 5) and their relatives, with
``a = (alpha_s/alpha_t)^2`` of the step from s to t (``1 - beta_i``; 1 on exploding processes):

======================  ===========================  =========================================
rule                    e                            what it keeps as r -> 0
======================  ===========================  =========================================
:class:`LevelRule`      ``2 a (r sigma)^2``          the law of the level
:class:`SnrRule`        ``2 a (r |z|/|score|)^2``    not the law: in d dimensions N(0, v I)
                                                     becomes of variance ``v ((d + 2)/d)^2``
:class:`SnrPublished`   the same of means over the   the law, for a large batch; the samples of
                        batch                        one batch depend on each other
:class:`LamRule`        ``kappa sigma^2 h``, nearly  the law; with the predictor it is *one* SDE,
                                                     of ``eta + kappa``, at weak order 1
======================  ===========================  =========================================

The factor of the second row: ``e`` depends on x, so the continuous limit has the invariant
density ``p/e ~ p |score|^2`` and not p; it also depends on z, and ``E z_i^2 |z|^2 = d + 2`` where
``E |z|^2 = d`` makes the noise larger than the drift allows for. Each gives (d + 2)/d. The factor
is 2.25 for d = 4 and 1.0013 for d = 3072, which is why nobody sees it on images; in the plane,
where it is 4, a finite step does much worse, for ``1/|score|`` has hardly a moment. To take a
sample out of its batch without this price, use :class:`LevelRule`.

A step whose size does not shrink with the grid has a bias that does not shrink with it either:
such a sampler has no weak order in the number of steps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ..batch import column
from ..errors import InvalidPlanError, NonFiniteError, ShapeError
from ..process import Node

Step = Tensor | float
"""A size of step: one number, or one for each sample, (B, 1, ..., 1)."""


class StepRule(Protocol):
    """How large a step of Langevin dynamics is at the node s of the step from s to t."""

    def __call__(self, score: Tensor, z: Tensor, s: Node, t: Node) -> Step:
        """The size e for this score and this noise, both (B, *D)."""
        ...


def langevin_step(x: Tensor, score: Tensor, step: Step, z: Tensor) -> Tensor:
    """``x + e score + sqrt(2 e) z``, (B, *D).

    Raises
    ------
    InvalidPlanError
        If e is a number that is negative or not finite.
    ShapeError
        If e is neither one number nor one for each sample, (B, 1, ..., 1): of shape (B,) it would
        be a step for each coordinate, where there are as many.
    """
    if isinstance(step, Tensor):
        if step.ndim and step.shape != (len(x), *[1] * (x.ndim - 1)):
            wanted = (len(x), *[1] * (x.ndim - 1))
            msg = f"a step of each sample must have shape {wanted}, got {tuple(step.shape)}"
            raise ShapeError(msg)
    elif not 0 <= step < math.inf:
        msg = f"a step must be a finite number >= 0, got {step}"
        raise InvalidPlanError(msg)
    root = (2 * step).sqrt() if isinstance(step, Tensor) else math.sqrt(2 * step)
    return x + step * score + root * z


def positive(value: float, name: str) -> None:
    """Refuse a size that is no positive finite number.

    Raises
    ------
    InvalidPlanError
        Naming it.
    """
    if not 0 < value < math.inf:
        msg = f"{name} must be a positive finite number, got {value}"
        raise InvalidPlanError(msg)


def _squared_ratio(s: Node, t: Node) -> float:
    """``a = (alpha_s/alpha_t)^2``, at most 1 where alpha decreases with noise."""
    return math.exp(2 * (s.log_alpha - t.log_alpha))


@dataclass(frozen=True)
class LevelRule:
    """``2 a (snr sigma)^2``: the rule of annealed Langevin dynamics, the same for every sample."""

    snr: float = 0.16

    def __post_init__(self) -> None:
        positive(self.snr, "the signal-to-noise ratio snr")

    def __call__(self, score: Tensor, z: Tensor, s: Node, t: Node) -> float:
        """See :class:`StepRule`."""
        del score, z
        return 2 * _squared_ratio(s, t) * (self.snr * s.sigma) ** 2


@dataclass(frozen=True)
class SnrRule:
    """``2 a (snr |z|/|score|)^2``, norms of each sample by itself."""

    snr: float = 0.16

    def __post_init__(self) -> None:
        positive(self.snr, "the signal-to-noise ratio snr")

    def __call__(self, score: Tensor, z: Tensor, s: Node, t: Node) -> Tensor:
        """See :class:`StepRule`."""
        sizes, noises = _norms(score, s), z.flatten(1).norm(dim=1)
        return column(2 * _squared_ratio(s, t) * (self.snr * noises / sizes) ** 2, score)


@dataclass(frozen=True)
class SnrPublished:
    """``2 a (snr mean|z|/mean|score|)^2``, means over the batch, as in the public code.

    A sample then depends on what else is in its batch, so no registered sampler uses it.
    """

    snr: float = 0.16

    def __post_init__(self) -> None:
        positive(self.snr, "the signal-to-noise ratio snr")

    def __call__(self, score: Tensor, z: Tensor, s: Node, t: Node) -> float:
        """See :class:`StepRule`."""
        ratio = float(z.flatten(1).norm(dim=1).mean() / _norms(score, s).mean())
        return 2 * _squared_ratio(s, t) * (self.snr * ratio) ** 2


@dataclass(frozen=True)
class LamRule:
    """``kappa sigma^2 (1 - e^{-2h})/2``, which is ``kappa sigma^2 h`` for small steps.

    A step of this size is an Euler step of the part of the reverse SDE that kappa adds to eta:
    ``dx = -kappa sigma eps dlam + sqrt(2 kappa) sigma dW``.
    """

    kappa: float = 1.0

    def __post_init__(self) -> None:
        positive(self.kappa, "the share of noise kappa")

    def __call__(self, score: Tensor, z: Tensor, s: Node, t: Node) -> float:
        """See :class:`StepRule`."""
        del score, z
        return -0.5 * self.kappa * s.sigma**2 * math.expm1(2 * (s.lam - t.lam))


def _norms(score: Tensor, s: Node) -> Tensor:
    """Norm of each sample's score; a rule that divides by it needs all of them."""
    norms = score.flatten(1).norm(dim=1)
    good = (norms > 0) & torch.isfinite(norms)
    if not bool(good.all()):
        ids = (~good).nonzero().flatten().tolist()
        what = "0" if bool((norms == 0).any()) else "not finite"
        msg = (
            f"the snr rule divides by the score, which is {what} at t = {s.t} in samples {ids[:8]}"
        )
        raise NonFiniteError(msg, t=s.t, sample_ids=ids)
    return norms


def ula_variance(variance: float, step: float) -> float:
    """``v/(1 - e/(2 v))``: the variance that ULA of step e keeps instead of v on N(m, v).

    From ``w = (1 - e/v)^2 w + 2 e``; in several dimensions along each eigenvector by itself. The
    mean is kept. Not to be confused with the bias of MALA, which is none.

    Raises
    ------
    InvalidPlanError
        Unless ``0 < e < 2 v``: a larger step diverges.

    Examples
    --------
    >>> ula_variance(1.0, 0.5)
    1.3333333333333333
    """
    positive(variance, "the variance")
    if not 0 < step < 2 * variance:
        msg = f"a step of ULA on variance {variance} must lie in (0, {2 * variance}), got {step}"
        raise InvalidPlanError(msg)
    return variance / (1 - step / (2 * variance))


def ula_after(start: float, variance: float, step: float, steps: int) -> float:
    """Variance after n steps of ULA from ``start``: ``w + (1 - e/v)^{2n} (start - w)``.

    w is :func:`ula_variance`. The deviation of the mean is multiplied by ``(1 - e/v)^n``.

    Raises
    ------
    InvalidPlanError
        As :func:`ula_variance`, and for a negative number of steps.
    """
    kept = ula_variance(variance, step)
    if steps < 0 or start < 0:
        msg = f"need steps >= 0 and a start variance >= 0, got {steps} and {start}"
        raise InvalidPlanError(msg)
    return kept + (1 - step / variance) ** (2 * steps) * (start - kept)


def snr_variance_factor(dim: int) -> float:
    """``((d + 2)/d)^2``: what :class:`SnrRule` makes of the variance of N(0, v I) as snr -> 0.

    Raises
    ------
    InvalidPlanError
        If the dimension is not at least 1.
    """
    if dim < 1:
        msg = f"a dimension must be at least 1, got {dim}"
        raise InvalidPlanError(msg)
    return ((dim + 2) / dim) ** 2


def as_column(step: Step, like: Tensor) -> Tensor:
    """A size of step as a tensor (B, 1, ..., 1)."""
    if isinstance(step, Tensor):
        return step
    return column(torch.full((len(like),), step, dtype=like.dtype, device=like.device), like)
