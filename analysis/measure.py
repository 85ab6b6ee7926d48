"""Everything the certificate says about one sampler, as a plain dictionary of numbers.

Orders are measured on one process: a law of its own says that the same lam grid gives the same
``x/alpha`` under every process. Errors at a budget of evaluations are measured on several processes
and grids, because people use them there.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import numpy as np
import torch

from ..solvers import schedules
from ..solvers.errors import AnalysisError, FokkerError
from ..solvers.grids import GridMap, karras, power_t, uniform_lam, wavy_lam
from ..solvers.process import Process
from ..solvers.registry import Sampler
from ..toy_models.gaussian import Gaussian
from ..toy_models.problems import Problem, problem
from .budget import budget_errors
from .floors import rounding_floors
from .gaussian_path import eigenbasis, prior
from .law import error_split, weak_error
from .order import Observation, refine
from .paired import FlowProblem, observed_order
from .path_order import PathObservation, strong_path_order, weak_path_order
from .stability import STEP, real_interval
from .strong import strong_error

ORDER_LAM = (-1.5, 1.5)
"""Stretch of lam on which orders are measured: cold starts begin where D is not flat."""

GAUSSIAN_FLOOR = 50 * 2.2e-16
PROBLEMS = ("gaussian", "product", "mixture", "digits-gaussian", "digits-mixture")
BUDGETS = (5, 10, 20, 50, 100, 1000)
QUICK_BUDGETS = (5, 10, 20, 50)


@dataclass(frozen=True)
class Settings:
    """What is measured: all of it, or the quick part."""

    problems: tuple[str, ...] = PROBLEMS
    quick: bool = False

    @property
    def budgets(self) -> tuple[int, ...]:
        """Numbers of evaluations at which errors are shown."""
        return QUICK_BUDGETS if self.quick else BUDGETS

    def order_places(self) -> Iterator[tuple[str, str]]:
        """(law, grid) pairs on which orders are measured."""
        yield from (("gaussian", "uniform-lam"), ("product", "wavy-lam"))
        if not self.quick:
            yield from (("gaussian", "wavy-lam"), ("product", "uniform-lam"))


def order_grid(process: Process, name: str) -> GridMap:
    """The nested family of that name on the stretch where orders are measured."""
    make = {"uniform-lam": uniform_lam, "wavy-lam": wavy_lam}[name]
    return make(process, *ORDER_LAM)


@cache
def order_problem(name: str, batch: int = 32) -> FlowProblem:
    """The law of a reference problem, on the stretch where orders are measured."""
    return FlowProblem(name, problem(name).law, schedules.VPLinear(), *ORDER_LAM, batch=batch)


@cache
def path_problem(batch: int = 20_000) -> FlowProblem:
    """One coordinate of a nonlinear law, many paths: for stochastic samplers."""
    return FlowProblem("line", problem("line").law, schedules.VPLinear(), *ORDER_LAM, batch=batch)


def _row(
    claim: str,
    declared: float,
    where: tuple[str, str],
    observation: Any,
    *,
    warm: bool,
    seconds: float,
) -> dict[str, Any]:
    law, grid = where
    found = asdict(observation)
    return {
        "claim": claim, "declared": declared, "problem": law, "process": "VPLinear", "grid": grid,
        "warm": warm, "steps": list(found["steps"]), "errors": list(found["errors"]),
        "bars": list(found["bars"]) if "bars" in found else None,
        "slopes": list(found.get("slopes", ())),
        "order": found["order"], "low": found["low"], "high": found["high"],
        "exact": bool(getattr(observation, "exact", False)),
        "verdict": observation.verdict(declared), "seconds": round(seconds, 3),
    }  # fmt: skip


def _timed(action: Callable[[], Any]) -> tuple[Any, float]:
    begin = time.perf_counter()
    return action(), time.perf_counter() - begin


def ode_orders(sampler: Sampler, settings: Settings) -> list[dict[str, Any]]:
    """Warm and cold orders of a deterministic sampler, on a Gaussian and on a nonlinear law."""
    rows = []
    claims = [("order", sampler.order, True), ("order_cold", sampler.order_cold, False)]
    for law, grid in settings.order_places():
        where, problem_ = (law, grid), order_problem(law)
        grids = order_grid(problem_.process, grid)
        done: Observation | None = None
        for claim, declared, warm in claims:
            if declared is None:
                continue
            same = (
                done is not None and sampler.history == 0 and sampler.order == sampler.order_cold
            )
            seconds = 0.0
            if not same:
                done, seconds = _timed(
                    lambda w=warm, d=declared: observed_order(
                        sampler, problem_, grids, warm=w, claim=d
                    )
                )
            rows.append(_row(claim, declared, where, done, warm=warm, seconds=seconds))
    return rows


def exact_sde_orders(sampler: Sampler, grid: str) -> list[dict[str, Any]]:
    """Weak and strong orders of a stochastic plan from the exact law on a Gaussian."""
    process = schedules.VPLinear()
    data, grids = eigenbasis(problem("gaussian").law), order_grid(process, grid)
    eta = sampler.sde_eta or 0.0

    def weak(steps: int, *, warm: bool) -> float:
        extra = {"history": grids.history(steps, sampler.history)} if warm else {}
        error = weak_error(sampler(process, grids.grid(steps), **extra), data, eta=eta)
        return math.hypot(error.mean, error.var)

    def strong(steps: int) -> float:
        plan = sampler(process, grids.grid(steps))
        return strong_error(plan, data, eta=eta, process=process).rms

    warm = sampler.history > 0
    wanted: list[tuple[str, float | None, bool, Callable[[int], float]]] = [
        ("weak", sampler.weak, warm, lambda n: weak(n, warm=warm)),
        ("weak_cold", sampler.weak_cold, False, lambda n: weak(n, warm=False)),
        ("strong", sampler.strong, False, strong),
    ]
    rows = []
    for claim, declared, is_warm, error in wanted:
        if declared is not None:
            found, seconds = _timed(
                lambda e=error, d=declared: refine(e, claim=d, floor=GAUSSIAN_FLOOR)
            )
            rows.append(
                _row(claim, declared, ("gaussian", grid), found, warm=is_warm, seconds=seconds)
            )
    return rows


def path_sde_orders(sampler: Sampler, settings: Settings) -> list[dict[str, Any]]:
    """Weak and strong orders of a stochastic sampler on a nonlinear law, on one path.

    The quick part leaves the weak order to the exact law on a Gaussian: on a nonlinear law it needs
    half a million paths.
    """
    problem_ = path_problem(4_000 if settings.quick else 20_000)
    grids = order_grid(problem_.process, "uniform-lam")

    def weak() -> PathObservation:
        return weak_path_order(sampler, problem_, grids)

    def strong() -> PathObservation:
        return strong_path_order(sampler, problem_, grids, levels=5 if settings.quick else 6)

    rows = []
    wanted: list[tuple[str, float | None, Callable[[], PathObservation]]] = [
        ("strong", sampler.strong, strong)
    ]
    if not settings.quick:
        wanted.append(("weak_cold", sampler.weak_cold, weak))
    for claim, declared, observe_it in wanted:
        if declared is not None:
            found, seconds = _timed(observe_it)
            rows.append(
                _row(claim, declared, ("line", "uniform-lam"), found, warm=False, seconds=seconds)
            )
    return rows


def orders(sampler: Sampler, settings: Settings) -> list[dict[str, Any]]:
    """All orders that a sampler declares."""
    if not sampler.stochastic:
        return ode_orders(sampler, settings) if sampler.order or sampler.order_cold else []
    rows = []
    if sampler.kind == "plan":
        for grid in ("wavy-lam",) if settings.quick else ("uniform-lam", "wavy-lam"):
            rows += exact_sde_orders(sampler, grid)
    return rows + path_sde_orders(sampler, settings)


def verdicts(rows: list[dict[str, Any]]) -> dict[str, str]:
    """One verdict a claim: the worst over all places where it was measured."""
    worst = ("not met", "not resolved", "met")
    out: dict[str, str] = {}
    for row in rows:
        seen = out.get(row["claim"], "met")
        out[row["claim"]] = min(seen, row["verdict"], key=worst.index)
    return out


def error_grids(p: Problem) -> list[GridMap]:
    """The processes and grids on which errors are shown, over the problem's stretch of lam."""
    vp, edm, flow = schedules.VPLinear(), schedules.EDM(), schedules.RectifiedFlow()
    low, high = p.lam_start, p.lam_end
    times = [float(t) for t in flow.t_of_lam(np.array([low, high]))]
    return [
        uniform_lam(vp, low, high),
        karras(edm, math.exp(-low), math.exp(-high)),
        power_t(flow, *times),
    ]


def errors(sampler: Sampler, settings: Settings) -> list[dict[str, Any]]:
    """Errors at every budget of evaluations, on every problem, process and grid."""
    rows = []
    for name in settings.problems:
        p = problem(name)
        grids = error_grids(p)[:1] if settings.quick else error_grids(p)
        for g in grids:
            for row in budget_errors(sampler, p, g, settings.budgets, paths=not settings.quick):
                rows.append(
                    {"problem": name, "process": type(g.process).__name__, "grid": g.name, **row}
                )
    return rows


def splits(sampler: Sampler, settings: Settings) -> tuple[list[dict], list[dict]]:
    """Exact error from the prior to the data law, split; and what the last step to sigma 0 does."""
    split, zero = [], []
    if sampler.kind != "plan":
        return split, zero
    for name in settings.problems:
        p = problem(name)
        if not isinstance(p.law, Gaussian):
            continue
        data = eigenbasis(p.law)
        for g in error_grids(p)[:1]:
            for steps in (20,) if settings.quick else (10, 50):
                steps += -steps % sampler.multiple
                start = prior(data, g.process.prior_std)
                plan = sampler(g.process, g.grid(steps))
                parts = error_split(plan, data, start, eta=sampler.sde_eta or 0.0).w2
                split.append({
                    "problem": name, "process": type(g.process).__name__, "grid": g.name,
                    "steps": steps, **parts._asdict(),
                })  # fmt: skip
                if (steps + 1) % sampler.multiple == 0:
                    ends = sampler(g.process, g.grid(steps, to_zero=True))
                    value = error_split(ends, data, start, eta=sampler.sde_eta or 0.0).w2.total
                    zero.append({
                        "problem": name, "steps": steps, "value_without": parts.total,
                        "value_with": value,
                    })  # fmt: skip
    return split, zero


def stability(sampler: Sampler) -> dict[str, Any] | None:
    """The real interval of a plan in clock lam, where every sampler has a constant recurrence."""
    if sampler.kind != "plan":
        return None
    try:
        low, note = real_interval(sampler), f"y' = z y in lam, h = {STEP:g}"
    except AnalysisError as error:
        low, note = None, str(error)
    return {"clock": "lam", "low": low, "high": 0.0, "note": note}


def measure(sampler: Sampler, settings: Settings) -> dict[str, Any]:
    """The record of one sampler. An error of ours becomes its ``failure`` sentence, nothing is lost."""
    torch.set_num_threads(1)
    begin = time.perf_counter()
    record: dict[str, Any] = {
        "name": sampler.name, "kind": sampler.kind, "family": sampler.family,
        "source": sampler.source, "note": sampler.note, "prediction": sampler.prediction,
        "nfe_per_step": (sampler.nfe(100) - sampler.nfe(50)) / 50,
        "claims": {
            name: getattr(sampler, name)
            for name in ("order", "order_cold", "weak", "weak_cold", "strong", "published_order")
        },
        "orders": [], "verdicts": {}, "errors": [], "split": [], "to_zero": [],
        "stability": None, "floors": None, "failure": None,
    }  # fmt: skip
    try:
        record["orders"] = orders(sampler, settings)
        record["verdicts"] = verdicts(record["orders"])
        record["errors"] = errors(sampler, settings)
        record["split"], record["to_zero"] = splits(sampler, settings)
        record["floors"] = rounding_floors(sampler, order_problem("gaussian"))
        record["stability"] = stability(sampler)
    except FokkerError as error:
        record["failure"] = f"{type(error).__name__}: {error}"
    record["seconds"] = round(time.perf_counter() - begin, 2)
    return record
