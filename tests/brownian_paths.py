"""Brownian paths for tests: a tree in each clock, and places along it."""

from __future__ import annotations

from fokker.solvers.brownian.tree import TreePath
from fokker.solvers.plan import Noise

ENDS = {"lam": (-2.0, 3.0), "t": (1.0, 0.002), "snr^1.0": (-10.0, 10.0), "rho2": (-10.0, 10.0)}
PLACES = [0.0, 0.013, 0.1, 0.25, 0.3, 0.5, 0.61803, 0.75, 0.76, 0.9, 1.0]  # of the way
TOLERANCE = 2.0**-9  # of the way


def path(clock: str, seed: int = 5, ids: list[int] | None = None, **options) -> TreePath:
    a, b = ENDS[clock]
    return TreePath([a, b], seed, ids, tolerance=TOLERANCE * abs(b - a), **options)


def at(clock: str, place: float) -> float:
    a, b = ENDS[clock]
    return b if place == 1.0 else a + (b - a) * place


def cell(clock: str, s: float, t: float, kind: str = "W") -> Noise:
    return Noise(clock, at(clock, s), at(clock, t), kind)
