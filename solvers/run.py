"""The executor: one plan, one model, tensors in, tensors out.

The loop is :func:`fokker.solvers.plan.interpret`; this module only decides where vectors live. Each
linear row is summed in place into a buffer from a pool, and a buffer returns to the pool when its
vector dies, so memory is the plan's own peak of live vectors. On a device nothing is read back
inside the loop. The state is float32 or float64, whatever the model computes in.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .errors import InvalidPlanError, NonFiniteError, ShapeError
from .fused import fused_sum
from .model import Model, convert
from .noise import CellNoise, NoiseSource
from .plan import Eval, Lin, Mark, Noise, Plan, Weight, interpret
from .process import Node

STATE_DTYPES = (torch.float32, torch.float64)


@dataclass(frozen=True)
class Run:
    """What a run gives back.

    Attributes
    ----------
    x : Tensor
        The sample, shape (B, *D); after a cancellation the state at the last finished step.
    outputs : dict
        All outputs of the plan by name (empty after a cancellation).
    saved : dict
        The states asked for with ``save_at``, by step; step 0 is the start.
    cancelled : bool
        Whether the callback stopped the run.
    """

    x: Tensor
    outputs: dict[str, Tensor]
    saved: dict[int, Tensor] = field(default_factory=dict)
    cancelled: bool = False


class Event:
    """What a callback sees after a step. Tensors are copies: keep them as you like."""

    def __init__(self, mark: Mark, steps: int, state: Tensor, last: tuple | None) -> None:
        self.step, self.steps, self.node, self.t = mark.step, steps, mark.node, mark.node.t
        self._state, self._last, self.cancelled = state, last, False

    @property
    def x(self) -> Tensor:
        """The state after this step."""
        return self._state.clone()

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


class _Cancelled(Exception):
    pass


def run(
    plan: Plan,
    model: Model,
    x: Tensor,
    *,
    noise: NoiseSource | int | None = None,
    history: Mapping[str, Tensor] | None = None,
    callback: Callable[[Event], object] | None = None,
    save_at: Iterable[int] = (),
    compiled: bool = False,
    grad: bool = False,
) -> Run:
    """Run a plan.

    Parameters
    ----------
    plan : Plan
        What to compute. Build it from a process and a grid with a registered sampler.
    model : callable
        ``model(x, t)`` with x of shape (B, *D) and t a float (time of the process), giving the
        prediction that the plan asks for. It may compute in any dtype; it must not change x.
    x : Tensor
        Start, shape (B, *D), float32 or float64, on any device.
    noise : int or NoiseSource, optional
        Seed, or a source of noise; needed by stochastic plans only.
    history : mapping, optional
        Further inputs by name (``m-1``, ...), for a plan that begins with history.
    callback : callable, optional
        Called with an :class:`Event` after each step.
    save_at : iterable of int
        Steps whose state is kept (0 is the start).
    compiled : bool
        Sum each row in one fused pass (``torch.compile``); equal to eager to rounding.
    grad : bool
        Record gradients; by default the run is under ``torch.no_grad``.

    Raises
    ------
    ShapeError
        For an empty batch, a wrong dtype, or a model output of another shape or device.
    NonFiniteError
        If the start or a model output is not finite; it carries step, time and sample ids.
    InvalidPlanError
        If inputs, noise or steps are asked for that do not exist.
    """
    _check_state(x, "x")
    executor = _Executor(plan, model, x, noise, callback, set(save_at), compiled)
    inputs = {**(history or {}), "x": x}
    for name in plan.inputs:
        if name in inputs:
            _check_like(inputs[name], x, f"input {name!r}")
    with contextlib.nullcontext() if grad else torch.no_grad():
        try:
            outputs = interpret(
                plan,
                inputs=inputs,
                evaluate=executor.evaluate,
                draw=executor.draw,
                add=executor.add,
                after=executor.after,
                forget=executor.forget,
            )
        except _Cancelled:
            executor.check_flags()
            return Run(executor.state, {}, executor.saved, cancelled=True)
    executor.check_flags()
    _check_finite(outputs["x"], "the sample", executor.sample_ids)
    return Run(outputs["x"], outputs, executor.saved)


class _Executor:
    """Where vectors live during one run."""

    def __init__(
        self,
        plan: Plan,
        model: Model,
        x: Tensor,
        noise: NoiseSource | int | None,
        callback: Callable[[Event], object] | None,
        save_at: set[int],
        compiled: bool,
    ) -> None:
        self.plan, self.model, self.like, self.state = plan, model, x, x
        self.noise = CellNoise(noise) if isinstance(noise, int) else noise
        self.callback, self.save_at, self.compiled = callback, save_at, compiled
        self.marks = {m.vector: m for m in plan.marks}
        self.saved: dict[int, Tensor] = {0: x.clone()} if 0 in save_at else {}
        self.pool: list[Tensor] = []
        self.owned: set[int] = {x.untyped_storage().data_ptr()}
        self.answers: dict[int, tuple[int, int]] = {}  # storage of a live output -> row, version
        self.last: tuple | None = None  # newest evaluation, kept for the callback only
        self.flags: list[tuple[int, Node, Tensor]] = []
        ids = getattr(self.noise, "sample_ids", None)
        self.sample_ids = list(ids) if ids is not None else list(range(x.shape[0]))
        unknown = save_at - {0} - {m.step for m in plan.marks}
        if unknown:
            msg = (
                f"save_at asks for step {min(unknown)}; the plan has steps 0 .. {len(plan.marks)}"
            )
            raise InvalidPlanError(msg)

    # -- readings of the four kinds of rows -------------------------------------------------

    def draw(self, _row: int, op: Noise) -> Tensor:
        if self.noise is None:
            msg = "the plan draws noise: give run(..., noise=<seed>)"
            raise InvalidPlanError(msg)
        return self.noise.draw(op, self.like)

    def evaluate(self, row: int, op: Eval, x: Tensor) -> Tensor:
        version = x._version
        out = self.model(x, op.node.t)
        if x._version != version:
            msg = f"the model changed its input in place at t = {op.node.t}; it must leave x alone"
            raise ShapeError(msg)
        _check_like(out, self.like, f"the model's output at t = {op.node.t}", same_dtype=False)
        storage = out.untyped_storage().data_ptr()
        if self.answers.get(storage, (0, out._version))[1] != out._version or (
            storage in self.answers and out.device.type != "cpu"
        ):
            msg = f"the model wrote into an output it had returned before (t = {op.node.t}); return a new tensor"
            raise ShapeError(msg)
        out = out.to(self.like.dtype)
        if out.untyped_storage().data_ptr() in self.owned:
            out = out.clone()  # the model returned its input: never alias a state
        self.answers[out.untyped_storage().data_ptr()] = (row, out._version)
        self._watch(row, op.node, out)
        if self.callback is not None:
            self.last = (op, x.clone(), out)
        return out

    def add(self, row: int, weights: tuple[Weight, ...], vectors: tuple[Tensor, ...]) -> Tensor:
        if torch.is_grad_enabled():
            return sum(
                (v * self._weight(w) for w, v in zip(weights[1:], vectors[1:], strict=True)),
                start=vectors[0] * self._weight(weights[0]),
            )
        out = self._buffer()
        if self.compiled and all(isinstance(w, float) for w in weights):
            return fused_sum(weights, vectors, out)
        first = self._weight(weights[0])
        torch.mul(vectors[0], first, out=out)
        for w, v in zip(weights[1:], vectors[1:], strict=True):
            if isinstance(w, float):
                out.add_(v, alpha=w)
            else:
                out.addcmul_(v, self._weight(w))
        return out

    def after(self, row: int, vector: Tensor) -> None:
        mark = self.marks.get(row)
        if mark is None:
            return
        if mark.step in self.save_at:
            self.saved[mark.step] = vector.clone()
        if self.callback is not None:
            event = Event(mark, len(self.plan.marks), vector, self.last)
            self.callback(event)
            if event.cancelled:
                self.state = vector
                raise _Cancelled

    def forget(self, row: int, vector: Tensor) -> None:
        if isinstance(self.plan.ops[row], Eval):
            storage = vector.untyped_storage().data_ptr()
            if self.answers.get(storage, (None, 0))[0] == row:
                del self.answers[storage]
        if isinstance(self.plan.ops[row], Lin) and not torch.is_grad_enabled():
            self.pool.append(vector)

    # -- helpers ----------------------------------------------------------------------------

    def _buffer(self) -> Tensor:
        if self.pool:
            return self.pool.pop()
        out = torch.empty_like(self.like, memory_format=torch.contiguous_format)
        self.owned.add(out.untyped_storage().data_ptr())
        return out

    def _weight(self, w: Weight) -> float | Tensor:
        if isinstance(w, float):
            return w
        return torch.as_tensor(w, dtype=self.like.dtype, device=self.like.device)

    def _watch(self, row: int, node: Node, out: Tensor) -> None:
        """Note whether an output is finite, without reading anything back from a device."""
        if out.device.type != "cpu":
            self.flags.append((row, node, out.flatten(1).sum(1)))
        elif not math.isfinite(float(out.detach().sum())) and not bool(torch.isfinite(out).all()):
            self._complain(row, node, ~torch.isfinite(out).flatten(1).all(1))

    def check_flags(self) -> None:
        """Read the finiteness flags of a device run, once."""
        if not self.flags:
            return
        sums = torch.stack([s for _, _, s in self.flags])
        bad = ~torch.isfinite(sums).cpu()
        if bad.any():
            first = int(bad.any(1).nonzero()[0])
            row, node, _ = self.flags[first]
            self._complain(row, node, bad[first])

    def _complain(self, row: int, node: Node, bad: Tensor) -> None:
        step = 1 + sum(m.vector < row for m in self.plan.marks)
        ids = [self.sample_ids[i] for i in bad.nonzero().flatten().tolist()]
        shown = ", ".join(map(str, ids[:8])) + (", ..." if len(ids) > 8 else "")
        msg = f"the model's output is not finite in step {step} at t = {node.t}, samples {shown}"
        raise NonFiniteError(msg, step=step, t=node.t, sample_ids=tuple(ids))


def _check_state(x: Tensor, name: str) -> None:
    if not isinstance(x, Tensor):
        msg = f"{name} must be a torch tensor, got {type(x).__name__}"
        raise ShapeError(msg)
    if x.ndim < 2 or x.shape[0] == 0 or x.numel() == 0:
        msg = f"{name} must have shape (B, *D) with B >= 1 samples, got {tuple(x.shape)}"
        raise ShapeError(msg)
    if x.dtype not in STATE_DTYPES:
        msg = f"{name} must be float32 or float64 (only the model may be lower), got {x.dtype}"
        raise ShapeError(msg)
    _check_finite(x, name, list(range(x.shape[0])))


def _check_finite(x: Tensor, name: str, ids: list[int]) -> None:
    finite = torch.isfinite(x).flatten(1).all(1)
    if not bool(finite.all()):
        bad = tuple(ids[i] for i in (~finite).nonzero().flatten().tolist())
        msg = f"{name} is not finite in samples {', '.join(map(str, bad[:8]))}"
        raise NonFiniteError(msg, step=None, t=None, sample_ids=bad)


def _check_like(value: Tensor, like: Tensor, name: str, same_dtype: bool = True) -> None:
    if not isinstance(value, Tensor):
        msg = f"{name} must be a torch tensor, got {type(value).__name__}"
        raise ShapeError(msg)
    if value.shape != like.shape:
        msg = f"{name} must have the shape {tuple(like.shape)} of the state, got {tuple(value.shape)}"
        raise ShapeError(msg)
    if value.device != like.device:
        msg = f"{name} must be on {like.device}, got {value.device}"
        raise ShapeError(msg)
    if not value.dtype.is_floating_point or (same_dtype and value.dtype != like.dtype):
        msg = f"{name} must have the dtype {like.dtype} of the state, got {value.dtype}"
        raise ShapeError(msg)
