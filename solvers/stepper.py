"""What no table holds: samplers whose next step depends on the data.

Adaptive step sizes, implicit solves and data-dependent coefficients are not linear programs. They
live behind this small protocol: an explicit, immutable state and a pure ``step``; no hidden
memory, no reset. A stepper is registered with ``kind="stepper"`` and built as ::

    build(model, process, grid, x, *, noise=None, **options) -> StepperRun

which is how black boxes of other libraries are called too, so that one analysis serves both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeVar

from torch import Tensor

from .errors import FokkerError
from .model import Model

State = TypeVar("State")


class StepError(FokkerError, RuntimeError):
    """A stepper gave up: too many steps, or a step that rounds to nothing."""


class Stepper(Protocol[State]):
    """A method as three pure functions of its state."""

    def init(self, x: Tensor) -> State:
        """State at the start."""
        ...

    def done(self, state: State) -> bool:
        """Whether every sample has arrived."""
        ...

    def step(self, model: Model, state: State) -> State:
        """One trial step of every sample that is still on its way."""
        ...


@dataclass(frozen=True)
class StepperRun:
    """What a stepper gives back.

    Attributes
    ----------
    x : Tensor
        The sample, shape (B, *D).
    nfe : int
        Model evaluations of the sample that needed most.
    steps : int
        Accepted steps of the sample that needed most.
    rejected : int
        Largest number of rejected steps of a sample.
    """

    x: Tensor
    nfe: int
    steps: int
    rejected: int


def march(
    stepper: Stepper[State],
    model: Model,
    x: Tensor,
    *,
    most: int = 100_000,
    begin: State | None = None,
) -> State:
    """Step from the start, or from the state ``begin``, until done.

    Raises
    ------
    StepError
        After ``most`` trial steps.
    """
    state = stepper.init(x) if begin is None else begin
    for _ in range(most):
        if stepper.done(state):
            return state
        state = stepper.step(model, state)
    msg = f"not arrived after {most} steps; a larger tolerance needs fewer"
    raise StepError(msg)
