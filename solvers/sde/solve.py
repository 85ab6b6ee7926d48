"""Solve a stochastic differential equation on a given grid of times."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import torch
from torch import Tensor

from ..errors import InvalidGridError, NotInvertibleError
from ..noise import NoiseSource
from ..ops import Noise
from .errors import InvalidNoiseError, MissingNoiseError, NegativeDiffusionError, samples_in_words
from .inputs import checked_times, finite, ids_of, prepared, wanted_steps
from .method import Cell, Method, State
from .problem import SDE, not_finite


@dataclass(frozen=True)
class Solution:
    """What a solve gives back.

    Attributes
    ----------
    x : Tensor
        The state at the last time, shape (B, *D).
    state : tuple of Tensor
        All that the method carried; the first is x. What :func:`undo` begins with.
    saved : dict
        The states asked for with ``save_at``, by step; step 0 is the start.
    """

    x: Tensor
    state: State
    saved: dict[int, Tensor] = field(default_factory=dict)


def solve(
    sde: SDE,
    method: Method,
    times: Sequence[float],
    x: Tensor,
    *,
    noise: NoiseSource | int,
    save_at: Iterable[int] = (),
    callback: Callable[[int, float, Tensor], object] | None = None,
    grad: bool = False,
) -> Solution:
    """Solve ``dX = f dt + g dW`` from times[0] to times[-1], a step for each pair of times.

    Parameters
    ----------
    sde : SDE
        The equation.
    method : Method
        One of this package, for the equation's kind of noise and calculus.
    times : sequence of float
        Strictly increasing, at least two.
    x : Tensor
        Start, shape (B, *D), float32 or float64.
    noise : int or NoiseSource
        A seed, or a path. With a :class:`~fokker.solvers.noise.GridPath` on clock ``"t"`` (of the
        shape of ``sde.noise_like(x)``), solves on nested grids see one Brownian path.
    save_at : iterable of int
        Steps whose state is kept (0 is the start). There is nothing between the steps: a point
        there would need the path's law given its ends.
    callback : callable, optional
        ``callback(step, t, x)`` after each step; it may raise ``CancelledError`` to stop.
    grad : bool
        Record gradients; by default nothing is recorded.

    Raises
    ------
    InvalidGridError
        For reversed, repeated or non-finite times, or a saved step that does not exist.
    InvalidEquationError
        If the method has no claim for the equation.
    InvalidPlanError
        If the noise is neither a whole number nor a source.
    ShapeError
        If the start is no batch of floats, or drift or diffusion has a wrong shape.
    InvalidNoiseError, MissingNoiseError
        If the source gives noise of a wrong shape or dtype, or none, for a step.
    NonFiniteError, NegativeDiffusionError, StepUnderflowError
        With step, time and sample ids, as the two above. On a device other than the CPU, values
        that are not finite are looked for after the last step only: a look waits for the device.

    Examples
    --------
    >>> from fokker.solvers.sde.basic import euler_maruyama
    >>> sde = SDE(lambda t, x: -x, lambda t, x: 0.0, noise="additive")
    >>> solve(sde, euler_maruyama, [0.0, 0.5, 1.0], torch.ones(1, 1), noise=0).x.item()
    0.25
    """
    method.check(sde)
    times = checked_times(times)
    source = prepared(x, noise, times)
    ids, wanted = ids_of(source, x), wanted_steps(save_at, len(times) - 1)
    with torch.set_grad_enabled(grad):
        state = _started(sde, method, times[0], x, ids)
        saved = {0: x} if 0 in wanted else {}
        for n, (a, b) in enumerate(pairwise(times), start=1):
            cell = drawn(sde, method, source, a, b, x, step=n)
            before = state[0]
            state = guarded(sde, method, cell, state, n, ids)
            look = x.device.type == "cpu" or n == len(times) - 1
            if look and not finite(state[0]):
                raise not_finite(sde, cell, before, state[0], n, ids)
            if n in wanted:
                saved[n] = state[0]
            if callback is not None:
                callback(n, b, state[0])
    return Solution(state[0], state, saved)


def undo(
    sde: SDE, method: Method, times: Sequence[float], state: State, *, noise: NoiseSource | int
) -> State:
    """The state at times[0] from the state at times[-1] on the same path, by exact inverse steps.

    Raises
    ------
    NotInvertibleError
        If the method's step has no inverse.
    InvalidEquationError
        If the method has no claim for the equation.
    NonFiniteError
        If a state on the way back is not finite: what the way forward damps grows here.
    """
    method.check(sde)
    if method.reverse is None:
        msg = f"a step of {method.name} cannot be undone; use reversible_heun"
        raise NotInvertibleError(msg)
    times = checked_times(times)
    source = prepared(state[0], noise, times)
    ids = ids_of(source, state[0])
    with torch.no_grad():
        for n, (a, b) in reversed(list(enumerate(pairwise(times), start=1))):
            before, cell = state[0], drawn(sde, method, source, a, b, state[0], step=n)
            state = guarded(sde, replace(method, step=method.reverse), cell, state, n, ids)
            if not finite(state[0]):
                raise not_finite(sde, cell, before, state[0], n, ids)
    return state


def drawn(
    sde: SDE,
    method: Method,
    source: NoiseSource,
    a: float,
    b: float,
    x: Tensor,
    *,
    step: int | None = None,
) -> Cell:
    """The cell [a, b] with the noise that the method reads.

    Raises
    ------
    InvalidNoiseError
        If it has not the shape and dtype of ``sde.noise_like(x)``.
    MissingNoiseError
        If the path refuses the cell.
    """
    like = sde.noise_like(x)

    def where() -> str:
        return f"the step from t = {a:.6g}" if step is None else f"step {step} from t = {a:.6g}"

    def field(kind: str) -> Tensor:
        try:
            out = source.draw(Noise("t", a, b, kind), like)
        except InvalidGridError as error:
            msg = f"{where()} has no noise: {error}"
            raise MissingNoiseError(msg, step=step, t=a, sample_ids=ids_of(source, x)) from None
        if out.shape != like.shape or out.dtype != like.dtype:
            msg = (
                f"{where()} needs noise of shape {tuple(like.shape)} and {like.dtype}, "
                f"the source gave {tuple(out.shape)} and {out.dtype}"
            )
            raise InvalidNoiseError(msg, step=step, t=a, sample_ids=ids_of(source, x))
        return out

    h = b - a
    if a + h > b:  # by rounding: beyond its end an equation need not have coefficients
        h = math.nextafter(h, 0.0)
    return Cell(a, h, field("W"), field("H") if method.needs_area else None)


def guarded(
    sde: SDE, method: Method, cell: Cell, state: State, step: int | None, ids: Sequence[int]
) -> State:
    """One step; a negative diffusion in it is told with the step and the ids of its samples."""
    try:
        return method.step(sde, cell, state)
    except NegativeDiffusionError as error:
        raise _named(error, step, ids) from None


def _started(sde: SDE, method: Method, t: float, x: Tensor, ids: Sequence[int]) -> State:
    """What the method carries into the first step."""
    try:
        return method.start(sde, t, x)
    except NegativeDiffusionError as error:
        raise _named(error, 1, ids) from None


def _named(
    error: NegativeDiffusionError, step: int | None, ids: Sequence[int]
) -> NegativeDiffusionError:
    """The error with the step and the ids of its samples, which it knows by their rows."""
    named = [ids[i] for i in error.sample_ids]
    told = str(error).replace(f" in {samples_in_words(error.sample_ids)}", "")
    where = samples_in_words(named) if step is None else f"step {step}, {samples_in_words(named)}"
    return NegativeDiffusionError(f"{where}: {told}", step=step, t=error.t, sample_ids=named)
