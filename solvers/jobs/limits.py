"""What one run may be asked for: beyond that it would fill the memory before its first image.

A request beyond these numbers is a slip of the keyboard or the work of several runs; it is refused
in a sentence at once. What is within them begins at once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..errors import FokkerError
from .errors import JobError

MOST_IMAGES = 1_000_000
"""Of one job: ids of six digits, and a manifest of 150 megabytes."""
MOST_BATCH = 65_536
"""Images at once: the record of a batch, with a SHA-256 for each, is read back whole."""
MOST_STEPS = 10_000
"""Of a grid: a plan of so many is built in a second."""
MOST_ROWS = 100_000
"""Steps times the whole-number options of a sampler (rounds, say), which multiply its plan."""
MOST_NUMBERS = 2**30
"""Of one batch: 4 GiB of float32 for each vector that is alive."""


def within(what: str, value: int, most: int, error: type[FokkerError] = JobError) -> None:
    """Refuse a number above ``most``.

    Raises
    ------
    JobError
        Or ``error``: naming the value and the largest that is accepted.

    Examples
    --------
    >>> within("steps", 20, MOST_STEPS)
    """
    if value > most:
        msg = f"{what} must be at most {most}, got {str(value)[:40]}"
        raise error(msg)


def within_memory(count: int, shape: tuple[int, ...], error: type[FokkerError] = JobError) -> None:
    """Refuse a batch whose state alone has more than :data:`MOST_NUMBERS` numbers.

    Raises
    ------
    JobError
        Or ``error``.
    """
    each = math.prod(shape)
    if count * each > MOST_NUMBERS:
        msg = f"{count} samples of shape {shape} at once are {count * each} numbers; accepted: "
        msg += f"{MOST_NUMBERS}, so {MOST_NUMBERS // each} at most"
        raise error(msg)


def within_rows(steps: int, options: Mapping[str, Any]) -> None:
    """Refuse a plan that its options make too long.

    Raises
    ------
    JobError
        Naming the options.
    """
    whole = {k: v for k, v in options.items() if type(v) is int and v > 1}
    rows = steps * math.prod(whole.values())
    if rows > MOST_ROWS:
        named = ", ".join(f"{k} = {v}" for k, v in whole.items())
        msg = f"{steps} steps with {named} are {str(rows)[:40]} rows; accepted: up to {MOST_ROWS}"
        raise JobError(msg)
