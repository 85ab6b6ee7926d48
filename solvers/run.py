"""The executor: one plan, one model, tensors in, tensors out.

The loop is :func:`fokker.solvers.plan.interpret`, fed by an
:class:`fokker.solvers.engine.executor.Executor`: rows are summed in place into buffers that are
used again, so memory is the plan's own peak of live vectors, and on a device nothing is read back
inside the loop. The state is float32 or float64, whatever the model computes in.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, overload

import torch
from torch import Tensor

from .checks import check_finite, check_like, check_state
from .engine.executor import Executor
from .errors import InvalidPlanError
from .events import Cancelled
from .events import Event as Event
from .heads import check_heads
from .model import Model
from .noise import NoiseSource
from .plan import Lin, Plan
from .tuples import Parts, TupleEvent, TupleRun, run_tuple


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


@overload
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
) -> Run: ...


@overload
def run(
    plan: Plan,
    model: Callable[[Parts, Any], Parts],
    x: Parts,
    *,
    noise: NoiseSource | int | None = None,
    history: Mapping[str, Parts] | None = None,
    callback: Callable[[TupleEvent], object] | None = None,
    save_at: Iterable[int] = (),
    compiled: bool = False,
    grad: bool = False,
) -> TupleRun: ...


def run(
    plan: Plan,
    model: Callable[..., Any],
    x: Tensor | Parts,
    *,
    noise: NoiseSource | int | None = None,
    history: Mapping[str, Any] | None = None,
    callback: Callable[[Any], object] | None = None,
    save_at: Iterable[int] = (),
    compiled: bool = False,
    grad: bool = False,
) -> Run | TupleRun:
    """Run a plan.

    Parameters
    ----------
    plan : Plan
        What to compute. Build it from a process and a grid with a registered sampler.
    model : callable
        ``model(x, t)`` with x of shape (B, *D) and t a float (time of the process), giving the
        prediction that the plan asks for. It may compute in any dtype, return or keep x; it must
        not change x, nor an output that it returned before. A :class:`fokker.solvers.heads.Heads`
        has a model for each head that the plan asks; a plain model answers all of them.
    x : Tensor, or a tuple of them
        Start, shape (B, *D), float32 or float64, on any device. With a tuple the model gets and
        gives tuples, and so does the run: see :func:`fokker.solvers.tuples.run_tuple`.
    noise : int or NoiseSource, optional
        Seed, or a source of noise; needed by stochastic plans only.
    history : mapping, optional
        Further inputs by name (``m-1``, ...), for a plan that begins with history. The input
        ``"one"``, by which a plan adds a constant, is a field of ones unless given.
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
        For an empty batch, a wrong dtype, a model output of another shape or device, and a model
        that changes its input or an earlier output in place.
    NonFiniteError
        If the start, an input or a model output is not finite, or the state overflows; it carries
        step, time and sample ids. Where nobody looks on, one look may serve two evaluations; on
        a device all of them are read at the end of the run.
    InvalidPlanError
        If inputs, noise, steps or heads are asked for that do not exist, or ``noise`` is neither a
        seed nor a source.
    """
    if isinstance(x, tuple):
        return run_tuple(
            plan, model, x, noise=noise, history=history, callback=callback, save_at=save_at,
            compiled=compiled, grad=grad,
        )  # fmt: skip
    check_heads(plan, model)
    check_state(x, "x")
    inputs = {**(history or {}), "x": x}
    if "one" in plan.inputs:
        inputs.setdefault("one", torch.ones_like(x))
    for name in plan.inputs:
        if name in inputs and name != "x":
            check_like(inputs[name], x, f"input {name!r}")
            check_state(inputs[name], f"input {name!r}")
    wanted = _steps(plan, save_at)
    with _gradients(grad):
        executor = Executor(
            plan,
            model,
            x,
            noise=noise,
            callback=callback,
            save_at=wanted,
            compiled=compiled,
            grad=grad,
        )
        try:
            outputs = executor(inputs)
        except Cancelled as stop:
            executor.check_flags()
            check_finite(stop.state, "the state", executor.sample_ids)
            return Run(_own(plan, stop.row, stop.state), {}, executor.saved, cancelled=True)
        executor.check_flags()
        for name, value in outputs.items():
            what = "the sample" if name == "x" else f"output {name!r}"
            check_finite(value, what, executor.sample_ids)
        outputs = {name: _own(plan, plan.outputs[name], v) for name, v in outputs.items()}
    return Run(outputs["x"], outputs, executor.saved)


def _steps(plan: Plan, save_at: Iterable[int]) -> set[int]:
    wanted = set(save_at)
    unknown = wanted - {0} - {m.step for m in plan.marks}
    if unknown:
        msg = f"save_at asks for step {min(unknown)}; the plan has steps 0 .. {len(plan.marks)}"
        raise InvalidPlanError(msg)
    if "x" not in plan.outputs:
        msg = f"a plan to run must put out 'x'; this one puts out {sorted(plan.outputs)}"
        raise InvalidPlanError(msg)
    return wanted


@contextlib.contextmanager
def _gradients(wanted: bool) -> Iterator[None]:
    """Record gradients or not, as asked, whatever mode the caller is in."""
    if wanted:
        with torch.inference_mode(False), torch.enable_grad():
            yield
    else:
        with torch.no_grad():
            yield


def _own(plan: Plan, row: int, value: Tensor) -> Tensor:
    """What is given back belongs to the caller: not an input, not a tensor of the model."""
    return value if isinstance(plan.ops[row], Lin) else value.clone()
