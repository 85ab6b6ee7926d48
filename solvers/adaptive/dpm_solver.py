"""Adaptive DPM-Solver-12 and -23 on the noise prediction, as published and with a free choice.

A step of order k (2 or 3) is tried together with one of order k - 1 from the same evaluations; the
error estimate of a sample is the root mean square of ``(x_high - x_low)/delta`` over coordinates,
with ``delta = max(atol, rtol max(|x_low|, |x_low of the step before|))``. A step is accepted if
E <= 1, x_high is carried on, and the next step is ``0.9 h E^{-1/k}`` (Lu et al. 2022,
arXiv:2206.00927, appendix C). With ``h`` the step in lam, ``D_i = eps_i - eps_0``:

=====  ===========================================  ==========================================
pair   low                                          high
=====  ===========================================  ==========================================
12     DDIM                                         exponential midpoint rule, stage at 1/2
23     slope ``phi_1/(2 r_1)`` on D_1, r_1 = 1/3    DPM-Solver-3, stages at 1/3 and 2/3
=====  ===========================================  ==========================================

``control="sample"``: every sample has its own E, step and time. ``control="batch"``: the largest E
of the batch is everybody's, as published, so that what becomes of a sample depends on its company.
The noise at the start of a step that was rejected is not asked for again; the published count of
evaluations, k for every try, is larger by the number of rejections.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..batch import column
from ..errors import InvalidPlanError
from ..grids import Grid
from ..model import Model
from ..process import Array, Process
from ..quadrature import phi
from ..registry import Sampler, register
from ..stepper import StepError, Stepper, StepperRun
from .dpmpp_12 import FIRST, SAFETY
from .ends import ask_some, check_tolerance, run_adaptive

CONTROLS = ("sample", "batch")
_LEAST = 1e-12  # a step this short does not move lam


class State(NamedTuple):
    """Where each sample is: arrays of length B beside the batch x."""

    x: Tensor
    low: Tensor  # x of the lower order at the end of the last accepted step
    eps: Tensor  # noise prediction at (x, lam)
    known: Array
    lam: Array
    h: Array
    nfe: Array
    steps: Array
    rejected: Array


@dataclass(frozen=True)
class AdaptiveNoise:
    """The stepper; see the module. ``lam_start`` and ``lam_end`` are those of the grid."""

    process: Process
    lam_start: float
    lam_end: float
    order: int
    rtol: float
    atol: float
    control: str = "sample"

    def init(self, x: Tensor) -> State:
        """Every sample at the start, with the first trial step."""
        zero = np.zeros(x.shape[0])
        h = zero + min(FIRST, self.lam_end - self.lam_start)
        eps = torch.zeros_like(x)
        return State(x, x, eps, zero, zero + self.lam_start, h, zero, zero, zero)

    def done(self, state: State) -> bool:
        """Whether every sample is at ``lam_end``."""
        return bool((state.lam >= self.lam_end).all())

    def step(self, model: Model, state: State) -> State:
        """One trial step of every sample that has not arrived."""
        busy = state.lam < self.lam_end
        ask = busy & (state.known == 0)
        eps = ask_some(self.process, model, state.x, state.eps, state.lam, ask)
        # the last step ends at lam_end itself, not at lam + h rounded
        end = np.where(state.h >= self.lam_end - state.lam, self.lam_end, state.lam + state.h)
        pair = self._pair_12 if self.order == 2 else self._pair_23
        low, high = pair(model, state, eps, end, busy)
        error = self._error(low, high, state.low, busy)
        ok = busy & (error <= 1.0)
        lam = np.where(ok, end, state.lam)
        grow = SAFETY * np.maximum(error, 1e-30) ** (-1.0 / self.order)
        h = np.where(busy, np.minimum(state.h * grow, self.lam_end - lam), state.h)
        if ((h < _LEAST) & (lam < self.lam_end)).any():
            at = lam[(h < _LEAST) & (lam < self.lam_end)][0]
            msg = f"a step shrank to nothing at lam = {at}; tol = {self.rtol} is too small"
            raise StepError(msg)
        chosen = column(ok, low)
        return State(
            torch.where(chosen, high, state.x),
            torch.where(chosen, low, state.low),
            eps,
            np.where(busy, ~ok, state.known).astype(float),
            lam,
            h,
            state.nfe + ask + busy * (self.order - 1),
            state.steps + ok,
            state.rejected + (busy & ~ok),
        )

    def _pair_12(
        self, model: Model, state: State, eps: Tensor, end: Array, busy: np.ndarray
    ) -> tuple[Tensor, Tensor]:
        carry = partial(self._carry, state.x, state.lam)
        middle = state.lam + 0.5 * (end - state.lam)
        inner = ask_some(self.process, model, carry(middle, eps), eps, middle, busy)
        return carry(end, eps), carry(end, inner)

    def _pair_23(
        self, model: Model, state: State, eps: Tensor, end: Array, busy: np.ndarray
    ) -> tuple[Tensor, Tensor]:
        carry = partial(self._carry, state.x, state.lam)
        h, r1, r2 = end - state.lam, 1 / 3, 2 / 3
        a, b = state.lam + r1 * h, state.lam + r2 * h
        first = ask_some(self.process, model, carry(a, eps), eps, a, busy) - eps
        second = carry(b, eps, first, r2 / r1 * r2 * h * _phi2(r2 * h))
        last = ask_some(self.process, model, second, eps, b, busy) - eps
        low = carry(end, eps, first, 0.5 / r1 * np.expm1(h))
        return low, carry(end, eps, last, h * _phi2(h) / r2)

    def _carry(
        self,
        x: Tensor,
        begin: Array,
        end: Array,
        eps: Tensor,
        slope: Tensor | None = None,
        gain: Array | float = 0.0,
    ) -> Tensor:
        """``(alpha_t/alpha_s) x - sigma_t [(e^h - 1) eps + gain slope]``, each its own step."""
        log_alpha = self.process.log_alpha_of_lam(end)
        keep = np.exp(log_alpha - self.process.log_alpha_of_lam(begin))
        sigma = np.exp(log_alpha - end)
        out = column(keep, x) * x - column(sigma * np.expm1(end - begin), x) * eps
        return out if slope is None else out - column(sigma * gain, x) * slope

    def _error(self, low: Tensor, high: Tensor, before: Tensor, busy: np.ndarray) -> Array:
        """E of each sample, or the largest of those on their way."""
        delta = (self.rtol * torch.maximum(low.abs(), before.abs())).clamp_min(self.atol)
        each = ((high - low) / delta).flatten(1).square().mean(1).sqrt()
        found = each.to(torch.float64).cpu().numpy()
        return found if self.control == "sample" else np.full(len(found), found[busy].max())


def _phi2(z: Array) -> Array:
    return np.array([phi(2, float(v)) for v in z])


def dpm_solver_adaptive(
    model: Model,
    process: Process,
    grid: Grid,
    x: Tensor,
    *,
    order: int,
    noise: object = None,
    tol: float = 1e-3,
    atol: float | None = None,
    control: str = "sample",
) -> StepperRun:
    """Run an adaptive sampler between the ends of a grid; its inner nodes do not matter.

    Parameters
    ----------
    model : callable
        Noise prediction; asked with times of shape (B,).
    grid : Grid
        Gives the two ends; a last step to ``sigma = 0`` is one DDIM step.
    order : int
        2 for the pair 12, 3 for 23.
    tol : float
        Relative tolerance of a step, in (0, 1); 0.05 as published.
    atol : float, optional
        Absolute tolerance, ``tol`` if not given; 0.0078 as published, for data in [-1, 1].
    control : str
        ``"sample"`` or ``"batch"`` (as published), see the module.

    Raises
    ------
    InvalidPlanError, InvalidGridError
        For an order, control or tolerance that is none, and a start at ``alpha = 0``.
    StepError, NonFiniteError
        If it does not arrive, or the model's output is not finite.
    """
    del noise
    rtol = check_tolerance(tol)
    floor = rtol if atol is None else check_tolerance(atol, "atol")
    if order not in (2, 3) or control not in CONTROLS:
        msg = f"need order 2 or 3 and control in {CONTROLS}, got {order} and {control!r}"
        raise InvalidPlanError(msg)

    def stepper(lam_start: float, lam_end: float) -> Stepper[State]:
        return AdaptiveNoise(process, lam_start, lam_end, order, rtol, floor, control)

    return run_adaptive(stepper, model, process, grid, x, "noise")


def _declare(pair: str, order: int, tolerance: float) -> None:
    def build(
        model: Model,
        process: Process,
        grid: Grid,
        x: Tensor,
        *,
        noise: object = None,
        tol: float = 1e-3,
        atol: float | None = None,
        control: str = "sample",
    ) -> StepperRun:
        return dpm_solver_adaptive(
            model, process, grid, x, order=order, noise=noise, tol=tol, atol=atol, control=control
        )

    register(
        Sampler(
            name=f"dpm_solver_{pair}_adaptive",
            build=build,
            kind="stepper",
            prediction="noise",
            nfe=lambda steps: 0,  # noqa: ARG005 - it chooses its evaluations as it goes
            tolerance=tolerance,
            family="DPM-Solver",
            source=f"Lu et al. 2022, arXiv:2206.00927, appendix C (DPM-Solver-{pair})",
            note=f"DPM-Solver-{pair}: each sample steps alone; control='batch' is the published.",
        )
    )


_declare("12", 2, 3.0)
_declare("23", 3, 3.0)
