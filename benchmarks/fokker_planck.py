"""A density on a grid: ours against py-pde at equal L1 error, both sides prepared, in turns.

Three problems with known densities at the end: an Ornstein-Uhlenbeck density, a double well (the
truth is a Fourier method of 320 modes) and a turning normal density in the plane. Ours is
``extrapolated`` on the coarsest cells within the error, generators and starts included. Of py-pde
the time is that of a stepper that is already compiled, on a state that is already made, on the
coarsest grid within the error; what compiling it took is a column of its own, and not counted.

Its own cheapest setting is the compiled loop of explicit Euler steps, here at 0.95 of the stable
step: its Runge-Kutta steps cost four times as much and may be 1.4 times as long, and its implicit
ones iterate as many explicit ones. (Their error in time comes on top, so that its error is up to
twice the bar: the ratio is a lower bound.) On a line a user can do better by hand: SciPy's LSODA,
told that the matrix has three bands, at the loosest tolerance that keeps the error. It is implicit
like ours and of order two in space; ours is of order four to eight there, and exact in time.

The bars are 100 times on a line and 10 in the plane. Rows without a bar say where the lead is
less: some fifty times for a density that LSODA by hand finds easy; and at 1e-3, which a coarse
grid has, the compiled loop is as fast as ours or faster.
"""

from __future__ import annotations

import math
import time
import warnings
from functools import cache
from importlib import import_module
from typing import Any, cast

import numpy as np
from densities import LINE, PLANE, WELL, Case
from numpy.typing import NDArray
from scipy import sparse
from scipy.integrate import solve_ivp
from timing import seconds, table, write

from fokker.analysis.fokker_planck import drifting, extrapolated

try:
    pde: Any = import_module("pde")
except ImportError:
    pde = None

Array = NDArray[np.float64]
MISSING = "py-pde is not installed (pip install py-pde): there is nothing to compare with"
TOLERANCES = (1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-11)


RACES: tuple[tuple[Case, float, str, float | None], ...] = (
    (LINE, 1e-3, "euler", None), (LINE, 1e-6, "euler", 100.0), (LINE, 1e-6, "lsoda", None),
    (LINE, 1e-8, "lsoda", 100.0), (WELL, 1e-5, "euler", 100.0), (WELL, 1e-6, "lsoda", 100.0),
    (PLANE, 2e-4, "euler", 10.0),
)  # fmt: skip
"""Problem, error, setting, least ratio."""


def ours(case: Case, n: int, levels: int) -> Array:
    """Masses at the end."""
    return extrapolated(
        lambda box: drifting(box, case.drift, lambda x: np.broadcast_to(case.diffusion, x.shape)),
        case.box(n), case.start, case.span, None if case.dim == 1 else n // 4, levels=levels,
        nodes=16, walls=1e-4,
    ).masses  # fmt: skip


@cache
def our_best(case: Case, bar: float) -> tuple[float, int, int, float]:
    """Seconds, coarsest cells, grids and error of our cheapest run within an error."""
    found = []
    for levels in (2, 3, 4):
        for n in range(24, 200, 4):
            error = float(np.abs(ours(case, n, levels) - case.truth(n)).sum())
            if error <= bar:
                cost = min(seconds(lambda a=n, b=levels: ours(case, a, b)) for _ in range(15))
                found.append((cost, n, levels, error))
                break
    return min(found)


def central(case: Case, n: int) -> tuple[Any, Array]:
    """py-pde's central differences as a sparse matrix, and its state at the start."""
    box, bands = case.box(n), cast("Any", sparse.diags)
    total: Any = sparse.csr_matrix((n**case.dim, n**case.dim))
    for k, h in enumerate(box.widths):
        eye = sparse.identity(n)
        first = bands([-1.0, 1.0], [-1, 1], (n, n)) / (2 * h)
        second = bands([1.0, -2.0, 1.0], [-1, 0, 1], (n, n)) / (h * h)
        parts = [
            m if case.dim == 1 else sparse.kron(m, eye) if k == 0 else sparse.kron(eye, m)
            for m in (first, second)
        ]
        flow = bands(case.drift(box.centres)[:, k])
        total = total - parts[0] @ flow + case.diffusion[k] / 2 * parts[1]
    return total.tocsr(), case.start(box.centres)


@cache
def their_cells(case: Case, bar: float) -> int:
    """The coarsest of py-pde's grids within an error, from the error of its differences."""
    n = 256 if case.dim == 1 else 96
    matrix, start = central(case, n)
    end = solve_ivp(
        lambda _, p: matrix @ p, (0, case.span), start, "DOP853", [case.span], rtol=1e-7, atol=1e-9
    ).y[:, 0]
    return 8 * math.ceil(n / 8 * math.sqrt(their_error(case, n, end) / bar) * 1.005)


def their_error(case: Case, n: int, end: Array) -> float:
    """L1, of point values against the density at the points."""
    box = case.box(n)
    return float(np.abs(end.ravel() - case.law(box.centres)).sum() * box.volume)


def equation(case: Case) -> Any:
    """The Fokker-Planck equation in py-pde's words."""
    terms = [
        f"-d_d{x}(({b})*p) + {a / 2}*d2_d{x}2(p)"
        for x, b, a in zip("xy", case.flux, case.diffusion, strict=False)
    ]
    return pde.PDE({"p": " + ".join(terms)}, bc={"value": 0})


def stepper(case: Case, n: int, setting: str) -> tuple[Any, Any]:
    """py-pde's solver, and its stepper compiled by a first call, on a grid of n cells an axis."""
    if setting == "lsoda":
        bands = {"method": "LSODA", "lband": 1, "uband": 1}
        solver, dt = pde.ScipySolver(equation(case), backend="numba", **bands), None
    else:
        h = case.box(n).widths[0]
        count = math.ceil(case.span * float(case.diffusion.sum()) / (0.95 * h * h))
        solver, dt = pde.EulerSolver(equation(case), backend="numba"), case.span / count
    step = solver.make_stepper(state_of(case, n), dt=dt)
    step(state_of(case, n), 0.0, dt or case.span)
    return solver, step


def state_of(case: Case, n: int) -> Any:
    """The start in py-pde's words."""
    grid = pde.CartesianGrid([list(case.ends)] * case.dim, n)
    return pde.ScalarField(grid, case.start(case.box(n).centres).reshape((n,) * case.dim))


def theirs(case: Case, bar: float, setting: str) -> dict[str, Any]:
    """py-pde prepared and run: cells, error, seconds of preparation and of a run."""
    n = their_cells(case, bar)
    begin = time.process_time()
    solver, step = stepper(case, n, setting)
    prepared, start, last = time.process_time() - begin, state_of(case, n), state_of(case, n)

    def run() -> float:
        last.data[...] = start.data
        begin = time.process_time()
        step(last, 0.0, case.span)
        return time.process_time() - begin

    for tolerance in TOLERANCES if setting == "lsoda" else (0.0,):
        if setting == "lsoda":
            solver.solver_params.update(rtol=tolerance, atol=1e-2 * tolerance)
        cost, error = run(), their_error(case, n, last.data)
        if error <= bar:
            break
    cost = min([cost, *(run() for _ in range(2 if cost < 1 else 0))])
    return {
        "their_setting": setting, "their_cells": n, "their_error": error,
        "their_ms": cost * 1e3, "their_preparation_ms": prepared * 1e3,
        "their_tolerance": tolerance,
    }  # fmt: skip


def short(number: float) -> str:
    """Two digits or all before the point."""
    return f"{number:.0f}" if number >= 10 else f"{number:.2g}"


def verdict(ratio: float, least: float | None) -> str:
    """The bar, and whether it was missed."""
    if least is None:
        return "-"
    return f"{least:.0f}" if ratio >= least else f"{least:.0f} MISSED"


def main() -> list[dict[str, Any]]:
    """Measure, print the table, write the record."""
    if pde is None:
        print(MISSING)
        return []
    import_module("numba").set_num_threads(1)
    rows = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for case, bar, setting, least in RACES:
            cost, n, levels, error = our_best(case, bar)
            found = theirs(case, bar, setting)
            rows.append({
                "problem": case.name, "dim": case.dim, "bar": bar, "cells": n, "levels": levels,
                "error": error, "ms": cost * 1e3, "py-pde": pde.__version__, **found,
                "ratio": found["their_ms"] / cost / 1e3, "least_ratio": least,
            })  # fmt: skip
    cells = [
        [
            f"{r['problem']} to {r['bar']:g}", f"{r['cells']}, {r['error']:.1e}", f"{r['ms']:.2f}",
            r["their_setting"], f"{r['their_cells']}, {r['their_error']:.1e}",
            short(r["their_ms"]), f"{r['their_preparation_ms'] / 1e3:.0f}",
            short(r["ratio"]), verdict(r["ratio"], r["least_ratio"]),
        ]
        for r in rows
    ]  # fmt: skip
    head = ["density", "cells, error", "ms", "py-pde", "cells, error", "ms", "compiling, s",
            "cheaper", "bar"]  # fmt: skip
    print(table(head, cells))
    print(f"written to {write('fokker_planck', rows)}")
    return rows


if __name__ == "__main__":
    main()
