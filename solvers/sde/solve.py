"""Solve a stochastic differential equation on a given grid of times."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from numbers import Integral

import torch
from torch import Tensor

from ..checks import whole_number
from ..errors import InvalidGridError, NonFiniteError, NotInvertibleError, ShapeError
from ..noise import CellNoise, GridPath, NoiseSource
from ..ops import Noise
from .errors import (
    InvalidNoiseError,
    MissingNoiseError,
    NegativeDiffusionError,
    StepUnderflowError,
    samples_in_words,
)
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
    ids, wanted = ids_of(source, x), _wanted(save_at, len(times) - 1)
    with torch.set_grad_enabled(grad):
        state = method.start(sde, times[0], x)
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
    """
    if method.reverse is None:
        msg = f"a step of {method.name} cannot be undone; use reversible_heun"
        raise NotInvertibleError(msg)
    times = checked_times(times)
    source = prepared(state[0], noise, times)
    with torch.no_grad():
        for a, b in reversed(list(pairwise(times))):
            state = method.reverse(sde, drawn(sde, method, source, a, b, state[0]), state)
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

    return Cell(a, b - a, field("W"), field("H") if method.needs_area else None)


def guarded(
    sde: SDE, method: Method, cell: Cell, state: State, step: int | None, ids: Sequence[int]
) -> State:
    """One step; a negative diffusion in it is told with the step and the ids of its samples."""
    try:
        return method.step(sde, cell, state)
    except NegativeDiffusionError as error:
        named = [ids[i] for i in error.sample_ids]
        where = "" if step is None else f"step {step}, {samples_in_words(named)}: "
        msg = f"{where}{error}"
        raise NegativeDiffusionError(msg, step=step, t=error.t, sample_ids=named) from None


def checked_times(times: Sequence[float]) -> list[float]:
    """Times as floats.

    Raises
    ------
    InvalidGridError
        If they are not finite, not increasing, or fewer than two.
    StepUnderflowError
        If a step is so small that float64 has no number inside it.
    """
    out = [float(t) for t in times]
    if len(out) < 2 or not all(map(math.isfinite, out)):
        msg = f"a solve needs at least two finite times, got {out[:6]}"
        raise InvalidGridError(msg)
    for n, (a, b) in enumerate(pairwise(out), start=1):
        if not a < b:
            kind = "repeated" if a == b else "reversed"
            msg = f"times must increase; step {n} goes from {a!r} to {b!r} ({kind})"
            raise InvalidGridError(msg)
        if not a < a + 0.5 * (b - a) < b:
            msg = f"step {n} from t = {a!r} has no number inside it; its size is {b - a:.3g}"
            raise StepUnderflowError(msg, step=n, t=a)
    return out


def prepared(
    x: Tensor, noise: NoiseSource | int, times: Sequence[float] | None = None
) -> NoiseSource:
    """The source of noise, after a look at the start; of a seed, what is cheapest on the times.

    Raises
    ------
    ShapeError
        If the start is no batch of float32 or float64 numbers, or empty.
    NonFiniteError
        If it is not finite; with sample ids.
    InvalidPlanError
        If the noise is neither a whole number nor a source.
    """
    if x.dim() < 2 or x.numel() == 0 or x.dtype not in (torch.float32, torch.float64):
        msg = (
            "the start must be a batch of float32 or float64 of shape (B, *D), "
            f"got {x.dtype} of shape {tuple(x.shape)}"
        )
        raise ShapeError(msg)
    if isinstance(noise, (int, Integral)) or not hasattr(noise, "draw"):
        seed = whole_number(noise, "a seed")
        source: NoiseSource = CellNoise(seed) if times is None else GridPath(times, seed)
    else:
        source = noise
    if not finite(x):
        bad = (~torch.isfinite(x)).flatten(1).any(1).nonzero().flatten().tolist()
        named = [ids_of(source, x)[i] for i in bad]
        msg = f"the start is not finite in {samples_in_words(named)}"
        raise NonFiniteError(msg, sample_ids=named)
    return source


def finite(x: Tensor) -> bool:
    """Whether all numbers are finite; one pass, a second one only where the sum overflows."""
    x = x.detach()
    return math.isfinite(x.sum().item()) or bool(torch.isfinite(x).all())


def ids_of(source: NoiseSource, x: Tensor) -> list[int]:
    """Identities of the samples, which the source may know.

    Raises
    ------
    ShapeError
        If it knows another number of them.
    """
    known = getattr(source, "sample_ids", None)
    if known is not None and len(known) != x.shape[0]:
        msg = f"{len(known)} sample ids were given for a batch of {x.shape[0]}"
        raise ShapeError(msg)
    return list(range(x.shape[0])) if known is None else list(known)


def _wanted(save_at: Iterable[int], last: int) -> set[int]:
    wanted = set(save_at)
    for n in wanted:
        if not (isinstance(n, Integral) and 0 <= int(n) <= last):
            msg = f"there is no step {n!r} to save; steps are 0 to {last}"
            raise InvalidGridError(msg)
    return wanted
