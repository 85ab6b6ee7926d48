"""The orders that a sampler shows, as rows of the certificate.

Orders are measured on one process: a law of its own says that the same lam grid gives the same
``x/alpha`` under every process. Deterministic samplers are compared with exact flows, on a
Gaussian and on a nonlinear law; stochastic ones with the exact law on a Gaussian, and beyond it:
the weak order at the first power of a nonlinearity and by quadrature, the strong one on a path. A
Gaussian alone is never enough: its denoiser is linear.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import cache, partial
from typing import Any

from ..solvers import schedules
from ..solvers.grids import GridMap, uniform_lam, wavy_lam
from ..solvers.process import Process
from ..solvers.registry import Sampler
from ..toy_models.problems import problem
from .boxes import box_response
from .gaussian_path import eigenbasis
from .law import Response, response, weak_error_of
from .order import Observation, refine
from .paired import FlowProblem, observed_order
from .stochastic.rows import nonlinear_rows
from .strong import strong_error_of

ORDER_LAM = (-1.5, 1.5)
"""Stretch of lam on which orders are measured: cold starts begin where D is not flat."""

GAUSSIAN_FLOOR = 50 * 2.2e-16

LINEAR = ("gaussian", "linear", "ornstein-uhlenbeck")
"""Problems on which everything is linear."""


def order_places(*, quick: bool) -> Iterator[tuple[str, str]]:
    """(law, grid) pairs on which the orders of deterministic samplers are measured."""
    yield from (("gaussian", "uniform-lam"), ("product", "wavy-lam"))
    if not quick:
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
    """One coordinate of a mildly nonlinear law, many paths: for stochastic samplers."""
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


def ode_orders(sampler: Sampler, *, quick: bool) -> list[dict[str, Any]]:
    """Warm and cold orders of a deterministic sampler, on a Gaussian and on a nonlinear law."""
    rows = []
    for law, grid in order_places(quick=quick):
        rows += _ode_orders_at(sampler, law, grid)
    return rows


def _ode_orders_at(sampler: Sampler, law: str, grid: str) -> list[dict[str, Any]]:
    where = order_problem(law)
    grids = order_grid(where.process, grid)

    def seen(claim: float, *, warm: bool) -> Observation:
        return observed_order(sampler, where, grids, warm=warm, claim=claim)

    rows = []
    if sampler.order is not None:
        order = sampler.order
        found, seconds = _timed(lambda: seen(order, warm=True))
        rows.append(_row("order", order, (law, grid), found, warm=True, seconds=seconds))
        if sampler.history == 0 and sampler.order_cold == order:  # warm and cold are one run
            again = _row("order_cold", order, (law, grid), found, warm=False, seconds=0.0)
            return [*rows, again]
    if sampler.order_cold is not None:
        cold = sampler.order_cold
        found, seconds = _timed(lambda: seen(cold, warm=False))
        rows.append(_row("order_cold", cold, (law, grid), found, warm=False, seconds=seconds))
    return rows


def exact_sde_orders(sampler: Sampler, grid: str) -> list[dict[str, Any]]:
    """Weak and strong orders of a stochastic sampler from its exact law on a Gaussian."""
    process = schedules.VPLinear()
    data, grids = eigenbasis(problem("gaussian").law), order_grid(process, grid)
    begin, end = (process.node_at_lam(lam) for lam in ORDER_LAM)
    eta = sampler.sde_eta or 0.0

    @cache
    def seen(steps: int, *, warm: bool) -> Response:
        if sampler.kind != "plan":
            return box_response(sampler, process, grids.grid(steps), data)
        extra = {"history": grids.history(steps, sampler.history)} if warm else {}
        return response(sampler(process, grids.grid(steps), **extra), data, history_eta=eta)

    def weak(steps: int, *, warm: bool) -> float:
        error = weak_error_of(seen(steps, warm=warm), data, begin, end, eta=eta)
        return math.hypot(error.mean, error.var)

    def strong(steps: int) -> float:
        found = seen(steps, warm=False)
        return strong_error_of(found, data, begin, end, eta=eta, process=process).rms

    warm = sampler.history > 0
    wanted: list[tuple[str, float | None, bool, Callable[[int], float]]] = [
        ("weak", sampler.weak, warm, lambda n: weak(n, warm=warm)),
        ("weak_cold", sampler.weak_cold, False, lambda n: weak(n, warm=False)),
        ("strong", sampler.strong, False, strong),
    ]
    rows = []
    for claim, declared, is_warm, error in wanted:
        if declared is not None:
            found, seconds = _timed(partial(refine, error, claim=declared, floor=GAUSSIAN_FLOOR))
            where = ("gaussian", grid)
            rows.append(_row(claim, declared, where, found, warm=is_warm, seconds=seconds))
    return rows


def orders(sampler: Sampler, *, quick: bool) -> list[dict[str, Any]]:
    """All orders that a sampler declares."""
    if not sampler.stochastic:
        return ode_orders(sampler, quick=quick) if sampler.order or sampler.order_cold else []
    rows = []
    for grid in ("wavy-lam",) if quick else ("uniform-lam", "wavy-lam"):
        rows += exact_sde_orders(sampler, grid)
    return rows + nonlinear_rows(sampler, quick=quick)


STOCHASTIC = ("weak", "weak_cold", "strong")


def verdicts(rows: list[dict[str, Any]]) -> dict[str, str]:
    """One verdict a claim: the worst over all places where it was measured.

    A stochastic claim that was met on linear data alone is not resolved: linear data cannot see
    nonlinear order conditions. The warm weak claim may lean on the cold one, which is harder, and
    on a strong claim that is not smaller.
    """
    worst = ("not met", "not resolved", "met")
    out: dict[str, str] = {}
    for row in rows:
        seen = out.get(row["claim"], "met")
        out[row["claim"]] = min(seen, row["verdict"], key=worst.index)
    beyond = {
        row["claim"]: row["declared"]
        for row in rows
        if row.get("problem") not in LINEAR and row["claim"] in STOCHASTIC
    }
    bent = set(beyond)
    bent |= {"weak"} if "weak_cold" in bent else set()
    least = beyond.get("strong", -1.0)  # a weak order is at least the strong one
    bent |= {row["claim"] for row in rows if row["claim"] == "weak" and row["declared"] <= least}
    for claim in set(out) & set(STOCHASTIC) - bent:
        out[claim] = min(out[claim], "not resolved", key=worst.index)
    return out
