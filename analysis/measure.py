"""Everything the certificate says about one sampler, as a plain dictionary of numbers.

Orders come from :mod:`.order_rows`. Errors at a budget of evaluations are measured on several
processes and grids, because people use them there.
"""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..solvers import schedules
from ..solvers.adapters.tolerance import tolerance_sweep
from ..solvers.errors import AnalysisError, FokkerError
from ..solvers.grids import GridMap, karras, power_t, uniform_lam
from ..solvers.registry import Sampler
from ..solvers.sde.method import Method
from ..toy_models.gaussian import Gaussian
from ..toy_models.problems import Problem, problem
from .budget import budget_errors
from .floors import rounding_floors
from .gaussian_path import eigenbasis, prior
from .law import error_split
from .order_rows import order_problem, orders, verdicts
from .record import CLAIMS
from .stability import STEP, real_interval
from .stochastic.rows import method_rows
from .threads import one_thread

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
    """Exact error from the prior to the data law, split; and what the step to sigma 0 does."""
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


def tolerances(sampler: Sampler, settings: Settings) -> list[dict[str, Any]]:
    """Error of an adaptive black box against the tolerance it was given, on the exact flow."""
    if sampler.tolerance is None:
        return []
    p = problem("product")
    x, grid = p.starts(8), uniform_lam(p.process, p.lam_start, p.lam_end).grid(1)
    tols = (1e-3, 1e-5) if settings.quick else (1e-3, 1e-5, 1e-7)
    model = p.model(sampler.prediction)
    rows = tolerance_sweep(sampler, model, p.process, grid, x, p.endpoint(x), tols)
    return [{"problem": "product", **asdict(row)} for row in rows]


def stability(sampler: Sampler) -> dict[str, Any] | None:
    """The real interval of a plan in clock lam, where every sampler has a constant recurrence."""
    if sampler.kind != "plan":
        return None
    try:
        low, note = real_interval(sampler), f"y' = z y in lam, h = {STEP:g}"
    except AnalysisError as error:
        low, note = None, str(error)
    return {"clock": "lam", "low": low, "high": 0.0, "note": note}


@one_thread()
def measure(sampler: Sampler, settings: Settings) -> dict[str, Any]:
    """The record of one sampler; an error of ours becomes its ``failure`` sentence."""
    begin = time.perf_counter()
    record: dict[str, Any] = {
        "name": sampler.name, "kind": sampler.kind, "family": sampler.family,
        "source": sampler.source, "note": sampler.note, "prediction": sampler.prediction,
        "nfe_per_step": (sampler.nfe(100) - sampler.nfe(50)) / 50,
        "claims": {
            name: getattr(sampler, name)
            for name in (*CLAIMS, "published_order")
        },
        "orders": [], "verdicts": {}, "tolerance": [], "errors": [], "split": [], "to_zero": [],
        "stability": None, "floors": None, "failure": None,
    }  # fmt: skip
    try:
        record["orders"] = orders(sampler, quick=settings.quick)
        record["verdicts"] = verdicts(record["orders"])
        record["tolerance"] = tolerances(sampler, settings)
        if sampler.tolerance is not None:
            factor = sampler.tolerance
            met = all(r["median"] <= factor * r["tol"] for r in record["tolerance"])
            record["verdicts"]["tolerance"] = "met" if met else "not met"
        record["errors"] = errors(sampler, settings)
        record["split"], record["to_zero"] = splits(sampler, settings)
        record["floors"] = rounding_floors(sampler, order_problem("gaussian"))
        record["stability"] = stability(sampler)
    except FokkerError as error:
        record["failure"] = f"{type(error).__name__}: {error}"
    record["seconds"] = round(time.perf_counter() - begin, 2)
    return record


@one_thread()
def measure_method(method: Method, kind: str, settings: Settings) -> dict[str, Any]:
    """The record of a method for general equations with one kind of noise."""
    begin = time.perf_counter()
    record: dict[str, Any] = {
        "name": f"{method.name} ({kind})", "kind": "sde", "family": f"SDE, {kind} noise",
        "source": method.source, "note": f"{method.calculus} calculus",
        "prediction": "", "nfe_per_step": None,
        "claims": {"strong": method.strong[kind], "weak": method.weak[kind]},
        "orders": [], "verdicts": {}, "failure": None,
    }  # fmt: skip
    try:
        record["orders"] = method_rows(method, quick=settings.quick, kinds=(kind,))
        record["verdicts"] = verdicts(record["orders"])
    except FokkerError as error:
        record["failure"] = f"{type(error).__name__}: {error}"
    record["seconds"] = round(time.perf_counter() - begin, 2)
    return record
