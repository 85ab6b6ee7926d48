"""Gradients through a reversible run: states are rebuilt backwards instead of being stored.

The rows of a plan are solved for their oldest vectors, as in ``plan_algebra.invert``, and as soon
as a state is known again, the model is asked there once more, with a graph, and the gradient of
the loss is pushed through that one answer. Memory is that of one evaluation, whatever the number
of steps; the gradient is that of the numbers that the sampler computed, to rounding. Chen et al.
2024, arXiv:2403.17006, do so with couplings of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..engine.weights import merged, usable
from ..errors import InvalidPlanError, NonFiniteError, NotInvertibleError
from ..heads import check_heads, head_of
from ..model import Model
from ..noise import NoiseSource, source_of
from ..ops import sources
from ..plan import Eval, Input, Lin, Noise, Plan, combine
from ..run import run
from .parameters import wanted_parameters
from .undoing import Event, undoing


def _check_weights(plan: Plan) -> None:
    for op in plan.ops:
        terms = op.terms if isinstance(op, Lin) else ()
        if any(isinstance(w, Tensor) and w.requires_grad for _, w in terms):
            msg = "a reversible gradient does not reach learned weights; use run(..., grad=True)"
            raise NotInvertibleError(msg)


def reversible_sample(
    plan: Plan,
    model: Model,
    x: Tensor,
    *,
    params: Sequence[Tensor] | None = None,
    noise: NoiseSource | int | None = None,
    history: Mapping[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """Run a reversible plan so that its outputs can be differentiated at constant memory.

    Parameters
    ----------
    plan : Plan
        Built with ``carry=True``; its weights are numbers or arrays, not learned.
    model : callable
        Asked once forward and once backward at each state; must answer the same twice.
    x : Tensor
        Start, shape (B, *D).
    params : sequence of Tensor, optional
        What else to differentiate by; the parameters of the model if it is a module.
    noise, history
        As of :func:`.run.run`.

    Returns
    -------
    dict
        All outputs of the plan by name, each with a graph to x, the history and ``params``.

    Raises
    ------
    NotInvertibleError
        If a state cannot be found again from the outputs, or a weight is learned; and in the
        backward pass, if the states found again do not lead back to the start.
    InvalidPlanError
        If an input is missing, or one of ``params`` wants no gradient.
    NonFiniteError
        As of :func:`.run.run`; and if a gradient is not finite.

    Notes
    -----
    Once differentiable: a second derivative is refused by autograd. For one, run the plan with
    ``run(..., grad=True)``.
    """
    _check_weights(plan)
    check_heads(plan, model)
    given = {**(history or {}), "x": x}
    missing = [name for name in plan.inputs if name not in given]
    if missing:
        msg = f"the plan needs the inputs {sorted(plan.inputs)}; {missing[0]!r} is missing"
        raise InvalidPlanError(msg)
    inputs = {name: given[name] for name in plan.inputs}
    params = wanted_parameters(model, params)
    source = None if noise is None else source_of(noise)
    starts = {name: value.detach() for name, value in inputs.items()}
    job = _Job(plan, model, tuple(undoing(plan)), source, len(inputs), starts)
    values = _Reversible.apply(job, *inputs.values(), *params)
    return dict(zip(plan.outputs, values, strict=True))


class _Job(NamedTuple):
    """What a backward pass needs besides tensors; the first ``count`` of these are inputs."""

    plan: Plan
    model: Model
    events: tuple[Event, ...]
    noise: NoiseSource | None
    count: int
    starts: dict[str, Tensor]  # what the run began with, to see that the way back leads there


class _Reversible(torch.autograd.Function):
    """The plan as one operation of autograd, whose backward pass rebuilds its states."""

    @staticmethod
    def forward(ctx: Any, job: _Job, *tensors: Tensor) -> tuple[Tensor, ...]:
        inputs = dict(zip(job.plan.inputs, tensors[: job.count], strict=True))
        x = inputs.pop("x")
        out = run(job.plan, job.model, x, noise=job.noise, history=inputs).outputs
        ctx.job = job
        ctx.save_for_backward(*out.values(), *tensors[job.count :])
        return tuple(out.values())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *bars: Tensor | None) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        job, saved = ctx.job, ctx.saved_tensors
        values, params = saved[: len(bars)], saved[len(bars) :]
        sweep = _Sweep(job, params)
        for j, value, bar in zip(job.plan.outputs.values(), values, bars, strict=True):
            sweep.vectors[j] = value
            sweep.give(j, bar)
        sweep.go()
        found = [sweep.inputs.get(name) for name in job.plan.inputs]
        for grad in (*found, *sweep.grads):
            if grad is not None and not bool(torch.isfinite(grad).all()):
                msg = "the gradient of a reversible run is not finite; its states may have grown"
                raise NonFiniteError(msg)
        return (None, *found, *sweep.grads)


class _Sweep:
    """From the outputs to the inputs: states rebuilt, gradients pushed through as they come."""

    def __init__(self, job: _Job, params: tuple[Tensor, ...]) -> None:
        self.ops, self.job, self.params = job.plan.ops, job, params
        self.vectors: dict[int, Tensor] = {}
        self.bars: dict[int, Tensor] = {}
        self.graphs: dict[int, tuple[Tensor, Tensor]] = {}
        self.inputs: dict[str, Tensor] = {}
        self.grads: list[Tensor | None] = [None] * len(params)
        self.row = len(self.ops) - 1  # gradients of all later rows are pushed through

    def give(self, j: int, bar: Tensor | None) -> None:
        """Add to the gradient of a vector."""
        if bar is not None:
            self.bars[j] = self.bars[j] + bar if j in self.bars else bar

    def go(self) -> None:
        """The whole way back; a vector is dropped after its last use."""
        events = self._needed()
        last = {
            j: k for k, event in enumerate(events) for j in (event.vector, *self._reads(event))
        }
        ends: dict[int, list[int]] = {}
        for j, k in last.items():
            ends.setdefault(k, []).append(j)
        self.push()
        for k, event in enumerate(events):
            self.vectors[event.vector] = found = self._rebuilt(event)
            self._check_start(self.ops[event.vector], found)
            for j in ends.get(k, ()):
                self.vectors.pop(j, None)
            self.push()

    def _check_start(self, op: Any, found: Tensor) -> None:
        """The way back must lead to where the run began, or its gradients are of other states."""
        if not isinstance(op, Input):
            return
        start = self.job.starts[op.name]
        off = float((found - start).abs().max())
        if not off <= 1e-2 * float(start.abs().max()) + 1e-6:
            msg = (
                f"the way back misses the input {op.name!r} by {off:.2g}: the model answers "
                "otherwise the second time, or rounding has grown over too many steps"
            )
            raise NotInvertibleError(msg)

    def _needed(self) -> list[Event]:
        """The events that some evaluation depends on."""
        wanted: set[int] = set()
        kept = []
        for event in reversed(self.job.events):
            if isinstance(self.ops[event.row], Eval) or event.vector in wanted:
                wanted.update(self._reads(event))
                kept.append(event)
        return kept[::-1]

    def _reads(self, event: Event) -> list[int]:
        op = self.ops[event.row]
        return [j for j in (event.row, *sources(op)) if j != event.vector]

    def _vector(self, j: int) -> Tensor:
        op = self.ops[j]
        if isinstance(op, Noise) and self.job.noise is not None:
            return self.job.noise.draw(op, next(iter(self.vectors.values())))
        return self.vectors[j]

    def _rebuilt(self, event: Event) -> Tensor:
        op = self.ops[event.row]
        if isinstance(op, Eval):
            return self._ask(event.row, op)
        terms = merged(op) if isinstance(op, Lin) else {}
        rest = {j: w for j, w in terms.items() if j != event.vector}
        vectors = [self._vector(j) for j in rest]
        weights = [usable(w, vectors[0]) for w in rest.values()] if rest else []
        if event.vector == event.row:
            return combine(tuple(weights), tuple(vectors))
        value = self._vector(event.row)
        if rest:
            value = value - combine(tuple(weights), tuple(vectors))
        return value / usable(terms[event.vector], value)

    def _ask(self, row: int, op: Eval) -> Tensor:
        """The model once more at a rebuilt state, with a graph while its gradient is to come."""
        with torch.set_grad_enabled(row <= self.row):
            leaf = self.vectors[op.source].detach().requires_grad_(row <= self.row)
            out = head_of(self.job.model, op.head)(leaf, op.node.t).to(leaf.dtype)
        if row <= self.row:
            self.graphs[row] = leaf, out
        return out.detach()

    def _through(self, op: Eval, bar: Tensor) -> None:
        """Push the gradient of one answer of the model to its state and to the parameters."""
        leaf, out = self.graphs[self.row]
        if not out.requires_grad:
            return  # an answer that depends on nothing
        x, *rest = torch.autograd.grad(out, [leaf, *self.params], bar, allow_unused=True)
        self.give(op.source, x)
        for k, grad in enumerate(rest):
            old = self.grads[k]
            self.grads[k] = old if grad is None else grad if old is None else old + grad

    def push(self) -> None:
        """Carry gradients down the rows until an evaluation is met that is not rebuilt yet."""
        while self.row >= 0:
            op, bar = self.ops[self.row], self.bars.get(self.row)
            if isinstance(op, Eval) and bar is not None:
                if self.row not in self.graphs:
                    return
                self._through(op, bar)
            elif isinstance(op, Lin) and bar is not None:
                for j, w in op.terms:
                    self.give(j, bar * usable(w, bar))
            elif isinstance(op, Input) and bar is not None:
                self.inputs[op.name] = bar
            self.graphs.pop(self.row, None)
            self.bars.pop(self.row, None)
            self.row -= 1
