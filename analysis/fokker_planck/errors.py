"""What can be wrong with a question about an evolving density: one class, one sentence each."""

from __future__ import annotations

from ...solvers.errors import AnalysisError


class NotDifferentiableError(AnalysisError):
    """A field gives no derivative, or one that its own differences contradict."""


class TooFewSamplesError(AnalysisError):
    """A mean is asked to a certainty that so few samples cannot give.

    Parameters
    ----------
    message : str
        The sentence shown to the user.
    needed : int
        About how many samples would be enough.
    """

    def __init__(self, message: str, *, needed: int = 0) -> None:
        super().__init__(message)
        self.needed = needed


class GridTooSmallError(AnalysisError):
    """A box loses mass that it should hold, or its walls touch it.

    Parameters
    ----------
    message : str
        The sentence shown to the user.
    needed : tuple of float
        About the ends, low and high, that would be enough.
    """

    def __init__(self, message: str, *, needed: tuple[float, float] = (0.0, 0.0)) -> None:
        super().__init__(message)
        self.needed = needed


class TimeRangeError(AnalysisError):
    """A time is outside the range for which a network answers."""


class DiffusionError(AnalysisError):
    """A diffusion is negative, or a matrix that is no covariance."""
