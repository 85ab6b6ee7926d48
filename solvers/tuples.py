"""States that are tuples of tensors: positions with types, an image with its latent, and the like.

A sampler is linear in the state and knows nothing of its shape. So the parts are packed side by
side in one state (B, n), the plan runs on that, and only the model and the user see tuples. All
parts share one noise level: parts that are noised on schedules of their own are not this.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from .errors import ShapeError
from .events import Event
from .heads import Heads
from .model import Model
from .noise import NoiseSource
from .plan import Plan

Parts = tuple[Tensor, ...]


@dataclass(frozen=True)
class Packing:
    """How a tuple of tensors (B, *D_k) lies in one tensor (B, n).

    Attributes
    ----------
    shapes : tuple of tuple of int
        The shapes D_k of the parts of one sample; ``()`` for one number.
    """

    shapes: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, parts: Sequence[Tensor]) -> Packing:
        """The packing of such a tuple.

        Raises
        ------
        ShapeError
            For an empty tuple, what is no tensor, and parts without a common batch size, dtype or
            device.
        """
        if not parts:
            msg = "a state that is a tuple needs at least one tensor, got none"
            raise ShapeError(msg)
        for k, part in enumerate(parts):
            if not isinstance(part, Tensor) or part.ndim < 1:
                found = type(part).__name__ if not isinstance(part, Tensor) else "shape ()"
                msg = f"part {k} of the state must be a tensor (B, *D), got {found}"
                raise ShapeError(msg)
            for what, have, want in (
                ("batch size", part.shape[0], parts[0].shape[0]),
                ("dtype", part.dtype, parts[0].dtype),
                ("device", part.device, parts[0].device),
            ):
                if have != want:
                    msg = f"part {k} of the state has the {what} {have}, but part 0 has {want}"
                    raise ShapeError(msg)
        return cls(tuple(tuple(part.shape[1:]) for part in parts))

    def pack(self, parts: Any, name: str) -> Tensor:
        """The tuple as one tensor (B, n), a new one.

        Raises
        ------
        ShapeError
            If these are not tensors of the shapes of this packing.
        """
        many = isinstance(parts, (tuple, list)) and all(isinstance(p, Tensor) for p in parts)
        if not many or len(parts) != len(self.shapes):
            what = f"{len(parts)} tensors" if many else type(parts).__name__
            msg = f"{name} must be a tuple of {len(self.shapes)} tensors, got {what}"
            raise ShapeError(msg)
        batch = parts[0].shape[:1]
        for k, (part, shape) in enumerate(zip(parts, self.shapes, strict=True)):
            if part.shape != (*batch, *shape):
                want, got = (*batch, *shape), tuple(part.shape)
                msg = f"part {k} of {name} must have the shape {want}, got {got}"
                raise ShapeError(msg)
        return torch.cat([p.reshape(*batch, -1) for p in parts], dim=1)

    def unpack(self, x: Tensor) -> Parts:
        """The tuple that a tensor (B, n) holds, as tensors of their own."""
        sizes = [math.prod(shape) for shape in self.shapes]
        cut = x.split(sizes, dim=1)
        return tuple(
            c.reshape(x.shape[0], *s).contiguous() for c, s in zip(cut, self.shapes, strict=True)
        )

    def model(self, model: Callable[[Parts, Any], Parts]) -> Model:
        """A model of tuples as a model of packed states; heads stay heads."""
        if isinstance(model, Heads):
            return Heads({head: self.model(model[head]) for head in model})
        return lambda x, t: self.pack(model(self.unpack(x), t), f"the model's output at t = {t}")


class TupleEvent:
    """What a callback sees after a step: an :class:`fokker.solvers.events.Event` of tuples."""

    def __init__(self, event: Event, packing: Packing) -> None:
        self._event, self._packing = event, packing
        self.step, self.steps, self.node, self.t = event.step, event.steps, event.node, event.t

    @property
    def x(self) -> Parts:
        """The state after this step; read it inside the callback."""
        return self._packing.unpack(self._event.x)

    @property
    def data(self) -> Parts | None:
        """The newest data prediction; None if the model was not asked yet."""
        found = self._event.data
        return None if found is None else self._packing.unpack(found)

    def cancel(self) -> None:
        """Stop the run after this step."""
        self._event.cancel()


@dataclass(frozen=True)
class TupleRun:
    """What a run of tuples gives back: a :class:`fokker.solvers.run.Run` of tuples."""

    x: Parts
    outputs: dict[str, Parts]
    saved: dict[int, Parts] = field(default_factory=dict)
    cancelled: bool = False


def run_tuple(
    plan: Plan,
    model: Callable[[Parts, Any], Parts],
    x: Sequence[Tensor],
    *,
    noise: NoiseSource | int | None = None,
    history: Mapping[str, Sequence[Tensor]] | None = None,
    callback: Callable[[TupleEvent], object] | None = None,
    save_at: Iterable[int] = (),
    compiled: bool = False,
    grad: bool = False,
) -> TupleRun:
    """Run a plan on a tuple of tensors; :func:`fokker.solvers.run.run` comes here by itself.

    ``model((x1, x2, ...), t)`` gets and gives tuples of one shape. The noise of a sample is that
    of the packed state: the first numbers go to the first part.

    Raises
    ------
    ShapeError
        If the parts do not fit together, or the model's output does not fit them; and what ``run``
        raises.
    """
    from .run import run

    packing = Packing.of(x)

    def show(event: Event) -> object:
        return callback(TupleEvent(event, packing)) if callback else None

    found = run(
        plan,
        packing.model(model),
        packing.pack(tuple(x), "the state"),
        noise=noise,
        history={n: packing.pack(v, f"input {n!r}") for n, v in (history or {}).items()},
        callback=show if callback else None,
        save_at=save_at,
        compiled=compiled,
        grad=grad,
    )
    return TupleRun(
        packing.unpack(found.x),
        {name: packing.unpack(v) for name, v in found.outputs.items()},
        {step: packing.unpack(v) for step, v in found.saved.items()},
        found.cancelled,
    )
