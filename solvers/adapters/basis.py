"""The session that feeds a foreign sampler with chosen numbers and writes down what it asks.

Everything that comes to a sampler from outside is a *leaf*: its start, each noise, each output of
the model. Leaves are numbered in the order in which they are first used; leaf k is the field
``values(k)``. Fed with unit vectors (one row of the batch for each leaf), each state it shows to
the model *is* its row of weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from ..process import Node
from .foreign_error import ForeignError


@dataclass(frozen=True)
class Call:
    """One evaluation: the level the formula assumes, the library's time, the level that denotes.

    ``denoted`` is None where the library hands over the level itself.
    """

    node: Node
    label: float | None
    denoted: Node | None

    @property
    def rounding(self) -> float:
        """``lam`` of the label minus ``lam`` of the formula; 0 where the label is exact."""
        if self.denoted is None or self.denoted.lam == self.node.lam:
            return 0.0
        return self.denoted.lam - self.node.lam


@dataclass(frozen=True)
class Event:
    """Something that happened in a run.

    ``kind`` is ``"eval"``, ``"noise"``, ``"cell"`` or ``"mark"``; ``leaf`` the leaf that came of
    it (-1 for a mark); ``state`` the vector shown; ``ends`` the two ends of a cell of a path.
    """

    kind: str
    leaf: int
    state: Tensor | None = None
    call: Call | None = None
    ends: tuple[float, float] = (0.0, 0.0)


def increment(
    cells: dict[tuple[float, float], Tensor],
    make: Callable[[float, float], Tensor],
    s: float,
    t: float,
    atoms: Sequence[float] | None = None,
) -> Tensor:
    """Increment of one Brownian path over [s, t], over the root of its length.

    It is the sum of the cells between the ``atoms`` inside (by default the ends of the cells so
    far), each made once. The path runs in the direction of sampling, whichever end is named first.
    """
    low, high = sorted((float(s), float(t)))
    known = {v for cell in cells for v in cell} if atoms is None else set(atoms)
    total: Tensor | None = None
    for a, b in pairwise(sorted({low, high, *(v for v in known if low < v < high)})):
        if (a, b) not in cells:
            if any(c < b and a < d for c, d in cells):
                msg = f"noise is asked for on [{a}, {b}], part of an interval drawn as a whole"
                raise ForeignError(msg, kind="raised")
            cells[a, b] = make(a, b)
        part = cells[a, b] * math.sqrt((b - a) / (high - low))
        total = part if total is None else total + part
    if total is None:
        msg = f"noise is asked for on an empty interval at {low}"
        raise ForeignError(msg, kind="raised")
    return total


class OtherCourse(Exception):
    """The sampler asks for more than it did in an earlier run: its course depends on the data."""


class BasisSession:
    """See the module.

    Parameters
    ----------
    values : callable
        ``values(k) -> Tensor``, the field of leaf k, shape of the states.
    atoms : sequence of float, optional
        All ends of path increments asked for in an earlier run; without them an increment is a
        leaf of its own.
    """

    def __init__(
        self, values: Callable[[int], Tensor], atoms: Sequence[float] | None = None
    ) -> None:
        self.values, self.atoms = values, None if atoms is None else sorted(atoms)
        self.events: list[Event] = []
        self.leaves = 1  # leaf 0 is the start
        self.cells: dict[tuple[float, float], Tensor] = {}
        self.outputs: list[tuple[Tensor, Tensor]] = []

    def start(self) -> Tensor:
        """The field of leaf 0."""
        return self.values(0)

    def _leaf(self) -> tuple[int, Tensor]:
        k, self.leaves = self.leaves, self.leaves + 1
        return k, self.values(k)

    def model(
        self, x: Tensor, node: Node, *, label: float | None = None, denoted: Node | None = None
    ) -> Tensor:
        """The next leaf."""
        k, out = self._leaf()
        state = x.detach().clone()
        self.events.append(Event("eval", k, state, Call(node, label, denoted)))
        out = out.to(x.dtype).reshape(x.shape)
        self.outputs.append((out, out.clone()))
        return out

    def mark(self, x: Tensor, node: Node) -> None:
        """Write down a state after a step."""
        self.events.append(Event("mark", -1, x.detach().clone(), Call(node, None, None)))

    def draw(self, like: Tensor) -> Tensor:
        """The next leaf."""
        k, out = self._leaf()
        if like.numel() != out.numel():
            have, want = tuple(like.shape), tuple(out.shape)
            msg = f"noise is drawn of shape {have} for states of shape {want}: one field is needed"
            raise ForeignError(msg, kind="not supported")
        self.events.append(Event("noise", k))
        return out.to(like.dtype).reshape(like.shape).clone()

    def path(self, like: Tensor, s: float, t: float) -> Tensor:
        """The increment over [s, t], put together from the cells that its ends cut."""

        def make(a: float, b: float) -> Tensor:
            k, out = self._leaf()
            self.events.append(Event("cell", k, ends=(a, b)))
            return out.to(like.dtype).reshape(like.shape).clone()

        return increment(self.cells, make, s, t, self.atoms)

    def spoiled(self) -> bool:
        """Whether the sampler has written into an output that the model gave it."""
        return any(not torch.equal(out, copy) for out, copy in self.outputs)

    def course(self) -> list[tuple]:
        """What was asked, without the numbers: equal in every run of a linear sampler."""
        out = []
        for e in self.events:
            level = e.call.node.lam if e.call else e.ends
            out.append((e.kind, e.leaf, level, e.call.label if e.call else None))
        return out
