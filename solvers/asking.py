"""One question to a model, for samplers that ask by themselves: an answer that fits, or an error.

A plan is run by an executor that guards it against what models do. A sampler that chooses its
steps from the data asks the model with its own hands, and this is the one way to do so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .checks import check_finite, check_like
from .errors import NonFiniteError, ShapeError
from .model import Model


def asked(
    model: Model, x: Tensor, t: Any, *, step: int | None = None, ids: Sequence[int] | None = None
) -> Tensor:
    """The model's answer at x, (B, *D), as a new tensor of the state's dtype.

    A copy: a model may return its input, a view of it, or the same tensor at every call.

    Parameters
    ----------
    t : float or Tensor
        One time, or one for each sample, (B,).
    step : int, optional
        Number of the step, for the sentence of an error.
    ids : sequence of int, optional
        What the samples are called in an error; their places in x if not given.

    Raises
    ------
    ShapeError
        If the answer is no floating-point tensor of the shape and on the device of x, or if the
        model changed x in place.
    NonFiniteError
        If the answer is not finite *in the dtype of the state*, with the time and the samples.
    """
    counting = not (x.is_inference() or torch.is_inference_mode_enabled())
    before = x._version if counting else 0
    out = model(x, t)
    if counting and x._version != before:
        msg = f"the model changed its input in place at t = {_time(t, 0)}; leave x as it is"
        raise ShapeError(msg)
    check_like(out, x, f"the model's output at t = {_time(t, 0)}", same_dtype=False)
    out = out if torch.is_grad_enabled() else out.detach()
    out = out.to(x.dtype, copy=True)
    names = list(range(len(x)) if ids is None else ids)
    try:
        check_finite(out, "the model's output", names)
    except NonFiniteError as error:
        at = _time(t, names.index(error.sample_ids[0]))
        where = "" if step is None else f" (step {step})"
        msg = f"the model's output is not finite at t = {at}{where}, samples "
        msg += f"{list(error.sample_ids[:8])}"
        raise NonFiniteError(msg, step=step, t=at, sample_ids=error.sample_ids) from None
    return out


def _time(t: Any, row: int) -> float:
    """The time of one sample."""
    return float(t[row] if isinstance(t, Tensor) and t.ndim else t)
