"""Numbers as somebody gives them: a Python number, NumPy's or torch's, or no number at all."""

from __future__ import annotations

import operator
from typing import Any

from .errors import FokkerError, InvalidPlanError


def whole_number(value: Any, name: str) -> int:
    """A seed or an identity as an int; a number that is not whole is refused, not cut off.

    Raises
    ------
    InvalidPlanError
        Naming it.
    """
    try:
        return operator.index(value)
    except TypeError:
        msg = f"{name} must be a whole number, got {value!r}"
        raise InvalidPlanError(msg) from None


def real_number(value: Any, name: str, error: type[FokkerError] = InvalidPlanError) -> float:
    """An option as a Python float; NaN passes, for the comparison that comes next to refuse.

    What is formed from a NumPy float32 or a tensor alone would be rounded to it.

    Raises
    ------
    error
        Naming it, if it is no number: a word, a list, None, a truth value.
    """
    if not isinstance(value, (bool, str)):
        try:
            return float(value)
        except (TypeError, ValueError, RuntimeError):
            pass
    msg = f"{name} must be a number, got {value!r}"
    raise error(msg)
