"""The errors of the house: one sentence each, with the offending value and what is accepted.

Every error is a `FokkerError`, so one ``except`` clause catches all of them; most are also the
built-in error that a caller would expect (`ValueError` for bad input, `RuntimeError` for a failure
on the way).
"""

from __future__ import annotations

from collections.abc import Sequence


class FokkerError(Exception):
    """Root of every error raised on purpose by this project."""


class InvalidGridError(FokkerError, ValueError):
    """A time grid is unordered, repeated, non-finite, too short or out of the process's range."""


class InvalidProcessError(FokkerError, ValueError):
    """A forward process has parameters that define no process, or is asked outside its range."""


class InvalidPlanError(FokkerError, ValueError):
    """A Plan breaks a rule of plans, or two plans do not fit together."""


class InvalidLawError(FokkerError, ValueError):
    """The parameters of a probability law define no law (weights, covariance, shapes)."""


class PredictionError(FokkerError, ValueError):
    """A prediction name is unknown, or a conversion between predictions is singular there."""


class ShapeError(FokkerError, ValueError):
    """A tensor has the wrong shape, dtype or device."""


class NonFiniteError(FokkerError, RuntimeError):
    """A state or a model output became NaN or infinite; says at which step and in which samples.

    Parameters
    ----------
    message : str
        The sentence shown to the user.
    step : int or None
        Step number, 1 for the first step of the grid.
    t : float or None
        Time of the evaluation, in the process's clock.
    sample_ids : sequence of int
        Indices in the batch whose values are not finite.
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


class UnknownSamplerError(FokkerError, ValueError):
    """No sampler has this name; offers the nearest ones.

    Parameters
    ----------
    message : str
        The sentence shown to the user.
    name : str
        The name that was asked for.
    nearest : sequence of str
        The accepted names closest to it, best first; may be empty.
    """

    def __init__(self, message: str, *, name: str = "", nearest: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.name = name
        self.nearest = tuple(nearest)


class NotInvertibleError(FokkerError, ValueError):
    """A Plan cannot be run backwards: a row has no unique solution for its oldest state."""


class NoExactFlowError(FokkerError, ValueError):
    """A law has no exact flow map, so it cannot serve as the truth of a paired error."""


class CancelledError(FokkerError, RuntimeError):
    """A callback asked the run to stop."""


class OutputError(FokkerError, OSError):
    """A result could not be written: the folder is missing, not a folder, or not writable."""


class AnalysisError(FokkerError, ValueError):
    """An analysis is asked something that its input cannot answer."""
