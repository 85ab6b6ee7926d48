"""Densities that move, and are known at the end: problems for solvers on grids."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import expm, solve_continuous_lyapunov

from fokker.analysis.fokker_planck import Box

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Case:
    """``dx = b dt + sqrt(a) dW`` from N(mean, v) over a time, on a square.

    ``flux`` is b in py-pde's words, one string an axis; ``law`` is the density at the end.
    """

    name: str
    drift: Callable[[Array], Array]
    flux: tuple[str, ...]
    diffusion: Array
    mean: Array
    variance: float
    span: float
    ends: tuple[float, float]
    law: Callable[[Array], Array]

    @property
    def dim(self) -> int:
        """1 or 2."""
        return len(self.mean)

    def box(self, n: int) -> Box:
        """A square of n cells an axis."""
        low, high = self.ends
        return Box((low,) * self.dim, (high,) * self.dim, (n,) * self.dim)

    def start(self, x: Array) -> Array:
        """The density at the start, at points (N, d)."""
        return normal(x, self.mean, self.variance * np.eye(self.dim))

    def truth(self, n: int) -> Array:
        """Masses at the end, by four nodes of Gauss an axis in each quarter of a cell."""
        fine = self.box(4 * n).masses(self.law, lost=1e-3)
        return fine.reshape([n, 4] * self.dim).sum(tuple(range(1, 2 * self.dim, 2))).ravel()


def normal(x: Array, mean: Array, cov: Array) -> Array:
    """A normal density at points (N, d)."""
    z = np.linalg.solve(np.linalg.cholesky(cov), (x - mean).T)
    return np.exp(-0.5 * (z * z).sum(0)) / math.sqrt(float(np.linalg.det(2 * math.pi * cov)))


def linear(name: str, f: Array, a: Array, mean: Array, v: float, span: float, ends: Any) -> Case:
    """``dx = F x dt + sqrt(a) dW``: normal at every time."""
    steady, flow = solve_continuous_lyapunov(f, -np.diag(a)), expm(span * f)
    cov = steady + flow @ (v * np.eye(len(a)) - steady) @ flow.T
    names = "xy"[: len(a)]
    flux = tuple(" + ".join(f"({c})*{x}" for c, x in zip(row, names, strict=True)) for row in f)
    end = flow @ mean
    return Case(
        name, lambda x: x @ f.T, flux, a, mean, v, span, ends, lambda x: normal(x, end, cov)
    )


def well(name: str, noise: float, mean: float, v: float, span: float) -> Case:
    """``dx = -(x^4 - 2 x^2)' dt + sqrt(2 D) dW``; the law by a Fourier method on 320 points."""
    n, end = 320, 2.4
    k = np.fft.fftfreq(n, 1 / n) * math.pi / end

    @cache
    def modes() -> NDArray[np.complex128]:
        x = -end + 2 * end * np.arange(n) / n
        waves = np.fft.fft(np.eye(n), axis=0)
        first = np.fft.ifft(1j * np.where(np.arange(n) == n // 2, 0, k)[:, None] * waves, axis=0)
        second = np.fft.ifft(-(k**2)[:, None] * waves, axis=0)
        moves = noise * second.real - first.real * (4 * x - 4 * x**3)
        start = normal(x[:, None], np.array([mean]), np.array([[v]]))
        return np.fft.fft(expm(span * moves) @ start) / n

    def law(x: Array) -> Array:
        parts = [
            (np.exp(1j * np.outer(part[:, 0] + end, k)) @ modes()).real
            for part in np.array_split(x, 1 + len(x) // 4096)
        ]
        return np.concatenate(parts).clip(0)  # rounding is below zero where nothing is

    return Case(
        name, lambda x: 4 * x - 4 * x**3, ("4*x - 4*x**3",), np.array([2 * noise]),
        np.array([mean]), v, span, (-end, end), law,
    )  # fmt: skip


LINE = linear(
    "Ornstein-Uhlenbeck", np.array([[-1.2]]), np.array([0.64]), np.array([1.5]), 0.05, 1.0,
    (-3.3, 4.0),
)  # fmt: skip
WELL = well("double well", 0.25, -0.5, 0.05, 2.0)
PLANE = linear(
    "turning plane", np.array([[-1.0, 2.0], [-2.0, -1.0]]), np.array([1.0, 0.5]),
    np.array([0.8, -0.3]), 0.1, 0.5, (-3.6, 3.6),
)  # fmt: skip
