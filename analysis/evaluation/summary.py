"""All measures of one set of samples against data, as a plain record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...solvers.errors import AnalysisError
from ..two_samples import sliced_w2
from . import inception
from .digits import PIXELS, digits_classifier, frechet_distance
from .kernel import unbiased_mmd
from .sliced import against_chance

_MOST = 2000  # points of a kernel matrix: 32 MB


def evaluate(
    samples: Tensor,
    data: Tensor,
    *,
    labels: Sequence[int] | Tensor | None = None,
    digits: bool = False,
    seed: int = 0,
) -> dict[str, Any]:
    """Measure samples against data; both (n, *D), of one D.

    Parameters
    ----------
    samples, data : Tensor
        What was generated, and data that the network was not trained on, if there are any.
    labels : sequence of int, optional
        The classes that were asked for (digits).
    digits : bool
        Whether these are digits, so that the classifier of :mod:`.digits` may look at them.
    seed : int
        Of projections, splits and subsets.

    Returns
    -------
    dict
        ``sliced_w2`` with what chance gives for samples of these sizes, ``mmd`` (square and
        deviation, of 2000 rows chosen by chance where there are more), ``digits`` and
        ``inception`` where they apply (or why they do not). Samples whose classes go round scatter
        less than independent ones, so that both numbers may be a little below what chance gives:
        the square by ``(k_same - k_other)(1 - 1/K)/(n - 1)`` for K classes, with the mean kernels
        of two of one class and of two classes.

    Raises
    ------
    AnalysisError
        For shapes that do not fit, and numbers that are not finite.
    """
    if samples.ndim < 2 or samples.shape[1:] != data.shape[1:]:
        msg = (
            "samples and data must have one shape (n, *D), got "
            f"{tuple(samples.shape)} and {tuple(data.shape)}"
        )
        raise AnalysisError(msg)
    x, y = samples.flatten(1), data.flatten(1)
    sliced = against_chance(x, y, lambda a, b: float(sliced_w2(a, b, seed=seed)), seed=seed)
    out: dict[str, Any] = {
        "samples": len(x),
        "data": len(y),
        "sliced_w2": {**sliced._asdict(), "score": sliced.score},
        "mmd": unbiased_mmd(_some(x, seed), _some(y, seed))._asdict(),
    }
    if digits:
        out["digits"] = _digits(x, y, labels, seed)
    if samples.ndim == 4 and samples.shape[1] in (1, 3):
        out["inception"] = inception.record(samples.float(), data.float())
    return out


def _some(x: Tensor, seed: int) -> Tensor:
    """At most so many rows, chosen by chance: samples often come ordered by class."""
    if len(x) <= _MOST:
        return x
    rows = np.random.default_rng([seed, len(x)]).permutation(len(x))[:_MOST]
    return x[torch.from_numpy(rows).to(x.device)]


def _digits(x: Tensor, y: Tensor, labels: Any, seed: int) -> dict[str, Any]:
    if x.shape[1] != PIXELS:
        msg = f"digits have {PIXELS} pixels, got {x.shape[1]}"
        raise AnalysisError(msg)
    classifier = digits_classifier()
    a, b = classifier.features(x), classifier.features(y)
    chance = against_chance(a, b, frechet_distance_of, seed=seed)
    out: dict[str, Any] = {"frechet": {**chance._asdict(), "score": chance.score}}
    if labels is not None:
        out["agreement"] = classifier.agreement(x, labels)
    return out


def frechet_distance_of(a: Any, b: Any) -> float:
    """:func:`.digits.frechet_distance` of tensors."""
    return frechet_distance(a.numpy(), b.numpy())
