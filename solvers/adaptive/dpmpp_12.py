"""Adaptive DPM-Solver-12 on the data prediction: each sample chooses its own steps in lam.

The exponential midpoint rule (order 2) is carried on, its difference from DDIM (order 1) is the
error estimate ``E = max |x_2 - x_1|/(tol (1 + max(|x|, |x_1|)))`` of a sample, a step is accepted
if E <= 1, and the next one is ``0.9 h E^{-1/2}``, between a fifth and five times the last. The
published algorithm takes the largest E of the *batch*, so that a sample's result depends on its
company; here every sample has its own E, step and time, and the model is asked at times of shape
(B,).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..batch import column
from ..grids import Grid
from ..model import Model
from ..process import Array, Process
from ..registry import Sampler, register
from ..stepper import StepError, Stepper, StepperRun
from .ends import ask_some, check_tolerance, run_adaptive

SAFETY, SHRINK, GROW = 0.9, 0.2, 5.0
FIRST = 0.05
"""First trial step in lam, as published."""


class State(NamedTuple):
    """Where each sample is: arrays of length B beside the batch x."""

    x: Tensor
    data: Tensor  # data prediction at (x, lam)
    known: Array  # whether ``data`` is up to date, 0 or 1
    lam: Array
    h: Array
    nfe: Array
    steps: Array
    rejected: Array


@dataclass(frozen=True)
class Adaptive12:
    """The stepper; see the module. ``lam_start`` and ``lam_end`` are those of the grid."""

    process: Process
    lam_start: float
    lam_end: float
    tol: float

    def init(self, x: Tensor) -> State:
        """Every sample at the start, with the first trial step."""
        n = x.shape[0]
        zero = np.zeros(n)
        h = np.full(n, min(FIRST, self.lam_end - self.lam_start))
        return State(x, torch.zeros_like(x), zero, zero + self.lam_start, h, zero, zero, zero)

    def done(self, state: State) -> bool:
        """Whether every sample is at ``lam_end``."""
        return bool((state.lam >= self.lam_end).all())

    def step(self, model: Model, state: State) -> State:
        """One trial step of every sample that has not arrived."""
        busy = state.lam < self.lam_end
        ask = busy & (state.known == 0)
        data = self._ask(model, state.x, state.data, state.lam, ask)
        middle = state.lam + 0.5 * state.h
        # the last step ends at lam_end itself, not at lam + h rounded
        end = np.where(state.h >= self.lam_end - state.lam, self.lam_end, state.lam + state.h)
        half = self._carry(state.x, data, state.lam, middle)
        inner = self._ask(model, half, data, middle, busy)
        low = self._carry(state.x, data, state.lam, end)
        high = self._carry(state.x, inner, state.lam, end)
        error = self._error(state.x, low, high)
        ok = busy & (error <= 1.0)
        grow = np.clip(SAFETY * np.maximum(error, 1e-12) ** -0.5, SHRINK, GROW)
        lam = np.where(ok, end, state.lam)
        h = np.where(busy, np.minimum(state.h * grow, self.lam_end - lam), state.h)
        if ((h < 1e-12) & (lam < self.lam_end)).any():
            at = lam[h < 1e-12][0]
            msg = f"a step shrank to nothing at lam = {at}; tol = {self.tol} is too small"
            raise StepError(msg)
        return State(
            torch.where(column(ok, low), high, state.x),
            data,
            np.where(busy, ~ok, state.known).astype(float),
            lam,
            h,
            state.nfe + ask + busy,
            state.steps + ok,
            state.rejected + (busy & ~ok),
        )

    def _ask(self, model: Model, x: Tensor, old: Tensor, lam: Array, which: np.ndarray) -> Tensor:
        return ask_some(self.process, model, x, old, lam, which)

    def _carry(self, x: Tensor, data: Tensor, begin: Array, end: Array) -> Tensor:
        """DDIM from ``begin`` to ``end`` with this data prediction, each sample its own step."""
        log_alpha = self.process.log_alpha_of_lam(end)
        keep = np.exp(log_alpha - end - self.process.log_alpha_of_lam(begin) + begin)
        gain = np.exp(log_alpha) * -np.expm1(begin - end)
        return column(keep, x) * x + column(gain, x) * data

    def _error(self, x: Tensor, low: Tensor, high: Tensor) -> Array:
        scale = self.tol * (1.0 + torch.maximum(x.abs(), low.abs()))
        return ((high - low).abs() / scale).flatten(1).amax(1).to(torch.float64).cpu().numpy()


def dpmpp_12_adaptive(
    model: Model,
    process: Process,
    grid: Grid,
    x: Tensor,
    *,
    noise: object = None,
    tol: float = 1e-3,
) -> StepperRun:
    """Run the adaptive sampler between the ends of a grid; its inner nodes do not matter.

    Parameters
    ----------
    model : callable
        Data prediction; asked with times of shape (B,).
    grid : Grid
        Gives the two ends; a last step to ``sigma = 0`` is one DDIM step, ``x = alpha D``.
    tol : float
        Absolute and relative tolerance of a step, in (0, 1).

    Raises
    ------
    InvalidPlanError, InvalidGridError
        For a tolerance outside (0, 1), and a start at ``alpha = 0``.
    StepError, NonFiniteError
        If it does not arrive, or the model's output is not finite.
    """
    del noise
    tol = check_tolerance(tol)

    def stepper(lam_start: float, lam_end: float) -> Stepper[State]:
        return Adaptive12(process, lam_start, lam_end, tol)

    return run_adaptive(stepper, model, process, grid, x)


register(
    Sampler(
        name="dpmpp_12_adaptive",
        build=dpmpp_12_adaptive,
        kind="stepper",
        prediction="data",
        nfe=lambda steps: 0,  # noqa: ARG005 - it chooses its evaluations as it goes
        tolerance=3.0,
        family="DPM-Solver++",
        source="Lu et al. 2022, arXiv:2206.00927, appendix C (12, here on data and per sample)",
        note="Exponential midpoint rule with DDIM as its error estimate; each sample steps alone.",
    )
)
