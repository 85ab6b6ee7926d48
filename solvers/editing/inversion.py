"""Back to the noise: exact inverses of reversible samplers, DDIM inversion, and editing by both.

A reversible sampler carries two states (see ``samplers/reversible.py``). From both its inverse
recovers both starts, and running forward again gives the first pair back to rounding. DDIM
inversion, the control, runs DDIM upwards with the model asked at the *cleaner* end of each step:
its round trip is wrong by O(h).

An edit is one inversion with one model and one sampling with another (Zhang, Lewis & Kleijn 2024,
arXiv:2307.10829).
"""

from __future__ import annotations

import inspect
import math
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..errors import InvalidGridError, NotInvertibleError
from ..grids import Grid
from ..model import Model
from ..plan import Plan, Tape
from ..plan_algebra import invert, to_prediction
from ..process import Process
from ..registry import Sampler
from ..run import run
from ..samplers.onestep import euler_row, one_step


@dataclass(frozen=True)
class RoundTrip:
    """A state, where it was taken, and the state that the way back ends in.

    Attributes
    ----------
    start, away, back : Tensor
        States of shape (B, *D); ``back`` is at the level of ``start``, ``away`` at the other end
        of the grid.
    nfe : int
        Evaluations there and back.
    """

    start: Tensor
    away: Tensor
    back: Tensor
    nfe: int

    @property
    def error(self) -> float:
        """Largest ``|back - start|`` over all coordinates."""
        return float((self.back - self.start).abs().max())


def round_trip(
    sampler: Sampler, model: Model, process: Process, grid: Grid, x: Tensor, **options: Any
) -> RoundTrip:
    """Sample from x, and recover x by the exact inverse.

    Parameters
    ----------
    sampler : Sampler
        A reversible one; ``options`` go to its builder.
    model : callable
        Of the prediction that the sampler asks for.
    x : Tensor
        Start at the first level of the grid, shape (B, *D), float32 or float64.

    Raises
    ------
    NotInvertibleError
        If the sampler carries one state only, or a step of it has no inverse (a vanishing weight,
        a step of twins to sigma = 0).
    """
    _check_reversible(sampler)
    plan = sampler(process, grid, carry=True, **options)
    there = run(plan, model, x).outputs
    home = invert(plan)
    back = run(home, model, there["x"], history=_others(there)).x
    return RoundTrip(x, there["x"], back, plan.nfe + home.nfe)


def pair_plan(sampler: Sampler, process: Process, grid: Grid, **options: Any) -> Plan:
    """The plan of a reversible sampler that takes a pair of states and gives a pair.

    A leapfrog begins at the second level of the grid, with ``x-1`` at the first; twins begin at
    the first. Between two pairs the plan and its inverse undo each other to rounding.

    Raises
    ------
    NotInvertibleError
        If the sampler carries one state only, or the grid has too few steps for a pair, or ends
        at sigma = 0, where there is no model to go back with.
    """
    _check_reversible(sampler)
    if grid.to_zero:
        msg = f"{sampler.name} has no way back from sigma = 0; end the grid at a finite lam"
        raise NotInvertibleError(msg)
    pair = grid.part(0, min(sampler.multiple, len(grid)))
    if "twin" in sampler(process, pair, carry=True).outputs:
        return sampler(process, grid, carry=True, resume=grid[0], **options)
    if len(grid) < 2:
        msg = f"a pair of {sampler.name} spans a step, so its grid needs 2 steps or more, got 1"
        raise NotInvertibleError(msg)
    return sampler(process, grid.part(1, len(grid)), carry=True, resume=grid[0], **options)


def invert_and_regenerate(
    sampler: Sampler,
    process: Process,
    grid: Grid,
    x: Tensor,
    source: Model,
    target: Model,
    **options: Any,
) -> RoundTrip:
    """Take x to noise with the model ``source`` and back to data with the model ``target``.

    Exact where the two models are one. The second state that the way up needs is x itself (twins),
    or one step of DDIM inversion (leapfrogs), which the way down undoes as it undoes all.

    Parameters
    ----------
    x : Tensor
        State at the *last* level of the grid, shape (B, *D).
    source, target : callable
        Models of the prediction that the sampler asks for.
    """
    plan = pair_plan(sampler, process, grid, **options)
    up = invert(plan)
    second = {"twin": x}
    if "x-1" in plan.inputs:
        step = to_prediction(
            ddim_inversion(process, grid.part(len(grid) - 1, len(grid))), sampler.prediction
        )
        second = {"x-1": run(step, source, x).x}
    noise = run(up, source, x, history=second).outputs
    back = run(plan, target, noise["x"], history=_others(noise)).x
    first = noise.get("x-1", noise["x"])  # of a leapfrog's pair the older one is at grid[0]
    return RoundTrip(x, first, back, up.nfe + plan.nfe)


def ddim_inversion(process: Process, grid: Grid) -> Plan:
    """DDIM run from data to noise, the noise prediction asked at the cleaner end of each step.

    ``x_s = (alpha_s/alpha_t) x_t + alpha_s (rho_s - rho_t) eps(x_t, t)``, from the last level of
    the grid to its first (Song, Meng & Ermon 2021, arXiv:2010.02502, sec. 4.3). First order; the
    inverse of DDIM only in the limit of small steps.

    Raises
    ------
    InvalidGridError
        If the grid ends at sigma = 0: the noise prediction does not exist there.
    """
    del process
    if grid.to_zero:
        msg = "DDIM inversion cannot start at sigma = 0; end the grid at a finite lam"
        raise InvalidGridError(msg)
    tape = Tape()
    x = tape.input("x", grid[-1])
    for s, t in reversed(list(grid.steps())):
        eps = tape.eval(x, t, "noise")
        ratio = math.exp(s.log_alpha - t.log_alpha)
        push = s.sigma * -math.expm1(s.lam - t.lam)  # alpha_s (rho_s - rho_t), at alpha_s = 0 too
        x = tape.mark(tape.lin((x, ratio), (eps, push)), s)
    return tape.plan(x=x)


def ddim_invert_and_regenerate(
    process: Process, grid: Grid, x: Tensor, source: Model, target: Model
) -> RoundTrip:
    """The inexact control of :func:`invert_and_regenerate`; models of the noise prediction.

    Raises
    ------
    InvalidGridError
        If the grid ends at sigma = 0, or starts at alpha = 0: there is noise alone, and the noise
        prediction says nothing of the way down.
    """
    if grid[0].alpha == 0.0:
        msg = f"no way down from alpha = 0 (t = {grid[0].t}) by the noise prediction; start later"
        raise InvalidGridError(msg)
    up = ddim_inversion(process, grid)
    down = one_step(grid, lambda tape, s, t, v: euler_row(tape, s, t, v, "rho"))
    noise = run(up, source, x).x
    return RoundTrip(x, noise, run(down, target, noise).x, up.nfe + down.nfe)


def _check_reversible(sampler: Sampler) -> None:
    if sampler.kind != "plan" or "resume" not in inspect.signature(sampler.build).parameters:
        msg = f"{sampler.name} carries one state only; an exact inverse needs a reversible sampler"
        raise NotInvertibleError(msg)


def _others(outputs: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in outputs.items() if name != "x"}
