"""What can go wrong in solving a stochastic differential equation; all are `FokkerError`."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import FokkerError, InvalidGridError, ShapeError


class InvalidEquationError(FokkerError, ValueError):
    """An equation breaks what it declares, or a method cannot solve its kind."""


class FailedStepError(FokkerError, RuntimeError):
    """A step could not be made.

    Parameters
    ----------
    message : str
        The sentence shown to the user.
    step : int or None
        Step number, 1 for the first step; None where steps differ between samples.
    t : float or None
        Time at the start of the step.
    sample_ids : sequence of int
        Identities of the samples concerned.
    """

    def __init__(
        self,
        message: str,
        *,
        step: int | None = None,
        t: float | None = None,
        sample_ids: Sequence[int] = (),
    ) -> None:
        super().__init__(message)
        self.step = step
        self.t = t
        self.sample_ids = tuple(sample_ids)


class NegativeDiffusionError(FailedStepError):
    """A diffusion that was not declared ``signed`` is negative."""


class InvalidNoiseError(FailedStepError, ShapeError):
    """The noise that a source gave for a step has a wrong shape or dtype."""


class MissingNoiseError(FailedStepError, InvalidGridError):
    """The path has no noise for a step: it is outside of it, or shorter than its tolerance."""


class StepUnderflowError(FailedStepError):
    """A step is too small for float64, or adaptive halving came to its end."""


def samples_in_words(rows: Sequence[int]) -> str:
    """Samples in words, at most five of them by number."""
    shown = ", ".join(str(i) for i in rows[:5]) + (", ..." if len(rows) > 5 else "")
    return f"{'sample' if len(rows) == 1 else 'samples'} {shown}"
