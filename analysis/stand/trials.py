"""One way to run a foreign sampler on an exact law, and the error it then has.

A :class:`Trial` says everything that a run depends on; a cause of a lost order is found by a
second trial that differs in one thing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...solvers.adapters import azula_box, callable_box, diffusers_box, kdiffusion_box
from ...solvers.adapters.affine import affine_map
from ...solvers.adapters.blackbox import BlackBoxRun, as_source
from ...solvers.adapters.foreign import Foreign, LiveSession, run_foreign
from ...solvers.adapters.foreign_error import ForeignError
from ...solvers.adapters.trace import trace
from ...solvers.errors import NonFiniteError
from ...solvers.grids import Grid, power_t, uniform_lam, wavy_lam
from ...solvers.plan import Plan
from ...solvers.process import DATA, Node
from ...solvers.schedules import VPLinear
from ...toy_models.law import exact_model
from ...toy_models.problems import problem
from ..boxes import response_of
from ..gaussian_path import eigenbasis
from ..law import Response, response, weak_error_of
from . import ipndm as stand_ipndm
from .claims import Entry

BOXES: Mapping[str, Any] = {
    "diffusers": diffusers_box,
    "k-diffusion": kdiffusion_box,
    "azula": azula_box,
}
BATCH = 16
FLAT = -5.0
"""A half log-SNR where the data prediction is flat: what happens at the start costs nothing."""


@dataclass(frozen=True)
class Trial:
    """How to run.

    Attributes
    ----------
    levels : str
        ``"own"``: as the library sets them; ``"exact"``: those of a wavy grid in lam, float64;
        ``"smooth"``: equal steps in the time of the analytic process, over the stretch of the
        library's own.
    exact : bool
        Float64 throughout.
    as_labelled : bool
        The model is asked at the level of the library's own time label.
    begin : float
        Of exact levels: half log-SNR of the start.
    share : float
        The error is taken at the node that lies at this share of the steps; 1 is the end.
    finite : bool
        The error is taken at the last level with sigma > 0.
    config : mapping
        Options of the sampler.
    """

    levels: str = "exact"
    exact: bool = True
    as_labelled: bool = False
    begin: float = -1.5
    share: float = 1.0
    finite: bool = False
    config: Mapping[str, Any] = field(default_factory=dict)


class _Recorder(LiveSession):
    """A live session that keeps the last state at each level."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.states: dict[float, tuple[Node, Tensor]] = {}
        self.marked = False

    def mark(self, x: Tensor, node: Node) -> None:
        if not self.marked:
            self.states, self.marked = {}, True
        self.states[node.lam] = (node, x.detach().clone())

    def model(self, x: Tensor, node: Node, **kwargs: Any) -> Tensor:
        if not self.marked:
            self.states[node.lam] = (node, x.detach().clone())
        return super().model(x, node, **kwargs)


def build(entry: Entry, trial: Trial, steps: int) -> tuple[Foreign, Grid | None]:
    """The foreign sampler of a trial, and its grid where it is ours."""
    config = {**entry.config, **trial.config}
    if entry.library == "file":
        return _of_file(entry, trial, steps)
    box = stand_ipndm if entry.name == "IPNDM" else BOXES[entry.library]
    if trial.levels == "own":
        return box.native(entry.name, steps, exact=trial.exact, **config), None
    grid = _grid(trial, steps)
    config = {**config, **entry.formula}
    foreign = box.on_grid(entry.name, VPLinear(), grid, exact=trial.exact, **config)
    return foreign, grid


def _of_file(entry: Entry, trial: Trial, steps: int) -> tuple[Foreign, Grid | None]:
    path, _, name = entry.name.rpartition(":")
    function = getattr(callable_box.load(path), name)
    grid = _grid(trial, steps)
    return callable_box.from_sigmas(function, VPLinear(), grid, exact=trial.exact), grid


def _grid(trial: Trial, steps: int) -> Grid:
    process = VPLinear()
    if trial.levels == "smooth":
        return power_t(process, 1.0, 1e-3).grid(steps)
    if trial.levels == "own":  # a function has none: those of the process
        return (
            power_t(process, 1.0, 1e-3).grid(steps - 1, to_zero=True)
            if steps > 1
            else (uniform_lam(process, -4.0, 4.0).grid(1))
        )
    return wavy_lam(process, trial.begin, 1.5).grid(steps)


def starts(law: Any, node: Node) -> Tensor:
    """States of the exact law at a level, (BATCH, d), float64."""
    data = law.sample(BATCH, seed=0)
    generator = torch.Generator().manual_seed(1)
    eps = torch.randn(data.shape, generator=generator, dtype=torch.float64)
    return node.alpha * data + node.sigma * eps


def outcome(
    entry: Entry, trial: Trial, law: Any, steps: int
) -> tuple[Foreign, Node, Tensor, Tensor]:
    """Run once: the sampler, the level where the error is taken, the state there, the start.

    Raises
    ------
    FokkerError
        If the foreign code raises, or its sample is not finite.
    """
    foreign, grid = build(entry, trial, steps)
    x = starts(law, foreign.start)
    given = x if trial.exact else x.to(torch.float32)
    model = exact_model(law, foreign.process, "data")

    def ask(y: Tensor, t: Any) -> Tensor:  # the law answers in float64, whoever asks
        with torch._C.DisableTorchFunction():  # the hook on foreign code is slow, and not for us
            return model(y.to(torch.float64), t).to(y.dtype)

    source = as_source(0)  # some draw noise and give it no weight
    session = _Recorder(foreign, ask, source, given="data", as_labelled=trial.as_labelled)
    end = foreign.run(session, given.clone())
    where = _where(trial, foreign, grid, session)
    state = end if where is None else where[1]
    node = where[0] if where else (foreign.end or _last(session))
    if not bool(torch.isfinite(state).all()):
        msg = f"the sample of {entry.library} {entry.label} is not finite at {steps} steps"
        raise NonFiniteError(msg)
    return foreign, node, state.to(torch.float64), x


def _last(session: _Recorder) -> Node:
    return list(session.states.values())[-1][0]


def _where(
    trial: Trial, foreign: Foreign, grid: Grid | None, session: _Recorder
) -> tuple[Node, Tensor] | None:
    """The level and state at which a trial takes its error, if it is not the end."""
    if trial.finite:
        found = [pair for lam, pair in session.states.items() if math.isfinite(lam)]
        return max(found, key=lambda pair: pair[0].lam) if found else None
    if trial.share < 1.0 and grid is not None:
        node = grid[round(trial.share * len(grid))]
        near = min(session.states, key=lambda lam: abs(lam - node.lam))
        if abs(near - node.lam) > 1e-9:
            msg = f"{foreign.name} does not show its state at lam = {node.lam:.6g}"
            raise ForeignError(msg, kind="not supported")
        return session.states[near]
    return None


def error(entry: Entry, trial: Trial, law_name: str, steps: int) -> float:
    """RMS error against the exact flow of the law, of a deterministic sampler."""
    law = problem(law_name).law
    foreign, node, state, x = outcome(entry, trial, law, steps)
    begin = (foreign.start.alpha, foreign.start.sigma)
    truth = law.flow(x, begin, (node.alpha, node.sigma))
    return float((state - truth).square().mean().sqrt())


def weak_error(entry: Entry, trial: Trial, steps: int) -> float:
    """Exact error of mean and variance on a Gaussian, from an exact start; no sampling."""
    data = eigenbasis(problem("gaussian").law)
    foreign, grid = build(entry, trial, steps)
    if trial.finite or trial.share < 1.0:
        found, end = _part_response(foreign, trial, grid, data)
    else:
        end = foreign.end or DATA
        ends = Grid((foreign.start, end))
        box = _box(foreign, trial)
        found = response_of(affine_map(box, foreign.process, ends, data.mean, data.var))
    gap = weak_error_of(found, data, foreign.start, end, eta=0.0)
    return math.hypot(gap.mean, gap.var)


def _box(foreign: Foreign, trial: Trial) -> Any:
    def box(model: Any, process: Any, grid: Any, x: Tensor, *, noise: Any = None) -> BlackBoxRun:
        del process, grid
        return run_foreign(foreign, model, x, noise=noise, as_labelled=trial.as_labelled)

    return box


def _part_response(
    foreign: Foreign, trial: Trial, grid: Grid | None, data: Any
) -> tuple[Response, Node]:
    """What the state at an earlier level is made of, read from the traced plan."""
    plan = trace(foreign).plan
    marks = [m for m in plan.marks if math.isfinite(m.node.lam)] if plan is not None else []
    if plan is None or not marks:
        msg = f"{foreign.name} does not show its states, or is not linear in its noise"
        raise ForeignError(msg, kind="not supported")
    mark = marks[-1]
    if not trial.finite and grid is not None:
        lam = grid[round(trial.share * len(grid))].lam
        mark = min(reversed(marks), key=lambda m: abs(m.node.lam - lam))
    part = Plan(plan.ops, {"x": mark.vector}, plan.marks)
    return response(part, data), mark.node


def slope(steps: Sequence[int], errors: Sequence[float], first: int = 16) -> float | None:
    """Least-squares order over the step counts from ``first`` on: what a user sees."""
    kept = [(n, e) for n, e in zip(steps, errors, strict=True) if n >= first and e > 0]
    if len(kept) < 2:
        return None
    x, y = np.log2([n for n, _ in kept]), np.log2([e for _, e in kept])
    return float(-np.polyfit(x, y, 1)[0])
