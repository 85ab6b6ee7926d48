"""Time-Shift sampling: the network is told the noise level that its state has.

A sampler of few steps contracts the data too much: its states have less variance than the level
they are said to be at (on N(0, c^2) a DDIM of 10 equal steps in lam, c = 1/2, ends with 0.71 of
it). Li, Qu, Yao, Sun & Moens 2024, arXiv:2305.15583, look for the time in a window around t whose
variance is nearest to that of the sample. Two readings, and both are here:

* (a) of the paper, :func:`time_shifted`: the network is asked at the shifted time, ``eps(x, t')``;
  the sampler's levels stay. A wrapper of any model.
* (b) of its code, :func:`ddim_time_shift_target`: the network is asked at t, but the step goes to
  a level t' near the next one, chosen by the variance of the state *before* the step; the next
  step starts as if at the planned level. That error is of the size of the window at every step.

The law of the variance in the paper is ``sigma^2``, which forgets the data; with
``data_variance = v`` it is ``alpha^2 v + sigma^2``. A sample's variance is ``|x - alpha m|^2/d``,
m the mean of the data, which needs many coordinates: it scatters by ``sqrt(2/d)`` or more.

Windows are widths in t; the registered samplers take them as a fraction of the step, so that
they converge: a window of fixed width has no order.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..batch import column
from ..checks import check_finite, check_state
from ..errors import InvalidGridError, InvalidPlanError, ShapeError
from ..given import real_number
from ..grids import Grid
from ..model import Model, by_rows
from ..process import Process
from ..registry import Sampler, get, register
from ..stepper import StepperRun
from .wrapping import ask, run_plan

CANDIDATES = 257
"""Times tried in a window, the middle one being t itself."""
Width = float | Callable[[float], float]


def mean_square(x: Tensor) -> Tensor:
    """``|x|^2/d`` of each sample, (B,), float64: the variance about zero."""
    return x.flatten(1).to(torch.float64).square().mean(1)


def pixel_variance(x: Tensor) -> Tensor:
    """Variance of each sample about its own mean pixel, unbiased, (B,): as published.

    The coordinates of a rotated sample have another one.
    """
    return x.flatten(1).to(torch.float64).var(1)


def matching_times(
    process: Process,
    t: float,
    variance: Tensor,
    *,
    width: float,
    data_variance: float = 0.0,
) -> Tensor:
    """The time in ``[t - width/2, t + width/2]`` whose variance is nearest, for each sample.

    Parameters
    ----------
    variance : Tensor
        Of each sample, (B,), float64.
    data_variance : float
        v of the law ``alpha^2 v + sigma^2``; 0 as published.

    Returns
    -------
    Tensor
        (B,) times, float64; t itself where the law is flat over the window (v = 1 on
        variance-preserving processes: the variance then says nothing about the time).
    """
    data_variance = real_number(data_variance, "the variance of the data")
    if not (width >= 0 and data_variance >= 0 and math.isfinite(width + data_variance)):
        msg = f"need width and data variance >= 0, got {width} and {data_variance}"
        raise InvalidPlanError(msg)
    half = np.linspace(-width / 2, width / 2, CANDIDATES)
    half[CANDIDATES // 2] = 0.0
    times = np.clip(t + half, 0.0, process.t_max)
    law = process.alpha(times) ** 2 * data_variance + process.sigma(times) ** 2
    if np.ptp(law) <= 1e-9 * law.max():
        return torch.full_like(variance, t)
    levels = torch.from_numpy(law).to(variance)
    nearest = (variance[:, None] - levels).abs().argmin(1)
    return torch.from_numpy(times).to(variance)[nearest]


def time_shifted(
    model: Model,
    process: Process,
    *,
    window: Width,
    cutoff: float = 0.0,
    data_variance: float = 0.0,
    measure: Callable[[Tensor], Tensor] = mean_square,
) -> Model:
    """Reading (a): ``model(x, t')`` with t' of each sample matched to its variance.

    Parameters
    ----------
    model : callable
        A noise prediction, asked with times of shape (B,). Of another prediction the wrapper is
        another method.
    window : float or callable
        Width of the window in t, or a function of t.
    cutoff : float
        Only times above it are shifted.
    data_variance : float
        See :func:`matching_times`.
    measure : callable
        Variance of each sample, (B, *D) -> (B,) float64.

    Raises
    ------
    InvalidPlanError
        For a cutoff that is not a number; when asked, for a width or variance below 0.
    ShapeError
        When asked with a time for each sample.
    """
    cutoff = _checked_cutoff(cutoff)

    def shifted(of: Model, x: Tensor, t: Any) -> Tensor:
        if isinstance(t, Tensor) and t.ndim:
            msg = "a time shift is asked with one time for all samples, not with one for each"
            raise ShapeError(msg)
        at = float(t)
        width = window(at) if callable(window) else window
        if at <= cutoff or width == 0:
            return of(x, at)
        return of(
            x, matching_times(process, at, measure(x), width=width, data_variance=data_variance)
        )

    return by_rows(lambda of: lambda x, t: shifted(of, x, t), model)


def _checked_cutoff(cutoff: float) -> float:
    cutoff = real_number(cutoff, "the cutoff of a time shift")
    if math.isnan(cutoff):
        msg = "the cutoff of a time shift must be a number, got NaN"
        raise InvalidPlanError(msg)
    return cutoff


def _widths(grid: Grid, fraction: float) -> Callable[[float], float]:
    """The step that ends at a time of the grid (the first one: that begins there), as a width."""
    fraction = real_number(fraction, "the window")
    if not 0 <= fraction <= 2:
        msg = f"the window must be between 0 and 2 steps wide, got {fraction}"
        raise InvalidPlanError(msg)
    times = [n.t for n in grid.nodes][::-1]  # increasing

    def width(t: float) -> float:
        i = min(bisect.bisect_left(times, t), len(times) - 2)
        return fraction * (times[i + 1] - times[i])

    return width


def ddim_time_shift(
    model: Model,
    process: Process,
    grid: Grid,
    x: Tensor,
    *,
    noise: object = None,
    window: float = 0.5,
    cutoff: float = 0.0,
    data_variance: float = 0.0,
) -> StepperRun:
    """DDIM asking the network at shifted times; ``window`` in steps, ``cutoff`` in t."""
    shifted = time_shifted(
        model, process, window=_widths(grid, window), cutoff=cutoff, data_variance=data_variance
    )
    plan = get("exp_ab1_noise")(process, grid)
    return run_plan(plan, shifted, x, noise)


def ddim_time_shift_target(
    model: Model,
    process: Process,
    grid: Grid,
    x: Tensor,
    *,
    noise: object = None,
    window: float = 0.5,
    cutoff: float = 0.0,
    data_variance: float = 0.0,
) -> StepperRun:
    """Reading (b): DDIM whose steps end at shifted levels; ``window`` in steps, ``cutoff`` in t.

    The first step and the last one are not shifted.
    """
    del noise
    check_state(x, "x")
    if grid[0].alpha == 0:
        msg = f"the noise prediction says nothing at alpha = 0; start later than t = {grid[0].t}"
        raise InvalidGridError(msg)
    cutoff, width, last = _checked_cutoff(cutoff), _widths(grid, window), len(grid)
    with torch.no_grad():
        for i, (s, t) in enumerate(grid.steps(), 1):
            eps = ask(model, x, s, i)
            times = torch.full((len(x),), t.t, dtype=torch.float64, device=x.device)
            if 1 < i < last and t.t > cutoff:
                times = matching_times(
                    process, t.t, mean_square(x), width=width(t.t), data_variance=data_variance
                )
            ends = times.cpu().numpy()
            alpha, sigma = torch.from_numpy(process.alpha(ends)), process.sigma(ends)
            if i == last:
                alpha, sigma = torch.full_like(alpha, t.alpha), np.full_like(sigma, t.sigma)
            data = (x - s.sigma * eps) / s.alpha
            x = column(alpha, x) * data + column(torch.from_numpy(sigma), x) * eps
    check_finite(x, "the sample", range(len(x)))
    return StepperRun(x, len(grid), len(grid), 0)


for _build, _order, _note in (
    (
        ddim_time_shift, 1,
        "DDIM asking the network at the time whose variance the sample has; window half a step.",
    ),
    (
        ddim_time_shift_target, None,
        "DDIM whose steps end at shifted levels, as coded by the authors; does not converge.",
    ),
):  # fmt: skip
    register(
        Sampler(
            name=_build.__name__, build=_build, kind="stepper", prediction="noise",
            nfe=lambda n: n, order=_order, order_cold=_order, family="Time-Shift",
            source="Li, Qu, Yao, Sun & Moens 2024, arXiv:2305.15583", note=_note,
        )
    )  # fmt: skip
