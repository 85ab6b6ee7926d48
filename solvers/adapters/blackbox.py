"""The protocol of black boxes: samplers whose arithmetic belongs to another library.

A black box is a callable ::

    box(model, process, grid, x, *, noise=None, **options) -> BlackBoxRun

with the conventions of the executor (:func:`fokker.solvers.run.run`): ``model(x, t)`` is the noise
prediction, x has shape (B, *D) and is float32 or float64, the grid is listed in sampling order,
``noise`` is a seed or a source of noise cells and is ignored by deterministic boxes. It is
registered as ``Sampler(kind="blackbox", build=box, prediction="noise", ...)``, and must keep five
rules:

1. The foreign library is imported when the box is called, never when it is registered.
2. By default one step of the method is taken for each interval of the grid, each accepted: then
   the order is that of the formula, on any grid, and the result is a function of the grid alone.
   Boxes that choose their steps take ``tol``; their claim is another one (see ``tolerance.py``).
3. Noise comes from the cells of the grid, so nested grids share a path and a sample's noise does
   not depend on its batch.
4. Model calls are counted by :class:`~.field.ReverseField`, not taken from the library.
5. A step to sigma = 0 is the data prediction at the last finite node, one further evaluation (it
   is the only one where the library's own step would be infinite). ``Sampler.nfe`` declares the
   count without that step; 0 says that the method chooses its evaluations as it goes.

Import this module to write a box; import :func:`run_blackbox` to run one.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..checks import check_state
from ..errors import FokkerError, InvalidPlanError, NonFiniteError
from ..grids import Grid
from ..model import Model
from ..noise import NoiseSource, source_of
from ..process import Process
from ..registry import Sampler, get, register
from .field import LAM, TIME, Clock, ReverseField

HUGE_TOL = 1e30
"""A tolerance under which every step of an embedded method is accepted."""
MAX_STEPS = 100_000
"""An adaptive solve that needs more steps than this is given up."""


class ForeignSolverError(FokkerError, RuntimeError):
    """A solver of another library gave up; the sentence quotes its own."""


@dataclass(frozen=True)
class BlackBoxRun:
    """What a black box gives back.

    Attributes
    ----------
    x : Tensor
        The sample, shape (B, *D), dtype of the start.
    nfe : int
        Evaluations of the model at distinct (state, time) pairs; the largest over the samples
        where they are solved one by one.
    asked : int
        How often the library asked; the surplus over ``nfe`` is what it asks twice in a row.
    """

    x: Tensor
    nfe: int
    asked: int


Advance = Callable[[ReverseField, Tensor], Tensor]
"""Carries x from the first to the last finite node of a field."""


def solve(field: ReverseField, x: Tensor, grid: Grid, advance: Advance) -> BlackBoxRun:
    """Run ``advance`` over the finite nodes of a grid, then the step to sigma = 0 if there is one.

    Raises
    ------
    NonFiniteError
        If the sample is not finite (a model output that is not is caught where it appears).
    """
    with torch.no_grad():
        end = advance(field, x) if len(field.nodes) > 1 else x.clone()
        if grid.to_zero:
            end = field.data_prediction(end)
    if not bool(torch.isfinite(end).all()):
        bad = ~torch.isfinite(end).reshape(end.shape[0], -1).all(1)
        ids = tuple(bad.nonzero().flatten().tolist())
        msg = f"the sample is not finite in samples {', '.join(map(str, ids[:8]))}"
        raise NonFiniteError(msg, sample_ids=ids)
    return BlackBoxRun(end.to(x.dtype), field.nfe, field.asked)


def one_by_one(x: Tensor, solve_one: Callable[[Tensor], BlackBoxRun]) -> BlackBoxRun:
    """Solve each sample as a system of its own, so that none depends on its batch."""
    runs = []
    for i, row in enumerate(x.split(1)):
        try:
            runs.append(solve_one(row))
        except NonFiniteError as error:
            msg = f"sample {i} of the batch: {error}"
            raise NonFiniteError(msg, step=error.step, t=error.t, sample_ids=(i,)) from error
    nfe, asked = max(r.nfe for r in runs), max(r.asked for r in runs)
    return BlackBoxRun(torch.cat([r.x for r in runs]), nfe, asked)


@dataclass(frozen=True)
class EmbeddedSolver(ABC):
    """An ODE solver with an error estimate, in one clock: the frame of its call.

    Attributes
    ----------
    method : str
        Its name in the library.
    clock : Clock
        The integration variable.
    """

    method: str
    clock: Clock

    def __call__(
        self,
        model: Model,
        process: Process,
        grid: Grid,
        x: Tensor,
        *,
        noise: Any = None,
        tol: float | None = None,
        together: bool = False,
    ) -> BlackBoxRun:
        """One step an interval; or, with ``tol``, adaptive with ``rtol = atol = tol``.

        Adaptive solves treat each sample as a system of its own, unless ``together``: then the
        batch is one system, as it usually is, and the error norm couples the samples.
        """
        del noise  # deterministic
        check_state(x, "x")
        tol = self.usual_tol() if tol is None else tol

        def alone(x: Tensor) -> BlackBoxRun:
            return solve(self.field(model, process, grid, x), x, grid, self.advance(tol))

        return alone(x) if tol is None or together else one_by_one(x, alone)

    def usual_tol(self) -> float | None:
        """The tolerance if none is given; None for one step an interval."""
        return None

    def field(self, model: Model, process: Process, grid: Grid, x: Tensor) -> ReverseField:
        """The right-hand side as the library asks for it."""
        return ReverseField(model, process, grid, self.clock, x)

    @abstractmethod
    def advance(self, tol: float | None) -> Advance:
        """The solve, adaptive or (None) of one step an interval."""


def check_tol(tol: float) -> float:
    """Refuse a tolerance outside [1e-13, 1): below, float64 rounding decides the steps."""
    if not 1e-13 <= tol < 1:
        msg = f"tol must be in [1e-13, 1), got {tol}"
        raise InvalidPlanError(msg)
    return float(tol)


def as_source(noise: NoiseSource | int | None) -> NoiseSource:
    """A source of noise from a seed or a source; None is refused."""
    if noise is None:
        msg = "this black box draws noise: give noise=<seed> or a source of noise"
        raise InvalidPlanError(msg)
    return source_of(noise)


def run_blackbox(
    sampler: Sampler | str,
    model: Model,
    process: Process,
    grid: Grid,
    x: Tensor,
    *,
    noise: NoiseSource | int | None = None,
    **options: Any,
) -> BlackBoxRun:
    """Run a registered black box, with the options of its registration.

    Parameters
    ----------
    sampler : Sampler or str
        A sampler of kind ``"blackbox"`` (or ``"stepper"``, called alike), or its name.
    model : callable
        ``model(x, t)``, noise prediction.
    process, grid, x
        As for a plan; x of shape (B, *D).
    noise : int or NoiseSource, optional
        Needed by stochastic boxes only.
    **options
        Options of the box, such as ``tol``.

    Raises
    ------
    InvalidPlanError
        If the sampler is no black box, or has no such option.
    """
    entry = get(sampler) if isinstance(sampler, str) else sampler
    if entry.kind == "plan":
        msg = f"{entry.name} is a plan, not a black box; run it with fokker.solvers.run"
        raise InvalidPlanError(msg)
    options = {**entry.options, **options}
    accepted = [p for p in inspect.signature(entry.build).parameters][4:]
    unknown = [name for name in options if name not in accepted]
    if unknown:
        msg = f"{entry.name} has no option {unknown[0]!r}; accepted: {', '.join(accepted)}"
        raise InvalidPlanError(msg)
    return entry.build(model, process, grid, x, noise=noise, **options)


def register_in_both_clocks(name: str, box: Callable[..., Any], **claims: Any) -> None:
    """Register ``box(clock)`` as ``<name>_lam`` and ``<name>_t``, with the same claims."""
    for clock in (LAM, TIME):
        claim = Sampler(
            name=f"{name}_{clock.name}",
            build=box(clock),
            kind="blackbox",
            prediction="noise",
            **claims,
        )
        register(claim)
