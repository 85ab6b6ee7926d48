"""A density on a grid: ours against py-pde at equal error, whole calls, in turns.

Ornstein-Uhlenbeck densities in one dimension and, turning, in two, of known laws at the end.
Each side gets the coarsest of its grids whose L1 error is within the bar; the fastest setting
of py-pde counts, after a first call that is not measured. Time is that of one solve as a user
calls it. py-pde prepares its operators in *every* call, which is most of its time; what its
compiled loop of explicit steps takes alone, without any of that, is a column of its own: where
grids are coarse it is the faster loop. Bars: 100 times in one dimension, 10 in two.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import expm, solve_continuous_lyapunov
from timing import in_turns, seconds, table, write

from fokker.analysis.fokker_planck import Box, drifting, evolve

try:
    pde: Any = import_module("pde")
except ImportError:
    pde = None

Array = NDArray[np.float64]
BARS = {1: 100.0, 2: 10.0}
SETTINGS = (("scipy", {"backend": "numpy"}), ("runge-kutta", {"backend": "numba"}))
MISSING = "py-pde is not installed (pip install py-pde); only our own side is measured"


@dataclass(frozen=True)
class Case:
    """``dx = F x dt + sqrt(a) dW`` from N(mean, v) over a time, on a square, to an error."""

    name: str
    drift: Array
    diffusion: Array
    mean: Array
    variance: float
    span: float
    ends: tuple[float, float]
    bar: float

    @property
    def dim(self) -> int:
        """1 or 2."""
        return len(self.mean)

    def box(self, n: int) -> Box:
        """A square of n cells an axis."""
        low, high = self.ends
        return Box((low,) * self.dim, (high,) * self.dim, (n,) * self.dim)

    def law(self, t: float) -> tuple[Array, Array]:
        """Mean and covariance at a time."""
        flow = expm(t * self.drift)
        steady = solve_continuous_lyapunov(self.drift, -np.diag(self.diffusion))
        start = self.variance * np.eye(self.dim)
        return flow @ self.mean, steady + flow @ (start - steady) @ flow.T

    def density(self, x: Array, t: float) -> Array:
        """The normal density at points (N, d)."""
        mean, cov = self.law(t)
        z = np.linalg.solve(np.linalg.cholesky(cov), (x - mean).T)
        norm = math.sqrt(float(np.linalg.det(2 * math.pi * cov)))
        return np.exp(-0.5 * (z * z).sum(0)) / norm

    def error(self, masses: Array, n: int) -> float:
        """L1 distance to the law at the end."""
        box = self.box(n)
        truth = self.density(box.centres, self.span) * box.volume
        return float(np.abs(masses - truth).sum())


CASES = (
    Case(
        "line to 1e-3", np.array([[-1.2]]), np.array([0.64]), np.array([1.5]),
        0.05, 1.0, (-3.0, 3.5), 1e-3,
    ),
    Case(
        "plane to 5e-3", np.array([[-1.0, 2.0], [-2.0, -1.0]]), np.array([1.0, 0.5]),
        np.array([0.8, -0.3]), 0.1, 0.5, (-3.2, 3.2), 5e-3,
    ),
)  # fmt: skip


def ours(case: Case, n: int) -> Array:
    """Masses at the end."""
    box = case.box(n)
    chain = drifting(
        box, lambda x: x @ case.drift.T, lambda x: np.broadcast_to(case.diffusion, x.shape)
    )
    start = box.masses(lambda x: case.density(x, 0.0))
    return evolve(chain, start, case.span, max(8, n // 4), walls=1e-5).masses


def equation(case: Case) -> Any:
    """The Fokker-Planck equation in py-pde's words."""
    names = "xy"[: case.dim]
    terms = []
    for i, one in enumerate(names):
        flow = " + ".join(f"({case.drift[i, j]})*{two}" for j, two in enumerate(names))
        terms.append(f"-d_d{one}(({flow})*p) + {case.diffusion[i] / 2}*d2_d{one}2(p)")
    return pde.PDE({"p": " + ".join(terms)}, bc={"value": 0})


def field_of(case: Case, n: int) -> Any:
    """The start in py-pde's words."""
    grid = pde.CartesianGrid([list(case.ends)] * case.dim, n)
    values = case.density(case.box(n).centres, 0.0).reshape((n,) * case.dim)
    return pde.ScalarField(grid, values)


def explicit_step(case: Case, n: int) -> float:
    """0.8 of the step at which explicit Euler is still stable."""
    h = case.box(n).widths[0]
    return 0.8 * h * h / float(case.diffusion.sum())


def theirs(case: Case, n: int, solver: str, options: dict[str, Any]) -> Array:
    """Masses at the end by py-pde."""
    more = {} if solver == "scipy" else {"dt": explicit_step(case, n)}
    end = equation(case).solve(
        field_of(case, n), t_range=case.span, solver=solver, tracker=None, **options, **more
    )
    return end.data.ravel() * case.box(n).volume


def loop_alone(case: Case, n: int) -> float:
    """Seconds of py-pde's compiled loop of explicit Euler steps, all preparation left out."""
    state = field_of(case, n)
    stepper = pde.EulerSolver(equation(case)).make_stepper(state, dt=explicit_step(case, n))
    stepper(state.copy(), 0.0, explicit_step(case, n))
    times = []
    for _ in range(3):
        begin = time.thread_time()
        stepper(state.copy(), 0.0, case.span)
        times.append(time.thread_time() - begin)
    return min(times)


def coarsest(case: Case, run: Callable[[int], Array]) -> int:
    """About the coarsest grid within the bar: errors are of order two, so one run predicts it."""
    n = 96 if case.dim == 1 else 32
    n = 8 * math.ceil(n / 8 * math.sqrt(case.error(run(n), n) / case.bar))
    while case.error(run(n), n) > case.bar:
        n += 8 * math.ceil(n / 80)
    return n


def race(case: Case) -> dict[str, Any]:
    """Both sides at the bar of one case."""
    n = coarsest(case, lambda k: ours(case, k))
    row: dict[str, Any] = {
        "problem": case.name, "dim": case.dim, "bar": case.bar, "cells": n,
        "error": case.error(ours(case, n), n), "least_ratio": BARS[case.dim],
    }  # fmt: skip
    if pde is None:
        return row | {"ms": min(seconds(lambda: ours(case, n)) for _ in range(5)) * 1e3}
    m = coarsest(case, lambda k: theirs(case, k, *SETTINGS[0]))
    usable = []
    for solver, options in SETTINGS:
        if case.error(theirs(case, m, solver, options), m) <= case.bar:  # and the unmeasured call
            cost = seconds(lambda s=solver, o=options: theirs(case, m, s, o))
            usable.append((cost, solver, options))
    _, solver, options = min(usable, key=lambda u: u[0])
    pair = in_turns(
        lambda: ours(case, n), lambda: theirs(case, m, solver, options), base_count=3, rounds=1
    )
    return row | {
        "ms": pair.base * 1e3, "py-pde": pde.__version__, "their_setting": f"{solver} {options}",
        "their_cells": m, "their_error": case.error(theirs(case, m, solver, options), m),
        "their_ms": pair.target * 1e3, "ratio": pair.target / pair.base,
        "typical_ratio": pair.typical_ratio, "their_loop_ms": loop_alone(case, m) * 1e3,
    }  # fmt: skip


def main() -> list[dict[str, Any]]:
    """Measure, print the table, write the record."""
    if pde is None:
        print(MISSING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rows = [race(case) for case in CASES]
    cells = [
        [
            r["problem"], f"{r['cells']}, {r['error']:.1e}", f"{r['ms']:.2f}",
            f"{r['their_cells']}, {r['their_error']:.1e}" if "ratio" in r else "missing",
            f"{r['their_ms']:.0f}" if "ratio" in r else "missing",
            f"{r['ratio']:.0f}" if "ratio" in r else "missing", f"{r['least_ratio']:.0f}",
            f"{r['their_loop_ms']:.2f}" if "ratio" in r else "missing",
        ]
        for r in rows
    ]  # fmt: skip
    version = f"py-pde {pde.__version__}" if pde is not None else "py-pde"
    head = ["density", "cells, error", "ms", version, "ms", "cheaper", "bar", "its loop alone, ms"]
    print(table(head, cells))
    print(f"written to {write('fokker_planck', rows)}")
    return rows


if __name__ == "__main__":
    main()
