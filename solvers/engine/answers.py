"""The outputs of a model that are still needed, and whether anybody has written into them.

They are the model's own tensors, not copies. A model that fills one buffer again and again would
change them under the sampler's hands; here that is noticed, whether torch counted the change or
not (a buffer filled by another library).
"""

from __future__ import annotations

import math
from typing import NoReturn

from torch import Tensor
from torch._subclasses import FakeTensor

from ..errors import ShapeError


class _Answer:
    """A live output, and how it looked when it was new."""

    __slots__ = ("storage", "tensor", "total", "version")

    def __init__(self, tensor: Tensor, storage: int, total: float | None) -> None:
        self.tensor, self.storage = tensor, storage
        # tensors made in inference mode do not count their changes
        self.version = None if tensor.is_inference() else tensor._version
        self.total = total  # sum of the entries, for the first output of a run


class Answers:
    """The live outputs of one run, by row."""

    def __init__(self, host: bool) -> None:
        self.host, self.first = host, True
        self.live: dict[int, _Answer] = {}

    def keep(self, row: int, t: float, out: Tensor) -> None:
        """Remember an output, after a look at the older ones.

        An output in the memory of a state, because the model returned its input, is no danger: a
        buffer that is still held by anybody is not used again.

        Raises
        ------
        ShapeError
            If the model wrote into an output that it had returned before.
        """
        storage = 0 if isinstance(out, FakeTensor) else out.untyped_storage().data_ptr()
        for old in self.live.values():
            version = old.version
            if version is not None and old.tensor._version != version:
                _complain(t)
            if old.storage == storage and storage:
                self._check_contents(old, t)
        total = None
        if self.first:
            self.first = False
            total = float(out.detach().sum()) if self.host else None
        self.live[row] = _Answer(out, storage, total)

    def _check_contents(self, old: _Answer, t: float) -> None:
        """See that what an older output held is still there, now that the model was back at it."""
        if not self.host:  # a replayed graph overwrites without a trace
            _complain(t)
        if old.total is not None:  # memory written past torch counts no versions
            now = float(old.tensor.detach().sum())
            if math.isfinite(now) and now != old.total:
                _complain(t)

    def drop(self, row: int) -> None:
        """Forget an output that is no longer needed."""
        self.live.pop(row, None)


def _complain(t: float) -> NoReturn:
    msg = (
        f"at t = {t} the model wrote into an output that it had returned before; "
        "return a new tensor"
    )
    raise ShapeError(msg)
