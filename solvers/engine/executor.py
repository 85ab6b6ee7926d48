"""Where vectors live during a run, and what guards them.

Each linear row is summed in place into a buffer from a pool; a buffer returns to the pool when its
vector dies, and the one that died last is used first, since it is still in the cache. So memory is
the plan's own peak of live vectors.

A model is somebody else's code. It may return its input, a view of it, the same tensor at every
call, or keep what it was given: none of that changes a result. It may not change its input, nor
write into an output that is still needed: both are errors, not wrong samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import NoReturn

import torch
from torch import Tensor

from ..checks import bad_samples, check_like, named_samples, shown
from ..errors import InvalidPlanError, NonFiniteError, ShapeError
from ..events import Cancelled, Event
from ..heads import Heads
from ..model import Model
from ..noise import NoiseSource, source_of
from ..plan import Eval, Lin, Noise, Plan, Weight, combine, interpret
from ..process import Node
from . import scratch
from .answers import Answers
from .fused import FusedSum
from .tables import tables
from .upload import upload


class Executor:
    """One run of one plan; see the module."""

    def __init__(
        self,
        plan: Plan,
        model: Model,
        x: Tensor,
        *,
        noise: NoiseSource | int | None,
        callback: Callable[[Event], object] | None,
        save_at: set[int],
        compiled: bool,
        grad: bool,
    ) -> None:
        self.plan, self.model, self.like = plan, model, x
        self.tables = tables(plan)
        self.heads = model if isinstance(model, Heads) else None
        self.shape, self.dtype, self.device = x.shape, x.dtype, x.device
        self.noise = None if noise is None else source_of(noise)
        self.callback, self.save_at = callback, save_at
        self.grad, self.host = grad, x.device.type == "cpu"
        self.plain = type(x) is Tensor  # no subclass, such as the fake tensors of a tracer
        self.fused = FusedSum(torch.empty_like(x)) if compiled and self.plain else None
        self.counting = not (x.is_inference() or torch.is_inference_mode_enabled())
        self.marks = {m.vector: m for m in plan.marks}
        self.saved: dict[int, Tensor] = {0: x.clone()} if 0 in save_at else {}
        self.pool: list[Tensor] = []
        self.buffers = 0  # taken so far
        self.answers = Answers(self.host)
        self.last: tuple | None = None  # newest evaluation, kept for the callback only
        self.flags: list[tuple[int, Tensor]] = []
        self.unseen: int | None = None  # an arrival that was not looked at
        self.watchful = bool(grad or not self.host or callback or save_at)  # look at all of them
        ids = getattr(self.noise, "sample_ids", None)
        self.sample_ids = list(ids) if ids is not None else list(range(x.shape[0]))

    def __call__(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Run the plan; nothing is read back from a device on the way."""
        outputs = interpret(
            self.plan,
            inputs=inputs,
            evaluate=self.evaluate,
            draw=self.draw,
            add=self.add,
            after=self.after if self.callback or self.save_at else None,
            forget=self.forget,
        )
        scratch.give(self.pool, self.like)
        return outputs

    # -- readings of the kinds of rows ---------------------------------------------------------

    def draw(self, row: int, op: Noise) -> Tensor:
        """The noise of a cell."""
        if self.noise is None:
            msg = "the plan draws noise: give run(..., noise=<seed>)"
            raise InvalidPlanError(msg)
        if len(self.pool) > self.tables.room[row]:
            del self.pool[0]  # else with a vector from outside there would be more than the peak
        out = self.noise.draw(op, self.like)
        check_like(out, self.like, f"the noise of the cell [{op.a}, {op.b}]")
        return out

    def evaluate(self, row: int, op: Eval, x: Tensor) -> Tensor:
        """The model's output, as a tensor that nobody will change while it is needed."""
        if len(self.pool) > self.tables.room[row]:
            del self.pool[0]
        counting = self.counting
        before = x._version if counting else None
        model = self.model if self.heads is None else self.heads[op.head]
        # an alias, so that whatever the model keeps of it shows in the use count of its storage
        try:
            out = model(x if self.grad else x.detach(), op.node.t)
        except Exception:
            self._explain(x)
            raise
        if counting and x._version != before:
            msg = f"the model changed its input in place at t = {op.node.t}; leave x as it is"
            raise ShapeError(msg)
        fits = type(out) is Tensor and out.shape == self.shape and out.device == self.device
        if not (fits and out.dtype == self.dtype):
            check_like(out, self.like, f"the model's output at t = {op.node.t}", same_dtype=False)
        if out.requires_grad and not self.grad:
            out = out.detach()
        if out.dtype == self.dtype:
            self.answers.keep(row, op.node.t, out)
        else:
            out = out.to(self.dtype)
        if self.callback is not None:
            self.last = (op, x.clone(), out)
        return out

    def add(self, row: int, weights: tuple[Weight, ...], vectors: tuple[Tensor, ...]) -> Tensor:
        """One linear row, in a buffer of the pool."""
        sums = None
        if self.grad:
            usable = [w if isinstance(w, float) else self._array(w) for w in weights]
            out = combine(tuple(usable), vectors)
        else:
            out = self._buffer()
            if self.fused and all([isinstance(w, float) for w in weights]):
                sums = self.fused(weights, vectors, out)
            if sums is None:
                self._add_in_place(weights, vectors, out)
        if row in self.tables.arrivals:
            if self.watchful or sums is not None or row in self.tables.looks:
                self._watch(row, vectors, out, sums)
                self.unseen = None
            else:
                self.unseen = row
        return out

    def _add_in_place(
        self, weights: tuple[Weight, ...], vectors: tuple[Tensor, ...], out: Tensor
    ) -> None:
        first = weights[0]
        if not isinstance(first, float):
            scale = self._array(first)
        else:
            scale = _scalar(first, self.dtype) if self.plain and self.host else first
        torch.mul(vectors[0], scale, out=out)
        for w, v in zip(weights[1:], vectors[1:], strict=True):
            if isinstance(w, float):
                out.add_(v, alpha=w)
            else:
                out.addcmul_(v, self._array(w))

    def after(self, row: int, vector: Tensor) -> None:
        """Show and save the state where a step ends."""
        mark = self.marks.get(row)
        if mark is None:
            return
        if mark.step in self.save_at:
            self.saved[mark.step] = vector.clone()
        if self.callback is not None:
            event = Event(mark, len(self.plan.marks), vector, self.last)
            self.callback(event)
            event.close()
            if event.cancelled:
                raise Cancelled(row, vector)

    def forget(self, row: int, vector: Tensor) -> None:
        """Take back the buffer of a dead vector, unless the model still holds it."""
        if isinstance(self.plan.ops[row], Lin):
            if not self.grad and (row not in self.tables.shown or _owners(vector) <= _ALONE):
                self.pool.append(vector)
        else:
            self.answers.drop(row)

    # -- helpers -------------------------------------------------------------------------------

    def _buffer(self) -> Tensor:
        if self.pool:
            return self.pool.pop()
        out = scratch.take(self.like)
        self.buffers += 1
        return out

    def _array(self, w: Weight) -> Tensor:
        """A weight per coordinate or sample, as a tensor beside the state."""
        like = self.like
        if isinstance(w, Tensor):  # a learned one: stay with its gradients
            out = w.to(dtype=like.dtype, device=like.device)
        else:
            out = upload(torch.tensor(w), like.device, like.dtype)
        fits = out.ndim <= like.ndim and all(
            a in (1, b) for a, b in zip(reversed(out.shape), reversed(like.shape), strict=False)
        )
        if not fits:
            msg = f"a weight of shape {tuple(out.shape)} does not fit a state {tuple(like.shape)}"
            raise ShapeError(msg)
        return out

    def _watch(
        self, row: int, vectors: tuple[Tensor, ...], out: Tensor, sums: Tensor | None
    ) -> None:
        """See that new model outputs left the state finite: one sum, which NaN and inf spoil."""
        if sums is None:
            plain = out.detach() if self.grad else out
            sums = plain.sum() if self.host else plain.flatten(1).sum(1)
        if not self.host:
            self.flags.append((row, sums))
            return
        if math.isfinite(float(sums)):
            return
        bad = bad_samples(out)
        if bool(bad.any()):  # else finite values whose sum overflows
            self._blame(row, dict(zip(self.plan.columns[row][0], vectors, strict=True)), bad)

    def _blame(self, row: int, here: dict[int, Tensor], bad: Tensor) -> NoReturn:
        """Find what was the first not to be finite: of the arrival not looked at, then of this."""
        if self.unseen is not None and bool((spoilt := bad_samples(here[self.unseen])).any()):
            row, bad = self.unseen, spoilt
        for j in sorted(self.plan.columns[row][0]):
            op = self.plan.ops[j]
            if isinstance(op, Eval) and j in here and bool((own := bad_samples(here[j])).any()):
                self._complain(j, op.node, own, "the model's output")
        known = self.unseen != row
        self._complain(row, self._newest(row), bad, "the state" if known else "the model's output")

    def _explain(self, x: Tensor) -> None:
        """Say why, if the model choked on a state that an arrival not looked at had spoilt."""
        if self.unseen is not None and bool((bad := bad_samples(x)).any()):
            self._complain(self.unseen, self._newest(self.unseen), bad, "the model's output")

    def check_flags(self) -> None:
        """Read the sums of a device run, once."""
        if not self.flags:
            return
        bad = ~torch.isfinite(torch.stack([s for _, s in self.flags])).cpu()
        if bool(bad.any()):
            first = int(bad.any(1).nonzero()[0])
            row = self.flags[first][0]
            self._complain(row, self._newest(row), bad[first], "the model's output")

    def _newest(self, row: int) -> Node:
        """Where the newest model output that a row reads was taken."""
        read = [self.plan.ops[j] for j in sorted(self.plan.columns[row][0])]
        return [op.node for op in read if isinstance(op, Eval)][-1]

    def _complain(self, row: int, node: Node, bad: Tensor, what: str) -> NoReturn:
        step = 1 + sum(m.vector < row for m in self.plan.marks)
        ids = named_samples(bad, self.sample_ids)
        msg = f"{what} is not finite in step {step} at t = {node.t}, samples {shown(ids)}"
        raise NonFiniteError(msg, step=step, t=node.t, sample_ids=ids)


@lru_cache(maxsize=4096)
def _scalar(w: float, dtype: torch.dtype) -> Tensor:
    """A weight as a product takes it fastest: twice as fast as a Python float."""
    return torch.tensor(w, dtype=dtype)


def _owners(x: Tensor) -> int:
    """How many tensors share the memory of x."""
    count = getattr(torch._C, "_storage_Use_Count", None)
    return count(x.untyped_storage()._cdata) if count else _ALONE + 1  # unknown: keep it


_ALONE = 0
_ALONE = _owners(torch.empty(1))
