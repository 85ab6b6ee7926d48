"""One time for all rows, or a time for each: what adaptive samplers ask.

A sampler with steps of its own for each sample has its rows at different levels of noise. Most
calls are at one time, and stay as they were: a float, no tensor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..errors import ShapeError

Time = float | Tensor
"""The time of the process: a float for all rows, or a tensor (B,) with one for each."""
Call = Callable[[Tensor, Any, "Tensor | None"], Tensor]
"""``call(x, t, labels)``: x (B, *shape), t the time of the process, labels (B,) integers."""


def one_time(t: Any, x: Tensor) -> Time:
    """The time as a float where all rows have one time, else as a tensor (B,).

    Raises
    ------
    ShapeError
        If t is neither scalar nor (B,).

    Examples
    --------
    >>> x = torch.zeros(2, 3)
    >>> one_time(torch.tensor(0.5), x), one_time(torch.tensor([0.5, 0.5]), x)
    (0.5, 0.5)
    >>> one_time(torch.tensor([0.5, 0.25]), x)
    tensor([0.5000, 0.2500])
    """
    if not (isinstance(t, Tensor) and t.ndim):
        return float(t)
    if tuple(t.shape) != (len(x),):
        msg = f"t must be a scalar or of shape ({len(x)},), got {tuple(t.shape)}"
        raise ShapeError(msg)
    host = t.detach().cpu()
    return float(host[0]) if bool((host == host[0]).all()) else host


def asked_by_row(call: Call) -> Call:
    """A call that takes one time as one that takes a time for each row.

    Rows of one time are asked together; a call for each different time is the price.
    """

    def each(x: Tensor, t: Time, labels: Tensor | None) -> Tensor:
        if not isinstance(t, Tensor):
            return call(x, t, labels)
        parts, places = [], []
        for time in t.unique().tolist():
            rows = (t == time).nonzero().flatten().to(x.device)
            mine = None if labels is None else labels[rows]
            parts.append(call(x[rows], time, mine))
            places.append(rows)
        return torch.cat(parts)[torch.cat(places).argsort()]

    return each


def doubled(x: Tensor, t: Any) -> tuple[Tensor, Any]:
    """The batch two times over, with its times."""
    by_row = isinstance(t, Tensor) and t.ndim
    return torch.cat([x, x]), (torch.cat([t, t]) if by_row else t)
