"""What a solve is given, looked at before its first step: times, start, noise, steps to save."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from numbers import Integral

import torch
from torch import Tensor

from ..errors import InvalidGridError, NonFiniteError, ShapeError
from ..given import whole_number
from ..noise import CellNoise, GridPath, NoiseSource
from .errors import StepUnderflowError, samples_in_words


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


def wanted_steps(save_at: Iterable[int], last: int) -> set[int]:
    """The steps whose states are kept, out of 0 .. last.

    Raises
    ------
    InvalidGridError
        If there is no such step.
    """
    wanted = set(save_at)
    for n in wanted:
        if not (isinstance(n, Integral) and 0 <= int(n) <= last):
            msg = f"there is no step {n!r} to save; steps are 0 to {last}"
            raise InvalidGridError(msg)
    return wanted
