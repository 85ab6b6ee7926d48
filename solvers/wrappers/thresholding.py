"""Thresholding: the data prediction is brought back into the box in which data live.

Of pixel data it is known that ``|x_0| <= c``. A guided model answers outside of the box, and the
sampler follows it there. Two remedies, both on the data prediction D and both the identity where
``|D| <= c`` (Saharia et al. 2022, arXiv:2205.11487, section 2.3):

* static: ``clip(D, -c, c)``;
* dynamic: with ``s = max(quantile_p |D|, c)`` over the coordinates of one sample,
  ``clip(D, -s, s) c/s``. Fewer coordinates end on the wall, at the price of contrast.

The paper has c = 1, where ``c/s`` is the ``1/s`` of its code; with another c that code would not
be the identity inside the box. What a multistep sampler remembers is the thresholded D.

Where thresholding is active the model is Lipschitz and has kinks. A trajectory crosses a kink now
and then, and the step that does so has local error O(h^2), once: order 2 survives, a higher one
does not (the tests measure 2 of exponential Adams-Bashforth 4, and of DPM-Solver++(2M) still 2).
For pixels only: a latent space has no box. It acts on coordinates: a rotation of the data does not
commute with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from ..batch import column
from ..checks import check_state
from ..errors import InvalidPlanError
from ..given import real_number
from ..grids import Grid
from ..model import Model
from ..process import Process
from ..registry import Sampler, get, register
from ..stepper import StepperRun
from .wrapping import on_data, run_plan

BOX = 4.0
"""Default box: outside of data of unit variance, so that nothing is clipped unless asked for."""


def static_threshold(data: Tensor, *, limit: float = 1.0) -> Tensor:
    """``clip(D, -c, c)``, shape as given, in units of the data.

    Raises
    ------
    InvalidPlanError
        If the limit is not positive.
    """
    _check(limit)
    return data.clamp(-limit, limit)


def dynamic_threshold(data: Tensor, *, limit: float = 1.0, quantile: float = 0.995) -> Tensor:
    """``clip(D, -s, s) c/s`` with ``s = max(quantile |D|, c)`` of each sample.

    The quantile is linearly interpolated over all coordinates of the sample, (B, *D) -> (B,).

    Raises
    ------
    InvalidPlanError
        If the limit is not positive, or the quantile outside (0, 1].
    """
    _check(limit)
    if not 0 < real_number(quantile, "the quantile of dynamic thresholding") <= 1:
        msg = f"the quantile of dynamic thresholding must lie in (0, 1], got {quantile}"
        raise InvalidPlanError(msg)
    reach = _quantile(data.flatten(1).abs(), quantile)
    reach = column(reach.clamp_min(limit), data)
    return torch.minimum(torch.maximum(data, -reach), reach) * (limit / reach)


def _quantile(values: Tensor, q: float) -> Tensor:
    """Row-wise quantile; ``torch.quantile`` refuses more than 2^24 numbers, large images have."""
    ranked = values.sort(1).values
    place = q * (ranked.shape[1] - 1)
    low = math.floor(place)
    high = min(low + 1, ranked.shape[1] - 1)
    return ranked[:, low] + (place - low) * (ranked[:, high] - ranked[:, low])


def _check(limit: float) -> None:
    if not 0 < real_number(limit, "a threshold") < math.inf:
        msg = f"a threshold must be a positive finite number, got {limit}"
        raise InvalidPlanError(msg)


def thresholded(
    model: Model,
    process: Process,
    rule: Callable[[Tensor], Tensor] = dynamic_threshold,
    *,
    prediction: str = "data",
) -> Model:
    """The model with its data prediction brought into the box.

    Parameters
    ----------
    model : callable
        A model of any ``prediction``; its answer keeps that prediction.
    rule : callable
        :func:`dynamic_threshold` or :func:`static_threshold`, with their options by ``partial``.
    """
    return on_data(model, process, rule, prediction)


def dpmpp_2m_thresholded(
    model: Model,
    process: Process,
    grid: Grid,
    x: Tensor,
    *,
    noise: object = None,
    limit: float = BOX,
    quantile: float = 0.995,
) -> StepperRun:
    """DPM-Solver++(2M) on the dynamically thresholded data prediction.

    Pixel data in [-1, 1] ask for ``limit=1``.
    """
    check_state(x, "x")
    rule = partial(dynamic_threshold, limit=limit, quantile=quantile)
    rule(torch.ones_like(x[:1]))  # refuse bad options before the first evaluation
    return run_plan(get("dpmpp_2m")(process, grid), thresholded(model, process, rule), x, noise)


register(
    Sampler(
        name="dpmpp_2m_thresholded",
        build=dpmpp_2m_thresholded,
        kind="stepper",
        prediction="data",
        nfe=lambda n: n,
        order=2,
        order_cold=2,
        family="DPM-Solver++",
        source="Lu et al. 2022, arXiv:2211.01095; Saharia et al. 2022, arXiv:2205.11487",
        note="DPM-Solver++(2M) with dynamic thresholding: kinks spare order 2 and no higher one; "
        "clipping is not rotation invariant.",
    )
)
