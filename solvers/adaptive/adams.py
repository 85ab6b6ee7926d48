"""Adaptive exponential Adams: variable step, variable order, one evaluation a step, per sample.

Each sample walks in lam on its own: a predictor on its k newest outputs, the model at the
predicted state, and then the correctors of *every* order, which cost no evaluation. What two
neighbouring correctors differ by is the error of the lower one, so the best order and its error
are read off the list. Outputs are interpolated by functions of a strip (:mod:`.strip`) and
realigned to the corrected state (:mod:`.strip_adams`).

Error of a trial step, in units of the size ``sqrt(alpha^2 + sigma^2)`` of a state, as the root
mean square over the coordinates of the sample::

    e_j = |x_{j+1} - x_j|       for the corrector with j older outputs (the last: best_order)
    E = min_j e_j + 0.1 h |x_j - x~|/(1 + (rho/size)^2)    x~ predicted: its error as D sees it

A step is accepted if ``E <= tol``; the next one is ``h (0.1 tol/E)^{1/(j+2)}``. The factor 0.1
makes rejections rare, which cost an evaluation each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ..batch import column
from ..grids import Grid
from ..model import Model
from ..noise import NoiseSource
from ..process import Array, Process
from ..registry import Sampler, register
from ..samplers.strip import GAUSSIAN_STRIP, check_size, check_strip, prefix_weights
from ..stepper import StepError, Stepper, StepperRun
from .ends import ask_rows, check_tolerance, run_adaptive
from .walk import Trial, Walk, best_order, written

UNIT = 1.0
"""Size of the leading modes that is assumed: high accuracy is fastest at the size they have."""
MOST_NODES = 10
"""Older outputs that a step may use; more gain nothing before rounding."""
FIRST = 0.3
SHRINK, GROW = 0.2, 1.7
LONGEST = 2.0
MARGIN = 0.1
PREDICTED = 0.1
STRETCH = 0.15
"""A last step is at most this much longer than planned, rather than followed by a tiny one."""


@dataclass(frozen=True)
class AdaptiveAdams:
    """The stepper; see the module."""

    process: Process
    lam_start: float
    lam_end: float
    tol: float
    strip: float = GAUSSIAN_STRIP
    size: float = UNIT

    def init(self, x: Tensor) -> Walk:
        """Every sample at the start, where nothing has been asked yet."""
        b = x.shape[0]
        nodes = self.lam_start - np.tile(np.arange(MOST_NODES, dtype=np.float64), (b, 1))
        outputs = x.new_zeros((b, MOST_NODES, *x.shape[1:]))
        zero = np.zeros(b, dtype=np.int64)
        lam = np.full(b, self.lam_start)
        h = np.full(b, min(FIRST, self.lam_end - self.lam_start))
        return Walk(x, outputs, nodes, zero, zero + 1, lam, h, zero, zero, zero)

    def done(self, state: Walk) -> bool:
        """Whether every sample is at ``lam_end``."""
        return bool((state.lam >= self.lam_end).all())

    def step(self, model: Model, state: Walk) -> Walk:
        """One trial step of every sample that has not arrived."""
        if not state.count.any():
            return self._first(model, state)
        rows = np.flatnonzero(state.lam < self.lam_end)
        here = state.of(rows)
        ask = partial(ask_rows, self.process, model, rows=rows)
        left = self.lam_end - here.lam
        h = np.where(left - here.h < STRETCH * here.h, left, here.h)
        end = np.where(h == left, self.lam_end, here.lam + h)
        trial = self.attempt(ask, here, end)
        ok = trial.error <= self.tol
        self.accepted(rows[ok], end[ok], trial.of(ok))
        factor = (MARGIN * self.tol / np.maximum(trial.error, 1e-300)) ** (1 / (trial.best + 2))
        factor = np.where(ok, factor.clip(SHRINK, GROW), factor.clip(SHRINK, 0.7))
        if (~ok & (h * factor < 1e-9)).any():
            at = here.lam[~ok & (h * factor < 1e-9)][0]
            msg = f"a step shrank to nothing at lam = {at}; tol = {self.tol} is too small"
            raise StepError(msg)
        moved = Walk(
            trial.x,
            torch.cat([trial.output[:, None], here.outputs[:, :-1]], 1),
            self._filled(np.concatenate([end[:, None], here.nodes[:, :-1]], 1), here.count + 1),
            np.minimum(here.count + 1, MOST_NODES),
            np.minimum(trial.best + 1, MOST_NODES),
            end,
            np.minimum(h * factor, LONGEST),
            here.nfe + 1,
            here.steps + 1,
            here.rejected,
        )
        stayed = here._replace(
            order=np.maximum(trial.best, 1),
            h=h * factor,
            nfe=here.nfe + 1,
            rejected=here.rejected + 1,
        )
        return written(state, rows, ok, moved, stayed)

    def accepted(self, rows: np.ndarray, end: Array, trial: Trial) -> None:
        """What is told of each step that is taken; a recorder listens (:mod:`.dense`)."""

    def attempt(self, ask: Callable[[Tensor, Array], Tensor], here: Walk, end: Array) -> Trial:
        """Predict, ask, and correct with every order."""
        log_alpha = self.process.log_alpha_of_lam(end)
        size = np.exp(log_alpha) * np.sqrt(1.0 + np.exp(-2.0 * end))
        keep = np.exp(log_alpha - end - self.process.log_alpha_of_lam(here.lam) + here.lam)
        alpha = column(np.exp(log_alpha), here.x)
        kept = column(keep, here.x) * here.x
        weigh = partial(prefix_weights, strip=self.strip, size=self.size)
        old = weigh(here.nodes, here.lam, end)
        guess = old[np.arange(len(end)), here.order - 1]
        predicted = kept + alpha * _summed(guess, here.outputs)
        raw = ask(predicted, end)
        known = torch.cat([raw[:, None], here.outputs], 1)
        weights = weigh(np.column_stack([end, here.nodes]), here.lam, end)
        gaps = np.full((len(end), MOST_NODES + 1), np.inf)
        before = None
        for j in range(MOST_NODES + 1):
            if j > here.count.max():
                break
            now = alpha * _summed(weights[:, j], known)
            if before is not None:
                gaps[:, j] = np.where(j <= here.count, _rms(now - before) / size, np.inf)
            before = now
        best, error = best_order(gaps, here.count)
        x = kept + alpha * _summed(weights[np.arange(len(end)), best], known)
        gain = 1.0 / (1.0 + np.exp(-2.0 * end) / self.size**2)
        error = error + PREDICTED * (end - here.lam) * gain * _rms(x - predicted) / size
        output = raw + column(gain, x) / alpha * (x - predicted)
        return Trial(x, output, raw, best, error)

    def _first(self, model: Model, state: Walk) -> Walk:
        """The model at the start."""
        outputs = state.outputs.clone()
        every = np.arange(len(state.x))
        outputs[:, 0] = ask_rows(self.process, model, state.x, state.lam, every)
        return state._replace(outputs=outputs, count=state.count + 1, nfe=state.nfe + 1)

    def _filled(self, nodes: Array, count: np.ndarray) -> Array:
        """Distinct levels in the places of outputs that are not there yet."""
        for j in range(1, MOST_NODES):
            nodes[:, j] = np.where(j < count, nodes[:, j], nodes[:, j - 1] - 1.0)
        return nodes


def _summed(weights: Array, outputs: Tensor) -> Tensor:
    """``sum_j w_bj outputs_bj``."""
    w = torch.from_numpy(np.ascontiguousarray(weights)).to(outputs)
    return torch.einsum("bj,bj...->b...", w, outputs)


def _rms(x: Tensor) -> Array:
    return x.flatten(1).to(torch.float64).square().mean(1).sqrt().cpu().numpy()


def adams_adaptive(
    model: Model,
    process: Process,
    grid: Grid,
    x: Tensor,
    *,
    noise: NoiseSource | int | None = None,
    tol: float = 1e-3,
    strip: float = GAUSSIAN_STRIP,
    size: float = UNIT,
) -> StepperRun:
    """Run the sampler between the ends of a grid; its inner nodes do not matter.

    Parameters
    ----------
    model : callable
        Data prediction; asked with times of shape (B,).
    grid : Grid
        Gives the two ends; a last step to ``sigma = 0`` is one DDIM step, ``x = alpha D``.
    tol : float
        Error of a step in units of the size of a state, in (0, 1). The error at the end is about
        two to five times as large.
    strip : float
        Half width of the strip of analyticity; ``inf`` interpolates by polynomials.
    size : float
        Standard deviation of the leading modes of the data; ``inf`` makes lam the clock.

    Raises
    ------
    InvalidPlanError, InvalidGridError
        For a tolerance outside (0, 1), a strip or size that is not positive, and a start at
        ``alpha = 0``.
    StepError, NonFiniteError
        If it does not arrive, or the model's output is not finite.
    """
    del noise
    tol, strip, size = check_tolerance(tol), check_strip(strip), check_size(size)

    def stepper(lam_start: float, lam_end: float) -> Stepper[Walk]:
        return AdaptiveAdams(process, lam_start, lam_end, tol, strip, size)

    return run_adaptive(stepper, model, process, grid, x)


register(
    Sampler(
        name="adams_adaptive",
        build=adams_adaptive,
        kind="stepper",
        prediction="data",
        nfe=lambda steps: 0,  # noqa: ARG005 - it chooses its evaluations as it goes
        tolerance=20.0,
        family="strip Adams",
        source="this project; after Shampine & Gordon 1975, Computer Solution of ODEs, ch. 5-10",
        note="Variable step and order, one evaluation a step, each sample by itself.",
    )
)
