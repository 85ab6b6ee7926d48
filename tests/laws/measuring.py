"""Where the laws measure orders: one process, one stretch of lam, two flows, a line."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

from fokker.analysis.gaussian_path import eigenbasis
from fokker.analysis.law import weak_error
from fokker.analysis.order import Observation
from fokker.analysis.paired import FlowProblem, observed_order
from fokker.analysis.strong import strong_error
from fokker.solvers.registry import Sampler
from fokker.toy_models.problems import problem
from laws.zoo import PROCESSES, grid_map, warm

PROCESS = PROCESSES["vp"]
SPAN = (-1.5, 1.5)
FLOOR = 50 * 2.2e-16
"""Under this an exact error on the Gaussian is rounding."""


@cache
def flow_problem(name: str) -> FlowProblem:
    """A reference law on the stretch of lam where orders are shown."""
    return FlowProblem(name, problem(name).law, PROCESS, *SPAN, batch=8)


@cache
def line() -> FlowProblem:
    """One coordinate of a nonlinear law of three modes."""
    return FlowProblem("line", problem("line").law, PROCESS, *SPAN, batch=2000)


def shown(entry: Sampler, law: str, kind: str, *, from_history: bool, claim: float) -> Observation:
    """The observation of a deterministic sampler at one place."""
    grids = grid_map(PROCESS, kind, SPAN)
    return observed_order(entry, flow_problem(law), grids, warm=from_history, claim=claim)


def weak_at(entry: Sampler, kind: str, *, from_history: bool) -> Callable[[int], float]:
    """``steps -> exact error of mean and variance`` on the Gaussian."""
    data, grids = eigenbasis(problem("gaussian").law), grid_map(PROCESS, kind, SPAN)

    def error(steps: int) -> float:
        if from_history:
            plan = warm(entry, grids, steps)
        else:
            plan = entry(PROCESS, grids.grid(steps))
        found = weak_error(plan, data, eta=entry.sde_eta or 0.0)
        return math.hypot(found.mean, found.var)

    return error


def strong_at(entry: Sampler, kind: str) -> Callable[[int], float]:
    """``steps -> exact RMS distance`` from the SDE on the same path, on the Gaussian."""
    data, grids = eigenbasis(problem("gaussian").law), grid_map(PROCESS, kind, SPAN)

    def error(steps: int) -> float:
        plan = entry(PROCESS, grids.grid(steps))
        return strong_error(plan, data, eta=entry.sde_eta or 0.0, process=PROCESS).rms

    return error
