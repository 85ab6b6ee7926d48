"""Predictions of a model, and the exact conversions between them.

Every prediction is one linear functional of the pair (D, eps): ``P = p_D D + p_eps eps``. Together
with ``x = alpha D + sigma eps`` any one of them gives all others by Cramer's rule:

==============  ===========================================================  =================
name            meaning                                                      (p_D, p_eps)
==============  ===========================================================  =================
``"data"``      ``D = E[x_0 | x_t = x]``                                     (1, 0)
``"noise"``     ``eps = (x - alpha D)/sigma``                                (0, 1)
``"velocity"``  ``alpha eps - sigma D`` (Salimans & Ho 2022, 2202.00512)     (-sigma, alpha)
``"flow"``      ``eps - D`` (rectified flow, 2209.03003)                     (-1, 1)
``"score"``     ``grad log p_t = -eps/sigma``                                (0, -1/sigma)
``"edm"``       network F of Karras et al. 2022 (2206.00364), eq. 7          see below
==============  ===========================================================  =================

The EDM network obeys ``D = c_skip x/alpha + c_out F``; with ``s_d = sigma_data`` that is
``F = (sigma D/s_d - alpha s_d eps)/sqrt(sigma^2 + alpha^2 s_d^2)``, regular at both ends.

A conversion that does not exist (data from noise at ``alpha = 0``, noise from data at
``sigma = 0``) is an error, not an infinity.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .batch import column
from .errors import PredictionError, ShapeError
from .process import Node, Process

PREDICTIONS = ("data", "noise", "velocity", "flow", "score", "edm")
SIGMA_DATA = 0.5
"""Default ``sigma_data`` of the EDM network form, as in the paper."""

Model = Callable[[Any, Any], Any]
"""``model(x, t) -> output``, x of shape (B, *D), t a float or a scalar tensor; adaptive samplers
ask with a time for each row, (B,), and for some rows of the batch (:func:`for_rows`)."""


@dataclass(frozen=True, eq=False)
class BatchModel:
    """A model that knows which samples its batch has: labels, prompts, anything with a row each.

    Attributes
    ----------
    model : callable
        For the whole batch.
    rows : callable
        ``rows(places)`` is the model of the samples in these places alone; see :func:`for_rows`.
    """

    model: Model
    rows: Callable[[Any], Model]

    def __call__(self, x: Any, t: Any) -> Any:
        """What the model answers for the whole batch."""
        return self.model(x, t)


def for_rows(model: Model, places: Any) -> Model:
    """The model for some samples of a batch, by the integer array of their places.

    A sampler that leaves samples alone which have arrived asks this one. A plain model takes any
    batch and is given back as it is.
    """
    choose: Any = getattr(model, "rows", None)
    return choose(places) if callable(choose) else model  # pyright: ignore[reportReturnType]


def by_rows(make: Callable[..., Model], *models: Model) -> Model:
    """``make(*models)``, the model made of others; it knows its samples if one of them does.

    What wraps a model must hand on which samples it is asked for: a wrapped :class:`BatchModel`
    that forgot would answer for some rows of the batch with the labels of all of them.
    """
    whole = make(*models)
    if not any(callable(getattr(model, "rows", None)) for model in models):
        return whole
    return BatchModel(whole, lambda places: make(*(for_rows(m, places) for m in models)))


def nodes_of(process: Process, t: Any, x: Tensor) -> list[Node]:
    """The level of each sample, or one level for all: t is a float, scalar tensor or (B,).

    Raises
    ------
    ShapeError
        If t is neither scalar nor (B,).
    """
    if isinstance(t, Tensor) and t.ndim:
        if tuple(t.shape) != (len(x),):
            msg = f"t must be a scalar or of shape ({len(x)},), got {tuple(t.shape)}"
            raise ShapeError(msg)
        return [process.node(s) for s in t.detach().cpu().tolist()]
    return [process.node(float(t))]


def converted(
    value: Any,
    x: Any,
    nodes: list[Node],
    source: str,
    target: str,
    sigma_data: float = SIGMA_DATA,
) -> Any:
    """``value`` of the prediction ``source`` at x, turned into ``target``, sample by sample."""
    if source == target:
        return value
    pairs = [conversion(source, target, n, sigma_data) for n in nodes]
    if len(pairs) == 1:
        a, b = pairs[0]
        return value if (a, b) == (0.0, 1.0) else a * x + b * value
    both = torch.tensor(pairs, dtype=torch.float64)
    return column(both[:, 0], x) * x + column(both[:, 1], x) * value


def _functional(
    prediction: str, alpha: float, sigma: float, sigma_data: float
) -> tuple[float, float, float]:
    """``(p_D, p_eps, scale)`` with the prediction equal to ``(p_D D + p_eps eps) * scale``."""
    match prediction:
        case "data":
            return 1.0, 0.0, 1.0
        case "noise":
            return 0.0, 1.0, 1.0
        case "velocity":
            return -sigma, alpha, 1.0
        case "flow":
            return -1.0, 1.0, 1.0
        case "score":
            return 0.0, -1.0, (math.inf if sigma == 0 else 1.0 / sigma)
        case "edm":
            if not 0 < sigma_data < math.inf:
                msg = f"sigma_data must be a positive finite number, got {sigma_data}"
                raise PredictionError(msg)
            norm = math.hypot(sigma, alpha * sigma_data)
            return sigma / sigma_data / norm, -alpha * sigma_data / norm, 1.0
    msg = f"unknown prediction {prediction!r}; accepted: {', '.join(PREDICTIONS)}"
    raise PredictionError(msg)


def conversion(
    source: str, target: str, node: Node, sigma_data: float = SIGMA_DATA
) -> tuple[float, float]:
    """Coefficients ``(a, b)`` with ``target = a x + b source`` at ``node``; exact, float64.

    Raises
    ------
    PredictionError
        For an unknown prediction, and where the conversion does not exist at this node.
    """
    alpha, sigma = node.alpha, node.sigma
    if source == target:
        _functional(source, alpha, sigma, sigma_data)
        return 0.0, 1.0
    sd, se, s_scale = _functional(source, alpha, sigma, sigma_data)
    td, te, t_scale = _functional(target, alpha, sigma, sigma_data)
    det = alpha * se - sigma * sd
    cross = td * se - te * sd
    parallel = cross == 0.0  # noise and score, say: one is a multiple of the other, x or not
    if (det == 0.0 and not parallel) or math.isinf(t_scale):
        msg = (
            f"{target!r} cannot be had from {source!r} at alpha = {alpha}, sigma = {sigma}: "
            "the one does not determine the other there"
        )
        raise PredictionError(msg)
    inverse_scale = 0.0 if math.isinf(s_scale) else 1.0 / s_scale
    if parallel:
        return 0.0, t_scale * inverse_scale * (te / se if se else td / sd)
    return t_scale * cross / det, t_scale * inverse_scale * (te * alpha - td * sigma) / det


def convert(
    output: Any,
    x: Any,
    node: Node,
    *,
    source: str,
    target: str,
    sigma_data: float = SIGMA_DATA,
) -> Any:
    """``output`` of the prediction ``source`` at ``(x, node)``, turned into ``target``.

    Works on floats, NumPy arrays and tensors; the shape of ``output`` and ``x`` is the same.
    """
    a, b = conversion(source, target, node, sigma_data)
    return output if (a, b) == (0.0, 1.0) else a * x + b * output


def as_prediction(
    model: Model,
    process: Process,
    *,
    source: str,
    target: str = "data",
    sigma_data: float = SIGMA_DATA,
) -> Model:
    """A model of the prediction ``source`` seen as a model of ``target`` on the same process.

    It is asked as the model is: with a float, a scalar tensor or a time for each sample.
    """

    def with_rows(of: Model) -> Model:
        def seen(x: Any, t: Any) -> Any:
            nodes = nodes_of(process, t, x)
            return converted(of(x, t), x, nodes, source, target, sigma_data)

        return seen

    return model if source == target else by_rows(with_rows, model)
