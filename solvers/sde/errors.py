"""What can go wrong in solving a stochastic differential equation; all are `FokkerError`."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import FokkerError, NonFiniteError


class InvalidEquationError(FokkerError, ValueError):
    """An equation breaks what it declares, or a method cannot solve its kind."""


class NegativeDiffusionError(NonFiniteError):
    """A diffusion that was not declared ``signed`` is negative; says where, as its parent does."""


class StepUnderflowError(NonFiniteError):
    """A step is too small for float64, or adaptive halving came to its end."""


def samples_in_words(rows: Sequence[int]) -> str:
    """Samples in words, at most five of them by number."""
    shown = ", ".join(str(i) for i in rows[:5]) + (", ..." if len(rows) > 5 else "")
    return f"{'sample' if len(rows) == 1 else 'samples'} {shown}"
