"""What a row of a plan can be: the five small records, and the measure of a noise cell."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from .errors import InvalidPlanError
from .process import Node

Weight = Any  # float, or an array/tensor broadcastable to a state


@dataclass(frozen=True, slots=True)
class Input:
    """A vector given from outside; history inputs say which prediction they are."""

    name: str
    node: Node
    prediction: str | None = None


@dataclass(frozen=True, slots=True)
class Noise:
    """A standard normal field belonging to the cell [a, b] of a clock, of type W or H."""

    clock: str
    a: float
    b: float
    kind: str = "W"


@dataclass(frozen=True, slots=True)
class Lin:
    """A weighted sum of earlier vectors."""

    terms: tuple[tuple[int, Weight], ...]


@dataclass(frozen=True, slots=True)
class Eval:
    """The model's output at an earlier vector and a time."""

    source: int
    node: Node
    prediction: str = "data"
    head: str = ""


Op = Input | Noise | Lin | Eval


@dataclass(frozen=True, slots=True)
class Mark:
    """Vector ``vector`` is the state after step ``step`` (1-based), at ``node``."""

    step: int
    vector: int
    node: Node


def clock_measure(clock: str, a: float, b: float) -> float:
    """Measure of the cell [a, b] of a clock: the variance of its Brownian increment.

    Infinite ends are taken as limits, so the measure may be infinite.

    Raises
    ------
    InvalidPlanError
        If there is no such clock.
    """
    if clock in ("lam", "t"):
        return abs(b - a)
    if clock == "churn":
        return 1.0
    if clock == "rho2":
        return _exp(-2 * a) * -math.expm1(2 * (a - b))
    if clock.startswith("snr^"):
        eta = _eta(clock)
        return _exp(2 * eta * b) * -math.expm1(2 * eta * (a - b))  # a may be -inf
    msg = f"unknown noise clock {clock!r}; accepted: 'lam', 't', 'rho2', 'churn', 'snr^<eta>'"
    raise InvalidPlanError(msg)


def _exp(z: float) -> float:
    return math.exp(z) if z < 709.0 else math.inf


def _eta(clock: str) -> float:
    try:
        eta = float(clock.removeprefix("snr^"))
    except ValueError:
        eta = math.nan
    if not 0 < eta < math.inf:
        msg = f"the noise clock 'snr^<eta>' needs a positive number eta, got {clock!r}"
        raise InvalidPlanError(msg)
    return eta


def sources(op: Op) -> tuple[int, ...]:
    """The vectors that a row reads."""
    if isinstance(op, Lin):
        return tuple(j for j, _ in op.terms)
    return (op.source,) if isinstance(op, Eval) else ()
