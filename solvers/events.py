"""What a callback is shown after each step, and how it stops a run."""

from __future__ import annotations

from torch import Tensor

from .errors import FokkerError
from .model import convert
from .plan import Mark


class Event:
    """What a callback sees after a step. Tensors are copies: keep them as you like.

    Attributes
    ----------
    step, steps : int
        Number of the step that has just ended, counting from 1, and how many there are.
    t, node : float, Node
        Where it ended.
    """

    def __init__(self, mark: Mark, steps: int, state: Tensor, last: tuple | None) -> None:
        self.step, self.steps, self.node, self.t = mark.step, steps, mark.node, mark.node.t
        self.cancelled = False
        self._state: Tensor | None = state
        self._last, self._x = last, None

    @property
    def x(self) -> Tensor:
        """The state after this step; read it inside the callback."""
        if self._x is None:
            if self._state is None:
                msg = f"the state after step {self.step} is gone; read event.x inside the callback"
                raise FokkerError(msg)
            self._x = self._state.clone()
        return self._x

    @property
    def data(self) -> Tensor | None:
        """The newest data prediction E[x_0 | x_t]; None if the model was not asked yet."""
        if self._last is None:
            return None
        op, source, output = self._last
        return convert(output, source, op.node, source=op.prediction, target="data").clone()

    def cancel(self) -> None:
        """Stop the run after this step; what was computed is returned."""
        self.cancelled = True

    def close(self) -> None:
        """Let go of the state: its buffer is about to be used again."""
        self._state = None


class Cancelled(Exception):
    """A callback asked to stop; carries the state after the last finished step."""

    def __init__(self, row: int, state: Tensor) -> None:
        super().__init__()
        self.row, self.state = row, state
