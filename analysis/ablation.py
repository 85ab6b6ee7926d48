"""Which of several choices matters: full factorial designs, main effects and explained variance.

Every combination of levels is run once. In such a balanced design the sum of squares of the
responses about their mean splits, exactly and orthogonally, into one part for each set of factors
(Fisher 1935, The Design of Experiments): a main effect is what the mean over all other choices
still shows; an interaction of two is what their cell means show beyond the two main effects. The
responses of samplers are logarithms of errors, so that effects are factors.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..solvers.errors import AnalysisError
from ..solvers.process import Array

Factors = Mapping[str, Sequence[Any]]
"""Levels of each factor."""


def settings(factors: Factors) -> list[dict[str, Any]]:
    """Every combination of levels, the last factor changing fastest.

    Examples
    --------
    >>> settings({"a": (1, 2), "b": ("x",)})
    [{'a': 1, 'b': 'x'}, {'a': 2, 'b': 'x'}]
    """
    return [
        dict(zip(factors, values, strict=True)) for values in itertools.product(*factors.values())
    ]


@dataclass(frozen=True)
class Ablation:
    """Responses of all combinations, as an array with an axis for each factor.

    Attributes
    ----------
    factors : mapping
        Names and levels.
    responses : Array
        Shape: the numbers of levels.
    """

    factors: Factors
    responses: Array

    def __post_init__(self) -> None:
        shape = tuple(len(levels) for levels in self.factors.values())
        if not shape or min(shape) < 2 or self.responses.shape != shape:
            msg = (
                "an ablation needs factors of at least 2 levels and a response for each "
                f"combination: levels {shape}, responses {self.responses.shape}"
            )
            raise AnalysisError(msg)
        if not np.isfinite(self.responses).all():
            msg = f"the responses of an ablation must be finite, got {self.responses.min()}"
            raise AnalysisError(msg)

    def main_effect(self, name: str) -> dict[Any, float]:
        """Mean response at each level of a factor, less the mean of all."""
        axis = list(self.factors).index(name)
        others = tuple(k for k in range(self.responses.ndim) if k != axis)
        means = self.responses.mean(axis=others) - self.responses.mean()
        return dict(zip(self.factors[name], means.tolist(), strict=True))

    def effect(self, names: Sequence[str]) -> Array:
        """The part of the responses that this set of factors shows beyond all of its subsets.

        Same number of axes as the responses, of length 1 where a factor is not in the set.
        """
        inside = {list(self.factors).index(name) for name in names}
        part = np.array(self.responses)
        for axis in range(part.ndim):
            mean = part.mean(axis=axis, keepdims=True)
            part = part - mean if axis in inside else mean
        return part

    def shares(self, order: int | None = None) -> dict[tuple[str, ...], float]:
        """Share of the variance of each set of at most ``order`` factors; all sum to 1.

        Zero for every set if the responses are all the same.
        """
        most = len(self.factors) if order is None else order
        total = float(np.square(self.responses - self.responses.mean()).sum())
        sets = (s for k in range(1, most + 1) for s in itertools.combinations(self.factors, k))
        found = {}
        for names in sets:
            part = self.effect(names)
            square = float(np.square(part).sum()) * self.responses.size / part.size
            found[names] = square / total if total > 0 else 0.0
        return found

    def explained(self, order: int = 1) -> float:
        """Share of the variance that effects of at most ``order`` factors explain."""
        return math.fsum(self.shares(order).values())

    def best(self) -> dict[str, Any]:
        """The combination with the least response."""
        index = np.unravel_index(int(self.responses.argmin()), self.responses.shape)
        pairs = zip(self.factors.items(), index, strict=True)
        return {name: levels[int(i)] for (name, levels), i in pairs}


def ablate(factors: Factors, response: Callable[..., float]) -> Ablation:
    """Run ``response(**setting)`` at every combination of levels.

    Raises
    ------
    AnalysisError
        If a factor has one level, or a response is not finite.
    """
    values = [response(**setting) for setting in settings(factors)]
    shape = tuple(len(levels) for levels in factors.values())
    return Ablation(factors, np.asarray(values, dtype=np.float64).reshape(shape))
