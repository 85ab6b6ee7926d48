"""Classifier-free guidance: two models mixed beyond the conditional one.

``P = P_u + w (P_c - P_u)``: w = 0 is the unconditional model, w = 1 the conditional one, w > 1
extrapolates (Ho & Salimans 2022, arXiv:2207.12598, whose weight is ``w - 1``). The weights sum to
one, so mixing commutes with every conversion of predictions: guiding the noise prediction and
guiding the data prediction are one thing. The guided model is the score of no diffused law; a
sampler of it has an exact flow of its own, and a steeper one, which is why high-order samplers on
the noise prediction break first (Lu et al. 2022, arXiv:2211.01095).

Guidance in an interval of noise (Kynkaanniemi et al. 2024, arXiv:2404.07724): outside of it the
weight is 1, and the unconditional model is not asked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..batch import column
from ..checks import bad_samples
from ..errors import InvalidPlanError, NonFiniteError
from ..model import Model, by_rows, nodes_of
from ..process import Process


def guided(
    conditional: Model,
    unconditional: Model,
    process: Process,
    *,
    weight: float,
    interval: tuple[float, float] = (-math.inf, math.inf),
    both: Callable[[Any, Any], Sequence[Any]] | None = None,
) -> Model:
    """The guided model, of the prediction that both models share.

    Parameters
    ----------
    conditional, unconditional : callable
        Models of one prediction, whichever it is.
    weight : float
        w of the formula above; 1 is no guidance.
    interval : (float, float)
        Half log-SNRs ``lam`` with ``low <= lam <= high`` between which it acts.
    both : callable, optional
        ``both(x, t) -> (conditional, unconditional)``: the two answers at once, for a network that
        is asked once with a batch of twice the size. Where given it is asked in their place.

    Raises
    ------
    InvalidPlanError
        If the weight is not finite or the interval not ordered.
    NonFiniteError
        When asked, if finite answers are mixed beyond the range of their dtype.

    Examples
    --------
    >>> import torch
    >>> from fokker.solvers.schedules import VPLinear
    >>> model = guided(lambda x, t: 2 * x, lambda x, t: x, VPLinear(), weight=3.0)
    >>> model(torch.ones(1, 1), 0.5)
    tensor([[4.]])
    """
    low, high = interval
    if not math.isfinite(weight):
        msg = f"the guidance weight must be a finite number, got {weight}"
        raise InvalidPlanError(msg)
    if not low < high:
        msg = f"guidance needs an interval low < high in lam, got {low} and {high}"
        raise InvalidPlanError(msg)

    def mixing(with_label: Model, without_label: Model, pair: Any = None) -> Model:
        return partial(_mixed, (with_label, without_label, pair), process, weight, (low, high))

    models = (conditional, unconditional) if both is None else (conditional, unconditional, both)
    return by_rows(mixing, *models)


def _mixed(
    models: tuple[Model, Model, Any],
    process: Process,
    weight: float,
    interval: tuple[float, float],
    x: Tensor,
    t: Any,
) -> Tensor:
    (conditional, unconditional, both), (low, high) = models, interval
    inside = [_between(low, node.lam, high) for node in nodes_of(process, t, x)]
    if not any(inside):
        return conditional(x, t)
    if both is not None:
        with_condition, without = both(x, t)
    else:
        with_condition, without = conditional(x, t), unconditional(x, t)
    if all(inside):
        out = without + weight * (with_condition - without)
    else:
        acts = column(torch.tensor(inside), x).bool()
        out = torch.where(acts, without + weight * (with_condition - without), with_condition)
    if x.device.type == "cpu":  # elsewhere a look would stop the device; the run looks itself
        _check_overflow(out, with_condition, without, weight)
    return out


def _between(low: float, lam: float, high: float) -> bool:
    """Whether a level is in the closed interval, though its way through t has rounded it."""
    slack = 1e-9 * max(1.0, abs(lam)) if math.isfinite(lam) else 0.0
    return low - slack <= lam <= high + slack


def _check_overflow(out: Tensor, a: Tensor, b: Tensor, weight: float) -> None:
    if math.isfinite(float(out.detach().sum())):
        return
    bad = bad_samples(out) & ~bad_samples(a) & ~bad_samples(b)
    if bool(bad.any()):
        ids = bad.nonzero().flatten().tolist()
        msg = (
            f"the guidance weight {weight:g} overflows {out.dtype} in samples {ids[:8]}; "
            "use a smaller weight or a wider dtype"
        )
        raise NonFiniteError(msg, sample_ids=ids)
