"""Dense output: the states between the steps of the adaptive Adams sampler, at no evaluation.

Inside a step from s to t the sample is what its own corrector says, integrated to lam instead of
t: ``x(lam) = (sigma_lam/sigma_s) x_s + alpha_lam int_s^lam e^{l - lam} sum_j l_j(l) D_j dl``. It
meets the steps exactly and is as accurate between them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from ..checks import check_finite, check_state
from ..errors import InvalidGridError
from ..model import Model
from ..process import Array, Process
from ..quadrature import panel_rule
from ..samplers.strip import GAUSSIAN_STRIP, check_size, check_strip, clock, strip_basis
from ..stepper import march
from .adams import UNIT, AdaptiveAdams
from .ends import check_tolerance
from .walk import Trial


@dataclass
class Steps:
    """The steps of one sample: ``lams[n]``, the state there, and how it was reached."""

    lams: list[float]
    states: list[Tensor]
    outputs: list[Tensor]  # realigned: the history of later steps
    raw: list[Tensor] = field(default_factory=list)  # as the corrector of step n saw it
    best: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Recorder(AdaptiveAdams):
    """The adaptive sampler, remembering its steps."""

    steps: list[Steps] = field(default_factory=list)

    def accepted(self, rows: np.ndarray, end: Array, trial: Trial) -> None:
        """Note a step of each of these samples."""
        for k, row in enumerate(rows):
            here = self.steps[int(row)]
            here.lams.append(float(end[k]))
            here.states.append(trial.x[k])
            here.outputs.append(trial.output[k])
            here.raw.append(trial.raw[k])
            here.best.append(int(trial.best[k]))


@dataclass(frozen=True)
class Trajectory:
    """A batch of solutions that can be asked at any lam between their ends.

    Attributes
    ----------
    x : Tensor
        The samples at ``lam_end``, (B, *D).
    nfe : int
        Model evaluations of the sample that needed most.
    """

    process: Process
    strip: float
    size: float
    steps: list[Steps]
    x: Tensor
    nfe: int

    def at(self, lam: float) -> Tensor:
        """The states at ``lam``, (B, *D).

        Raises
        ------
        InvalidGridError
            Outside the stretch that was solved.
        """
        low, high = self.steps[0].lams[0], self.steps[0].lams[-1]
        if not low <= lam <= high:
            msg = f"lam must lie in [{low}, {high}], where the trajectory was solved, got {lam}"
            raise InvalidGridError(msg)
        return torch.stack([self._one(steps, float(lam)) for steps in self.steps])

    def _one(self, steps: Steps, lam: float) -> Tensor:
        if lam == steps.lams[0]:
            return steps.states[0]
        n = next(i for i, (_, t) in enumerate(pairwise(steps.lams)) if lam <= t)
        s, t = steps.lams[n], steps.lams[n + 1]
        nodes = clock(np.array([t, *steps.lams[n::-1][: steps.best[n]]]), self.size)
        known = [steps.raw[n], *steps.outputs[n::-1][: steps.best[n]]]
        u, w = panel_rule(1.0)
        at = s + (lam - s) * u
        weights = strip_basis(nodes, clock(at, self.size), self.strip) @ (
            w * (lam - s) * np.exp(at - lam)
        )
        a, b = self.process.log_alpha_of_lam(np.array([s, lam]))
        total = sum(float(wj) * d for wj, d in zip(weights, known, strict=True))
        return float(np.exp(b - lam - a + s)) * steps.states[n] + float(np.exp(b)) * total


def adams_trajectory(
    model: Model,
    process: Process,
    lam_start: float,
    lam_end: float,
    x: Tensor,
    *,
    tol: float = 1e-6,
    strip: float = GAUSSIAN_STRIP,
    size: float = UNIT,
) -> Trajectory:
    """Solve the probability-flow ODE from ``lam_start`` to ``lam_end``, with dense output.

    Parameters
    ----------
    model : callable
        Data prediction; asked with times of shape (B,).
    x : Tensor
        States at ``lam_start``, (B, *D), float32 or float64.
    tol, strip, size : float
        As of :func:`.adams_adaptive.adams_adaptive`.

    Raises
    ------
    InvalidPlanError, InvalidGridError
        For a tolerance outside (0, 1), a strip or size that is not positive, and ends that are not
        finite or do not increase.
    StepError, NonFiniteError
        If it does not arrive, or the model's output is not finite.

    Examples
    --------
    >>> from fokker.toy_models.problems import problem
    >>> p = problem("product")
    >>> path = adams_trajectory(p.model(), p.process, p.lam_start, p.lam_end, p.starts(2))
    >>> path.at(0.3).shape
    torch.Size([2, 3])
    """
    tol, strip, size = check_tolerance(tol), check_strip(strip), check_size(size)
    check_state(x, "x")
    if not -np.inf < lam_start < lam_end < np.inf:
        msg = f"need finite lam_start < lam_end, got {lam_start} and {lam_end}"
        raise InvalidGridError(msg)
    stepper = Recorder(process, lam_start, lam_end, tol, strip, size)
    with torch.no_grad():
        begin = stepper.step(model, stepper.init(x))  # asks at the start
        stepper.steps.extend(
            Steps([lam_start], [row], [out[0]]) for row, out in zip(x, begin.outputs, strict=True)
        )
        end = march(stepper, model, x, begin=begin)
    check_finite(end.x, "the sample", range(len(x)))
    return Trajectory(process, strip, size, stepper.steps, end.x, int(end.nfe.max()))
