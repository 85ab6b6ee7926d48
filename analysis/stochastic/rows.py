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
from .polynomial_equations import CLOSED, weak_polynomial_error
from .problems import NONLINEAR, STRETCH, nonlinear
from .strong import strong_order
from .weak import weak_error
from .weak_expansion import MOST_ORDER, PROBLEM, weak_order

_LINEAR_FLOOR = 1e-12

TABLE_VECTORS = 2
"""Live vectors between two steps that tables cover in a second; a third takes ten times more."""

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
    """Weak order on a strongly nonlinear law, by quadrature."""
    error = partial(weak_error, sampler, nonlinear(512), maps, warm=warm)
    return doubled(error, claim=claim, first=8 * sampler.multiple, least=min(4, most), most=most)


def _few_vectors(sampler: Sampler, maps: GridMap) -> bool:
    """Whether so few vectors live between two steps that a table over them is small."""
    if sampler.kind != "plan":
        return True
    plan = sampler(maps.process, maps.grid(8 * sampler.multiple))
    try:
        return most_live(plan) <= TABLE_VECTORS
    except AnalysisError:
        return False


def _weak_claims(sampler: Sampler) -> list[tuple[str, float, bool]]:
    """(claim, declared, warm); no warm start where the past is not known exactly."""
    cold = [("weak_cold", sampler.weak_cold, False)]
    known = not sampler.history or sampler.sde_eta == 1.0
    warm = [("weak", sampler.weak, sampler.history > 0)] if known else []
    return [(claim, float(p), w) for claim, p, w in (*warm, *cold) if p is not None]


def expanded_rows(sampler: Sampler, *, quick: bool) -> list[Row]:
    """Weak orders of a plan at the first power of a nonlinearity, exactly."""
    claims = [c for c in _weak_claims(sampler) if c[1] <= MOST_ORDER]
    process, out = nonlinear(2).process, []
    where = {"problem": PROBLEM, "process": type(process).__name__}
    for make in (wavy_lam,) if quick else (uniform_lam, wavy_lam):
        maps, done = make(process, *STRETCH), {}
        for claim, declared, warm in claims if sampler.kind == "plan" else ():
            look = partial(weak_order, sampler, maps, claim=declared, warm=warm)
            out.append(_row_once(done, claim, declared, warm, look, grid=maps.name, **where))
    return out


def table_rows(sampler: Sampler, *, quick: bool) -> list[Row]:
    """Weak orders of a sampler with few live vectors on a strongly nonlinear law, by quadrature.

    A second instrument for plans, whose quick part goes without it; the only one for the rest.
    """
    problem = nonlinear(2)
    maps = (wavy_lam if sampler.history < 2 else uniform_lam)(problem.process, *STRETCH)
    where = {"problem": NONLINEAR, "process": type(problem.process).__name__}
    if (quick and sampler.kind == "plan") or not _few_vectors(sampler, maps):
        return []
    out, done = [], {}
    for claim, declared, warm in _weak_claims(sampler):
        look = partial(
            weak_observed, sampler, maps, claim=declared, warm=warm, most=4 if quick else 5
        )
        out.append(_row_once(done, claim, declared, warm, look, grid=maps.name, **where))
    return out


def _row_once(
    done: dict[tuple[bool, float], Observation],
    claim: str,
    declared: float,
    warm: bool,
    look: Callable[[], Observation],
    **where: Any,
) -> Row:
    """A row; without history warm and cold are one run."""
    key, seconds = (warm, declared), 0.0
    if key not in done:
        done[key], seconds = _timed(look)
    return row(claim, declared, done[key], seconds, warm=warm, **where)


def nonlinear_rows(sampler: Sampler, *, quick: bool) -> list[Row]:
    """Weak and strong orders of a stochastic sampler on nonlinear laws."""
    out = expanded_rows(sampler, quick=quick) + table_rows(sampler, quick=quick)
    if sampler.strong is not None:
        out.append(_strong_row(sampler, float(sampler.strong), quick=quick))
    return out


def _strong_row(sampler: Sampler, claim: float, *, quick: bool) -> Row:
    """Strong order on one path; on a third of the samples if that decides."""
    begin, process = time.perf_counter(), nonlinear(2).process
    found = strong_order(sampler, nonlinear(1000 if quick else 3000), levels=6)
    if quick and found.verdict(claim) == "not resolved":
        found = strong_order(sampler, nonlinear(3000), levels=6)
    where = {"problem": NONLINEAR, "process": type(process).__name__, "grid": "uniform-lam"}
    return row("strong", claim, found, time.perf_counter() - begin, warm=False, **where)


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
    look = partial(strong_on_paths, method, kind, rows=rows, first=first)
    seen, seconds = _timed(partial(look, levels=levels))
    if any(found.verdict(claim) == "not resolved" for _, found in seen) and not slow:
        seen, more = _timed(partial(look, levels=levels + 2))  # a stiff drift has a late knee
        seconds += more
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
    if kind in CLOSED:
        error = partial(weak_polynomial_error, method, kind)
        found, seconds = _timed(lambda: refine(error, claim=claim, floor=_LINEAR_FLOOR, most=8))
        out.append(row("weak", claim, found, seconds, problem="polynomial", **where))
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
