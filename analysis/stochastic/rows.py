"""Rows of the certificate: orders of samplers on a nonlinear law, of methods for SDEs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any

from ...solvers.errors import AnalysisError
from ...solvers.grids import GridMap, uniform_lam, wavy_lam
from ...solvers.registry import Sampler
from ...solvers.sde.method import Method
from ..order import Observation, refine
from .barred import Barred, doubled
from .chains import most_live
from .linear_equations import ou_strong_error, weak_linear_error
from .methods import carries_state_alone, methods, strong_on_paths, times, weak_nonlinear
from .paired_means import weak_error_on_paths
from .problems import NONLINEAR, STRETCH, nonlinear
from .strong import strong_order
from .weak import weak_error

_LINEAR_FLOOR = 1e-12

QUICK_VECTORS = 2
"""Live vectors between two steps that the quick part covers."""

SLOW = ("log-ODE",)
"""Methods whose steps are nested derivatives: their nonlinear weak order is left to the strong
one, which it is not below, and one noise for all coordinates to the full run."""

Row = dict[str, Any]


def row(claim: str, declared: float, observed: Observation, seconds: float, **where: Any) -> Row:
    """One measurement as the certificate records it."""
    found = asdict(observed)
    return {
        "claim": claim, "declared": declared, **where,
        "steps": list(found["steps"]), "errors": list(found["errors"]),
        "bars": list(found["bars"]) if found.get("bars") else None,
        "slopes": list(found["slopes"]), "order": found["order"], "low": found["low"],
        "high": found["high"], "exact": observed.exact, "verdict": observed.verdict(declared),
        "seconds": round(seconds, 3),
    }  # fmt: skip


def _timed(action: Callable[[], Any]) -> tuple[Any, float]:
    begin = time.perf_counter()
    return action(), time.perf_counter() - begin


def weak_observed(
    sampler: Sampler, maps: GridMap, *, claim: float, warm: bool, most: int
) -> Barred:
    """Weak order by quadrature; by paths with a control variate where memories are many."""
    problem = nonlinear(512)

    def error(steps: int) -> tuple[float, float]:
        try:
            return weak_error(sampler, problem, maps, steps, warm=warm)
        except AnalysisError:
            return weak_error_on_paths(sampler, problem, maps, steps, warm=warm)

    return doubled(error, claim=claim, first=8 * sampler.multiple, least=min(4, most), most=most)


def _live(sampler: Sampler, maps: GridMap) -> int:
    """Largest number of vectors that live between two steps; 1 for what is no plan."""
    if sampler.kind != "plan":
        return 1
    plan = sampler(maps.process, maps.grid(8 * sampler.multiple))
    try:
        return most_live(plan)
    except AnalysisError:
        return QUICK_VECTORS + 1


def few_vectors(sampler: Sampler) -> bool:
    """Whether so few vectors live between two steps that a table over them is small."""
    problem = nonlinear(2)
    return _live(sampler, uniform_lam(problem.process, *STRETCH)) <= QUICK_VECTORS


def nonlinear_rows(sampler: Sampler, *, quick: bool) -> list[Row]:
    """Weak and strong orders of a stochastic sampler on the nonlinear law.

    The quick part takes the cold weak order of samplers with at most one memory: tables of more
    take seconds a grid. What it leaves out is not resolved, and never met.
    """
    problem = nonlinear(1000 if quick else 3000)
    maps = (wavy_lam if sampler.history < 2 else uniform_lam)(problem.process, *STRETCH)
    out = []
    where = {"problem": NONLINEAR, "process": type(problem.process).__name__}
    wanted = [("weak_cold", sampler.weak_cold, False)]
    if not (quick and sampler.history):
        wanted.insert(0, ("weak", sampler.weak, sampler.history > 0))
    if quick and _live(sampler, maps) > QUICK_VECTORS:
        wanted = []
    done: dict[bool, Any] = {}
    for claim, declared, warm in wanted:
        if declared is not None:
            look = partial(
                weak_observed, sampler, maps, claim=declared, warm=warm, most=4 if quick else 5
            )
            again = warm in done  # without history warm and cold are one run
            found, seconds = (done[warm], 0.0) if again else _timed(look)
            done[warm] = found
            out.append(row(claim, declared, found, seconds, grid=maps.name, warm=warm, **where))
    if sampler.strong is not None:
        look = partial(strong_order, sampler, problem, levels=6)
        found, seconds = _timed(look)
        out.append(
            row("strong", sampler.strong, found, seconds, grid="uniform-lam", warm=False, **where)
        )
    return out


def method_rows(method: Method, *, quick: bool, kinds: tuple[str, ...] = ()) -> list[Row]:
    """Orders of a method for general equations, for each kind of noise that it declares."""
    out = []
    for kind in kinds or tuple(method.strong):
        out += _strong_rows(method, kind, quick=quick) + _weak_rows(method, kind, quick=quick)
    return out


def _where(kind: str, method: Method, grid: str) -> dict[str, Any]:
    calculus = "either calculus" if method.calculus == "both" else method.calculus
    return {"process": f"{kind}, {calculus}", "grid": grid, "warm": False}


def _strong_rows(method: Method, kind: str, *, quick: bool) -> list[Row]:
    claim, out, where = method.strong[kind], [], _where(kind, method, "wavy-t")
    if kind == "additive":
        error = partial(_ou, method)
        found, seconds = _timed(lambda: refine(error, claim=claim, floor=_LINEAR_FLOOR, most=6))
        out.append(row("strong", claim, found, seconds, problem="ornstein-uhlenbeck", **where))
    slow = method.name in SLOW
    if slow and kind == "scalar" and quick:
        return out
    many = 1000 if kind == "general" else 2000 if quick else 4000
    rows, levels, first = (1000, 3, 4) if slow else (many, 5, 8)
    look = partial(strong_on_paths, method, kind, rows=rows, levels=levels, first=first)
    seen, seconds = _timed(look)
    for name, found in seen:
        out.append(row("strong", claim, found, seconds / len(seen), problem=name, **where))
    return out


def _ou(method: Method, steps: int) -> float:
    return ou_strong_error(method, times(steps))


def _weak_rows(method: Method, kind: str, *, quick: bool) -> list[Row]:
    claim, where = method.weak[kind], _where(kind, method, "uniform-t")
    error = partial(weak_linear_error, method, kind)
    found, seconds = _timed(lambda: refine(error, claim=claim, floor=_LINEAR_FLOOR, most=6))
    out = [row("weak", claim, found, seconds, problem="linear", **where)]
    if carries_state_alone(method) and method.name not in SLOW:
        where = _where(kind, method, "wavy-t")
        look = partial(
            doubled, partial(weak_nonlinear, method, kind), claim=claim, first=8, least=3,
            most=4 if quick else 5,
        )  # fmt: skip
        found, seconds = _timed(look)
        name = {"additive": "double-well", "general": "two-noises"}.get(kind, "sinh")
        out.append(row("weak", claim, found, seconds, problem=name, **where))
    return out


def named_methods() -> dict[str, Method]:
    """The methods by name."""
    return {m.name: m for m in methods()}


def all_methods() -> tuple[tuple[str, str], ...]:
    """Every method for general equations with every kind of noise that it declares."""
    return tuple((name, kind) for name, m in named_methods().items() for kind in m.strong)
