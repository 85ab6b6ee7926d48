"""A forward process as a name and numbers, and back: nothing is looked up by import path."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from ..discrete import DiscreteVP
from ..errors import InvalidProcessError
from ..process import Process
from ..schedules import EDM, VE, RectifiedFlow, SubVP, Trigonometric, VPCosine, VPLinear
from .errors import NetworkError, told
from .strict_json import is_number

PROCESSES: dict[str, type[Process]] = {
    "vp-linear": VPLinear,
    "vp-cosine": VPCosine,
    "sub-vp": SubVP,
    "ve": VE,
    "edm": EDM,
    "rectified-flow": RectifiedFlow,
    "trigonometric": Trigonometric,
    "discrete-vp": DiscreteVP,
}
"""Processes that can be written down, by the name under which they are."""


def process_to_dict(process: Process) -> dict[str, Any]:
    """``{"name": ..., parameter: number, ...}``, what JSON can hold; exact.

    Raises
    ------
    NetworkError
        For a process of no name in :data:`PROCESSES`.

    Examples
    --------
    >>> process_to_dict(VPLinear())
    {'name': 'vp-linear', 'beta_min': 0.1, 'beta_max': 20.0}
    """
    for name, kind in PROCESSES.items():
        if type(process) is kind:
            values = {f.name: getattr(process, f.name) for f in fields(process)}
            plain = {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}
            return {"name": name, **plain}
    msg = f"a {type(process).__name__} cannot be written down; accepted: {', '.join(PROCESSES)}"
    raise NetworkError(msg)


def process_from_dict(text: Mapping[str, Any]) -> Process:
    """The process that :func:`process_to_dict` wrote down.

    Raises
    ------
    NetworkError
        For an unknown name, a missing or unknown parameter, or numbers that make no process.
    """
    values = dict(text)
    name = values.pop("name", None)
    if not isinstance(name, str) or name not in PROCESSES:
        msg = f"unknown process {str(name)[:80]!r}; accepted: {', '.join(PROCESSES)}"
        raise NetworkError(msg)
    kind = PROCESSES[name]
    wanted = {f.name for f in fields(kind)}
    if set(values) != wanted:
        got = told(sorted(values))
        msg = f"the process {name!r} has the parameters {sorted(wanted)}, got {got}"
        raise NetworkError(msg)
    if kind is DiscreteVP:
        return _discrete(**values)
    for key, value in values.items():
        if not is_number(value):
            msg = f"{key} of the process {name!r} must be a number, got {str(value)[:80]!r}"
            raise NetworkError(msg)
    try:
        return kind(**{key: float(value) for key, value in values.items()})
    except InvalidProcessError as reason:
        msg = f"the process {name!r} is none: {reason}"
        raise NetworkError(msg) from reason


def _discrete(log_alphas: Any, zero_terminal: Any) -> DiscreteVP:
    """A table of levels; kept as logarithms, since a square of a root is not the number it was."""
    ok = isinstance(log_alphas, list) and len(log_alphas) + bool(zero_terminal) >= 2
    if not ok or not all(map(is_number, log_alphas)) or not isinstance(zero_terminal, bool):
        msg = "a discrete-vp process needs a list of log_alphas and zero_terminal true or false"
        raise NetworkError(msg)
    before = 0.0
    for i, value in enumerate(log_alphas):
        if not value < before:
            msg = f"log_alphas must decrease strictly below 0; entry {i} is {value} after {before}"
            raise NetworkError(msg)
        before = value
    return DiscreteVP(tuple(map(float, log_alphas)), zero_terminal)
