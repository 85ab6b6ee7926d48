r"""Predictor and corrector: at each level some Langevin steps, then one step of any sampler.

Song et al. 2021, arXiv:2011.13456, Alg. 1, in the order of the public code: the corrector at s,
then the predictor from s to t, so that the last thing done is a step and not a correction. The
step to ``sigma = 0`` returns the predictor's mean. Without a predictor the state is carried from
level to level as it is: annealed Langevin dynamics.

What comes out, exactly on Gaussians where the size of a step is a number (``steps.LevelRule``,
``steps.LamRule``): the corrector multiplies the deviation of each variance from *its own* kept
variance ``v/(1 - e/(2 v))`` by ``(1 - e/v)^2`` a step. So it repairs what the predictor did wrong
and adds a bias of its own, which the number of levels does not cure; the step of ``LamRule``
shrinks with the grid and has a limit: the reverse SDE of ``eta + kappa``.

Not to be confused with predictor-corrector methods for ODEs (UniPC): their corrector uses the
model's output at the new level to raise the order of the same step.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..checks import check_state
from ..errors import InvalidGridError, InvalidPlanError
from ..grids import Grid
from ..model import Model
from ..noise import CellNoise, NoiseSource
from ..plan import Noise, Plan
from ..plan_algebra import to_prediction
from ..process import Node, Process
from ..registry import Sampler, get
from ..run import run
from ..stepper import StepperRun
from ..wrappers.wrapping import ask
from .correctors import Corrector

After = Callable[[Tensor, Node, Node, Tensor], Tensor]
"""What is done to the state after each corrector and each predictor: ``(x, node, before, z)``."""


def source_of(noise: Any) -> NoiseSource:
    """A seed or a source of noise as a source.

    Raises
    ------
    InvalidPlanError
        If there is none.
    """
    if noise is None:
        msg = "Langevin dynamics draws noise: give noise = a seed, or a source of noise"
        raise InvalidPlanError(msg)
    return noise if hasattr(noise, "draw") else CellNoise(noise)


def corrector_cell(s: Node, t: Node, j: int, count: int, plan: Plan | None) -> Noise:
    """The cell of noise field j of ``count`` that is drawn at s beside the step from s to t.

    A single field is the space-time area of the predictor's own cell, which is independent of its
    increment: so one path serves a whole run. A predictor that reads areas itself, and more fields
    than one, need cells of their own: a noise that is used twice is no noise.
    """
    drawn = [op for op in plan.ops if isinstance(op, Noise)] if plan else []
    if count == 1 and all(op.kind == "W" for op in drawn):
        clock, a, b = (drawn[0].clock, drawn[0].a, drawn[0].b) if drawn else ("lam", s.lam, t.lam)
        return Noise(clock, a, b, "H")
    if count == 1 and math.isfinite(t.lam):
        return Noise("churn", s.lam, t.lam, "H")
    width = (t.lam - s.lam if math.isfinite(t.lam) else 1.0) / count
    return Noise("churn", s.lam + j * width, s.lam + (j + 1) * width, "H")


def check_start(grid: Grid, x: Tensor) -> None:
    """Refuse no state, and a start at ``alpha = 0``, where there is no score to follow."""
    check_state(x, "x")
    if grid[0].alpha == 0.0:
        msg = f"a corrector cannot start at alpha = 0 (t = {grid[0].t}); start at a finite lam"
        raise InvalidGridError(msg)


def _predictor(name: str | None) -> Sampler | None:
    """The registered one-step sampler of that name."""
    entry = get(name) if name else None
    if entry is not None and (entry.kind != "plan" or entry.history or entry.multiple > 1):
        msg = f"a predictor must be a plan of single steps without history, {name!r} is not"
        raise InvalidPlanError(msg)
    return entry


def predictor_corrector(
    model: Model,
    process: Process,
    grid: Grid,
    x: Tensor,
    *,
    noise: Any,
    corrector: Corrector | None,
    predictor: str | None = "reverse_diffusion",
    after: After | None = None,
) -> StepperRun:
    """Correct at each node of the grid but the last, and step on.

    Parameters
    ----------
    model : callable
        Noise prediction ``model(x, t)``; the score is ``-eps/sigma``.
    noise : int or NoiseSource
        Seed, a whole number, or source of noise.
    corrector : Corrector, optional
        What is done at each level; None is the predictor alone.
    predictor : str, optional
        Name of a registered plan that uses one node of the past; None leaves the state as it is
        from level to level, but for a step to ``sigma = 0``, which is the data prediction.
    after : callable, optional
        ``after(x, node, before, z)`` changes the state after each corrector (node s, before s) and
        each predictor (node t, before s), z a fresh standard normal field; for inpainting.

    Raises
    ------
    InvalidPlanError
        Without noise or with a predictor that is no single step.
    InvalidGridError
        At ``alpha = 0``.
    NonFiniteError
        If the model's output or the state is not finite.
    """
    check_start(grid, x)
    source, entry, nfe = source_of(noise), _predictor(predictor), 0
    with torch.no_grad():
        for i, (s, t) in enumerate(grid.steps(), 1):
            plan = _plan(entry, process, grid.part(i - 1, i))
            if corrector is not None:
                x = _corrected(model, corrector, source, x, (i, s, t, plan))
                nfe += corrector.evaluations
                if after is not None:
                    x = after(x, s, s, source.draw(_after_cell(s, t, 0), x))
            if plan is not None:
                x = run(plan, model, x, noise=source).x
                nfe += plan.nfe
            if after is not None:
                x = after(x, t, s, source.draw(_after_cell(s, t, 1), x))
    check_state(x, "the sample")
    return StepperRun(x, nfe, len(grid), 0)


def _after_cell(s: Node, t: Node, half: int) -> Noise:
    width = 0.5 * (t.lam - s.lam) if math.isfinite(t.lam) else 0.5
    return Noise("churn", s.lam + half * width, s.lam + (half + 1) * width, "W")


def _plan(entry: Sampler | None, process: Process, step: Grid) -> Plan | None:
    """The predictor of one step, on the noise prediction; nothing, if there is none to be done."""
    if entry is None:
        entry = get("ddim") if step.to_zero else None
    return None if entry is None else to_prediction(entry(process, step), "noise")


def _corrected(
    model: Model,
    corrector: Corrector,
    source: NoiseSource,
    x: Tensor,
    step: tuple[int, Node, Node, Plan | None],
) -> Tensor:
    i, s, t, plan = step

    def score(y: Tensor) -> Tensor:
        return ask(model, y, s, i) / -s.sigma

    def draw(j: int) -> Tensor:
        return source.draw(corrector_cell(s, t, j, corrector.fields, plan), x)

    return corrector(x, score, draw, s, t)
